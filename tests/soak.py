"""Random commands, kills, full disks and damaged files: python tests/soak.py --minutes 30 --seed 0.

Commands are drawn by the seed and given to AIMS as on the command line, each in a process of its own (forked,
as importing torch takes longer than they do; the backbone is the toy of `toys.py`). About half of them are
sent a signal at some moment, may not write files above a random size, which fails as a full disk does, or
meet a copy of a dataset, a run or a submission in which a file is damaged. After each command:

- the exit code is a documented one, and that of the signal where one was sent; never 70, a fault of AIMS;
- no traceback is printed, and a refusal is one line;
- whatever was finished before has the same bytes as then;
- no process is left behind;
- an interrupted command succeeds when it is given again, and a dataset then has the bytes of an unbroken one.

Where `--folder` lies on a file system of less than 1 GB, as of `mount -t tmpfs -o size=200m`, it is also
filled up for single commands. Prints a table of the commands by what befell them and how they ended; the
exit code is 1 if anything failed, and the folder is then kept, with what each failed command printed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import forked

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: Files that a later command may write again.
_REWRITTEN = ("prompts.parquet", "prompts.json", "everything.json", "everything.parquet")
_SMALL_DISK = 1 << 30
_KEPT = 6


@dataclass
class Soak:
    """One soak: its folder, what is finished in it, and what was found."""

    folder: Path
    rng: random.Random
    finished: dict[Path, dict[str, str]] = field(default_factory=dict)
    reference: dict[str, dict[str, str]] = field(default_factory=dict)
    ends: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def path(self, *parts: str) -> str:
        return str(self.folder.joinpath(*parts))

    def kept(self, folder: str) -> list[Path]:
        return [path for path in self.finished if path.parent == self.folder / folder]


def digests(path: Path) -> dict[str, str]:
    """Returns the SHA-256 of a file, or of the files below a folder that no later command writes."""
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    return {
        str(each.relative_to(path)): hashlib.sha256(each.read_bytes()).hexdigest()
        for each in files
        if each.name not in _REWRITTEN and not each.name.startswith(".")
    }


def execute(
    arguments: list[str], *, signal_after: tuple[int, float] | None = None, size: int | None = None
) -> forked.Ended:
    """Gives arguments to AIMS in a forked process.

    Args:
        arguments: of the command line.
        signal_after: a signal, and the seconds after which it is sent.
        size: bytes that a file may have.
    """
    command, due = forked.Process(arguments, size), [signal_after] if signal_after else []

    def interrupt() -> None:
        if due and command.seconds >= due[0][1]:
            command.send(due.pop()[0])

    return command.wait(interrupt)


@dataclass(frozen=True)
class Command:
    """A command of the soak.

    Attributes:
        arguments: of the command line.
        result: a folder or file that is finished once the command has ended with 0.
        codes: exit codes with which it may end where nothing befalls it.
        same: name of the unbroken result that has the same bytes, if any.
    """

    arguments: list[str]
    result: Path | None = None
    codes: tuple[int, ...] = (0,)
    same: str = ""

    @property
    def name(self) -> str:
        return self.arguments[0]


def draw(soak: Soak) -> Command:
    """Draws a command that the state of the soak allows."""
    makers = [convert, convert, wrong]
    if soak.kept("data"):
        makers += [train, train, floor, verify, look, inspect, audit, export]
    if soak.kept("runs"):
        makers += [train, evaluate, predict, submit, verify_run, report, compare, export_model, watch]
    if soak.kept("submissions"):
        makers += [verify_submission]
    return soak.rng.choice(makers)(soak)


def convert(soak: Soak) -> Command:
    rgb = soak.rng.random() < 0.3
    name = f"{'rgb' if rgb else 'grey'}-{soak.rng.randrange(4)}"
    jobs = ["--jobs", "2"] if soak.rng.random() < 0.15 else []
    raw = soak.path("raw-rgb" if rgb else "raw", "shapes.toml")
    return Command(
        ["convert", "folder", raw, "--out", soak.path("data", name), *jobs],
        soak.folder / "data" / name,
        same="rgb" if rgb else "grey",
    )


def _run(soak: Soak, method: list[str]) -> Command:
    data = str(soak.rng.choice(soak.kept("data")))
    seed = str(soak.rng.randrange(3))
    options = ["--data", data, "--modality", "thermal", "--runs", soak.path("runs"), "--device", "cpu"]
    return Command(["run", *method, *options, "--seed", seed], soak.folder / "runs")


def train(soak: Soak) -> Command:
    method = soak.rng.choice(("simcmf", "linear", "scratch"))
    epochs = str(soak.rng.randint(1, 3))
    every = ["--checkpoint-every", "2"] if soak.rng.random() < 0.5 else []
    options = ["--backbone", "sam-toy", "--weights", "none", "--epochs", epochs, *every]
    return _run(soak, ["--method", method, *options])


def floor(soak: Soak) -> Command:
    return _run(soak, ["--method", soak.rng.choice(("disc", "oracle-disc"))])


def verify(soak: Soak) -> Command:
    return Command(["verify", str(soak.rng.choice(soak.kept("data")))])


def look(soak: Soak) -> Command:
    data = str(soak.rng.choice(soak.kept("data")))
    return Command(["view", data, "--out", soak.path("page.html"), "--overwrite"])


def inspect(soak: Soak) -> Command:
    return Command(["inspect", str(soak.rng.choice(soak.kept("data"))), "--all"])


def audit(soak: Soak) -> Command:
    return Command(["audit", str(soak.rng.choice(soak.kept("data")))])


def export(soak: Soak) -> Command:
    kind = soak.rng.choice(("coco", "folder"))
    shutil.rmtree(soak.folder / "exported", ignore_errors=True)
    data = str(soak.rng.choice(soak.kept("data")))
    return Command(["export", data, "--format", kind, "--out", soak.path("exported")])


def _some_run(soak: Soak) -> str:
    return str(soak.rng.choice(soak.kept("runs")))


def evaluate(soak: Soak) -> Command:
    # A floor has no model.
    options = ["--data", soak.path("data"), "--clicks", "2", "--jitter", "1", "--device", "cpu"]
    everything = ["--everything"] if soak.rng.random() < 0.2 else []
    return Command(["evaluate", _some_run(soak), *options, *everything], codes=(0, 2))


def predict(soak: Soak) -> Command:
    data = str(soak.rng.choice(soak.kept("data")))
    options = ["--everything", "--points-per-side", "4", "--device", "cpu", "--overwrite"]
    return Command(
        ["predict", _some_run(soak), data, *options, "--out", soak.path("predicted")], codes=(0, 2)
    )


def submit(soak: Soak) -> Command:
    run = _some_run(soak)
    return Command(["submit", run, "--to", soak.path("submissions")], soak.folder / "submissions")


def verify_run(soak: Soak) -> Command:
    return Command(["verify", _some_run(soak), "--data", soak.path("data")])


def verify_submission(soak: Soak) -> Command:
    submission = str(soak.rng.choice(soak.kept("submissions")))
    shutil.rmtree(soak.folder / "added", ignore_errors=True)
    return Command(["verify", submission, "--data", soak.path("data"), "--into", soak.path("added")])


def report(soak: Soak) -> Command:
    options = ["--data", soak.path("data"), "--jobs", "1"]
    return Command(["report", "--runs", soak.path("runs"), "--out", soak.path("report"), *options])


def compare(soak: Soak) -> Command:
    # Runs on the same dataset under another name have scored the same; a run beside itself is refused.
    options = ["--data", soak.path("data"), "--out", soak.path("comparison.png")]
    return Command(["compare", _some_run(soak), _some_run(soak), *options], codes=(0, 2))


def export_model(soak: Soak) -> Command:
    shutil.rmtree(soak.folder / "model", ignore_errors=True)
    return Command(
        ["export-model", _some_run(soak), "--format", "sam", "--out", soak.path("model")], codes=(0, 2)
    )


def watch(soak: Soak) -> Command:
    return Command(["watch", soak.path("runs"), "--json"])


def wrong(soak: Soak) -> Command:
    nowhere = soak.path("nowhere")
    wrongs = (
        ["verify", nowhere],
        ["inspect", nowhere],
        ["view", soak.path("raw"), "--out", soak.path("page.html"), "--overwrite"],
        ["run", "--method", "simcnf", "--modality", "thermal", "--data", soak.path("data")],
        ["run", "--method", "disc", "--modality", "sonar", "--data", nowhere],
        ["convert", "folder", nowhere, "--out", soak.path("data", "never")],
        ["convert", "foldr", nowhere],
        ["submit", nowhere],
        ["report", "--runs", nowhere, "--out", soak.path("report")],
        ["evaluate", soak.path("raw")],
        ["list", "--nonsense"],
    )
    return Command(soak.rng.choice(wrongs), codes=(2,))


def damage(soak: Soak) -> tuple[Command, str] | None:
    """Copies something finished, damages one of its files, and draws a command that meets it."""
    rng, kinds = soak.rng, [name for name in ("data", "runs", "submissions") if soak.kept(name)]
    if not kinds:
        return None
    kind = rng.choice(kinds)
    source = rng.choice(soak.kept(kind))
    shutil.rmtree(soak.folder / "damaged", ignore_errors=True)
    copy = soak.folder / "damaged" / source.name
    copy.parent.mkdir()
    (shutil.copy if source.is_file() else shutil.copytree)(source, copy)
    file = copy if copy.is_file() else rng.choice(sorted(p for p in copy.rglob("*") if p.is_file()))
    how = _spoil(rng, file)
    out = soak.path("damaged-out")
    shutil.rmtree(out, ignore_errors=True)
    text, data, alone = str(copy), soak.path("data"), str(copy.parent)
    options = {
        "data": [
            ["verify", text],
            ["inspect", text],
            ["view", text, "--out", f"{out}/page.html"],
            ["audit", text],
            ["export", text, "--format", "coco", "--out", out],
            ["export", text, "--format", "folder", "--out", out],
            ["run", "--method", "disc", "--modality", "thermal", "--data", text, "--runs", out],
            ["run", "--method", "disc", "--modality", "thermal", "--data", text, "--runs", out, "--trust"],
            ["convert", "folder", soak.path("raw", "shapes.toml"), "--out", text],
        ],
        "runs": [
            ["verify", text, "--data", data],
            ["evaluate", text, "--data", data, "--clicks", "2", "--jitter", "1"],
            ["report", "--runs", alone, "--out", out, "--data", data],
            ["submit", text, "--to", out],
            ["watch", alone, "--json"],
            ["compare", text, _some_run(soak) if soak.kept("runs") else text, "--out", f"{out}.png"],
            ["export-model", text, "--format", "sam", "--out", out],
        ],
        "submissions": [["verify", text, "--data", data, "--into", out]],
    }
    where = "" if copy.is_file() else f" {file.relative_to(copy)}"
    return Command(rng.choice(options[kind]), codes=(0, 1, 2)), f"{source.name}{where}: {how}"


def _spoil(rng: random.Random, file: Path) -> str:
    """Damages a file and says how."""
    content = bytearray(file.read_bytes())
    how = rng.choice(("cut", "flipped", "flipped", "emptied", "gone", "zeros", "grown", "folder", "swapped"))
    if how == "cut":
        content = content[: rng.randrange(len(content) + 1)]
    elif how == "flipped":
        for _ in range(rng.choice((1, 4, 30))):
            if content:
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif how == "emptied":
        content = bytearray()
    elif how == "zeros" and content:
        start = rng.randrange(len(content))
        content[start : start + 512] = bytes(len(content[start : start + 512]))
    elif how == "grown":
        content += rng.randbytes(100)
    elif how == "swapped" and len(content) > 20:
        # A number or a letter for another: still JSON, mostly.
        places = [k for k, byte in enumerate(content[:5000]) if chr(byte).isalnum()]
        if places:
            content[rng.choice(places)] = rng.choice(b"0123456789-eanfl")
    if how in ("gone", "folder"):
        file.unlink()
        if how == "folder":
            file.mkdir()
    else:
        file.write_bytes(content)
    return how


@contextmanager
def full(folder: Path, rng: random.Random) -> Iterator[None]:
    """Fills a small file system up to a random rest."""
    stat = os.statvfs(folder)
    free = stat.f_bavail * stat.f_frsize
    filler = folder / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free - rng.randrange(0, 1 << rng.randint(10, 20))))
    try:
        yield
    finally:
        filler.unlink()


def step(soak: Soak) -> None:
    """Draws a command and what befalls it, and checks how it ends."""
    rng = soak.rng
    fate = rng.choices(("nothing", "signal", "full", "damage"), (4, 3, 2, 3))[0]
    damaged = damage(soak) if fate == "damage" else None
    if damaged is not None:
        command, how = damaged
        ended = execute(command.arguments)
        note(soak, command, "damage", ended, forked.DOCUMENTED[:3], how)
        return
    command = draw(soak)
    if fate == "signal":
        number = rng.choice(SIGNALS)
        longest = soak.seconds.get(command.name, 2.0)
        ended = execute(command.arguments, signal_after=(number, rng.uniform(0, 1.1) * longest))
        # Before AIMS listens, and in commands that save nothing, a signal ends the process by itself.
        codes = (*command.codes, 130, 128 + number)
        note(soak, command, signal.Signals(number).name, ended, codes)
        again(soak, command)
    elif fate == "full":
        if rng.random() < 0.5 and _is_small(soak.folder):
            with full(soak.folder, rng):
                ended = execute(command.arguments)
        else:
            ended = execute(command.arguments, size=rng.randrange(0, 1 << rng.randint(8, 20)))
        note(soak, command, "full disk", ended, (*command.codes, 1))
        again(soak, command)
    else:
        ended = execute(command.arguments)
        soak.seconds[command.name] = ended.seconds
        note(soak, command, "nothing", ended, command.codes)
        _register(soak, command)


def again(soak: Soak, command: Command) -> None:
    """Gives an interrupted command again, which must succeed."""
    # These commands refuse what is there already, as where the signal came too late.
    for name in ("exported", "added", "model"):
        shutil.rmtree(soak.folder / name, ignore_errors=True)
    ended = execute(command.arguments)
    note(soak, command, "again", ended, command.codes)
    _register(soak, command)


def _is_small(folder: Path) -> bool:
    stat = os.statvfs(folder)
    return stat.f_blocks * stat.f_frsize < _SMALL_DISK


def note(
    soak: Soak, command: Command, fate: str, ended: forked.Ended, codes: tuple[int, ...], how: str = ""
) -> None:
    """Counts how a command ended, and keeps what is wrong with it."""
    soak.ends[command.name, fate, ended.code] += 1
    wrongs = ended.wrongs
    if ended.code not in codes:
        wrongs.append(f"exit code {ended.code}, not one of {codes}")
    for path, before in [*soak.finished.items()]:
        after = digests(path) if path.exists() else {}
        lost = [name for name, digest in before.items() if after.get(name) != digest]
        if lost:
            wrongs.append(f"{path.relative_to(soak.folder)} has lost {', '.join(lost[:3])}")
            del soak.finished[path]
    if wrongs:
        number = len(soak.failures)
        what = f"{number}: {' '.join(command.arguments)} ({fate}{how and ', ' + how}): {'; '.join(wrongs)}"
        soak.failures.append(what)
        (soak.folder / f"failure-{number}.txt").write_text(f"{what}\n{ended.stdout}\n{ended.stderr}")
        kept = soak.folder / "damaged"
        if fate == "damage" and kept.exists():
            shutil.copytree(kept, soak.folder / f"failure-{number}")
        print(what, *ended.stderr.splitlines()[-3:], sep="\n  ", flush=True)


def _register(soak: Soak, command: Command) -> None:
    """Adds what a command has finished, and removes the oldest of too many."""
    if command.result is None or not command.result.exists():
        return
    own = command.name == "convert"
    for path in [command.result] if own else sorted(command.result.iterdir()):
        if path not in soak.finished and not path.name.startswith(".") and _is_finished(path):
            soak.finished[path] = digests(path)
    if own and command.result in soak.finished:
        found = soak.finished[command.result]
        if soak.reference.setdefault(command.same, found) != found:
            soak.failures.append(f"{command.result} has other bytes than an unbroken conversion")
    kept = [path for path in soak.finished if path.parent == command.result.parent / command.result.name]
    for path in ([command.result] if own and soak.rng.random() < 0.3 else []) + kept[:-_KEPT]:
        soak.finished.pop(path, None)
        # A run that is made again has other times, and so has its submission.
        submission = soak.folder / "submissions" / f"{path.name}.aims.zip"
        soak.finished.pop(submission, None)
        submission.unlink(missing_ok=True)
        (shutil.rmtree if path.is_dir() else os.unlink)(path)


def _is_finished(path: Path) -> bool:
    record = path / "run.json"
    return '"status": "finished"' in record.read_text() if record.is_file() else path.suffix != ".partial"


def table(ends: Counter[tuple[str, str, int]]) -> Iterator[str]:
    """Yields a Markdown table: commands by what befell them, with the exit codes."""
    fates = ("nothing", "damage", "full disk", *dict.fromkeys(s.name for s in SIGNALS), "again")
    yield f"| command | {' | '.join(fates)} |"
    yield f"| --- |{' ---: |' * len(fates)}"
    for name in sorted({name for name, _, _ in ends}):
        cells = []
        for fate in fates:
            codes = sorted((code, n) for (each, at, code), n in ends.items() if (each, at) == (name, fate))
            cells.append(", ".join(f"{n} x {code}" for code, n in codes))
        yield f"| {name} | {' | '.join(cells)} |"


def prepare(soak: Soak) -> None:
    """Writes the raw folders, and imports what every command would import."""
    from aims.synth.shapes import write_shapes

    forked.prepare()
    write_shapes(soak.folder / "raw", scenes=150, size=(40, 48), seed=0)
    write_shapes(soak.folder / "raw-rgb", scenes=12, size=(40, 48), seed=1, rgb=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to work; the folder of temporary files by default")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="soak-", dir=options.folder))
    os.environ |= {"AIMS_CACHE": str(folder / "cache"), "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
    soak = Soak(folder, random.Random(options.seed))
    prepare(soak)
    end = time.monotonic() + 60 * options.minutes
    while time.monotonic() < end:
        step(soak)
    print(*table(soak.ends), sep="\n")
    count = soak.ends.total()
    print(
        f"{count:,} commands in {options.minutes:g} minutes, seed {options.seed}: {len(soak.failures)} failed"
    )
    if not soak.failures:
        shutil.rmtree(folder)
    return int(bool(soak.failures))


if __name__ == "__main__":
    sys.exit(main())
