"""The comparison tables: which results share one, what is best, tied, below the floor, and tested."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import SHA, AddRun, write_run

from aims.core.errors import InputError
from aims.reports.comparison.build import build_comparisons
from aims.reports.comparison.captions import comparison_title, counts
from aims.reports.comparison.descriptions import comparison_markdown
from aims.reports.comparison.table import MEAN, Comparison, comparison_json
from aims.reports.report import write_report
from aims.reports.runs.load import load_runs
from aims.reports.runs.results import pool_seeds
from aims.reports.statistics.paired import Verdict
from aims.reports.tables.results_table import results_markdown

pytestmark = pytest.mark.usefixtures("no_cost_figures")

IMAGES = 20


def scores(mean: float, spread: float = 0.0, seed: int = 0) -> dict[str, list[float]]:
    """Two instances in each of twenty images, around a mean."""
    noise = np.random.default_rng(seed).uniform(-spread, spread, (IMAGES, 2))
    noise -= noise.mean()
    return {f"image-{k:02d}": (mean + noise[k]).tolist() for k in range(IMAGES)}


def tables(runs: Path, against: str | None = None) -> tuple[Comparison, ...]:
    return tuple(build_comparisons(pool_seeds(load_runs(runs)[0])[0], against))


def rows(table: Comparison) -> dict[str, dict[str, float]]:
    return {row.label: {name: round(cell.value, 4) for name, cell in row.cells.items()} for row in table.rows}


@pytest.fixture
def two_sensors(runs: Path, add_run: AddRun) -> Path:
    """Two sensors of one set: simcmf wins clearly, linear ties with random-embed, scratch is below disc."""
    for modality, shift in (("nir", 0.0), ("thermal", 0.1)):
        add_run(scores(0.35), method="disc", modality=modality, seed=0)
        for seed in (0, 1):
            common = {"modality": modality, "seed": seed}
            add_run(scores(0.6 + shift + seed / 50, 0.1, 1), **common)
            add_run(scores(0.5 + shift, 0.1, 2), method="linear", **common)
            add_run(scores(0.5001 + shift, 0.1, 3), method="random-embed", **common)
            add_run(scores(0.2 + shift, 0.1, 4), method="scratch", **common)
    return runs


def test_rows_columns_and_means(two_sensors: Path) -> None:
    (table,) = tables(two_sensors)

    assert table.columns == ("thermal", "nir", MEAN)
    assert list(rows(table).items()) == [
        ("disc", {"thermal": 0.35, "nir": 0.35, MEAN: 0.35}),
        ("simcmf, lora", {"thermal": 0.71, "nir": 0.61, MEAN: 0.66}),
        ("random-embed, lora", {"thermal": 0.6001, "nir": 0.5001, MEAN: 0.5501}),
        ("linear, lora", {"thermal": 0.6, "nir": 0.5, MEAN: 0.55}),
        ("scratch, full", {"thermal": 0.3, "nir": 0.2, MEAN: 0.25}),
    ]
    assert counts(table) == "40 instances in 20 test images"
    assert comparison_title(table) == (
        f"ivrg-nir: protocol strict, backbone sam-vit-b, pretrained weights {SHA[:8]}, content f1f1f1f1"
    )


def test_ranks_ties_floors_and_spread(two_sensors: Path) -> None:
    (table,) = tables(two_sensors, against="random-embed")
    found = {row.method: row.cells["nir"] for row in table.rows}

    assert {method: cell.rank for method, cell in found.items()} == {
        "disc": "",
        "simcmf": "best",
        "random-embed": "second",
        "linear": "",
        "scratch": "",
    }
    assert {method: cell.verdict for method, cell in found.items()} == {
        "disc": None,
        "simcmf": None,
        **dict.fromkeys(("random-embed", "linear", "scratch"), Verdict.SEPARABLE),
    }
    assert [method for method, cell in found.items() if cell.below_disc] == ["scratch"]
    assert found["scratch"].cell().warning == "BELOW disc (35.00)"
    # Seeds at 0.60 and 0.62, and one seed twice.
    assert found["simcmf"].seed_sd == pytest.approx(0.02 / np.sqrt(2))
    assert found["linear"].seed_sd == pytest.approx(0)
    low, high = found["simcmf"].interval or (0, 0)
    assert low < 0.61 < high

    assert table.reference == "random-embed, lora"
    tests = {row.method: row.differences for row in table.rows}
    assert tests["random-embed"] == {}
    assert tests["simcmf"]["nir"].value == pytest.approx(0.1099)
    assert tests["simcmf"]["nir"].stands_in_family
    assert tests["linear"]["nir"].verdict == Verdict.NOT_SEPARABLE
    assert set(tests["linear"]) == {"nir", "thermal", MEAN}
    assert table.tests == 4 * 3


def test_what_is_not_separable_from_the_best_is_marked(runs: Path, add_run: AddRun) -> None:
    add_run(scores(0.5, 0.2, 1))
    add_run(scores(0.501, 0.2, 2), method="linear")
    (table,) = tables(runs)

    assert {row.method: (row.cells["nir"].rank, row.cells["nir"].verdict) for row in table.rows} == {
        "linear": ("best", None),
        "simcmf": ("second", Verdict.NOT_SEPARABLE),
    }
    assert table.rows[1].cells["nir"].cell().mark == "≈"


def test_what_never_shares_a_table(runs: Path, add_run: AddRun) -> None:
    add_run(scores(0.5))
    add_run(scores(0.4), protocol="paper")
    add_run(scores(0.4), weights="random")
    add_run(scores(0.4), backbone="sam-vit-l")
    add_run(scores(0.4), limit=8)
    add_run(scores(0.4), fingerprint="ab" * 32)
    add_run(scores(0.4), modality="rgb-nir")
    add_run(scores(0.4), dataset="nyuv2", modality="depth")
    assert [len(table.rows) for table in tables(runs)] == [1] * 8
    assert sum("RANDOM WEIGHTS, NOT PRETRAINED" in comparison_title(table) for table in tables(runs)) == 1
    assert sum("LIMITED to 8 images" in comparison_title(table) for table in tables(runs)) == 1
    assert sum("RGB with a sensor" in comparison_title(table) for table in tables(runs)) == 1


def test_tables_of_two_weights_have_their_names_and_order(runs: Path, add_run: AddRun) -> None:
    named = {"weights": "ff" * 32, "record": {"weights_name": "sam-tiny@3"}}
    add_run(scores(0.4), weights="aa" * 32, record={"weights_name": "sam-tiny-any@2"})
    add_run(scores(0.5), seed=0, method="linear", **named)
    # A record of an earlier version does not name its weights.
    add_run(scores(0.6), seed=0, method="simcmf", weights="ff" * 32)

    found = tables(runs)

    assert [comparison_title(table).split(", ")[2] for table in found] == [
        "pretrained weights sam-tiny@3 (ffffffff)",
        "pretrained weights sam-tiny-any@2 (aaaaaaaa)",
    ]
    assert [len(table.rows) for table in found] == [2, 1]
    text = results_markdown(pool_seeds(load_runs(runs)[0])[0], 0)
    assert text.count("pretrained weights sam-tiny@3 (ffffffff)") == 1


def test_scratch_stands_beside_every_start(runs: Path, add_run: AddRun) -> None:
    add_run(scores(0.5))
    add_run(scores(0.4), weights="random", tuning="full")
    add_run(scores(0.3), method="scratch")
    assert [[row.method for row in table.rows] for table in tables(runs)] == [["simcmf", "scratch"]] * 2


def test_settings_of_one_method_are_told_apart(runs: Path, add_run: AddRun) -> None:
    add_run(scores(0.5))
    add_run(scores(0.4), lr=1e-3)
    add_run(scores(0.3), options={"kernel": 5})
    (table,) = tables(runs)
    assert [row.label for row in table.rows] == [
        "simcmf, lora, lr 0.0003",
        "simcmf, lora, lr 0.001",
        "simcmf, lora, kernel 5, lr 0.0003",
    ]


def test_all_images_are_named_beside_numbers_of_them(runs: Path, add_run: AddRun) -> None:
    add_run(scores(0.5))
    add_run(scores(0.4), train_images=8)
    add_run(scores(0.3), method="linear")
    (table,) = tables(runs)
    assert [row.label for row in table.rows] == [
        "simcmf, lora, all images",
        "simcmf, lora, 8 images",
        "linear, lora",
    ]


def test_training_prompts_are_told_apart_and_single_clicks_are_the_reference(
    runs: Path, add_run: AddRun
) -> None:
    add_run(scores(0.5), val_miou=0.5)
    # Validated on boxes: the higher number says nothing beside the other.
    add_run(scores(0.2), val_miou=0.9, prompts="box")
    (table,) = tables(runs)
    labels = ["simcmf, lora, prompts click", "simcmf, lora, prompts box"]
    assert [row.label for row in table.rows] == labels
    assert table.reference == labels[0]


def test_other_test_images_are_not_compared(runs: Path, add_run: AddRun) -> None:
    add_run(scores(0.5))
    add_run({"image-00": [0.5, 0.5], "image-01": [0.4, 0.9]}, method="linear")
    (table,) = tables(runs)
    assert all(not row.differences for row in table.rows)
    assert any("nir: not all rows scored the same test instances" in note for note in table.notes)
    # No test is no tie.
    assert [row.cells["nir"].verdict for row in table.rows] == [None, Verdict.NOT_TESTED]
    assert table.rows[1].cells["nir"].cell().mark == "†"


def test_scores_by_size(runs: Path, add_run: AddRun) -> None:
    # Of 1024 x 1024 pixels: 0.2 %, exactly 0.25 %, 5 %.
    areas = [2097, 2622, 52429]
    for modality, seeds in {"nir": ([0.1, 0.3, 0.5], [0.3, 0.3, 0.7]), "depth": ([0.4, 0.5, 0.8],)}.items():
        for seed, ious in enumerate(seeds):
            add_run({"image-1": ious, "image-2": ious}, modality=modality, seed=seed, areas=areas)
    (table,) = tables(runs)
    assert table.size_counts == (2, 2, 0, 2)
    # First the mean over the seeds, then over both modalities.
    expected = (0.3, 0.4, None, 0.7)
    assert table.rows[0].by_size(table.sized) == pytest.approx(expected)
    text = comparison_markdown([table])
    assert "| method | below 0.25 % (2) | 0.25 to 1 % (2) | 1 to 4 % (0) | 4 % and more (2) |" in text
    assert "| simcmf, lora | 30.00 | 40.00 |  | 70.00 |" in text


def test_large_instances_have_a_column(runs: Path, add_run: AddRun) -> None:
    """Of 1024 x 1024 pixels 10,485 are just below one percent, 10,486 just above."""
    areas = [10_485, 10_486, 52_429]
    for modality, seeds in {"nir": ([0.1, 0.3, 0.5], [0.3, 0.3, 0.7]), "depth": ([0.4, 0.5, 0.8],)}.items():
        for seed, ious in enumerate(seeds):
            add_run({"image-1": ious, "image-2": ious}, modality=modality, seed=seed, areas=areas)
    report = write_report(runs, runs.parent / "out")
    (table,) = report.comparisons
    files = {path.name: path for path in report.written}
    # nir (0.4 + 0.5) / 2, depth (0.5 + 0.8) / 2.
    assert table.large_count == 4
    assert table.rows[0].large(table.sized) == pytest.approx((0.45 + 0.65) / 2)
    text = files["comparison.md"].read_text("utf-8")
    assert "| mean | ≥ 1 % | seeds |" in text
    assert (
        "≥ 1 %: mIoU of the 4 instances that cover at least 1 % of the picture, the mean over depth and nir."
        in text
    )
    latex = files["comparison.tex"].read_text("utf-8")
    assert r"& mean & $\ge$ 1 \% & seeds & check \\" in latex
    assert "& 55.00 & 1--2 " in latex
    cells = {line["modality"]: line for line in lines(files["comparison.csv"])}
    assert [
        (cells[name]["miou_large"], cells[name]["instances_large"]) for name in ("nir", "depth", "mean")
    ] == [
        ("45.00", "4"),
        ("65.00", "4"),
        ("55.00", ""),
    ]
    page = files["index.html"].read_text("utf-8")
    assert ">≥ 1 %</th>" in page
    assert ">55.00</td>" in page
    assert [line["miou_large"] for line in lines(files["results.csv"])] == ["65.00", "45.00"]
    assert "mIoU, ≥ 1 %" in files["results.md"].read_text("utf-8")
    shown = comparison_json(table)["rows"][0]
    assert (shown["large"], shown["cells"]["nir"]["instances_large"]) == (pytest.approx(0.55), 4)


def test_under_paper_the_rows_tell_the_picture(runs: Path, add_run: AddRun) -> None:
    # The click is on the 1024 grid; 100 and 101 pixels of a picture of 10,050.
    areas = [100, 101]
    add_run({"image-1": [0.2, 0.6]}, protocol="paper", areas=areas, pixels=10_050)
    (table,) = tables(runs)
    assert table.size_counts == (0, 1, 1, 0)
    assert (table.large_count, table.rows[0].large(table.sized)) == (1, pytest.approx(0.6))


def test_in_an_earlier_run_under_paper_sizes_are_unknown(runs: Path, add_run: AddRun) -> None:
    add_run(protocol="paper")
    (table,) = tables(runs)
    assert table.size_counts == ()
    assert table.large_count is None
    assert "≥ 1 %" not in comparison_markdown([table])
    assert "By size" not in comparison_markdown([table])


def six(mean: float) -> dict[str, list[float]]:
    return {f"image-{k}": [mean + k / 1000] for k in range(6)}


def test_six_images_tell_scratch_from_simcmf(runs: Path, add_run: AddRun) -> None:
    """With three methods beside the best, Holm's p of 1.71 against 67.91 was 0.094: marked not separable."""
    add_run(six(0.6766))
    add_run(six(0.6758), method="linear")
    add_run(six(0.6), method="random-embed")
    add_run(six(0.0146), method="scratch")
    (table,) = tables(runs)

    scratch = table.rows[-1]
    cell, test = scratch.cells["nir"], scratch.differences["nir"]
    assert (f"{100 * table.rows[0].cells['nir'].value:.2f}", cell.cell().lines[0]) == ("67.91", "1.71")
    assert cell.verdict == Verdict.SEPARABLE
    assert cell.test is not None
    assert (cell.test.p, cell.test.groups) == (0.03125, 6)
    # Beside the reference, which is the same row: the same verdict; together with two others too few images.
    assert (test.p, test.verdict, test.stands_in_family) == (0.03125, Verdict.SEPARABLE, False)
    assert test.p_holm == pytest.approx(3 * 0.03125)
    text = comparison_markdown([table])
    assert "With 6 of them and 3 comparisons no difference can have a \\*: it takes 7 images" in text
    assert "n 6, p 0.031<br>Holm's p 0.094<br>separable" in text


