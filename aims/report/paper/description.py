"""What is described of a table or a figure of the paper: its cells, and which runs would make them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from aims.core.config import RunConfig
from aims.core.vocabulary import MODALITIES


@dataclass(frozen=True, kw_only=True)
class RunQuery:
    """The runs that make a cell; where several fit, the protocol's rule chooses among them.

    Attributes:
        method: name in the registry.
        modality: name of the modality.
        dataset: name of the dataset; empty for the paper's of this modality.
        fingerprint: of the dataset's content; empty for any.
        tuning: name in the registry; None for whichever is best.
        options: changed options, by name; runs with others do not fit.
        lr: learning rate; None for whichever is best.
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
        """Name of the dataset."""
        return self.dataset or MODALITIES[self.modality].datasets[0]

    def is_of(self, config: RunConfig) -> bool:
        """Whether a run is of this dataset and modality."""
        return (config.dataset, config.modality) == (self.place, self.modality)

    def fits(self, config: RunConfig) -> bool:
        """Whether a run is one of those."""
        return (
            self.is_of(config)
            and config.method == self.method
            and self.fingerprint in ("", config.fingerprint)
            and self.tuning in (None, config.tuning)
            and dict(config.options) == dict(self.options)
            and self.lr in (None, config.lr)
            and (self.any_images or config.train_images is None)
            and config.init is None
        )

    @property
    def command(self) -> str:
        """The command that makes it under the paper's protocol."""
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
        row: where it stands.
        column: likewise.
        published: as printed; None where the paper prints none.
        query: what makes it; None for the mean of its column.
        command: the command that does; empty where the paper has no such cell.
        note: what a reader must know about the printed number.
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
        title: what it shows.
        corner: what the rows are.
        rows: names in the paper's order.
        columns: likewise.
        compete: whether its rows or its columns are rivals, of which the best is marked.
        unit: of the numbers: mIoU in percent, or millions of trained parameters of SAM.
        cells: by row and column.
        facts: further columns with printed texts, by row.
        notes: about the whole.
        blocks: what kind a row is, where there are several.
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
        """Whether the paper has a number in a column."""
        return any(
            cell.published is not None or cell.note for cell in self.cells.values() if cell.column == column
        )

    def extended(self, cells: Sequence[PaperCell], block: str = "") -> PaperTable:
        """The table with more cells.

        Args:
            cells: of further rows and columns.
            block: what kind the further rows are.
        """
        found = {**self.cells, **{(cell.row, cell.column): cell for cell in cells}}
        rows, columns = (tuple(dict.fromkeys(names)) for names in zip(*found, strict=True))
        blocks = {**self.blocks, **{row: block for row in rows if row not in self.rows}}
        return dataclasses.replace(self, rows=rows, columns=columns, cells=found, blocks=blocks)

    @property
    def is_figure(self) -> bool:
        """Whether the paper has it as a figure."""
        return self.key.startswith("figure")
