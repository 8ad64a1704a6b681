"""File patterns with named parts such as `{id}` and `{split}`, and text files that list ids.

Names are compared as people read them: letters in Unicode's form NFC, whichever form the disk holds (macOS
decomposes them), and the suffix in upper or lower case. A file named exactly as wanted comes before one that
is only read alike. Hidden files (`._1.png`) match no wildcard.
"""

from __future__ import annotations

import bisect
import itertools
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath

from aims.core.errors import InputError, unknown_name
from aims.core.files import inside, is_unicode, regular_file
from aims.core.names import composed

#: The values of the named parts of one image's files, "split" among them.
Parts = Mapping[str, str]

_TOKEN = re.compile(r"(\{[^{}]*\}|[*?])")
_WILDCARDS = {"*": "[^/]*", "?": "[^/]"}


class Tree:
    """The folders below a root; each is listed once.

    Args:
        root: the raw folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names: dict[str, list[tuple[str, str]]] = {}

    def names(self, folder: str) -> list[tuple[str, str]]:
        """Returns the names in a folder below the root as pairs (in NFC, as on disk), sorted; or none."""
        if folder not in self._names:
            try:
                found = os.listdir(self.root / folder)
            except (OSError, ValueError):  # no folder; ValueError for a null character
                found = []
            self._names[folder] = sorted((composed(name), name) for name in found)
        return self._names[folder]


class Pattern:
    """A path below the raw folder, with named parts such as `{id}`, `{split}`, and the wildcards `*` and `?`.

    Args:
        text: the pattern as written.
        where: the file and table that contain it, for messages.
        known: names of the parts that tell images apart.
        needs_id: whether each image has a file of its own.
        free: names of parts that may differ between the files of one image, as wildcards do.

    Attributes:
        parts: the known parts that it contains, in order.
        free: the free parts that it contains.

    Raises:
        InputError: a needed part is missing, a placeholder is unknown, or the pattern contains `**`.
    """

    def __init__(
        self,
        text: str,
        *,
        where: str,
        known: Collection[str] = ("id",),
        needs_id: bool = True,
        free: Collection[str] = (),
    ) -> None:
        self.text = PurePosixPath(text.replace("\\", "/")).as_posix()
        self.where = where
        self._tokens = [token for token in _TOKEN.split(self.text) if token]
        placeholders = [f"{{{name}}}" for name in (*known, "split", *free)]
        for token in self._tokens:
            if token[0] == "{" and token not in placeholders:
                raise unknown_name("placeholder", token, placeholders, where=where)
        names = tuple(dict.fromkeys(part_names(self.text)))
        self.parts = tuple(name for name in names if name in known)
        self.free = tuple(name for name in names if name in free and name not in known)
        if needs_id and not self.parts:
            raise InputError(f"{where}: {text!r} has no {{id}}, so all images would share one file; add it")
        if "**" in self.text:
            raise InputError(f"{where}: '**' in {text!r} is not supported; write one '*' a folder")

    def has_id(self) -> bool:
        """Whether the pattern contains a part such as `{id}`, so that each image has a file of its own."""
        return bool(self.parts)

    def has_split(self) -> bool:
        """Whether the pattern contains `{split}`."""
        return "{split}" in self._tokens

    def has_wildcard(self) -> bool:
        """Whether the pattern contains `*`, `?` or a free part."""
        return bool(self.free) or any(token in _WILDCARDS for token in self._tokens)

    def fill(self, parts: Parts) -> str:
        """Returns the pattern for one image, wildcards kept; raises if the parts lead out of the folder."""
        filled = "".join(text for text, _ in self._filled(parts))
        inside(Path(), filled, where=self.where)
        return filled

    def find(self, tree: Tree, parts: Parts, *, broken: bool = False) -> list[Path]:
        """Returns the existing files of one image: none, one, or several if a wildcard is too wide.

        With `broken`, links that lead to no file are among them.
        """
        path = tree.root / self.fill(parts)
        if not any(wild for _, wild in self._filled(parts)) and os.path.isfile(path):
            return [path]
        return [path for path, _ in self._walk(tree, parts, broken=broken)]

    def matches(
        self, tree: Tree, parts: Parts, *, broken: bool = False
    ) -> Iterator[tuple[Path, dict[str, str]]]:
        """Yields the files that fit, sorted, each with the values of the parts that are not given.

        A value found this way contains no "/": it is one file or folder name, or a part of one, as on disk.
        With `broken`, links that lead to no file are among them.
        """
        regex = self._regex(parts)
        in_nfc = self._regex({name: composed(value) for name, value in parts.items()})
        for path, name in self._walk(tree, parts, broken=broken):
            match = regex.fullmatch(name) or in_nfc.fullmatch(composed(name))
            if match:
                yield path, match.groupdict()

    def parse(self, path: str, parts: Parts) -> dict[str, str] | None:
        """Returns the values of the parts that are not given in a path that fits; None if it does not."""
        match = self._regex(parts).fullmatch(path)
        return match.groupdict() if match else None

    def _filled(self, parts: Parts) -> list[tuple[str, bool]]:
        """Returns the tokens with the values of given parts filled in, and whether each is a wildcard."""
        return [
            (parts[token[1:-1]], False)
            if token[0] == "{" and token[1:-1] in parts
            else (token, token in _WILDCARDS or token[0] == "{")
            for token in self._tokens
        ]

    def _walk(self, tree: Tree, parts: Parts, *, broken: bool = False) -> list[tuple[Path, str]]:
        """Returns the files that fit where each part that is not given may be anything, sorted by name."""
        levels: list[list[tuple[str, bool]]] = [[]]
        for text, wild in self._filled(parts):
            first, *others = [text] if wild else text.split("/")
            levels[-1].append((first, wild))
            levels += [[(other, wild)] for other in others]
        found = [""]
        for depth, level in enumerate(levels, start=1):
            fits = _Level(level, last=depth == len(levels))
            found = [os.path.join(folder, name) for folder in found for name in fits.names(tree, folder)]
        for name in found:
            if not is_unicode(name):
                raise InputError(f"{tree.root}: file name {name!a} is not UTF-8; rename it ({self.where})")
        names = (name.replace(os.sep, "/") for name in sorted(found))
        paths = ((tree.root / name, name) for name in names)
        return [(path, name) for path, name in paths if path.is_file() or (broken and is_broken(path))]

    def _regex(self, parts: Parts) -> re.Pattern[str]:
        pieces: list[str] = []
        seen: set[str] = set()
        for text, wild in self._filled(parts):
            if not wild:
                pieces.append(re.escape(text))
            elif text in _WILDCARDS:
                pieces.append(_WILDCARDS[text])
            else:  # a part that occurs again must have the same text
                name = text[1:-1]
                pieces.append(f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+)")
                seen.add(name)
        return re.compile(_any_case_suffix(pieces), re.DOTALL)


class _Level:
    """One folder or file name of a pattern, as pieces of text and wildcards."""

    def __init__(self, pieces: list[tuple[str, bool]], *, last: bool) -> None:
        fixed = list(itertools.takewhile(lambda piece: not piece[1], pieces))
        self._start = "".join(text for text, _ in fixed)
        self._is_literal = len(fixed) == len(pieces)
        parts = [
            _WILDCARDS.get(text, "[^/]*") if wild else re.escape(composed(text)) for text, wild in pieces
        ]
        self._regex = re.compile(_any_case_suffix(parts) if last else "".join(parts), re.DOTALL)

    def names(self, tree: Tree, folder: str) -> list[str]:
        """Returns the names in a folder that fit; a literal name that exists is the only one."""
        if self._is_literal and os.path.lexists(tree.root / folder / self._start):
            return [self._start]
        hidden = self._start.startswith(".")
        # The suffix of a literal name may differ in case, so only what stands before it is sure.
        sure = composed(self._start)
        sure = (sure.rpartition(".")[0] or sure) if self._is_literal else sure
        names = tree.names(folder)
        sorted_after = (names[k] for k in range(bisect.bisect_left(names, (sure, "")), len(names)))
        candidates = itertools.takewhile(lambda pair: pair[0].startswith(sure), sorted_after)
        return [
            name
            for in_nfc, name in candidates
            if (hidden or not in_nfc.startswith(".")) and self._regex.fullmatch(in_nfc)
        ]


class NameTemplate:
    """The form of the names of images, such as `{id}` or `{scene}/{id}`.

    Args:
        text: the template.

    Attributes:
        parts: the names of its parts, in order.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.parts = tuple(dict.fromkeys(part_names(text)))
        # A name of one part may hold folders.
        anything = "[^/]+" if len(self.parts) > 1 else ".+"
        pieces = (
            f"(?P<{token[1:-1]}>{anything})" if token[0] == "{" else re.escape(token)
            for token in _TOKEN.split(text)
            if token
        )
        self._regex = re.compile("".join(pieces), re.DOTALL)

    def fill(self, parts: Parts) -> str:
        """Returns the name of an image."""
        return "".join(parts[token[1:-1]] if token[:1] == "{" else token for token in _TOKEN.split(self.text))

    def parse(self, name: str) -> dict[str, str] | None:
        """Returns the values of the parts of a name; None if it has another form."""
        match = self._regex.fullmatch(name)
        return match.groupdict() if match else None


