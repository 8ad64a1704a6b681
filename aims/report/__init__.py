"""Tables of the runs: beside the paper's numbers, and every method beside every sensor."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aims.report.comparison import MEAN, Comparison, ComparisonRow
    from aims.report.comparison_words import (
        comparison_title,
        counts,
        large_note,
        large_text,
        marks_note,
        score_lines,
        seeds_text,
    )
    from aims.report.page import NEXT_STEPS
    from aims.report.report import ReportResult, write_report
    from aims.report.table1 import Section
    from aims.report.wording import caption, cell_lines, plain_rows, title

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
    "MEAN": "comparison",
    "NEXT_STEPS": "page",
    "Comparison": "comparison",
    "ComparisonRow": "comparison",
    "ReportResult": "report",
    "Section": "table1",
    "caption": "wording",
    "cell_lines": "wording",
    "comparison_title": "comparison_words",
    "counts": "comparison_words",
    "large_note": "comparison_words",
    "large_text": "comparison_words",
    "marks_note": "comparison_words",
    "plain_rows": "wording",
    "score_lines": "comparison_words",
    "seeds_text": "comparison_words",
    "title": "wording",
    "write_report": "report",
}


def __getattr__(name: str) -> Any:
    """Imports what is asked for: a process that reads runs needs neither matplotlib nor pandas."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
