"""A web server on the loopback address that can misbehave, and a made-up checkpoint that it holds."""

from __future__ import annotations

import dataclasses
import hashlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from aims.models.backbone import BACKBONES, Checkpoint
from helpers import seeded

#: Size of the pieces that are written here.
PIECE = 10_000
CONTENT = seeded("weights").bytes(50_000)


class Handler(BaseHTTPRequestHandler):
    """Answers as the server's script says, then as a server should."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append(self.headers.get("Range"))
        self.server.headers.append(dict(self.headers))
        self.server.sent.append(0)
        self.server.paths.append(self.path)
        (self.server.script.pop(0) if self.server.script else good)(self)

    def head(self, code: int, **headers: object) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def send(self, body: bytes) -> None:
        self.server.sent[-1] += len(body)
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Holds one file; keeps the Range headers it was sent and the bytes that it sent, by request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.script: list[Callable[[Handler], None]] = []
        self.asked: list[str | None] = []
        self.headers: list[dict[str, str]] = []
        self.sent: list[int] = []
        self.paths: list[str] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/sam"

    def handle_error(self, *_: object) -> None:
        pass  # A client that went away is what some tests are about.


@contextmanager
def serve() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def good(handler: Handler, stop: int | None = None) -> None:
    """Sends the file, or the range of it that was asked for; `stop`: only up to that byte."""
    content = handler.server.content
    asked = handler.headers.get("Range")
    begin = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
    if begin >= len(content):
        handler.head(416, Content_Range=f"bytes */{len(content)}", Content_Length=0)
        return
    headers = {"Content_Length": len(content) - begin}
    if asked:
        headers["Content_Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
    handler.head(206 if asked else 200, **headers)
    handler.send(content[begin:stop])


def cut(stop: int) -> Callable[[Handler], None]:
    """Closes the connection at a byte."""

    def answer(handler: Handler) -> None:
        good(handler, stop)
        handler.close_connection = True

    return answer


def reset(stop: int, when: Callable[[], bool]) -> Callable[[Handler], None]:
    """Sends up to a byte, then resets the connection, as a network address translator does."""

    def answer(handler: Handler) -> None:
        good(handler, stop)
        wait_until(when)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
        handler.close_connection = True

    return answer


def stall(stop: int) -> Callable[[Handler], None]:
    """Sends up to a byte, then nothing until the test is over or releases it."""

    def answer(handler: Handler) -> None:
        good(handler, stop)
        handler.server.released.wait(10)
        handler.close_connection = True

    return answer


def hang_up(handler: Handler) -> None:
    """Closes the connection without a word."""
    handler.close_connection = True


def no_range(handler: Handler) -> None:
    """Sends everything, whatever was asked for."""
    handler.head(200, Content_Length=len(handler.server.content))
    handler.send(handler.server.content)


def no_length(handler: Handler) -> None:
    """Sends everything without saying how much it is, as servers of HTTP/1.0 do."""
    handler.head(200, Connection="close")
    handler.send(handler.server.content)


def status(code: int) -> Callable[[Handler], None]:
    """Answers with a status and a page for people."""

    def answer(handler: Handler) -> None:
        page = b"<html>sorry</html>"
        handler.head(code, Content_Type="text/html", Content_Length=len(page))
        handler.send(page)

    return answer


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def make_up_checkpoint(patch: pytest.MonkeyPatch, backbone: str = "sam-vit-b") -> Checkpoint:
    """Makes `CONTENT` the pretrained weights of a backbone."""
    entry = BACKBONES[backbone]
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    checkpoint = dataclasses.replace(entry.checkpoint, size_bytes=len(CONTENT), sha256=sha256)
    patch.setitem(BACKBONES._entries, backbone, dataclasses.replace(entry, checkpoint=checkpoint))
    return checkpoint


def reach_loopback(patch: pytest.MonkeyPatch) -> None:
    """Lets a download reach the loopback address, in small pieces."""
    patch.setenv("NO_PROXY", "127.0.0.1")
    patch.delenv("HF_HUB_OFFLINE", raising=False)
    patch.setattr("aims.models._transfer.CHUNK_BYTES", PIECE)
