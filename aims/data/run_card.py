"""The Hugging Face model card of a run."""

from __future__ import annotations

from aims.core.records import RunRecord
from aims.data.templates import render_template


def run_card(record: RunRecord, license: str) -> str:
    """Writes README.md for a run on the Hub.

    Args:
        record: the run.
        license: licence of its dataset, in words.
    """
    return render_template("run_card.md.j2", record=record, config=record.config, license=license)
