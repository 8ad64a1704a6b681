"""Every row says how well its runs are checked, and marks what their maker alone says."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from made_runs import HARDWARE, AddRun, parameters

from aims.core.checks import MEASURED, SELECTION, Check, keep_check
from aims.reports.contents import ReportResult
from aims.reports.report import write_report

pytestmark = pytest.mark.usefixtures("no_cost_figures")

MADE = {"parameters": parameters(755_206), "hardware": HARDWARE, "seconds": 90.0}


@pytest.fixture
def report(runs: Path, tmp_path: Path, add_run: AddRun) -> ReportResult:
    """One own run, one that was checked against the dataset, and two seeds of which one was not checked."""
    own = add_run(record=MADE, val_miou=0.4)
    checked = add_run(0.4, method="linear", record=MADE, val_miou=0.3)
    add_run(0.3, method="mlp", record=MADE, val_miou=0.2)
    again = add_run(0.3, method="mlp", record=MADE, val_miou=0.2, seed=1)
    keep_check(own, Check(level="own run"))
    keep_check(checked, Check(level="dataset", not_checked=(*MEASURED, SELECTION)))
    keep_check(again, Check(level="rerun", not_checked=MEASURED))
    return write_report(runs, tmp_path / "out")


CSV = ("results", "comparison", "cost")
LEVELS = {"simcmf": "own run", "linear": "dataset", "mlp": "files"}


def test_every_form_says_the_level_of_every_row(report: ReportResult) -> None:
    files = {path.name: path.read_text("utf-8") for path in report.written if path.suffix != ".png"}
    # Table 1 has no column for the other methods.
    for name, methods in (*((f"{name}.csv", LEVELS) for name in CSV), ("table1.csv", ("simcmf",))):
        lines = [line for line in csv.DictReader(files[name].splitlines()) if line["miou"]]
        found = {line["method"]: line["check"] for line in lines}
        assert found == {method: LEVELS[method] for method in methods}, name
    for method, level in LEVELS.items():
        row = next(line for line in files["comparison.md"].splitlines() if line.startswith(f"| {method}, "))
        assert f"| {level} |" in row
        row = next(line for line in files["results.md"].splitlines() if f"| {method} |" in line)
        assert row.rstrip().endswith(f"| {level} |")
        row = next(line for line in files["comparison.tex"].splitlines() if f"{method}, lora &" in line)
        assert f"& {level} \\\\" in row
        row = files["index.html"].partition(f'<th scope="row">{method}, ')[2].partition("</tr>")[0]
        assert f">{level}</td>" in row
    for text in (files["comparison.md"], files["comparison.tex"], files["index.html"], files["results.md"]):
        assert "Check: files, the score is the mean over its own instances; dataset, every score" in text
    found = json.loads(json.dumps(report.as_json()))
    assert {row["method"]: row["check"] for row in found["comparisons"][0]["rows"]} == LEVELS
    assert {item["method"]: item["check"] for item in found["results"]} == LEVELS


def test_what_is_not_checked_is_marked(report: ReportResult) -> None:
    (table,) = report.comparisons
    trained = {row.method: row.costs.not_checked.split() for row in table.rows}
    assert trained["simcmf"] == []
    assert trained["linear"] == [*MEASURED, SELECTION]
    assert {"trained_parameters", "seconds", SELECTION} <= {*trained["mlp"]}
    text = next(path for path in report.written if path.name == "comparison.md").read_text("utf-8")
    rows = {
        method: next(line for line in text.splitlines() if line.startswith(f"| {method}, "))
        for method in LEVELS
    }
    assert "| 755 k |  | 90.0 |" in rows["simcmf"]
    assert "| 755 k |  | 90.0 ? |" in rows["linear"]
    assert "| 755 k ? |  | 90.0 ? |" in rows["mlp"]
    assert "?: not checked" in text
    results = next(path for path in report.written if path.name == "results.md").read_text("utf-8")
    assert "| 30.00 ? |" in results
    assert "| 40.00 |" in results
