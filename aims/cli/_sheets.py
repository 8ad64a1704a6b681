"""The tables of `aims info --all`, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from aims.cli._options import option_text
from aims.cli._terminal import plain_table

_NONE = "–"
#: Columns of names, which are never broken in the terminal.
_NAMES = ("method", "tuning", "of", "default", "modality")
#: Two names in a line, to leave room for what the method does.
_TUNINGS_WIDTH = 14


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table to be shown.

    Attributes:
        title: what it shows.
        words: headings of the first columns, which hold words.
        rows: cells.
        numbers: headings of the columns after them, which hold numbers.
        notes: sentences below it.
    """

    title: str
    words: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def sheets(content: Mapping[str, Any]) -> tuple[Sheet, ...]:
    """Lays out what `count_all` found."""
    methods, tunings = content["methods"], content["tunings"]
    every = [tuning["name"] for tuning in tunings]
    return (
        Sheet(
            title="Methods",
            words=("method", "what it does", "tunings", "default"),
            rows=tuple(
                (
                    entry["name"],
                    entry["summary"],
                    "any" if entry["tunings"] == every else ", ".join(entry["tunings"]),
                    entry["tuning"],
                )
                for entry in methods
            ),
        ),
        Sheet(
            title="Tunings",
            words=("tuning", "what it does"),
            rows=tuple((entry["name"], entry["summary"]) for entry in tunings),
        ),
        Sheet(
            title="Options of methods and tunings, with their defaults",
            words=("of", "options"),
            rows=tuple(
                (entry["name"], option_text(entry["options"]))
                for entry in (*methods, *tunings)
                if entry["options"]
            ),
        ),
        _alignment(methods),
        _operations(methods, content["backbone"]),
        _table4(tunings, content["backbone"]),
        _depths(content["depths"]),
    )


def _alignment(methods: Iterable[Mapping[str, Any]]) -> Sheet:
    by_channels = [entry["alignment"] for entry in methods]
    numbers = tuple(by_channels[0])
    return Sheet(
        title="Parameters that learn before the image encoder, by channels of the image",
        words=("method",),
        numbers=numbers,
        rows=tuple(
            (entry["name"], *(_integer(entry["alignment"][channels]) for channels in numbers))
            for entry in methods
        ),
        notes=(
            "A dash: the method does not take such images. Patch embeddings belong to the image encoder.",
        ),
    )


def _operations(methods: Iterable[Mapping[str, Any]], backbone: str) -> Sheet:
    return Sheet(
        title=f"Parameters and operations on {backbone}, with each method's default tuning",
        words=("method", "modality"),
        numbers=("total,\nM", "\nGFLOPs", "of which\nalignment", "times\nsimcmf", "at one\nchannel"),
        rows=tuple(
            (
                entry["name"],
                entry["modality"] or _NONE,
                _NONE if entry["parameters"] is None else f"{entry['parameters']['total'] / 1e6:.1f}",
                _giga(entry["flops"], "forward"),
                _giga(entry["flops"], "alignment"),
                _ratio(entry["ratio"]["same"]),
                _ratio(entry["ratio"]["one_channel"]),
            )
            for entry in methods
        ),
        notes=(
            "Polarization has nine channels, rgb-hha six: it stands in for methods that refuse polarization.",
            "Operations: alignment, image encoder and mask decoder for one image with one click, as in "
            "evaluation; a multiplication with its addition counts as two. Their ratio to simcmf's on the "
            "same modality, and to simcmf's on one channel (depth).",
        ),
    )


def _table4(tunings: Iterable[Mapping[str, Any]], backbone: str) -> Sheet:
    notes = ["Counted with simcmf, without its alignment module, as in the paper's Table 4."]
    full = next((entry for entry in tunings if entry["name"] == "full"), None)
    if full is not None and full["published_millions"] is not None:
        total = full["total"] + full["frozen"]
        notes.append(
            f"The paper's {full['published_millions']} M for full are all {total:,} parameters of SAM; here "
            f"the prompt encoder ({full['frozen']:,}) stays frozen, as in the released program."
        )
    return Sheet(
        title=f"Parameters of the foundation model that learn (Table 4), on {backbone}",
        words=("tuning",),
        numbers=("encoder", "decoder", "all, M", "paper, M"),
        rows=tuple(
            (
                entry["name"],
                _integer(entry["encoder"]),
                _integer(entry["decoder"]),
                f"{entry['total'] / 1e6:.1f}",
                _NONE if entry["published_millions"] is None else f"{entry['published_millions']}",
            )
            for entry in tunings
        ),
        notes=tuple(notes),
    )


def _depths(depths: Iterable[Mapping[str, Any]]) -> Sheet:
    return Sheet(
        title="SimCMF's alignment module at nine channels, by depth (Figure 6)",
        words=(),
        numbers=("depth", "parameters", "K", "paper, K"),
        rows=tuple(
            (
                f"{entry['depth']}",
                _integer(entry["alignment"]),
                f"{entry['alignment'] / 1e3:.2f}",
                f"{entry['published_thousands']}",
            )
            for entry in depths
        ),
        notes=("The paper's 42.3 is cut off, not rounded.",),
    )


def _integer(value: int | None) -> str:
    return _NONE if value is None else f"{value:,}"


def _giga(flops: Mapping[str, int] | None, part: str) -> str:
    return _NONE if flops is None else f"{flops[part] / 1e9:,.1f}"


def _ratio(value: float | None) -> str:
    return _NONE if value is None else f"{value:.2f}"


def as_markdown(parts: Iterable[Sheet]) -> str:
    """Writes tables as GitHub shows them."""
    lines = []
    for sheet in parts:
        header = [" ".join(heading.split()) for heading in (*sheet.words, *sheet.numbers)]
        rules = ["---"] * len(sheet.words) + ["---:"] * len(sheet.numbers)
        lines += [f"### {sheet.title}", ""]
        for cells in (header, rules, *sheet.rows):
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        for note in sheet.notes:
            lines += ["", note]
        lines.append("")
    return "\n".join(lines)


def as_renderables(parts: Iterable[Sheet]) -> Iterator[RenderableType]:
    """Draws tables for the terminal."""
    for index, sheet in enumerate(parts):
        yield Text("\n" * (index > 0) + sheet.title, style="bold")
        table = plain_table(pad_edge=False)
        for heading in sheet.words:
            style = "bold" if not table.columns else None
            width = _TUNINGS_WIDTH if heading == "tunings" else None
            table.add_column(heading, no_wrap=heading in _NAMES, style=style, max_width=width)
        for heading in sheet.numbers:
            table.add_column(heading, justify="right", no_wrap=True)
        for row in sheet.rows:
            table.add_row(*map(Text, row))
        yield table
        yield from (Text(note, style="dim") for note in sheet.notes)
