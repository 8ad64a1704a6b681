"""Tables of the runs: beside the paper's numbers, and every method beside every sensor."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aims.report.page.page import NEXT_STEPS
    from aims.report.report import ReportResult, write_report
    from aims.report.tables.captions import caption, cell_lines, plain_rows, title
    from aims.report.tables.comparison import MEAN, Comparison, ComparisonRow
    from aims.report.tables.comparison_words import (
        comparison_title,
        counts,
        large_note,
        large_text,
        marks_note,
        score_lines,
        seeds_text,
    )
    from aims.report.tables.table1 import Section

__all__ = [
    "MEAN",
    "NEXT_STEPS",
    "Comparison",
    "ComparisonRow",
    "ReportResult",
    "Section",
    "caption",
    "cell_lines",
    "comparison_title",
    "counts",
    "large_note",
    "large_text",
    "marks_note",
    "plain_rows",
    "score_lines",
    "seeds_text",
    "title",
    "write_report",
]

_HOMES = {
    "MEAN": "tables.comparison",
    "NEXT_STEPS": "page.page",
    "Comparison": "tables.comparison",
    "ComparisonRow": "tables.comparison",
    "ReportResult": "report",
    "Section": "tables.table1",
    "caption": "tables.captions",
    "cell_lines": "tables.captions",
    "comparison_title": "tables.comparison_words",
    "counts": "tables.comparison_words",
    "large_note": "tables.comparison_words",
    "large_text": "tables.comparison_words",
    "marks_note": "tables.comparison_words",
    "plain_rows": "tables.captions",
    "score_lines": "tables.comparison_words",
    "seeds_text": "tables.comparison_words",
    "title": "tables.captions",
    "write_report": "report",
}


def __getattr__(name: str) -> Any:
    """Imports what is asked for: a process that reads runs needs neither matplotlib nor pandas."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
