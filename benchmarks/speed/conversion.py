"""Speed and memory of a conversion: 2,000 generated 480 x 640 images with a float32 stream.

    python -m aims.benchmarks.speed.conversion [--images 2000] [--jobs 1 2]

Writes a raw folder (float32 .npy depth, PNG labels) into a temporary folder, converts it with the folder
converter in a new process for each number of jobs, and prints images per second and the peak memory of all
processes together (sum of resident set sizes, sampled every 20 ms), also less one bare interpreter per
process. The exit code is 1 if one job needs 500 MB or more above the interpreter.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import psutil

LIMIT_MB = 500
SIZE = (480, 640)
# Number of distinct images; further ones are hard links to them, so that the page cache holds all files and
# the disk is not measured.
DISTINCT = 50

DESCRIPTION = """
name = "generated"
license = "none"
classes = ["a", "b", "c", "d"]
[splits]
train = "*"
[streams.depth]
files = "depth/{id}.npy"
unit = "m"
[labels]
files = "labels/{id}.png"
kind = "semantic"
values = { a = 1, b = 2, c = 3, d = 4 }
"""

CONVERT = """
import sys
from pathlib import Path
from aims.converters.folder import FolderConverter
from aims.data.write import convert
if __name__ == "__main__":
    raw, out, jobs = sys.argv[1:]
    convert(FolderConverter(config=Path(raw) / "set.toml"), Path(out), jobs=int(jobs))
"""


def write_raw(raw: Path, images: int) -> None:
    rng = np.random.default_rng(0)
    for name in ("depth", "labels"):
        (raw / name).mkdir(parents=True)
    (raw / "set.toml").write_text(DESCRIPTION)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    for k in range(images):
        depth, labels = raw / "depth" / f"{k:05d}.npy", raw / "labels" / f"{k:05d}.png"
        if k >= DISTINCT:
            os.link(raw / "depth" / f"{k % DISTINCT:05d}.npy", depth)
            os.link(raw / "labels" / f"{k % DISTINCT:05d}.png", labels)
            continue
        smooth = cv2.GaussianBlur(rng.normal(size=SIZE), (0, 0), 15)
        np.save(depth, (2 + y / 480 + x / 640 + smooth + rng.normal(0, 0.005, SIZE)).astype(np.float32))
        edges = np.quantile(smooth, (0.2, 0.4, 0.6, 0.8))
        cv2.imwrite(str(labels), np.digitize(smooth, edges).astype(np.uint8))


def resident(process: psutil.Process) -> tuple[int, int]:
    """Returns the resident bytes of a process and its descendants, and the number of these processes."""
    total = count = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            total, count = total + member.memory_info().rss, count + 1
        except psutil.NoSuchProcess:
            continue
    return total, count


def watch(command: list[str], interpreter: int) -> tuple[float, int, int]:
    """Runs a command and samples its memory.

    Args:
        command: the command line.
        interpreter: resident bytes of a bare interpreter.

    Returns:
        Its seconds, its peak bytes, and the peak of the bytes less one interpreter per process.
    """
    start = time.perf_counter()
    with subprocess.Popen(command) as child:
        process, peak, above = psutil.Process(child.pid), 0, 0
        while child.poll() is None:
            total, count = resident(process)
            peak, above = max(peak, total), max(above, total - count * interpreter)
            time.sleep(0.02)
    if child.returncode:
        sys.exit(f"the conversion failed with exit code {child.returncode}")
    return time.perf_counter() - start, peak, above


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and memory of a conversion.")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    sleep = [sys.executable, "-c", "import time; time.sleep(0.5)"]
    _, interpreter, _ = watch(sleep, 0)
    imports = [sys.executable, "-c", "import aims.data.write, aims.converters.folder, time; time.sleep(0.5)"]
    _, _, imported = watch(imports, interpreter)
    print(f"bare interpreter {interpreter / 1e6:.0f} MB; imports add {imported / 1e6:.0f} MB")
    print("| jobs | images | seconds | images/s | peak MB | above interpreters MB |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    exceeded = False
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw"
        write_raw(raw, options.images)
        for jobs in options.jobs:
            out = Path(folder) / f"out{jobs}"
            command = [sys.executable, "-c", CONVERT, str(raw), str(out), str(jobs)]
            seconds, peak, above = watch(command, interpreter)
            exceeded |= jobs == 1 and above >= LIMIT_MB * 1e6
            rate = options.images / seconds
            print(
                f"| {jobs} | {options.images} | {seconds:.1f} | {rate:.1f} | {peak / 1e6:.0f} "
                f"| {above / 1e6:.0f} |",
                flush=True,
            )
    if exceeded:
        sys.exit(f"one job needs {LIMIT_MB} MB or more above the interpreter")


if __name__ == "__main__":
    main()
