"""The description of a printed table; `aims.report.tables.markdown` and `.latex` render it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Format:
    """How the parts of a cell are written.

    Attributes:
        escape: makes a name mean itself.
        prose: the same for sentences, which may hold the marks of verdicts.
        ranks: by the rank of a score, a pattern with `%s` for it.
        mark: a verdict's mark behind a score.
        footnote: the letter of a footnote behind a number.
        stack: several lines in one cell.
        is_latex: whether it is LaTeX; else Markdown.
    """

    escape: Callable[[str], str]
    prose: Callable[[str], str]
    ranks: Mapping[str, str]
    mark: Callable[[str], str]
    footnote: Callable[[str], str]
    stack: Callable[[list[str]], str]
    is_latex: bool


@dataclass(frozen=True, kw_only=True)
class LayoutRow:
    """One row.

    Attributes:
        label: in front, in the table's format.
        cells: likewise.
        block: where it changes from one row to the next, LaTeX draws a rule.
    """

    label: str
    cells: Sequence[str]
    block: object = None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A table that is ready to be rendered in one format.

    Attributes:
        title: heading, in plain text.
        caption: what a reader must know, in plain text; in LaTeX the title stands in it.
        label: what LaTeX refers to.
        corner: heading of the labels, in the table's format.
        columns: headings of single columns behind the labels, likewise.
        groups: behind these, a name and the headings of the columns below it, likewise.
        rows: the rows.
        footnotes: letters by their text, in plain text.
        notes: sentences below the table, in plain text.
        left: how many columns of Markdown stand to the left.
        align: LaTeX's columns; by default all but the labels to the right.
        small: whether LaTeX sets it in small type.
    """

    title: str
    caption: str
    label: str = ""
    corner: str
    columns: Sequence[str] = ()
    groups: Sequence[tuple[str, Sequence[str]]] = ()
    rows: Sequence[LayoutRow]
    footnotes: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    left: int = 1
    align: str = ""
    small: bool = True
