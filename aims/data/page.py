"""Renders a dataset as one self-contained HTML page: images of every stream, instances and clicks."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from aims.core.errors import InputError, unknown_name
from aims.data.instances import stretch_nearest
from aims.data.looks import draw_of
from aims.data.overlays import BRIGHT
from aims.data.pictures import HATCH, Scale
from aims.data.read import Dataset, Image
from aims.data.refs import ImageRef
from aims.data.summary import evenly
from aims.data.templates import render_template

#: Longest side of a picture on the page, in pixels; outlines are drawn on a grid of this size.
SIDE = 480
#: Pictures up to this size are encoded without loss and enlarged without smoothing.
_SMALL = 160
# Longest side that is drawn before a picture is reduced to the page's; of larger ones every k-th pixel.
_MOST_PIXELS = 4 * SIDE
# WebP quality as OpenCV takes it: a value above 100 is lossless.
_QUALITY = 84
_LOSSLESS = 101
_BAR_STOPS = 17
_OUTLINE_TOLERANCE = 0.6
_GOLDEN_ANGLE = 137.508
#: Size of a page: browsers become slow with larger ones.
MOST_BYTES = 20_000_000
# Columns of what instances an image has.
_OBJECTS = ("image_id", "height", "width", "objects")
# Of an image; more are no longer seen one by one.
_MOST_OUTLINES = 1000
# Bytes of HTML around what a card holds: of an outline with its clicks, a class, and a stream.
_AROUND_OUTLINE, _AROUND_CLASS, _AROUND_PANEL = 700, 200, 1500


class Page(NamedTuple):
    """A page, and the images that it shows."""

    html: str
    refs: list[ImageRef]


def choose_images(
    dataset: Dataset,
    count: int,
    *,
    split: str | None = None,
    group: str | None = None,
    class_name: str | None = None,
    area: tuple[int, int | None] | None = None,
    seed: int | None = None,
) -> list[ImageRef]:
    """Chooses images spread over splits, over the groups of each split, and evenly within them.

    Every split contributes the same number of images, as far as it has them. Within a split every group
    contributes one image before any contributes a second.

    Args:
        dataset: an open dataset.
        count: maximum number of images.
        split: choose from this split alone; None uses all.
        group: choose from this group alone; None uses all.
        class_name: choose images with an instance of this class; None of any.
        area: smallest and largest area of that instance in pixels, the largest may be None; None for any.
        seed: choose at random within these rules; None takes evenly spaced images.

    Returns:
        The images, in the dataset's order.

    Raises:
        InputError: the split, the group or the class does not exist, or no image is of all that is wanted.
        AimsError: a file is damaged.
    """
    for kind, name, known in (
        ("split", split, dataset.index),
        ("group", group, {ref.group for ref in dataset.refs} if group is not None else ()),
        ("class", class_name, dataset.spec.classes),
    ):
        if name is not None and name not in known:
            raise unknown_name(kind, name, known, where=str(dataset.folder))
    pools = [
        [ref for ref in refs if group in (None, ref.group)]
        for name, refs in dataset.index.items()
        if split in (None, name)
    ]
    if class_name is not None or area is not None:
        found = _images_with(dataset, split, class_name, area or (0, None))
        pools = [[ref for ref in refs if ref.image_id in found] for refs in pools]
    if not any(pools):
        raise InputError(f"{dataset.folder}: no image is of all that is wanted")
    shares = [0] * len(pools)
    for _ in range(min(count, sum(map(len, pools)))):
        open_pools = [k for k, pool in enumerate(pools) if shares[k] < len(pool)]
        shares[min(open_pools, key=lambda k: shares[k])] += 1
    rng = None if seed is None else np.random.default_rng(seed)
    return [
        ref
        for pool, share in zip(pools, shares, strict=True)
        for ref in _spread_over_groups(pool, share, rng)
    ]


def _images_with(
    dataset: Dataset, split: str | None, class_name: str | None, area: tuple[int, int | None]
) -> set[str]:
    """Returns the names of the images, of a split or of all, with an instance of a class and an area."""
    wanted = None if class_name is None else dataset.spec.classes.index(class_name) + 1
    low, high = area[0], math.inf if area[1] is None else area[1]
    return {
        row["image_id"]
        for file, entry in dataset.manifest.files.items()
        if split in (None, entry.split)
        for _, _, row in dataset.rows(file, _OBJECTS)
        if any(wanted in (None, item["class_id"]) and low <= item["area"] <= high for item in row["objects"])
    }


def _spread_over_groups(
    refs: Sequence[ImageRef], count: int, rng: np.random.Generator | None
) -> list[ImageRef]:
    order = list(refs) if rng is None else [refs[k] for k in rng.permutation(len(refs))]
    seen: Counter[str] = Counter()
    # Level k holds image k of every group.
    levels: dict[int, list[ImageRef]] = {}
    for ref in order:
        levels.setdefault(seen[ref.group], []).append(ref)
        seen[ref.group] += 1
    chosen: set[ImageRef] = set()
    for level in levels.values():
        chosen.update(evenly(level, count - len(chosen)))
    return [ref for ref in refs if ref in chosen]


def render_page(
    dataset: Dataset,
    refs: Sequence[ImageRef],
    *,
    chosen: str = "",
    on_progress: Callable[[int], None] = lambda images: None,
) -> Page:
    """Renders images on one page that embeds all it needs; equal datasets give equal pages.

    Args:
        dataset: an open dataset.
        refs: the images (`choose_images`).
        chosen: text for the page that says how they were chosen.
        on_progress: called with the number of images drawn since the last call.

    Returns:
        HTML, in which names from the dataset are escaped, and the images on it: evenly spaced ones of `refs`
        where all would take more than `MOST_BYTES`.

    Raises:
        InputError: an image contradicts the manifest.
        AimsError: a file is damaged.
    """
    names, colours = tuple(dataset.streams), class_colours(len(dataset.spec.classes))
    cards = []
    for ref in refs:
        cards.append(_card(dataset, ref, names, colours))
        on_progress(1)
    cards = _fitting(cards)
    shown = Counter[str]()
    for card in cards:
        shown.update({name: count for name, _, count in card["classes"]})
    html = render_template(
        "page.html.j2",
        autoescape=True,
        name=dataset.name,
        spec=dataset.spec,
        streams=dataset.streams,
        derived=dataset.derived,
        splits=[
            {
                "name": split,
                "images": len(images),
                "groups": len({ref.group for ref in images}),
                "instances": sum(ref.instances for ref in images),
            }
            for split, images in dataset.index.items()
        ],
        dropped=sum(dataset.manifest.dropped.values()),
        warnings=dataset.manifest.warnings,
        fingerprint=dataset.fingerprint,
        chosen=chosen,
        classes=[
            (name, colour, shown[name])
            for name, colour in zip(dataset.spec.classes, colours, strict=True)
            if shown[name]
        ],
        cards=cards,
        left_out=len(refs) - len(cards),
        groups=sorted({card["ref"].group for card in cards}),
        hatch=HATCH,
    )
    return Page(html, [card["ref"] for card in cards])


def _fitting(cards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns all cards, or as many evenly spaced ones as fit on a page, and at least one."""
    # What is not in a card: the style, the classes' colours, warnings.
    most, sizes = MOST_BYTES - 1_000_000, [_size(card) for card in cards]
    count = len(cards)
    while count > 1 and sum(sizes[k] for k in evenly(range(len(cards)), count)) > most:
        count -= 1
    return evenly(cards, count)


