"""The tables of `aims info --all`, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from aims.cli._options import option_text
from aims.cli._terminal import add_columns, plain_table
from aims.reports.tables.markdown import markdown_table

#: Columns of names, which are never broken in the terminal.
_NAMES = ("method", "tuning", "of", "default", "modality")
#: Width of two names per line, to leave room for the column "what it does".
_TUNINGS_WIDTH = 14


@dataclass(frozen=True, kw_only=True)
class CountTable:
    """A table of counts.

    Attributes:
        title: title.
        words: headings of the first columns, which hold words and are left-aligned.
        rows: the cells of each row, words first.
        numbers: headings of the remaining columns, which hold numbers and are right-aligned.
        notes: sentences below the table.
    """

    title: str
    words: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[str] = ()
    notes: Sequence[str] = ()


def count_tables(content: Mapping[str, Any]) -> tuple[CountTable, ...]:
    """Lays out the counts from `aims.cli._counts.count_all` as tables."""
    methods, tunings = content["methods"], content["tunings"]
    every = [tuning["name"] for tuning in tunings]
    return (
        CountTable(
            title="Methods",
            words=("method", "what it does", "tunings", "default"),
            rows=[
                (
                    entry["name"],
                    entry["summary"],
                    "any" if entry["tunings"] == every else ", ".join(entry["tunings"]),
                    entry["tuning"],
                )
                for entry in methods
            ],
        ),
        CountTable(
            title="Tunings",
            words=("tuning", "what it does"),
            rows=[(entry["name"], entry["summary"]) for entry in tunings],
        ),
        CountTable(
            title="Options of methods and tunings, with their defaults",
            words=("of", "options"),
            rows=[
                (entry["name"], option_text(entry["options"]))
                for entry in (*methods, *tunings)
                if entry["options"]
            ],
        ),
        _alignment(methods),
        _operations(methods, content["backbone"]),
        _table4(tunings, content["backbone"]),
        CountTable(
            title="SimCMF's alignment module at nine channels, by depth (Figure 6)",
            words=(),
            numbers=("depth", "parameters", "K", "paper, K"),
            rows=[
                (
                    f"{entry['depth']}",
                    _shown(entry["alignment"]),
                    f"{entry['alignment'] / 1e3:.2f}",
                    f"{entry['published_thousands']}",
                )
                for entry in content["depths"]
            ],
            notes=["The paper's 42.3 is cut off, not rounded."],
        ),
    )


def _alignment(methods: Sequence[Mapping[str, Any]]) -> CountTable:
    numbers = list(methods[0]["alignment"])
    return CountTable(
        title="Parameters that learn before the image encoder, by channels of the image",
        words=["method"],
        numbers=numbers,
        rows=[
            (entry["name"], *(_shown(entry["alignment"][channels]) for channels in numbers))
            for entry in methods
        ],
        notes=["A dash: the method does not take such images. Patch embeddings belong to the image encoder."],
    )


def _operations(methods: Iterable[Mapping[str, Any]], backbone: str) -> CountTable:
    def scaled(counts: Mapping[str, int] | None, name: str, unit: float) -> str:
        return _shown(None if counts is None else counts[name] / unit, ",.1f")

    return CountTable(
        title=f"Parameters and operations on {backbone}, with each method's default tuning",
        words=("method", "modality"),
        numbers=("total,\nM", "\nGFLOPs", "of which\nalignment", "times\nsimcmf", "at one\nchannel"),
        rows=[
            (
                entry["name"],
                entry["modality"] or _shown(None),
                scaled(entry["parameters"], "total", 1e6),
                scaled(entry["flops"], "forward", 1e9),
                scaled(entry["flops"], "alignment", 1e9),
                _shown(entry["ratio"]["same"], ".2f"),
                _shown(entry["ratio"]["one_channel"], ".2f"),
            )
            for entry in methods
        ],
        notes=[
            "Polarization has nine channels, rgb-hha six: it stands in for methods that refuse polarization.",
            "Operations: alignment, image encoder and mask decoder for one image with one click, as in "
            "evaluation; a multiplication with its addition counts as two. Their ratio to simcmf's on the "
            "same modality, and to simcmf's on one channel (depth).",
        ],
    )


def _table4(tunings: Iterable[Mapping[str, Any]], backbone: str) -> CountTable:
    notes = ["Counted with simcmf, without its alignment module, as in the paper's Table 4."]
    full = next((entry for entry in tunings if entry["name"] == "full"), None)
    if full is not None and full["published_millions"] is not None:
        total = full["total"] + full["frozen"]
        notes.append(
            f"The paper's {full['published_millions']} M for full are all {total:,} parameters of SAM; here "
            f"the prompt encoder ({full['frozen']:,}) stays frozen, as in the released program."
        )
    return CountTable(
        title=f"Parameters of the foundation model that learn (Table 4), on {backbone}",
        words=["tuning"],
        numbers=("encoder", "decoder", "all, M", "paper, M"),
        rows=[
            (
                entry["name"],
                _shown(entry["encoder"]),
                _shown(entry["decoder"]),
                f"{entry['total'] / 1e6:.1f}",
                _shown(entry["published_millions"], ""),
            )
            for entry in tunings
        ],
        notes=notes,
    )


def _shown(value: float | None, form: str = ",") -> str:
    """A number in a format, or a dash where there is none."""
    return "–" if value is None else format(value, form)


def as_markdown(tables: Iterable[CountTable]) -> str:
    """Formats tables in GitHub's Markdown."""
    lines = []
    for table in tables:
        header = [" ".join(heading.split()) for heading in (*table.words, *table.numbers)]
        rows = ([cell.replace("|", "\\|") for cell in row] for row in table.rows)
        lines += [f"### {table.title}", "", *markdown_table(header, rows, len(table.words))]
        for note in table.notes:
            lines += ["", note]
        lines.append("")
    return "\n".join(lines)


def as_renderables(tables: Iterable[CountTable]) -> Iterator[RenderableType]:
    """Yields tables as rich renderables for the terminal."""
    for index, table in enumerate(tables):
        yield Text("\n" * (index > 0) + table.title, style="bold")
        drawn = plain_table(pad_edge=False)
        for heading in table.words:
            style = "bold" if not drawn.columns else None
            width = _TUNINGS_WIDTH if heading == "tunings" else None
            drawn.add_column(heading, no_wrap=heading in _NAMES, style=style, max_width=width)
        add_columns(drawn, *table.numbers, no_wrap=True)
        for row in table.rows:
            drawn.add_row(*map(Text, row))
        yield drawn
        yield from (Text(note, style="dim") for note in table.notes)
