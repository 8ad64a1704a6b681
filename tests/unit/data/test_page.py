"""The page of `aims view`: sound HTML that loads nothing and hides nothing, drawn where it should be."""

from __future__ import annotations

import base64
import re
from html import escape
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from refusals import refused
from tiny_set import NAMES, Tiny, depth

from aims.core.errors import InputError
from aims.core.schema import StreamSpec
from aims.data.page import choose_images, class_colours, render_page
from aims.data.pictures import picture
from aims.data.read import Dataset
from aims.data.write import convert
from helpers import MadeUp

VOID = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """Checks that every tag is closed in order, and collects what tests ask for."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag}: {names}"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    def all(self, tag, **wanted):
        wanted = {name.strip("_"): value for name, value in wanted.items()}
        return [attrs for name, attrs in self.tags if name == tag and wanted.items() <= attrs.items()]


@pytest.fixture
def dataset(raw, tmp_path):
    convert(Tiny(raw=raw), tmp_path / "set")
    return Dataset.open(tmp_path / "set")


@pytest.fixture
def text(dataset):
    return render_page(dataset, choose_images(dataset, 24), chosen="all of them").html


def test_well_formed_and_complete(text):
    page = Page(text)
    # Three images of two streams; instances are drawn once and shown again by reference.
    assert len(page.all("img")) == 6
    assert len(page.all("article")) == 3
    assert len(page.all("path", class_="line")) == 5
    assert [attrs["href"] for attrs in page.all("use")] == [f"#instances-{k}" for k in (1, 2, 3)]
    assert all(attrs["alt"] for attrs in page.all("img"))


def test_it_loads_nothing(text):
    page = Page(text)
    for _, attrs in page.tags:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert re.match(r"data:|#", attrs.get(name) or "#"), attrs
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?\s*(?:https?:)?//", text)
    assert "@import" not in text
    assert not re.search(r"url\(", text)
    (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none'; img-src data:;")


def test_names_are_escaped(text):
    page = Page(text)
    for name in (*NAMES, "stone & <sand>", "<lab>", "none & <free>"):
        assert any(name in data for data in page.texts), name
    assert page.all("i") == page.all("lab") == page.all("sand") == page.all("free") == []
    assert escape("stone & <sand>") in text
    # A name cannot leave its attribute either.
    assert any(attrs["alt"] == f"depth of {NAMES[2]}" for attrs in page.all("img"))


def test_the_same_dataset_gives_the_same_bytes(dataset, text):
    again = Dataset.open(dataset.folder)
    assert render_page(again, choose_images(again, 24), chosen="all of them").html == text


def test_small_pictures_are_the_streams_pixel_for_pixel(text):
    uri = Page(text).all("img")[0]["src"]
    data = np.frombuffer(base64.b64decode(uri.removeprefix("data:image/webp;base64,")), np.uint8)
    shown = cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1]
    expected = picture(
        depth(NAMES[0]), "depth", StreamSpec(channels=1, unit="m", valid_range=(0, 10), missing=0.0)
    )
    assert np.array_equal(shown, expected)


def test_instances_and_clicks_lie_where_they_are(text):
    # 4 x 6 pixels on a grid of 480: a pixel is 80 wide. The leaf covers pixels (0, 0) to (1, 1).
    page = Page(text)
    (leaf,) = [attrs for attrs in page.all("path", class_="line") if attrs["d"].startswith("M0 0")][:1]
    assert leaf["d"] == "M0 0l0 159 159 0 0 -159z"
    # Large ones first: the stone (6 px) in row 3, then the leaf (4 px). The strict click is the first of
    # equals: of the leaf its first pixel, of the stone, one pixel high, too. The paper's click is the third
    # pixel of the leaf, (0, 1), and the fourth of the stone, (3, 3).
    strict = [(float(attrs["cx"]), float(attrs["cy"])) for attrs in page.all("circle", class_="strict")][1:3]
    assert strict == [(40, 280), (40, 40)]
    paper = [(float(attrs["cx"]), float(attrs["cy"])) for attrs in page.all("circle", class_="light")][1:3]
    assert paper == [(280, 280), (40, 120)]
    assert "leaf, instance 1, 4 px" in page.texts


def test_every_scale_has_its_numbers(text):
    texts = [data.strip() for data in Page(text).texts]
    # The training images hold 21 times 2 m, 24 times 4 m, and 12 m once, of which 98 % are 4.8 m at most.
    ends = [texts[at - 1 : at + 1] for at, found in enumerate(texts) if found == "4.8 m"]
    assert ends == [["2", "4.8 m"]] * 3
    assert "missing)" in text
    assert "8.3 % without measurement" in text  # 2 of 24 pixels


def spread(dataset, count, **options):
    return [ref.image_id for ref in choose_images(dataset, count, **options)]


def test_images_are_chosen_by_what_is_in_them(dataset):
    everything = spread(dataset, 24)
    assert spread(dataset, 24, class_name="leaf") == [NAMES[0], NAMES[1]]
    assert spread(dataset, 24, group="<lab>") == [NAMES[2]]
    assert spread(dataset, 24, area=(5, None)) == [NAMES[0]]
    assert spread(dataset, 24, area=(0, 1)) == [NAMES[1]]
    assert spread(dataset, 24, class_name="stone & <sand>", area=(3, 3), split="test") == [NAMES[2]]
    assert spread(dataset, 24, area=(0, None)) == everything
    with refused(InputError, "no image is of all that is wanted"):
        choose_images(dataset, 24, class_name="absent")
    with refused(InputError, "unknown class 'laef'; did you mean 'leaf'?"):
        choose_images(dataset, 24, class_name="laef")
    with refused(InputError, "unknown group 'lab'"):
        choose_images(dataset, 24, group="lab")


def test_images_are_spread_over_splits_and_groups(raw, tmp_path):
    # train: a000 to a011 in scene0 to scene3, test: b000 to b005 in scene0 and scene1.
    convert(MadeUp(raw=raw), tmp_path / "set")
    dataset = Dataset.open(tmp_path / "set")
    assert spread(dataset, 4) == ["a000", "a009", "b000", "b003"]
    assert spread(dataset, 8) == ["a000", "a003", "a006", "a009", "b000", "b001", "b003", "b004"]
    assert len(spread(dataset, 100)) == 18
    assert spread(dataset, 1) == ["a000"]
    assert spread(dataset, 2, split="test") == ["b000", "b003"]
    # What a small split cannot give comes from the others.
    assert len([name for name in spread(dataset, 16) if name[0] == "a"]) == 10
    drawn = spread(dataset, 8, seed=1)
    assert drawn == spread(dataset, 8, seed=1) == sorted(drawn)
    assert drawn != spread(dataset, 8, seed=2)
    assert len({int(name[1:]) // 3 for name in drawn if name[0] == "a"}) == 4


def test_unknown_splits_are_named(dataset):
    with pytest.raises(InputError, match="did you mean 'test'"):
        choose_images(dataset, 3, split="tset")


def test_pictures_in_colour_come_first(raw, tmp_path):
    convert(MadeUp(raw=raw, rgb=True, size=(300, 600)), tmp_path / "set")
    dataset = Dataset.open(tmp_path / "set")
    done = []
    page = Page(render_page(dataset, choose_images(dataset, 1), on_progress=done.append).html)
    assert done == [1]
    first, second = page.all("img")
    assert (first["alt"], second["alt"]) == ("rgb of a000", "signal of a000")
    assert (first["width"], first["height"]) == ("480", "240")
    data = base64.b64decode(first["src"].removeprefix("data:image/webp;base64,"))
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (240, 480, 3)


def test_classes_have_colours_of_their_own():
    assert len(set(class_colours(8))) == 8
    assert len(set(class_colours(40))) == 40


def test_a_page_shows_as_many_images_as_fit(dataset, monkeypatch):
    refs = choose_images(dataset, 24)
    assert len(render_page(dataset, refs).refs) == len(refs) > 2
    monkeypatch.setattr("aims.data.page._size", lambda card: 10)
    monkeypatch.setattr("aims.data.page.MOST_BYTES", 1_000_000 + 29)
    two = render_page(dataset, refs)
    assert two.refs == [refs[0], refs[-1]]
    assert f"; {len(refs) - 2} more would not fit." in two.html
    monkeypatch.setattr("aims.data.page.MOST_BYTES", 1)
    assert len(render_page(dataset, refs).refs) == 1


def test_the_largest_instances_are_outlined(dataset, monkeypatch):
    (ref,) = choose_images(dataset, 1)
    assert ref.instances > 1
    monkeypatch.setattr("aims.data.page._MOST_OUTLINES", 1)
    html = render_page(dataset, [ref]).html
    assert f"outlined: the 1 largest of {ref.instances} instances" in html
    areas = sorted((item["area"] for item in dataset.read(ref, ()).objects), reverse=True)
    titles = re.findall(r"instance \d+, ([\d,]+) px", html)
    assert [int(text.replace(",", "")) for text in titles] == areas[:1]
