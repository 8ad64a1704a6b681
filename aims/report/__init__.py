"""Tables of the runs: beside the paper's numbers, and every method beside every sensor."""

from aims.report.comparison import MEAN, Comparison
from aims.report.comparison_words import comparison_title, counts, score_lines
from aims.report.page import NEXT_STEPS
from aims.report.report import ReportResult, write_report
from aims.report.table1 import Section
from aims.report.wording import caption, cell_lines, plain_rows, title

__all__ = [
    "MEAN",
    "NEXT_STEPS",
    "Comparison",
    "ReportResult",
    "Section",
    "caption",
    "cell_lines",
    "comparison_title",
    "counts",
    "plain_rows",
    "score_lines",
    "title",
    "write_report",
]
