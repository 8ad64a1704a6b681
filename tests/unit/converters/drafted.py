"""Drafts descriptions of folders, and converts by them as they stand."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from raw_folder import check_dataset

from aims.converters.folder import FolderConverter
from aims.core.drafts import Draft
from aims.data.read import Dataset

#: `[splits]` where the folder names none.
SHARE = {"train": "80%", "test": "*", "seed": 0}


def described(root: Path) -> tuple[dict[str, Any], Draft]:
    draft = FolderConverter.draft(root)
    return tomllib.loads(draft.text), draft


def converted(root: Path, draft: Draft, tmp_path: Path) -> Dataset:
    """Converts by the description as it stands; the dataset holds what the converter reads."""
    path = tmp_path / "drafted.toml"
    path.write_text(draft.text, encoding="utf-8")
    return check_dataset(FolderConverter(config=path, raw=root), tmp_path / "out")


def instances(dataset: Dataset) -> dict[str, int]:
    names = [
        dataset.spec.classes[entry["class_id"] - 1]
        for refs in dataset.index.values()
        for ref in refs
        for entry in dataset.read(ref, ()).objects
    ]
    return {name: names.count(name) for name in sorted(set(names))}
