"""Atomic writing, checksums, and paths that stay in their folder."""

from __future__ import annotations

import glob
import hashlib
import itertools
import json
import os
import platform
import re
import secrets
import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import platformdirs

from aims.core.errors import InputError
from aims.core.texts import printable

_WRITERS = itertools.count()

_DEEPEST = 100
# A key of more parts than that: tomllib takes time in the square of their number.
_LONG_KEY = re.compile(rf"(?<![\w.-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{_DEEPEST}}}", re.ASCII)
# As safetensors and HDF5 write it.
_SYSTEM_ERROR = re.compile(r"\b(?:os error|errno =) (\d+)")
# Strings of several lines, strings and quoted keys of one, and comments; one without an end goes on to the
# end of the text, or of its line.
_QUOTED = re.compile(
    r'''"""(?:\\.|.)*?(?:"""|\Z)|\'\'\'.*?(?:\'\'\'|\Z)|"(?:\\[^\n]|[^"\\\n])*+"?|'[^'\n]*+'?|\#[^\n]*''',
    re.DOTALL,
)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the folder of `path`, and renames it to `path` once it is synced to disk.

    An interruption at any moment leaves either the old file or the new one. Every writer has its own file, so
    the later of two concurrent writers wins. Temporary files of dead processes on this host are removed.
    """
    beside = path.with_name(_own_name(f".{path.name}."))
    for left in _left_behind(path.parent, f".{path.name}."):
        left.unlink(missing_ok=True)
    try:
        with naming(path, beside):
            beside.touch()
            mode = beside.stat().st_mode
            yield beside
            # Some writers make the file anew, which its owner alone could read then (safetensors).
            beside.chmod(mode)
            sync(beside)
            os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    sync(path.parent)


@contextmanager
def temporary_folder(parent: Path, name: str) -> Iterator[Path]:
    """Yields a new hidden folder in an existing one, and removes it with all that is in it.

    Such folders of dead processes on this host are removed, too. SIGTERM and SIGHUP end a process without
    cleaning up, unless they raise (`aims.core.processes.interrupted_by_signals`).

    Args:
        parent: the existing folder.
        name: what the folder is for, a part of its name.
    """
    for left in _left_behind(parent, f".{name}-"):
        shutil.rmtree(left, ignore_errors=True)
    folder = parent / _own_name(f".{name}-")
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _own_name(start: str) -> str:
    """Returns the name of a temporary file or folder of this process, which begins with `start`."""
    # On a shared disk another machine may have this one's name, and its process this one's number.
    return f"{start}{_host()}-{os.getpid()}-{next(_WRITERS)}-{secrets.token_hex(4)}.tmp"


def _left_behind(parent: Path, start: str) -> Iterator[Path]:
    """Yields temporary files or folders of dead processes on this host whose names begin with `start`."""
    prefix = f"{start}{_host()}-"
    for left in parent.glob(f"{glob.escape(prefix)}*.tmp"):
        if not _is_alive(left.name.removeprefix(prefix).partition("-")[0]):
            yield left


@cache
def _host() -> str:
    """Returns a name of this machine, or of this container, whose process numbers are its own."""
    parts = [platform.node()]
    with suppress(OSError, ValueError):
        parts.append(Path("/etc/machine-id").read_text("ascii"))
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


@contextmanager
def naming(path: Path, beside: Path | None = None) -> Iterator[None]:
    """Gives the name `path` to errors of writing that have none, or that of the temporary file `beside`.

    Python names the file where it cannot be opened, and not where the disk is full. Libraries in C and Rust
    give the number of the system's error in their message alone.

    Raises:
        OSError: with number and name, in place of the error.
    """
    try:
        yield
    except Exception as error:
        said = _SYSTEM_ERROR.search(str(error))
        number = getattr(error, "errno", None) or (int(said[1]) if said else None)
        if number is None or getattr(error, "filename", None) not in (None, str(beside), beside):
            raise
        raise OSError(number, os.strerror(number), str(path)) from None


def _is_alive(process: str) -> bool:
    try:
        # Signal 0 only checks that the process exists.
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except OSError:  # it belongs to another user
        return True
    return True


def sync(path: Path) -> None:
    """Flushes a file, or the entries of a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically, with Unix line endings on every platform."""
    with atomic_write(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Writes JSON atomically; equal values give equal bytes. Raises ValueError for NaN, which is no JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def toml_value(value: object) -> str:
    """Formats a text, a number, a list or a mapping as TOML, in one line."""
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{toml_key(key)} = {toml_value(each)}" for key, each in value.items())
        return f"{{ {pairs} }}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(toml_value, value))}]"
    # JSON's escapes are valid in TOML, which also requires one for DEL.
    return printable(json.dumps(value, ensure_ascii=False))


def toml_key(key: str) -> str:
    """Formats a key of TOML, in quotes where it needs them."""
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else toml_value(key)


def toml_tables(tables: Mapping[str, Mapping[str, object]]) -> str:
    """Formats tables as TOML; the table named "" holds the top-level keys."""
    parts = []
    for name, keys in tables.items():
        lines = [f"[{name}]"] if name else []
        lines += [f"{toml_key(key)} = {toml_value(value)}" for key, value in keys.items()]
        parts.append("\n".join([*lines, ""]))
    return "\n".join(parts)


def read_toml(path: Path, *, otherwise: str) -> dict[str, Any]:
    """Reads a TOML file.

    Args:
        path: the file.
        otherwise: what to do where there is no such file, for the message.

    Raises:
        InputError: the file is missing, not readable, not TOML, or nested more than 100 deep.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if not _has_long_key(text) and not _is_deep(content := tomllib.loads(text)):
            return content
        raise RecursionError
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {otherwise}") from None
    except IsADirectoryError:
        raise InputError(f"{path}: a folder, not a TOML file; give the file, or {otherwise}") from None
    except OSError as error:
        raise InputError(f"{path}: not readable ({error.strerror}); check the path and its rights") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not TOML (byte {error.start} is not UTF-8); save it in UTF-8") from None
    except ValueError as error:
        raise InputError(f"{path}: not TOML ({error}); correct that line") from None
    except RecursionError:
        raise InputError(f"{path}: it nests more than {_DEEPEST} deep; write it flatter") from None


