"""How many training images scratch needs to reach another method's score, with made-up scores."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from made_runs import write_run
from scipy.optimize import isotonic_regression

from aims.reports.contents import ReportResult
from aims.reports.report import write_report
from aims.reports.statistics.label_efficiency import Measured, images_needed, images_to_reach, isotonic

GROUPS = 20
SIZES = (8, 32, 128)
#: Linear in the logarithm of the number of images: 0.3 is reached half-way from 8 to 32.
SCORES = (0.2, 0.4, 0.6)


def measured(
    images: float, score: float, seeds: tuple[float, ...] = (0.0,), groups: int = GROUPS
) -> Measured:
    """Every group has two instances of one score, to which each seed adds something."""
    sums = 2 * (score + np.tile(seeds, (groups, 1)))
    return Measured(images=images, sums=sums, counts=np.full(groups, 2.0))


def baseline(**rest: object) -> list[Measured]:
    return [measured(images, score, **rest) for images, score in zip(SIZES, SCORES, strict=True)]


def reach(scores: tuple[float, ...], target: float) -> float:
    return float(images_to_reach(np.array(SIZES), np.array([scores]), np.array([target]))[0])


class TestNumber:
    def test_isotonic_regression_is_scipys(self) -> None:
        rows = np.random.default_rng(0).random((50, 6))
        np.testing.assert_allclose(isotonic(rows), [isotonic_regression(row).x for row in rows])

    @pytest.mark.parametrize(
        ("target", "expected"),
        [(0.3, 16), (0.5, 64), (0.4, 32), (0.6, 128), (0.2, 8), (0.1, 8), (0.61, math.inf)],
    )
    def test_is_log_linear_between_what_was_measured(self, target: float, expected: float) -> None:
        assert reach(SCORES, target) == pytest.approx(expected)

    def test_of_a_curve_that_falls(self) -> None:
        """0.4 and 0.2 with 32 and 128 images become 0.3 with both."""
        assert reach((0.1, 0.4, 0.2), 0.2) == pytest.approx(16)
        assert reach((0.1, 0.4, 0.2), 0.41) == math.inf

    def test_a_measured_score_is_reached(self) -> None:
        """Also where the regression, 0.3 with 32 and 128 images or with all, lies below it."""
        assert reach((0.1, 0.4, 0.2), 0.31) == 32
        assert reach((0.5, 0.3, 0.1), 0.45) == 8


class TestInterval:
    def test_is_the_number_where_nothing_varies(self) -> None:
        needed = images_needed(baseline(), measured(8, 0.3))
        assert needed.images == pytest.approx(16)
        assert needed.interval == pytest.approx((16, 16))

    def test_a_single_group_has_none(self) -> None:
        assert images_needed(baseline(groups=1), measured(8, 0.3, groups=1)).interval is None

    def test_seeds_that_help_both_cancel_out(self) -> None:
        seeds = (-0.05, 0.0, 0.05)
        needed = images_needed(baseline(seeds=seeds), measured(8, 0.3, seeds=seeds))
        assert needed.interval == pytest.approx((16, 16))

    def test_seeds_of_one_method_widen_it(self) -> None:
        """The mean of three draws of -0.1, 0 and 0.1 is -0.1 with 1/27: beyond the tails of 2.5 %."""
        needed = images_needed(baseline(seeds=(0.0,) * 3), measured(8, 0.3, seeds=(-0.1, 0.0, 0.1)))
        assert needed.interval == pytest.approx((8, 32))

    def test_groups_of_test_images_widen_it(self) -> None:
        sums = measured(8, 0.59).sums.copy()
        sums[::2] += 0.2
        sums[1::2] -= 0.2
        needed = images_needed(baseline(), Measured(images=8, sums=sums, counts=np.full(GROUPS, 2.0)))
        assert needed.interval is not None
        low, high = needed.interval
        # 0.1 either way an instance, 0.1 / sqrt(20) of their mean: 0.547 to 0.633, above scratch's best.
        assert low == pytest.approx(32 * 4 ** ((0.547 - 0.4) / 0.2), rel=0.05)
        assert high == math.inf


def add(runs: Path, images: int, score: float, *, every: bool = False, **changes: object) -> None:
    """A run with so many training images; `every` if these are all."""
    record = {"images": {"train": images, "test": 2}}
    write_run(runs, score, record=record, train_images=None if every else images, **changes)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Scratch with 8, 32 and all 128 images, and longer trainings with the fewest."""
    (folder := tmp_path / "runs").mkdir()
    for images, score in zip(SIZES, SCORES, strict=True):
        add(folder, images, score, every=images == 128, method="scratch", epochs=320 // images)
    return folder


def report(runs: Path) -> ReportResult:
    return write_report(runs, runs.parent / "out")


class TestReport:
    def test_a_line_for_every_method(self, runs: Path) -> None:
        add(runs, 8, 0.3)
        add(runs, 32, 0.9)
        add(runs, 8, 0.7, method="linear")
        add(runs, 32, 0.15, method="random-embed")
        made = report(runs)
        found = {each.target.result.config.method: each for each in made.label_efficiency}
        assert {name: each.needed.images for name, each in found.items()} == {
            "simcmf": pytest.approx(16),
            "linear": math.inf,
            "random-embed": 8,
        }
        lines = (runs.parent / "out" / "label_efficiency.md").read_text().splitlines()
        curve = "8: 20.00, 32: 40.00, 128: 60.00"
        assert f"| ivrg-nir | nir | simcmf, lora | 8 | 30.00 | {curve} | 16 | [16, 16] |" in lines
        never = "not reached with 128"
        assert (
            f"| ivrg-nir | nir | linear, lora | 8 | 70.00 | {curve} | {never} | [{never}, {never}] |" in lines
        )
        most = "at most 8"
        assert (
            f"| ivrg-nir | nir | random-embed, lora | 32 | 15.00 | {curve} | {most} | [{most}, {most}] |"
            in lines
        )
        with (runs.parent / "out" / "label_efficiency.csv").open() as file:
            rows = {row["method"]: row for row in csv.DictReader(file)}
        assert (rows["simcmf"]["needed"], rows["simcmf"]["images"]) == ("16.0", "8")
        assert (rows["linear"]["needed"], rows["linear"]["most_images"]) == ("inf", "128")
        assert (runs.parent / "out" / "label_efficiency.tex") in made.written

    def test_of_several_lengths_of_training_validation_chooses(self, runs: Path) -> None:
        add(runs, 8, 0.4, epochs=10, val_miou=0.5)
        add(runs, 8, 0.3, epochs=20, val_miou=0.6)
        add(runs, 8, 0.6, epochs=30, val_miou=0.4)
        (each,) = report(runs).label_efficiency
        assert each.needed.images == pytest.approx(16)

    def test_lines_of_one_method_are_told_apart(self, runs: Path) -> None:
        for rate, epochs in ((3e-4, 10), (1e-3, 20)):
            add(runs, 8, 0.3, lr=rate, epochs=epochs)
        add(runs, 8, 0.3, method="linear")
        report(runs)
        lines = (runs.parent / "out" / "label_efficiency.md").read_text().splitlines()
        names = [line.split(" | ")[2] for line in lines if line.startswith("| ivrg-nir")]
        assert names == ["linear, lora", "simcmf, lora, lr 0.0003", "simcmf, lora, lr 0.001"]
        with (runs.parent / "out" / "label_efficiency.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["method"] == "simcmf"]
        assert [(row["lr"], row["epochs"]) for row in rows] == [("0.0003", "10"), ("0.001", "20")]

    def test_other_test_instances_are_not_compared(self, runs: Path) -> None:
        record = {"images": {"train": 8, "test": 2}}
        write_run(runs, {"image-1": [0.3], "image-3": [0.3]}, record=record, train_images=8)
        assert report(runs).label_efficiency == ()

    def test_no_file_where_scratch_has_one_number_of_images(self, tmp_path: Path) -> None:
        (runs := tmp_path / "runs").mkdir()
        add(runs, 8, 0.2, method="scratch")
        add(runs, 8, 0.3)
        add(runs, 32, 0.4)
        assert report(runs).label_efficiency == ()
        assert not list((tmp_path / "out").glob("label_efficiency*"))
