"""The page of `aims view` in a browser."""

from __future__ import annotations

import pytest
from browsers import a_browser
from playwright.sync_api import expect
from tiny_set import NAMES, Tiny

from aims.data.write import convert


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("viewed")
    from aims.data.page import choose_images, render_page
    from aims.data.read import Dataset

    convert(Tiny(raw=folder), folder / "set")
    dataset = Dataset.open(folder / "set")
    (folder / "page.html").write_text(render_page(dataset, choose_images(dataset, 24)).html, encoding="utf-8")
    with a_browser() as browser:
        page, said = browser.new_page(), []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto((folder / "page.html").as_uri())
        yield page
        assert said == []


def shown(page):
    return page.locator(".card:visible h2").all_text_contents()


def test_images_and_instances_are_filtered(page):
    told, reset = page.locator("#filter output"), page.locator("#filter button")
    assert shown(page) == [*NAMES]
    page.locator("[name=class]").select_option("leaf")
    expect(told).to_have_text("2 of 3 images, 3 instances")
    assert shown(page) == [*NAMES[:2]]
    assert page.locator(".line:visible").count() == 3
    page.locator("[name=low]").fill("2")
    expect(told).to_have_text("1 of 3 images, 1 instances")
    reset.click()
    expect(told).to_have_text("")
    page.locator("[name=group]").select_option("<lab>")
    assert shown(page) == [NAMES[2]]
    # The arrows of an enlarged picture stay among those that are shown.
    page.locator(".card:visible .frame").first.click()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
        expect(page.locator("dialog .whose")).to_have_text(NAMES[2])
    page.keyboard.press("Escape")
    reset.click()
    expect(page.locator(".card:visible")).to_have_count(3)


def test_the_clicks_of_one_protocol_are_shown_at_first(page):
    clicks = {name: page.locator(f".card .{name}:visible").count() for name in ("strict", "paper")}
    assert clicks["strict"] > 0
    assert clicks["paper"] == 0
    # What the switch switches on is seen beside it.
    assert page.locator(".tools .paper").is_visible()
