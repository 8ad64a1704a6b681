"""The page of `aims report` in a real browser: sorting, filters, details, dark mode, what it must not do."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from browsers import a_browser
from made_runs import CODE, HARDWARE, parameters, write_run
from playwright.sync_api import expect

from aims.core.records import METRICS
from aims.data.read import Dataset
from aims.data.write import convert
from aims.reports.comparison.build import build_comparisons
from aims.reports.figures.cost_figure import cost_plot, draw_cost
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
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
    tables = build_comparisons(results)
    costs = [draw_cost(cost_plot(table)) for table in tables]
    page.write_text(render_page(tables, [], costs=costs, data=folder / "data"), "utf-8")
    return page


@pytest.fixture(scope="module")
def browser():
    with a_browser() as found:
        yield found


@pytest.fixture
def open_page(browser, path):
    """Opens the page; at the end nothing may have been said on its console or asked of a network."""
    said, asked, contexts = [], [], []

    def call(**options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        return page

    yield call
    for context in contexts:
        context.close()
    assert said == []
    assert {url for url in asked if not url.startswith("data:")} == {path.as_uri()}


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


def test_a_column_head_sorts(open_page):
    page = open_page()
    table = scores(page)
    before = column(page, table, "method")
    # The floor, three methods and LoRA with one sensor alone.
    assert len(before) == 5
    head = table.get_by_role("columnheader", name="echo")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    found = column(page, table, "echo")
    assert found[-1] == ""  # what is not there comes last
    assert [float(text) for text in found[:-1]] == sorted(map(float, found[:-1]), reverse=True)

    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    again = column(page, table, "echo")
    assert again == [*found[-2::-1], ""]

    page.keyboard.press("Space")
    assert head.get_attribute("aria-sort") is None
    assert column(page, table, "method") == before

    table.get_by_role("columnheader", name="method").get_by_role("button").click()
    assert column(page, table, "method") == sorted(before, reverse=True)
    table.get_by_role("columnheader", name="trained").get_by_role("button").click()
    assert page.locator("[aria-sort]").count() == 1
    assert column(page, table, "trained")[-1] == "0"


def test_filters_hide_tables_columns_and_rows(open_page):
    page = open_page()
    shown = page.locator("output")
    expect(shown).to_have_text("6 of 6 rows in 2 of 2 tables")
    page.get_by_label("protocol").select_option("strict")
    expect(shown).to_have_text("5 of 6 rows in 1 of 2 tables")
    page.get_by_label("tuning").select_option("full")
    assert set(column(page, scores(page), "method")) == {"simcmf,", "random-embed,", "scratch,"}
    page.get_by_label("modality").select_option("echo")
    expect(scores(page).locator("th[data-modality]:visible")).to_have_text(["echo"])
    # Training and instances of the other sensor are gone as well.
    expect(page.locator("h3:visible")).to_have_text(["Training, echo", "Instances, echo"])
    page.get_by_label("method").fill("EMBED full")
    assert column(page, scores(page), "method") == ["random-embed,"]
    page.get_by_label("tuning").select_option("lora")
    expect(shown).to_have_text("0 of 6 rows in 0 of 2 tables")
    expect(page.get_by_text("No row fits these filters.")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(shown).to_have_text("6 of 6 rows in 2 of 2 tables")
    assert page.get_by_label("backbone").evaluate(
        "select => [...select.options].map((one) => one.value)"
    ) == [
        "",
        "sam-vit-b",
    ]


def test_training_curves_are_drawn(open_page):
    page = open_page()
    drawn = page.locator("section[data-protocol=strict] div[data-modality=signal] .curves")
    loss, score = drawn.get_by_role("img").all()
    words = loss.get_attribute("aria-label")
    assert re.match(r"training loss over epochs \d+ to \d+: ", words)
    rows = drawn.locator(".legend li").all_inner_texts()
    assert "simcmf, full" in rows
    assert words.partition(": ")[2].split("; ") == rows
    assert loss.locator("polyline").count() == len(rows)
    # Two seeds: a band around their mean. Numbers are numbers, inside the picture.
    assert loss.locator("polygon").count() == 1
    assert "NaN" not in drawn.inner_html()
    for figure in (loss, score):
        for line in figure.locator("polyline").all():
            points = [tuple(map(float, one.split(","))) for one in line.get_attribute("points").split()]
            assert all(0 <= x <= 440 and 0 <= y <= 220 for x, y in points)


def test_a_cell_opens_by_mouse(open_page):
    page = open_page()
    dialog = page.get_by_role("dialog")
    cell(page, "simcmf, full", "signal").click()
    assert dialog.get_by_role("heading", name="simcmf, full: signal").is_visible()
    text = dialog.inner_text()
    for said in ("2 seeds: 0, 1", "trained parameters", "0.02 core-h", "700 MB", "c0ffee", "torch 2"):
        assert said in text, said
    # Loss and validation score, a line a seed.
    assert dialog.locator("svg polyline").count() == 4
    assert dialog.locator(".legend li").all_inner_texts() == ["seed 0", "seed 1"]
    dialog.get_by_role("button", name="Close").click()
    assert not dialog.is_visible()
    cell(page, "disc", "signal").click()
    assert dialog.get_by_role("heading", name="disc", exact=True).is_visible()
    # Outside of it.
    page.mouse.click(5, 5)
    assert not dialog.is_visible()


def test_a_cell_opens_by_keyboard_and_gives_the_focus_back(open_page):
    page = open_page()
    dialog = page.get_by_role("dialog")
    for key in ("Enter", "Space"):
        button = cell(page, "scratch, full", "echo")
        button.focus()
        page.keyboard.press(key)
        assert dialog.get_by_role("heading", name="scratch, full: echo").is_visible()
        page.keyboard.press("Escape")
        assert not dialog.is_visible()
        assert button.evaluate("button => button === document.activeElement")


def test_a_mean_leads_to_its_sensors(open_page):
    page = open_page()
    dialog = page.get_by_role("dialog")
    cell(page, "simcmf, full", "(mean)").click()
    assert dialog.get_by_role("heading", name="simcmf, full: mean over 2 modalities").is_visible()
    assert dialog.locator("table.runs tbody tr").count() == 3
    dialog.get_by_role("button", name="echo").click()
    assert dialog.get_by_role("heading", name="simcmf, full: echo").is_visible()


def test_the_gallery_rises_from_the_worst_to_the_best(open_page):
    page = open_page()
    cell(page, "simcmf, lora", "signal").click()
    gallery = page.locator("dialog .gallery")
    for image in page.locator("dialog img").all():
        expect(image).not_to_have_js_property("naturalWidth", 0)
    found = [float(text.removeprefix("IoU ")) for text in gallery.locator("span").all_inner_texts()]
    assert len(found) == 9
    assert found == sorted(found)
    assert (found[0], found[-1]) == (0, 0.95)
    # Even steps of evenly spread values.
    assert all(0.05 < high - low < 0.2 for low, high in pairwise(found))
    assert re.search(
        r"9 of \d+ instances of seed 0: the worst, the best", page.locator("dialog").inner_text()
    )


def test_names_from_records_do_nothing(open_page):
    page = open_page()
    title = page.title()
    cell(page, "simcmf, full", "signal").click()
    dialog = page.get_by_role("dialog")
    text = dialog.inner_text()
    assert MARKUP.format(2) in text
    assert MARKUP.format(1) in text
    assert SCRIPT in text
    assert dialog.locator("script, img[src=x]").count() == 0
    assert page.title() == title == "AIMS leaderboard"
    # Where things lay on a disk is not told.
    assert "--data …/place" in text
    assert "secret" not in page.content()


def test_light_and_dark(open_page):
    sums = {}
    for scheme in ("light", "dark"):
        page = open_page(color_scheme=scheme)
        cell(page, "simcmf, full", "signal").click()
        for name in ("body", "section", "dialog", ".sort", "select"):
            ground, text = page.locator(name).first.evaluate(
                "one => [getComputedStyle(one).backgroundColor, getComputedStyle(one).color]"
            )
            sums[scheme, name] = tuple(
                sum(map(float, re.findall(r"[\d.]+", rgb)[:3])) for rgb in (ground, text)
            )
    for name in ("body", "section", "dialog", "select"):
        assert sums["light", name][0] > 700, name
        assert sums["dark", name][0] < 120, name
    for name in ("body", "section", "dialog", "select", ".sort"):
        assert sums["light", name][1] < sums["dark", name][1], name


def test_a_narrow_window_scrolls_tables_not_the_page(open_page):
    page = open_page(viewport={"width": 390, "height": 844})
    for part in page.locator("summary").all():
        part.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    cell(page, "simcmf, full", "signal").click()
    dialog = page.get_by_role("dialog")
    assert dialog.bounding_box()["width"] <= 390
    body = page.locator("#dialog-body")
    assert body.evaluate("one => one.scrollWidth <= one.clientWidth")
    assert dialog.get_by_role("button", name="Close").is_visible()


def test_without_scripts_the_tables_stand(open_page):
    page = open_page(java_script_enabled=False)
    assert page.locator("table.scores").first.is_visible()
    assert not page.locator("#filters").is_visible()
    assert page.locator("table.scores button").count() == 0
