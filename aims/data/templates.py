"""Jinja templates of this package: the page of pictures, the dataset card, the description of a folder."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import jinja2

from aims.data.meters import show_number


def render_template(template: str, /, *, autoescape: bool = False, **context: Any) -> str:
    """Fills a template; a name that is missing raises.

    Args:
        template: file name in this package.
        autoescape: for HTML: markup in what is filled in is shown, not followed.
        context: what is filled in.
    """
    environment = jinja2.Environment(
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["show_number"] = show_number
    text = files("aims.data").joinpath(template).read_text("utf-8")
    return environment.from_string(text).render(context)
