"""`aims weights BACKBONE`: fetch the authors' pretrained weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import Progress

from aims.cli._options import PATH, json_option
from aims.cli._terminal import Stages, add_columns, err, out, plain_table, print_json, progress_bar, warn
from aims.core.errors import InputError

if TYPE_CHECKING:
    from aims.models.download import Download

_EPILOG = """
\b
The files go to $AIMS_CACHE/weights, else to the user's cache folder, where `aims run` looks.
AIMS_WEIGHTS_URL names a mirror of the authors' server; the checksum is theirs in any case.
Ctrl-C keeps what was fetched; the same command goes on from there.
"""


@click.command(epilog=_EPILOG)
@click.argument("backbone", required=False)
@click.option(
    "--from",
    "source",
    type=PATH,
    metavar="FILE",
    help="Copy the authors' file from here; nothing is fetched.",
)
@json_option("Print the result as JSON.")
def command(backbone: str | None, source: Path | None, as_json: bool) -> None:
    """Fetch a backbone's pretrained weights.

    BACKBONE is sam-vit-b, sam-vit-l, sam-vit-h, mobile-sam or efficient-sam-ti; without it, all are listed.
    The file is checked against the authors' SHA-256 before it gets its name. Those of sam-tiny come with
    AIMS: sam-tiny@1 is the first edition, sam-tiny the newest. Those of hf:OWNER/NAME are fetched from the
    Hugging Face Hub by its own client.
    """
    # Imported here: torch takes seconds.
    from aims.core.files import sha256_file
    from aims.models.backbone import BACKBONES
    from aims.models.download import plan_download
    from aims.models.weights import find_packaged

    if backbone is None:
        if source is not None:
            raise InputError("--from needs a backbone: aims weights BACKBONE --from FILE")
        _list(as_json)
        return
    if (packaged := find_packaged(backbone)) is not None:
        if source is not None:
            raise InputError(f"the weights of {backbone} come with AIMS; leave --from out")
        size = packaged.path.stat().st_size
        facts = {"name": packaged.full_name, "bytes": size, "sha256": packaged.sha256, "fetched": False}
        remark = f"{packaged.full_name} comes with AIMS; its model card lies beside it"
        _show(packaged.backbone, packaged.path, facts, remark, as_json)
        return
    if (own := BACKBONES[backbone].find_weights()) is not None:
        if source is not None:
            raise InputError(f"{backbone} has its weights beside its configuration; leave --from out")
        facts = {"bytes": own.stat().st_size, "sha256": sha256_file(own), "fetched": False}
        _show(backbone, own, facts, f"{backbone} has its weights beside its configuration", as_json)
        return
    download = plan_download(backbone)
    checkpoint = download.checkpoint
    facts = {
        "bytes": checkpoint.size_bytes,
        "sha256": checkpoint.sha256,
        "fetched": (fetched := _obtain(download, source)),
    }
    remark = "checked: it is the authors' file, by its SHA-256" if fetched else "it was there, and is right"
    _show(backbone, download.path, facts, remark, as_json)


def _show(backbone: str, path: Path, facts: Mapping[str, Any], remark: str, as_json: bool) -> None:
    if as_json:
        print_json({"backbone": backbone, "path": str(path), **facts})
        return
    err.print(remark)
    out.print(f"{backbone}  ->  {path}", markup=False)


def _obtain(download: Download, source: Path | None) -> bool:
    from aims.models.download import copy_from, fetch, is_there

    with _observer() as observer:
        if source is not None:
            return copy_from(download, source, observer)
        if is_there(download, observer):
            return False
        _announce(download)
        try:
            return fetch(download, observer)
        except KeyboardInterrupt:
            if done := download.fetched_bytes:
                warn(f"{done:,} bytes are kept in {download.partial}; the same command goes on from there")
            raise


def _announce(download: Download) -> None:
    size = download.checkpoint.size_bytes
    lines = {
        "fetching": f"{download.checkpoint.file_name}, the pretrained weights of {download.backbone}",
        "size": f"{size:,} bytes ({_megabytes(size)})",
        "licence": f"{download.checkpoint.license}, by {download.checkpoint.authors}",
        "from": download.url,
        "to": str(download.path),
    }
    if done := download.fetched_bytes:
        lines["there"] = f"{done:,} bytes of an earlier attempt; going on from there"
    for name, text in lines.items():
        err.print(f"{name:<9} {text}", markup=False, soft_wrap=True)


def _list(as_json: bool) -> None:
    from aims.models.backbone import BACKBONES
    from aims.models.download import plan_download
    from aims.models.weights import PACKAGED_LICENSE, packaged_weights, weights_folder

    downloads = [plan_download(name) for name in BACKBONES if BACKBONES[name].checkpoint is not None]
    downloads.sort(key=lambda download: download.checkpoint.size_bytes)
    packaged = packaged_weights()
    if as_json:
        rows = [_row(download) for download in downloads]
        there = [
            {"backbone": each.backbone, "name": each.full_name, "path": str(each.path)} for each in packaged
        ]
        licenses = ", ".join(dict.fromkeys(each.checkpoint.license for each in downloads))
        print_json({"folder": str(weights_folder()), "license": licenses, "weights": rows, "packaged": there})
        return
    words = ("backbone", "file", "licence", "in cache")
    table = add_columns(plain_table(), "backbone", "file", "size", "licence", "in cache", left=words)
    for each in packaged:
        size = _megabytes(each.path.stat().st_size)
        table.add_row(each.backbone, each.full_name, size, PACKAGED_LICENSE, "with AIMS")
    for download in downloads:
        checkpoint = download.checkpoint
        size = _megabytes(checkpoint.size_bytes)
        table.add_row(download.backbone, checkpoint.file_name, size, checkpoint.license, _state(download))
    out.print(table)
    out.print(f"cache: {weights_folder()}", markup=False)
    out.print("Only sizes were compared; `aims weights BACKBONE` compares the content, or fetches it.")


def _row(download: Download) -> Mapping[str, Any]:
    checkpoint = download.checkpoint
    return {
        "backbone": download.backbone,
        "path": str(download.path),
        "bytes": checkpoint.size_bytes,
        "sha256": checkpoint.sha256,
        "url": download.url,
        "in_cache_by_size": _state(download) == "yes",
    }


def _state(download: Download) -> str:
    size = download.checkpoint.size_bytes
    if download.path.is_file():
        there = download.path.stat().st_size
        return "yes" if there == size else f"wrong: {there:,} bytes"
    return f"{download.fetched_bytes / size:.0%} of it" if download.fetched_bytes else "no"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


@contextmanager
def _observer() -> Iterator[Any]:
    """Shows a download on the terminal."""
    from aims.models.download import DownloadObserver

    class Display(DownloadObserver):
        def __init__(self, progress: Progress) -> None:
            self.bar = Stages(progress)

        def stage(self, name: str, total: int | None, done: int = 0) -> None:
            if total is None:
                self.bar.clear()
                err.print(f"{name} ...")
                return
            # In megabytes, which the bar's columns show as whole numbers.
            self.bar.begin(name, total / 1e6, done / 1e6, unit="MB", note="MB")

        def progress(self, done: int) -> None:
            self.bar.update(completed=done / 1e6)

        def remark(self, text: str) -> None:
            warn(text)

    with progress_bar() as progress:
        yield Display(progress)