def test_five_images_are_too_few(runs: Path, add_run: AddRun) -> None:
    add_run({name: ious for name, ious in six(0.6766).items() if name != "image-5"})
    add_run({name: ious for name, ious in six(0.0146).items() if name != "image-5"}, method="scratch")
    report = write_report(runs, runs.parent / "out")
    (table,) = report.comparisons
    files = {path.name: path.read_text("utf-8") for path in report.written if path.suffix != ".png"}

    cell = table.rows[1].cells["nir"]
    assert (cell.verdict, cell.cell().mark) == (Verdict.TOO_FEW, "n<6")
    legend = "too few images to test (5 here; it takes 6 for a p below 0.05)"
    assert f"n&lt;6: {legend}" in files["comparison.md"]
    assert f"n\\textless{{}}6: {legend}" in files["comparison.tex"]
    assert r"\underline{1.66}$^{n<6}$" in files["comparison.tex"]
    assert legend in files["index.html"]
    words = "too few images to test, it takes 6"
    for name in ("comparison.md", "comparison.tex", "index.html"):
        assert words in files[name], name
    (shown,) = (row["cells"]["nir"] for row in comparison_json(table)["rows"] if row["method"] == "scratch")
    assert shown["verdict"] == shown["from_best"]["verdict"] == "too few images to test"
    tests = list(csv.DictReader(io.StringIO(files["paired.csv"])))
    assert [(line["against"], line["verdict"], line["groups_needed"]) for line in tests] == [
        ("best", "too few images to test", "6"),
        ("reference", "too few images to test", "6"),
    ]


