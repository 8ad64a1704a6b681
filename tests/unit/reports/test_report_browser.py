"""The page of `aims report` in a real browser: sorting, filters, details, dark mode, what it must not do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from page_in_browser import MARKUP, SCRIPT, cell, column, scores, strict
from playwright.sync_api import expect

from aims.reports.figures.pair import compare_runs
from aims.reports.runs.load import load_runs


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


def test_columns_are_hidden_and_rows_picked_and_the_address_says_so(open_page, page_path):
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

    again = open_page(state=page.url.removeprefix(page_path.as_uri()))
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


def test_two_rows_head_to_head(open_page, page_path):
    page = open_page()
    part = strict(page)
    part.get_by_label("pick simcmf, full").check()
    part.get_by_label("pick scratch, full").check()
    part.get_by_role("button", name="Compare two rows").click()
    dialog = page.get_by_role("dialog")
    assert dialog.get_by_role("heading", name="simcmf, full against scratch, full").is_visible()
    lines = [row.locator("th, td").all_inner_texts() for row in dialog.locator("table.runs tbody tr").all()]
    loaded, _ = load_runs(page_path.parent / "runs")
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