def is_broken(path: Path) -> bool:
    """Returns whether a path is a link that leads to no file, or in a circle."""
    return path.is_symlink() and not path.exists()


def part_names(text: str) -> list[str]:
    """Returns the names in braces of a text; `{2}` and the like are parts of regular expressions."""
    return re.findall(r"\{([a-z_][a-z0-9_]*)\}", text)


def _any_case_suffix(pieces: list[str]) -> str:
    """Joins the pieces of a regular expression; a suffix in the last one matches in any case."""
    *others, last = pieces
    stem, dot, suffix = last.rpartition(r"\.")
    return "".join(others) + (f"{stem}(?i:{dot}{suffix})" if dot else last)


def read_ids(path: Path, name: str, *, where: str) -> list[tuple[str, str]]:
    """Reads a text file with one id a line.

    Args:
        path: the file.
        name: its name as written in the description.
        where: the place in the description, for messages.

    Returns:
        Pairs of an id and the place that lists it, for messages.

    Raises:
        InputError: the file is missing, or is not UTF-8 text.
    """
    try:
        lines = regular_file(path).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError(f'{where}: {name!r} names no file ({path}); give ids, "*" or a text file') from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: not readable as UTF-8 text ({error}); save it as text, one id a line"
        ) from error
    # Lists made on Windows separate folders by backslashes.
    names = (line.strip().replace("\\", "/") for line in lines)
    return [(name, f"{path}, line {number}") for number, name in enumerate(names, 1) if name]
