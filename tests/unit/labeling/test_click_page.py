"""`aims click`'s page in a real browser, by real clicks; and what its server refuses."""

from __future__ import annotations

import re
import socket
import threading
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import numpy as np
import pytest
from browsers import a_browser
from playwright.sync_api import expect
from refusals import refused

import aims
from aims.core.errors import InputError
from aims.labeling.folder import LabelFolder
from aims.labeling.page import Page
from aims.labeling.server import HOST, PageServer
from aims.labeling.session import Session
from aims.prediction.sources import find_sources

CHANGED = "([id, old]) => document.querySelector(`#${id} img`).src !== old"
FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture(scope="module")
def browser():
    with a_browser() as found:
        yield found


@pytest.fixture
def session(model, made_up, tmp_path):
    sources = find_sources([made_up.folder], model.rules, split="test")
    return Session([model, model], sources, LabelFolder(tmp_path / "labels", model.rules.streams, ["box"]))


@pytest.fixture
def called(monkeypatch):
    """Addresses beyond this machine that were called."""
    found = []
    connect = socket.socket.connect

    def watch(self, address):
        if self.family != socket.AF_UNIX and address[0] not in (HOST, "localhost", "::1"):
            found.append(address)
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", watch)
    yield found
    assert found == []


@pytest.fixture
def address(session, called):
    server = PageServer(Page(session).app)
    thread = threading.Thread(target=server.run)
    thread.start()
    yield server.address
    server.stop()
    thread.join(20)
    assert not thread.is_alive()


class Clicker:
    """A person at the page."""

    def __init__(self, page):
        self.page = page
        self.picture = page.locator("#canvas-0 img")

    def see(self, act, canvas="canvas-0"):
        """Acts and waits for another picture."""
        old = self.page.locator(f"#{canvas} img").get_attribute("src")
        act()
        self.page.wait_for_function(CHANGED, arg=[canvas, old])
        # The other components take their part of the answer in the same frame or the next.
        self.page.evaluate(FRAMES)

    def at(self, x, y):
        area = self.picture.bounding_box()
        return area["x"] + x * area["width"], area["y"] + y * area["height"]

    def click(self, x, y, **options):
        self.see(lambda: self.page.mouse.click(*self.at(x, y), **options))

    def drag(self, first, last):
        def act():
            self.page.mouse.move(*self.at(*first))
            self.page.mouse.down()
            self.page.mouse.move(*self.at(*last), steps=3)
            self.page.mouse.up()

        self.see(act)

    def press(self, name):
        self.see(lambda: self.page.locator(f"#{name}").click())


