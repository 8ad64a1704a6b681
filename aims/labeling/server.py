"""Serves the page to one person: on the loopback address, to who has the token, and nothing but the page."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from aims.core.errors import InputError

HOST = "127.0.0.1"
_NAMES = frozenset({HOST, "localhost"})
#: What the page asks for; gradio also has routes that read files, take uploads and fetch addresses.
_ROUTES = ("/assets/", "/static/", "/gradio_api/queue/", "/gradio_api/heartbeat/")
_PAGES = frozenset({"/", "/config", "/theme.css", "/gradio_api/app_id", "/gradio_api/info", "/favicon.ico"})


class Guard:
    """Lets requests of the page through, and no others.

    On a machine with several people everybody reaches the loopback address; a page of another origin can
    send requests there, too. So the address holds a token, which becomes a cookie.

    Args:
        app: what is guarded.
        token: the secret.
        cookie: name of the cookie; cookies are shared by all ports of a host.
    """

    def __init__(self, app: ASGIApp, token: str, cookie: str) -> None:
        self._app = app
        self._token = token
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request (ASGI)."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        path, query = scope["path"], parse_qs(scope.get("query_string", b"").decode("latin-1"))
        # A name of another site that was pointed to this address (DNS rebinding) is not ours.
        known = headers.get("host", "").rsplit(":", 1)[0] in _NAMES
        asked = path in _PAGES or path.startswith(_ROUTES)
        if scope["type"] != "http" or not known or not asked:
            await _refuse(send, 404, "there is no such page")
        elif path == "/" and self._is_token(query.get("token", [""])[0]):
            cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
            await _refuse(send, 303, "", (b"location", b"/"), (b"set-cookie", cookie.encode()))
        elif not self._has_cookie(headers.get("cookie", "")):
            await _refuse(send, 403, "open the whole address that `aims click` printed, with its token")
        else:
            await self._app(scope, receive, send)

    def _has_cookie(self, header: str) -> bool:
        with suppress(CookieError):
            held = SimpleCookie(header).get(self._cookie)
            return held is not None and self._is_token(held.value)
        return False

    def _is_token(self, text: str) -> bool:
        return secrets.compare_digest(text.encode(), self._token.encode())


async def _refuse(send: Send, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
    kind = (b"content-type", b"text/plain; charset=utf-8")
    await send({"type": "http.response.start", "status": status, "headers": [kind, *headers]})
    await send({"type": "http.response.body", "body": text.encode()})


class PageServer:
    """A server with an address that nobody guesses.

    Args:
        app: makes what is served, at an address and a port.
        port: the port; 0 for one that is free.

    Attributes:
        address: where the page is, with its token.

    Raises:
        InputError: the port is taken.
    """

    def __init__(self, app: Callable[[str, int], ASGIApp], port: int = 0) -> None:
        self._socket = socket.socket()
        try:
            self._socket.bind((HOST, port))
            # From here on a browser waits until `run`.
            self._socket.listen()
        except OSError as error:
            self._socket.close()
            raise InputError(f"--port {port}: {error.strerror}; leave it out for a free one") from None
        port, token = self._socket.getsockname()[1], secrets.token_urlsafe(16)
        self.address = f"http://{HOST}:{port}/?token={token}"
        config = uvicorn.Config(
            Guard(app(HOST, port), token, f"aims-click-{port}"), log_level="error", ws="none"
        )
        self._server = uvicorn.Server(config)

    def run(self) -> None:
        """Serves until `stop`, or Ctrl-C."""
        # The server ends in order on Ctrl-C, then passes it on.
        with suppress(KeyboardInterrupt):
            self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Ends `run`, from another thread."""
        self._server.should_exit = True
