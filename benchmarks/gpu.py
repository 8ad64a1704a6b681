"""Runs tests, speed measurements and a pretraining on a GPU within a time limit.

    python -m aims.benchmarks.gpu --out DIR [--seconds 540] [--stages tests,engine,loading,world,pretrain]
        [--device cuda] [--resume DIR] [--hours 0.5]

For a GPU that is available for a short time. Every stage is a process with its share of the time; what it
does not use is divided among the next ones. A stage that fails, hangs or is slow never stops the next, and
every result is on disk at once. `--device cpu --seconds 120` rehearses it without a GPU. Run it in a source
tree, where the tests are.

tests: `pytest -m gpu tests/gpu`. engine: `aims.benchmarks.speed.card`. loading, world: `speed.loading` and
`speed.scenes` on the device. pretrain: `aims pretrain`, which goes on from what `--resume` (or DIR) holds.

DIR holds results.json and results.md (date, card, versions; of each stage its status, seconds and last
lines), log.txt, engine.json, and pretrain.tar.0, .1, ...: at most 8 files of less than 16 MB, 64 MB in all.
Ends with exit code 1 if a stage failed, 2 if it could not begin.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from aims.core.files import write_json, write_text
from aims.version import __version__

from . import gpu_pretrain

ENGINE = "engine.json"
#: Maximum bytes of each stage's output in log.txt, and number of its last lines in the results.
_LOG_BYTES, _TAIL = 1_500_000, 60
# A stage gets SIGTERM this many seconds before its limit, or this fraction of the limit if that is less.
_GRACE_SECONDS, _GRACE_SHARE = 5.0, 0.1
# Time reserved for packing the pretraining's state: seconds, or a fraction of the whole if that is less.
_PACKING_SECONDS, _PACKING_SHARE = 15.0, 0.05
_OUTCOME = re.compile(r"\b(PASSED|FAILED|ERROR|SKIPPED)\b")


@dataclass(frozen=True)
class Stage:
    """One child process.

    Attributes:
        name: name of the stage.
        share: weight of the stage when the remaining time is divided among the remaining stages.
        command: makes the command line from the seconds that the stage has.
        environment: variables added to the environment.
    """

    name: str
    share: float
    command: Callable[[float], Sequence[str]]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass
class StageResult:
    """The result of a stage; `run_stage` fills it."""

    name: str
    status: str
    limit: float
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    tail: list[str] = field(default_factory=list)


class Record:
    """The results of all stages, written to disk after every change."""

    def __init__(self, out: Path, about: dict[str, Any]) -> None:
        self.out, self.about = out, about
        self.results: list[StageResult] = []
        self.notes: list[str] = []

    def write(self) -> None:
        """Writes results.json and results.md."""
        content = self.about | {"stages": [asdict(result) for result in self.results], "notes": self.notes}
        write_json(self.out / "results.json", content)
        lines = ["# A card at hand", ""]
        lines += [f"- {name}: {value}" for name, value in self.about.items()]
        lines += [f"- {note}" for note in self.notes]
        lines += ["", "| stage | status | seconds | limit | tests |", "| --- | --- | ---: | ---: | --- |"]
        for result in self.results:
            counts = ", ".join(f"{count} {name}" for name, count in result.counts.items())
            row = (result.name, result.status, f"{result.seconds:.1f}", f"{result.limit:.1f}", counts)
            lines.append(f"| {' | '.join(row)} |")
        for result in self.results:
            lines += ["", f"## {result.name}", "", "```", *result.tail, "```"]
        write_text(self.out / "results.md", "\n".join(lines) + "\n")


def run_stages(stages: Sequence[Stage], record: Record, seconds: float) -> None:
    """Runs stages one after the other within a time limit.

    Args:
        stages: the stages, in order.
        record: gets the results.
        seconds: time for all of them; what a stage does not use is divided among the next ones.
    """
    end = time.monotonic() + seconds
    for place, stage in enumerate(stages):
        left = max(0.0, end - time.monotonic())
        limit = left * stage.share / sum(other.share for other in stages[place:])
        result = StageResult(stage.name, "running", limit)
        record.results.append(result)
        record.write()
        try:
            run_stage(stage, result, record.out / "log.txt")
        except KeyboardInterrupt:
            result.status = "interrupted"
            raise
        except OSError as error:
            result.status = f"failed: {error}"
        finally:
            record.write()


def run_stage(stage: Stage, result: StageResult, log: Path) -> None:
    """Runs one stage to its end or its limit, and kills all that is left of its process group.

    Args:
        stage: what to run.
        result: gets status ("passed", "failed: exit code N", "stopped at its limit"), seconds, last lines,
            and the number of tests by pytest's outcome.
        log: file to which the output is appended.
    """
    began = time.monotonic()
    grace = min(_GRACE_SECONDS, _GRACE_SHARE * result.limit)
    with log.open("ab") as output:
        output.write(f"==== {stage.name} ====\n".encode())
        output.flush()
        first = output.tell()
        child = subprocess.Popen(
            stage.command(result.limit - grace),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **stage.environment},
            # A process group of its own, so that its child processes can be killed with it.
            start_new_session=True,
        )
    try:
        _wait(child, result, began, grace)
    finally:
        _signal(child, signal.SIGKILL)
        child.wait()
        result.seconds = time.monotonic() - began
        _read(log, first, result)


def _wait(child: subprocess.Popen[bytes], result: StageResult, began: float, grace: float) -> None:
    try:
        code = child.wait(timeout=max(0.0, result.limit - grace))
        result.status = "passed" if code == 0 else f"failed: exit code {code}"
    except subprocess.TimeoutExpired:
        result.status = "stopped at its limit"
        _signal(child, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=max(0.0, began + result.limit - time.monotonic()))


def _signal(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # The call raises if every process of the group has ended already.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


def _read(log: Path, first: int, result: StageResult) -> None:
    """Reads a stage's output, which starts at byte `first` of the log, and truncates it to `_LOG_BYTES`."""
    with log.open("r+b") as file:
        file.seek(first)
        lines = [line.decode("utf-8", "replace").rstrip()[:400] for line in file]
        if file.tell() > first + _LOG_BYTES:
            file.truncate(first + _LOG_BYTES)
    outcomes = [_OUTCOME.search(line) for line in lines if "::" in line]
    result.counts = dict(Counter(outcome[1].lower() for outcome in outcomes if outcome))
    result.tail = lines[-_TAIL:]


