from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from aims.synth import look
from aims.synth.look import render_page
from aims.synth.recordings import Recording, record

NAMES = (
    *("Colour", "Intensity", "Degree of polarization"),
    *("Depth", "HHA", "Near infrared", "Thermal", "Angle of polarization", "Normals"),
)
VOID = {"meta", "link", "img", "input", "br"}


class Tags(HTMLParser):
    """Checks that what is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def scene() -> Recording:
    return record("rooms", 0, [7], (48, 64))[0]


@pytest.fixture(scope="module")
def page(scene: Recording) -> str:
    return render_page(scene, seed=0)


def pictures(page: str) -> dict[str, np.ndarray]:
    """RGB pictures by their title; small pages hold them without loss."""
    found = re.findall(r'src="data:image/webp;base64,([^"]+)" width="\d+" height="\d+" alt="([^"]+)"', page)
    return {
        name: cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        for data, name in found
    }


def card(page: str, name: str) -> str:
    return next(part for part in page.split("<figure")[1:] if f"<h2>{name}</h2>" in part)


def flat(**changes: object) -> SimpleNamespace:
    """A scene without objects, every value of which is known."""
    size = (30, 40)
    columns = np.broadcast_to(np.linspace(0, 1, size[1], dtype=np.float32), size)
    values = {
        "family": "rooms",
        "number": 3,
        "class_names": ("cup", "lid"),
        "instances": np.zeros(size, np.int32),
        "classes": np.zeros(size, np.int32),
        "rgb": np.stack([np.full(size, k, np.uint8) for k in (200, 100, 50)], axis=-1),
        "hha": np.stack([np.full(size, k, np.uint8) for k in (10, 20, 30)], axis=-1),
        "nir": np.full(size, 77, np.uint8),
        "depth_m": 1 + 3.6 * columns,
        "thermal_c": 20 + 10 * columns,
        "polarizers": np.full((4, *size, 3), 0.25, np.float32),
        "normals": np.broadcast_to(np.array([0, 0, -1], np.float32), (*size, 3)),
    }
    return SimpleNamespace(**{**values, **changes})


def test_the_page_is_whole_and_loads_nothing(scene: Recording, page: str) -> None:
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert "://" not in page
    assert set(re.findall(r'(?:src|href)="([^"]{5})', page)) == {"data:", "#obje"}
    assert page == render_page(scene, seed=0)
    assert "family rooms, seed 0, scene 7; 48 × 64 pixels" in page


def test_every_sensor_is_there_as_it_is(scene: Recording, page: str) -> None:
    shown = pictures(page)
    assert tuple(name for name in shown if not name.startswith("A ball")) == NAMES
    np.testing.assert_array_equal(shown["Colour"], scene.rgb)
    np.testing.assert_array_equal(shown["HHA"], scene.hha)
    np.testing.assert_array_equal(shown["Near infrared"], np.repeat(scene.nir[..., None], 3, axis=2))
    towards = scene.normals * np.array([1, -1, -1])
    np.testing.assert_allclose(shown["Normals"], 255 * (towards + 1) / 2, atol=0.51)


def test_every_object_has_an_outline_and_its_name(scene: Recording, page: str) -> None:
    count = int(scene.instances.max())
    assert count > 3
    titles = re.findall(r"<title>([\w ]+), ([\d,]+) px</title>", page)
    areas = sorted((int(area.replace(",", "")) for _, area in titles), reverse=True)
    assert [int(area.replace(",", "")) for _, area in titles] == areas
    assert areas == sorted(np.bincount(scene.instances.ravel())[1:].tolist(), reverse=True)
    assert {name for name, _ in titles} <= set(scene.class_names)
    # Names lie in the picture, whose grid is 640 units wide.
    places = re.findall(r'<text x="([\d.]+)" y="([\d.]+)">', page)
    assert 0 < len(places) <= count
    assert all(0 < float(x) < 640 and 0 < float(y) < 480 for x, y in places)


def test_an_outline_goes_around_its_object_and_its_hole() -> None:
    instances = np.zeros((30, 40), np.int32)
    instances[5:20, 10:30] = 1
    instances[10:15, 15:25] = 0
    page = render_page(flat(instances=instances, classes=instances * 2), seed=0)
    (path,) = re.findall(r'class="line"[^>]* d="([^"]+)"', page)
    assert path.count("M") == path.count("z") == 2
    # 16 units a pixel; contours run through the middle of the outermost units.
    corners = [tuple(map(int, corner.split())) for corner in re.findall(r"\d+ \d+", path)]
    assert (min(x for x, _ in corners), max(x for x, _ in corners)) == (160, 479)
    assert (min(y for _, y in corners), max(y for _, y in corners)) == (80, 319)
    assert "1 object<" in page
    assert "<title>lid, 250 px</title>" in page


def test_a_scene_without_objects() -> None:
    page = render_page(flat(), seed=0)
    assert "0 objects" in page
    assert "<title>" in page
    assert "<text" not in page


def test_scales_say_what_colours_mean() -> None:
    depth = flat().depth_m.copy()
    depth[:6] = 0
    page = render_page(flat(depth_m=depth), seed=0)
    # Each column is 2.5 % of the pixels, so windows from 2 to 98 % begin and end with the ramps.
    assert "<span>1</span><span>2.8</span><span>4.6 m</span>" in card(page, "Depth")
    assert "20.0\u00a0% without an answer" in card(page, "Depth")
    assert "<span>20</span><span>25</span><span>30 °C</span>" in card(page, "Thermal")
    assert "without an answer" not in render_page(flat(), seed=0)


def polarized(angle: float, degree: float) -> np.ndarray:
    """Four pictures behind polarizers of light of one angle (degrees) and degree."""
    turns = np.radians(np.array([0, 45, 90, 135]) - angle)
    light = 0.25 * (1 + degree * np.cos(2 * turns))
    return np.broadcast_to(light[:, None, None, None], (4, 30, 40, 3)).astype(np.float32)


def test_degree_and_angle_of_polarization() -> None:
    page = render_page(flat(polarizers=polarized(30, 0.4)), seed=0)
    shown = pictures(page)
    assert "<span>0</span><span>0.2</span><span>0.4</span>" in card(page, "Degree of polarization")
    # The whole picture is at the end of its window: magma's last colour.
    np.testing.assert_allclose(shown["Degree of polarization"][3, 4], (252, 253, 191), atol=1)
    wheel = re.findall(r"#\w{6}", re.search(r"conic-gradient\(([^)]+)\)", page)[1])  # type: ignore[index]
    # Clockwise from above: 30 degrees anticlockwise from the right is a sixth of the circle, and two thirds.
    assert len(wheel) % 12 == 9
    colours = np.array([[int(text[k : k + 2], 16) for k in (1, 3, 5)] for text in wheel])
    for share in (1 / 6, 2 / 3):
        near = colours[round(share * (len(wheel) - 1))]
        np.testing.assert_allclose(shown["Angle of polarization"][3, 4], near, atol=9)


def test_hues_of_angles() -> None:
    angles = np.radians(np.arange(0, 180, 15.0))
    strong = look._colour_angles(angles, np.ones(12)).astype(int)
    np.testing.assert_array_equal(look._colour_angles(angles + np.pi, np.ones(12)), strong)
    apart = np.abs(strong[:, None] - strong[None]).sum(axis=2) + 1000 * np.eye(12, dtype=int)
    assert apart.min() > 20
    weak = look._colour_angles(angles, np.zeros(12)).astype(int)
    assert np.ptp(weak) <= 1


def test_hardly_polarized_light_is_grey() -> None:
    shown = pictures(render_page(flat(polarizers=polarized(30, 0.0)), seed=0))
    assert np.ptp(shown["Angle of polarization"].astype(int)) <= 1
