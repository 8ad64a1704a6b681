"""`aims list datasets`: what can be converted, and what has been."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from aims.cli._options import data_option, json_option
from aims.cli._terminal import add_columns, out, plain_table, print_json
from aims.core.converters import installed_converters, load_converter
from aims.core.errors import AimsError, InputError, unknown_name
from aims.core.schema import RAW
from aims.core.vocabulary import MODALITIES

#: Columns of the table of sets; in a narrow terminal, which has no room for all, each line is a table.
_COLUMNS = (
    ("sensor", "size", "at hand"),
    ("modalities", "images"),
    ("licence",),
)
_UNBROKEN = ("size", "at hand", "images")
#: Width of a terminal, in characters, in which all columns stand side by side.
_WIDE = 110


class _Lists(click.Group):
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands:
            raise unknown_name("list", cmd_name, self.commands)
        return self.commands[cmd_name]


@click.group(cls=_Lists, subcommand_metavar="WHAT")
def command() -> None:
    """List the datasets that can be converted, and those that are."""


@command.command()
@data_option("Folder of converted datasets.")
@json_option()
def datasets(data: Path, as_json: bool) -> None:
    """List the converters and the converted datasets.

    A set is listed with its sensor, licence, size and number of images as published, the modalities that it
    serves, and whether it is at hand: raw, in data/raw/NAME, or converted, in --data.
    """
    converted = _converted(data)
    names = {entry["name"] for entry in converted if not entry["error"]}
    converters = [_converter(name, names) for name in installed_converters()]
    if as_json:
        print_json({"converters": converters, "data": str(data), "datasets": converted})
        return
    for part in (*_show_converters(converters), *_show_converted(data, converted)):
        # Lines of text are left to the terminal, so that addresses and paths can be copied whole.
        out.print(part, soft_wrap=isinstance(part, Text))


def _converter(name: str, converted: Collection[str]) -> dict[str, Any]:
    """One converter as JSON; with the reason under "error" if it cannot be imported.

    Args:
        name: its name.
        converted: the names of the datasets that are converted.
    """
    found: dict[str, Any] = {
        "name": name,
        "modalities": [modality.name for modality in MODALITIES.values() if name in modality.datasets],
        "error": None,
        "published": None,
        "at_hand": [],
    }
    try:
        published = load_converter(name).published
    except AimsError as error:
        return {**found, "error": " ".join(str(error).split())}
    if published is not None:
        found["published"] = dataclasses.asdict(published)
        hand = {"raw": (RAW / name).is_dir(), "converted": name in converted}
        found["at_hand"] = [state for state, there in hand.items() if there]
    return found


def _converted(data: Path) -> list[dict[str, Any]]:
    """The datasets in a folder as JSON; a damaged one with the reason under "error"."""
    # Imported here: the format needs `datasets`, which takes a second.
    from aims.core.staging import PARTIAL
    from aims.data.manifest import MANIFEST
    from aims.data.read import Dataset

    if (data / MANIFEST).is_file():
        folders = [data]
    else:
        named = (path.parent for path in sorted(data.glob(f"[!.]*/{MANIFEST}")))
        folders = [folder for folder in named if folder.suffix != PARTIAL]
    found = []
    for folder in folders:
        entry: dict[str, Any] = {"path": str(folder), "error": None}
        try:
            dataset = Dataset.open(folder)
            splits = dataset.manifest.as_json()["splits"]
            entry |= {
                "name": dataset.name,
                "splits": splits,
                "images": sum(counts["images"] for counts in splits.values()),
                "instances": sum(counts["instances"] for counts in splits.values()),
                "fingerprint": dataset.fingerprint,
            }
        except InputError as error:
            entry["error"] = " ".join(str(error).split())
        found.append(entry)
    return found


def _show_converters(converters: Sequence[Mapping[str, Any]]) -> Iterable[RenderableType]:
    yield Text("Datasets that `aims convert` reads", style="bold")
    cells = [_cells(entry) for entry in converters]
    for columns in (sum(_COLUMNS, ()),) if out.width >= _WIDE else _COLUMNS:
        table = plain_table()
        table.add_column("name", no_wrap=True, style="bold")
        for column in columns:
            table.add_column(column, no_wrap=column in _UNBROKEN)
        for entry, row in zip(converters, cells, strict=True):
            table.add_row(Text(entry["name"]), *(row.get(column, Text("")) for column in columns))
        yield table
        yield Text()
    yield from _sources(converters)
    errors = [entry["error"] for entry in converters if entry["error"]]
    if errors:
        yield Text("\nNot to be used", style="bold")
        yield from (Text(error, style="red") for error in errors)


def _cells(entry: Mapping[str, Any]) -> dict[str, Text]:
    """Returns the texts of a converter by column; those that are missing are blank."""
    published = entry["published"]
    if entry["error"]:
        return {"sensor": Text("not importable", style="red")}
    if published is None:
        return dict.fromkeys(("sensor", "modalities"), Text("any", style="dim"))
    images = [f"{count:,} {split}" for split, count in published["images"].items()]
    images += [f"{published['total']:,} in all"] if published["total"] else []
    unknown = Text("unknown", style="dim")
    return {
        "sensor": Text(published["sensor"] or ""),
        "licence": Text(published["license"]),
        "size": Text(published["size"]) if published["size"] else unknown,
        "at hand": Text("\n".join(entry["at_hand"]) or "no", style="" if entry["at_hand"] else "dim"),
        # A stream's name is a modality, too.
        "modalities": Text(", ".join(dict.fromkeys((*entry["modalities"], *published["streams"])))),
        "images": Text("\n".join(images)) if images else unknown,
    }


def _sources(converters: Sequence[Mapping[str, Any]]) -> Iterable[RenderableType]:
    urls = {entry["name"]: entry["published"]["url"] for entry in converters if entry["published"]}
    urls = {name: url for name, url in urls.items() if url}
    if urls:
        yield Text("Where to get them", style="bold")
    width = max(map(len, urls), default=0)
    for name, url in urls.items():
        yield Text.assemble(f" {name:<{width}}   ", (url, f"cyan link {url}"))


def _show_converted(data: Path, converted: Sequence[Mapping[str, Any]]) -> Iterable[RenderableType]:
    yield Text(f"\nConverted datasets in {data}", style="bold")
    if not converted:
        yield Text("none; `aims convert NAME` makes one, --data looks elsewhere", style="dim")
        return
    table = plain_table()
    table.add_column("name", no_wrap=True, style="bold")
    add_columns(table, "images", "instances", no_wrap=True)
    table.add_column("fingerprint", no_wrap=True)
    table.add_column("path", overflow="fold")
    for entry in converted:
        if not entry["error"]:
            table.add_row(
                Text(entry["name"]),
                f"{entry['images']:,}",
                f"{entry['instances']:,}",
                entry["fingerprint"][:16],
                Text(entry["path"]),
            )
    if table.row_count:
        yield table
    yield from (Text(entry["error"], style="red") for entry in converted if entry["error"])