def stages_of(options: argparse.Namespace, pretraining: Path) -> list[Stage]:
    """Makes the stages selected by `--stages`.

    Args:
        options: options of the command line.
        pretraining: output folder of `aims pretrain`.
    """
    python, device, cpu = sys.executable, options.device, options.device == "cpu"
    speed = (python, "-m", "aims.benchmarks.speed")
    parallel = ("-n", "6") if importlib.util.find_spec("xdist") and not cpu else ()
    tests = ("-m", "pytest", "-m", "gpu", "tests/gpu", "-v", "--tb=short", "-p", "no:cacheprovider")
    known = {
        "tests": Stage(
            "tests",
            0.30,
            # Overrides the project's setting that warnings are errors: versions on the card may be newer.
            lambda _: (python, *tests, "-W", "default", *parallel),
            {"AIMS_GPU_TESTS_DEVICE": device, "AIMS_GPU_TESTS_AT_ONCE": "1"},
        ),
        "engine": Stage(
            "engine",
            0.30,
            lambda seconds: (
                *speed[:2],
                f"{speed[2]}.card",
                *("--device", device, "--seconds", f"{seconds:.0f}", "--out", str(options.out / ENGINE)),
            ),
        ),
        "loading": Stage(
            "loading",
            0.08,
            lambda _: (
                *speed[:2],
                f"{speed[2]}.loading",
                *("--images", "24" if cpu else "96", "--size", "240x320" if cpu else "480x640"),
                *("--workers", "0" if cpu else "8", "--device", device),
            ),
        ),
        "world": Stage(
            "world",
            0.07,
            lambda _: (
                *speed[:2],
                f"{speed[2]}.scenes",
                *("--device", device, "--size", "64x64" if cpu else "128x128"),
                *("--batch", "8" if cpu else "256", "--repeats", "2" if cpu else "5"),
            ),
        ),
        "pretrain": Stage(
            "pretrain",
            0.25,
            lambda seconds: (
                *(python, "-m", "aims.benchmarks.gpu_pretrain", "--folder", str(pretraining)),
                *("--device", device, "--seconds", f"{seconds:.0f}", "--hours", str(options.hours)),
            ),
        ),
    }
    return [known[name] for name in options.stages]


STAGES = ("tests", "engine", "loading", "world", "pretrain")


def about(device: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Collects date, card, driver and versions, by the names that the results show."""
    # Imported here: it takes a second, and this process computes nothing.
    import torch

    from aims.engine.machine import commit, hardware

    fields = "name,driver_version,memory.total"
    card = _output("nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader") if device != "cpu" else ""
    machine = hardware(torch.device("cpu"))
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device,
        "card, driver, memory": card or "none",
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "none",
        "python": platform.python_version(),
        "processor": f"{machine.name}, {machine.cpus} cores",
        "aims": __version__,
        "commit": commit() or "unknown",
        "command": " ".join(["python -m aims.benchmarks.gpu", *arguments]),
    }


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return " / ".join(done.stdout.strip().splitlines())


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _stage_names(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in STAGES:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(STAGES)}")
    return names


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=540.0)
    parser.add_argument("--stages", type=_stage_names, default=list(STAGES))
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--resume", type=Path, help="a folder that a call has left; DIR by default")
    parser.add_argument("--hours", type=float, default=0.5, help="of the whole pretraining, all calls")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "log.txt").unlink(missing_ok=True)
    (options.out / ENGINE).unlink(missing_ok=True)
    before = signal.signal(signal.SIGTERM, _interrupt)
    record = Record(options.out, about(options.device, sys.argv[1:] if arguments is None else arguments))
    record.write()
    work = Path(tempfile.mkdtemp(prefix="aims-gpu-"))
    pretraining = work / "pretraining"
    try:
        if "pretrain" in options.stages:
            record.notes.append(gpu_pretrain.unpack(options.resume or options.out, pretraining))
        packing = min(_PACKING_SECONDS, _PACKING_SHARE * options.seconds)
        left = options.seconds - packing - (time.monotonic() - began)
        run_stages(stages_of(options, pretraining), record, left)
    except KeyboardInterrupt:
        record.notes.append("interrupted")
    finally:
        if "pretrain" in options.stages:
            record.notes.append(gpu_pretrain.pack(pretraining, options.out))
        record.about["seconds"] = round(time.monotonic() - began, 1)
        record.write()
        shutil.rmtree(work, ignore_errors=True)
        signal.signal(signal.SIGTERM, before)
    print((options.out / "results.md").read_text("utf-8"))
    done = [result.status for result in record.results]
    return int(done != ["passed"] * len(options.stages))


if __name__ == "__main__":
    sys.exit(main())
