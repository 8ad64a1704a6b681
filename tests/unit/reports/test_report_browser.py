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
from aims.reports.figures.pair import compare_runs
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
    styles = RowStyles(tables)
    costs = [draw_cost(cost_plot(table, styles)) for table in tables]
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

    def call(state="", **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri() + state)
        return page

    yield call
    for context in contexts:
        context.close()
    assert said == []
    assert {url.partition("#")[0] for url in asked if not url.startswith("data:")} == {path.as_uri()}


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
    shown = page.locator("output[name=shown]")
    expect(shown).to_have_text("6 of 6 rows in 2 of 2 tables")
    page.get_by_label("protocol").select_option("strict")
    expect(shown).to_have_text("5 of 6 rows in 1 of 2 tables")
    page.get_by_label("tuning").select_option("full")
    assert set(column(page, scores(page), "method")) == {"simcmf,", "random-embed,", "scratch,"}
    page.get_by_label("modality").select_option("echo")
    expect(scores(page).locator("th[data-modality]:visible")).to_have_text(["echo"])
    # Training and instances of the other sensor are gone as well.
    expect(page.locator("h3:visible")).to_have_text(["Training, echo", "Instances, echo"])
    page.get_by_label("search").fill("EMBED full")
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


def test_search_finds_words_of_rows_and_tables(open_page):
    page = open_page()
    shown = page.locator("output[name=shown]")
    for words, number in (
        ("lora", 1),
        ("made-up simcmf", 3),
        ("made-up nothing", 0),
        ("echo full simcmf", 1),
    ):
        page.get_by_label("search").fill(words)
        expect(shown).to_have_text(re.compile(f"^{number} of 6 rows"))


def opened(page, modality):
    """Opens the block of a modality: of several, the first alone is open."""
    block = strict(page).locator(f".block[data-modality={modality}]")
    if block.get_attribute("open") is None:
        block.locator("summary").first.click()


def test_training_curves_are_drawn(open_page):
    page = open_page()
    opened(page, "signal")
    drawn = page.locator("section[data-protocol=strict] .block[data-modality=signal] .curves")
    loss, score = drawn.get_by_role("img").all()
    words = loss.get_attribute("aria-label")
    assert re.match(r"training loss over epochs \d+ to \d+: ", words)
    rows = words.partition(": ")[2].split("; ")
    assert "simcmf, full" in rows
    # Every line has its name at its end, in places of their own, and a marker at every epoch.
    ends = loss.locator("text.end").all()
    assert [end.text_content() for end in ends] == rows
    places = sorted(float(end.get_attribute("y")) for end in ends)
    assert all(below - above >= 13.9 for above, below in pairwise(places))
    assert loss.locator("polyline").count() == len(rows)
    assert loss.locator(".marker").count() == 3 * len(rows)
    # Two seeds: a band around their mean. Numbers are numbers, inside the picture.
    assert loss.locator("polygon").count() == 1
    assert "NaN" not in drawn.inner_html()
    for figure in (loss, score):
        _, _, width, height = map(float, figure.get_attribute("viewBox").split())
        for line in figure.locator("polyline").all():
            points = [tuple(map(float, one.split(","))) for one in line.get_attribute("points").split()]
            assert all(0 <= x <= width and 0 <= y <= height for x, y in points)


def strict(page):
    return page.locator("section[data-protocol=strict]")


def test_the_first_screen_says_shows_and_draws(open_page):
    page = open_page(viewport={"width": 1400, "height": 900})
    part = strict(page)
    said = part.locator(".finding").inner_text()
    assert said.startswith("On the mean of 2 modalities, ")
    plot = part.locator(".dots svg")
    rows = [label for label in column(page, scores(page), "method") if label != "disc"]
    # LoRA has no mean; the disc is a line.
    assert plot.locator("g").count() == len(rows) - 1 == 3
    assert plot.locator(".floor-line").count() == 1
    part.get_by_role("group").get_by_role("button", name="signal").click()
    assert plot.locator("g").count() == 4
    assert part.locator(".finding").inner_text().startswith("On signal, simcmf (lora) 47.5 ")
    shown = part.locator(".glance .tile")
    assert shown.count() == 4
    assert [text.split()[0] for text in shown.all_inner_texts()] == [
        "echo,",
        "truth",
        "simcmf,",
        "scratch,",
    ]


