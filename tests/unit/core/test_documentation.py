"""The pages name only commands and options that exist, and the site has all of them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import click
import pytest

from aims.cli import COMMANDS, cli
from aims.methods import all_options
from aims.version import __version__

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "leaderboards" / "README.md",
    *sorted(DOCS.glob("*.md")),
]
#: Methods and tunings that pages teach how to add, with the options of these.
TAUGHT = {"--gain"}


@cache
def options(name: str) -> set[str]:
    """Returns all options of a command, those of its own commands and of all methods included."""
    context = click.Context(cli)
    command = cli.get_command(context, name)
    found, waiting = {"--help"}, [command]
    while waiting:
        item = waiting.pop()
        assert item is not None
        for parameter in item.params:
            found |= {*parameter.opts, *parameter.secondary_opts}
        if isinstance(item, click.Group):
            waiting += [item.get_command(context, each) for each in item.list_commands(context)]
    return found | {f"--{option.replace('_', '-')}" for option in all_options()} | TAUGHT


def named(page: Path) -> list[str]:
    """Returns the command lines of AIMS in a page, from its sessions and its text."""
    text = page.read_text("utf-8")
    lines = re.findall(r"^(?:\$ |    )(aims .*?)(?:  +#.*)?$", text, re.MULTILINE)
    return lines + [line.replace("\n", " ") for line in re.findall(r"`(aims [^`]+)`", text)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_exist(page):
    for line in named(page):
        name, *words = line.removeprefix("aims ").split()
        if name in {"--help", "COMMAND"}:
            continue
        assert name in COMMANDS, line
        unknown = {word.split("=")[0] for word in words if word.startswith("--")} - options(name)
        assert not unknown, f"{line}: {unknown}"


def test_every_method_has_a_figure_and_a_formula():
    from aims.methods import METHODS, TUNINGS

    text = (DOCS / "methods.md").read_text("utf-8").partition("## Floors")[0]
    methods, tunings = text.split("## Every method")[1].split("## Every tuning")
    sections = dict(part.split("\n", 1) for part in re.split(r"^### ", methods, flags=re.MULTILINE)[1:])
    assert sections.keys() == {*METHODS}
    for name, section in sections.items():
        assert f"](images/methods/{name}.svg)" in section
        assert (DOCS / "images" / "methods" / f"{name}.svg").is_file()
        assert section.count("$$") == 2
    assert {*re.findall(r"^\| `([\w-]+)` \|", tunings, re.MULTILINE)} == {*TUNINGS}


def test_the_site_has_every_page():
    listed = re.findall(r"^([\w/-]+)$", (DOCS / "index.md").read_text("utf-8"), re.MULTILINE)
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")}
    notebooks = {f"tutorials/{path.stem}" for path in (DOCS / "tutorials").glob("*.ipynb")}
    built = {page for page in pages if page.startswith("_build")}
    assert {*listed} == (pages | notebooks) - built - {"index"}


def test_make_has_the_targets_that_pages_name():
    targets = {*re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)}
    pages = [*PAGES, *(ROOT / ".github").rglob("*.md"), *(ROOT / ".github").rglob("*.yml")]
    for page in pages:
        # As a command: in a session, between backticks, or a step of a workflow.
        lines = re.findall(r"(?:\$ |`|run: )make ([a-z -]+)", page.read_text("utf-8"))
        assert {word for line in lines for word in line.split()} <= targets, page


def test_the_citation_has_the_version():
    (version,) = re.findall(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    assert version == __version__


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) < 200
