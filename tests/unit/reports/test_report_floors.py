"""Floors in the tables: beside every method of the same test instances, and marked where one lies below."""

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from made_runs import AddRun, table1

from aims.core.vocabulary import PROTOCOLS
from aims.reports.paper.cells import FilledTable
from aims.reports.report import write_report
from aims.reports.runs.floors import load_floor_notes
from aims.reports.runs.load import load_runs
from aims.reports.runs.results import Result, pool_seeds

pytestmark = pytest.mark.usefixtures("no_cost_figures")


def results(runs: Path) -> dict[str, Result]:
    return {result.config.method: result for result in pool_seeds(load_runs(runs)[0])[0]}


def floors(table: FilledTable, row: str) -> tuple[float | None, float | None]:
    disc, oracle = (table.cells[row, name].score for name in ("disc", "oracle-disc"))
    return disc.value if disc else None, oracle.value if oracle else None


def lines(text: str) -> list[Mapping[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_method_below_the_disc_is_marked(runs: Path, add_run: AddRun) -> None:
    add_run(0.25)
    add_run(0.5, method="mlp")
    add_run(0.375, method="disc")
    add_run(0.125, method="oracle-disc")

    found = results(runs)

    assert {name: (item.disc, item.below_disc) for name, item in found.items()} == {
        "simcmf": (0.375, True),
        "mlp": (0.375, False),
        "disc": (0.375, False),
        "oracle-disc": (0.375, False),
    }


def test_equal_to_the_disc_is_not_below(runs: Path, add_run: AddRun) -> None:
    add_run(0.25)
    add_run(0.25, method="disc")
    assert not results(runs)["simcmf"].below_disc


def test_the_disc_of_another_modality_of_the_same_images_counts(runs: Path, add_run: AddRun) -> None:
    add_run(0.25, modality="hha", dataset="nyuv2")
    add_run(0.375, modality="depth", dataset="nyuv2", method="disc")

    assert results(runs)["simcmf"].below_disc
    assert floors(table1(runs)[0], "hha") == (0.375, None)
    # And it stands where it was asked for.
    assert floors(table1(runs)[0], "depth") == (0.375, None)


@pytest.mark.parametrize(
    "change", [{"protocol": "paper"}, {"limit": 4}, {"fingerprint": "e2" * 32}, {"dataset": "zju-rgbp"}]
)
def test_the_disc_of_other_test_instances_says_nothing(
    runs: Path, add_run: AddRun, change: dict[str, object]
) -> None:
    add_run(0.25)
    add_run(0.375, method="disc", **change)

    assert results(runs)["simcmf"].disc is None
    assert floors(table1(runs)[0], "nir") == (None, None)


def test_a_disc_that_scored_other_instances_says_nothing(runs: Path, add_run: AddRun) -> None:
    add_run({"image-1": [0.25], "image-2": [0.25]})
    add_run({"image-1": [0.5], "image-2": [0.5, 0.5]}, method="disc")
    assert results(runs)["simcmf"].disc is None


def test_of_several_discs_the_highest_is_the_floor(runs: Path, add_run: AddRun) -> None:
    add_run(0.3, modality="nir")
    add_run(0.25, modality="nir", method="disc", seed=0)
    add_run(0.375, modality="rgb-nir", method="disc", seed=1)

    assert results(runs)["simcmf"].disc == 0.375
    assert floors(table1(runs)[0], "nir") == (0.375, None)


def test_floors_stand_in_every_table_of_their_protocol(runs: Path, add_run: AddRun) -> None:
    add_run(0.5)
    add_run(0.5, backbone="sam-tiny", weights="random")
    add_run(0.25, method="disc")
    add_run(0.75, method="oracle-disc")

    found = table1(runs)

    assert [table.condition and table.condition.backbone for table in found] == [
        "sam-tiny",
        "sam-vit-b",
    ]
    assert [floors(table, "nir") for table in found] == [(0.25, 0.75)] * 2
    assert [floors(table, "average") for table in found] == [(None, None)] * 2


def test_floors_alone_make_no_table(runs: Path, add_run: AddRun) -> None:
    add_run(0.25, method="disc")
    (table,) = table1(runs)
    assert table.condition is None


def test_the_files_hold_the_floors_and_the_marks(runs: Path, tmp_path: Path, add_run: AddRun) -> None:
    add_run(0.25)
    add_run(0.375, method="disc")
    add_run(0.75, method="oracle-disc")

    written = write_report(runs, tmp_path).written
    text = {path.name: path.read_text("utf-8") for path in written if path.suffix != ".png"}

    assert "25.00<br>[25.00, 25.00]<br>lora" in text["table1.md"]
    assert "<br>BELOW disc (37.50) |" in text["table1.md"]
    assert text["table1.md"].count("| 37.50<br>[37.50, 37.50] | 75.00<br>[75.00, 75.00] |") == 1
    assert r"{\scriptsize BELOW disc (37.50)}" in text["table1.tex"]
    assert r"\begin{tabular}[t]{@{}r@{}}75.00 \\ {\scriptsize {[}75.00, 75.00{]}}" in text["table1.tex"]
    assert "## Protocol strict, floors: no sensor, no model\n" in text["results.md"]
    assert "| BELOW 37.50 |" in text["results.md"]
    marks = {line["method"]: (line["disc"], line["below_disc"]) for line in lines(text["results.csv"])}
    assert marks == {"simcmf": ("37.50", "yes"), "disc": ("37.50", ""), "oracle-disc": ("37.50", "")}
    cells = {line["method"]: line["miou"] for line in lines(text["table1.csv"]) if line["modality"] == "nir"}
    assert cells == {"scratch": "", "simcmf": "25.00", "disc": "37.50", "oracle-disc": "75.00"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_note_names_figures_and_provenance(
    runs: Path, tmp_path: Path, add_run: AddRun, protocol: str
) -> None:
    add_run(protocol=protocol)
    note = load_floor_notes()[protocol]

    assert f"protocol {protocol}, " in note
    assert "the 654 NYUv2 test label maps (13 classes)" in note
    assert "`python -m aims.benchmarks.floors " in note
    assert re.search(r" on \d{4}-\d\d-\d\d\.", note)
    written = write_report(runs, tmp_path).written
    text = {path.name: path.read_text("utf-8") for path in written if path.suffix != ".png"}
    figures = re.findall(r"\d\d\.\d\d", note)
    assert len(figures) == 2
    assert all(figure in text[name] for figure in figures for name in ("table1.md", "table1.tex"))


def test_without_runs_the_papers_protocol_is_noted(runs: Path) -> None:
    (table,) = table1(runs)
    assert load_floor_notes()["paper"] in table.notes