def test_contents_name_tables_apart_and_lead_to_them(open_page):
    page = open_page(state="#?words=simcmf")
    links = page.get_by_role("navigation", name="Contents").get_by_role("link")
    assert [text.rpartition(" ")[0] for text in links.all_inner_texts()] == [
        "made-up, protocol paper",
        "made-up, protocol strict",
    ]
    links.last.click()
    # Below the contents, which stay, and without a trace in the address.
    expect(strict(page).get_by_role("heading", name="made-up, protocol strict")).to_be_in_viewport()
    assert page.url.endswith("words=simcmf")


def test_columns_and_marks_are_explained_where_they_stand(open_page):
    page = open_page()
    heads = scores(page).locator("thead th")
    assert all(head.get_attribute("title") for head in heads.all()[1:])
    told = scores(page).locator("tbody td", has_text="core-h").first.get_attribute("title")
    assert told == "?: not checked, as said by who made the run."
    for mark in scores(page).locator(".mark").all():
        assert mark.get_attribute("title").endswith("from the best of the column")


def test_a_method_has_one_colour_everywhere(open_page):
    page = open_page()
    part = strict(page)
    place = "tr[data-name='scratch, full'] .row-key path"
    colour = scores(page).locator(place).get_attribute("stroke")
    label = part.locator(".dots g", has_text="scratch, full").locator(".marker")
    line = part.locator(".curves g", has_text="scratch, full").first
    tile = part.locator(".gallery .tile", has_text="scratch, full").first.locator(".mask")
    assert label.get_attribute("stroke") == line.get_attribute("stroke") == colour
    assert colour in tile.get_attribute("style")
    assert colour in part.locator(".cost").inner_html()
    assert len({key.get_attribute("stroke") for key in scores(page).locator(".row-key path").all()}) == 4


def test_columns_are_hidden_and_rows_picked_and_the_address_says_so(open_page, path):
    page = open_page()
    part = strict(page)
    part.get_by_text("Columns").click()
    part.get_by_label("seeds", exact=True).uncheck()
    page.keyboard.press("Escape")
    expect(part.get_by_label("check", exact=True)).not_to_be_visible()
    assert scores(page).get_by_role("columnheader", name="seeds").count() == 0
    scores(page).get_by_role("columnheader", name="echo").get_by_role("button").click()
    page.get_by_label("search").fill("simcmf")
    part.get_by_label("pick simcmf, full").check()
    compares = part.get_by_role("button", name="Compare two rows")
    expect(compares).to_be_disabled()
    part.get_by_label("pick simcmf, lora").check()
    expect(compares).to_be_enabled()

    again = open_page(state=page.url.removeprefix(path.as_uri()))
    assert again.get_by_label("search").input_value() == "simcmf"
    assert column(again, scores(again), "method") == ["simcmf,", "simcmf,"]
    assert scores(again).get_by_role("columnheader", name="seeds").count() == 0
    assert scores(again).get_by_role("columnheader", name="echo").get_attribute("aria-sort") == "descending"
    assert scores(again).locator("tr.picked").count() == 2
    assert again.url == page.url
    again.get_by_role("button", name="Show all").click()
    # What was filtered is forgotten; what was picked is not.
    expect(again.locator("output[name=shown]")).to_have_text("6 of 6 rows in 2 of 2 tables")
    assert "words" not in again.url


@pytest.mark.parametrize(
    "state",
    ["#?1.hide=7&1.pick=[&1.sort=x&1.column=none&protocol=%3Cimg%3E", "#?%", "#table-1", "#?9.sort=a"],
)
def test_an_address_that_does_not_fit_is_passed_over(open_page, state):
    page = open_page(state=state)
    expect(page.locator("output[name=shown]")).to_have_text("6 of 6 rows in 2 of 2 tables")


