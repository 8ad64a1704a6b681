"""`aims report` in terminals of two widths: no number is broken, and the marks are explained."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from made_runs import AddRun
from rich.console import Console

from aims.cli.report import command

SENSORS = ("thermal", "depth", "hha", "nir", "polarization")


def printed(runs: Path, width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    text = io.StringIO()
    console = Console(file=text, width=width, highlight=False, soft_wrap=True)
    monkeypatch.setattr("aims.cli.report.out", console)
    result = CliRunner().invoke(
        command, ["--runs", str(runs), "--out", str(runs.parent / "out")], catch_exceptions=False
    )
    assert result.exit_code == 0
    return text.getvalue()


@pytest.mark.parametrize("width", [60, 120])
def test_a_wide_table_is_laid_out_in_parts(
    runs: Path, add_run: AddRun, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    generator = np.random.default_rng(0)
    for modality in SENSORS:
        for method, mean in (("simcmf", 0.6), ("linear", 0.6), ("random-embed", 0.2)):
            ious = mean + generator.uniform(-0.1, 0.1, 12)
            scored = {f"image-{k}": [iou] for k, iou in enumerate(ious)}
            # The paper's datasets have its Table 1, too.
            add_run(scored, method=method, modality=modality, dataset="rooms")
    text = printed(runs, width, monkeypatch)

    tables = text.split("mIoU, %")[1:]
    assert len(tables) == (3 if width == 60 else 1)
    for table in tables:
        # Each part has the names of all rows.
        assert table.count("random-embed") == 1
    # The mean over five sensors of three rows, and seeds: numbers with both decimals.
    scores = [line for table in tables for line in table.splitlines() if line.startswith("simcmf")]
    assert len(re.findall(r"\d\d\.\d\d\b", " ".join(scores))) == len(SENSORS) + 1
    assert "No mark: separable from the best (p below 0.05)." in text
    assert "≈: not separable from the best." in text
    assert "The tests behind the marks: comparison.md, paired.csv and the page." in text
    assert max(map(len, "".join(tables).split("No mark")[0].splitlines())) <= width


@pytest.mark.parametrize("width", [60, 120])
def test_too_few_images_are_named(
    runs: Path, add_run: AddRun, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    add_run()
    add_run({"image-1": [0.1, 0.1], "image-2": [0.1]}, method="linear")
    text = printed(runs, width, monkeypatch)
    assert "10.00 n<6" in text
    assert "n<6: too few images to test (2 here; it takes 6 for a p below 0.05)." in text


def test_images_computed_at_once_stand_beside_a_run(
    runs: Path, add_run: AddRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of batches of four: two runs as always, alone and in a team of two, and one whose memory lacked."""
    add_run(record={"micro_batch": 4, "processes": 1})
    add_run(record={"micro_batch": 2, "processes": 2}, seed=1)
    printed(runs, 120, monkeypatch)
    page = runs.parent / "out" / "index.html"
    assert "<td>2 of 4</td>" not in page.read_text("utf-8")
    add_run(record={"micro_batch": 2, "processes": 1}, seed=2)
    printed(runs, 120, monkeypatch)
    assert page.read_text("utf-8").count("<td>2 of 4</td>") == 1
