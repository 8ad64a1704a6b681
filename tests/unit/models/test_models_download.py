from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pooch
import pytest
import weights_server as web
from weights_server import CONTENT, PIECE, Server

from aims.core.errors import AimsError, InputError
from aims.models import _transfer
from aims.models import download as module
from aims.models.download import Download, DownloadObserver, copy_from, fetch, is_there, plan_download
from aims.models.weights import resolve_weights


class Recorder(DownloadObserver):
    def __init__(self) -> None:
        self.stages: list[tuple[str, int | None, int]] = []
        self.counts: list[int] = []
        self.remarks: list[str] = []

    def stage(self, name: str, total: int | None, done: int = 0) -> None:
        self.stages.append((name, total, done))

    def progress(self, done: int) -> None:
        self.counts.append(done)

    def remark(self, text: str) -> None:
        self.remarks.append(text)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    web.reach_loopback(monkeypatch)
    with web.serve() as running:
        monkeypatch.setenv("AIMS_WEIGHTS_URL", running.url)
        yield running


@pytest.fixture
def download(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Download:
    monkeypatch.setenv("AIMS_CACHE", str(tmp_path / "cache"))
    web.make_up_checkpoint(monkeypatch)
    return plan_download("sam-vit-b")


@pytest.fixture
def observer() -> Recorder:
    return Recorder()


def names(download: Download) -> list[str]:
    """Files in the cache, without the lock."""
    return sorted(path.name for path in download.path.parent.glob("[!.]*"))


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_the_plan_is_the_authors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AIMS_WEIGHTS_URL", raising=False)
    monkeypatch.setenv("AIMS_CACHE", str(tmp_path))
    plan = plan_download("sam-vit-l")
    assert plan.url == "https://dl.fbaipublicfiles.com/segment_anything/sam_vit_l_0b3195.pth"
    assert plan.path == tmp_path / "weights" / "sam_vit_l_0b3195.pth"
    assert plan.partial == tmp_path / "weights" / "sam_vit_l_0b3195.pth.partial"
    assert plan.fetched_bytes == 0
    assert not is_there(plan)
    assert not list(tmp_path.iterdir())


def test_a_whole_download(download: Download, server: Server, observer: Recorder) -> None:
    assert fetch(download, observer)
    assert download.path.read_bytes() == CONTENT
    assert names(download) == [download.path.name]
    assert server.paths == [f"/sam/{download.path.name}"]
    assert server.asked == [None]
    assert server.headers[0]["Accept-Encoding"] == "identity"
    assert "Authorization" not in server.headers[0]
    assert observer.stages == [("fetch", len(CONTENT), 0), ("check", len(CONTENT), 0)]
    assert observer.counts == [0, *range(PIECE, len(CONTENT) + 1, PIECE), *[len(CONTENT)] * 2]
    assert observer.remarks == []
    assert resolve_weights("sam-vit-b", None) == download.path


def test_a_file_that_is_there_is_checked_and_kept(download: Download, server: Server) -> None:
    assert fetch(download)
    assert is_there(download)
    assert not fetch(download)
    assert len(server.asked) == 1


def test_a_shared_cache_may_be_read_only(
    download: Download, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(download.path, CONTENT)
    monkeypatch.setattr(module, "FileLock", None)
    assert not fetch(download)
    assert names(download) == [download.path.name]


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT[:-1] + b"?"])
def test_another_file_in_its_place_is_left_alone(download: Download, server: Server, content: bytes) -> None:
    put(download.path, content)
    wrong = (
        "49,999 bytes where theirs has 50,000" if len(content) < len(CONTENT) else "SHA-256 .* where theirs"
    )
    for attempt in (fetch, is_there):
        with pytest.raises(InputError, match=f"not the authors' file: {wrong}.*; delete or move it"):
            attempt(download)
    assert download.path.read_bytes() == content
    assert server.asked == []


def test_the_next_call_goes_on_where_a_broken_one_stopped(
    download: Download, server: Server, observer: Recorder
) -> None:
    server.script = [web.cut(25_000), web.hang_up]
    with pytest.raises(
        AimsError, match=r"the connection failed.*20,000 bytes are kept in .*\.partial; the same"
    ):
        fetch(download, observer)
    assert names(download) == [download.partial.name]
    assert download.partial.read_bytes() == CONTENT[:20_000]
    assert download.fetched_bytes == 20_000
    assert observer.remarks == ["connection lost at 20,000 bytes; going on from there"]
    assert server.asked == [None, "bytes=20000-"]
    for past in (server.script, server.asked, server.sent, observer.counts):
        past.clear()
    assert fetch(download, observer)
    assert server.asked == ["bytes=20000-"]
    assert server.sent == [30_000]
    assert observer.counts == [20_000, 30_000, 40_000, 50_000, 50_000, 50_000]
    assert download.path.read_bytes() == CONTENT
    assert names(download) == [download.path.name]


