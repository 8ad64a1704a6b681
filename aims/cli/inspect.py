"""`aims inspect FOLDER`: what a dataset holds, in tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from rich.bar import Bar
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from aims.cli._options import DATASET, json_option
from aims.cli._terminal import add_columns, counting, err, out, plain_table, print_json
from aims.core.errors import InputError
from aims.core.texts import one_line
from aims.data.meters import show_number

if TYPE_CHECKING:
    from aims.data.meters import ChannelSummary, StreamSummary
    from aims.data.read import Dataset
    from aims.data.summary import Bin, SplitSummary, Summary

# Longer lists are cut on screen, never in the JSON.
_SIZES, _CLASSES, _REASONS, _CHANNELS = 4, 45, 12, 9
# Width of the bars, and the longest unit that stands in the table.
_BAR, _UNIT = 24, 20


@click.command()
@click.argument("folder", type=DATASET)
@click.option(
    "--images",
    type=click.IntRange(1),
    help="Images whose pixels are read, evenly spaced.  [default: 200]",
)
@click.option("--all", "everything", is_flag=True, help="Read the pixels of every image.")
@json_option()
def command(folder: Path, images: int | None, everything: bool, as_json: bool) -> None:
    """Describe a dataset: streams, ranges, classes, sizes, what was dropped.

    Instances and classes are counted in every image; the values of the streams are measured in a sample
    of the images unless --all is given.
    """
    from aims.data.read import Dataset
    from aims.data.summary import DEFAULT_IMAGES, summarize

    if everything and images is not None:
        raise InputError(f"--images {images} and --all exclude each other; give one")
    dataset = Dataset.open(folder)
    with counting("inspect") as counter:
        summary = summarize(
            dataset,
            images=None if everything else images or DEFAULT_IMAGES,
            on_total=counter.total,
            on_progress=counter.advance,
        )
    if as_json:
        print_json(_json(dataset, summary))
        return
    for part in _report(dataset, summary):
        out.print(part, soft_wrap=False)
    for warning in dataset.manifest.warnings:
        err.print(Text(f"warning: {one_line(warning)}", style="yellow"), soft_wrap=True)


def _json(dataset: Dataset, summary: Summary) -> dict[str, Any]:
    manifest = dataset.manifest.as_json()
    return {
        "folder": str(dataset.folder),
        "fingerprint": dataset.fingerprint,
        "dataset": manifest["dataset"],
        "converter": manifest["converter"],
        "warnings": list(dataset.manifest.warnings),
        **summary.as_json(),
    }


def _report(dataset: Dataset, summary: Summary) -> Iterable[RenderableType]:
    """The sections of the screen, from top to bottom."""
    yield Text(dataset.name, style="bold")
    yield _about(dataset, summary)
    yield _heading("Splits")
    yield _splits(summary)
    read, total = summary.images_read, summary.total.images
    of = f"all {total:,} images" if total > 1 else "the only image"
    if read < total:
        of = f"{read:,} of {total:,} images, evenly spaced; --all reads every one"
    yield _heading("Streams", f"measured in {of}")
    yield _streams(summary)
    for name, stream in summary.streams.items():
        if len(stream.spec.unit) > _UNIT:
            yield Text(f" {name}: {stream.spec.unit}", style="dim")
    derived = [name for name, stream in summary.streams.items() if stream.derived]
    if derived:
        yield Text(f" computed when read, not stored: {', '.join(derived)}", style="dim")
    yield _values(summary)
    yield from _strays(dataset, summary)
    yield _heading("Classes", "instances, and share of all pixels")
    yield from _classes(summary)
    yield _heading("Instance sizes", _quantiles(summary.area_quantiles))
    yield _histogram(summary.areas, "area, px", "instances")
    yield _heading("Instances in an image")
    yield _histogram(summary.per_image, "instances", "images")
    yield _heading("Dropped", "" if summary.dropped else "nothing")
    if summary.dropped:
        yield from _dropped(summary)


def _heading(title: str, remark: str = "") -> Text:
    return Text.assemble("\n", (title, "bold cyan"), ("  " + remark if remark else "", "dim"))


def _table(*columns: str, left: Sequence[str] = (), wrap: Sequence[str] = ()) -> Table:
    """A table without lines between the rows; numbers to the right but for the columns named in `left`."""
    table = plain_table()
    for name in columns:
        add_columns(table, name, left=[*left, *wrap], no_wrap=name not in wrap, overflow="fold")
    return table


def _about(dataset: Dataset, summary: Summary) -> Table:
    spec, converter = dataset.spec, dataset.manifest.converter
    options = converter.options if converter else {}
    chosen = ", ".join(f"{name.replace('_', '-')} = {value}" for name, value in options.items())
    sizes = [f"{width} x {height} ({count:,})" for (height, width), count in summary.sizes.items()]
    if len(sizes) > _SIZES:
        sizes = [*sizes[:_SIZES], f"{len(sizes) - _SIZES} further sizes"]
    rows = {
        "folder": str(dataset.folder),
        "pictures": ", ".join(sizes),
        "converter": f"{converter.name if converter else 'unknown'}{f' ({chosen})' if chosen else ''}",
        "licence": spec.license,
        "citation": spec.citation,
        "source": spec.url,
        "fingerprint": dataset.fingerprint,
    }
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        if value:
            table.add_row(name, Text(value))
    return table


def _splits(summary: Summary) -> Table:
    table = _table(
        "split", "images", "groups", "instances", "in an image: min", "median", "max", left=["split"]
    )
    rows = dict(summary.splits)
    if len(rows) > 1:
        rows["all"] = summary.total
    for name, split in rows.items():
        low, median, high = split.per_image
        table.add_row(
            Text(name, style="bold" if split is summary.total else ""),
            *(f"{count:,}" for count in (split.images, split.groups, split.instances)),
            *(f"{count:,g}" for count in (low, median, high)),
        )
    return table


def _streams(summary: Summary) -> Table:
    table = _table(
        *("stream", "channels", "dtype", "unit", "declared", "missing", "outside"),
        left=("stream",),
        wrap=("dtype", "unit", "declared"),
    )
    for name, stream in summary.streams.items():
        spec = stream.spec
        declared = "" if spec.valid_range is None else " to ".join(map(show_number, spec.valid_range))
        if spec.missing is not None:
            declared += f"{', ' if declared else ''}{spec.missing:g} = missing"
        if spec.wavelength_nm is not None:
            declared += "{}{:g} to {:g} nm".format(", " if declared else "", *spec.wavelength_nm)
        table.add_row(
            Text(name),
            str(spec.channels),
            Text(", ".join(stream.dtypes)),
            Text(spec.unit) if len(spec.unit) <= _UNIT else Text("see below", style="dim"),
            Text(declared),
            _missing(stream),
            _outside(stream),
        )
    return table


def _missing(stream: StreamSummary) -> Text:
    return Text(_share(stream.nan + stream.missing, stream.values))


def _outside(stream: StreamSummary) -> Text:
    if stream.spec.valid_range is None:
        return Text("-", style="dim")
    return Text(_share(stream.outside, stream.values), style="bold yellow" if stream.outside else "")


def _share(part: int, whole: int) -> str:
    """A share in percent; what is not nothing never reads as nothing."""
    if not part:
        return "0"
    share = 100 * part / whole
    return "< 0.01 %" if share < 0.01 else f"{share:.2f} %" if share < 10 else f"{share:.1f} %"


def _values(summary: Summary) -> RenderableType:
    table = _table("values", "min", "max", "mean", "std", left=["values"])
    for name, stream in summary.streams.items():
        table.add_row(Text(name), *_numbers(stream.all))
        if 1 < len(stream.channels) <= _CHANNELS:
            for k, channel in enumerate(stream.channels, start=1):
                table.add_row(Text(f"  channel {k}"), *_numbers(channel), style="dim")
    return Padding(table, (1, 0, 0, 0))


def _strays(dataset: Dataset, summary: Summary) -> Iterable[Text]:
    converter = dataset.manifest.converter
    for name, stream in summary.streams.items():
        for stray in stream.strays if not stream.derived and name != "rgb" else ():
            # Nine digits tell every float32 apart; other numbers may need all of theirs.
            value = f"{stray.value:.9g}"
            if np.float32(value) != stray.value != float(value):
                value = f"{stray.value!r}"
            text = (
                f"\n{name}: {_share(stray.count, stream.values)} of the values are {value}, and none of the "
                f"others is nearer than {show_number(stray.nearest)}. If that is no measurement, training "
                "suffers"
            )
            if converter is not None and converter.name == "folder":
                text += f": write missing = {value} under [streams.{name}] and convert again"
            yield Text(f"{text}.", style="yellow")
        if stream.depth and not stream.derived:
            yield Text(f"\n{name}: {stream.depth}.", style="yellow")


def _numbers(channel: ChannelSummary) -> list[str]:
    values = (channel.minimum, channel.maximum, channel.mean, channel.std)
    return ["-" if value is None else show_number(value) for value in values]


def _classes(summary: Summary) -> Iterable[RenderableType]:
    splits: dict[str, SplitSummary] = dict(summary.splits)
    # Beyond three columns of splits nothing would fit on a screen; the JSON has them.
    splits = splits if 1 < len(splits) <= 3 else {}
    total = summary.total
    order = sorted(total.class_instances, key=lambda name: -total.class_instances[name])
    shown = [name for name in order if total.class_instances[name]][:_CLASSES]
    table = _table("class", *splits, "all", "", left=[""], wrap=["class"])
    largest = max(total.class_instances.values(), default=0)
    for name in shown:
        cells = [_class_cell(split, name) for split in (*splits.values(), total)]
        table.add_row(Text(name), *cells, _bar(total.class_instances[name], largest))
    yield table
    rest = [name for name in order if total.class_instances[name]][_CLASSES:]
    absent = [name for name, count in total.class_instances.items() if not count]
    if rest:
        yield Text(f"and {len(rest)} rarer classes (--json lists them)", style="dim")
    if absent:
        yield Text(f"without an instance: {', '.join(absent)}", style="yellow")


def _class_cell(split: SplitSummary, name: str) -> Text:
    share = _share(split.class_pixels[name], split.pixels)
    return Text.assemble(f"{split.class_instances[name]:,}", (f"{share:>9}", "dim"))


def _quantiles(quantiles: Mapping[float, float]) -> str:
    names = {0.0: "min", 0.5: "median", 1.0: "max"}
    return "   ".join(
        f"{names.get(share, f'{100 * share:g} %')} {area:,.0f}"
        for share, area in quantiles.items()
        if share not in (0.25, 0.75)
    )


def _histogram(bins: Sequence[Bin], values: str, counted: str) -> Table:
    table = _table(values, counted, "", left=[""])
    largest = max((item.count for item in bins), default=0)
    for item in bins:
        bounds = f"{item.low:,}" if item.low == item.high else f"{item.low:,} to {item.high:,}"
        table.add_row(bounds, f"{item.count:,}", _bar(item.count, largest))
    return table


def _bar(count: int, largest: int) -> Bar:
    return Bar(size=max(1, largest), begin=0, end=count, width=_BAR, color="cyan")


def _dropped(summary: Summary) -> Iterable[RenderableType]:
    table = _table(
        "what", "why", "splits", "number", "for example", left=["what"], wrap=["why", "splits", "for example"]
    )
    for item in summary.dropped[:_REASONS]:
        splits = ", ".join(f"{split} {count:,}" for split, count in item.splits.items())
        table.add_row(
            Text(item.kind), Text(item.reason), Text(splits), f"{item.count:,}", Text(item.examples[0])
        )
    yield table
    if len(summary.dropped) > _REASONS:
        more = summary.dropped[_REASONS:]
        text = f"and {sum(item.count for item in more):,} for {len(more)} further reasons (dropped.jsonl)"
        yield Text(text, style="dim")
