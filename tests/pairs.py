"""Random pairs of commands on the same folders: python tests/pairs.py --pairs 10 --seed 0.

Two commands are drawn by the seed, the second of which begins at a random moment of the first. What they
leave must be what they leave one after the other, in one order or the other. A command may instead be refused
as another process works there: the other one then leaves what it leaves alone. Each has its own process and
the toy backbone of `toys.py`; a sweep has further processes.

A file that differs between two goes of the same commands, as it holds times, must be there and must not be
cut. Prints a line of JSON for each pair; the exit code is 1 if anything failed, and the folder is then kept.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import forked
import toys

from aims.synth.shapes import write_shapes
from helpers import file_digests

BUSY = ": another process is "
SUITE = """
title = "Try"
question = "?"
found = ""
cost = "seconds"
command = "aims sweep try.toml"
[defaults]
dataset = "shapes"
modality = "thermal"
method = "simcmf"
backbone = "sam-toy"
weights = "none"
tuning = "full"
epochs = 2
batch-size = 3
[[grid]]
seed = [0, 1]
"""
DEVICE = ("--device", "cpu")
DATA = ("--data", "data")
RUNS = ("--runs", "runs")
#: What is given to AIMS in a folder that `prepare` has filled; RUN is a finished run.
COMMANDS = {
    "sweep": ("sweep", "try.toml", *DATA, *RUNS, *DEVICE),
    "run": (
        *("run", "--method", "simcmf", "--tuning", "full", "--modality", "thermal", "--backbone", "sam-toy"),
        *("--weights", "none", "--epochs", "2", "--batch-size", "3", "--seed", "1", *DATA, *RUNS, *DEVICE),
    ),
    "report": ("report", *RUNS, *DATA, "--out", "report", "--jobs", "1"),
    "convert": ("convert", "folder", "raw/shapes.toml", "--out", "data/again"),
    "evaluate": ("evaluate", "RUN", *DATA, "--clicks", "2", "--jitter", "1", *DEVICE),
    "predict": ("predict", "RUN", "data/shapes", "--everything", "--points-per-side", "4", *DEVICE),
    "export": ("export", "data/shapes", "--format", "coco", "--out", "exported"),
    "export-model": ("export-model", "RUN", "--format", "sam", "--out", "model"),
    "verify": ("verify", "RUN", *DATA),
    "watch": ("watch", "runs", "--json"),
    "submit": ("submit", "RUN", "--to", "submissions"),
}
COMMANDS["predict"] += ("--out", "predicted")


@dataclass(frozen=True)
class State:
    """A folder after some commands: their exit codes by name, and the digests of the files."""

    codes: tuple[tuple[str, int], ...]
    files: dict[str, str]


class Pairs:
    """Pairs of commands in copies of one folder."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.rng = folder, rng
        self._seconds: dict[str, float] = {}
        self._run = self._fill(folder / "filled")

    def _fill(self, folder: Path) -> str:
        write_shapes(folder / "raw", scenes=10, size=(40, 48), seed=0)
        (folder / "try.toml").write_text(SUITE, encoding="utf-8")
        for arguments in (
            ("convert", "folder", "raw/shapes.toml", "--out", "data/shapes"),
            ("run", "--method", "disc", "--modality", "thermal", *DATA, *RUNS),
            tuple("linear" if word == "simcmf" else word for word in COMMANDS["run"]),
        ):
            os.chdir(folder)
            ended = forked.Process(arguments).wait()
            assert ended.code == 0, ended.stderr
        (run,) = folder.glob("runs/*-linear-*/")
        return str(run.relative_to(folder))

    def copy(self) -> Path:
        """Copies what every pair begins with, and goes there."""
        shutil.rmtree(self.folder / "pair", ignore_errors=True)
        shutil.copytree(self.folder / "filled", self.folder / "pair")
        os.chdir(self.folder / "pair")
        return self.folder / "pair"

    def begin(self, name: str) -> forked.Process:
        return forked.Process([self._run if word == "RUN" else word for word in COMMANDS[name]])

    def alone(self, names: Sequence[str]) -> list[State]:
        """Gives commands one after the other; returns the states after each."""
        folder, codes, states = self.copy(), [], list[State]()
        for name in names:
            ended = self.begin(name).wait()
            assert not ended.wrongs, (name, ended)
            self._seconds[name] = ended.seconds
            codes.append((name, ended.code))
            states.append(State(tuple(sorted(codes)), file_digests(folder)))
        return states

    def together(self, names: Sequence[str]) -> tuple[State, list[forked.Ended]]:
        folder = self.copy()
        first = self.begin(names[0])
        delay = self.rng.uniform(0, 0.8) * self._seconds[names[0]]
        while first.seconds < delay:
            first.drain()
            time.sleep(0.002)
        second = self.begin(names[1])
        ends = [first.wait(second.drain), second.wait()]
        codes = [(name, ended.code) for name, ended in zip(names, ends, strict=True)]
        return State(tuple(sorted(codes)), file_digests(folder)), ends

    def check(self, names: tuple[str, str]) -> tuple[list[str], list[forked.Ended]]:
        """Returns what is wrong with a pair, and how it ended."""
        twice = {names: self.twice(names)}
        found, ends = self.together(names)
        wrongs = [f"{name}: {wrong}" for name, end in zip(names, ends, strict=True) for wrong in end.wrongs]
        wrongs += [f"{path} is cut" for path in found.files if not is_whole(Path(path))]
        busy = [end.code == 2 and BUSY in end.stderr for end in ends]
        if all(busy):
            return [*wrongs, "both are refused"], ends
        lefts = []
        for order in dict.fromkeys((names, names[::-1])):
            if any(busy) and order[0] != names[busy.index(False)]:
                continue
            if order not in twice:
                twice[order] = self.twice(order)
            one, other = (states[0 if any(busy) else -1] for states in twice[order])
            # Times are in files that the same commands leave different.
            loose = set(differences(one, other))
            # Runs of a sweep come one by one, and each is reported from then on.
            if {*names} == {"sweep", "report"}:
                loose |= {path for path in found.files if path.startswith("report/")}
            lefts = [path for path in differences(found, one) if path not in loose]
            if not lefts and (any(busy) or found.codes == one.codes):
                return wrongs, ends
        return [*wrongs, f"other files than one after the other: {lefts}"], ends

    def twice(self, names: Sequence[str]) -> tuple[list[State], list[State]]:
        return self.alone(names), self.alone(names)