def test_a_connection_that_breaks_once_is_taken_up_again(download: Download, server: Server) -> None:
    server.script = [web.cut(30_000)]
    assert fetch(download)
    assert server.asked == [None, "bytes=30000-"]
    assert server.sent == [30_000, 20_000]
    assert download.path.read_bytes() == CONTENT


def test_a_reset_connection_is_taken_up_again(download: Download, server: Server, observer: Recorder) -> None:
    def arrived() -> bool:
        return download.partial.is_file() and download.partial.stat().st_size >= 2 * 8192

    server.script = [web.reset(30_000, arrived)]
    assert fetch(download, observer)
    begin = observer.stages[1][2]
    assert server.asked == [None, f"bytes={begin}-"]
    assert 2 * PIECE <= begin <= 30_000
    assert observer.remarks == [f"connection lost at {begin:,} bytes; going on from there"]
    assert download.path.read_bytes() == CONTENT


def test_a_connection_that_is_reset_at_once_is_given_up(download: Download, server: Server) -> None:
    put(download.partial, CONTENT[:20_000])
    server.script = [web.reset(20_000, lambda: True)] * 2
    with pytest.raises(AimsError, match=r"connection failed.*20,000 bytes are kept"):
        fetch(download)
    assert server.asked == ["bytes=20000-"]


def test_a_dead_connection_ends(
    download: Download, server: Server, observer: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_transfer, "TIMEOUT_S", 0.1)
    server.script = [web.stall(20_000)]
    assert fetch(download, observer)
    assert server.asked == [None, "bytes=20000-"]
    assert observer.remarks == ["connection lost at 20,000 bytes; going on from there"]


def test_a_server_without_ranges_starts_again(download: Download, server: Server, observer: Recorder) -> None:
    put(download.partial, CONTENT[:20_000])
    server.script = [web.no_range]
    assert fetch(download, observer)
    assert server.asked == ["bytes=20000-"]
    assert download.path.read_bytes() == CONTENT
    assert observer.remarks == ["the server cannot go on in the middle; fetching from the beginning again"]
    assert observer.counts[:2] == [0, PIECE]


def test_a_server_without_ranges_that_breaks_in_the_middle(download: Download, server: Server) -> None:
    server.script = [web.cut(30_000), web.no_range]
    assert fetch(download)
    assert server.asked == [None, "bytes=30000-"]
    assert download.path.read_bytes() == CONTENT


def test_a_whole_partial_file_needs_no_network(download: Download, server: Server) -> None:
    put(download.partial, CONTENT)
    assert fetch(download)
    assert server.asked == []
    assert names(download) == [download.path.name]


def test_a_partial_file_that_is_too_long_is_thrown_away(download: Download, server: Server) -> None:
    put(download.partial, CONTENT + b"?")
    assert fetch(download)
    assert server.asked == [None]
    assert download.path.read_bytes() == CONTENT


@pytest.mark.parametrize("begin", [0, 20_000])
@pytest.mark.parametrize("size", [40_000, 60_000])
def test_a_file_of_the_wrong_size_is_refused_at_once(
    download: Download, server: Server, begin: int, size: int
) -> None:
    if begin:
        put(download.partial, CONTENT[:begin])
    server.content = bytes(size)
    with pytest.raises(AimsError, match=f"the server has {size:,} bytes where 50,000 are expected"):
        fetch(download)
    assert names(download) == ([download.partial.name] if begin else [])
    assert download.fetched_bytes == begin


def test_an_answer_without_a_length_is_taken(download: Download, server: Server) -> None:
    server.script = [web.no_length]
    assert fetch(download)
    assert download.path.read_bytes() == CONTENT


def test_an_answer_without_a_length_that_ends_early(download: Download, server: Server) -> None:
    server.content = CONTENT[:15_000]
    server.script = [web.no_length]
    with pytest.raises(AimsError, match="the answer ended early; 15,000 bytes are kept"):
        fetch(download)
    assert names(download) == [download.partial.name]
    server.content = CONTENT
    assert fetch(download)
    assert server.asked == [None, "bytes=15000-"]
    assert download.path.read_bytes() == CONTENT


def test_an_answer_without_a_length_that_does_not_end(download: Download, server: Server) -> None:
    server.content = CONTENT * 3
    server.script = [web.no_length]
    with pytest.raises(AimsError, match="the server sends more"):
        fetch(download)
    assert names(download) == []


@pytest.mark.parametrize("begin", [0, 20_000])
def test_wrong_content_is_removed(download: Download, server: Server, begin: int) -> None:
    if begin:
        put(download.partial, bytes(begin))
    else:
        server.content = CONTENT[:-1] + b"?"
    with pytest.raises(AimsError, match=r"not the authors' file: SHA-256 .*; it was removed"):
        fetch(download)
    assert names(download) == []
    server.content = CONTENT
    assert fetch(download)