def pair_of(table: Comparison, method: str, other: str, column: str) -> tuple[Any, ...]:
    """What is said of two rows: both scores and the verdict, and the numbers behind it."""
    by_method = {row.method: row for row in table.rows}
    first, second = by_method[method], by_method[other]
    assert table.best(column) == first.label
    cells = first.cells[column], second.cells[column]
    return (*((cell.value, cell.interval) for cell in cells), cells[1].verdict, cells[1].test)


OTHERS = (
    {"method": "linear"},
    {"method": "linear", "seed": 1},
    {"method": "scratch"},
    {"method": "random-embed", "lr": 1e-4},
    {"method": "disc"},
    {"method": "linear", "modality": "thermal"},
    {"method": "mlp", "modality": "depth"},
    {"modality": "rgb-nir"},
    {"protocol": "paper"},
    {"method": "linear", "fingerprint": "ab" * 32},
)


@settings(max_examples=20, deadline=None)
@given(chosen=st.sets(st.sampled_from(range(len(OTHERS)))), images=st.sampled_from([4, 6, 12]))
def test_no_other_run_changes_what_is_said_of_two(
    tmp_path_factory: pytest.TempPathFactory, chosen: set[int], images: int
) -> None:
    """Other methods, seeds of other methods, other sensors, protocols and sets: the pair is the same."""
    found = []
    for others in ([], sorted(chosen)):
        runs = tmp_path_factory.mktemp("runs")
        generator = np.random.default_rng(images)
        for method, mean in (("simcmf", 0.7), ("transformer", 0.65)):
            ious = (mean + generator.uniform(-0.1, 0.1, (images, 2))).tolist()
            write_run(runs, {f"image-{k:02d}": pair for k, pair in enumerate(ious)}, method=method)
        for other in others:
            ious = (0.3 + generator.uniform(-0.2, 0.2, (images, 2))).tolist()
            write_run(runs, {f"image-{k:02d}": pair for k, pair in enumerate(ious)}, **OTHERS[other])
        table = next(table for table in tables(runs) if "transformer" in {row.method for row in table.rows})
        found.append(pair_of(table, "simcmf", "transformer", "nir"))
    assert found[0] == found[1]


