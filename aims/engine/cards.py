"""Renders model cards from Jinja templates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from aims.core.texts import escape_markdown, markdown_code


def render_card(template: Path, content: Mapping[str, Any], **more: Any) -> str:
    """Renders the Jinja template of a model card; an undefined variable raises `jinja2.UndefinedError`.

    Args:
        template: the template; those that it extends or includes lie beside it.
        content: variables.
        more: further variables.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"markdown": escape_markdown, "code": markdown_code}
    return environment.get_template(template.name).render(content, **more)