@pytest.mark.parametrize("code", [401, 403, 404, 500, 503])
@pytest.mark.parametrize("begin", [0, 20_000])
def test_a_server_that_refuses(download: Download, server: Server, code: int, begin: int) -> None:
    if begin:
        put(download.partial, CONTENT[:begin])
    server.script = [web.status(code)]
    kept = "20,000 bytes are kept" if begin else "nothing was fetched; try again"
    with pytest.raises(
        AimsError, match=f"{download.url}: the server answers {code} [A-Z].*; {kept}"
    ) as caught:
        fetch(download)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1
    assert names(download) == ([download.partial.name] if begin else [])


def test_a_partial_file_that_the_server_cannot_go_on_with(download: Download, server: Server) -> None:
    put(download.partial, CONTENT[:20_000])
    server.content = CONTENT[:15_000]
    with pytest.raises(AimsError, match=r"the server answers 416 .*; delete .*\.partial to begin again"):
        fetch(download)
    assert download.fetched_bytes == 20_000


def test_nobody_listens(download: Download, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AIMS_WEIGHTS_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(AimsError, match=r"the connection failed .*refused.*; nothing was fetched"):
            fetch(plan_download("sam-vit-b"))
    assert names(download) == []


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
def test_an_unusable_proxy(
    download: Download, server: Server, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "gopher://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY")
    with pytest.raises(
        AimsError, match=r"cannot be asked for \(.*gopher.*\); check address and proxy settings"
    ):
        fetch(download)
    assert server.asked == []


def test_a_proxy_of_the_environment_is_used(
    download: Download, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("AIMS_WEIGHTS_URL", "http://weights.invalid/sam")
    assert fetch(plan_download("sam-vit-b"))
    assert server.paths == [f"http://weights.invalid/sam/{download.path.name}"]


def test_a_redirection_is_followed(download: Download, server: Server) -> None:
    put(download.partial, CONTENT[:20_000])
    server.script = [lambda handler: handler.head(302, Location="/elsewhere", Content_Length=0)]
    assert fetch(download)
    assert server.paths[1:] == ["/elsewhere"]
    assert server.asked == ["bytes=20000-"] * 2
    assert download.path.read_bytes() == CONTENT


def test_offline_mode_is_respected(
    download: Download, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set; unset it, or take a file with --from"):
        fetch(download)
    assert server.asked == []
    assert names(download) == []


class Stopping:
    """A file on which writing fails after so many pieces, the last of them half written."""

    def __init__(self, file: Any, pieces: int, error: BaseException) -> None:
        self.file, self.pieces, self.error = file, pieces, error

    def write(self, data: bytes) -> None:
        if self.pieces == 0:
            self.file.write(data[: len(data) // 2])
            raise self.error
        self.pieces -= 1
        self.file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), AimsError),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), AimsError),
        (OSError(errno.EIO, "Input/output error"), OSError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_what_stops_the_writing_keeps_the_partial_file(
    download: Download,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    expected: type[BaseException],
) -> None:
    real = pooch.HTTPDownloader.__call__
    monkeypatch.setattr(
        pooch.HTTPDownloader,
        "__call__",
        lambda self, url, file, pooch: real(self, url, Stopping(file, 2, error), pooch),
    )
    with pytest.raises(expected) as caught:
        fetch(download)
    if expected is AimsError:
        assert "the disk is full; make room; 25,000 bytes are kept in" in str(caught.value)
    else:
        assert caught.value is error
    assert names(download) == [download.partial.name]
    assert download.partial.read_bytes() == CONTENT[:25_000]
    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", real)
    assert fetch(download)
    assert server.asked == [None, "bytes=25000-"]
    assert download.path.read_bytes() == CONTENT


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_the_systems_own_full_disk(download: Download, server: Server) -> None:
    download.partial.parent.mkdir(parents=True)
    real = pooch.HTTPDownloader.__call__

    def to_full(self: pooch.HTTPDownloader, url: str, file: Any, pooch: None) -> None:
        with open("/dev/full", "wb") as full:
            real(self, url, full, pooch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pooch.HTTPDownloader, "__call__", to_full)
        with pytest.raises(AimsError, match="the disk is full; make room; nothing was fetched"):
            fetch(download)
    assert names(download) == []


def test_an_interrupt_in_the_progress_keeps_the_partial_file(download: Download, server: Server) -> None:
    class Interrupting(DownloadObserver):
        def progress(self, done: int) -> None:
            if done == 3 * PIECE:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(download, Interrupting())
    assert download.partial.read_bytes() == CONTENT[:30_000]
    assert fetch(download)
    assert server.asked == [None, "bytes=30000-"]


@pytest.mark.parametrize("begin", [0, 20_000])
def test_too_little_space_is_said_before_anything_is_fetched(
    download: Download, server: Server, monkeypatch: pytest.MonkeyPatch, begin: int, tmp_path: Path
) -> None:
    if begin:
        put(download.partial, CONTENT[:begin])
    needed = len(CONTENT) - begin
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: SimpleNamespace(free=needed - 1))
    message = f"{needed:,} bytes are needed and {needed - 1:,} are free; make room, or set"
    with pytest.raises(AimsError, match=message):
        fetch(download)
    assert server.asked == []
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: SimpleNamespace(free=needed))
    assert fetch(download)


