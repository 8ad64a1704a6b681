"""The tables and figures of the SimCMF paper, cell by cell: the published number and the run that makes it.

Numbers come from `aims.leaderboards/published.toml`; the functions here assign to each of them its method,
tuning, modality and options. `aims.reports.paper.table1` adds rows and columns to Table 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from aims.reports.paper.description import PaperCell, PaperTable, RunQuery
from aims.reports.paper.published import TABLE1_METHODS, load_content, table1_footnotes

#: Options of SimCMF's alignment module that Figure 6 varies one at a time; the defaults of `aims run`.
MODULE = MappingProxyType({"kernel": 3, "width": 64, "depth": 2})
TUNINGS = ("full", "lora", "adapter", "prompt")
#: Methods of Figure 4 in the paper's order, as the paper names them.
FIGURE4 = MappingProxyType(
    {
        "scratch": "training from scratch",
        "random-embed": "random patch embedding",
        "linear": "linear",
        "linear-frozen": "linear, frozen embedding",
        "mlp": "MLP",
        "channel-batch": "channel batch (MedicalSAM)",
        "transformer": "transformer before the embedding",
        "simcmf": "SimCMF",
    }
)
_FIGURE7 = ("scratch", "random-embed", "linear", "simcmf")
_READ_OFF = "Hard to read in the paper's picture."


def load_paper_tables() -> tuple[PaperTable, ...]:
    """Describes all tables and figures that hold numbers, in the paper's order."""
    content = load_content()
    return (
        _table1(content),
        _table2(content),
        _table3(content),
        _table4(content),
        _figure4(content),
        _figure5a(content),
        _figure5b(),
        *(_figure6(content, panel) for panel in ("k", "d", "n")),
        _table6(content),
        _figure7(content),
    )


def _paper_table(cells: Iterator[PaperCell], **rest: Any) -> PaperTable:
    found = {(cell.row, cell.column): cell for cell in cells}
    rows, columns = (tuple(dict.fromkeys(names)) for names in zip(*found, strict=True))
    return PaperTable(rows=rows, columns=columns, cells=found, **rest)


def _cell(
    row: str, column: str, published: float | None, query: RunQuery, note: str = "", command: str = ""
) -> PaperCell:
    return PaperCell(
        row=row,
        column=column,
        published=published,
        query=query,
        command=command or query.command,
        note=note,
    )


def _peak(modality: str, suite: str) -> str:
    """The command that runs SimCMF with each tuning at each learning rate; the paper prints the highest."""
    return f"aims sweep {suite} --only method=simcmf --only modality={modality}"


def _table1(content: Mapping[str, Any]) -> PaperTable:
    table, footnotes = content["table1"], table1_footnotes(content)

    def cells() -> Iterator[PaperCell]:
        for place, modality in enumerate(table["columns"]):
            scratch = RunQuery(method="scratch", modality=modality, tuning="full")
            yield _cell(modality, "scratch", table["scratch"][place], scratch)
            ours = RunQuery(method="simcmf", modality=modality)
            note = footnotes.get(modality, "")
            yield _cell(modality, "SimCMF", table["simcmf"][place], ours, note, _peak(modality, "table1"))
        for method, column in TABLE1_METHODS.items():
            yield PaperCell(
                row="average",
                column=column,
                published=table["average"][method],
                query=None,
                command="aims sweep table1",
            )

    return _paper_table(
        cells(),
        key="table1",
        title="Training from scratch and SimCMF",
        corner="modality",
        compete="columns",
        blocks={**dict.fromkeys(table["columns"], "paper"), "average": "average"},
        notes=("SimCMF is the best over full, LoRA, adapter and prompt tuning (Table 3).",),
    )


def _table2(content: Mapping[str, Any]) -> PaperTable:
    table = content["table2"]

    def cells() -> Iterator[PaperCell]:
        for place, modality in enumerate(table["columns"]):
            scratch = RunQuery(method="scratch", modality=modality, tuning="full")
            yield _cell(modality, "scratch", table["scratch"][place], scratch)
            still = RunQuery(method="zero-shot", modality=modality)
            yield _cell(modality, "zero-shot", table["zero_shot"][place], still)
            note = "The MLP adapter's cell of Table 6" + (
                "; LoRA is higher there (57.14)." if modality == "rgb-nir" else "."
            )
            ours = RunQuery(method="simcmf", modality=modality)
            yield _cell(modality, "SimCMF", table["simcmf"][place], ours, note, _peak(modality, "table2"))

    return _paper_table(
        cells(),
        key="table2",
        title="Pseudo new modalities: RGB stacked with a sensor",
        corner="modality",
        compete="columns",
        notes=(
            "Zero-shot sees the three RGB channels alone; scratch and SimCMF do not know which they are.",
        ),
    )


def _table3(content: Mapping[str, Any]) -> PaperTable:
    table = content["table3"]
    return _paper_table(
        (
            _cell(tuning, modality, printed, RunQuery(method="simcmf", modality=modality, tuning=tuning))
            for tuning in TUNINGS
            for modality, printed in zip(table["columns"], table[tuning], strict=True)
        ),
        key="table3",
        title="Fine-tuning strategies of SimCMF",
        corner="tuning",
        compete="rows",
    )


