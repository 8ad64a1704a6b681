"""Training curves: as many as can be told apart."""

import json
from pathlib import Path

import pytest
from made_runs import AddRun

from aims.core.records import METRICS
from aims.report.build import build_comparisons
from aims.report.curves import COLOURS, draw_curves
from aims.report.results import pool_seeds
from aims.report.runs import load_runs

STYLES = 3 * len(COLOURS)


@pytest.mark.parametrize("settings", [STYLES, STYLES + 1])
def test_no_two_curves_look_alike(runs: Path, add_run: AddRun, settings: int) -> None:
    for k in range(1, settings + 1):
        path = add_run(k / 100, lr=(100 + k) / 1000)
        (path / METRICS).write_text(json.dumps({"epoch": 1, "loss": 1.0, "val_miou": k / 100}) + "\n")
    (table,) = build_comparisons(pool_seeds(load_runs(runs)[0])[0])

    (curves,) = draw_curves(table)

    note = f"the first {STYLES} rows of the table"
    assert (note in curves.svg, note in curves.alt) == (settings > STYLES, settings > STYLES)
    assert curves.alt.count("simcmf, lora, lr ") == STYLES
    # The best are first: the worst is left out.
    assert ("lr 0.101" in curves.alt) == (settings == STYLES)
    assert f"lr {(100 + settings) / 1000:g}" in curves.alt


def test_long_curves_are_drawn_without_a_warning(runs: Path, add_run: AddRun) -> None:
    lines = [{"epoch": epoch, "loss": 1 / epoch, "val_miou": 0.5} for epoch in range(1, 51)]
    (add_run() / METRICS).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (table,) = build_comparisons(pool_seeds(load_runs(runs)[0])[0])

    (curves,) = draw_curves(table)

    # As long as the paper's; warnings are errors here.
    assert "simcmf, lora" in curves.svg
