"""Tables of the runs beside the paper's numbers."""

from aims.report.report import ReportResult, write_report
from aims.report.wording import caption, cell_lines, plain_rows, title

__all__ = ["ReportResult", "caption", "cell_lines", "plain_rows", "title", "write_report"]