def _size(card: dict[str, Any]) -> int:
    """Estimates the bytes of a card in HTML; each outline is drawn twice."""
    outlines = sum(2 * len(item["path"]) + _AROUND_OUTLINE for item in card["outlines"])
    panels = sum(len(panel["uri"]) + _AROUND_PANEL for panel in card["panels"])
    return outlines + panels + _AROUND_CLASS * len(card["classes"])


def class_colours(count: int) -> list[str]:
    """Returns a CSS colour per class: those of masks if they suffice, else hues a golden angle apart."""
    if count <= len(BRIGHT):
        return [f"rgb{colour}" for colour in BRIGHT[:count]]
    tones = ("95% 62%", "85% 76%", "80% 46%")
    return [f"hsl({(190 + k * _GOLDEN_ANGLE) % 360:.0f} {tones[k % 3]})" for k in range(count)]


def _card(dataset: Dataset, ref: ImageRef, names: tuple[str, ...], colours: Sequence[str]) -> dict[str, Any]:
    """Returns the template variables of one image: its panels, instances and classes."""
    image = dataset.read(ref, names)
    height, width = image.instances.shape
    scale = SIDE / max(height, width)
    grid = max(1, round(height * scale)), max(1, round(width * scale))
    counts = Counter(item["class_id"] for item in image.objects)
    return {
        "ref": ref,
        "height": height,
        "width": width,
        "grid": grid,
        "panels": [_panel(dataset, name, array, grid) for name, array in image.streams.items()],
        "outlines": _outlines(dataset, image, grid, colours),
        "instances": len(image.objects),
        "classes": [
            (dataset.spec.classes[class_id - 1], colours[class_id - 1], count)
            for class_id, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        ],
    }


