"""`aims init FOLDER`: the description of a folder of anybody's own data, for `aims convert folder`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import click
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from aims.cli._options import PATH, json_option
from aims.cli._terminal import out, plain_table, print_json
from aims.core.converters import load_converter
from aims.core.errors import InputError
from aims.core.files import write_text


@click.command()
@click.argument("folder", type=PATH)
@click.option(
    *("-o", "--out", "target"),
    type=PATH,
    help="TOML file to write.  [default: the folder's name, in the working directory]",
)
@click.option("--force", is_flag=True, help="Replace a file that is there already.")
@json_option("Print what was found as JSON.")
def command(folder: Path, target: Path | None, force: bool, as_json: bool) -> None:
    """Describe a folder of your own data, for `aims convert folder`.

    Looks at all names below FOLDER and into a few of the files, and writes a TOML description: streams, RGB
    pictures, labels, splits. What the files do not say is guessed, and marked so. FOLDER is not changed.
    """
    path = target or Path(f"{folder.resolve().name or 'data'}.toml")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name the TOML file to write with --out")
    if path.exists() and not force:
        raise InputError(f"{path}: is there already; give --force to replace it, or --out for another file")
    draft = load_converter("folder").draft(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, draft.text)
    if as_json:
        facts = [{"part": part, "files": files, "what": what} for part, files, what in draft.found]
        lists = {"guesses": draft.guesses, "unknown": draft.unknown, "problems": draft.problems}
        print_json({"file": str(path), "found": facts, **{key: [*lines] for key, lines in lists.items()}})
        return
    _print_found(draft.found)
    _print_list("guessed; check it in the file", draft.guesses)
    _print_list("not known, or not used", draft.unknown)
    _print_list("to be mended before it can be converted", draft.problems)
    out.print(f"\nwritten: {path}", markup=False)
    if not draft.problems:
        going = " --keep-going" * draft.keep_going
        out.print(f"next: aims convert folder {_quoted(path)} --raw {_quoted(folder)}{going}", markup=False)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _print_found(found: Sequence[tuple[str, str, str]]) -> None:
    table = plain_table()
    for name in ("part", "files", "what"):
        table.add_column(name, overflow="fold")
    for row in found:
        table.add_row(*map(Text, row))
    out.print(table, soft_wrap=False)


def _print_list(title: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    out.print(f"\n{title}:")
    # Two columns, so that long lines are wrapped behind the dash.
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column(overflow="fold")
    for line in lines:
        table.add_row("-", Text(line))
    out.print(Padding(table, (0, 0, 0, 2)), soft_wrap=False)
