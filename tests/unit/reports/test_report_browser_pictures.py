"""The page of `aims report` in a real browser: its first screen, curves and pictures."""

from __future__ import annotations

import re
from itertools import pairwise

from page_in_browser import cell, column, column_labels, gallery, opened, scores, strict
from playwright.sync_api import expect


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


def test_labels_of_curves_are_broken_where_there_is_no_room(open_page):
    page = open_page(viewport={"width": 320, "height": 900})
    opened(page, "signal")
    for figure in page.locator(
        "section[data-protocol=strict] .block[data-modality=signal] .curves svg"
    ).all():
        ends = figure.locator("text.end")
        assert "random-embed, full" in ends.all_text_contents()
        assert ends.locator("tspan").count() > ends.count()
        boxes = ends.evaluate_all(
            "all => all.map((end) => { const { x, y, width, height } = end.getBBox(); "
            "return [x, y, x + width, y + height]; })"
        )
        _, _, width, height = map(float, figure.get_attribute("viewBox").split())
        assert all(
            left >= 0 and right <= width + 1 and top >= 0 and bottom <= height
            for left, top, right, bottom in boxes
        )
        boxes.sort(key=lambda box: box[1])
        assert all(below[1] >= above[3] - 2 for above, below in pairwise(boxes))


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
    assert "the middle of the large instances below by mean IoU" in part.locator(".glance").inner_text()


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
