"""Measures the angle between our estimate of gravity and that in `camera_rotations_NYU.txt`, image by image.

    python -m aims.benchmarks.gravity camera_rotations_NYU.txt 433:000433_depth.png:2e-4 ...

Each image is NUMBER:FILE:UNIT: its number in NYUv2 from 1, a 16-bit depth image (0 = missing), and its unit
in metres; a crop of the frame adds :LEFT:TOP, the column and row of its first pixel. The file holds one 3 x 3
rotation per image, from camera to world; its middle row is gravity in the axes of the camera.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from aims.sensors.hha import NYUV2_COLOR, estimate_gravity


def our_gravity(file: Path, unit: float, left: float = 0, top: float = 0) -> NDArray[np.float64]:
    """Estimates gravity, a unit vector in the camera's axes, from a depth image.

    Args:
        file: 16-bit depth image; 0 = missing.
        unit: metres per digital number.
        left: column of the image's first pixel in the whole frame.
        top: row of the image's first pixel in the whole frame.
    """
    depth = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    if depth is None:
        raise SystemExit(f"{file}: not a readable picture")
    camera = replace(NYUV2_COLOR, cx=NYUV2_COLOR.cx - left, cy=NYUV2_COLOR.cy - top)
    return estimate_gravity(depth * unit, missing=depth == 0, camera=camera)


def main() -> None:
    """Prints one line per image."""
    parser = argparse.ArgumentParser(description="Angles between two estimates of gravity.")
    parser.add_argument("rotations", type=Path, help="camera_rotations_NYU.txt")
    parser.add_argument("images", nargs="+", metavar="NUMBER:FILE:UNIT[:LEFT:TOP]")
    options = parser.parse_args()
    rotations = np.loadtxt(options.rotations).reshape(-1, 3, 3)
    for entry in options.images:
        number, file, *numbers = entry.split(":")
        ours, theirs = our_gravity(Path(file), *map(float, numbers)), rotations[int(number) - 1, 1]
        angle = np.degrees(np.arccos(np.clip(ours @ theirs / np.linalg.norm(theirs), -1, 1)))
        print(f"image {number}: {angle:.2f} degrees apart")


if __name__ == "__main__":
    main()
