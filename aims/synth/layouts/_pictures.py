"""Writers of images, label maps and tables of image paths, shared by several raw layouts."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import tifffile
from numpy.typing import NDArray
from PIL import Image

from aims.core.files import naming

_Picture = TypeVar("_Picture")
#: Images: split -> name -> image.
Splits = Mapping[str, Mapping[str, _Picture]]


def write_splits(
    root: Path,
    splits: Splits[_Picture],
    files: Callable[[_Picture], Mapping[str, NDArray[Any]]],
    **options: Any,
) -> Path:
    """Writes the files of all images; each image is read once, in order, and not kept.

    Args:
        root: folder to write to; made if it is absent.
        splits: the images.
        files: gives the arrays of an image by path below the root; paths hold {split} and {name}.
        options: see `write_picture`.

    Returns:
        The folder.
    """
    for split, pictures in splits.items():
        for name, picture in pictures.items():
            for path, array in files(picture).items():
                write_picture(root / path.format(split=split, name=name), array, **options)
    return root


def write_picture(path: Path, array: NDArray[Any], **options: Any) -> None:
    """Writes an array in the format of the path's suffix, and makes its folder.

    Args:
        path: the file; .npy takes any array, .tiff three channels of any numbers, other formats
            (height, width) uint8 or uint16, or (height, width, 3) uint8.
        array: the values.
        options: keyword arguments of Pillow's `Image.save`; other formats ignore them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    if path.suffix == ".npy":
        np.save(content, array)
    elif path.suffix == ".tiff" and array.ndim == 3:
        tifffile.imwrite(content, array, photometric="rgb")
    else:
        Image.fromarray(array).save(content, Image.registered_extensions()[path.suffix.lower()], **options)
    # In memory first: of a full disk these libraries speak each in its own way, or not at all.
    with naming(path):
        path.write_bytes(content.getbuffer())


def label_map(labels: NDArray[np.integer]) -> NDArray[Any]:
    """Casts labels from 0 to 65535 to uint8, or to uint16 if one of them exceeds 255."""
    return labels.astype(np.uint8 if labels.max() < 256 else np.uint16)


def write_path_tables(path: Path, splits: Splits[Any], columns: Mapping[str, str], *, header: bool) -> None:
    """Writes a CSV file of paths for each split, encoded in GBK, with the row numbers in the first column.

    Args:
        path: the file, with {split} in its name.
        splits: the images; their order is that of the rows.
        columns: path by column, with {split} and {name} in it.
        header: whether the first row holds the names of the columns.
    """
    for split, pictures in splits.items():
        table = {
            key: [each.format(split=split, name=name) for name in pictures] for key, each in columns.items()
        }
        target = path.with_name(path.name.format(split=split))
        pd.DataFrame(table).to_csv(target, header=header, encoding="gbk", lineterminator="\n")
