"""The page of `aims report` on made-up runs, in a real browser: fixtures, and places on the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from browsers import a_browser
from made_runs import CODE, HARDWARE, parameters, write_run

from aims.core.records import METRICS
from aims.data.read import Dataset
from aims.data.write import convert
from aims.reports.comparison.build import build_comparisons
from aims.reports.comparison.pairs import find_rivals, pair_tests
from aims.reports.figures.cost_figure import cost_plot, draw_cost
from aims.reports.figures.row_styles import RowStyles
from aims.reports.page.page import render_page
from aims.reports.runs.load import load_runs
from aims.reports.runs.results import pool_seeds
from helpers import MadeUp

# No slash: it is a folder's name, too.
MARKUP = "<img src=x onerror=document.title={}>"
SCRIPT = "<script>document.title='hardware'</script>"


def write_runs(runs: Path, dataset: Dataset) -> None:
    """Three methods with two sensors, LoRA with one; two seeds of one, another protocol, a floor."""
    instances = {
        ref.image_id: int(dataset.read(ref, ("signal",)).instances.max()) for ref in dataset.index["test"]
    }

    def add(best: float, method: str = "simcmf", **changes: Any) -> None:
        # From 0 to `best`, in an order that is not that of the images.
        total = sum(instances.values())
        ious = iter(best * (7 * k % total) / (total - 1) for k in range(total))
        record = {
            "parameters": parameters(0 if method == "disc" else 1000),
            "flops": {"forward": 2_000_000, "alignment": 0},
            "seconds": 36.0,
            "peak_memory_bytes": 700_000_000,
            "hardware": {**HARDWARE, "threads": 2, "name": SCRIPT},
            "code": CODE,
            "command": ["/usr/bin/aims", "run", MARKUP.format(1), "--data", "/secret/place"],
        }
        path = write_run(
            runs,
            {image_id: [next(ious) for _ in range(number)] for image_id, number in instances.items()},
            record=record,
            method=method,
            **{"modality": "signal", "dataset": dataset.name, "fingerprint": dataset.fingerprint, **changes},
        )
        start = 1 + changes.get("seed", 0)
        lines = [{"epoch": epoch, "loss": start / epoch, "val_miou": epoch / 10} for epoch in (1, 2, 3)]
        (path / METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines))

    for modality, better in (("signal", 0.0), ("echo", 0.2)):
        for method, best in (("simcmf", 0.7), ("random-embed", 0.6), ("scratch", 0.4)):
            add(best + better, method, tuning="full", modality=modality)
    add(0.72, tuning="full", seed=1, folder=MARKUP.format(2))
    add(0.95, tuning="lora")
    add(0.8, tuning="full", protocol="paper")
    add(0.5, "disc")


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of made-up runs on a made-up set with two sensors."""
    folder = tmp_path_factory.mktemp("browser")
    for name in ("raw", "runs", "data"):
        (folder / name).mkdir()
    convert(
        MadeUp(raw=folder / "raw", images=8, size=(40, 52), stream=("signal", "echo")),
        folder / "data" / "made-up",
    )
    write_runs(folder / "runs", Dataset.open(folder / "data" / "made-up"))
    loaded, left_out = load_runs(folder / "runs")
    assert left_out == []
    results, _ = pool_seeds(loaded)
    page = folder / "index.html"
    tables = [*build_comparisons(results)]
    styles = RowStyles(tables)
    costs = [draw_cost(cost_plot(table, styles)) for table in tables]
    pairs = [pair_tests(find_rivals(table)) for table in tables]
    page.write_text(render_page(tables, [], pairs=pairs, costs=costs, data=folder / "data"), "utf-8")
    return page


@pytest.fixture(scope="module")
def browser():
    with a_browser() as found:
        yield found


@pytest.fixture
def open_page(browser, page_path):
    """Opens the page; at the end nothing may have been said on its console or asked of a network."""
    said, asked, contexts = [], [], []

    def call(state="", **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(page_path.as_uri() + state)
        return page

    yield call
    for context in contexts:
        context.close()
    assert said == []
    assert {url.partition("#")[0] for url in asked if not url.startswith("data:")} == {page_path.as_uri()}


def column(page, table, name):
    """Texts of a column of a table, of rows that can be seen."""
    return table.evaluate(
        """(table, name) => {
            const heads = [...table.tHead.rows[0].cells].map((head) => head.textContent.trim());
            const index = heads.indexOf(name);
            const rows = [...table.tBodies[0].rows].filter((row) => row.checkVisibility());
            return rows.map((row) => row.cells[index].textContent.trim().split(/[\\s[]/)[0]);
        }""",
        name,
    )


def scores(page):
    """The table of scores under `strict`; the one under `paper` stands before it."""
    return page.locator("section[data-protocol=strict] table.scores")


def cell(page, row, modality):
    return scores(page).locator(f"tr[data-name='{row}'] td[data-modality='{modality}'] button")


def strict(page):
    return page.locator("section[data-protocol=strict]")


def opened(page, modality):
    """Opens the block of a modality: of several, the first alone is open."""
    block = strict(page).locator(f".block[data-modality={modality}]")
    if block.get_attribute("open") is None:
        block.locator("summary").first.click()


def gallery(page, modality="signal"):
    opened(page, modality)
    return strict(page).locator(f".gallery[data-of={modality}]")


def column_labels(page):
    return [row for row in scores(page).locator("tbody th").all_inner_texts() if row != "disc"]
