"""Renders the Jinja templates of this package: HTML page, dataset card, description of a folder."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import jinja2

from aims.core.texts import escape_markdown, finalize_html, markdown_code
from aims.data.meters import show_number


def render_template(template: str, /, *, autoescape: bool = False, **context: Any) -> str:
    """Renders a template.

    Args:
        template: file name in this package.
        autoescape: escape HTML markup in the values.
        context: values of the template's variables.

    Raises:
        jinja2.UndefinedError: the template uses a variable that `context` lacks.
    """
    environment = jinja2.Environment(
        autoescape=autoescape,
        finalize=finalize_html if autoescape else None,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"show_number": show_number, "markdown": escape_markdown, "code": markdown_code}
    text = files("aims.data").joinpath(template).read_text("utf-8")
    return environment.from_string(text).render(context)
