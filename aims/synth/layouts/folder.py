"""The raw layout of the folder converter: one file a picture, and a TOML description."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aims.core.errors import AimsError
from aims.core.files import write_text

Colour = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class FolderImage:
    """One picture of the set.

    Attributes:
        image_id: its name.
        split: its split.
        labels: (height, width), class ids from 1; 0 is nothing.
        streams: (height, width) or (height, width, channels) by stream; 1 or 3 channels of uint8 or uint16
            become a PNG, anything else an npy file.
        rgb: (height, width, 3) uint8, or None.
    """

    image_id: str
    split: str
    labels: NDArray[np.integer]
    streams: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    rgb: NDArray[np.uint8] | None = None


def write_folder(
    root: Path,
    images: Iterable[FolderImage],
    *,
    name: str,
    license: str,
    palette: Mapping[str, Colour],
    units: Mapping[str, str],
) -> Path:
    """Writes `STREAM/ID.png`, `labels/ID.png` (indices with a palette), `SPLIT.txt` and `NAME.toml`.

    Args:
        root: folder to write to; made if it is absent.
        images: the pictures, taken one by one; all have the same streams.
        name: name of the set.
        license: its licence.
        palette: colour of each class, in the order of the class ids.
        units: unit of each stream.

    Returns:
        The TOML file, which `aims convert folder` reads.
    """
    files: dict[str, str] = {}
    splits: dict[str, list[str]] = {}
    for image in images:
        for stream, array in image.streams.items():
            files[stream] = _write_stream(root / stream, image.image_id, array)
        _write_labels(root / "labels", image, palette)
        if image.rgb is not None:
            files["rgb"] = _write_stream(root / "rgb", image.image_id, image.rgb)
        splits.setdefault(image.split, []).append(image.image_id)
    for split, ids in splits.items():
        write_text(root / f"{split}.txt", "".join(f"{image_id}\n" for image_id in ids))
    write_text(root / f"{name}.toml", _description(name, license, palette, units, files, splits))
    return root / f"{name}.toml"


def _description(
    name: str,
    license: str,
    palette: Mapping[str, Colour],
    units: Mapping[str, str],
    files: Mapping[str, str],
    splits: Iterable[str],
) -> str:
    """The TOML text; `files` holds the pattern of each stream, and of "rgb" where there are pictures."""
    lines = [
        f"name = {_text(name)}",
        f"license = {_text(license)}",
        f"classes = {_texts(palette)}",
        "",
        "[splits]",
    ]
    lines += [f"{split} = {_text(f'{split}.txt')}" for split in splits]
    for stream, unit in units.items():
        lines += ["", f"[streams.{stream}]", f"files = {_text(files[stream])}", f"unit = {_text(unit)}"]
    if "rgb" in files:
        lines += ["", "[rgb]", f"files = {_text(files['rgb'])}"]
    colours = ", ".join(f"{_text(key)} = {list(colour)}" for key, colour in palette.items())
    lines += [
        "",
        "[labels]",
        'files = "labels/{id}.png"',
        'kind = "semantic"',
        f"palette = {{ {colours} }}",
        "",
    ]
    return "\n".join(lines)


def _write_stream(folder: Path, image_id: str, array: NDArray[Any]) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    channels = 1 if array.ndim == 2 else array.shape[2]
    if array.dtype in (np.uint8, np.uint16) and channels in (1, 3):
        path = folder / f"{image_id}.png"
        if not cv2.imwrite(str(path), array[..., ::-1] if channels == 3 else array):
            raise AimsError(f"{path}: cannot be written; check the disk and its rights")
        return f"{folder.name}/{{id}}.png"
    np.save(folder / f"{image_id}.npy", array)
    return f"{folder.name}/{{id}}.npy"


def _write_labels(folder: Path, image: FolderImage, palette: Mapping[str, Colour]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(image.labels.astype(np.uint8))
    picture.putpalette([0, 0, 0, *(level for colour in palette.values() for level in colour)])
    picture.save(folder / f"{image.image_id}.png")


def _text(value: str) -> str:
    # JSON's texts are TOML's basic strings, as long as nothing is escaped to UTF-16 pairs.
    return json.dumps(value, ensure_ascii=False)


def _texts(values: Iterable[str]) -> str:
    return f"[{', '.join(map(_text, values))}]"
