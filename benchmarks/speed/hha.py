"""Speed of the HHA encoding on one thread.

    python -m aims.benchmarks.speed.hha [--repeats 40] [--depth FILE.png [--raw FILE.png] [--unit 1e-4]]

Encodes a generated room, seen by a tilted camera with noise, at 320 x 240, 640 x 480 and 1280 x 960, without
and with missing pixels, and prints the median and the minimum of the repeats, the median per million pixels,
and its ratio to one `scipy.signal.convolve2d` of the same image with 21 x 21 ones. `--depth` also encodes a
16-bit depth image (`--unit` in metres; 0 in `--raw` = missing) with the intrinsics of NYUv2's colour camera.
The exit code is 1 if the median at 640 x 480 is above 20 ms, or 30 ms with missing pixels.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import scipy.signal

from aims.sensors.hha import NYUV2_COLOR, Camera, encode_hha

from .harness import repeat

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

LIMIT_MS, LIMIT_MISSING_MS = 20.0, 30.0
SCALES = (0.5, 1.0, 2.0)
PITCH, ROLL = np.radians(15), np.radians(-4)
# BLAS reads these variables when NumPy is imported, so `main` starts itself again in a new process.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def room(scale: float) -> tuple[FloatArray, BoolArray, Camera]:
    """Makes the depth in metres of a 4 x 2.7 x 5 m room with a box, the mask of missing pixels, the camera.

    Args:
        scale: size of the image relative to 640 x 480.
    """
    height, width = round(480 * scale), round(640 * scale)
    camera = Camera(fx=519 * scale, fy=519 * scale, cx=325 * scale, cy=253 * scale)
    y, x = np.indices((height, width), dtype=np.float64)
    rays = np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones_like(x)], axis=2)
    tilt = np.array([[1, 0, 0], [0, np.cos(PITCH), -np.sin(PITCH)], [0, np.sin(PITCH), np.cos(PITCH)]])
    roll = np.array([[np.cos(ROLL), -np.sin(ROLL), 0], [np.sin(ROLL), np.cos(ROLL), 0], [0, 0, 1]])
    world = rays @ (roll @ tilt)
    world[world == 0] = 1e-12
    depth = np.maximum(np.array([-1.8, -1.2, -1.5]) / world, np.array([2.2, 1.5, 3.5]) / world).min(axis=2)
    faces = np.stack([np.array([-0.6, 0.7, 1.8]) / world, np.array([0.5, 1.5, 2.6]) / world])
    enter, leave = faces.min(axis=0).max(axis=2), faces.max(axis=0).min(axis=2)
    depth = np.where((enter > 0) & (enter < leave), np.minimum(enter, depth), depth)
    rng = np.random.default_rng(0)
    # Like a Kinect: noise grows with the square of the distance; the border and some patches are missing.
    depth += rng.normal(0, 0.003, depth.shape) * depth**2
    smooth = cv2.GaussianBlur(rng.normal(size=depth.shape), (0, 0), 6 * scale)
    missing = np.asarray(smooth > np.quantile(smooth, 0.85))
    edge = round(8 * scale)
    missing[:edge] = missing[-edge:] = True
    missing[:, :edge] = missing[:, -edge:] = True
    return depth, missing, camera


def measure(name: str, depth: FloatArray, missing: BoolArray, camera: Camera, repeats: int) -> bool:
    """Prints one line without and one with missing pixels; returns whether both are within the limits."""
    ones = np.ones((21, 21))
    few = max(repeats // 10, 1)
    unit = 1e3 * float(np.median(repeat(lambda: scipy.signal.convolve2d(depth, ones, mode="same"), few)))
    rows, columns = depth.shape
    within = True
    for mask, limit in ((None, LIMIT_MS), (missing, LIMIT_MISSING_MS)):

        def work(mask: BoolArray | None = mask) -> object:
            return encode_hha(depth, missing=mask, camera=camera)

        times = 1e3 * repeat(work, repeats)
        median = float(np.median(times))
        within &= depth.shape != (480, 640) or median <= limit
        share = 0.0 if mask is None else 100 * mask.mean()
        print(
            f"| {name} | {columns} x {rows} | {share:.0f} % | {median:.1f} | {times.min():.1f} "
            f"| {1e6 * median / depth.size:.1f} | {unit:.1f} | {median / unit:.2f} |",
            flush=True,
        )
    return within


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of the HHA encoding on one thread.")
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--depth", type=Path, help="a depth picture of 16 bits")
    parser.add_argument("--raw", type=Path, help="the raw depth beside it: 0 is missing")
    parser.add_argument("--unit", type=float, default=1e-4, help="of --depth, in metres")
    options = parser.parse_args()
    if any(os.environ.get(name) != count for name, count in ONE_THREAD.items()):
        command = [sys.executable, "-m", "aims.benchmarks.speed.hha", *sys.argv[1:]]
        sys.exit(subprocess.run(command, env={**os.environ, **ONE_THREAD}, check=False).returncode)
    cv2.setNumThreads(1)
    print("| scene | size | missing | median ms | fastest ms | ms per megapixel | convolve2d ms | ratio |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    within = True
    for scale in SCALES:
        within &= measure("room", *room(scale), options.repeats)
    if options.depth:
        depth = cv2.imread(str(options.depth), cv2.IMREAD_UNCHANGED)
        raw = cv2.imread(str(options.raw or options.depth), cv2.IMREAD_UNCHANGED)
        if depth is None or raw is None:
            sys.exit(f"cannot read {options.depth} or {options.raw}")
        within &= measure(options.depth.name, depth * options.unit, raw == 0, NYUV2_COLOR, options.repeats)
    if not within:
        sys.exit(f"640 x 480 takes more than {LIMIT_MS:g} ms, or {LIMIT_MISSING_MS:g} ms with missing pixels")


if __name__ == "__main__":
    main()
