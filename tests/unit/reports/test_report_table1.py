from pathlib import Path

import pytest
from made_runs import SHA, AddRun, table1

from aims.core.vocabulary import MODALITIES
from aims.reports.paper.cells import FilledTable

PAPER_ROWS = ["thermal", "polarization", "depth", "hha", "nir"]


def filled(table: FilledTable) -> dict[tuple[str, str], float]:
    """Every cell of ours that is not empty, in percent."""
    cells = table.cells.items()
    return {place: round(cell.value, 6) for place, cell in cells if cell.value is not None}


def test_without_runs_the_published_numbers_stand_alone(runs: Path) -> None:
    (table,) = table1(runs)

    assert table.condition is None
    assert table.paper.rows == (*PAPER_ROWS, "average")
    assert filled(table) == {}
    assert table.cells["nir", "SimCMF"].cell.published == 50.36
    assert table.cells["average", "scratch"].cell.published == 22.15


def test_empty_cells_stay_empty(runs: Path, add_run: AddRun) -> None:
    add_run()

    (table,) = table1(runs)

    assert filled(table) == {("nir", "SimCMF"): 50.0}
    assert table.paper.rows == (*PAPER_ROWS, "average")


def test_runs_on_other_prompts_stand_in_no_cell(runs: Path, add_run: AddRun) -> None:
    add_run(0.4, val_miou=0.4)
    add_run(0.3, val_miou=0.9, prompts="box")
    assert filled(table1(runs)[0]) == {("nir", "SimCMF"): 40.0}


def test_average_needs_all_five(runs: Path, add_run: AddRun) -> None:
    for value, modality in zip((0.1, 0.2, 0.3, 0.4), PAPER_ROWS, strict=False):
        add_run(value, modality=modality, dataset=MODALITIES[modality].datasets[0])
    assert ("average", "SimCMF") not in filled(table1(runs)[0])

    add_run(0.9, modality="nir", dataset="ivrg-nir")

    # (0.1 + 0.2 + 0.3 + 0.4 + 0.9) / 5 = 0.38
    assert filled(table1(runs)[0])["average", "SimCMF"] == 38.0
    assert ("average", "scratch") not in filled(table1(runs)[0])


@pytest.mark.parametrize(
    "change", [{"protocol": "paper"}, {"backbone": "sam-vit-l"}, {"limit": 4}, {"weights": "ab" * 32}]
)
def test_conditions_never_share_a_table(runs: Path, add_run: AddRun, change: dict[str, object]) -> None:
    add_run(0.25)
    add_run(0.75, modality="depth", dataset="nyuv2", **change)

    found = [filled(table) for table in table1(runs)]

    assert len(found) == 2
    assert {("nir", "SimCMF"): 25.0} in found
    assert {("depth", "SimCMF"): 75.0} in found


def test_scratch_stands_beside_every_start_of_its_condition(runs: Path, add_run: AddRun) -> None:
    add_run(0.5)
    add_run(0.25, weights="random")
    add_run(0.75, method="scratch")
    add_run(0.125, method="scratch", protocol="paper")

    found = {
        (table.condition.protocol, table.condition.weights_label): filled(table)
        for table in table1(runs)
        if table.condition
    }

    assert found == {
        ("paper", ""): {("nir", "scratch"): 12.5},
        ("strict", "pretrained " + SHA[:8]): {("nir", "SimCMF"): 50.0, ("nir", "scratch"): 75.0},
        ("strict", "random"): {("nir", "SimCMF"): 25.0, ("nir", "scratch"): 75.0},
    }


def test_other_methods_and_changed_options_are_not_in_table_1(runs: Path, add_run: AddRun) -> None:
    add_run(method="random-embed")
    add_run(method="simcmf-released")
    add_run(options={"kernel": 5})

    (table,) = table1(runs)

    assert table.condition is None


@pytest.mark.parametrize(
    "place",
    [
        ("zju-rgbp", "polarization"),
        ("own-set", "thermal"),
        ("ivrg-nir", "rgb-nir"),
        ("nyuv2", "nir"),
        ("x", "sonar"),
    ],
)
def test_other_places_have_rows_without_published_numbers(
    runs: Path, add_run: AddRun, place: tuple[str, str]
) -> None:
    add_run(0.5, dataset=place[0], modality=place[1])

    (table,) = table1(runs)

    assert filled(table) == {(f"{place[0]} / {place[1]}", "SimCMF"): 50.0}
    assert {table.cells[table.paper.rows[-1], name].cell.published for name in table.paper.columns} == {None}


def test_paper_takes_the_peak_on_test(runs: Path, add_run: AddRun) -> None:
    add_run(0.5, protocol="paper", lr=1e-4, val_miou=0.9)
    add_run(0.75, protocol="paper", lr=1e-5, val_miou=0.1)

    cell = table1(runs)[0].cells["nir", "SimCMF"]

    assert cell.result
    assert (cell.value, cell.result.config.lr) == (75, 1e-5)


def test_strict_takes_the_best_on_validation(runs: Path, add_run: AddRun) -> None:
    # Mean validation scores: (0.9 + 0.1) / 2 = 0.5 for the first setting, 0.6 for the second.
    # The test scores are the other way round.
    add_run(0.75, lr=1e-4, val_miou=0.9, seed=0)
    add_run(0.75, lr=1e-4, val_miou=0.1, seed=1)
    add_run(0.5, lr=1e-5, val_miou=0.6)

    (table,) = table1(runs)

    assert filled(table) == {("nir", "SimCMF"): 50.0}
    assert len(table.notes) == 1  # the floors'


def test_strict_does_not_choose_without_validation(runs: Path, add_run: AddRun) -> None:
    add_run(0.75, lr=1e-4)
    add_run(0.5, lr=1e-5)
    assert filled(table1(runs)[0]) == {}

    add_run(0.25, lr=1e-6, val_miou=0.1)

    (table,) = table1(runs)
    assert filled(table) == {("nir", "SimCMF"): 25.0}
    assert "nir, SimCMF: 2 of 3 settings without a validation score" in table.notes[0]


def test_a_single_setting_needs_no_validation(runs: Path, add_run: AddRun) -> None:
    add_run(0.75)
    assert filled(table1(runs)[0]) == {("nir", "SimCMF"): 75.0}


def test_contents_of_one_name_are_not_pooled(runs: Path, add_run: AddRun) -> None:
    add_run(0.75, fingerprint="aaaaaaaa" * 8)
    add_run(0.5, fingerprint="bbbbbbbb" * 8)

    (table,) = table1(runs)

    assert filled(table) == {
        ("ivrg-nir / nir (content aaaaaaaa)", "SimCMF"): 75.0,
        ("ivrg-nir / nir (content bbbbbbbb)", "SimCMF"): 50.0,
    }
    assert table.cells["nir", "SimCMF"].cell.published == 50.36
    assert all(table.cells[row, "SimCMF"].cell.published is None for row in table.paper.rows[-2:])
    assert "fingerprints aaaaaaaa, bbbbbbbb" in table.notes[0]


def test_scratch_and_simcmf_of_other_contents_do_not_share_a_row(runs: Path, add_run: AddRun) -> None:
    add_run(0.75, fingerprint="aaaaaaaa" * 8)
    add_run(0.5, fingerprint="bbbbbbbb" * 8, method="scratch")

    assert filled(table1(runs)[0]) == {
        ("ivrg-nir / nir (content aaaaaaaa)", "SimCMF"): 75.0,
        ("ivrg-nir / nir (content bbbbbbbb)", "scratch"): 50.0,
    }
