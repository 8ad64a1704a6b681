"""An HTML page that shows one scene as every sensor sees it; it is self-contained."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import cv2
import jinja2
import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from aims.core.schema import StreamSpec
from aims.core.texts import finalize_html
from aims.data.instances import describe_objects, stretch_nearest
from aims.data.page import class_colours
from aims.data.pictures import HATCH, Drawing, Scale, draw
from aims.sensors.polarization import aolp, dolp, stokes

if TYPE_CHECKING:
    from aims.synth.recordings import Recording

Values = NDArray[np.floating[Any]]
Picture = NDArray[np.uint8]

#: Longest side of the grid, in its units, on which outlines and names are drawn over a picture.
_GRID = 640
_TOLERANCE = 1.5
_FONT = 15
# Images up to this longest side are stored losslessly and enlarged without smoothing.
_SMALL = 160
_QUALITY, _LOSSLESS = 92, 101
_STOPS = 17
# OKLCh lightness and chroma of the colours of angles; the degree of polarization at which chroma is full.
_LIGHTNESS, _CHROMA, _STRONG = 0.73, 0.14, 0.12
_BALL = 96


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """One sensor's picture.

    Attributes:
        legend: colour legend beside the caption: "ball", "wheel" or "" for none.
        bar: the scale's colours as a CSS gradient, or "".
        ticks: labels below the bar.
    """

    name: str
    note: str
    uri: str
    legend: str = ""
    bar: str = ""
    ticks: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class _Object:
    """The overlay of one object, in units of the grid; `name_at` is None if its name does not fit."""

    name: str
    colour: str
    path: str
    area: int
    name_at: tuple[float, float] | None


def render_page(recording: Recording, *, seed: int) -> str:
    """Draws one scene: RGB with outlines and names, every other sensor, and the ground-truth normals.

    Args:
        recording: the scene.
        seed: its seed, shown on the page.

    Returns:
        HTML; the same recording gives the same text.
    """
    height, width = recording.instances.shape
    scale = _GRID / max(height, width)
    grid = max(1, round(height * scale)), max(1, round(width * scale))
    environment = jinja2.Environment(
        autoescape=True,
        finalize=finalize_html,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.from_string(files("aims.synth").joinpath("look.html.j2").read_text("utf-8"))
    objects = _objects(recording, grid)
    colours = dict(zip(recording.class_names, class_colours(len(recording.class_names)), strict=True))
    counts = Counter(item.name for item in objects)
    return template.render(
        family=recording.family,
        seed=seed,
        scene=recording.number,
        height=height,
        width=width,
        grid=grid,
        small=max(height, width) <= _SMALL,
        objects=objects,
        classes=[(name, colours[name], counts[name]) for name in colours if counts[name]],
        panels=_panels(recording),
        font=_FONT,
        hatch=HATCH,
        wheel=_wheel(),
        ball=_uri(_ball()),
    )


def _panels(recording: Recording) -> list[_Panel]:
    metres = StreamSpec(channels=1, unit="m", valid_range=(0.0, 10.0), missing=0.0)
    celsius = StreamSpec(channels=1, unit="degree Celsius", valid_range=None)
    depth = draw(recording.depth_m[..., None], "depth", metres)
    lost = f"; {100 * depth.missing:.1f}\u00a0% without an answer (hatched)" if depth.missing else ""
    intensity, degree, angle = _polarization(recording)
    return [
        _Panel(
            name="Colour",
            note="an ordinary camera; the outlines are the truth about objects",
            uri=_uri(recording.rgb),
        ),
        intensity,
        degree,
        _scaled("Depth", f"structured light, along the optical axis{lost}", depth),
        _Panel(
            name="HHA",
            note="from depth: red is nearness, green height above ground, blue the angle with gravity",
            uri=_uri(recording.hha),
        ),
        _Panel(
            name="Near infrared",
            note="about 850 nm: leaves are bright, paints look alike",
            uri=_uri(np.repeat(recording.nir[..., None], 3, axis=2)),
        ),
        _scaled(
            "Thermal",
            "apparent temperature: no texture, glass is opaque",
            draw(recording.thermal_c[..., None], "thermal", celsius),
        ),
        angle,
        _Panel(
            name="Normals",
            note="the truth behind depth and polarization; the ball shows which way a colour faces",
            uri=_uri(_colour_normals(recording.normals)),
            legend="ball",
        ),
    ]


def _scaled(name: str, note: str, drawing: Drawing) -> _Panel:
    scale = drawing.scale
    if scale is None:
        return _Panel(name=name, note=note, uri=_uri(drawing.pixels))
    stops = scale.colours[np.linspace(0, len(scale.colours) - 1, _STOPS).round().astype(int)]
    low, high = scale.labels
    decimals = max(len(end.partition(" ")[0].partition(".")[2]) for end in (low, high))
    return _Panel(
        name=name,
        note=note,
        uri=_uri(drawing.pixels),
        bar=f"linear-gradient(90deg, {', '.join('#' + bytes(stop).hex() for stop in stops)})",
        ticks=(low, f"{(scale.low + scale.high) / 2:.{decimals}f}", high),
    )


def _polarization(recording: Recording) -> tuple[_Panel, _Panel, _Panel]:
    """Draws intensity, DoLP and AoLP; the last two are means over R, G and B, that of AoLP a circular one."""
    s0, s1, s2 = stokes(*recording.polarizers)
    fraction = StreamSpec(channels=3, unit="fraction of full scale", valid_range=(0.0, 1.0))
    degree: Values = dolp(s0, s1, s2).mean(axis=2)
    doubled = np.exp(2j * aolp(s1, s2)).mean(axis=2)
    # The colour scale ends at the 99th percentile: few surfaces polarize more than a third of their light.
    top = max(0.05, float(np.percentile(degree, 99)))
    colours = np.asarray(mpl.colormaps["magma"](np.linspace(0, 1, 256), bytes=True)[:, :3], np.uint8)
    shares = np.rint(255 * np.clip(degree / top, 0, 1)).astype(np.uint8)
    drawn = Drawing(
        pixels=colours[shares], note="", scale=Scale(low=0, high=top, unit="", colours=colours), missing=0
    )
    strength = np.minimum(degree / _STRONG, 1)
    return (
        _Panel(
            name="Intensity",
            note="mean of the four polarizers, linear light brightened for the screen",
            uri=_uri(draw(np.minimum(s0, 1), "intensity", fraction).pixels),
        ),
        _scaled("Degree of polarization", "strongest where light glances off smooth surfaces", drawn),
        _Panel(
            name="Angle of polarization",
            note="hue is the direction of the light's oscillation; grey where light is hardly polarized",
            uri=_uri(_colour_angles(np.angle(doubled) / 2, strength)),
            legend="wheel",
        ),
    )


def _colour_angles(angle: Values, strength: Values) -> Picture:
    """Maps angles in radians to hues of equal lightness (OKLCh, Ottosson 2020) with period pi."""
    a = _CHROMA * strength * np.cos(2 * angle)
    b = _CHROMA * strength * np.sin(2 * angle)
    long = (_LIGHTNESS + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (_LIGHTNESS - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (_LIGHTNESS - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = np.stack(
        [
            4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
        ],
        axis=-1,
    ).clip(0, 1)
    encoded: Values = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * encoded).astype(np.uint8)


def _wheel() -> str:
    """Returns the hues of all angles as a CSS conic gradient, which starts at the top and runs clockwise."""
    clockwise = np.linspace(0, 360, 4 * _STOPS + 1)
    colours = _colour_angles(np.radians(90 - clockwise), np.ones_like(clockwise))
    return f"conic-gradient({', '.join('#' + bytes(colour).hex() for colour in colours)})"


def _colour_normals(normals: NDArray[np.float32]) -> Picture:
    """Maps normals to colours: red to the right, green up, blue to the camera; no surface is mid-grey."""
    towards: Values = normals * np.array([1, -1, -1], np.float32)
    return np.rint(255 * (towards + 1) / 2).astype(np.uint8)


def _ball() -> Picture:
    """Draws a sphere in the colours of normals, (side, side, 4) with a transparent background."""
    x, y = np.meshgrid(*(np.linspace(-1.04, 1.04, _BALL),) * 2)
    depth = np.sqrt(np.maximum(0, 1 - x * x - y * y))
    colours = _colour_normals(np.stack([x, y, -depth], axis=-1).astype(np.float32).clip(-1, 1))
    edge = np.clip((1 - np.hypot(x, y)) * _BALL / 2 + 0.5, 0, 1)
    return np.dstack([colours, np.rint(255 * edge).astype(np.uint8)])


def _uri(pixels: Picture) -> str:
    quality = _LOSSLESS if max(pixels.shape[:2]) <= _SMALL else _QUALITY
    code = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    picture = cv2.cvtColor(np.ascontiguousarray(pixels), code)
    _, encoded = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, quality])
    return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


def _objects(recording: Recording, grid: tuple[int, int]) -> list[_Object]:
    """Lists objects from large to small: small ones are drawn on top, large ones place their names first."""
    names, colours = recording.class_names, class_colours(len(recording.class_names))
    ids = np.unique(recording.instances)
    classes = {int(k): int(recording.classes[recording.instances == k][0]) for k in ids if k}
    stretched = stretch_nearest(recording.instances, grid)
    boxes = ndimage.find_objects(stretched)
    factors = grid[1] / recording.instances.shape[1], grid[0] / recording.instances.shape[0]
    taken: list[tuple[float, float, float, float]] = []
    found = []
    for item in sorted(describe_objects(recording.instances, classes), key=lambda item: -item["area"]):
        name, box = names[item["class_id"] - 1], boxes[item["id"] - 1]
        x, y = ((at + 0.5) * factor for at, factor in zip(item["click_strict"], factors, strict=True))
        places = [(x, y), (x, box[0].start - 0.6 * _FONT), (x, box[0].stop + 0.6 * _FONT)]
        found.append(
            _Object(
                name=name,
                colour=colours[item["class_id"] - 1],
                path=_path(stretched, item["id"], box),
                area=item["area"],
                name_at=_place(name, places, grid, taken),
            )
        )
    return found


def _place(
    name: str,
    places: Sequence[tuple[float, float]],
    grid: tuple[int, int],
    taken: list[tuple[float, float, float, float]],
) -> tuple[float, float] | None:
    """Returns the first place where the name is inside the image and free of others; adds it to `taken`."""
    half_width, half_height = 0.33 * _FONT * len(name) + 4, 0.55 * _FONT
    for x, y in places:
        middle = min(max(x, half_width), grid[1] - half_width)
        box = (middle - half_width, y - half_height, middle + half_width, y + half_height)
        inside = box[1] >= 0 and box[3] <= grid[0]
        if inside and not any(
            box[0] < right and left < box[2] and box[1] < bottom and top < box[3]
            for left, top, right, bottom in taken
        ):
            taken.append(box)
            return round(middle, 1), round(y, 1)
    return None


def _path(instances: NDArray[np.integer], number: int, box: tuple[slice, slice]) -> str:
    """Returns the contours of an object, holes included, as an SVG path in units of the grid."""
    mask = (instances[box] == number).astype(np.uint8)
    corner = (box[1].start, box[0].start)
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=corner)
    corners = (cv2.approxPolyDP(contour, _TOLERANCE, closed=True)[:, 0] for contour in contours)
    return "".join("M" + "L".join(f"{x} {y}" for x, y in points.tolist()) + "z" for points in corners)
