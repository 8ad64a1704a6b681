"""Loads far beyond those of the paper, each with a limit.

    python -m aims.benchmarks.speed.load [CASE ...] [--folder FOLDER]

| case | load |
| --- | --- |
| images | 20,000 images of 16 x 20 pixels, of which 4,000 are tested, through every command |
| instances | 20,000 instances in each of two training images and a test image, through every command |
| channels | 32 images of 64 channels, through every command |
| classes | 32 images of a set of 1,000 classes, through every command |
| picture | one picture of 9,000 x 12,000 pixels, 16 bits, converted, verified and viewed |
| million | a set of a million images of one pixel, opened |
| runs | 2,000 and 10,000 run folders, reported |

The commands are those of a user's day, from `aims convert` to `aims report`; training and evaluation are of a
SAM so small that AIMS itself is measured. Prints the seconds of processor time, so that other programs do not
count, the peak of the memory of all processes (without pages of files, which the system takes back where it
needs them) and bytes, each beside its limit. Reports are timed by the clock, on two idle cores. The exit code
is 1 where a limit is missed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aims.core.records import RECORD
from aims.data.manifest import MANIFEST

from . import conversion, harness, report

#: Seconds to open a million images, and their number.
OPEN_SECONDS, MILLION = 2.0, 1_000_000
#: Bytes of the page of `aims view`.
PAGE_BYTES = 20_000_000
_ROWS = 64
# Arguments that tell commands of one name apart.
_TOLD = ("coco", "folder", "disc", "simcmf")

#: The command line, with a backbone that takes milliseconds.
_PROGRAM = """
import sys
from aims.cli import main
from aims.methods import BACKBONES
from aims.models.sam import SAM

if __name__ == "__main__":
    sizes = dict(image_size=64, patch_size=8, window=4, prompt_dim=16, decoder_mlp_dim=32, iou_hidden_dim=16)
    BACKBONES.register("sam-toy")(SAM(width=24, depth=2, heads=2, global_blocks=(1,), **sizes))
    main()
