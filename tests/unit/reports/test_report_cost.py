"""What runs cost: read from their records, beside their scores, and drawn."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from made_runs import HARDWARE, AddRun, parameters

from aims.core.checks import UNKNOWN, Check, keep_check
from aims.reports.comparison.build import build_comparisons
from aims.reports.comparison.captions import comparison_title
from aims.reports.comparison.costs import COSTS, cost_notes
from aims.reports.comparison.descriptions import comparison_latex, comparison_markdown
from aims.reports.comparison.long_form import comparison_csv, cost_csv
from aims.reports.comparison.table import Comparison
from aims.reports.figures.cost_figure import _ticks, cost_files, cost_plot, draw_cost
from aims.reports.figures.row_styles import RowStyles
from aims.reports.figures.style import TEXT, inline_svg
from aims.reports.report import write_report
from aims.reports.runs.load import load_runs
from aims.reports.runs.results import Result, pool_seeds
from aims.reports.tables.numbers import short, span
from aims.reports.tables.results_table import (
    COST_FIELDS,
    results_csv,
)

GPU = {**HARDWARE, "device": "cuda", "threads": 16, "name": "a card"}


def record(**changes: Any) -> dict[str, Any]:
    return {
        "parameters": parameters(755_206),
        "flops": {"forward": 1_815_611_392, "alignment": 98_304},
        "seconds": 90.0,
        "peak_memory_bytes": 787_931_136,
        "hardware": HARDWARE,
        **changes,
    }


def results(runs: Path) -> list[Result]:
    loaded, left_out = load_runs(runs)
    assert left_out == []
    return pool_seeds(loaded)[0]


def table(runs: Path) -> Comparison:
    (found,) = build_comparisons(results(runs))
    return found


def lines(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def texts(row: Any) -> dict[str, str]:
    return {cost.short: cost.text(row.costs) for cost in COSTS}


def test_costs_of_a_result(runs: Path, add_run: AddRun) -> None:
    add_run(record=record())
    add_run(record=record(seconds=270.0, peak_memory_bytes=800_000_000), seed=1)
    (result,) = results(runs)
    costs = result.costs
    assert (costs.trained_parameters, costs.flops, costs.device) == (
        *((755_206, 755_206), (1_815_611_392, 1_815_611_392)),
        "cpu",
    )
    assert costs.peak_memory_bytes == 800_000_000
    # 90 s and 270 s on four cores: a tenth and three tenths of a core hour.
    assert result.costs.device_hours == pytest.approx(0.2)
    (line,) = lines(results_csv([result]))
    assert {name: line[name] for name in COST_FIELDS} == {
        "trained_parameters": "755206",
        "flops": "1815611392",
        "seconds": "180",
        "device": "cpu",
        "device_hours": "0.2",
        "peak_memory_bytes": "800000000",
        "learning_rates": "1",
        "not_checked": " ".join(UNKNOWN.not_checked),
    }
    assert result.as_json()["device_hours"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("changes", "hours"),
    [
        ({"hardware": GPU, "processes": 8}, 8 * 90 / 3600),
        ({"hardware": GPU}, 90 / 3600),  # a record from before there could be several
        ({"processes": 2}, 2 * 4 * 90 / 3600),
        ({"hardware": None}, None),
        ({"seconds": None}, None),
    ],
)
def test_device_hours(runs: Path, add_run: AddRun, changes: dict[str, Any], hours: float | None) -> None:
    add_run(record=record(**changes))
    (result,) = results(runs)
    assert result.costs.device_hours == (None if hours is None else pytest.approx(hours))


def test_hours_of_different_devices_are_not_averaged(runs: Path, add_run: AddRun) -> None:
    add_run(record=record())
    add_run(record=record(hardware=GPU), seed=1)
    (result,) = results(runs)
    assert (result.costs.device, result.costs.device_hours) == (None, None)
    assert result.costs.seconds == 90


def test_learning_rates_that_were_tried(runs: Path, add_run: AddRun) -> None:
    for lr in (1e-4, 3e-4, 1e-3):
        for seed in (0, 1):
            add_run(lr=lr, seed=seed)
    add_run(lr=3e-3, batch_size=8)
    add_run(lr=3e-3, modality="thermal")
    add_run(method="linear")
    add_run(method="zero-shot", tuning="none", epochs=0, lr=0.0)
    found = {
        (item.config.method, item.config.modality, item.config.batch_size): item for item in results(runs)
    }
    tried = {key: item.learning_rates for key, item in found.items()}
    assert tried == {
        ("simcmf", "nir", 4): 3,
        ("simcmf", "nir", 8): 1,
        ("simcmf", "thermal", 4): 1,
        ("linear", "nir", 4): 1,
        ("zero-shot", "nir", 4): 0,
    }


@pytest.mark.parametrize(
    ("noted", "tried"),
    [
        ({"scores": {"3e-06": 0.1, "0.0001": None, "0.0003": 0.5, "0.001": 0.4}, "stopped_early": []}, 5),
        (None, 2),
    ],
)
def test_a_sweep_tells_of_the_rates_that_it_stopped(
    runs: Path, add_run: AddRun, noted: Any, tried: int
) -> None:
    add_run(lr=3e-4, record={"learning_rates": noted})
    add_run(lr=3e-3)
    assert {item.learning_rates for item in results(runs)} == {tried}


def test_columns_of_the_comparison(runs: Path, add_run: AddRun) -> None:
    for path in (
        add_run(record=record()),
        add_run(
            modality="thermal", record=record(flops={"forward": 2_000_000_000, "alignment": 0}, seconds=27.0)
        ),
        add_run(0.2, method="linear"),
    ):
        keep_check(path, Check(level="own run"))
    found = table(runs)
    first, second = found.rows
    assert texts(first) == {
        "trained": "755 k",
        "FLOPs": "1.82–2 G",
        "s a run": "58.5",
        "device hours": "0.065 core-h",
        "memory": "788 MB",
        "lrs tried": "1",
    }
    assert texts(second) == {**dict.fromkeys(texts(first), ""), "lrs tried": "1"}
    head = next(line for line in comparison_markdown([found]).splitlines() if line.startswith("| method"))
    assert head.endswith(
        "| seeds | check | trained parameters | FLOPs an image | seconds a run | device hours a run | "
        "peak memory | learning rates tried |"
    )
    assert "| 1 | own run | 755 k | 1.82–2 G | 58.5 | 0.065 core-h | 788 MB | 1 |" in comparison_markdown(
        [found]
    )
    costs = comparison_latex([found]).split(r"\end{table}")[2]
    assert r"simcmf, lora & 755 k & 1.82--2 G & 58.5 & 0.065 core-h & 788 MB & 1 \\" in costs
    cells = {(line["method"], line["modality"]): line for line in lines(comparison_csv([found]))}
    assert cells["simcmf", "thermal"]["flops"] == "2000000000"
    assert cells["simcmf", "thermal"]["device_hours"] == "0.03"
    assert cells["linear", "nir"]["flops"] == ""
    assert "here a processor (cpu)." in cost_notes(found)[0]


def test_the_figure_and_its_numbers(runs: Path, add_run: AddRun) -> None:
    add_run(record=record())
    add_run(0.4, method="linear", record=record(hardware=GPU, seconds=36.0))
    add_run(0.3, method="zero-shot", tuning="none", epochs=0, lr=0.0)
    add_run(0.2, method="disc", record=record(parameters=parameters(0)))
    found = table(runs)
    figure = draw_cost(cost_plot(found, RowStyles([found])))
    assert figure is not None
    files = cost_files([None, figure])
    assert list(files) == ["cost-2.svg", "cost-2.png"]
    numbers = {line["method"]: line for line in lines(cost_csv([found]))}
    assert numbers["simcmf"]["miou"] == "50.00"
    assert numbers["simcmf"]["trained_parameters"] == "755206"
    assert (numbers["linear"]["device"], numbers["linear"]["device_hours"]) == ("cuda", "0.01")
    assert numbers["zero-shot"]["flops"] == ""
    assert numbers["disc"]["trained_parameters"] == "0"
    assert isinstance(files["cost-2.svg"], str)
    drawn = ElementTree.fromstring(files["cost-2.svg"])
    # On a ground of its own: viewers of pictures may be dark.
    assert (drawn[0].tag.rpartition("}")[2], drawn[0].get("fill")) == ("rect", "#ffffff")
    assert TEXT not in files["cost-2.svg"]
    words = {element.text for element in drawn.iter() if element.text}
    for word in ("trained parameters", "FLOPs an image", "device hours a run", "peak memory, bytes"):
        assert word in words
    assert {"simcmf, lora", "linear, lora", "zero-shot", "disc", "mIoU, %, nir"} <= words
    assert comparison_title(found) in words
    assert isinstance(files["cost-2.png"], bytes)
    assert files["cost-2.png"].startswith(b"\x89PNG")
    assert draw_cost(cost_plot(found, RowStyles([found]))) == figure
    inline = inline_svg(figure.svg)
    assert inline.startswith("<svg")
    assert "currentColor" in inline
    assert TEXT not in inline


def test_floors_alone_have_no_figure(runs: Path, add_run: AddRun) -> None:
    add_run(0.2, method="disc", tuning="none", record=record())
    found = table(runs)
    assert draw_cost(cost_plot(found, RowStyles([found]))) is None
    assert lines(cost_csv([found]))[0]["method"] == "disc"
    assert lines(cost_csv([])) == []


def test_names_are_no_formulas(runs: Path, add_run: AddRun) -> None:
    add_run(tuning="$a_{$ <b>", record=record())
    found = table(runs)
    figure = draw_cost(cost_plot(found, RowStyles([found])))
    assert figure is not None
    assert "simcmf, $a_{$ &lt;b&gt;" in figure.svg


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (400_000, 6_000_000, [500_000, 1e6, 2e6, 5e6]),
        (1.2e9, 3.5e9, [1.5e9, 2e9, 3e9]),
        (1, 1e9, [1, 1e3, 1e6, 1e9]),
        (0.6, 1.6, [0.7, 1, 1.5]),
        # 400 M and 500 M would touch.
        (3.6e8, 1.45e9, [5e8, 7e8, 1e9]),
    ],
)
def test_ticks_are_few_and_round(low: float, high: float, ticks: list[float]) -> None:
    assert _ticks(low, high) == pytest.approx(ticks)


def test_numbers_in_words() -> None:
    assert [short(number) for number in (0, 999, 1000, 999_600, 1.5e9, 5.46e12)] == [
        *("0", "999", "1 k", "1 M", "1.5 G", "5.46 T")
    ]
    assert span(755_000, 761_000, short) == "755–761 k"
    assert span(999, 1000, short) == "999–1 k"
    assert span(900_000, 1_100_000, short) == "900 k–1.1 M"
    assert span(3, 3, short) == "3"


def test_what_an_early_record_does_not_say_stays_empty(runs: Path, add_run: AddRun) -> None:
    early = {"flops": {"image_and_click": 5}, "hardware": {"device": "cpu"}, "code": {}, "dataset": {}}
    add_run(record=record(**early))
    report = write_report(runs, runs.parent / "out")
    assert report.left_out == ()
    (found,) = report.results
    assert (found.costs.flops, found.costs.device, found.costs.device_hours) == (None, "cpu", None)
    assert found.costs.seconds == 90
