from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from raw_folder import BASE, write_raw

from aims.converters.folder import FolderConverter


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A whole raw folder that `BASE` describes."""
    return write_raw(tmp_path / "raw")


@pytest.fixture
def make(raw: Path) -> Callable[..., FolderConverter]:
    """Makes a converter of `BASE` with some of its text replaced."""

    def build(*edits: tuple[str, str]) -> FolderConverter:
        text = BASE
        for old, new in edits:
            assert old in text, old
            text = text.replace(old, new)
        (raw / "field.toml").write_text(text, encoding="utf-8")
        return FolderConverter(config=raw / "field.toml")

    return build
