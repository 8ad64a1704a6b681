"""The raw layouts of the folder converter: files in every form it reads, and the TOML that describes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aims.core.files import naming, toml_tables, write_json, write_text
from aims.synth.layouts._arrays import write_mat5, write_mat73, write_tiff_stack
from aims.synth.layouts._coco import CocoFile, class_regions
from aims.synth.layouts._pictures import write_picture

Colour = tuple[int, int, int]
#: How streams are written: "picture" is PNG where that can hold the array, else npy; "tiff" has one page per
#: channel; the others hold all streams of an image in one file.
Form = Literal["picture", "tiff", "npz", "mat5", "mat73"]

#: Suffix and writer of the forms that hold all streams of an image in one file.
_TOGETHER: Mapping[str, tuple[str, Callable[[Path, Mapping[str, NDArray[Any]]], None]]] = {
    "npz": (".npz", lambda path, arrays: np.savez(path, allow_pickle=False, **arrays)),
    "mat5": (".mat", write_mat5),
    "mat73": (".mat", write_mat73),
}


@dataclass(frozen=True, kw_only=True)
class FolderImage:
    """One image of the dataset.

    Attributes:
        image_id: name of the image, which its files bear.
        split: name of its split.
        labels: (height, width), class ids from 1; 0 = no class.
        streams: (height, width) or (height, width, channels) by stream.
        mosaic: (height, width) raw frame of a polarization sensor, or None.
        rgb: (height, width, 3) uint8, or None.
    """

    image_id: str
    split: str
    labels: NDArray[np.integer]
    streams: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    mosaic: NDArray[Any] | None = None
    rgb: NDArray[np.uint8] | None = None


def write_folder(
    root: Path,
    images: Iterable[FolderImage],
    *,
    name: str,
    license: str,
    palette: Mapping[str, Colour],
    streams: Mapping[str, Mapping[str, object]],
    form: Form = "picture",
    coco: bool = False,
    layout: Sequence[Sequence[int]] = ((90, 45), (135, 0)),
    resolution: Literal["full", "half"] = "full",
) -> Path:
    """Writes the streams, `labels/ID.png` (indices with a palette), `SPLIT.txt` and `NAME.toml`.

    Args:
        root: folder to write to; made if it is absent.
        images: the images, read one by one; all have the same streams.
        name: name of the dataset.
        license: its licence, such as "CC0-1.0".
        palette: colour of each class, in the order of the class ids.
        streams: further TOML keys of each stream: its unit, and its valid_range, missing, ...
        form: how the streams are written.
        coco: write `annotations/SPLIT.json`, one annotation for each connected region of a class, in place of
            `labels/`.
        layout: polarizer angles in degrees of a 2 x 2 cell of `mosaic`, row by row.
        resolution: the mosaic's `resolution` in the TOML; "half" needs labels of half the mosaic's size.

    Returns:
        The TOML file, which `aims convert folder` reads.
    """
    tables: dict[str, dict[str, object]] = {}
    splits: dict[str, list[str]] = {}
    annotations: dict[str, CocoFile] = {}
    for image in images:
        for stream, keys in _write_streams(root, image, form).items():
            tables[f"streams.{stream}"] = {**keys, **streams[stream]}
        if image.mosaic is not None:
            keys = _write_picture(root / "mosaic", image.image_id, image.mosaic)
            tables["mosaic"] = {
                **keys,
                "unit": "digital number",
                "layout": layout,
                "resolution": resolution,
            }
        if image.rgb is not None:
            tables["rgb"] = _write_picture(root / "rgb", image.image_id, image.rgb)
        if coco:
            table = annotations.setdefault(image.split, CocoFile(list(palette)))
            table.add(f"{image.image_id}.png", image.labels.shape, class_regions(image.labels))
        else:
            _write_labels(root / "labels", image, palette)
        splits.setdefault(image.split, []).append(image.image_id)
    for split, ids in splits.items():
        write_text(root / f"{split}.txt", "".join(f"{image_id}\n" for image_id in ids))
    for split, file in annotations.items():
        (root / "annotations").mkdir(exist_ok=True)
        write_json(root / "annotations" / f"{split}.json", file.content())
    if coco:
        tables["labels"] = {"files": "annotations/{split}.json", "kind": "coco"}
    else:
        tables["labels"] = {"files": "labels/{id}.png", "kind": "semantic", "palette": palette}
    head = {"name": name, "license": license, "classes": list(palette)}
    lists = {split: f"{split}.txt" for split in splits}
    write_text(root / f"{name}.toml", toml_tables({"": head, "splits": lists, **tables}))
    return root / f"{name}.toml"


def _write_streams(root: Path, image: FolderImage, form: Form) -> dict[str, dict[str, object]]:
    """Writes the streams and returns the TOML keys of each, which say where it is."""
    if form == "picture":
        return {
            stream: _write_picture(root / stream, image.image_id, array)
            for stream, array in image.streams.items()
        }
    if form == "tiff":
        for stream, array in image.streams.items():
            (root / stream).mkdir(parents=True, exist_ok=True)
            write_tiff_stack(root / stream / f"{image.image_id}.tiff", array)
        return {stream: {"files": f"{stream}/{{id}}.tiff"} for stream in image.streams}
    suffix, write = _TOGETHER[form]
    (root / "data").mkdir(parents=True, exist_ok=True)
    write(root / "data" / f"{image.image_id}{suffix}", image.streams)
    return {stream: {"files": f"data/{{id}}{suffix}", "variable": stream} for stream in image.streams}


def _write_picture(folder: Path, image_id: str, array: NDArray[Any]) -> dict[str, object]:
    """Writes 1 or 3 channels of uint8 or uint16 as PNG, anything else as npy; returns the TOML keys."""
    folder.mkdir(parents=True, exist_ok=True)
    channels = 1 if array.ndim == 2 else array.shape[2]
    suffix = ".png" if array.dtype in (np.uint8, np.uint16) and channels in (1, 3) else ".npy"
    path = folder / f"{image_id}{suffix}"
    if suffix == ".npy":
        write_picture(path, array)
    else:
        _, png = cv2.imencode(suffix, array[..., ::-1] if channels == 3 else array)
        with naming(path):
            path.write_bytes(png.tobytes())
    return {"files": f"{folder.name}/{{id}}{suffix}"}


def _write_labels(folder: Path, image: FolderImage, palette: Mapping[str, Colour]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(image.labels.astype(np.uint8))
    picture.putpalette([0, 0, 0, *(level for colour in palette.values() for level in colour)])
    with naming(path := folder / f"{image.image_id}.png"):
        picture.save(path)
