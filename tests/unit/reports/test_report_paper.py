"""Every table and figure of the paper: what is printed, which runs stand where, and the files."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import pytest
from made_runs import AddRun, parameters

from aims.reports.figures.paper_figures import draw_figure
from aims.reports.paper.cells import fill_table, select_setting
from aims.reports.paper.description import RunQuery
from aims.reports.paper.layout import paper_markdown
from aims.reports.paper.published import load_content
from aims.reports.paper.tables import load_paper_tables
from aims.reports.report import write_report
from aims.reports.runs.load import load_runs
from aims.reports.runs.results import pool_seeds
from aims.reports.statistics.paired import Verdict

pytestmark = pytest.mark.usefixtures("no_cost_figures")

PAPER_TABLES = {paper.key: paper for paper in load_paper_tables()}
POLARIZATION = {"modality": "polarization", "dataset": "rgbp-glass"}
PAPER = {"protocol": "paper", **POLARIZATION}


def fill(key: str, runs: Path):
    results, _ = pool_seeds(load_runs(runs)[0])
    return fill_table(PAPER_TABLES[key], results)


def printed(key: str) -> Counter[float]:
    """The numbers of one paper."""
    cells = PAPER_TABLES[key].cells.values()
    return Counter(cell.published for cell in cells if cell.published is not None)


def test_every_printed_number_has_a_cell() -> None:
    content = load_content()
    table1, table2 = content["table1"], content["table2"]
    assert printed("table1") == Counter([*table1["scratch"], *table1["simcmf"], *table1["average"].values()])
    assert printed("table2") == Counter([*table2["scratch"], *table2["zero_shot"], *table2["simcmf"]])
    strategies = (values for name, values in content["table3"].items() if name != "columns")
    assert printed("table3") == Counter(value for values in strategies for value in values)
    assert printed("table4") == Counter(content["table4"].values())
    methods = (values for name, values in content["table6"].items() if name != "columns")
    assert printed("table6") == Counter(value for values in methods for value in values["miou"])
    figure4 = [value for value in content["figure4"].values() if isinstance(value, float)]
    assert printed("figure4") == Counter(figure4)
    assert printed("figure5a") == Counter(peak["miou"] for peak in content["figure5a"].values())
    for panel in ("k", "d", "n"):
        assert printed(f"figure6{panel}") == Counter(content["figure6"][panel]["miou"])


def test_a_cell_takes_the_papers_dataset_its_options_and_all_images(runs: Path, add_run: AddRun) -> None:
    add_run(0.5, **PAPER)
    add_run(0.9, **{**PAPER, "dataset": "zju-rgbp"})
    add_run(0.9, **PAPER, options={"rank": 8})
    add_run(0.9, **PAPER, train_images=100)
    add_run(0.6, **PAPER, options={"kernel": 5})
    add_run(0.4, **PAPER, lr=1e-4)
    (table,) = fill("table3", runs)
    assert {place: cell.value for place, cell in table.cells.items() if cell.value is not None} == {
        ("lora", "polarization"): 50.0
    }
    (kernels,) = fill("figure6k", runs)
    assert [kernels.cells[row, "kernel"].value for row in ("1", "3", "5")] == [None, 50.0, 60.0]
    (rates,) = fill("figure5a", runs)
    assert rates.cells["0.0003", "lora"].value == 50.0
    assert rates.cells["0.0001", "lora"].value == 40.0


def test_the_best_of_rivals_is_marked_and_what_is_not_separable_from_it(runs: Path, add_run: AddRun) -> None:
    images = [f"image-{k}" for k in range(10)]
    add_run({name: [0.6] for name in images}, **PAPER, tuning="full")
    add_run({"image-0": [0.3]}, **PAPER, tuning="prompt")
    add_run({name: [0.2 if k % 2 else 0.9] for k, name in enumerate(images)}, **PAPER, tuning="adapter")
    add_run({name: [0.5] for name in images}, **PAPER)
    (table,) = fill("table3", runs)
    marks = {name: table.cells[name, "polarization"] for name in ("full", "adapter", "lora", "prompt")}
    assert [mark.score.rank for mark in marks.values()] == ["best", "second", "", ""]
    assert [mark.score.verdict for mark in marks.values()] == [
        None,
        Verdict.NOT_SEPARABLE,
        Verdict.SEPARABLE,
        Verdict.NOT_TESTED,
    ]
    text = paper_markdown([table])
    assert "<u>55.00</u> ≈<br>" in text
    assert "| 30.00 †<br>prompt, " in text
    assert "≈: not separable from the best." in text
    assert marks["adapter"].value == pytest.approx(55)


def test_conditions_never_share_a_table(runs: Path, add_run: AddRun) -> None:
    add_run(0.5, **PAPER)
    add_run(0.6, **{**PAPER, "protocol": "strict"})
    add_run(0.7, **PAPER, backbone="sam-tiny", weights="ab" * 32)
    add_run(0.1, **PAPER, method="scratch")
    tables = fill("table1", runs)
    found = {
        (table.condition.protocol, table.condition.backbone): table.cells["polarization", "SimCMF"].value
        for table in tables
    }
    assert found == {("paper", "sam-vit-b"): 50, ("strict", "sam-vit-b"): 60, ("paper", "sam-tiny"): 70}
    beside = [table.cells["polarization", "scratch"].value for table in tables]
    assert sorted(value for value in beside if value is not None) == [10]


def test_an_average_needs_all_of_its_rows(runs: Path, add_run: AddRun) -> None:
    sets = {
        "thermal": "thermal-glass",
        "polarization": "rgbp-glass",
        "depth": "nyuv2",
        "hha": "nyuv2",
        "nir": "ivrg-nir",
    }
    for place, (modality, dataset) in enumerate(sets.items()):
        (table,) = fill("table1", runs)
        assert table.cells["average", "SimCMF"].value is None
        add_run(0.1 * (place + 1), protocol="paper", modality=modality, dataset=dataset)
    (table,) = fill("table1", runs)
    assert table.cells["average", "SimCMF"].value == pytest.approx(30)
    assert table.cells["average", "SimCMF"].difference == pytest.approx(30 - 53.88)


def test_contents_of_a_dataset_are_not_mixed(runs: Path, add_run: AddRun) -> None:
    add_run(0.5, **PAPER)
    add_run(0.6, **PAPER, lr=1e-4, fingerprint="e2" * 32)
    (table,) = fill("table3", runs)
    assert table.cells["lora", "polarization"].value is None
    assert "different contents" in table.notes[0]


def test_trained_parameters_come_from_the_records(runs: Path, add_run: AddRun) -> None:
    path = add_run(0.5, **PAPER)
    record = json.loads((path / "run.json").read_text())
    counts = parameters(3_686_400, 588_800, alignment=5443)
    (path / "run.json").write_text(json.dumps({**record, "parameters": counts}))
    (table,) = fill("table4", runs)
    cell = table.cells["lora", "trained, M"]
    assert cell.value == pytest.approx(4.2752)
    assert cell.difference == pytest.approx(-0.0248)
    assert cell.inside is None


def test_commands_say_what_fits() -> None:
    wanted = RunQuery(method="simcmf", modality="polarization", tuning="lora", options={"kernel": 5}, lr=None)
    assert wanted.command == (
        "aims run --protocol paper --method simcmf --modality polarization --tuning lora --lr sweep "
        "--kernel 5"
    )


@pytest.fixture
def report(runs: Path, tmp_path: Path, add_run: AddRun) -> dict[str, bytes]:
    """A few runs on the paper's polarization set, with curves, and what is written of them."""
    spread = {f"image-{k}": [0.6, 0.8] for k in range(5)} | {"image-8": [0.9]}
    for seed in (0, 1):
        path = add_run(spread, **PAPER, seed=seed)
        lines = [{"epoch": epoch, "loss": 1 / epoch, "test_miou": 0.1 * epoch} for epoch in (5, 6, 7)]
        (path / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    add_run(0.25, **PAPER, method="scratch")
    for images in (10, 100):
        path = add_run(images / 200, **PAPER, train_images=images)
        record = json.loads((path / "run.json").read_text())
        (path / "run.json").write_text(json.dumps({**record, "images": {"train": images, "test": 2}}))
    written = write_report(runs, tmp_path / "out", against="paper").written
    return {path.name: path.read_bytes() for path in written if path.parent.name == "paper"}


def test_files_of_every_table_and_figure(report: dict[str, bytes]) -> None:
    tables = [f"table{k}.{end}" for k in (2, 3, 4, 5, 6) for end in ("md", "csv", "tex")]
    figures = [f"figure{k}.{end}" for k in ("4", "5a", "5b", "6", "7") for end in ("svg", "png", "csv", "md")]
    assert sorted(report) == sorted([*tables, *figures, "against.md", "against.csv"])
    for name, content in report.items():
        if name.endswith(".svg"):
            ElementTree.fromstring(content)
        if name.endswith(".png"):
            assert content.startswith(b"\x89PNG")
        if name.endswith(".tex"):
            text = content.decode()
            assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") >= 1
            for line in text.splitlines():
                assert line.count("{") == line.count("}"), line


def test_what_stands_in_the_files(report: dict[str, bytes]) -> None:
    figure = report["figure7.svg"].decode()
    assert all(f">{text}<" in figure for text in ("SimCMF", "training from scratch", "epoch"))
    markdown = report["table3.md"].decode()
    assert "| lora | 56.44 |" in markdown
    assert re.search(
        r"72\.69 \| 71\.82<br>\[\d\d\.\d\d, \d\d\.\d\d\]<br>lora, lr 0\.0003, 50 epochs", markdown
    )
    assert "2 seeds: 0, 1<br>11 instances, 6 images" in markdown
    assert r"55.81$^{b}$" in report["table2.tex"].decode()
    lines = list(csv.DictReader(io.StringIO(report["against.csv"].decode())))
    by_place = {(line["exhibit"], line["row"], line["column"]): line for line in lines}
    ours = by_place["table3", "lora", "polarization"]
    assert (ours["published"], ours["ours"], ours["difference"], ours["inside"]) == (
        *("72.69", "71.82", "-0.87"),
        "yes",
    )
    scratch = by_place["table1", "polarization", "scratch"]
    assert (scratch["ours"], scratch["difference"], scratch["inside"]) == ("25.00", "-0.43", "no")
    assert by_place["table3", "full", "depth"]["ours"] == ""
    assert "published numbers; comparable runs for" in report["against.md"].decode()


def test_the_same_runs_give_the_same_bytes(runs: Path, tmp_path: Path, report: dict[str, bytes]) -> None:
    again = write_report(runs, tmp_path / "again", against="paper").written
    assert {path.name: path.read_bytes() for path in again if path.parent.name == "paper"} == report


def test_the_printed_part_in_the_repository_is_what_a_report_without_runs_writes(
    runs: Path, tmp_path: Path
) -> None:
    written = write_report(runs, tmp_path / "out", against="paper").written
    there = Path(__file__).parents[3] / "leaderboards" / "paper"
    # Pictures depend on matplotlib's version.
    expected = {
        path.name: path.read_text()
        for path in written
        if path.parent.name == "paper" and path.suffix in (".md", ".csv", ".tex")
    }
    assert {path.name: path.read_text() for path in there.iterdir()} == expected


def test_runs_on_other_sets_get_no_folder_of_printed_numbers(
    runs: Path, tmp_path: Path, add_run: AddRun
) -> None:
    add_run(dataset="own", modality="nir")
    written = write_report(runs, tmp_path / "out").written
    assert {path.parent for path in written} == {tmp_path / "out"}
    assert not (tmp_path / "out" / "paper").exists()
    assert write_report(runs, tmp_path / "out", against="paper").paper[0]["ours"] == ""


def test_over_images_too_settings_are_chosen_on_the_validation_part(runs: Path, add_run: AddRun) -> None:
    for lr, test, val in ((1e-4, 0.9, 0.2), (3e-4, 0.5, 0.6), (1e-3, 0.8, None)):
        add_run(test, **POLARIZATION, protocol="strict-2", lr=lr, val_miou=val, train_images=10)
    found, _ = pool_seeds(load_runs(runs)[0])
    chosen = select_setting(found)
    assert chosen is not None
    assert (chosen.config.lr, chosen.miou) == (3e-4, 0.5)


def test_over_images_seeds_stand_at_their_mean_number(runs: Path, add_run: AddRun) -> None:
    """A seed may draw images that hold no instance, which are not trained on."""
    for seed, images in ((0, 55), (1, 77)):
        record = {"images": {"train": images, "test": 2}}
        add_run(0.5, **PAPER, seed=seed, train_images=80, record=record)
    results, _ = pool_seeds(load_runs(runs)[0])
    svg, _ = draw_figure([fill("figure5b", runs)], results)
    ticks = [element.text for element in ElementTree.fromstring(svg).iter() if element.text]
    assert "66" in ticks
    assert "55" not in ticks
