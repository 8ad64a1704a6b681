"""The pictures that files, folders, patterns and converted datasets name."""

from __future__ import annotations

import glob
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from types import MappingProxyType

from aims.core.errors import InputError
from aims.core.files import inside, is_unicode
from aims.core.names import composed, is_hidden
from aims.core.schema import Array
from aims.data.manifest import MANIFEST
from aims.data.read import Dataset
from aims.data.refs import ImageRef
from aims.prediction.inputs import InputRules
from aims.reading.patterns import Pattern, Tree
from aims.reading.pictures import STREAM_SUFFIXES


@dataclass(frozen=True, kw_only=True)
class Source:
    """One picture to predict.

    Attributes:
        name: its name in the output, without suffix; may contain folders.
        file: where it comes from, for messages and to find its prompts.
        recording: a file, or files by stream; None for an image of a dataset.
        dataset: folder of a converted dataset; None for files.
        ref: the image in the dataset.
    """

    name: str
    file: str
    recording: Path | dict[str, Path] | None = None
    dataset: Path | None = None
    ref: ImageRef | None = None

    def __post_init__(self) -> None:
        """Raises InputError if the files of its results cannot have its name."""
        # An image id of a dataset may be anything.
        inside(Path(), self.name, where=self.file)
        try:
            named = is_unicode(self.name) and b"\0" not in os.fsencode(self.name)
        except UnicodeEncodeError:  # file names have another encoding here
            named = False
        if not named:
            coding = sys.getfilesystemencoding()
            raise InputError(f"{self.file}: no result can have its name, which is not valid {coding} text")

    def read(
        self,
        rules: InputRules,
        channels: Sequence[int] | None = None,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> dict[str, Array]:
        """Reads its streams; see `InputRules.read`."""
        if self.dataset is not None and self.ref is not None:
            return rules.read(_opened(self.dataset).read(self.ref, tuple(rules.streams)))
        assert self.recording is not None
        return rules.read(self.recording, channels=channels, variables=variables)


@lru_cache(maxsize=4)
def _opened(folder: Path) -> Dataset:
    """Opens a dataset once for all of its images: it keeps the rows that lie beside the last one read."""
    return Dataset.open(folder)


def find_sources(
    given: Sequence[str | Path],
    rules: InputRules,
    *,
    streams: Mapping[str, str] | None = None,
    split: str | None = None,
) -> list[Source]:
    """Finds the pictures that files, folders, patterns or converted datasets name.

    Args:
        given: files; folders, of which all files that can be streams and are not hidden are taken; patterns
            with * and ?; converted datasets. With `streams`, one folder.
        rules: rules of the model, which say its streams.
        streams: pattern of the files of every stream below the folder, e.g. {"rgb": "rgb/{id}.jpg"}.
        split: the split of a dataset; None for all.

    Raises:
        InputError: a path is empty, nothing is found, the model needs several streams and files of one are
            given, or the results of two pictures would have one name.
    """
    if "" in given:
        raise InputError("a picture's path is empty; give a path, or . for the current folder")
    found = _by_stream(given, streams) if streams is not None else _by_name(given, rules, split)
    named: dict[str, Source] = {}
    for source in found:
        first = named.setdefault(source.name, source)
        if first is not source:
            raise InputError(
                f"{first.file} and {source.file} would both be written as {source.name!r}; predict them "
                "apart, each with an --out of its own"
            )
    return found


def _by_name(given: Sequence[str | Path], rules: InputRules, split: str | None) -> list[Source]:
    """Finds the pictures of files, folders, patterns and datasets."""
    files: list[Path] = []
    sources: list[Source] = []
    for text in map(str, given):
        path = Path(text)
        if (path / MANIFEST).is_file():
            sources += _of_dataset(path, split, rules)
        elif path.is_dir():
            found = sorted(
                each
                for each in path.rglob("*")
                if each.suffix.lower() in STREAM_SUFFIXES
                and not any(map(is_hidden, each.relative_to(path).parts))
            )
            if not found:
                raise InputError(f"{path}: holds no picture ({', '.join(STREAM_SUFFIXES)}) and no dataset")
            files += found
        elif path.is_file():
            files.append(path)
        elif any(sign in text for sign in "*?["):
            found = sorted(map(Path, glob.glob(text, recursive=True)))
            if not found:
                raise InputError(f"{text}: no file fits")
            files += found
        else:
            raise InputError(f"{path}: no such file or folder")
    if files and len(rules.streams) > 1:
        names = " and ".join(rules.streams)
        raise InputError(
            f"the model sees {names}: give a folder and --stream NAME=PATTERN for each, as in "
            f"--stream {next(iter(rules.streams))}='{{id}}.png', or a converted dataset"
        )
    if not files:
        return sources
    if split is not None:
        raise InputError("--split is for converted datasets")
    # Patterns and folders may name a file again.
    files = list({os.path.abspath(file): file for file in files}.values())
    return sources + [
        Source(name=name, file=str(file), recording=file)
        for file, name in zip(files, _names(files), strict=True)
    ]


def _names(files: Sequence[Path]) -> list[str]:
    """Names files by their path below the folder that they share, without suffix where that is enough."""
    whole = [Path(os.path.abspath(file)) for file in files]
    shared = Path(os.path.commonpath([file.parent for file in whole]))
    relative = [file.relative_to(shared) for file in whole]
    short = Counter(str(path.with_suffix("")) for path in relative)
    names = [path if short[str(path.with_suffix(""))] > 1 else path.with_suffix("") for path in relative]
    return [PurePath(name).as_posix() for name in names]


def _of_dataset(folder: Path, split: str | None, rules: InputRules) -> list[Source]:
    dataset = Dataset.open(folder)
    missing = [name for name in rules.streams if name not in dataset.streams]
    if missing:
        held = ", ".join(dataset.streams)
        raise InputError(f"{folder}: has no stream {', '.join(missing)}; it has {held}")
    if split is not None and split not in dataset.index:
        raise InputError(f"{folder}: has no split {split!r}; it has {', '.join(dataset.index)}")
    splits = dataset.index if split is None else {split: dataset.index[split]}
    return [
        Source(name=f"{part}/{ref.image_id}", file=f"{folder}:{ref.image_id}", dataset=folder, ref=ref)
        for part, refs in splits.items()
        for ref in refs
    ]


def _by_stream(given: Sequence[str | Path], patterns: Mapping[str, str]) -> list[Source]:
    """Finds the files of several streams that belong together by their {id}."""
    folder = Path(given[0])
    if len(given) > 1 or not folder.is_dir():
        raise InputError("--stream needs one folder, below which the patterns are")
    found: dict[str, dict[str, Path]] = {}
    tree = Tree(folder)
    for stream, text in patterns.items():
        where = f"--stream {stream}={text}"
        if text.count("{id}") != 1:
            raise InputError(f"{where}: needs {{id}} once, as in {stream}/{{id}}.png")
        if Path(text).is_absolute():
            raise InputError(f"{where}: is absolute; write it relative to {folder}")
        # A link that leads nowhere is a file that is refused when it is read.
        for path, parts in Pattern(text, where=where).matches(tree, {}, broken=True):
            name = composed(parts["id"])
            first = found.setdefault(name, {}).setdefault(stream, path)
            if first != path:
                raise InputError(f"{first} and {path} are two files for picture {name!r}; narrow {where}")
    if not found:
        raise InputError(f"{folder}: no file fits {' or '.join(patterns.values())}")
    # Pictures without one of the files are refused one by one, when they are read.
    return [
        Source(name=name, file=str(next(iter(files.values()))), recording=files)
        for name, files in found.items()
    ]
