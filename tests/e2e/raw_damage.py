"""Ways to damage a raw dataset.

A break takes the raw folder, damages it, and returns what the error must name: a path, or several texts.
"""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tiny_layouts import save

Named = Path | tuple[str, ...]
Break = Callable[[Path], Named]

#: What a planted pickle makes, beside the raw folder, if it is ever loaded.
PLANTED = "planted"


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return os.mkdir, (str(self.path),)


def gone(name: str, *named: str) -> Break:
    """Removes a file or a folder."""

    def damage(raw: Path) -> Named:
        _remove(raw / name)
        return named or raw / name

    return damage


def cut(*names: str) -> tuple[Break, ...]:
    """Cuts a file short: to nothing, in its header, in its content, and by its last byte."""

    def to(name: str, length: Callable[[int], int]) -> Break:
        def damage(raw: Path) -> Named:
            data = (raw / name).read_bytes()
            (raw / name).write_bytes(data[: length(len(data))])
            return raw / name

        return damage

    lengths = (lambda size: 0, lambda size: 12, lambda size: size * 2 // 3, lambda size: size - 1)
    return tuple(to(name, length) for name in names for length in lengths)


def overwrite(name: str, text: str, encoding: str = "utf-8") -> Break:
    """Writes a text in place of a file."""

    def damage(raw: Path) -> Named:
        (raw / name).write_text(text, encoding)
        return raw / name

    return damage


def recode(name: str, encoding: str = "utf-16") -> Break:
    """Saves a text in another encoding."""

    def damage(raw: Path) -> Named:
        text = (raw / name).read_text("utf-8")
        (raw / name).write_bytes(f"{text}\n# ä".encode(encoding))
        return raw / name

    return damage


def edit(name: str, old: str, new: str, *named: str) -> Break:
    """Replaces a text in a file, which must be there."""

    def damage(raw: Path) -> Named:
        text = (raw / name).read_text("utf-8")
        if old not in text:
            raise ValueError(f"{name} holds no {old!r}")
        (raw / name).write_text(text.replace(old, new), "utf-8")
        return named or raw / name

    return damage


def put(name: str, array: np.ndarray) -> Break:
    """Saves another array in place of a file."""

    def damage(raw: Path) -> Named:
        save(raw / name, array)
        return raw / name

    return damage


def copy(name: str, twin: str, *named: str) -> Break:
    """Copies a file or a folder; the error must name both, unless said otherwise."""

    def damage(raw: Path) -> Named:
        _copy(raw / name, raw / twin)
        return named or (str(raw / name), str(raw / twin))

    return damage


def loop(name: str = "", *named: str) -> Break:
    """Puts a link that leads to itself in place of a file or folder."""

    def damage(raw: Path) -> Named:
        path = raw / name
        _remove(path)
        path.symlink_to(path.name, target_is_directory=True)
        return named or path

    return damage


def misname(source: str, name: bytes) -> Break:
    """Copies a file or a folder beside itself, under a name that is no UTF-8."""

    def damage(raw: Path) -> Named:
        _copy(raw / source, (raw / source).with_name(os.fsdecode(name)))
        return (raw / source).parent

    return damage


def pickles(name: str) -> tuple[Break, Break]:
    """An npy or npz file of pickled objects, and a bare pickle of that name."""

    def objects(raw: Path) -> Named:
        array = np.array([Bomb(raw.with_name(PLANTED))], object)
        if name.endswith(".npz"):
            np.savez(raw / name, nir=array)
        else:
            np.save(raw / name, array, allow_pickle=True)
        return raw / name

    def bare(raw: Path) -> Named:
        (raw / name).write_bytes(pickle.dumps(Bomb(raw.with_name(PLANTED))))
        return raw / name

    return objects, bare


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
