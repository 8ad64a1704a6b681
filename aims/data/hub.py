"""Folders on the Hugging Face Hub: `hf://OWNER/NAME`, wherever a run, a model or a dataset is read."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aims.core.errors import AimsError, InputError
from aims.core.files import cache_folder, inside, sha256_file

#: What a repository is to the Hub. A run and an exported model are models.
Kind = Literal["model", "dataset"]
PREFIX = "hf://"
#: The files that are sent and fetched. None of them is unpickled or run when it is read.
SAFE = ("*.json", "*.jsonl", "*.md", "*.onnx", "*.onnx.data", "*.parquet", "*.png", "*.safetensors")

_NAME = r"[A-Za-z0-9][\w.-]*"
_REFERENCE = re.compile(
    rf"(?:(datasets|models)/)?(?!(?:datasets|models|spaces)/)({_NAME}/{_NAME})(?:@([\w][\w./-]*))?", re.ASCII
)


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A repository of the Hub at one revision.

    Attributes:
        kind: "model" or "dataset".
        name: "owner/name".
        revision: branch, tag or commit; None for the main branch.
    """

    kind: Kind
    name: str
    revision: str | None = None

    def __str__(self) -> str:
        prefix = "datasets/" if self.kind == "dataset" else ""
        return f"{PREFIX}{prefix}{self.name}" + (f"@{self.revision}" if self.revision else "")


def is_reference(text: str) -> bool:
    """Returns whether a text names a repository of the Hub, and no path."""
    return text.startswith(PREFIX)


def parse_reference(text: str, kind: Kind = "model") -> Repository:
    """Parses `hf://OWNER/NAME`, perhaps with `datasets/` before the owner and `@REVISION` at the end.

    Args:
        text: the reference; `hf://` may be left out.
        kind: what it names where it does not say so itself.

    Raises:
        InputError: the text has another form.
    """
    found = _REFERENCE.fullmatch(text.removeprefix(PREFIX))
    if found is None or ".." in text:
        raise InputError(
            f"{text}: not a repository of the Hub; write {PREFIX}OWNER/NAME or {PREFIX}OWNER/NAME@REVISION"
        )
    said, name, revision = found.groups()
    kinds: dict[str | None, Kind] = {"datasets": "dataset", "models": "model"}
    return Repository(kind=kinds.get(said, kind), name=name, revision=revision)


def local_path(place: str | Path, kind: Kind = "model") -> Path:
    """Returns a path as it is, and the folder of what lies on the Hub (`local_folder`)."""
    return local_folder(place, kind) if isinstance(place, str) and is_reference(place) else Path(place)


def local_folder(reference: str, kind: Kind = "model") -> Path:
    """Returns the folder of a repository of the Hub, which is fetched unless it is in the cache.

    Only files of the kinds in `SAFE` are fetched, and all of them are compared with their checksums: those
    that the Hub lists, and those of a dataset's manifest. Without a connection, what was fetched before is
    used.

    Args:
        reference: `hf://OWNER/NAME`, `hf://datasets/OWNER/NAME`, either with `@REVISION`.
        kind: what the reference names where it does not say so itself.

    Raises:
        InputError: the reference has another form, or there is no such repository or revision.
        AimsError: the Hub cannot be reached, or a file is not what its checksum says.
    """
    repository = parse_reference(reference, kind)
    cache = cache_folder() / "hub"
    with hub_errors(repository) as hub:
        folder = Path(
            hub.snapshot_download(
                repository.name,
                repo_type=repository.kind,
                revision=repository.revision,
                allow_patterns=[*SAFE],
                cache_dir=cache,
                endpoint=endpoint(),
            )
        )
        # The snapshot of a commit never changes: what was checked once is not read again.
        checked = cache / "checked" / folder.name
        if not checked.is_file():
            _check(repository, folder, hub.HfApi(endpoint=endpoint()))
            checked.parent.mkdir(exist_ok=True)
            checked.touch()
    return folder


def endpoint() -> str | None:
    """Returns the address of the Hub, $HF_ENDPOINT; None for the public one."""
    # The package reads the variable only when it is imported.
    return os.environ.get("HF_ENDPOINT")


@contextmanager
def hub_errors(repository: Repository) -> Iterator[Any]:
    """Yields the package huggingface_hub, and turns its exceptions into one line each."""
    # Imported here because it takes a while, and most commands never speak to the Hub.
    import huggingface_hub
    from huggingface_hub import errors
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    if "HF_HUB_DISABLE_PROGRESS_BARS" not in os.environ and not sys.stderr.isatty():
        disable_progress_bars()
    try:
        yield huggingface_hub
    except errors.RevisionNotFoundError:
        raise InputError(f"{repository}: no such revision; leave @REVISION out for the main branch") from None
    except errors.RepositoryNotFoundError:
        raise InputError(
            f"{repository}: no such {repository.kind}, or a private one: log in with `hf auth login`"
        ) from None
    except errors.HfHubHTTPError as error:
        code = error.response.status_code
        login = "; log in with `hf auth login`" if code in (401, 403) else ""
        raise AimsError(f"{repository}: the Hub answered with {code} ({_line(error)}){login}") from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise AimsError(f"{repository}: the Hub cannot be reached ({_line(error)})") from None
    except (RuntimeError, ValueError) as error:
        # The package's own words for a failed upload hide why.
        reason = f": {_line(error.__cause__)}" if error.__cause__ else ""
        raise AimsError(f"{repository}: {_line(error)}{reason}") from None
    except Exception as error:
        # Which library speaks HTTP depends on the version of the package.
        if type(error).__module__.partition(".")[0] not in ("httpx", "httpx2", "requests"):
            raise
        raise AimsError(f"{repository}: the Hub cannot be reached ({_line(error)})") from None


def _check(repository: Repository, folder: Path, api: Any) -> None:
    """Compares a snapshot with the checksums of its files; a file that differs is removed."""
    # Imported here: it imports NumPy, and a path, which every command asks this module about, needs none.
    from aims.data.manifest import MANIFEST, read_manifest

    listed = api.list_repo_tree(
        repository.name, recursive=True, revision=folder.name, repo_type=repository.kind
    )
    for entry in listed:
        path = inside(folder, entry.path, where=str(repository))
        # Files of other kinds were not fetched, and folders have no checksum.
        if path.is_file():
            lfs = getattr(entry, "lfs", None)
            expected, found = (lfs.sha256, sha256_file(path)) if lfs else (entry.blob_id, _blob_id(path))
            _compare(repository, path, entry.path, expected, found)
    if (folder / MANIFEST).is_file():
        for name, shard in read_manifest(folder / MANIFEST).files.items():
            path = inside(folder, name, where=f"{repository}/{MANIFEST}")
            if not path.is_file() or sha256_file(path) != shard.sha256:
                what = "is missing" if not path.is_file() else "is not what was pushed with it"
                raise AimsError(f"{repository}: {name}, which {MANIFEST} names, {what}; push the set again")


def _compare(repository: Repository, path: Path, name: str, expected: str, found: str) -> None:
    if expected == found:
        return
    # The cache keeps contents apart from their names.
    path.resolve().unlink()
    path.unlink(missing_ok=True)
    raise AimsError(
        f"{repository}: {name} has the checksum {found[:12]}, not {expected[:12]}; it was removed; the same "
        "command fetches it again"
    )


def _blob_id(path: Path) -> str:
    """Returns Git's name of a file's content, by which the Hub lists small files."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
