"""The paper's Table 5: its training configuration next to that of our runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aims.reports.paper.published import PAPER_BACKBONE, PAPER_PROTOCOL, load_content
from aims.reports.runs.results import Result
from aims.reports.tables.latex import latex_text
from aims.reports.tables.markdown import markdown_lines, markdown_text
from aims.reports.tables.results_table import write_csv
from aims.reports.tables.table import text_table

_TITLE = "Table 5: training configuration"
_CAPTION = (
    "Published: printed in the SimCMF paper. Ours: what the protocol paper of this program does; batch size, "
    "epochs and learning rates are those of our runs with SAM ViT-B under it, and empty without any."
)
#: Settings that are no part of a run's configuration, fixed in `aims.engine.train` and `aims.engine.inputs`.
_FIXED = {
    "optimizer": "Adam, betas 0.9 0.999",
    "schedule": "every 10 epochs x 0.5",
    "augmentation": "resize to 1024 x 1024",
}


def table5_files(results: Sequence[Result]) -> dict[str, str]:
    """Contents of the files of Table 5 by name.

    Args:
        results: every finished run, pooled over seeds.
    """
    header, rows = ("name", "published", "ours"), _rows(results)
    table = text_table(
        _TITLE, ("", *header[1:]), rows, texts=3, caption=_CAPTION, label="tab:aims-table5", small=False
    )
    return {
        "table5.md": markdown_text(markdown_lines(table, "#")),
        "table5.csv": write_csv(header, (dict(zip(header, row, strict=True)) for row in rows)),
        "table5.tex": latex_text([table]),
    }


def _rows(results: Sequence[Result]) -> list[tuple[str, str, str]]:
    """(name, published, ours) of every line."""
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


def _values(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in sorted(set(values)))


def _printed(value: object) -> str:
    return ", ".join(f"{each:g}" for each in value) if isinstance(value, list) else str(value)
