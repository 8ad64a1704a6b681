"""Speed of commands beside each other: how much longer two take at once than one alone.

    python -m aims.benchmarks.speed.neighbours [--commands run pretrain predict evaluate]
        [--waiting ours spinning] [--repeats 3] [--scenes 40] [--epochs 4] [--folder FOLDER]

Generates a set of near-infrared pictures and trains a model on it once. Then each command is called alone,
and twice at the same time, in turns, each call in a folder of its own; the time is that of the whole command,
with its imports. `spinning` is GNU OpenMP's own way to wait, in turns with `ours` (`aims.core.processes`):
two at once take many times as long then.

Prints, per command and way to wait, the median seconds alone and of both at once, and the ratio of the two.
The exit code is 1 if a ratio of `ours` is above 2.3.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import median

from aims.reports.tables.markdown import markdown_table

from . import harness

LARGEST_RATIO = 2.3
# The second is what libgomp does unless something else is asked for.
WAITING = {"ours": {}, "spinning": {"GOMP_SPINCOUNT": "300000"}}
TRAINING = ("run", "--method", "simcmf", "--modality", "nir", "--backbone", "sam-tiny", "--trust")


def aims(*words: object, waiting: str = "ours") -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "aims", *map(str, words)],
        env={**os.environ, **WAITING[waiting]},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def finish(*processes: subprocess.Popen[bytes]) -> None:
    codes = [process.wait() for process in processes]
    if any(codes):
        raise RuntimeError(f"exit codes {codes}")


def commands(folder: Path, scenes: int, epochs: int) -> dict[str, Callable[[Path], list[object]]]:
    """Makes what the commands need, and returns the words of each for a folder that it may write to."""
    finish(aims("synth", "ivrg-nir", "--out", folder / "raw", "--scenes", scenes))
    finish(aims("convert", "ivrg-nir", "--raw", folder / "raw", "--out", folder / "data"))
    training = [*TRAINING, "--data", folder / "data"]
    finish(aims(*training, "--epochs", 1, "--runs", folder / "runs"))
    (trained,) = (folder / "runs").glob("*/")

    pictures = (folder / "data", "--split", "test")

    def evaluate(out: Path) -> list[object]:
        shutil.copytree(trained, out / trained.name)
        return ["evaluate", out / trained.name, "--data", folder / "data", "--trust"]

    return {
        "run": lambda out: [*training, "--epochs", epochs, "--runs", out],
        "pretrain": lambda out: ["pretrain", "--images", 48 * epochs, "--held-out", 8, "--out", out],
        "predict": lambda out: ["predict", trained, *pictures, "--everything", "--out", out],
        "evaluate": evaluate,
    }


def main(arguments: list[str] | None = None) -> int:
    parser = harness.parser(__doc__)
    parser.add_argument("--commands", nargs="+", default=["run", "pretrain", "predict", "evaluate"])
    parser.add_argument("--waiting", nargs="+", choices=WAITING, default=["ours"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder by default")
    options = parser.parse_args(arguments)
    rows, slow = [], False
    with tempfile.TemporaryDirectory(dir=options.folder) as made:
        words = commands(Path(made), options.scenes, options.epochs)
        for name in options.commands:
            seconds: dict[tuple[str, int], list[float]] = {}
            for _, waiting, count in product(range(options.repeats), options.waiting, (1, 2)):
                called = [words[name](Path(tempfile.mkdtemp(dir=made))) for _ in range(count)]

                def call(called: list[list[object]] = called, waiting: str = waiting) -> None:
                    finish(*[aims(*each, waiting=waiting) for each in called])

                seconds.setdefault((waiting, count), []).append(harness.clock(call)[1])
            for waiting in options.waiting:
                alone, both = (median(seconds[waiting, count]) for count in (1, 2))
                slow |= waiting == "ours" and both > LARGEST_RATIO * alone
                rows.append([name, waiting, f"{alone:.1f}", f"{both:.1f}", f"{both / alone:.2f}"])
                print(*rows[-1], file=sys.stderr)
    header = ["command", "waiting", "alone s", "two at once s", "ratio"]
    print("\n".join(markdown_table(header, rows, left=2)))
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