def differences(one: State, other: State) -> list[str]:
    """Returns the paths of files that only one has, and of those that differ."""
    paths = one.files.keys() | other.files.keys()
    return sorted(path for path in paths if one.files.get(path) != other.files.get(path))


def is_whole(file: Path) -> bool:
    """Returns whether nothing is cut off a file."""
    if file.suffix == ".json":
        json.loads(file.read_bytes())
    return file.suffix != ".html" or file.read_text("utf-8").rstrip().endswith("</html>")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to work; the folder of temporary files by default")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="pairs-", dir=options.folder)).resolve()
    toys.install(folder / "site")
    # Workers of a sweep are no forks.
    here = os.pathsep.join([str(folder / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    os.environ |= {"AIMS_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1", "PYTHONPATH": here}
    forked.prepare()
    rng = random.Random(options.seed)
    pairs, failed = Pairs(folder, rng), 0
    for _ in range(options.pairs):
        names = (rng.choice([*COMMANDS]), rng.choice([*COMMANDS]))
        wrongs, ends = pairs.check(names)
        failed += bool(wrongs)
        said = [[end.code, end.stdout, end.stderr] for end in ends] if wrongs else []
        print(json.dumps({"pair": names, "wrongs": wrongs, "said": said}), flush=True)
    if not failed:
        shutil.rmtree(folder)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
