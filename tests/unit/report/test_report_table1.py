from pathlib import Path

import pytest
from made_runs import SHA, AddRun

from aims.core.vocabulary import MODALITIES
from aims.report.paper.published import load_published
from aims.report.paper.table1 import Row, Section, build_sections
from aims.report.runs.load import load_runs
from aims.report.runs.results import pool_seeds

PAPER_ROWS = ["thermal", "polarization", "depth", "hha", "nir"]


def sections(runs: Path) -> tuple[Section, ...]:
    return build_sections(pool_seeds(load_runs(runs)[0])[0], load_published())


def row(section: Section, label: str) -> Row:
    return next(row for row in section.rows if row.label == label)


def filled(section: Section) -> dict[tuple[str, str], float]:
    """Every cell of ours that is not empty, in percent."""
    return {
        (row.label, method): round(100 * cell.miou, 6)
        for row in section.rows
        for method, cell in row.cells.items()
        if cell.miou is not None
    }


def test_without_runs_the_published_numbers_stand_alone(runs: Path) -> None:
    (section,) = sections(runs)

    assert section.condition is None
    assert [row.label for row in section.rows] == [*PAPER_ROWS, "Average"]
    assert filled(section) == {}
    assert row(section, "nir").cells["simcmf"].published == 50.36
    assert row(section, "Average").cells["scratch"].published == 22.15


def test_empty_cells_stay_empty(runs: Path, add_run: AddRun) -> None:
    add_run()

    (section,) = sections(runs)

    assert filled(section) == {("nir", "simcmf"): 50.0}
    assert [row.label for row in section.rows] == [*PAPER_ROWS, "Average"]


def test_average_needs_all_five(runs: Path, add_run: AddRun) -> None:
    for value, modality in zip((0.1, 0.2, 0.3, 0.4), PAPER_ROWS, strict=False):
        add_run(value, modality=modality, dataset=MODALITIES[modality].datasets[0])
    assert ("Average", "simcmf") not in filled(sections(runs)[0])

    add_run(0.9, modality="nir", dataset="ivrg-nir")

    # (0.1 + 0.2 + 0.3 + 0.4 + 0.9) / 5 = 0.38
    assert filled(sections(runs)[0])["Average", "simcmf"] == 38.0
    assert ("Average", "scratch") not in filled(sections(runs)[0])


@pytest.mark.parametrize(
    "change", [{"protocol": "paper"}, {"backbone": "sam-vit-l"}, {"limit": 4}, {"weights": "ab" * 32}]
)
def test_conditions_never_share_a_table(runs: Path, add_run: AddRun, change: dict[str, object]) -> None:
    add_run(0.25)
    add_run(0.75, modality="depth", dataset="nyuv2", **change)

    found = [filled(section) for section in sections(runs)]

    assert len(found) == 2
    assert {("nir", "simcmf"): 25.0} in found
    assert {("depth", "simcmf"): 75.0} in found


def test_scratch_stands_beside_every_start_of_its_condition(runs: Path, add_run: AddRun) -> None:
    add_run(0.5)
    add_run(0.25, weights="random")
    add_run(0.75, method="scratch")
    add_run(0.125, method="scratch", protocol="paper")

    found = {
        (section.condition.protocol, section.condition.weights_label): filled(section)
        for section in sections(runs)
        if section.condition
    }

    assert found == {
        ("paper", ""): {("nir", "scratch"): 12.5},
        ("strict", "pretrained " + SHA[:8]): {("nir", "simcmf"): 50.0, ("nir", "scratch"): 75.0},
        ("strict", "random"): {("nir", "simcmf"): 25.0, ("nir", "scratch"): 75.0},
    }


def test_other_methods_and_changed_options_are_not_in_table_1(runs: Path, add_run: AddRun) -> None:
    add_run(method="random-embed")
    add_run(method="simcmf-released")
    add_run(options={"kernel": 5})

    (section,) = sections(runs)

    assert section.condition is None


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

    (section,) = sections(runs)

    assert filled(section) == {(f"{place[0]} / {place[1]}", "simcmf"): 50.0}
    assert section.rows[-1].cells["simcmf"].published is None
    assert section.rows[-1].cells["scratch"].published is None


def test_paper_takes_the_peak_on_test(runs: Path, add_run: AddRun) -> None:
    add_run(0.5, protocol="paper", lr=1e-4, val_miou=0.9)
    add_run(0.75, protocol="paper", lr=1e-5, val_miou=0.1)

    cell = row(sections(runs)[0], "nir").cells["simcmf"]

    assert cell.result
    assert (cell.miou, cell.result.config.lr) == (0.75, 1e-5)


def test_strict_takes_the_best_on_validation(runs: Path, add_run: AddRun) -> None:
    # Mean validation scores: (0.9 + 0.1) / 2 = 0.5 for the first setting, 0.6 for the second.
    # The test scores are the other way round.
    add_run(0.75, lr=1e-4, val_miou=0.9, seed=0)
    add_run(0.75, lr=1e-4, val_miou=0.1, seed=1)
    add_run(0.5, lr=1e-5, val_miou=0.6)

    (section,) = sections(runs)

    assert filled(section) == {("nir", "simcmf"): 50.0}
    assert section.notes == ()


def test_strict_does_not_choose_without_validation(runs: Path, add_run: AddRun) -> None:
    add_run(0.75, lr=1e-4)
    add_run(0.5, lr=1e-5)
    assert filled(sections(runs)[0]) == {}

    add_run(0.25, lr=1e-6, val_miou=0.1)

    (section,) = sections(runs)
    assert filled(section) == {("nir", "simcmf"): 25.0}
    assert "nir, simcmf: 2 of 3 settings without a validation score" in section.notes[0]


def test_a_single_setting_needs_no_validation(runs: Path, add_run: AddRun) -> None:
    add_run(0.75)
    assert filled(sections(runs)[0]) == {("nir", "simcmf"): 75.0}


def test_contents_of_one_name_are_not_pooled(runs: Path, add_run: AddRun) -> None:
    add_run(0.75, fingerprint="aaaaaaaa" * 8)
    add_run(0.5, fingerprint="bbbbbbbb" * 8)

    (section,) = sections(runs)

    assert filled(section) == {
        ("ivrg-nir / nir (content aaaaaaaa)", "simcmf"): 75.0,
        ("ivrg-nir / nir (content bbbbbbbb)", "simcmf"): 50.0,
    }
    assert row(section, "nir").cells["simcmf"].published == 50.36
    assert all(row.cells["simcmf"].published is None for row in section.rows[-2:])
    assert "fingerprints aaaaaaaa, bbbbbbbb" in section.notes[0]


def test_scratch_and_simcmf_of_other_contents_do_not_share_a_row(runs: Path, add_run: AddRun) -> None:
    add_run(0.75, fingerprint="aaaaaaaa" * 8)
    add_run(0.5, fingerprint="bbbbbbbb" * 8, method="scratch")

    assert filled(sections(runs)[0]) == {
        ("ivrg-nir / nir (content aaaaaaaa)", "simcmf"): 75.0,
        ("ivrg-nir / nir (content bbbbbbbb)", "scratch"): 50.0,
    }