@pytest.fixture
def clicker(browser, address):
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    said, asked = [], []
    page.on("console", lambda message: message.type in ("error", "warning") and said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.wait_for_function("document.querySelector('#canvas-0 img')?.naturalWidth > 1")
    yield Clicker(page)
    context.close()
    assert said == []
    assert {urlsplit(url).netloc for url in asked if not url.startswith("data:")} == {
        urlsplit(address).netloc
    }


def test_a_name_is_shown_and_not_obeyed(clicker, session):
    page = clicker.page
    clicker.drag((0.75, 0.75), (0.25, 0.25))
    page.locator("#class input").fill("<img src=x onerror=alert(1)> \u202ejpg")
    page.locator("#class input").press("Enter")
    page.locator("#save").click()
    expect(page.locator("#message [role=alert]")).to_contain_text(r"<img src=x onerror=alert(1)> \u202ejpg")
    assert page.locator("img[src=x]").count() == 0
    assert session.objects == ()


def test_a_person_labels_pictures(clicker, session, made_up, tmp_path):
    page, (height, width) = clicker.page, session.arrays["signal"].shape[:2]
    first = session.name
    clicker.click(0.51, 0.26)
    clicker.click(0.11, 0.91, button="right")
    places = ((0.51, 0.26), (0.11, 0.91))
    assert session.asked.points == tuple((int(x * width), int(y * height)) for x, y in places)
    assert session.asked.labels == (1, 0)
    clicker.press("undo")
    assert session.asked.labels == (1,)
    clicker.drag((0.75, 0.75), (0.25, 0.25))
    left, top, right, bottom = session.asked.box
    assert np.allclose(
        [left / width, top / height, right / width, bottom / height], [0.25, 0.25, 0.75, 0.75], atol=0.03
    )
    mask = session.answers[0].instances.masks[0]
    expect(page.locator("#canvas-0 .answer")).to_contain_text(f"{mask.sum():,} pixels")
    page.locator("#class input").fill("grüner Baum")
    page.locator("#class input").press("Enter")
    clicker.press("save")
    expect(page.locator("#heading")).to_contain_text("1 object in 1 picture saved")
    expect(page.locator("#saved input")).to_have_value("1: grüner Baum")
    clicker.press("next")
    assert session.index == 1
    expect(page.locator("#heading")).to_contain_text("picture 2 of")
    clicker.drag((0.1, 0.1), (0.6, 0.6))
    page.locator("#chosen label").nth(1).click()
    clicker.press("save")
    labels = session.labels
    aims.convert("folder", config=labels.path / "labels.toml", raw=labels.path, out=tmp_path / "set")
    dataset = aims.open(tmp_path / "set")
    images = {image.image_id: image for image in (dataset[k] for k in range(len(dataset)))}
    assert len(images) == 2
    found = images[first.replace("/", "--")]
    assert np.array_equal(found.instances > 0, mask)
    assert [dataset.spec.classes[each["class_id"] - 1] for each in found.objects] == ["grüner Baum"]
    expected = next(image for image in aims.open(made_up.folder) if first.endswith(image.image_id))
    assert np.array_equal(found.streams["signal"], expected.streams["signal"])
    clicker.press("remove")
    assert labels.count() == (1, 1)


def test_keys_zoom_and_display(clicker, session):
    page, (height, width) = clicker.page, session.arrays["signal"].shape[:2]
    clicker.click(0.5, 0.5)
    clicker.see(lambda: page.keyboard.press("z"))
    assert not session.asked
    page.mouse.move(*clicker.at(0.999, 0.999))
    for _ in range(2):
        clicker.see(lambda: page.mouse.wheel(0, -100))
        time.sleep(0.2)
    clicker.click(0.001, 0.999)
    (x, y), *_ = session.asked.points
    # At 1.5 x 1.5 the lower right corner stays where it is.
    assert abs(x - (width - width / 2.25)) <= 1
    assert y == height - 1
    clicker.see(lambda: page.keyboard.press("ArrowLeft"))
    page.locator("#display button").first.click()
    # What is written into a slider in the very moment that it appears is set back by it.
    page.evaluate(FRAMES)
    channel, high = (page.locator(f"#{name} input[type=number]") for name in ("channel", "high"))
    clicker.see(lambda: channel.fill("2"))
    clicker.see(lambda: high.fill("0.5"))
    expect(page.locator("#canvas-0 .caption")).to_contain_text("to 0.5")
    expect(page.locator("#own input")).not_to_be_checked()


def test_what_a_person_does_wrong_is_said(clicker, session):
    page = clicker.page
    page.locator("#save").click()
    expect(page.locator("#message [role=alert]")).to_contain_text("nothing to save")
    clicker.click(0.5, 0.5)
    page.locator("#class input").fill("a/b")
    page.locator("#class input").press("Enter")
    page.locator("#save").click()
    expect(page.locator("#message [role=alert]")).to_contain_text("class 'a/b'")
    assert not session.objects


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_on_a_telephone(clicker, scheme):
    page = clicker.page
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 400, "height": 850})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    edges = page.locator("#save, #picture, #canvas-0 img, #canvas-1 img")
    for k in range(edges.count()):
        area = edges.nth(k).bounding_box()
        assert area["x"] >= 0
        assert area["x"] + area["width"] <= 400


def get(url, **headers):
    """Status and text of an answer, without following it elsewhere."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args, **kwargs):
            return None

    opener = urllib.request.build_opener(Stay, urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers


def test_the_server_gives_nothing_to_others(address, session, tmp_path):
    root, port = address.split("?")[0], urlsplit(address).port
    (tmp_path / "secret.txt").write_text("secret")
    status, text, _ = get(root)
    assert status == 403
    assert "token" in text
    for wrong in ("wrong", "%C3%A9", ""):
        assert get(f"{root}?token={wrong}")[0] == 403
    status, _, headers = get(address)
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"].split(";")[0]
    assert "SameSite=Strict" in headers["set-cookie"]
    status, text, _ = get(root, Cookie=cookie)
    assert status == 200
    assert "gradio" in text
    for path in (
        f"gradio_api/file={tmp_path / 'secret.txt'}",
        f"file={tmp_path / 'secret.txt'}",
        "gradio_api/upload",
        "gradio_api/proxy=http://example.com",
        "gradio_api/call/click",
        "static/../../secret.txt",
        "docs",
        "openapi.json",
    ):
        status, text, _ = get(f"{root}{path}", Cookie=cookie)
        assert status in (403, 404), path
        assert "secret" not in text
    for host in ("evil.example", f"evil.example:{port}"):
        assert get(root, Cookie=cookie, Host=host)[0] == 404
    for wrong in (f"{cookie}x", "aims-click=1", f"{cookie[: cookie.index('=')]}=\xe9", "a\x01b=1", "[]=()"):
        assert get(root, Cookie=wrong)[0] == 403
    assert re.search(r'"analytics_enabled": ?false', get(root, Cookie=cookie)[1])


def test_a_port_that_is_taken_is_refused(session):
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with refused(InputError, f"--port {port}"):
            PageServer(Page(session).app, port)