def test_two_rows_head_to_head(open_page, path):
    page = open_page()
    part = strict(page)
    part.get_by_label("pick simcmf, full").check()
    part.get_by_label("pick scratch, full").check()
    part.get_by_role("button", name="Compare two rows").click()
    dialog = page.get_by_role("dialog")
    assert dialog.get_by_role("heading", name="simcmf, full against scratch, full").is_visible()
    lines = [row.locator("th, td").all_inner_texts() for row in dialog.locator("table.runs tbody tr").all()]
    loaded, _ = load_runs(path.parent / "runs")
    found = {
        (run.config.method, run.config.modality): run for run in loaded if run.config.protocol == "strict"
    }
    assert [line[0] for line in lines] == ["echo", "signal", "mean"]
    difference = compare_runs(*(found[method, "echo"].path for method in ("simcmf", "scratch"))).difference
    value, p = lines[0][3].split(" ")[0], float(lines[0][4])
    assert value == f"+{100 * difference.value:.2f}"
    assert p == float(f"{difference.p:.2g}") <= float(lines[0][5])
    assert lines[0][6] == difference.verdict
    # The same instances under both, beside the truth.
    assert dialog.locator(".instance").first.locator(".tile").count() == 4


def test_tables_are_saved_as_they_are_shown(open_page):
    page = open_page()
    part = strict(page)
    page.get_by_label("tuning").select_option("lora")
    part.get_by_role("group").get_by_role("button", name="signal").click()
    texts = {}
    for kind in ("CSV", "JSON", "LaTeX", "PNG"):
        part.get_by_text("Save").click()
        with page.expect_download() as saved:
            part.get_by_role("button", name=kind, exact=True).click()
        page.keyboard.press("Escape")
        texts[saved.value.suggested_filename] = Path(saved.value.path()).read_bytes()
    assert list(texts) == [f"aims-made-up.{kind}" for kind in ("csv", "json", "tex", "png")]
    csv, rows, latex, png = texts.values()
    head, line, *rest = csv.decode().splitlines()
    assert head.startswith("method,echo,echo low,echo high,signal,")
    assert line.startswith('"simcmf, lora",,,,47.5,')
    assert rest == []
    assert json.loads(rows)[0]["signal"] == 47.5
    assert b"simcmf, full" in latex
    assert b"\\begin{table}" in latex
    assert png.startswith(b"\x89PNG")


def test_every_column_is_reached_in_a_usual_window(open_page):
    page = open_page(viewport={"width": 1400, "height": 900})
    box = scores(page).locator("xpath=..")
    assert box.evaluate("one => one.scrollWidth <= one.clientWidth")
    # The head stays where a long table is scrolled.
    page.set_viewport_size({"width": 1400, "height": 260})
    head = scores(page).get_by_role("columnheader", name="memory")
    before = head.bounding_box()["y"]
    box.evaluate("one => one.scrollTo(0, 60)")
    assert box.evaluate("one => one.scrollTop") > 0
    assert head.bounding_box()["y"] == before


@pytest.mark.parametrize("width", [1000, 1280, 1401])
def test_lines_below_rows_are_straight(open_page, width):
    page = open_page(viewport={"width": width, "height": 900})
    heights = scores(page).evaluate(
        "table => [...table.rows].map((row) => [...row.cells].map((td) => td.getBoundingClientRect().bottom))"
    )
    assert all(max(bottoms) - min(bottoms) < 0.01 for bottoms in heights)
    # No border, which a sticky cell draws at a place of its own.
    assert scores(page).evaluate(
        "table => [...table.tBodies[0].querySelectorAll('th, td')].every((cell) => "
        "getComputedStyle(cell).borderBottomWidth === '0px')"
    )


def gallery(page, modality="signal"):
    opened(page, modality)
    return strict(page).locator(f".gallery[data-of={modality}]")


