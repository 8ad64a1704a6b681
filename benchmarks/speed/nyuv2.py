"""Time of `aims convert nyuv2 --hha` on a file of the real size: 1449 images of 640 x 480.

    python -m aims.benchmarks.speed.nyuv2 [--images 1449] [--jobs 2]

Writes `nyu_depth_v2_labeled.mat` (14 bytes per pixel, 6.2 GB for all 1449) and `splits.mat` into a temporary
folder, from `DISTINCT` generated rooms with noise, smooth colours with noise, and label maps of about twenty
regions; then converts them in `--jobs` processes. The exit code is 1 if all 1449 take four minutes or more.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from aims.synth.layouts.nyuv2 import NYUv2Image, write_official

from . import harness
from .hha import room

IMAGES, TRAIN = 1449, 795
LIMIT_S = 240
# Number of distinct images, which the file repeats.
DISTINCT = 24


def picture(number: int) -> NYUv2Image:
    rng = np.random.default_rng(number)
    depth, missing, _ = room(1.0)
    depth = (depth * rng.uniform(0.7, 1.5) + rng.normal(0, 0.002, depth.shape)).astype(np.float32)
    smooth = cv2.GaussianBlur(rng.normal(size=depth.shape), (0, 0), 45)
    labels = np.digitize(smooth, np.quantile(smooth, (0.1, 0.3, 0.5, 0.7, 0.9))) * 3
    light = 128 + 60 * smooth[..., None] / smooth.std() * rng.uniform(0.5, 1, 3)
    rgb = (light + rng.normal(0, 6, light.shape)).clip(0, 255).astype(np.uint8)
    return NYUv2Image(
        rgb=rgb,
        depth=depth,
        raw_depth=np.where(missing, np.float32(0), depth),
        labels=labels.astype(np.uint16),
        scene=f"scene_{number:04d}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of a conversion of NYUv2 with HHA.")
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    distinct = [picture(number) for number in range(min(DISTINCT, options.images))]
    images = [distinct[k % len(distinct)] for k in range(options.images)]
    train = round(options.images * TRAIN / IMAGES)
    with tempfile.TemporaryDirectory() as folder:
        raw, out = Path(folder) / "raw", Path(folder) / "out"
        numbers = range(1, options.images + 1)
        write_official(raw, images, train=numbers[:train], test=numbers[train:])
        command = [sys.executable, "-m", "aims", "convert", "nyuv2", "--hha", "--raw", str(raw)]
        command += ["--out", str(out), "--jobs", str(options.jobs)]
        _, seconds = harness.clock(partial(subprocess.run, command, check=True))
    print(f"{options.images} images with HHA, {options.jobs} jobs: {seconds:.0f} s")
    if options.images >= IMAGES and seconds >= LIMIT_S:
        sys.exit(f"{IMAGES} images take {LIMIT_S} s or more")


if __name__ == "__main__":
    main()