def _panel(dataset: Dataset, name: str, array: NDArray[Any], grid: tuple[int, int]) -> dict[str, Any]:
    """Returns the template variables of one stream of an image."""
    # Of a large picture, as many pixels as the page can show: colours take eight bytes a value and more.
    step = max(1, max(array.shape[:2]) // _MOST_PIXELS)
    drawing = draw_of(dataset, name, array[::step, ::step])
    pixels, scale = drawing.pixels, drawing.scale
    longest = max(pixels.shape[:2])
    if longest > SIDE:
        pixels = cv2.resize(pixels, grid[::-1], interpolation=cv2.INTER_AREA).astype(np.uint8)
    quality = [cv2.IMWRITE_WEBP_QUALITY, _LOSSLESS if longest <= _SMALL else _QUALITY]
    _, encoded = cv2.imencode(".webp", np.ascontiguousarray(pixels[:, :, ::-1]), quality)
    share = 100 * drawing.missing
    return {
        "name": name,
        "uri": "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode("ascii"),
        "small": longest <= _SMALL,
        "note": drawing.note,
        "missing": "" if not share else "< 0.1" if share < 0.1 else f"{share:.1f}",
        "bar": _gradient(scale) if scale else "",
        "ends": scale.labels if scale else None,
    }


def _gradient(scale: Scale) -> str:
    """Returns the colours of a scale as a CSS gradient."""
    stops = scale.colours[np.linspace(0, len(scale.colours) - 1, _BAR_STOPS).round().astype(int)]
    return f"linear-gradient(90deg, {', '.join('#' + bytes(stop).hex() for stop in stops)})"


def _outlines(
    dataset: Dataset, image: Image, grid: tuple[int, int], colours: Sequence[str]
) -> list[dict[str, Any]]:
    """Returns the largest instances of an image in grid pixels, in order, so that small ones lie on top."""
    instances = stretch_nearest(image.instances, grid)
    # An instance thinner than a grid pixel may vanish on the grid; its clicks are still shown.
    boxes = dict(enumerate(ndimage.find_objects(instances), start=1))
    factors = grid[1] / image.instances.shape[1], grid[0] / image.instances.shape[0]

    names = dataset.spec.classes

    def place(click: Sequence[int]) -> tuple[float, float]:
        x, y = ((at + 0.5) * factor for at, factor in zip(click, factors, strict=True))
        return round(x, 1), round(y, 1)

    return [
        {
            "colour": colours[item["class_id"] - 1],
            "class": names[item["class_id"] - 1],
            "area": item["area"],
            "path": _path(instances, item["id"], boxes.get(item["id"])),
            "title": f"{names[item['class_id'] - 1]}, instance {item['id']}, {item['area']:,} px",
            "strict": place(item["click_strict"]),
            "paper": place(item["click_paper"]),
        }
        for item in sorted(image.objects, key=lambda item: -item["area"])[:_MOST_OUTLINES]
    ]


def _path(instances: NDArray[np.uint16], instance_id: int, box: tuple[slice, slice] | None) -> str:
    """Returns the contours of an instance, including holes, as an SVG path in grid pixels."""
    if box is None:
        return ""
    mask = (instances[box] == instance_id).astype(np.uint8)
    contours, _ = cv2.findContours(
        mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(box[1].start, box[0].start)
    )
    parts = []
    for contour in contours:
        points = cv2.approxPolyDP(contour, _OUTLINE_TOLERANCE, closed=True)[:, 0]
        steps = " ".join(f"{x} {y}" for x, y in np.diff(points, axis=0).tolist())
        parts.append(f"M{points[0, 0]} {points[0, 1]}{'l' if steps else ''}{steps}z")
    return "".join(parts)