"""

_DESCRIPTION = """
name = "load"
license = "none"
classes = {classes}
[splits]
train = "train-*"
test = "test-*"
[streams.signal]
files = "signal/{{id}}.{suffix}"
unit = "digital number"
[labels]
files = "labels/{{id}}.png"
kind = "semantic"
values = {{ {values} }}
"""

_OPEN = """
import sys, time
import aims
import aims.api.datasets
began = time.process_time()
dataset = aims.open(sys.argv[1])
images = len(dataset), dataset[0].image_id, dataset[-1].image_id
print(time.process_time() - began, *images)
"""


@dataclass(frozen=True, kw_only=True)
class Load:
    """A set to go through every command.

    Attributes:
        train: number of training images; `test` of test images.
        size: (height, width) of each.
        channels: of the stream.
        classes: of the set.
        draw: returns the (height, width) classes of an image.
        seconds: the limit of processor time for any one command.
        megabytes: the limit of memory for any one command.
    """

    train: int
    test: int
    size: tuple[int, int]
    channels: int = 1
    classes: int = 2
    draw: Callable[[np.random.Generator, Load], np.ndarray]
    seconds: float
    megabytes: float


def blobs(rng: np.random.Generator, load: Load) -> np.ndarray:
    """Two boxes of random classes."""
    labels = np.zeros(load.size, np.uint16)
    for _ in range(2):
        y, x = (int(rng.integers(0, side - 6)) for side in load.size)
        labels[y : y + 6, x : x + 6] = rng.integers(1, load.classes + 1)
    return labels


def grid(rng: np.random.Generator, load: Load) -> np.ndarray:
    """20,000 squares that do not touch: 125 rows of 160."""
    square = np.zeros((10, 10), np.uint16)
    square[2:8, 2:8] = 1
    return np.tile(square, (125, 160)) * rng.integers(1, load.classes + 1, dtype=np.uint16)


LOADS = {
    "images": Load(train=16_000, test=4_000, size=(16, 20), draw=blobs, seconds=600, megabytes=1500),
    "instances": Load(train=2, test=1, size=(1250, 1600), draw=grid, seconds=300, megabytes=3000),
    "channels": Load(train=24, test=8, size=(64, 80), channels=64, draw=blobs, seconds=60, megabytes=1000),
    "classes": Load(train=24, test=8, size=(64, 80), classes=1000, draw=blobs, seconds=60, megabytes=1000),
}


def write_raw(raw: Path, load: Load) -> None:
    """Writes the raw files of a set."""
    rng = np.random.default_rng(0)
    for name in ("signal", "labels"):
        (raw / name).mkdir(parents=True)
    suffix = "png" if load.channels == 1 else "npy"
    for k in range(load.train + load.test):
        name = f"{'train' if k < load.train else 'test'}-{k:05d}"
        labels = load.draw(rng, load)
        shape = (*load.size, load.channels) if load.channels > 1 else load.size
        # Brighter where something is.
        signal = rng.integers(0, 60_000, shape, dtype=np.uint16)
        signal[labels > 0] += 5_000
        if suffix == "png":
            cv2.imwrite(str(raw / "signal" / f"{name}.png"), signal)
        else:
            np.save(raw / "signal" / f"{name}.npy", signal)
        cv2.imwrite(str(raw / "labels" / f"{name}.png"), labels)
    names = [f"c{k:04d}" for k in range(1, load.classes + 1)]
    values = ", ".join(f"{name} = {k}" for k, name in enumerate(names, start=1))
    text = _DESCRIPTION.format(classes=json.dumps(names), suffix=suffix, values=values)
    (raw / "load.toml").write_text(text, encoding="utf-8")


def commands(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yields the name and the arguments of every command, in the order of a user's day."""
    raw, out, runs = folder / "raw", folder / "set", folder / "runs"
    data = ["--data", f"{out}"]
    run = ["--modality", "signal", *data, "--runs", f"{runs}", "--device", "cpu", "--protocol", "paper"]
    toy = [
        "--method",
        "simcmf",
        "--tuning",
        "full",
        "--backbone",
        "sam-toy",
        "--weights",
        "none",
        "--epochs",
        "1",
    ]
    yield "convert", ["folder", f"{raw / 'load.toml'}", "--out", f"{out}"]
    yield "verify", [f"{out}"]
    yield "inspect", [f"{out}"]
    yield "view", [f"{out}", "--out", f"{folder / 'page.html'}"]
    yield "audit", [f"{out}"]
    yield "export", [f"{out}", "--format", "coco", "--out", f"{folder / 'coco'}"]
    yield "export", [f"{out}", "--format", "folder", "--out", f"{folder / 'folder'}"]
    yield "run", ["--method", "disc", *run]
    yield "run", [*toy, *run]
    (trained,) = (path.parent for path in runs.glob(f"*simcmf*/{RECORD}"))
    (floor,) = (path.parent for path in runs.glob(f"*disc*/{RECORD}"))
    yield "verify", [f"{trained}", *data]
    yield "evaluate", [f"{trained}", *data, "--clicks", "2", "--jitter", "1", "--device", "cpu"]
    yield "compare", [f"{trained}", f"{floor}", *data, "--out", f"{folder / 'pair.png'}"]
    yield "submit", [f"{trained}", "--to", f"{folder / 'submissions'}"]
    (submission,) = (folder / "submissions").iterdir()
    yield "verify", [f"{submission}", *data]
    everything = ["--everything", "--points-per-side", "8", "--split", "test", "--device", "cpu"]
    yield "predict", [f"{trained}", f"{out}", "--out", f"{folder / 'predicted'}", *everything]
    yield "watch", [f"{runs}", "--json"]
    yield "report", ["--runs", f"{runs}", "--out", f"{folder / 'report'}", *data]


class Table:
    """Prints measurements beside their limits, and remembers how many limits were missed."""

    def __init__(self) -> None:
        self.missed = 0
        print(
            "| case | what | measured | limit | unit | |\n| --- | --- | ---: | ---: | --- | --- |", flush=True
        )

    def add(self, case: str, what: str, measured: float, limit: float, unit: str, note: str = "") -> None:
        missed = measured > limit
        self.missed += missed
        last = "MISSED" if missed else note
        print(f"| {case} | {what} | {measured:,.2f} | {limit:,g} | {unit} | {last} |", flush=True)


