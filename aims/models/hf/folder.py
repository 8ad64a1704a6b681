"""The files of a model of transformers: in a folder, or of a repository of the Hub."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from aims.core.errors import AimsError, InputError
from aims.core.files import sha256_file
from aims.core.normalisation import Constants
from aims.core.structs import convert_struct, decode_json

CONFIG, WEIGHTS = "config.json", "model.safetensors"
#: Files that say how pictures are normalised, and the key under which they do.
_PREPROCESSORS = (("preprocessor_config.json", None), ("processor_config.json", "image_processor"))
_NAME = r"[A-Za-z0-9][\w.-]*"
_REPOSITORY = re.compile(rf"({_NAME}/{_NAME})(?:@([\w][\w./-]*))?", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")


class _Preprocessor(msgspec.Struct):
    """The part of a preprocessor's configuration that is read."""

    do_normalize: bool = True
    image_mean: tuple[float, float, float] | None = None
    image_std: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Source:
    """Where a model lies.

    Attributes:
        name: a folder, or "owner/name" of a repository of the Hub, perhaps "@revision" after it; a folder
            wins.
    """

    name: str

    def config(self) -> dict[str, Any]:
        """Reads config.json.

        Raises:
            InputError: there is none, or it is damaged.
        """
        path = self.file(CONFIG)
        return convert_struct(_read(path), dict[str, Any], where=str(path))

    def rgb(self) -> Constants | None:
        """Reads what the model expects of RGB pictures; None if it has no file that says so.

        Raises:
            InputError: the file is damaged.
        """
        for name, key in _PREPROCESSORS:
            if (path := self._find(name)) is None:
                continue
            content = convert_struct(_read(path), dict[str, Any], where=str(path))
            said = convert_struct(content.get(key, {}) if key else content, _Preprocessor, where=str(path))
            if said.do_normalize and said.image_mean is not None and said.image_std is not None:
                return Constants(mean=said.image_mean, std=said.image_std)
        return None

    def file(self, name: str) -> Path:
        """Returns the path of a file, which is fetched if the source is a repository.

        Raises:
            InputError: there is no such file.
        """
        path = self._find(name)
        if path is None:
            where = Path(self.name) / name if self._folder.is_dir() else f"hf:{self.name}: {name}"
            raise InputError(f"{where}: missing; give a model that transformers saved with `save_pretrained`")
        return path

    @property
    def _folder(self) -> Path:
        return Path(self.name).expanduser()

    def _find(self, name: str) -> Path | None:
        if self._folder.is_dir():
            path = self._folder / name
            return path if path.is_file() else None
        found = _REPOSITORY.fullmatch(self.name)
        if found is None:
            raise InputError(f"hf:{self.name}: no such folder, nor a repository of the Hub (hf:OWNER/NAME)")
        return _fetch(found[1], found[2], name)


def _read(path: Path) -> Any:
    try:
        return decode_json(path.read_bytes(), where=str(path))
    except OSError as error:
        raise InputError(f"{path}: not readable ({error.strerror})") from None


def _fetch(repository: str, revision: str | None, name: str) -> Path | None:
    """Returns a file of a repository from the cache of the Hub's own client, or fetches it into it.

    A fetched file is compared with its checksum, which is its name in the cache.
    """
    # Imported here: it takes most of a second.
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    for local in (True, False):
        try:
            path = Path(
                hf_hub_download(
                    repository,
                    name,
                    revision=revision,
                    local_files_only=local,
                    # The client reads the variable when it is imported.
                    endpoint=os.environ.get("HF_ENDPOINT"),
                )
            )
            if not local:
                _check(path)
            return path
        except LocalEntryNotFoundError:
            continue
        except EntryNotFoundError:
            return None
        except (HfHubHTTPError, OSError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise InputError(f"hf:{repository}: {name} cannot be fetched ({reason})") from None
    raise InputError(
        f"hf:{repository}: no such folder, and the Hub was not reached for {name}; connect, log in with "
        "`hf auth login` where its owner asks for it, or give a folder"
    )


def _check(path: Path) -> None:
    """Compares a fetched file with the SHA-256 that is its name in the cache, as that of large files is."""
    stored = path.resolve()
    if _SHA256.fullmatch(stored.name) and sha256_file(stored) != stored.name:
        path.unlink()
        stored.unlink()
        raise AimsError(f"{path}: what came is not what its checksum says; it was removed, fetch it again")