def test_a_second_process_waits_for_the_first(download: Download, server: Server) -> None:
    server.script = [web.stall(20_000)]
    first, second = Recorder(), Recorder()
    results: dict[str, bool] = {}

    def work(name: str, observer: Recorder) -> None:
        results[name] = fetch(download, observer)

    threads = [threading.Thread(target=work, args=("first", first))]
    threads[0].start()
    web.wait_until(lambda: 20_000 in first.counts)
    threads.append(threading.Thread(target=work, args=("second", second)))
    threads[1].start()
    web.wait_until(lambda: bool(second.remarks))
    assert second.remarks == ["another process is fetching this file; waiting for it"]
    server.released.set()
    for thread in threads:
        thread.join(10)
    assert results == {"first": True, "second": False}
    assert server.asked == [None, "bytes=20000-"]
    assert download.path.read_bytes() == CONTENT


@pytest.mark.parametrize("partial", [b"", CONTENT[:20_000]])
def test_a_file_of_this_machine_is_taken(
    download: Download, server: Server, observer: Recorder, tmp_path: Path, partial: bytes
) -> None:
    if partial:
        put(download.partial, partial)
    source = tmp_path / "elsewhere.pth"
    source.write_bytes(CONTENT)
    assert copy_from(download, source, observer)
    assert download.path.read_bytes() == CONTENT
    assert not download.path.samefile(source)
    assert names(download) == [download.path.name]
    assert [stage[0] for stage in observer.stages] == ["check", "copy"]
    assert not copy_from(download, source)
    assert not copy_from(download, download.path)
    assert server.asked == []


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT[:-1] + b"?", None])
def test_a_wrong_file_of_this_machine(
    download: Download, server: Server, tmp_path: Path, content: bytes | None
) -> None:
    source = tmp_path / "elsewhere.pth"
    if content is not None:
        source.write_bytes(content)
    words = "no such file" if content is None else r"not the authors' sam_vit_b_01ec64\.pth: .* where theirs"
    with pytest.raises(InputError, match=rf"elsewhere\.pth: {words}"):
        copy_from(download, source)
    assert not download.path.parent.exists()


def test_no_copy_over_another_file(download: Download, server: Server, tmp_path: Path) -> None:
    put(download.path, b"mine")
    source = tmp_path / "elsewhere.pth"
    source.write_bytes(CONTENT)
    with pytest.raises(InputError, match="4 bytes where theirs has 50,000; delete or move it"):
        copy_from(download, source)
    assert download.path.read_bytes() == b"mine"


def test_a_copy_onto_a_full_disk(
    download: Download, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "elsewhere.pth"
    source.write_bytes(CONTENT)

    def copy(source: Path, target: Path) -> None:
        target.write_bytes(CONTENT[:100])
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(module.shutil, "copyfile", copy)
    with pytest.raises(AimsError, match="the disk is full; make room"):
        copy_from(download, source)
    assert names(download) == []
    monkeypatch.undo()


def test_no_weights_to_fetch() -> None:
    with pytest.raises(
        InputError, match=r"no pretrained weights of sam-tiny can be fetched.*--weights PATH.*--weights none"
    ):
        plan_download("sam-tiny")
    with pytest.raises(InputError, match=r"unknown backbone 'sam-vit-x'; did you mean 'sam-vit-"):
        plan_download("sam-vit-x")


@pytest.mark.parametrize("address", ["ftp://mirror/", "mirror.org/sam", "file:///etc"])
def test_an_address_that_is_none(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("AIMS_WEIGHTS_URL", address)
    with pytest.raises(InputError, match=rf"AIMS_WEIGHTS_URL='{address}' is no http"):
        plan_download("sam-vit-b")


def test_an_address_with_an_impossible_port(
    download: Download, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIMS_WEIGHTS_URL", "http://127.0.0.1:port/")
    with pytest.raises(AimsError, match=r"cannot be asked for \(.*127\.0\.0\.1:port"):
        fetch(plan_download("sam-vit-b"))
