"""Scores of all found objects in a report: shown where a run has them, and nothing else changes."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from made_runs import AddRun

from aims.core.files import write_json
from aims.reports.report import write_report

pytestmark = pytest.mark.usefixtures("no_cost_figures")
OPTIONS = {"points_per_side": 32, "min_iou": 0.0}
COUNTS = {"instances": 3, "objects": 9, "images": 2}


def add_everything(folder: Path, mean: float, most: float, **changes: object) -> None:
    scores = {"ap": mean, "ap_50": mean, "ap_75": mean, "recall": most, **COUNTS}
    write_json(folder / "everything.json", {"run": folder.name, **OPTIONS, **scores, **changes})


def written(runs: Path, out: Path) -> dict[str, str]:
    result = write_report(runs, out)
    return {path.name: path.read_text() for path in result.written if path.suffix != ".png"}


def lines_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def made(runs: Path, add_run: AddRun) -> list[Path]:
    return [*(add_run(seed=seed) for seed in (0, 1)), add_run(0.125, method="scratch")]


def test_the_columns_are_there_where_a_run_has_them(runs, made, tmp_path):
    without = written(runs, tmp_path / "without")
    assert not any("everything" in text for text in without.values())
    add_everything(made[0], 0.1, 0.3)
    add_everything(made[1], 0.2, 0.5)
    found = written(runs, tmp_path / "with")
    for name in ("comparison.md", "comparison.tex", "index.html", "results.md"):
        text = found[name]
        parts = ("everything AP", "everything recall", "15.00", "40.00", "s means over IoU thresholds of 50")
        assert [part for part in parts if part not in text] == [], name
    for name in ("comparison.csv", "results.csv"):
        by_method = {line["method"]: line for line in lines_of(found[name])}
        assert by_method["simcmf"]["everything_ap"] == by_method["simcmf"]["everything_ap_50"] == "15.00"
        assert by_method["simcmf"]["everything_recall"] == "40.00"
        assert by_method["scratch"]["everything_ap"] == ""
        # What was there before is the same, and before it.
        assert found[name].splitlines()[0].startswith(without[name].splitlines()[0] + ",everything_ap")
    assert found["cost.csv"] == without["cost.csv"]
    result = write_report(runs, tmp_path / "json").as_json()
    assert [each.get("everything", {}).get("ap") for each in result["results"]] == [
        pytest.approx(0.15),
        None,
    ]
    (row, other) = result["comparisons"][0]["rows"]
    assert row["everything"]["recall"] == pytest.approx(0.4)
    assert "everything" not in other


def test_seeds_count_together_only_if_all_have_them_and_of_one_grid(runs, made, tmp_path):
    add_everything(made[0], 0.1, 0.3)
    one = written(runs, tmp_path / "one")
    assert "everything AP" not in one["comparison.md"]
    add_everything(made[1], 0.2, 0.5, points_per_side=16)
    assert "everything AP" not in written(runs, tmp_path / "two")["comparison.md"]


def test_rows_of_different_grids_are_said(runs, made, add_run, tmp_path):
    for run in made[:2]:
        add_everything(run, 0.1, 0.3)
    assert "different grids" not in written(runs, tmp_path / "one")["comparison.md"]
    add_everything(made[2], 0.1, 0.3, points_per_side=16)
    assert "found with different grids or thresholds" in written(runs, tmp_path / "two")["comparison.md"]


def test_several_modalities_are_averaged_where_all_have_them(runs, add_run, tmp_path):
    for modality, ap in (("nir", 0.1), ("thermal", 0.5)):
        add_everything(add_run(modality=modality), ap, ap)
    add_everything(add_run(0.3, modality="nir", method="linear"), 0.77, 0.77)
    add_run(0.3, modality="thermal", method="linear")
    text = written(runs, tmp_path / "out")["comparison.md"]
    assert "30.00" in text
    assert "77.00" not in text
    assert "the mean over" in text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ap": 2}, "not the scores of found objects: ap"),
        ({"run": "another"}, "of the run another, not of"),
        ({"recall": None}, "recall"),
    ],
)
def test_a_damaged_file_leaves_the_run_out_with_the_reason(runs, made, tmp_path, change, reason):
    add_everything(made[0], 0.1, 0.2, **change)
    (left,) = write_report(runs, tmp_path / "out").left_out
    assert left.folder == made[0].name
    assert reason in left.reason
    assert "`aims evaluate --everything` writes it again" in left.reason


def test_no_json(runs, made, tmp_path):
    (made[0] / "everything.json").write_text(json.dumps([1]))
    (left,) = write_report(runs, tmp_path / "out").left_out
    assert "everything.json" in left.reason
