"""Training curves: what is read of runs, and which rows the page draws them of."""

import json
from pathlib import Path

import pytest
from made_runs import AddRun

from aims.core.records import METRICS
from aims.reports.comparison.build import build_comparisons
from aims.reports.page.details import Details
from aims.reports.runs.curves import read_curves, read_metrics
from aims.reports.runs.load import load_runs
from aims.reports.runs.results import pool_seeds


def write(run: Path, *lines: object) -> None:
    (run / METRICS).write_text("".join(f"{json.dumps(line)}\n" for line in lines))


@pytest.mark.parametrize(
    ("text", "epochs"),
    [
        ("", []),
        ('{"epoch": 1, "loss": 0.5}\n{"epoch": 2, "lo', [1]),
        ('{"epoch": 1}\n[]\n{"epoch": 3}\n', [1]),
        ('{"epoch": 1}\n{"epoch": "2"}\n{"epoch": 3}\n', [1]),
        ("[" * 100_000, []),
        ('{"epoch": 1}\n' + "[" * 100_000, [1]),
        ('{"epoch": 1}\n\n{"epoch": 2}\n', [1, 2]),
    ],
)
def test_damaged_curves_end_where_they_are_damaged(tmp_path: Path, text: str, epochs: list[int]) -> None:
    assert read_metrics(tmp_path, 200) == []
    (tmp_path / METRICS).write_text(text)
    assert [line.epoch for line in read_metrics(tmp_path, 200)] == epochs
    (tmp_path / METRICS).write_bytes(b"\xff" + text.encode())
    assert read_metrics(tmp_path, 200) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, "0.5", [1], 1.5])
def test_curves_end_where_a_score_is_none(tmp_path: Path, value: object) -> None:
    lines = [{"epoch": k, "loss": 1 / k, "val_miou": one} for k, one in enumerate([None, 0.123456, value], 1)]
    write(tmp_path, *lines, {"epoch": 4, "loss": 1})
    # In percent, to four digits.
    assert read_curves(tmp_path, 200) == [([1, 2], [1, 0.5]), ([2], [12.35])]


def test_every_row_with_curves_is_drawn_with_all_its_seeds(runs: Path, add_run: AddRun) -> None:
    for seed in (0, 1):
        write(add_run(0.5, seed=seed), {"epoch": 1, "loss": seed})
    write(add_run(0.4, method="linear"), {"epoch": 1, "loss": 1.0, "val_miou": 0.5})
    add_run(0.3, method="mlp")
    loaded, _ = load_runs(runs)
    tables = [*build_comparisons(pool_seeds(loaded)[0])]

    details = Details(tables)

    ((first, one), (second, other)) = details.trained(0, "nir")
    assert [tables[0].rows[place].label for place in (first, second)] == ["simcmf, lora", "linear, lora"]
    assert {seed: curves[0] for seed, curves in details.curves[one].items()} == {
        0: ([1], [0.0]),
        1: ([1], [1.0]),
    }
    assert details.curves[other][0] == [([1], [1.0]), ([1], [50.0])]
    assert len(details.curves) == 2
