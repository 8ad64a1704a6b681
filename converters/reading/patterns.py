"""File patterns with the placeholders `{id}` and `{split}`, and text files that list ids."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path, PurePosixPath

from aims.core.errors import InputError, unknown_name
from aims.core.files import inside, is_unicode

_TOKEN = re.compile(r"(\{[^{}]*\}|[*?])")


class Pattern:
    """A path below the raw folder, with `{id}`, `{split}`, and the wildcards `*` and `?`.

    Args:
        text: the pattern as written.
        where: the file and table that contain it, for messages.
        needs_id: whether each image has a file of its own.

    Raises:
        InputError: a needed `{id}` is missing, a placeholder is unknown, or the pattern contains `**`.
    """

    def __init__(self, text: str, *, where: str, needs_id: bool = True) -> None:
        self.text = PurePosixPath(text.replace("\\", "/")).as_posix()
        self.where = where
        self._tokens = [token for token in _TOKEN.split(self.text) if token]
        for token in self._tokens:
            if token[0] == "{" and token not in ("{id}", "{split}"):
                raise unknown_name("placeholder", token, ("{id}", "{split}"), where=where)
        if needs_id and not self.has_id():
            raise InputError(f"{where}: {text!r} has no {{id}}, so all images would share one file; add it")
        if "**" in self.text:
            raise InputError(f"{where}: '**' in {text!r} is not supported; write one '*' a folder")
        self._wild = bool({"*", "?"} & set(self._tokens))

    def has_id(self) -> bool:
        """Whether the pattern contains `{id}`, so that each image has a file of its own."""
        return "{id}" in self._tokens

    def has_split(self) -> bool:
        """Whether the pattern contains `{split}`."""
        return "{split}" in self._tokens

    def fill(self, split: str, image_id: str) -> str:
        """Returns the pattern for one image, wildcards kept; raises if the id leads out of the folder."""
        values = {"{split}": split, "{id}": image_id}
        filled = "".join(values.get(token, token) for token in self._tokens)
        inside(Path(), filled, where=self.where)
        return filled

    def find(self, root: Path, split: str, image_id: str) -> list[Path]:
        """Returns the existing files of one image: none, one, or several if a wildcard is too wide."""
        filled = self.fill(split, image_id)
        if not self._wild:
            return [root / filled] if (root / filled).is_file() else []
        # Only * and ? of the pattern itself are wildcards: brackets and the characters of an id are literal.
        values = {"{split}": split, "{id}": glob.escape(image_id), "*": "*", "?": "?"}
        wild = "".join(values.get(token) or glob.escape(token) for token in self._tokens)
        return [root / name for name in self._glob(root, wild) if (root / name).is_file()]

    def ids(self, root: Path, split: str) -> dict[str, Path]:
        """Returns the ids of the files below the root, sorted, each with its first file.

        An id found this way contains no "/": it is one file or folder name, or a part of one.
        """
        values = {"{split}": split, "{id}": "*", "*": "*", "?": "?"}
        wild = "".join(values.get(token) or glob.escape(token) for token in self._tokens)
        regex = re.compile(self._regex(split), re.DOTALL)
        found: dict[str, Path] = {}
        for name in self._glob(root, wild):
            match = regex.fullmatch(name.replace(os.sep, "/"))
            if match and (root / name).is_file():
                found.setdefault(match["id"], root / name)
        return dict(sorted(found.items()))

    def _glob(self, root: Path, wild: str) -> list[str]:
        names = sorted(glob.glob(wild, root_dir=root))
        for name in names:
            if not is_unicode(name):
                raise InputError(f"{root}: file name {name!a} is not UTF-8; rename it ({self.where})")
        return names

    def _regex(self, split: str) -> str:
        values = {"{split}": re.escape(split), "*": "[^/]*", "?": "[^/]"}
        parts: list[str] = []
        for token in self._tokens:
            if token == "{id}":
                # Further {id}s must match the same text.
                parts.append("(?P=id)" if "(?P<id>[^/]+)" in parts else "(?P<id>[^/]+)")
            else:
                parts.append(values.get(token) or re.escape(token))
        return "".join(parts)


def read_ids(root: Path, name: str, *, where: str) -> list[tuple[str, str]]:
    """Reads a text file with one id a line, below the raw folder.

    Returns:
        Pairs of an id and the place that lists it, for messages.

    Raises:
        InputError: the file is missing, lies outside the folder, or is not UTF-8 text.
    """
    path = inside(root, name, where=where)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError(f'{where}: {name!r} names no file ({path}); give ids, "*" or a text file') from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: not readable as UTF-8 text ({error}); save it as text, one id a line"
        ) from error
    return [(line.strip(), f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
