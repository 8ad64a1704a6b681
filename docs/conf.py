"""Settings of the documentation site: `make docs` builds it from this folder."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging

from aims.version import __version__

HERE = Path(__file__).parent
ROOT = HERE.parent
#: "OWNER/NAME" on GitHub; CI sets it. Without it nothing of the site points to a Git host.
REPOSITORY = os.environ.get("GITHUB_REPOSITORY", "")

project = "AIMS"
author = "The AIMS authors"
project_copyright = author
release = version = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
suppress_warnings = ["myst.header"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
# The notebooks hold what a run printed; a test runs them again.
nb_execution_mode = "off"

# Docstrings and help texts have code between single backticks, and options begin with two hyphens.
default_role = "literal"
smartquotes = False
autodoc_preserve_defaults = True
maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
# Types of other packages, and ours that no page describes, are names without a link.
nitpick_ignore_regex = [("py:(class|data|obj)", r".*")]

copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

html_theme = "furo"
html_title = f"AIMS {release}"
html_static_path = ["static"]
html_css_files = ["aims.css"]
html_math_renderer = "mathml"
html_show_sphinx = False
html_copy_source = False

#: Pages that show a file of the repository, which a reader there is sent to.
_COPIES = {"changelog": ROOT / "CHANGELOG.md", "speed": ROOT / "benchmarks" / "speed" / "NOTES.md"}

_log = logging.getLogger(__name__)
_LINK = re.compile(r"\[([^\]]*)\]\((?!\w+:|#)([^)\s]+)\)")


def _address(path: Path) -> str | None:
    """Returns where a file or folder of the repository is read; None where no repository is known."""
    inside = path.relative_to(ROOT).as_posix()
    kind = "tree" if path.is_dir() else "blob"
    return f"https://github.com/{REPOSITORY}/{kind}/main/{inside}" if REPOSITORY else None


def _follow_links(text: str, folder: Path) -> str:
    """Lets links out of this folder lead to the repository; those within stay relative to a page of it.

    Args:
        text: Markdown.
        folder: the folder that its links are relative to.
    """

    def follow(match: re.Match[str]) -> str:
        label, link = match.groups()
        target, _, anchor = link.partition("#")
        path = Path(os.path.normpath(folder / target))
        if not path.exists():
            _log.warning("%s: no such file", link)
        if path.is_relative_to(HERE):
            inside = os.path.relpath(path, folder if folder.is_relative_to(HERE) else HERE)
            return f"[{label}]({inside}{'#' + anchor if anchor else ''})"
        address = _address(path)
        return f"[{label}]({address})" if address else label

    return _LINK.sub(follow, text)


def _read_page(app: Sphinx, name: str, source: list[str]) -> None:
    """Prepares a page for the site, which is not at the place of the repository's files."""
    path = Path(app.env.doc2path(name))
    if name in _COPIES:
        source[0] = _follow_links(_COPIES[name].read_text("utf-8"), _COPIES[name].parent)
    elif path.suffix == ".md":
        source[0] = _follow_links(source[0], path.parent)
    elif path.suffix == ".ipynb" and REPOSITORY:
        notebook = json.loads(source[0])
        colab = f"https://colab.research.google.com/github/{REPOSITORY}/blob/main/docs/{name}.ipynb"
        notebook["cells"][0]["source"] += ["\n", "\n", f"[Open in Colab]({colab})"]
        source[0] = json.dumps(notebook)


def _mathml(node: nodes.math | nodes.math_block, display: str) -> str:
    formula: str = convert(node.astext(), display=display)
    # A command that the converter does not know is left as it was.
    if "\\" in formula:
        _log.warning("a formula that cannot be drawn: %s", node.astext(), location=node)
    return formula


def _inline_math(translator: Any, node: nodes.math) -> None:
    translator.body.append(_mathml(node, "inline"))
    raise nodes.SkipNode


def _block_math(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{_mathml(node, "block")}</div>\n')
    raise nodes.SkipNode


def _plain_help(app: Sphinx, context: Any, lines: list[str]) -> None:
    """Prepares what a command says of itself: a star is a star, and a path a path."""
    for number, line in enumerate(lines):
        line = re.sub(r"(?<!\*)\*(?!\*)", r"\\*", line)
        lines[number] = re.sub(r"PosixPath\('([^']*)'\)", r"\1", line)


def setup(app: Sphinx) -> None:
    """Adds formulas as MathML, which browsers draw without a script, and the links to the repository."""
    for part in ("description", "options", "arguments", "epilog"):
        app.connect(f"sphinx-click-process-{part}", _plain_help)
    app.add_html_math_renderer("mathml", (_inline_math, None), (_block_math, None))
    app.connect("source-read", _read_page)