def test_an_unknown_reference_lists_what_there_is(runs: Path, add_run: AddRun, tmp_path: Path) -> None:
    add_run(scores(0.5))
    with pytest.raises(InputError, match="--against linear: no run of this; there are: simcmf:lora"):
        tables(runs, against="linear")
    assert not (tmp_path / "out").exists()


def lines(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))


def test_files_hold_what_the_tables_hold(two_sensors: Path) -> None:
    report = write_report(two_sensors, two_sensors.parent / "out")
    files = {path.name: path for path in report.written}

    cells = {(line["method"], line["modality"]): line for line in lines(files["comparison.csv"])}
    assert len(cells) == 5 * 3
    assert cells["simcmf", "nir"]["miou"] == "61.00"
    assert cells["simcmf", "nir"]["seeds"] == "0 1"
    assert cells["simcmf", "mean"]["mean_over"] == "thermal nir"
    assert (cells["scratch", "nir"]["below_disc"], cells["scratch", "nir"]["disc"]) == ("yes", "35.00")
    assert cells["scratch", "nir"]["cell_weights"] == "random"

    paired = lines(files["paired.csv"])
    # Three rows beside the best, and all but the reference, which is the best row.
    assert [line["against"] for line in paired] == ["best"] * 3 * 3 + ["reference"] * 4 * 3
    tests = {(line["method"], line["modality"]): line for line in paired if line["against"] == "reference"}
    for line in paired[:9]:
        same = tests[line["method"], line["modality"]]
        for name in ("reference", "miou", "difference", "low", "high", "groups", "p", "verdict"):
            assert line[name] == same[name], name
        assert (line["p_holm"], line["tests"]) == ("", "")
        assert cells[line["method"], line["modality"]]["verdict"] == line["verdict"]
    assert tests["linear", "thermal"]["difference"] == "-11.00"
    assert (tests["linear", "thermal"]["reference"], tests["linear", "thermal"]["tests"]) == (
        "simcmf, lora",
        "12",
    )
    text = files["comparison.md"].read_text("utf-8")
    assert "| **61.00**<br>[" in text
    assert "BELOW disc (35.00)" in text
    assert "### Differences from simcmf, lora" in text
    assert r"−11.00 \*" in text
    assert "### Spread over seeds" in text
    latex = files["comparison.tex"].read_text("utf-8")
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}")
    # The scores, the tests behind their marks, what they cost.
    assert latex.count(r"\begin{table}") == 3
    assert r"\textbf{61.00}" in latex
    scores, tests, costs = latex.split(r"\end{table}")[:3]
    assert {line.count("&") for line in scores.splitlines() if line.rstrip().endswith(r"\\")} == {5}
    assert {line.count("&") for line in tests.splitlines() if line.rstrip().endswith(r"\\")} == {3}
    assert {line.count("&") for line in costs.splitlines() if line.rstrip().endswith(r"\\")} == {6}


def test_the_same_runs_give_the_same_bytes(two_sensors: Path, tmp_path: Path) -> None:
    first, again = (write_report(two_sensors, tmp_path / name).written for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]


def test_no_runs(runs: Path) -> None:
    assert tables(runs) == ()
    assert "There is no finished run." in comparison_markdown(())