def _has_long_key(text: str) -> bool:
    """Returns whether a key has more than `_DEEPEST` parts, bare or quoted; texts may hold any dots."""
    return bool(_LONG_KEY.search(_QUOTED.sub(_placeholder, text)))


def _placeholder(quoted: re.Match[str]) -> str:
    return " " if quoted[0].startswith(('"""', "'''", "#")) else "q"


def _is_deep(value: Any) -> bool:
    """Returns whether tables and lists nest deeper than `_DEEPEST`, without recursion."""
    level, depth = [value], 0
    while level and depth <= _DEEPEST:
        nested = (item.values() if isinstance(item, dict) else item for item in level)
        level = [item for items in nested for item in items if isinstance(item, dict | list)]
        depth += 1
    return bool(level)


def cache_folder() -> Path:
    """Returns the folder of what is fetched: $AIMS_CACHE, or else the user's cache folder."""
    cache = os.environ.get("AIMS_CACHE")
    return Path(cache) if cache else platformdirs.user_cache_path("aims")


def sha256_file(path: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal, without reading it into memory at once.

    Raises:
        InputError: it is not a regular file.
    """
    with regular_file(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Returns the SHA-256, in hexadecimal, of a value's canonical JSON (sorted keys, no spaces)."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def regular_file(path: Path) -> Path:
    """Returns a path, unless something else than a file is there; a pipe or a device might never end.

    A missing file is for the caller to report.

    Raises:
        InputError: the path is a folder, a pipe, a device or a socket, or a link to one.
    """
    if not path.is_file() and path.exists():
        raise InputError(f"{path}: not a regular file; put the file itself there")
    return path


def own_file(path: Path, folder: Path | None = None) -> Path:
    """Returns the path of a file of a dataset or a run, unless it is a link that leaves the folder.

    What others wrote may hold any link. The folder itself may be one, and the snapshots in the cache of the
    Hugging Face Hub consist of links to the folder `blobs` beside them.

    Args:
        path: the file; a missing one is for the caller to report.
        folder: the dataset or run; None for the folder of the file.

    Raises:
        InputError: the link leaves the folder, the path is not a regular file, or its name is no text, which
            JSON and Parquet's readers cannot handle.
    """
    if not is_unicode(str(path)):
        raise InputError(f"{path}: its name is not valid {sys.getfilesystemencoding()} text; rename it")
    between = 0 if folder is None else len(path.relative_to(folder).parts[:-1])
    folder = folder or path.parent
    # Most files are no links: resolving each would take longer than reading a small one.
    if any(part.is_symlink() for part in (path, *path.parents[:between])):
        home, at = (Path(os.path.realpath(place)) for place in (folder, path))
        if not any(at.is_relative_to(root) for root in (home, *_hub_blobs(home))):
            raise InputError(f"{path}: a link to {at}, outside of {home}; put the file itself there")
    return regular_file(path)


def _hub_blobs(home: Path) -> Iterator[Path]:
    """Yields the folder with the contents of a snapshot of the Hub, CACHE/REPOSITORY/snapshots/COMMIT."""
    for snapshot in (home, *home.parents):
        blobs = snapshot.parent.parent / "blobs"
        if snapshot.parent.name == "snapshots" and not blobs.is_symlink():
            yield blobs


def is_unicode(name: str) -> bool:
    """Returns whether a file name is valid Unicode: Python decodes other bytes to surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def inside(root: Path, relative: str, *, where: str) -> Path:
    """Joins a relative path, read from a file, to a folder, and refuses one that leaves the folder.

    Links inside the folder may point elsewhere, since large raw datasets are often linked in (`own_file`
    refuses them in what others wrote); the path itself may not be absolute or contain "..".

    Args:
        root: the folder.
        relative: the path, with forward slashes or backslashes.
        where: file that contains the path, for the message.

    Raises:
        InputError: the path is absolute or leaves the folder.
    """
    pure = PurePosixPath(relative.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or PureWindowsPath(relative).drive:
        raise InputError(f"{where}: path {relative!r} leaves its folder {root}; write it relative to that")
    return root / pure
