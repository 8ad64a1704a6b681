from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from raw_folder import BASE, Make, write_raw

from aims.converters.folder import FolderConverter


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A whole raw folder that `BASE` describes."""
    return write_raw(tmp_path / "raw")


@pytest.fixture
def make(raw: Path) -> Make:
    """Makes a converter of `BASE` with some of its text replaced."""

    def build(*edits: tuple[str, str]) -> FolderConverter:
        text = BASE
        for old, new in edits:
            assert old in text, old
            text = text.replace(old, new)
        (raw / "field.toml").write_text(text, encoding="utf-8")
        return FolderConverter(config=raw / "field.toml")

    return build


@pytest.fixture
def path(raw: Path) -> Path:
    """Folder and stem of the stream's file; the tests give it a suffix."""
    (raw / "nir" / "a.png").unlink()
    return raw / "nir" / "a"


@pytest.fixture
def read(make: Make, path: Path) -> Callable[[], np.ndarray]:
    """Reads the stream of the one image."""
    converter = make(("nir/{id}.png", "nir/{id}.*"), ('train = ["b", "a"]\ntest = ["c"]', 'train = ["a"]'))
    return lambda: converter.read("train", "a").streams["nir"]
