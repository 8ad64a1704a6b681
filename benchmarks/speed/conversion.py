"""Speed and memory of a conversion: 2,000 generated 480 x 640 images with a float32 stream.

    python -m aims.benchmarks.speed.conversion [--images 2000] [--jobs 1 2]
    python -m aims.benchmarks.speed.conversion --large 9000 12000

Writes a raw folder (float32 .npy depth, PNG labels) into a temporary folder, converts it with the folder
converter in a new process for each number of jobs, and prints images per second and the peak memory of all
processes together (sum of resident sets without pages of files, sampled every 20 ms), also less one bare
interpreter per process. The exit code is 1 if one job needs 500 MB or more above the interpreter.

`--large` converts, verifies and views one 16-bit picture of this height and width, after the same with 64 x
64 pixels, whose peak is subtracted; the exit code is 1 if the rest is more than `LARGE_LIMIT` times the
picture.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import cv2
import numpy as np
import psutil

LIMIT_MB = 500
LARGE_LIMIT = 3
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
    """Returns the resident bytes of a process and its descendants, and the number of these processes.

    Pages of files are not counted: programs share them, and the system takes them back where it needs them.
    """
    total = count = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            memory = member.memory_info()
            total, count = total + memory.rss - memory.shared, count + 1
        except psutil.NoSuchProcess:
            continue
    return total, count


def watch(command: list[str], interpreter: int, output: IO[str] | None = None) -> tuple[float, int, int]:
    """Runs a command and samples its memory.

    Args:
        command: the command line.
        interpreter: resident bytes of a bare interpreter.
        output: file for what it prints; None prints it.

    Returns:
        Its seconds, its peak bytes, and the peak of the bytes less one interpreter per process.
    """
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=output, stderr=output) as child:
        process, peak, above = psutil.Process(child.pid), 0, 0
        while child.poll() is None:
            total, count = resident(process)
            peak, above = max(peak, total), max(above, total - count * interpreter)
            time.sleep(0.02)
    if child.returncode:
        if output is not None:
            print(Path(output.name).read_text("utf-8")[-2000:], file=sys.stderr)
        sys.exit(f"{' '.join(command[3:])}: failed with exit code {child.returncode}")
    return time.perf_counter() - start, peak, above


def write_picture(raw: Path, size: tuple[int, int]) -> None:
    """Writes one 16-bit picture with 60 ellipses of three classes as its labels."""
    rng = np.random.default_rng(0)
    for name in ("depth", "labels"):
        (raw / name).mkdir(parents=True)
    tile = rng.integers(0, 4096, (64, 64), dtype=np.uint16)
    tiles = tuple(-(-side // 64) for side in size)
    cv2.imwrite(str(raw / "depth" / "0.png"), np.tile(tile, tiles)[: size[0], : size[1]])
    labels = np.zeros(size, np.uint8)
    for k in range(60):
        y, x, down, across = (int(rng.integers(low, side)) for low in (0, 4) for side in size)
        axes = (max(2, across // 12), max(2, down // 12))
        cv2.ellipse(labels, (x, y), axes, 0, 0, 360, 1 + k % 3, -1)
    cv2.imwrite(str(raw / "labels" / "0.png"), labels)
    (raw / "set.toml").write_text(DESCRIPTION.replace("depth/{id}.npy", "depth/{id}.png"))


def measure_large(size: tuple[int, int], folder: Path) -> Iterator[tuple[str, float, float]]:
    """Converts, verifies and views one picture, in a folder.

    Yields:
        The command, its seconds, and its peak memory as a multiple of the picture; see the module.
    """
    small, large = folder / "small", folder / "large"
    write_picture(small, (64, 64))
    write_picture(large, size)
    for command in (
        "convert folder {0}/set.toml --out {0}/out",
        "verify {0}/out",
        "view {0}/out --out {0}/page",
    ):
        program = [sys.executable, "-c", "from aims.cli import main; main()"]
        with (folder / "output.txt").open("w") as output:
            runs = [
                watch([*program, *command.format(raw).split()], 0, output=output) for raw in (small, large)
            ]
        yield command.split()[0], runs[1][0], (runs[1][1] - runs[0][1]) / (2 * size[0] * size[1])


def _print_large(size: tuple[int, int]) -> None:
    most = 0.0
    print("| command | seconds | times the picture |\n| --- | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        for command, seconds, times in measure_large(size, Path(folder)):
            most = max(most, times)
            print(f"| {command} | {seconds:.1f} | {times:.2f} |", flush=True)
    if most > LARGE_LIMIT:
        sys.exit(f"a command needs more than {LARGE_LIMIT} times the picture")


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and memory of a conversion.")
    parser.add_argument(
        "--large", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="Measure one picture."
    )
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    if options.large is not None:
        height, width = options.large
        _print_large((height, width))
        return
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