def _table4(content: Mapping[str, Any]) -> PaperTable:
    table = content["table4"]
    return _paper_table(
        (
            _cell(
                tuning,
                "trained, M",
                table[tuning],
                RunQuery(method="simcmf", modality="polarization", tuning=tuning),
                "All of SAM; its prompt encoder (6,220 parameters) stays frozen here."
                if tuning == "full"
                else "",
                f"aims info --method simcmf --tuning {tuning} --modality polarization",
            )
            for tuning in ("lora", "adapter", "prompt", "full")
        ),
        key="table4",
        title="Trained parameters of the foundation model, in millions",
        corner="tuning",
        compete="columns",
        unit="parameters",
        notes=("Of SAM's encoder and decoder; the alignment module comes on top.",),
    )


def _figure4(content: Mapping[str, Any]) -> PaperTable:
    values = content["figure4"]

    def cells() -> Iterator[PaperCell]:
        for method, name in FIGURE4.items():
            tuning = "full" if method == "scratch" else "lora"
            value = values.get(
                "transformer_before_embed" if method == "transformer" else method.replace("-", "_")
            )
            # The paper prints a bound instead of a number for one method, "below 30".
            printed, note = (None, f"Printed: {value}.") if isinstance(value, str) else (value, "")
            query = RunQuery(method=method, modality="polarization", tuning=tuning)
            yield _cell(name, "polarization", printed, query, note)

    return _paper_table(
        cells(),
        key="figure4",
        title="Alignment modules: polarization, LoRA",
        corner="module",
        compete="rows",
    )


def _figure5a(content: Mapping[str, Any]) -> PaperTable:
    peaks, rates = content["figure5a"], content["table5"]["learning_rates"]
    return _paper_table(
        (
            _cell(
                f"{rate:g}",
                tuning,
                peaks[tuning]["miou"] if rate == peaks[tuning]["lr"] else None,
                RunQuery(method="simcmf", modality="polarization", tuning=tuning, lr=rate),
            )
            for rate in rates
            for tuning in ("full", "lora")
        ),
        key="figure5a",
        title="Learning rates: polarization, SimCMF",
        corner="learning rate",
        compete="rows",
        notes=("The paper prints the peaks alone.",),
    )


def _figure5b() -> PaperTable:
    methods = {"scratch": "full", "simcmf, full": "full", "simcmf, lora": "lora"}
    return _paper_table(
        (
            _cell(
                name,
                "all",
                None,
                RunQuery(method=name.split(",")[0], modality="polarization", tuning=tuning, any_images=True),
                command="aims sweep figure5b",
            )
            for name, tuning in methods.items()
        ),
        key="figure5b",
        title="Size of the training set: polarization",
        corner="method",
        compete="rows",
        notes=("The paper shows curves without numbers.",),
    )


def _figure6(content: Mapping[str, Any], panel: str) -> PaperTable:
    option = {"k": "kernel", "d": "width", "n": "depth"}[panel]
    values: Mapping[str, Sequence[float]] = content["figure6"][panel]
    hard = {("k", 5), ("d", 96)}

    def cells() -> Iterator[PaperCell]:
        for value, printed in zip(values["values"], values["miou"], strict=True):
            options = {} if value == MODULE[option] else {option: value}
            query = RunQuery(method="simcmf", modality="polarization", tuning="lora", options=options)
            note = _READ_OFF if (panel, value) in hard else ""
            if (panel, value) == ("n", 1):
                note = "One 1 x 1 convolution: a linear layer, which Figure 4 has at 69.06."
            yield _cell(f"{value:g}", option, printed, query, note)

    parameters = values.get("params_k", ())
    facts = {
        f"{value:g}": {"parameters of the module, K": f"{count:g}"}
        for value, count in zip(values["values"], parameters, strict=False)
    }
    return _paper_table(
        cells(),
        key=f"figure6{panel}",
        title=f"SimCMF's module, {option}: polarization, LoRA",
        corner=option,
        compete="rows",
        facts=facts,
    )


def _table6(content: Mapping[str, Any]) -> PaperTable:
    table = content["table6"]
    names = {
        "cmx": ("CMX, full", "cmx"),
        "vipt": ("ViPT, prompt", "vipt"),
        "simcmf_lora": ("SimCMF, LoRA", "simcmf"),
        "simcmf_adapter": ("SimCMF, adapter", "simcmf"),
        "simcmf_full": ("SimCMF, full", "simcmf"),
    }
    return _paper_table(
        (
            _cell(
                label,
                modality,
                printed,
                RunQuery(method=method, modality=modality, tuning=table[key]["tuning"]),
            )
            for key, (label, method) in names.items()
            for modality, printed in zip(table["columns"], table[key]["miou"], strict=True)
        ),
        key="table6",
        title="Methods for RGB with a sensor",
        corner="method",
        compete="rows",
        facts={
            label: {"parameters, M, published": f"{table[key]['params']:.1f}"}
            for key, (label, _) in names.items()
        },
        notes=(
            "CMX and ViPT know which channels are RGB; SimCMF does not.",
            "SimCMF's 94.4 M parameters could not be derived from any configuration.",
        ),
    )


def _figure7(content: Mapping[str, Any]) -> PaperTable:
    values = content["figure4"]
    return _paper_table(
        (
            _cell(
                FIGURE4[method],
                "polarization",
                values[method.replace("-", "_")],
                RunQuery(
                    method=method, modality="polarization", tuning="full" if method == "scratch" else "lora"
                ),
            )
            for method in _FIGURE7
        ),
        key="figure7",
        title="Training curves: polarization",
        corner="method",
        compete="rows",
        notes=("The paper shows curves without numbers; where they end is Figure 4's.",),
    )
