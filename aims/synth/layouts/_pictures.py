"""Pictures, label maps and tables of image paths, as several raw layouts have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image


def write_picture(path: Path, array: NDArray[Any], **options: Any) -> None:
    """Writes a picture in the format of its suffix, and makes its folder.

    Args:
        path: the file.
        array: (height, width) uint8 or uint16, or (height, width, 3) uint8.
        options: what Pillow's `save` is given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def write_label_map(path: Path, labels: NDArray[np.integer], **options: Any) -> None:
    """Writes whole numbers from 0 to 65535 as a PNG of 8 bits, or of 16 where 8 do not hold them."""
    write_picture(path, labels.astype(np.uint8 if labels.max() < 256 else np.uint16), **options)


def write_path_table(path: Path, columns: Mapping[str, Sequence[str]], *, header: bool) -> None:
    """Writes columns of paths as a CSV file in GBK, numbered in its first column."""
    pd.DataFrame(columns).to_csv(path, header=header, encoding="gbk", lineterminator="\n")
