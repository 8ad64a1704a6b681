"""`aims report`: the page holds every table, the curves of what trained, and instances of all methods.

What the page does in a browser is tested in `test_report_browser.py`.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest
import toys

from aims.engine.run import run

METHODS = ("simcmf", "scratch", "random-embed")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three methods and a floor on a made-up set, two seeds of simcmf."""
    folder = tmp_path_factory.mktemp("page")
    dataset = toys.made_up_set(folder / "data" / "made-up")
    for method in METHODS:
        for seed in (0, 1)[: 1 + (method == "simcmf")]:
            run(toys.job(dataset, folder / "runs", method=method, seed=seed, epochs=2))
    nothing = dict.fromkeys(("tuning", "weights", "backbone", "loss"), "none")
    floor = {**nothing, "epochs": 0, "lr": 0.0, "batch_size": 1}
    run(toys.job(dataset, folder / "runs", method="disc", **floor))
    return folder


class Page(HTMLParser):
    """Collects tags, and the text of cells."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.cells, self.rows = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += f" {data.strip()}"

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def report(aims, made, tmp_path, *more):
    code, out, err = aims("report", "--runs", made / "runs", "--out", tmp_path / "out", *more)
    assert code == 0, err
    text = (tmp_path / "out" / "index.html").read_text("utf-8")
    return Page(text), text, out


def test_tables_curves_and_panels(aims, made, tmp_path):
    page, text, out = report(aims, made, tmp_path, "--data", made / "data", "--title", "A <b>title</b>")
    assert "<title>A &lt;b&gt;title&lt;/b&gt;</title>" in text
    heads = [row[0].split()[0] for row in page.rows if row]
    # The table of scores, then the paired tests of all but the reference.
    assert heads[:2] == ["method", "disc"]
    assert set(heads[2:5]) == {"simcmf,", "scratch,", "random-embed,"}
    assert "disc" in out
    pictures = page.all("image")
    # Every picture once, and the masks of every method and of the floor over it.
    assert all(picture["href"].startswith("data:image/webp;base64,") for picture in pictures)
    assert len({picture["id"] for picture in pictures}) == len(pictures) >= 6
    masks = [path for path in page.all("path") if path.get("class") == "mask"]
    assert len(masks) == len(pictures) * (1 + len(METHODS)) + 2
    # What the page draws itself stands there as numbers: loss and validation score of every seed.
    (numbers,) = re.findall(r'<script type="application/json" id="curves">(.*?)</script>', text)
    drawn = json.loads(numbers)["runs"]
    assert sorted(len(seeds) for seeds in drawn.values()) == [1, 1, 2]
    assert all(
        epochs == [1, 2] for seeds in drawn.values() for curves in seeds.values() for epochs, _ in curves[:1]
    )
    (rows,) = [json.loads(tag["data-rows"]) for tag in page.all("div") if "data-rows" in tag]
    (board,) = json.loads(re.findall(r'<script type="application/json" id="board">(.*?)</script>', text)[0])
    assert len(board["rows"]) == 1 + len(METHODS)
    assert len(board["pairs"][board["main"]]) == 6
    assert {key for _, key in rows} == set(drawn)
    assert "RANDOM WEIGHTS, NOT PRETRAINED" in text
    assert "#010203" not in text


def test_nothing_is_loaded_from_elsewhere(aims, made, tmp_path):
    page, text, _ = report(aims, made, tmp_path, "--data", made / "data")
    links = [attrs[key] for _, attrs in page.tags for key in ("src", "href", "xlink:href") if key in attrs]
    assert all(link.startswith(("data:", "#")) for link in links)
    assert re.findall(r"url\((?!#)", text) == []
    # The page's own script alone may run.
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    (policy,) = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert f"script-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_without_data_there_are_no_pictures(aims, made, tmp_path):
    page, text, _ = report(aims, made, tmp_path, "--data", tmp_path / "gone")
    assert page.all("image") == []
    assert len(page.all("svg")) == 1
    other = toys.made_up_set(tmp_path / "data" / "other", images=4)
    assert other.fingerprint not in text
    page, _, _ = report(aims, made, tmp_path, "--data", tmp_path / "data")
    assert page.all("image") == []


def test_the_same_runs_give_the_same_page(aims, made, tmp_path):
    first, again = (report(aims, made, tmp_path / name, "--data", made / "data")[1] for name in "ab")
    assert first == again


def test_names_of_what_is_left_out_are_escaped(aims, made, tmp_path):
    runs = tmp_path / "runs"
    (runs / "<img src=x onerror=alert(1)>").mkdir(parents=True)
    code, _, err = aims("report", "--runs", runs, "--out", tmp_path / "out")
    assert code == 0
    assert "left out: <img" in err
    text = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert Page(text).all("img") == []
    assert "There is no finished run yet." in text
