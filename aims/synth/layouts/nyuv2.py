"""The two raw layouts of NYUv2: the authors' MATLAB files and the re-distributed folder."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from aims.synth.layouts._arrays import MATLAB_CLASSES, write_mat5
from aims.synth.layouts._pictures import write_picture

_USERBLOCK = 512
_HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Thu Jan  1 00:00:00 1970 HDF5 schema 1.00 ."


@dataclass(frozen=True, kw_only=True)
class NYUv2Image:
    """One image of the dataset.

    Attributes:
        rgb: (height, width, 3) uint8.
        depth: (height, width) metres.
        labels: (height, width); raw labels 0 to 894 in the authors' layout, classes 0 to 40 in the folder.
        scene: name of the scene; ignored by the folder layout.
        raw_depth: (height, width) metres as measured, 0 = missing; None if it equals the depth. Ignored by
            the folder layout.
        hha: (height, width, 3) uint8: disparity, height, angle; ignored by the authors' layout.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.floating]
    labels: NDArray[np.integer]
    scene: str = "scene_0001"
    raw_depth: NDArray[np.floating] | None = None
    hha: NDArray[np.uint8] | None = None


def write_official(
    root: Path,
    images: Collection[NYUv2Image],
    *,
    train: Sequence[int],
    test: Sequence[int],
    mapping: tuple[Sequence[int], Sequence[str]] | None = None,
) -> Path:
    """Writes `nyu_depth_v2_labeled.mat`, `splits.mat` and, if given, `classMapping40.mat`.

    Args:
        root: folder to write to; made if it is absent.
        images: images of one size; each is read once, in order, and not kept.
        train: numbers of the training images, from 1.
        test: numbers of the test images, from 1.
        mapping: the class of each raw label from 1 on, and the names of the classes.

    Returns:
        The path of `nyu_depth_v2_labeled.mat`.
    """
    root.mkdir(parents=True, exist_ok=True)
    path = root / "nyu_depth_v2_labeled.mat"
    with h5py.File(path, "w", userblock_size=_USERBLOCK) as file:
        _write_scenes(file, _write_arrays(file, images))
    with path.open("r+b") as block:
        block.write(_HEADER.ljust(124, b" ") + b"\x00\x02IM")  # text, then MATLAB's version and byte order
    columns = {"trainNdxs": train, "testNdxs": test}
    write_mat5(root / "splits.mat", {key: np.array(columns[key], np.uint16)[:, None] for key in columns})
    if mapping is not None:
        numbers, names = mapping
        table = {"mapClass": np.array([numbers], np.uint8), "className": np.array([list(names)], object)}
        write_mat5(root / "classMapping40.mat", table)
    return path


def write_folder(
    root: Path, images: Mapping[int, NYUv2Image], *, train: Iterable[int], test: Iterable[int]
) -> Path:
    """Writes the re-distributed folder `NYUDepthv2/` below `root`, images by their number.

    Returns:
        The folder `NYUDepthv2`.
    """
    folder = root / "NYUDepthv2"
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in images.items():
        write_picture(folder / "RGB" / f"{number}.jpg", image.rgb, quality=95)
        write_picture(folder / "Depth" / f"{number}.npy", image.depth)
        write_picture(folder / "Mask_gt" / f"{number}.png", image.labels.astype(np.uint8))
        if image.hha is not None:
            write_picture(folder / "HHA" / f"{number}.jpg", image.hha, quality=95)
    for split, numbers in (("train", train), ("test", test)):
        lines = (f"RGB/{number}.jpg\tMask_gt/{number}.png\n" for number in numbers)
        (folder / f"{split}.txt").write_text("".join(lines), encoding="utf-8", newline="\n")
    return folder


def _write_arrays(file: Any, images: Collection[NYUv2Image]) -> list[str]:
    """Writes all images and returns the scene name of each."""
    arrays: dict[str, Any] = {}
    scenes = []
    for index, image in enumerate(images):
        arrays = arrays or _make_arrays(file, len(images), image.depth.shape)
        scenes.append(image.scene)
        arrays["images"][index] = image.rgb.T
        arrays["depths"][index] = image.depth.T
        arrays["rawDepths"][index] = (image.depth if image.raw_depth is None else image.raw_depth).T
        arrays["labels"][index] = image.labels.T
        arrays["instances"][index] = image.labels.T > 0
    return scenes


def _make_arrays(file: Any, count: int, size: tuple[int, ...]) -> dict[str, Any]:
    height, width = size
    kinds = {"depths": np.float32, "rawDepths": np.float32, "labels": np.uint16, "instances": np.uint8}
    # MATLAB stores arrays column by column, so HDF5 shows its axes in reverse.
    arrays = {"images": file.create_dataset("images", (count, 3, width, height), np.uint8)}
    arrays |= {name: file.create_dataset(name, (count, width, height), kinds[name]) for name in kinds}
    for array in arrays.values():
        array.attrs["MATLAB_class"] = np.bytes_(MATLAB_CLASSES.get(array.dtype.name, array.dtype.name))
    return arrays


def _write_scenes(file: Any, scenes: Sequence[str]) -> None:
    """Writes a MATLAB cell array of strings: HDF5 references to columns of UTF-16 code units."""
    references = file.create_dataset("scenes", (1, len(scenes)), h5py.ref_dtype)
    references.attrs["MATLAB_class"] = np.bytes_(b"cell")
    for index, scene in enumerate(scenes):
        units = np.frombuffer(scene.encode("utf-16-le"), np.uint16)[:, None]
        text = file.create_dataset(f"#refs#/{index}", data=units)
        text.attrs["MATLAB_class"] = np.bytes_(b"char")
        references[0, index] = text.ref