def test_pictures_enlarge_and_keys_lead_on(open_page):
    page = open_page()
    tiles = gallery(page).locator(".instance:visible").first.locator(".tile")
    labels = [text.partition("\n")[0] for text in tiles.all_inner_texts()]
    assert labels == ["signal, click", "truth", "disc", *column_labels(page)]
    viewer = page.locator("#viewer")
    tiles.nth(3).get_by_role("button").click()
    caption = viewer.locator(".soft").inner_text()
    assert labels[3] in viewer.get_by_role("heading").inner_text()
    page.keyboard.press("ArrowRight")
    assert labels[4] in viewer.get_by_role("heading").inner_text()
    assert viewer.locator(".soft").inner_text() == caption
    page.keyboard.press("ArrowDown")
    assert labels[4] in viewer.get_by_role("heading").inner_text()
    assert viewer.locator(".soft").inner_text() != caption
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert labels[2] in viewer.get_by_role("heading").inner_text()
    mask = viewer.locator(".mask")
    assert mask.is_visible()
    page.keyboard.press("o")
    assert not mask.is_visible()
    page.keyboard.press("Escape")
    assert not viewer.is_visible()


def column_labels(page):
    return [row for row in scores(page).locator("tbody th").all_inner_texts() if row != "disc"]


def test_pictures_are_in_the_order_of_the_table(open_page):
    page = open_page()
    head = scores(page).get_by_role("columnheader", name="method").get_by_role("button")
    for _ in range(2):
        head.click()
    tiles = gallery(page).locator(".instance:visible").first.locator(".tile[data-row]").all()
    found = sorted(tiles, key=lambda tile: tile.bounding_box()["y"] * 10_000 + tile.bounding_box()["x"])
    labels = [tile.inner_text().partition("\n")[0] for tile in found]
    assert labels == sorted(labels) == scores(page).locator("tbody th").all_inner_texts()
    page.get_by_label("tuning").select_option("lora")
    shown = gallery(page).locator(".instance:visible").first.locator(".tile[data-row]:visible")
    assert [text.partition("\n")[0] for text in shown.all_inner_texts()] == ["simcmf, lora"]


def test_instances_are_filtered(open_page):
    page = open_page()
    part = gallery(page)
    instances = part.locator(".instance:visible")
    of = part.locator(".instance").count()
    assert instances.count() == 5
    part.get_by_label("all", exact=True).check()
    assert instances.count() == of
    part.get_by_label("mean IoU").select_option("below 0.25")
    ious = [float(one.get_attribute("data-iou")) for one in instances.all()]
    assert 0 < len(ious) < of
    assert max(ious) < 0.25
    expect(part.locator("output")).to_have_text(f"{len(ious)} of {of} instances")
    part.get_by_label("mean IoU").select_option("all")
    name = part.get_by_label("class").locator("option").nth(1).inner_text()
    part.get_by_label("class").select_option(name)
    assert {one.get_attribute("data-class") for one in instances.all()} == {name}
    mask = instances.first.locator(".mask").first
    assert mask.is_visible()
    part.get_by_label("outlines").uncheck()
    assert not mask.is_visible()


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
    assert dialog.locator("text.end").all_text_contents() == ["seed 0", "seed 1"] * 2
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


def test_the_instances_of_a_row_rise_with_its_iou(open_page):
    page = open_page()
    cell(page, "simcmf, lora", "signal").click()
    shown = page.locator("dialog[open] .tile")
    found = [float(text.split()[-1]) for text in shown.all_inner_texts()]
    assert len(found) == strict(page).locator(".gallery[data-of=signal] .instance").count()
    assert found == sorted(found)
    # The stored pictures are there, in whatever window they are shown.
    assert page.locator("dialog[open] use").evaluate_all(
        "all => all.every((one) => document.querySelector(one.getAttribute('href')))"
    )
    assert "In the order of the IoU of simcmf, lora." in page.locator("dialog[open]").inner_text()
    shown.first.get_by_role("button").first.click()
    assert page.locator("#viewer").is_visible()


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
    # The first score is on the first screen.
    score = page.locator(".dots .number").first.bounding_box()
    assert score["y"] + score["height"] < 844
    for part in page.locator("main summary:visible").all():
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
    assert page.locator(".finding").first.is_visible()
    assert page.locator(".instance svg").first.is_visible()
    assert not page.locator("#filters").is_visible()
    assert page.locator("table.scores button").count() == 0
