"""`aims info`: what a method costs, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from aims.cli._names import Name
from aims.cli._options import OPEN, extra_options, json_option, setting_options
from aims.cli._terminal import err, out, print_json
from aims.core.config import NO_MODEL, NO_TUNING, SETTINGS
from aims.core.errors import InputError, unknown_name
from aims.core.vocabulary import MODALITIES, Modality

if TYPE_CHECKING:
    from aims.methods import Description

_EPILOG = """
\b
Options of methods and tunings follow like any other: --kernel 5 (simcmf), --rank 8 (lora); --all lists
the methods, the tunings and their options.
\b
FLOPs are torch's own count (matrix products and convolutions; a multiplication with its addition counts
as two) of alignment, image encoder and mask decoder for one image with one click, as in evaluation.
"""


@click.command(epilog=_EPILOG, context_settings=OPEN)
@click.option("--method", type=Name("method"), help="scratch, random-embed, linear, mlp, simcmf, vipt, ...")
@click.option(
    "--tuning",
    type=Name("tuning", others=(NO_TUNING,)),
    help="full, lora, adapter, ...  [default: the method's with pretrained weights]",
)
@click.option(
    "--modality",
    type=Name("modality", MODALITIES, closed=False),
    help="depth, nir, rgb-hha, ...; with --channels also a stream of your own set.",
)
@click.option(
    "--channels",
    type=click.IntRange(1),
    help="Channels of the images, in place of a modality. Where a method needs to know RGB, the first three "
    "of four or more are RGB.",
)
@setting_options({"backbone": SETTINGS["backbone"]}, {})
@click.option("--all", "everything", is_flag=True, help="Tables of all methods and tunings instead.")
@click.option("--markdown", is_flag=True, help="Print the tables of --all as Markdown.")
@json_option()
@click.pass_context
def command(
    ctx: click.Context, /, backbone: str, everything: bool, markdown: bool, as_json: bool, **one: Any
) -> None:
    """Count the parameters and operations of a method.

    Neither weights nor data are read: only shapes are built.
    """
    if markdown and (as_json or not everything):
        raise InputError("--markdown prints the tables of --all; use it with --all and without --json")
    # Checked before the import of torch, which takes seconds.
    modality = None if everything else _modality(one["modality"], one["channels"])
    if everything and (ctx.args or any(value is not None for value in one.values())):
        given = [f"--{name}" for name, value in one.items() if value is not None] + ctx.args[:1]
        raise InputError(f"--all counts every method; leave {given[0]} out")
    if modality is None:
        _show_all(backbone, markdown=markdown, as_json=as_json)
        return
    found = _describe(one["method"], one["tuning"], modality, backbone, extra_options(ctx))
    if as_json:
        content = found.as_json()
        front = {"method": found.method, "tuning": found.tuning, "modality": one["modality"]}
        print_json(front | {key: value for key, value in content.items() if key not in front})
    else:
        _show(found, one["modality"])


def _modality(name: str | None, channels: int | None) -> Modality:
    if name is None:
        if channels is None:
            raise InputError(
                f"give --modality ({', '.join(MODALITIES)}) or --channels N; --all counts every method"
            )
        streams = ("rgb", "others") if channels > 3 else ("channels",)
        return Modality(name=f"{channels} channels", streams=streams, channels=channels)
    if name in MODALITIES:
        listed = MODALITIES[name]
        if channels not in (None, listed.channels):
            raise InputError(
                f"--modality {name} has {listed.channels} channels: leave --channels {channels} out"
            )
        return listed
    if channels is None:
        error = unknown_name("modality", name, MODALITIES)
        raise InputError(f"{error}; for a stream of your own set, say how many channels it has: --channels N")
    streams = ("rgb", name.removeprefix("rgb-")) if name.startswith("rgb-") else (name,)
    return Modality(name=name, streams=streams, channels=channels)


def _describe(
    method: str | None, tuning: str | None, modality: Modality, backbone: str, options: Mapping[str, str]
) -> Description:
    # Imported here: torch takes seconds.
    from aims.methods import METHODS, default_tuning, describe, require_modality, require_pair

    if method is None:
        raise InputError(f"give --method ({', '.join(METHODS)}), or --all to count every method")
    tuning = default_tuning(method, pretrained=True) if tuning is None else tuning
    require_pair(method, tuning)
    require_modality(method, modality)
    return describe(
        method=method, tuning=tuning, backbone=backbone, channels=modality.channels or 0, options=options
    )


def _show(found: Description, modality: str | None) -> None:
    counts, flops = found.parameters, found.flops
    channels = f"{found.channels} channel{'s' if found.channels > 1 else ''}"
    images = f"{modality} ({channels})" if modality else channels
    where = "" if found.backbone == NO_MODEL else f" on {found.backbone}"
    out.print(Text(f"{found.method} x {found.tuning}{where}, {images}", style="bold"))
    if found.options:
        words = (f"{name.replace('_', '-')} {value}" for name, value in found.options.items())
        out.print(Text(", ".join(words), style="dim"))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim")
    share = "nothing is trained" if found.tuning == NO_TUNING else f"{counts.trainable / counts.total:.2%}"
    table.add_row("parameters", f"{counts.total:,}", "in all")
    table.add_row("  trained", f"{counts.trainable:,}", share)
    if found.backbone == NO_MODEL:
        out.print(table, soft_wrap=False)
        out.print(Text("a floor: it has no model, and sees no sensor", style="dim"))
        return
    for part in ("alignment", "encoder", "decoder"):
        table.add_row(f"    {part}", f"{getattr(counts, part):,}")
    table.add_row("GFLOPs", f"{flops.forward / 1e9:,.1f}", "one image with one click")
    table.add_row("  alignment", f"{flops.alignment / 1e9:,.1f}")
    table.add_row("input", f"{found.image_size}", "pixels, side of the square")
    table.add_row("masks", f"{found.mask_size}", "pixels, side of the square")
    out.print(table, soft_wrap=False)


def _show_all(backbone: str, *, markdown: bool, as_json: bool) -> None:
    # Imported here: torch takes seconds.
    from aims.cli._count_tables import as_markdown, as_renderables, count_tables
    from aims.cli._counts import count_all

    with err.status("counting every method and tuning"):
        content = count_all(backbone)
        tables = count_tables(content)
    if as_json:
        print_json(content)
    elif markdown:
        print(as_markdown(tables), end="")
    else:
        for part in as_renderables(tables):
            # Lines of text are left to the terminal, as in `aims list`.
            out.print(part, soft_wrap=isinstance(part, Text))
