"""The paper's Table 5, its training configuration, beside that of our runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aims.report.runs.results import Result
from aims.report.tables.latex import escape_latex
from aims.report.tables.published import PAPER_BACKBONE, PAPER_PROTOCOL, load_content
from aims.report.tables.render import escape_markdown, markdown_table, write_csv

_TITLE = "Table 5: training configuration"
_CAPTION = (
    "Published: printed in the SimCMF paper. Ours: what the protocol paper of this program does; batch size, "
    "epochs and learning rates are those of our runs with SAM ViT-B under it, and empty without any."
)
#: What no run configuration can change (`aims.engine.train`, `aims.engine.inputs`).
_FIXED = {
    "optimizer": "Adam, betas 0.9 0.999",
    "schedule": "every 10 epochs x 0.5",
    "augmentation": "resize to 1024 x 1024",
}


def table5_rows(results: Sequence[Result]) -> list[tuple[str, str, str]]:
    """Name, published and ours of every line.

    Args:
        results: every finished run, grouped over seeds.
    """
    configs = [
        result.config
        for result in results
        if (result.config.protocol, result.config.backbone) == (PAPER_PROTOCOL, PAPER_BACKBONE)
        and result.config.epochs
    ]
    ours = {
        "batch_size": _values(config.batch_size for config in configs),
        "epochs": _values(config.epochs for config in configs),
        "learning_rates": _values(config.lr for config in configs),
        **_FIXED,
    }
    return [
        (name.replace("_", " "), _printed(value), ours[name])
        for name, value in load_content()["table5"].items()
    ]


def table5_markdown(results: Sequence[Result]) -> str:
    """In Markdown."""
    rows = [list(map(escape_markdown, row)) for row in table5_rows(results)]
    table = markdown_table(["", "published", "ours"], rows, left=3)
    return "\n".join([f"# {_TITLE}", "", _CAPTION, "", *table]) + "\n"


def table5_csv(results: Sequence[Result]) -> str:
    """As CSV."""
    fields = ("name", "published", "ours")
    return write_csv(fields, (dict(zip(fields, row, strict=True)) for row in table5_rows(results)))


def table5_latex(results: Sequence[Result]) -> str:
    """In LaTeX; needs booktabs alone."""
    body = [f"    {' & '.join(map(escape_latex, row))} \\\\" for row in table5_rows(results)]
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escape_latex(f'{_TITLE}. {_CAPTION}')}}}",
        r"  \label{tab:aims-table5}",
        r"  \begin{tabular}{lll}",
        r"    \toprule",
        r"    & published & ours \\",
        r"    \midrule",
        *body,
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _values(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in sorted(set(values)))


def _printed(value: object) -> str:
    return ", ".join(f"{each:g}" for each in value) if isinstance(value, list) else str(value)
