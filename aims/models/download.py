"""Downloads of the authors' checkpoints: resumable, and verified before the file gets its final name."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from aims.core.errors import DISK_FULL, AimsError, InputError
from aims.core.files import atomic_write, sync
from aims.models._transfer import DownloadObserver, fetch_rest, usable_bytes
from aims.models.backbone import BACKBONES, Checkpoint
from aims.models.weights import weights_folder

__all__ = [
    "URL_VARIABLE",
    "Download",
    "DownloadObserver",
    "copy_from",
    "fetch",
    "is_there",
    "plan_download",
]

#: Environment variable with the address of a mirror of the authors' server; its files are verified as well.
URL_VARIABLE = "AIMS_WEIGHTS_URL"


@dataclass(frozen=True, kw_only=True)
class Download:
    """The download of a backbone's checkpoint.

    Attributes:
        backbone: name in `BACKBONES`.
        checkpoint: the authors' file, with its size and SHA-256.
        url: address of the file.
        path: path of the finished file; only a verified file gets this name.
    """

    backbone: str
    checkpoint: Checkpoint
    url: str
    path: Path

    @property
    def partial(self) -> Path:
        """Path of the unfinished file, in the folder of the finished one."""
        return self.path.with_name(f"{self.path.name}.partial")

    @property
    def fetched_bytes(self) -> int:
        """Size of the unfinished file; 0 if there is none, or if it is longer than the checkpoint."""
        return usable_bytes(self.partial, self.checkpoint.size_bytes)


def plan_download(backbone: str) -> Download:
    """Returns the download of a backbone's checkpoint; touches neither disk nor network.

    Raises:
        InputError: the backbone is unknown or has no pretrained weights, or $AIMS_WEIGHTS_URL is not http(s).
    """
    checkpoint = BACKBONES[backbone].checkpoint
    if checkpoint is None:
        raise InputError(
            f"no pretrained weights of {backbone} can be fetched; "
            "`aims run` takes a file of yours with --weights PATH, or random weights with --weights none"
        )
    base = os.environ.get(URL_VARIABLE) or checkpoint.address
    if not base.startswith(("http://", "https://")):
        raise InputError(f"{URL_VARIABLE}={base!r} is no http:// or https:// address; correct or unset it")
    return Download(
        backbone=backbone,
        checkpoint=checkpoint,
        url=f"{base.rstrip('/')}/{checkpoint.file_name}",
        path=weights_folder() / checkpoint.file_name,
    )


def is_there(download: Download, observer: DownloadObserver | None = None) -> bool:
    """Returns whether the authors' file exists at `download.path`; its checksum is verified.

    Raises:
        InputError: another file is there; it is not changed.
    """
    if not download.path.exists():
        return False
    wrong = _difference(download.path, download.checkpoint, observer or DownloadObserver())
    if wrong:
        raise InputError(
            f"{download.path}: not the authors' file: {wrong}; delete or move it, then give the command again"
        )
    return True


def fetch(download: Download, observer: DownloadObserver | None = None) -> bool:
    """Downloads the authors' file unless it exists, resuming where an earlier attempt stopped.

    A second process waits for the first one. After an error or Ctrl-C the received bytes are kept in
    `download.partial`; only a complete file with wrong content is removed.

    Returns:
        True if the file was downloaded, False if it existed.

    Raises:
        InputError: another file has its name, or HF_HUB_OFFLINE is set.
        AimsError: the disk is full, the server does not answer or answers with an error, or the content is
            wrong.
    """
    observer = observer or DownloadObserver()
    # Before the lock, which writes: a read-only shared cache is sufficient if the file exists.
    if is_there(download, observer):
        return False
    with _locked(download, observer):
        if is_there(download, observer):
            return False
        _require_space(download, download.checkpoint.size_bytes - download.fetched_bytes)
        fetch_rest(download.url, download.partial, download.checkpoint.size_bytes, observer)
        wrong = _difference(download.partial, download.checkpoint, observer)
        if wrong:
            download.partial.unlink()
            raise AimsError(
                f"{download.url}: what came is not the authors' file: {wrong}; it was removed. Give the "
                f"command again; if that ends here too, the address is wrong (${URL_VARIABLE} names another)"
            )
        sync(download.partial)
        os.replace(download.partial, download.path)
        sync(download.path.parent)
    return True


def copy_from(download: Download, source: Path, observer: DownloadObserver | None = None) -> bool:
    """Copies the authors' file from a local path to `download.path` unless it exists there.

    Returns:
        True if the file was copied, False if it existed.

    Raises:
        InputError: `source` is missing or is not the authors' file, or another file has its name.
        AimsError: the disk is full.
    """
    observer = observer or DownloadObserver()
    if not source.is_file():
        raise InputError(f"{source}: no such file of weights")
    wrong = _difference(source, download.checkpoint, observer)
    if wrong:
        raise InputError(f"{source}: not the authors' {download.checkpoint.file_name}: {wrong}")
    if is_there(download, observer):
        return False
    with _locked(download, observer):
        if is_there(download, observer):
            return False
        _require_space(download, download.checkpoint.size_bytes)
        observer.stage("copy", None)
        try:
            with atomic_write(download.path) as beside:
                shutil.copyfile(source, beside)
        except OSError as error:
            if error.errno in DISK_FULL:
                raise AimsError(f"{download.path.parent}: the disk is full; make room") from None
            raise
        download.partial.unlink(missing_ok=True)
    return True


def _difference(path: Path, checkpoint: Checkpoint, observer: DownloadObserver) -> str:
    """Returns how a file differs from the authors', in words; empty if it does not."""
    size = path.stat().st_size
    if size != checkpoint.size_bytes:
        return f"{size:,} bytes where theirs has {checkpoint.size_bytes:,}"
    observer.stage("check", size)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 22):
            digest.update(piece)
            observer.progress(file.tell())
    sha256 = digest.hexdigest()
    return "" if sha256 == checkpoint.sha256 else f"SHA-256 {sha256} where theirs is {checkpoint.sha256}"


@contextmanager
def _locked(download: Download, observer: DownloadObserver) -> Iterator[None]:
    download.path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(download.path.with_name(f".{download.path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        observer.remark("another process is fetching this file; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _require_space(download: Download, needed: int) -> None:
    folder = download.path.parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise AimsError(
            f"{folder}: {needed:,} bytes are needed and {free:,} are free; make room, or set $AIMS_CACHE to "
            "a folder on another disk"
        )
