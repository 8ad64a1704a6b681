"""Describes the paper's tables and figures: their cells, and which runs reproduce each of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from aims.core.config import RunConfig
from aims.core.vocabulary import DEFAULT_PROMPTS, MODALITIES


@dataclass(frozen=True, kw_only=True)
class RunQuery:
    """Selects the runs that reproduce a cell; where several fit, the protocol's rule chooses among them.

    Attributes:
        method: name in the registry.
        modality: name of the modality.
        dataset: name of the dataset; empty for the paper's dataset of this modality.
        fingerprint: fingerprint of the dataset's content; empty for any.
        tuning: name in the registry; None for any.
        options: non-default options by name; a run fits only if it has exactly these.
        lr: learning rate; None for any.
        any_images: whether runs on a part of the training images fit too.
    """

    method: str
    modality: str
    dataset: str = ""
    fingerprint: str = ""
    tuning: str | None = None
    options: Mapping[str, float] = field(default_factory=dict)
    lr: float | None = None
    any_images: bool = False

    @property
    def place(self) -> str:
        """Name of the dataset, the paper's if none is given."""
        return self.dataset or MODALITIES[self.modality].datasets[0]

    def is_of(self, config: RunConfig) -> bool:
        """Whether a run is of this dataset and modality."""
        return (config.dataset, config.modality) == (self.place, self.modality)

    def fits(self, config: RunConfig) -> bool:
        """Whether a run is selected.

        Runs that start from another run's weights (`init`) or train on other prompts than single clicks never
        are.
        """
        return (
            self.is_of(config)
            and config.method == self.method
            and self.fingerprint in ("", config.fingerprint)
            and self.tuning in (None, config.tuning)
            and dict(config.options) == dict(self.options)
            and self.lr in (None, config.lr)
            and (self.any_images or config.train_images is None)
            and config.init is None
            and config.prompts == DEFAULT_PROMPTS
        )

    @property
    def command(self) -> str:
        """The `aims run` command that makes such a run under the paper's protocol."""
        words = ["aims", "run", "--protocol", "paper", "--method", self.method, "--modality", self.modality]
        if self.method != "zero-shot":
            words += ["--tuning", self.tuning or "lora"]
            words += ["--lr", "sweep" if self.lr is None else f"{self.lr:g}"]
        for name, value in self.options.items():
            words += [f"--{name}", f"{value:g}"]
        return " ".join(words)


@dataclass(frozen=True, kw_only=True)
class PaperCell:
    """One number of the paper.

    Attributes:
        row: name of its row.
        column: name of its column.
        published: number as printed; None where the paper prints none.
        query: selects the runs that reproduce it; None for the mean of the cells above it.
        command: the command that makes these runs; empty where the paper has no such cell.
        note: footnote on the published number; empty for none.
    """

    row: str
    column: str
    published: float | None = None
    query: RunQuery | None = None
    command: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """A table or a figure of the paper.

    Attributes:
        key: name of its files and of its suite, e.g. "table3".
        title: title.
        corner: heading of the row names.
        rows: row names in the paper's order.
        columns: column names in the paper's order.
        compete: "rows" if the cells of a column are ranked against each other, "columns" if those of a row.
        unit: unit of the numbers: mIoU in percent, or millions of trained parameters of SAM.
        cells: by (row, column).
        facts: texts of further columns by row, then by column name.
        notes: notes on the whole table.
        blocks: kind of each row; a rule is drawn between kinds.
    """

    key: str
    title: str
    corner: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    compete: Literal["rows", "columns"]
    unit: Literal["miou", "parameters"] = "miou"
    cells: Mapping[tuple[str, str], PaperCell]
    facts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    blocks: Mapping[str, str] = field(default_factory=dict)

    def prints(self, column: str) -> bool:
        """Whether a column has a published number, or a note in place of one."""
        return any(
            cell.published is not None or cell.note for cell in self.cells.values() if cell.column == column
        )

    def extended(self, cells: Sequence[PaperCell], block: str = "") -> PaperTable:
        """A copy with more cells.

        Args:
            cells: cells to add; their new rows and columns come last.
            block: kind of the new rows.
        """
        found = {**self.cells, **{(cell.row, cell.column): cell for cell in cells}}
        rows, columns = (tuple(dict.fromkeys(names)) for names in zip(*found, strict=True))
        blocks = {**self.blocks, **{row: block for row in rows if row not in self.rows}}
        return dataclasses.replace(self, rows=rows, columns=columns, cells=found, blocks=blocks)

    @property
    def is_figure(self) -> bool:
        """Whether it is a figure of the paper."""
        return self.key.startswith("figure")
