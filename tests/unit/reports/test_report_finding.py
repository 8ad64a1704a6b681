"""The sentence on a table says what the tests of all pairs of rows say, and no more; styles of rows."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from made_runs import AddRun

from aims.reports.comparison import pairs as pairs_module
from aims.reports.comparison.build import build_comparisons
from aims.reports.comparison.finding import Finding, find
from aims.reports.comparison.pairs import find_rivals, pair_tests
from aims.reports.comparison.table import Comparison
from aims.reports.figures.row_styles import RowStyles
from aims.reports.figures.style import METHOD_COLOURS
from aims.reports.page.board import board
from aims.reports.runs.load import load_runs
from aims.reports.runs.results import pool_seeds
from aims.reports.statistics.paired import compare, holm

NBSP = "\u00a0"


def scored(mean: float, images: int = 40, noise: int = 0) -> dict[str, list[float]]:
    """One instance an image, of IoU around a mean; equal `noise` gives equal deviations."""
    found = mean + 0.04 * np.random.default_rng(noise).standard_normal(images)
    return {f"image-{k:02}": [float(iou)] for k, iou in enumerate(found - found.mean() + mean)}


def table_of(runs: Path) -> Comparison:
    (table,) = build_comparisons(pool_seeds(load_runs(runs)[0])[0])
    return table


def found(runs: Path) -> Finding:
    table = table_of(runs)
    finding = find(table, table.main_column, pair_tests(find_rivals(table))[table.main_column])
    assert finding is not None
    return finding


def test_two_that_cannot_be_told_apart_and_the_disc(runs: Path, add_run: AddRun) -> None:
    add_run(scored(0.340))
    add_run(scored(0.341, noise=1), method="linear")
    add_run(scored(0.300, noise=2), method="mlp")
    add_run(scored(0.272, noise=3), method="disc")
    finding = found(runs)
    assert finding.text == (
        "On nir, linear (lora) 34.1 and simcmf (lora) 34.0 cannot be told apart; both are 6.8 to 6.9 above "
        f"the disc (27.2) (p{NBSP}<{NBSP}0.001)."
    )
    assert finding.basis == (
        "mIoU in percent. Paired sign-flip tests over 40 test images; p is Holm's, corrected for all 6 pairs "
        "of rows, at the level 0.05; marks in the table are of each pair alone; one seed a row."
    )


@pytest.mark.parametrize(
    ("scores", "text"),
    [
        (
            {"simcmf": 0.4, "linear": 0.3, "disc": 0.2},
            "On nir, simcmf (lora) 40.0 is the highest, 10.0 ahead of linear (lora) 30.0 (p < 0.001); simcmf "
            "(lora) is 20.0 above the disc (20.0) (p < 0.001).",
        ),
        (
            {"simcmf": 0.4, "linear": 0.3},
            "On nir, simcmf (lora) 40.0 is the highest, 10.0 ahead of linear (lora) 30.0 (p < 0.001).",
        ),
        (
            {"simcmf": 0.4, "disc": 0.5},
            "On nir, simcmf (lora) 40.0 is the only method; simcmf (lora) is 10.0 below the disc (50.0) "
            "(p < 0.001).",
        ),
        (
            {"simcmf": 0.4, "disc": 0.401},
            "On nir, simcmf (lora) 40.0 is the only method; simcmf (lora) cannot be told apart from the disc "
            "(40.1).",
        ),
        (
            {"simcmf": 0.404, "linear": 0.403, "mlp": 0.402, "transformer": 0.401, "channel-batch": 0.4},
            "On nir, simcmf (lora) 40.4 is the highest, but linear (lora) 40.3, mlp (lora) 40.2, transformer "
            "(lora) 40.1 and 1 more cannot be told apart from it.",
        ),
    ],
)
def test_sentences(runs: Path, add_run: AddRun, scores: dict[str, float], text: str) -> None:
    for noise, (method, mean) in enumerate(scores.items()):
        add_run(scored(mean, noise=noise), method=method)
    assert found(runs).text.replace(NBSP, " ") == text


def test_leaders_that_stand_otherwise_to_the_disc_are_counted(runs: Path, add_run: AddRun) -> None:
    # Equal deviations differ by the same on every image, others by chance.
    add_run(scored(0.405, noise=1))
    add_run(scored(0.404, noise=5), method="linear")
    add_run(scored(0.400, noise=5), method="disc")
    assert found(runs).text.replace(NBSP, " ") == (
        "On nir, simcmf (lora) 40.5 and linear (lora) 40.4 cannot be told apart; of these 2, 1 is above and "
        "1 is not separable from the disc (40.0) (p < 0.001)."
    )


def test_rows_of_other_instances_are_not_compared(runs: Path, add_run: AddRun) -> None:
    add_run(scored(0.5))
    add_run(scored(0.4, images=39), method="linear")
    finding = found(runs)
    assert finding.text == (
        "On nir, simcmf (lora) 50.0 is the highest; linear (lora) 40.0 was not tested against it."
    )
    assert finding.basis == "mIoU in percent; these rows were not tested against each other."


def test_too_few_images_claim_nothing(runs: Path, add_run: AddRun) -> None:
    # One pair of 7 images can have p = 2 / 2^7 = 0.016; times three pairs that is 0.047, times six 0.09.
    for noise, method in enumerate(("simcmf", "linear", "mlp")):
        add_run(scored(0.5 - noise / 10, images=7), method=method)
    assert "ahead of" in found(runs).text
    add_run(scored(0.1, images=7), method="disc")
    assert found(runs).text == (
        "On nir, simcmf (lora) 50.0 is the highest of 3, but 7 test images are too few to tell any two rows "
        "apart with the correction for 6 pairs."
    )


def test_so_few_images_that_no_pair_can_be_told_apart(runs: Path, add_run: AddRun) -> None:
    for noise, method in enumerate(("simcmf", "linear")):
        add_run(scored(0.5 - noise / 10, images=5), method=method)
    assert found(runs).text == (
        "On nir, simcmf (lora) 50.0 is the highest of 2, but 5 test images are too few to tell any two rows "
        "apart."
    )


def test_conditions_stand_before_all_else(runs: Path, add_run: AddRun) -> None:
    add_run(scored(0.5), method="scratch", limit=20)
    add_run(scored(0.3), method="disc", limit=20)
    assert found(runs).text.startswith(
        "With 20 images of each split, on nir, scratch (full) 50.0 is the only method"
    )
    add_run(scored(0.5), weights="random", tuning="full", limit=20)
    assert found(runs).text.startswith("From random weights, with 20 images of each split, on nir, ")


def test_floors_alone_have_no_finding(runs: Path, add_run: AddRun) -> None:
    add_run(0.5, method="disc")
    table = table_of(runs)
    assert find(table, "nir", pair_tests(find_rivals(table))["nir"]) is None


def test_every_pair_is_tested_and_corrected_for_all(
    runs: Path, add_run: AddRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = ("simcmf", "linear", "mlp", "transformer", "disc")
    for noise, method in enumerate(methods):
        add_run(scored(0.4 + noise / 300, noise=noise), method=method)
    table = table_of(runs)
    tests = pair_tests(find_rivals(table))["nir"]
    assert list(tests) == [*combinations(range(5), 2)]
    samples = [row.cells["nir"].sample for row in table.rows]
    alone = compare([(samples[a], samples[b]) for a, b in tests if samples[a] and samples[b]])
    assert [test.p for test in tests.values()] == [test.p for test in alone if test]
    adjusted = holm(np.array([test.p for test in tests.values()]))
    assert [test.p_holm for test in tests.values()] == pytest.approx(adjusted.tolist())
    # Of many rows the highest are tested; the correction is for all.
    monkeypatch.setattr(pairs_module, "MOST_ROWS", 2)
    fewer = pair_tests(find_rivals(table))["nir"]
    assert list(fewer) == [(0, 1), (0, 2), (1, 2)]
    padded = holm(np.array([*(test.p for test in fewer.values()), *[1.0] * 7]))
    assert [test.p_holm for test in fewer.values()] == pytest.approx(padded[:3].tolist())


def test_a_single_image_gives_the_page_a_difference_without_an_interval(runs: Path, add_run: AddRun) -> None:
    add_run({"image-1": [0.2, 0.4]})
    add_run({"image-1": [0.3, 0.9]}, method="linear")
    table = table_of(runs)
    drawn = board(table, 1, pair_tests(find_rivals(table)), RowStyles([table]))
    ((*_, value, low, high, _, _, verdict),) = drawn["pairs"]["nir"]
    assert (value, low, high, verdict) == (30.0, None, None, "too few images to test")


def linear(colour: str) -> np.ndarray:
    parts = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


# G. M. Machado and others, A physiologically-based model for simulation of color vision deficiency, 2009.
BLINDNESS = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
    "none": np.eye(3).tolist(),
}


def oklab(rgb: np.ndarray) -> np.ndarray:
    """B. Ottosson, A perceptual color space for image processing, 2020."""
    to_cones = [
        [0.41222147, 0.53633254, 0.05144599],
        [0.2119035, 0.68069955, 0.10739696],
        [0.08830246, 0.28171884, 0.62997870],
    ]
    to_lab = [
        [0.21045426, 0.79361779, -0.00407205],
        [1.97799850, -2.42859221, 0.45059371],
        [0.02590404, 0.78277177, -0.80867577],
    ]
    return np.array(to_lab) @ np.cbrt(np.clip(np.array(to_cones) @ rgb, 0, None))


@pytest.mark.parametrize("kind", BLINDNESS)
def test_colours_of_methods_are_apart(kind: str) -> None:
    seen = [oklab(np.clip(np.array(BLINDNESS[kind]) @ linear(colour), 0, 1)) for colour in METHOD_COLOURS]
    # Okabe and Ito's palette, which is made for this, has 0.076 for deuteranopia.
    assert min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2)) > 0.09


@pytest.mark.parametrize("ground", ["#ffffff", "#171a20"])
@pytest.mark.parametrize("colour", METHOD_COLOURS)
def test_colours_of_methods_are_readable_on_light_and_dark(colour: str, ground: str) -> None:
    # The contrast of WCAG 2; 3 is its least for graphics.
    one, other = sorted(float(linear(each) @ [0.2126, 0.7152, 0.0722]) + 0.05 for each in (colour, ground))
    assert other / one >= 3


def test_a_method_has_one_colour_and_a_tuning_one_marker(runs: Path, add_run: AddRun) -> None:
    add_run(0.5)
    add_run(0.5, tuning="full")
    add_run(0.5, method="linear")
    add_run(0.5, method="own")
    add_run(0.5, method="disc")
    table = table_of(runs)
    styles = {row.label: RowStyles([table])(row) for row in table.rows}
    assert styles["simcmf, lora"].colour == styles["simcmf, full"].colour
    assert styles["simcmf, lora"].marker == styles["linear, lora"].marker != styles["simcmf, full"].marker
    assert len({style.colour for style in styles.values()}) == 4
    assert [style.hollow for label, style in styles.items() if label == "disc"] == [True]


def test_colours_that_repeat_are_hollow(runs: Path, add_run: AddRun) -> None:
    names = ["simcmf", *(f"own-{k}" for k in range(9))]
    for name in names:
        add_run(0.5, method=name)
    table = table_of(runs)
    styles = [RowStyles([table])(row) for row in table.rows]
    assert len({(style.colour, style.hollow) for style in styles}) == 10
    assert sum(style.hollow for style in styles) == 2
