"""Draws the figures of methods and tunings: `python docs/figures/methods.py` writes docs/images/methods."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

OUT = Path(__file__).parents[1] / "images" / "methods"
# Fill of a box by what becomes of its weights; the text on it is dark in either theme of a page.
FILLS = {
    "data": "#d8dce3",  # no weights
    "learns": "#ffb454",
    "tuning": "#c9e7a8",
    "frozen": "#8ec5ff",
}
LINE, TEXT = "#7b8494", "#16191f"
HEIGHT, GAP, LETTER = 0.62, 0.34, 0.088


class Box(NamedTuple):
    """A step of a method: what it says, and what becomes of its weights (a key of `FILLS`)."""

    text: str
    kind: str = "data"


def image(text: str = "image\nC channels") -> Box:
    """Returns the beginning of a chain."""
    return Box(text)


def sam(embedding: Box | None, blocks: str = "tuning") -> list[Box]:
    """Returns SAM from its patch embedding on."""
    start = [] if embedding is None else [embedding]
    return [*start, Box("image\nencoder", blocks), Box("mask\ndecoder", blocks), Box("mask")]


PRETRAINED = Box("patch\nembedding", "frozen")
TO_3 = Box("conv 1 × 1\n64 → 3", "learns")
METHODS: dict[str, Sequence[Sequence[Box]]] = {
    "scratch": [[image(), Box("new patch\nembedding", "learns"), *sam(None, "learns")]],
    "random-embed": [[image(), Box("new patch\nembedding", "learns"), *sam(None)]],
    "linear": [[image(), Box("conv 1 × 1\nC → 3", "learns"), *sam(Box("patch\nembedding", "learns"))]],
    "linear-frozen": [[image(), Box("conv 1 × 1\nC → 3", "learns"), *sam(PRETRAINED)]],
    "mlp": [
        [
            image(),
            Box("conv 1 × 1\nC → 64, ReLU", "learns"),
            Box("conv 1 × 1\n64 → 3", "learns"),
            *sam(PRETRAINED),
        ]
    ],
    "simcmf": [
        [
            image(),
            Box("conv 3 × 3\nC → 64, ReLU", "learns"),
            Box("conv 1 × 1\n64 → 3", "learns"),
            *sam(PRETRAINED),
        ]
    ],
    "simcmf-plus": [
        [
            image(),
            Box("conv 3 × 3\nC → 64, ReLU", "learns"),
            Box("conv 1 × 1, 64 → 3,\nstarts as colours", "learns"),
            *sam(PRETRAINED),
        ]
    ],
    "transformer": [
        [
            image(),
            Box("patches\nC → 64", "learns"),
            Box("2 transformer\nblocks", "learns"),
            Box("back to pixels\n64 → 3", "learns"),
            *sam(PRETRAINED),
        ]
    ],
    "channel-batch": [
        [
            image("each channel,\nshown 3 times"),
            PRETRAINED,
            Box("image encoder,\nonce a channel", "tuning"),
            Box("mean of\nembeddings"),
            Box("mask\ndecoder", "tuning"),
            Box("mask"),
        ]
    ],
    "simcmf-released": [
        [
            Box("g x"),
            Box("conv 1 × 1\nC → 3", "learns"),
            PRETRAINED,
            Box("+"),
            Box("image\nencoder", "tuning"),
            Box("mask\ndecoder", "tuning"),
            Box("mask"),
        ],
        [Box("(1 − g) x"), Box("copies of the patch\nembedding, one a channel", "learns")],
    ],
    "zero-shot": [
        [image("first 3 channels,\nor one 3 times"), Box("patch\nembedding", "frozen"), *sam(None, "frozen")]
    ],
    "disc": [[Box("click"), Box("disc of radius r, chosen\non the training part"), Box("mask")]],
    "oracle-disc": [
        [Box("click and\ntrue mask"), Box("disc of the best radius\nof this instance"), Box("mask")]
    ],
    "vipt": [
        [
            image("RGB"),
            PRETRAINED,
            Box("+"),
            Box("block", "frozen"),
            Box("+"),
            Box("block", "frozen"),
            Box("…"),
            Box("mask\ndecoder", "frozen"),
            Box("mask"),
        ],
        [
            image("sensor X"),
            Box("patch\nembedding", "learns"),
            Box("prompter", "learns"),
            Box("prompter", "learns"),
        ],
    ],
    "cmx": [
        [
            image("RGB"),
            PRETRAINED,
            Box("block", "tuning"),
            Box("rectify", "learns"),
            Box("…"),
            Box("fuse", "learns"),
            Box("mask\ndecoder", "tuning"),
            Box("mask"),
        ],
        [
            image("sensor X"),
            Box("patch\nembedding", "learns"),
            Box("block", "tuning"),
            Box("rectify", "learns"),
            Box("…"),
        ],
    ],
}
#: Method -> (row, position) pairs that are connected across its rows.
LINKS: dict[str, Sequence[tuple[tuple[int, int], tuple[int, int]]]] = {
    "simcmf-released": [((1, 1), (0, 3))],
    "vipt": [((1, 2), (0, 2)), ((1, 3), (0, 4)), ((0, 1), (1, 2)), ((0, 3), (1, 3))],
    "cmx": [((0, 3), (1, 3)), ((1, 3), (0, 3)), ((1, 4), (0, 5))],
}


def _width(box: Box) -> float:
    return max(0.5, 0.26 + LETTER * max(len(line) for line in box.text.split("\n")))


def draw_method(name: str, rows: Sequence[Sequence[Box]], *, arrows: bool = True) -> None:
    """Draws the chains of a method above one another, and writes NAME.svg."""
    columns = max(map(len, rows))
    widths = [max((_width(row[k]) for row in rows if k < len(row)), default=0.0) for k in range(columns)]
    lefts = [sum(widths[:k]) + GAP * k for k in range(columns)]
    total, tall = lefts[-1] + widths[-1], len(rows) * (HEIGHT + 0.42) - 0.42
    figure, axis = plt.subplots(figsize=(total + 0.1, tall + 0.1))
    middles: dict[tuple[int, int], tuple[float, float]] = {}
    for number, row in enumerate(rows):
        y = -number * (HEIGHT + 0.42)
        for place, box in enumerate(row):
            own = _width(box)
            left = lefts[place] + (widths[place] - own) / 2
            _draw_box(axis, box, left, y, own)
            middles[number, place] = (left + own / 2, y + HEIGHT / 2)
            if place and arrows:
                before = _width(row[place - 1])
                start = lefts[place - 1] + (widths[place - 1] + before) / 2
                _arrow(axis, (start, y + HEIGHT / 2), (left, y + HEIGHT / 2))
    for start, end in LINKS.get(name, ()):
        (x0, y0), (x1, y1) = middles[start], middles[end]
        step = HEIGHT / 2 if y1 > y0 else -HEIGHT / 2
        # Two arrows between the same boxes stand beside each other.
        shift = 0.12 if x0 == x1 and step > 0 else -0.12 if x0 == x1 else 0.0
        _arrow(axis, (x0 + shift, y0 + step), (x1 + shift, y1 - step))
    axis.set(xlim=(-0.05, total + 0.05), ylim=(-tall + HEIGHT - 0.05, HEIGHT + 0.05), aspect="equal")
    axis.axis("off")
    figure.subplots_adjust(0, 0, 1, 1)
    # Neither dates nor random ids: the same figure has the same bytes.
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(OUT / f"{name}.svg", transparent=True, metadata={"Date": None})
    plt.close(figure)


def _draw_box(axis: Axes, box: Box, left: float, y: float, width: float) -> None:
    style = "round,pad=0,rounding_size=0.08"
    axis.add_patch(
        FancyBboxPatch((left, y), width, HEIGHT, boxstyle=style, facecolor=FILLS[box.kind], edgecolor=LINE)
    )
    axis.text(left + width / 2, y + HEIGHT / 2, box.text, ha="center", va="center", fontsize=9.5, color=TEXT)


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "color": LINE, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", xy=end, xytext=start, arrowprops=style)


if __name__ == "__main__":
    mpl.use("agg")
    OUT.mkdir(parents=True, exist_ok=True)
    legend = [Box("no weights"), Box("learns always", "learns"), Box("the tuning decides", "tuning")]
    draw_method("legend", [[*legend, Box("frozen", "frozen")]], arrows=False)
    for method, chains in METHODS.items():
        draw_method(method, chains)
