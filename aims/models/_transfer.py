"""Download of one file over HTTP with pooch, resumed where an earlier attempt stopped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO

import pooch
import requests
from urllib3.exceptions import HTTPError

from aims.core.errors import DISK_FULL, AimsError, InputError

#: Bytes per write; an interrupted transfer loses less than this.
CHUNK_BYTES = 1 << 18
#: Seconds without a byte after which a connection counts as lost.
TIMEOUT_S = 30.0

_LOST = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


class DownloadObserver:
    """Receives the progress of a download; this one ignores it. All counts are bytes."""

    def stage(self, name: str, total: int | None, done: int = 0) -> None:
        """Called when a part of the work begins; where `total` is None, `progress` is not called."""

    def progress(self, done: int) -> None:
        """Called repeatedly with the number of bytes of the stage that are done."""

    def remark(self, text: str) -> None:
        """Called with a message for the user: a lost connection, a wait."""


def usable_bytes(path: Path, size: int) -> int:
    """Returns the size of an unfinished file; 0 if it is absent or longer than `size`, the whole file's."""
    there = path.stat().st_size if path.is_file() else 0
    return there if there <= size else 0


def fetch_rest(url: str, path: Path, size: int, observer: DownloadObserver) -> None:
    """Downloads the rest of an unfinished file, starting at its end.

    Received bytes stay in `path` after an error; an empty file is removed. A lost connection is opened again
    as long as every attempt brings some bytes. The caller checks the content.

    Args:
        url: http or https; proxies of the environment are used.
        path: the unfinished file, or the path at which to create it.
        size: size of the whole file in bytes.
        observer: receives the progress.

    Raises:
        InputError: HF_HUB_OFFLINE is set and bytes are missing.
        AimsError: the server does not answer, or answers with an error or another size, or the disk is full.
    """
    if usable_bytes(path, size) < size and _offline():
        raise InputError(
            f"{url}: not asked for, since HF_HUB_OFFLINE is set; unset it, or take a file with --from FILE"
        )
    if not usable_bytes(path, size):
        path.unlink(missing_ok=True)
    try:
        with path.open("ab") as file:
            while (begin := file.tell()) < size:
                observer.stage("fetch", size, begin)
                try:
                    _Transfer(url, file, size, observer).run()
                    break
                except _LOST:
                    if file.tell() <= begin:
                        raise
                    observer.remark(f"connection lost at {file.tell():,} bytes; going on from there")
        if path.stat().st_size < size:
            # Only an answer without Content-Length can end early without an error.
            raise AimsError(f"{url}: the answer ended early; {_next_step(path, size)}")
    except _LOST as error:
        raise AimsError(
            f"{url}: the connection failed ({_reason(error)}); {_next_step(path, size)}"
        ) from None
    except (requests.RequestException, HTTPError, ValueError) as error:
        # The address, a header, or a proxy set in the environment is invalid.
        raise AimsError(f"{url}: cannot be asked for ({error}); check address and proxy settings") from None
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise AimsError(f"{path.parent}: the disk is full; make room; {_next_step(path, size)}") from None
    finally:
        if path.is_file() and path.stat().st_size == 0:
            path.unlink()


class _Transfer:
    """One request for the rest of a file.

    It passes itself to pooch as the progress bar, which is updated after every chunk: pooch compares no
    sizes, and an answer of the wrong size must not fill the disk.
    """

    def __init__(self, url: str, file: BinaryIO, size: int, observer: DownloadObserver) -> None:
        self.url, self.file, self.size, self.observer = url, file, size, observer
        self.total = 0  # Set by pooch: the length of the answer, which is less than the file's when resumed.
        self.response: requests.Response | None = None

    def run(self) -> None:
        begin = self.file.tell()
        # A range counts bytes of the encoded answer, so the file must be sent uncompressed.
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={begin}-"} if begin else {})}
        download = pooch.HTTPDownloader(
            progressbar=self,
            chunk_size=CHUNK_BYTES,
            timeout=TIMEOUT_S,
            headers=headers,
            hooks={"response": self.check},
        )
        try:
            download(self.url, self.file, None)
        finally:
            # pooch leaves the connection open when an error interrupts it.
            if self.response is not None:
                self.response.close()

    def check(self, response: requests.Response, **_: Any) -> None:
        """Called by requests with every answer, before its body is read."""
        self.response = response
        if response.is_redirect:
            return
        if not response.ok:
            path = Path(self.file.name)
            # The partial file is longer than the server's file, so resuming fails every time.
            too_long = response.status_code == requests.codes.requested_range_not_satisfiable
            next_step = f"delete {path} to begin again" if too_long else _next_step(path, self.size)
            answer = f"{response.status_code} {response.reason}".strip()
            raise AimsError(f"{self.url}: the server answers {answer}; {next_step}")
        if response.status_code != requests.codes.partial_content and self.file.tell():
            self.observer.remark("the server cannot go on in the middle; fetching from the beginning again")
            self.file.seek(0)
            self.file.truncate()
        length = response.headers.get("Content-Length")
        if length is not None and (total := self.file.tell() + int(length)) != self.size:
            raise AimsError(
                f"{self.url}: not the file: the server has {total:,} bytes where {self.size:,} are expected; "
                "nothing was fetched"
            )
        self.observer.progress(self.file.tell())

    def update(self, _: int) -> None:
        """Called by pooch with the chunk size, not the bytes written; the file's position gives those."""
        done = self.file.tell()
        if done > self.size:
            self.file.truncate(0)
            raise AimsError(f"{self.url}: not the file: the server sends more than {self.size:,} bytes")
        self.observer.progress(done)

    def reset(self) -> None:
        """Called by pooch at the end."""

    close = reset


def _offline() -> bool:
    """Whether HF_HUB_OFFLINE is set to one of the values by which Hugging Face's libraries mean yes."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def _reason(error: BaseException) -> str:
    """Returns the message of the innermost error: requests wraps those of the system three times."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error) or type(error).__name__


def _next_step(path: Path, size: int) -> str:
    """Says how many bytes are kept, and what the user can do next."""
    done = usable_bytes(path, size)
    if not done:
        return "nothing was fetched; try again, or take a file with --from FILE"
    return f"{done:,} bytes are kept in {path}; the same command goes on from there"
