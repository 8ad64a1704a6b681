"""One file over HTTP, resumable: huggingface_hub does it, and what it leaves open is closed here."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.file_download import http_get

from aims.core.errors import DISK_FULL, AimsError, InputError

_LOGGERS = ("huggingface_hub.file_download", "huggingface_hub.utils._http")


class Observer:
    """Told how a download goes; does nothing. All counts are bytes."""

    def stage(self, name: str, total: int | None, done: int = 0) -> None:
        """Called when a part of the work begins; where `total` is None, `progress` is not called."""

    def progress(self, done: int) -> None:
        """Called with what has been done of the stage, now and then."""

    def remark(self, text: str) -> None:
        """Called when something is worth saying: a lost connection, a wait."""


def usable_bytes(path: Path, size: int) -> int:
    """Size of an unfinished file; 0 if there is none, or if it is longer than the whole file's `size`."""
    there = path.stat().st_size if path.is_file() else 0
    return there if there <= size else 0


def fetch_rest(url: str, path: Path, size: int, observer: Observer) -> None:
    """Fetches what an unfinished file lacks, going on at its end.

    What has arrived stays in `path`, whatever happens; an empty file does not stay. The content is for
    the caller to check.

    Args:
        url: http or https; proxies of the environment are used.
        path: the unfinished file, or where it is to be.
        size: of the whole file, in bytes.
        observer: told how it goes.

    Raises:
        InputError: HF_HUB_OFFLINE forbids it.
        AimsError: no answer, a wrong answer, an answer of another size, or a full disk.
    """
    if not usable_bytes(path, size):
        path.unlink(missing_ok=True)
    try:
        with path.open("ab") as file, _remarks(observer):
            _get(url, file, size, observer)
    except OfflineModeIsEnabled:
        raise InputError(
            f"{url}: not asked for, since HF_HUB_OFFLINE is set; unset it, or take a file with --from FILE"
        ) from None
    except HfHubHTTPError as error:
        code = error.response.status_code
        answer = f"{code} {error.response.reason_phrase}".strip()
        # The partial file is longer than the server's: going on would end the same way for ever.
        way_on = f"delete {path} to begin again" if code == 416 else _way_on(path, size)
        raise AimsError(f"{url}: the server answers {answer}; {way_on}") from None
    except httpx2.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise AimsError(f"{url}: the connection failed ({reason}); {_way_on(path, size)}") from None
    except OSError as error:
        if error.errno in DISK_FULL:
            raise AimsError(f"{path.parent}: the disk is full; make room; {_way_on(path, size)}") from None
        if error.errno is not None:
            raise
        # http_get's own check, which has no number: an answer without a length that ended early.
        raise AimsError(f"{url}: the answer ended early; {_way_on(path, size)}") from None
    except (httpx2.InvalidURL, ValueError, ImportError) as error:
        # How the HTTP library says that an address, a header or a proxy of the environment is unusable.
        raise AimsError(f"{url}: cannot be asked for ({error}); check address and proxy settings") from None
    finally:
        if path.is_file() and path.stat().st_size == 0:
            path.unlink()


def _get(url: str, file: Any, size: int, observer: Observer) -> None:
    while True:
        begin = file.tell()
        observer.stage("fetch", size, begin)
        watch = partial(_Watch, url=url, size=size, begin=begin, observer=observer)
        try:
            http_get(
                url,
                file,
                resume_size=begin,
                # A range counts bytes of what is sent: it must be the file itself, not compressed.
                headers={"Accept-Encoding": "identity"},
                expected_size=size,
                tqdm_class=watch,  # type: ignore[arg-type]  # It is called as tqdm is.
            )
            return
        except httpx2.ReadError:
            # http_get goes on by itself after a close or a timeout, but not after a reset connection.
            if file.tell() <= begin:
                raise
            observer.remark(f"connection reset at {file.tell():,} bytes; going on from there")


class _Watch:
    """Stands where http_get wants a tqdm bar: reports, and refuses what cannot be the file.

    http_get itself compares sizes at the end only, when a wrong file has filled the disk.
    """

    def __init__(
        self,
        *,
        total: int | None,
        initial: int,
        url: str,
        size: int,
        begin: int,
        observer: Observer,
        **_: Any,
    ) -> None:
        self.url, self.size, self.observer, self.done = url, size, observer, initial
        if total is not None and total != size:
            raise AimsError(
                f"{url}: not the file: the server has {total:,} bytes where {size:,} are expected; "
                "nothing was fetched"
            )
        if initial < begin:
            observer.remark("the server cannot go on in the middle; fetching from the beginning again")
        observer.progress(initial)

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, count: int) -> None:
        self.done += count
        if self.done > self.size:
            raise AimsError(f"{self.url}: not the file: the server sends more than {self.size:,} bytes")
        self.observer.progress(self.done)


@contextmanager
def _remarks(observer: Observer) -> Iterator[None]:
    """Hands the library's warnings (a lost connection that it takes up again) to the observer, each once."""
    last = ""

    def hand_over(record: logging.LogRecord) -> bool:
        nonlocal last
        line = "; ".join(record.getMessage().splitlines())
        if line != last:
            observer.remark(line)
        last = line
        return False

    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(hand_over)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(hand_over)


def _way_on(path: Path, size: int) -> str:
    """What is kept, and what to do next."""
    done = usable_bytes(path, size)
    if not done:
        return "nothing was fetched; try again, or take a file with --from FILE"
    return f"{done:,} bytes are kept in {path}; the same command goes on from there"
