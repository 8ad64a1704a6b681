"""Cuts the images of CWFID into tiles, so that plants are large enough for the input of a small model.

    python -m aims.benchmarks.cwfid_tiles CWFID OUT

CWFID (Haug and Ostermann, 2014) holds images/NNN_image.png and annotations/NNN_annotation.png, each 966 x
1296 pixels: three rows of four tiles, 322 x 324 each. OUT gets images/SPLIT/NNN_RC.png and annotations/ with
the same names (R and C: row and column from 0), in the splits of train_test_split.yaml. A plant that crosses
a cut becomes one instance in each tile.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2

from aims.core.errors import AimsError, InputError
from aims.core.files import atomic_write

ROWS, COLUMNS = 3, 4
#: Image numbers by split; those of `converters/zoo/cwfid.toml` that are at hand.
SPLITS = {
    "train": ("002", "005", "006", "007", "008", "011", "012"),
    "test": ("001", "003", "004", "009", "010"),
}
_SHAPE = (966, 1296, 3)


def write_tiles(source: Path, out: Path) -> int:
    """Writes all tiles; existing tiles are overwritten with the same bytes.

    Args:
        source: folder of CWFID.
        out: folder to write to; made if it is absent.

    Returns:
        The number of images that were cut.

    Raises:
        InputError: an image is missing, not readable, or of another size.
    """
    for split, numbers in SPLITS.items():
        for number in numbers:
            for kind, suffix in (("images", "image"), ("annotations", "annotation")):
                folder = out / kind / split
                folder.mkdir(parents=True, exist_ok=True)
                _cut(source / kind / f"{number}_{suffix}.png", folder, number)
    return sum(map(len, SPLITS.values()))


def _cut(path: Path, folder: Path, number: str) -> None:
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if picture is None:
        raise InputError(f"{path}: no such picture, or not readable; name the folder of CWFID")
    if picture.shape != _SHAPE:
        raise InputError(f"{path}: is {picture.shape}, but pictures of CWFID are {_SHAPE}")
    height, width = _SHAPE[0] // ROWS, _SHAPE[1] // COLUMNS
    for row in range(ROWS):
        for column in range(COLUMNS):
            rows = slice(row * height, (row + 1) * height)
            columns = slice(column * width, (column + 1) * width)
            encoded = cv2.imencode(".png", picture[rows, columns])[1]
            with atomic_write(folder / f"{number}_{row}{column}.png") as beside:
                beside.write_bytes(encoded.tobytes())


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description="Cut the pictures of CWFID into tiles.")
    parser.add_argument("source", type=Path, help="folder of CWFID")
    parser.add_argument("out", type=Path, help="folder to write to")
    options = parser.parse_args(arguments)
    try:
        print(f"{write_tiles(options.source, options.out)} pictures cut, in {options.out}")
    except AimsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
