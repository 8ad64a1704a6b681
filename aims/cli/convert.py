"""`aims convert NAME`: a subcommand for every converter that is installed."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import click
from rich.table import Table

import aims.api
from aims.cli._options import PATH, summary
from aims.cli._terminal import add_columns, counting, err, out, print_json, warn
from aims.core.converters import installed_converters, load_converter
from aims.core.schema import Converter, FileCount

ENGINES = ("local", "ray")


class _Converters(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(installed_converters())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _command(cmd_name, load_converter(cmd_name))


def _command(name: str, converter: type[Converter]) -> click.Command:
    """Builds the subcommand of a converter from its fields."""
    hints = get_type_hints(converter)
    params: list[click.Parameter] = [
        _parameter(field, hints[field.name])
        for field in dataclasses.fields(converter)
        if "help" in field.metadata
    ]
    params += [
        click.Option(["--out"], type=PATH, help="Folder to make.  [default: data/aims/NAME]"),
        click.Option(["--jobs"], type=click.IntRange(1), help="Processes on this machine.  [default: 1]"),
        click.Option(
            ["--engine"],
            type=click.Choice(ENGINES),
            default="local",
            show_default=True,
            help="Where the work is done; ray: on the cluster that RAY_ADDRESS names.",
        ),
        click.Option(
            ["--keep-going"], is_flag=True, help="List unreadable images in dropped.jsonl and go on."
        ),
        click.Option(["--overwrite"], is_flag=True, help="Replace a dataset that is there already."),
        click.Option(
            ["--strict-counts"],
            is_flag=True,
            help="Stop if a split has not as many images as published, or files and images do not match.",
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the manifest as JSON."),
    ]

    def call(as_json: bool, **options: Any) -> None:
        _convert(name, as_json, options)

    return click.Command(
        name, callback=call, params=params, help=inspect.getdoc(converter), short_help=summary(converter)
    )


def _parameter(field: dataclasses.Field[Any], hint: Any) -> click.Parameter:
    required = field.default is dataclasses.MISSING
    # "Path | None" is an optional path.
    base = next(kind for kind in get_args(hint) if kind is not type(None)) if _is_union(hint) else hint
    kind: Any = PATH if base is Path else base
    if get_origin(base) is Literal:
        kind = click.Choice(get_args(base))
    if field.metadata["argument"]:
        return click.Argument([field.name], type=kind, required=required)
    flag = f"--{field.name.replace('_', '-')}"
    if base is bool:
        return click.Option([flag], is_flag=True, default=field.default, help=field.metadata["help"])
    return click.Option(
        [flag],
        type=kind,
        required=required,
        default=None if required else field.default,
        show_default=not required and field.default is not None,
        help=field.metadata["help"],
    )


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, UnionType)


def _convert(name: str, as_json: bool, options: Mapping[str, Any]) -> None:
    """Converts; `options` are arguments of `aims.api.convert`."""
    with counting("convert") as counter:
        result = aims.api.convert(
            name, **options, on_total=counter.total, on_progress=counter.advance, on_warning=warn
        )
    folder = result.folder
    if as_json:
        print_json(result.manifest.as_json())
        return
    if result.already_there:
        err.print(f"{folder} holds this conversion already; --overwrite makes it again")
    out.print(f"{result.manifest.dataset.name}  ->  {folder}", markup=False)
    table = add_columns(Table(), "split", "images", "instances", left=["split"])
    for split, counts in result.manifest.splits.items():
        table.add_row(split, f"{counts.images:,}", f"{counts.instances:,}")
    out.print(table)
    for files in result.manifest.inventory:
        out.print(_describe(files), markup=False, soft_wrap=True)
    for kind, count in result.manifest.dropped.items():
        plural = "s" * (count > 1)
        image = f"image{plural} ({kind})"
        what = {
            "object": f"left out: {count:,} labelled object{plural}",
            "overlap": f"left out: {count:,} parts of objects in {image}",
            "cut": f"cut: {count:,} tile{plural} with objects that go on in others",
        }.get(kind, f"left out: {count:,} {image}")
        out.print(f"{what}, listed in {folder / 'dropped.jsonl'}", markup=False)
    out.print(f"fingerprint {result.manifest.fingerprint[:16]}")


def _describe(files: FileCount) -> str:
    """Returns a line that says which files of one kind were used, and what lies beside them."""
    line = f"files {files.pattern}: {files.found:,} found, {files.used:,} used"
    if files.unused:
        line += (
            f"; not used: {', '.join(files.unused)}{', ...' * (files.found - files.used > len(files.unused))}"
        )
    if files.others:
        line += f"; beside them {files.others:,} of other names: {', '.join(files.nearest)}"
        line += ", ..." * (files.others > len(files.nearest))
    return line + (f"; {files.hidden:,} hidden" if files.hidden else "")


@click.group(cls=_Converters, subcommand_metavar="CONVERTER [OPTIONS]")
def command() -> None:
    """Turn a raw dataset into an AIMS dataset.

    A conversion that was interrupted goes on when the same command is given again.
    """