def every_command(table: Table, case: str, folder: Path) -> None:
    """Gives a set to every command."""
    load = LOADS[case]
    write_raw(folder / "raw", load)
    for name, arguments in commands(folder):
        what = " ".join([name, *(each for each in arguments if each in _TOLD)])
        before = os.times()
        with (folder / "output.txt").open("w") as output:
            command = [sys.executable, "-c", _PROGRAM, name, *arguments]
            seconds, peak, _ = conversion.watch(command, 0, output)
        after = os.times()
        used = sum(after[2:4]) - sum(before[2:4])
        table.add(case, what, used, load.seconds, "s", f"clock: {seconds:,.1f} s")
        table.add(case, what, peak / 1e6, load.megabytes, "MB")
    _page(table, case, folder / "page.html")


def _page(table: Table, case: str, page: Path) -> None:
    table.add(case, "view: the page", page.stat().st_size / 1e6, PAGE_BYTES / 1e6, "MB")


def picture(table: Table, folder: Path) -> None:
    """Converts, verifies and views one large picture; memory is that above a small one."""
    for command, _, times in conversion.measure_large((9000, 12_000), folder):
        table.add("picture", command, times, conversion.LARGE_LIMIT, "times the picture")
    _page(table, "picture", folder / "large" / "page")


def million(table: Table, folder: Path) -> None:
    """Opens a set of a million images: their number, the first and the last."""
    pixel = Load(
        train=_ROWS,
        test=1,
        size=(1, 1),
        draw=lambda rng, load: np.ones((1, 1), np.uint16),
        seconds=0,
        megabytes=0,
    )
    write_raw(folder / "raw", pixel)
    arguments = next(commands(folder))[1]
    conversion.watch([sys.executable, "-c", _PROGRAM, "convert", *arguments], 0)
    made = folder / "set"
    manifest = json.loads((made / MANIFEST).read_text("utf-8"))
    file = next(name for name, entry in manifest["files"].items() if entry["split"] == "train")
    rows, count = pq.read_table(made / file), MILLION // _ROWS
    place = rows.schema.get_field_index("image_id")
    manifest["files"] = {}
    for k in range(count):
        ids = pa.array([f"train-{k * _ROWS + row:07d}" for row in range(_ROWS)])
        name = f"data/train-{k:05d}-of-{count:05d}.parquet"
        pq.write_table(
            rows.set_column(place, rows.schema.field("image_id"), ids), made / name, compression="zstd"
        )
        # The checksum is not read on opening.
        manifest["files"][name] = {"split": "train", "images": _ROWS, "instances": _ROWS, "sha256": "0" * 64}
    manifest["splits"] = {"train": {"images": count * _ROWS, "instances": count * _ROWS}}
    manifest["sources"] = {
        f"{kind}/train-{k:07d}.png": "0" * 64 for kind in ("labels", "signal") for k in range(count * _ROWS)
    }
    (made / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    command = [sys.executable, "-c", _OPEN, str(made)]
    seconds, images, first, last = subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout.split()
    assert (int(images), first, last) == (MILLION, "train-0000000", f"train-{MILLION - 1:07d}")
    table.add("million", "open, first and last image", float(seconds), OPEN_SECONDS, "s")


def runs(table: Table, folder: Path) -> None:
    """Reports thousands of runs."""
    for count in (2_000, 10_000):
        seconds = report.measure(count, folder=folder)
        table.add("runs", f"report of {count:,}", seconds, report.LIMIT * count / report.LIMIT_RUNS, "s")


OTHERS: dict[str, Callable[[Table, Path], None]] = {"picture": picture, "million": million, "runs": runs}


def main(arguments: list[str] | None = None) -> int:
    parser = harness.parser(__doc__)
    known = (*LOADS, *OTHERS)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="all by default")
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder by default")
    options = parser.parse_args(arguments)
    if unknown := set(options.cases) - set(known):
        parser.error(f"{', '.join(unknown)}: no case; there are {', '.join(known)}")
    os.environ["OMP_NUM_THREADS"] = "1"
    table = Table()
    for case in options.cases or known:
        folder = Path(tempfile.mkdtemp(dir=options.folder))
        try:
            if case in LOADS:
                every_command(table, case, folder)
            else:
                OTHERS[case](table, folder)
        finally:
            shutil.rmtree(folder)
    return int(bool(table.missed))


if __name__ == "__main__":
    sys.exit(main())
