"""Colours, matplotlib settings and SVG output that the report's figures share."""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The palette of Okabe and Ito (2008), distinguishable with colour blindness, without black: text has that.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442")
#: Colours of methods, in light and dark pages alike: a contrast of 3 with white and with a dark page's
#: ground, and apart for people who lack one kind of cones (chosen by distances in OKLab; a test has both).
METHOD_COLOURS = (
    *("#005aff", "#e10000", "#2d782d", "#e169b4"),
    *("#969669", "#b400c3", "#3c96f0", "#875a78"),
)
#: Markers of tunings: names of matplotlib, which the page draws as well.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
#: Placeholder for the text colour, replaced in the SVG; no other element may use this colour.
TEXT = "#010203"
#: rcParams of every figure: fixed ids in the SVG, so that equal runs give equal bytes, and text as text.
SAME_BYTES: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "aims", "font.family": "sans-serif"}
#: rcParams of a figure that is embedded in a page.
FIGURE_STYLE: dict[Any, Any] = {
    **SAME_BYTES,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), TEXT),
    "legend.labelcolor": TEXT,
    # Names may hold dollar signs, which must not start a formula.
    "text.parse_math": False,
}
_INK = "#16191f"


def save_figure(figure: Figure, to: Path | IO[Any], **options: Any) -> None:
    """Saves a figure; a letter that matplotlib's fonts lack is drawn as a box, without a warning.

    Args:
        figure: the figure.
        to: the file.
        options: keyword arguments of `Figure.savefig`.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(to, **options)


def svg_and_png(figure: Figure, *, dpi: int, transparent: bool = False) -> tuple[str, bytes]:
    """Renders a figure as SVG and PNG, without date and program, so that equal figures give equal bytes.

    Args:
        figure: the figure; its layout engine is removed.
        dpi: resolution of the PNG.
        transparent: whether the SVG has no background.
    """
    # Matplotlib would lay the figure out for each file, and draw it once more to do so.
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine(None)
    svg, png = io.StringIO(), io.BytesIO()
    save_figure(figure, svg, format="svg", transparent=transparent, metadata={"Date": None, "Creator": None})
    save_figure(figure, png, format="png", dpi=dpi, metadata={"Software": None})
    return svg.getvalue(), png.getvalue()


def inline_svg(svg: str) -> str:
    """Prepares an SVG for embedding in HTML: without the XML header, with the text colour of the page."""
    return re.sub(r"^.*?(?=<svg)", "", svg, flags=re.DOTALL).replace(TEXT, "currentColor")


def white_svg(svg: str) -> str:
    """Prepares an SVG as a file of its own: dark text on a white background."""
    ground = '\n <rect width="100%" height="100%" fill="#ffffff"/>'
    return re.sub(r"<svg\b[^>]*>", lambda head: head[0] + ground, svg, count=1).replace(TEXT, _INK)
