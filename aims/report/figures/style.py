"""What the report's figures share: colours, and SVG that takes the colours of the page around it."""

from __future__ import annotations

import io
import re
from typing import Any

from matplotlib.figure import Figure

# Okabe and Ito (2008): told apart by colour-blind readers too; black is left to the text.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442")
#: Stands for the colour of the text around; nothing else has it.
TEXT = "#010203"
#: Of every figure: the same runs give the same bytes, and text stays text.
SAME_BYTES: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "aims", "font.family": "sans-serif"}
#: Of a figure that stands in a page, too.
FIGURE_STYLE: dict[Any, Any] = {
    **SAME_BYTES,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), TEXT),
    "legend.labelcolor": TEXT,
    # Names may hold dollar signs; they are no formulas.
    "text.parse_math": False,
}
_INK = "#16191f"


def svg_and_png(figure: Figure, *, dpi: int, transparent: bool = False) -> tuple[str, bytes]:
    """Draws a figure as SVG, which may be on no ground, and as PNG; without dates and programs."""
    svg, png = io.StringIO(), io.BytesIO()
    figure.savefig(svg, format="svg", transparent=transparent, metadata={"Date": None, "Creator": None})
    # The layout stays: to find it takes as long as to draw.
    figure.set_layout_engine("none")
    figure.savefig(png, format="png", dpi=dpi, metadata={"Software": None})
    return svg.getvalue(), png.getvalue()


def inline_svg(svg: str) -> str:
    """What stands inside a page: without the XML head, and with the page's own text colour."""
    return re.sub(r"^.*?(?=<svg)", "", svg, flags=re.DOTALL).replace(TEXT, "currentColor")


def white_svg(svg: str) -> str:
    """What stands alone: dark text on a white ground."""
    ground = '\n <rect width="100%" height="100%" fill="#ffffff"/>'
    return re.sub(r"<svg\b[^>]*>", lambda head: head[0] + ground, svg, count=1).replace(TEXT, _INK)
