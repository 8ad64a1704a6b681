"""A server on the loopback address with the routes of the Hugging Face Hub that AIMS uses.

It keeps what huggingface_hub sends by the same protocol as the Hub (git LFS for large files, one commit of
JSON lines), and every request in `asked`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

#: Kinds of files that the Hub stores by LFS.
LARGE = (".parquet", ".png", ".safetensors")
Tree = dict[str, tuple[str, str]]


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Repo:
    private: bool
    commits: dict[str, Tree] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def sha(self, revision: str) -> str | None:
        return self.branches.get(revision) or (revision if revision in self.commits else None)

    def commit(self, branch: str, tree: Tree) -> str:
        sha = hashlib.sha1(json.dumps([tree, len(self.commits)]).encode()).hexdigest()
        self.commits[sha], self.branches[branch] = tree, sha
        return sha


class Handler(BaseHTTPRequestHandler):
    """One request: `do` finds the route's method by its pattern."""

    server: Hub
    protocol_version = "HTTP/1.1"
    ROUTES = (
        ("POST", r"/api/repos/create", "create"),
        ("POST", r"/api/validate-yaml", "validate"),
        ("GET", r"/api/(models|datasets)/([^/]+/[^/]+)", "info"),
        ("GET", r"/api/(models|datasets)/([^/]+/[^/]+)/revision/([^/]+)", "info"),
        ("GET", r"/api/(models|datasets)/([^/]+/[^/]+)/tree/([^/]+)", "tree"),
        ("POST", r"/api/(models|datasets)/([^/]+/[^/]+)/branch/([^/]+)", "branch"),
        ("POST", r"/api/(models|datasets)/([^/]+/[^/]+)/preupload/([^/]+)", "preupload"),
        ("POST", r"/api/(models|datasets)/([^/]+/[^/]+)/commit/([^/]+)", "commit"),
        ("POST", r"/(?:(datasets)/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", "batch"),
        ("PUT", r"/lfs/([0-9a-f]+)", "store"),
        ("GET", r"/(?:(datasets)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", "resolve"),
    )

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append((self.command, path))
        self.body = self.read_body()
        method = "GET" if self.command == "HEAD" else self.command
        for verb, pattern, name in self.ROUTES:
            found = re.fullmatch(pattern, path)
            if verb == method and found:
                getattr(self, name)(*found.groups())
                return
        self.answer({"error": "no such route"}, 404)

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    do_HEAD = do_POST = do_PUT = do_GET

    def answer(self, value: Any, code: int = 200, **headers: str) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(code)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def repo(self, kind: str | None, name: str, revision: str = "main") -> tuple[Repo, str] | None:
        """The repository and the commit; answers with an error, and returns None, where there is none."""
        repo = self.server.repos.get((kind or "models", name))
        if repo is None:
            self.answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
            return None
        sha = repo.sha(revision)
        if sha is None:
            self.answer({"error": "Revision not found"}, 404, X_Error_Code="RevisionNotFound")
            return None
        return repo, sha

    def create(self) -> None:
        asked = json.loads(self.body)
        kind, name = f"{asked.get('type', 'model')}s", f"{asked['organization']}/{asked['name']}"
        prefix = "datasets/" if kind == "datasets" else ""
        reply = {"url": f"{self.server.url}/{prefix}{name}", "name": name}
        if (kind, name) in self.server.repos:
            self.answer({"error": "exists", **reply}, 409)
            return
        private = asked.get("visibility") == "private" or asked.get("private") is True
        self.server.repos[kind, name] = Repo(private)
        self.server.repos[kind, name].commit("main", {})
        self.answer(reply)

    def validate(self) -> None:
        self.answer({"errors": [], "warnings": []})

    def info(self, kind: str, name: str, revision: str = "main") -> None:
        if found := self.repo(kind, name, revision):
            repo, sha = found
            files = [{"rfilename": path} for path in repo.commits[sha]]
            self.answer({"id": name, "sha": sha, "private": repo.private, "siblings": files, "tags": []})

    def tree(self, kind: str, name: str, revision: str) -> None:
        if found := self.repo(kind, name, revision):
            repo, sha = found
            entries = []
            for path, (how, oid) in repo.commits[sha].items():
                size = len(self.server.contents[oid])
                entry: dict[str, Any] = {"type": "file", "path": path, "size": size, "oid": oid}
                if how == "lfs":
                    entry |= {
                        "oid": blob_id(oid.encode()),
                        "lfs": {"oid": oid, "size": size, "pointerSize": 130},
                    }
                entries.append(entry)
            self.answer(entries)

    def branch(self, kind: str, name: str, branch: str) -> None:
        if found := self.repo(kind, name):
            repo, sha = found
            known = branch in repo.branches
            repo.branches.setdefault(branch, sha)
            self.answer({}, 409 if known else 200)

    def preupload(self, kind: str, name: str, revision: str) -> None:
        if found := self.repo(kind, name, revision):
            repo, sha = found
            self.answer(
                {
                    "files": [
                        {
                            "path": file["path"],
                            "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                            "shouldIgnore": False,
                            "oid": repo.commits[sha].get(file["path"], (None, None))[1],
                        }
                        for file in json.loads(self.body)["files"]
                    ]
                }
            )

    def batch(self, kind: str | None, name: str) -> None:
        objects = []
        for item in json.loads(self.body)["objects"]:
            if item["oid"] not in self.server.contents:
                item["actions"] = {"upload": {"href": f"{self.server.url}/lfs/{item['oid']}"}}
            objects.append(item)
        self.answer({"transfer": "basic", "objects": objects})

    def store(self, oid: str) -> None:
        if self.server.refuse_after == 0:
            self.answer({"error": "gone"}, 400)
            return
        if self.server.refuse_after is not None:
            self.server.refuse_after -= 1
        assert hashlib.sha256(self.body).hexdigest() == oid
        self.server.contents[oid] = self.body
        self.answer({})

    def commit(self, kind: str, name: str, revision: str) -> None:
        if not (found := self.repo(kind, name, revision)):
            return
        repo, sha = found
        tree = dict(repo.commits[sha])
        for line in map(json.loads, self.body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                content = base64.b64decode(value["content"])
                self.server.contents[blob_id(content)] = content
                tree[value["path"]] = "regular", blob_id(content)
            elif line["key"] == "lfsFile":
                # A commit that names contents which were not sent is refused.
                assert value["oid"] in self.server.contents
                tree[value["path"]] = "lfs", value["oid"]
            elif line["key"] == "deletedFile":
                del tree[value["path"]]
        new = repo.commit(revision, tree)
        self.answer({"commitUrl": f"{self.server.url}/{name}/commit/{new}", "commitOid": new})

    def resolve(self, kind: str | None, name: str, revision: str, path: str) -> None:
        if found := self.repo(kind, name, revision):
            repo, sha = found
            if path not in repo.commits[sha]:
                self.answer({"error": "no such file"}, 404, X_Error_Code="EntryNotFound")
                return
            how, oid = repo.commits[sha][path]
            content = self.server.contents[oid]
            named = {"X_Linked_Etag": f'"{oid}"', "X_Linked_Size": str(len(content))} if how == "lfs" else {}
            self.answer(self.server.spoil(path, content), ETag=f'"{oid}"', X_Repo_Commit=sha, **named)

    def log_message(self, *args: object) -> None:
        pass


class Hub(ThreadingHTTPServer):
    """The server, with its repositories by kind and name and their contents by checksum.

    `refuse_after`: number of large files after which further ones are refused; None for never. `spoilt`: path
    of a file whose content is sent with one bit changed.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos: dict[tuple[str, str], Repo] = {}
        self.contents: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.refuse_after: int | None = None
        self.spoilt: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def spoil(self, path: str, content: bytes) -> bytes:
        return content[:-1] + bytes([content[-1] ^ 1]) if path == self.spoilt else content

    def sent(self, verb: str, part: str) -> list[str]:
        """Paths of the requests with that verb and that part in their path."""
        return [path for asked, path in self.asked if asked == verb and part in path]


@contextmanager
def running() -> Iterator[Hub]:
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()
