"""Names that terminals, browsers and LaTeX would obey, other encodings, readers that go away, full disks."""

from __future__ import annotations

import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import toys  # noqa: F401  (registers sam-toy)

from aims.cli import COMMANDS, main
from aims.core.schema import StreamSpec
from aims.core.texts import escape_markdown, markdown_code, printable
from aims.data.push import parcel_of
from aims.data.write import convert
from aims.synth.datasets import LAYOUTS
from aims.synth.shapes import write_shapes
from helpers import MadeUp

HOSTILE = "<img src=x onerror=alert(1)>\x1b[2J\u202e\\input{x}|`$%é≥叶\n# X"
RAW = re.compile("[\x1b\u202e]")


@dataclass(frozen=True, kw_only=True)
class Hostile(MadeUp):
    """A set whose every name is made to do harm."""

    def spec(self):
        return replace(
            super().spec(),
            name="hostile",
            classes=(f"1{HOSTILE}", f"2{HOSTILE}"),
            license=f"CC0 {HOSTILE}",
            citation=HOSTILE,
            url=HOSTILE,
            streams={"signal": StreamSpec(channels=2, unit=HOSTILE, missing=0.0)},
        )

    def warnings(self):
        return [HOSTILE]

    def splits(self):
        return {name: [f"{each}{HOSTILE}" for each in ids] for name, ids in super().splits().items()}

    def read(self, split, image_id):
        sample = super().read(split, image_id[:4])
        return replace(sample, image_id=image_id, group=f"{HOSTILE}{sample.group}", dropped=(HOSTILE,))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    root = tmp_path_factory.mktemp("hostile")
    (root / "raw").mkdir()
    convert(Hostile(raw=root / "raw", images=6, size=(40, 52), rgb=True), root / "data" / "hostile")
    return root


def written(arguments, encoding, monkeypatch):
    """Runs a command line on streams of an encoding; returns exit code and both streams as text."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in arguments])
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode(encoding))
    return ended.value.code or 0, *texts


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_every_command_writes_hostile_names_in_every_encoding(hostile, tmp_path, monkeypatch, encoding):
    data, runs = hostile / "data", tmp_path / "runs"
    options = ("--data", data, "--runs", runs, "--modality", "signal")

    def call(*arguments):
        code, out, err = written(arguments, encoding, monkeypatch)
        assert code == 0, (arguments, err)
        assert not RAW.search(out + err), arguments
        return out

    for method in (("scratch", "--backbone", "sam-toy", "--epochs", 1), ("disc",)):
        call("run", *options, "--method", *method)
    scratch, disc = (next(runs.glob(f"[!.]*-{name}-*")) for name in ("scratch", "disc"))
    for line in (
        ("list", "datasets", "--data", data),
        ("verify", data / "hostile"),
        ("inspect", data / "hostile", "--all"),
        ("view", data / "hostile", "--out", tmp_path / "view.html"),
        ("audit", data / "hostile"),
        ("export", data / "hostile", "--format", "coco", "--out", tmp_path / "coco"),
        ("evaluate", scratch, "--data", data, "--clicks", 1, "--jitter", 0),
        ("submit", disc, "--to", tmp_path),
        ("watch", runs, "--once"),
        ("export-model", scratch, "--out", tmp_path / "model"),
        ("report", "--runs", runs, "--data", data, "--out", tmp_path / "report"),
    ):
        call(*line)
    dataset = json.loads(call("inspect", data / "hostile", "--json"))
    assert dataset["dataset"]["license"] == f"CC0 {HOSTILE}"
    shown = call("inspect", data / "hostile")
    assert "\\u001b[2J\\u202e" in shown
    if encoding != "utf-8":
        return
    cards = [path.read_text("utf-8") for path in tmp_path.rglob("*.md")]
    cards += [(data / "hostile" / "README.md").read_text("utf-8"), parcel_of(disc).texts["README.md"]]
    pages = [path.read_text("utf-8") for path in tmp_path.rglob("*.html")]
    tables = [path.read_text("utf-8") for path in tmp_path.rglob("*.tex")]
    assert len(cards) > 4
    assert len(pages) == 2
    assert tables
    for text in cards + pages + tables:
        assert not RAW.search(text)
        assert "<img src=x" not in text
    assert all("\n# X" not in text for text in cards + tables)
    assert all("\\input{x}" not in text for text in tables)


def test_the_escapes():
    assert printable("a\tb\nc\rd\x7f\u2066\udcff") == "a\tb\nc\\u000dd\\u007f\\u2066\\udcff"
    assert json.loads(f'"{printable(chr(0x202E))}"') == "\u202e"
    assert escape_markdown("<b>\n\n# x | `y` \u202e") == r"&lt;b&gt; \# x \| \`y\` \\u202e"
    assert markdown_code("a") == "`a`"
    assert markdown_code("a``b|\nc") == r"``` a``b\| c ```"


def bash(script, **environment):
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", script.replace("aims ", f"{sys.executable} -m aims ")],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        env={**os.environ, "PYTHONUNBUFFERED": "", **environment},
    )


def test_a_reader_that_goes_away_is_no_error(hostile):
    data = hostile / "data/hostile"
    for line in (f"aims inspect {data} --all", f"aims inspect {data} --json", "aims --help"):
        # The reader is gone before anything is written, and after the first line.
        for reader in ("true", "head -1 > /dev/null"):
            done = bash(f"{line} | {reader}")
            assert (done.returncode, done.stderr) == (0, ""), (line, reader)
    done = bash(f"aims verify {data} 2>&1 >/dev/null | true")
    assert done.returncode == 0


def test_a_full_disk_behind_the_output_has_a_name(hostile):
    for line in (f"aims inspect {hostile / 'data/hostile'}", "aims list datasets"):
        done = bash(f"{line} > /dev/full")
        assert done.returncode == 1
        assert done.stderr.startswith("error: standard output: No space left on device; make room")
        assert done.stderr.count("\n") == 1


def test_names_of_other_encodings(hostile, tmp_path):
    old = tmp_path / os.fsdecode(b"caf\xe9")
    old.mkdir()
    for line in (f"aims inspect '{old}'", f"cd '{old}' && aims inspect '{hostile / 'data/hostile'}'"):
        for environment in (
            {},
            {"LC_ALL": "C"},
            {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        ):
            done = bash(line, **environment)
            assert "Traceback" not in done.stderr
            if line.startswith("cd"):
                assert done.returncode == 0, done.stderr
                assert [each[:9] for each in done.stderr.splitlines()] == ["warning: "] * len(
                    done.stderr.splitlines()
                )
            else:
                assert done.returncode == 2
                assert re.fullmatch(
                    r"error: .*caf\\udce9: not valid [\w-]+ text; rename it, .*\n", done.stderr
                ), done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_an_argument_that_is_no_text_is_refused_by_every_command(aims, command):
    code, out, err = aims(command, os.fsdecode(b"caf\xe9"))
    assert (code, out) == (2, "")
    assert err.startswith("error: caf\\udce9: not valid utf-8 text; rename it")


def test_a_dataset_and_a_run_whose_folders_are_no_text(aims, hostile, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ("run", "--data", "data", "--method", "disc", "--modality", "signal")
    Path("data").mkdir()
    place = Path("data") / os.fsdecode(b"caf\xe9")
    convert(MadeUp(raw=tmp_path, images=6), Path("data/made-up"))
    assert aims(*options)[0] == 0
    (run,) = Path("runs").glob("made*")
    run.rename(run.with_name(os.fsdecode(b"r\xe9")))
    assert aims("watch", "runs", "--json")[0] == 0
    code, _, err = aims("report", "--out", "report")
    assert code == 0
    assert "its name is not valid utf-8 text; rename it" in Path("report/index.html").read_text("utf-8")
    Path("data/made-up").rename(place)
    code, _, err = aims(*options)
    assert code == 2
    assert err == "error: data/caf\\udce9/aims.json: its name is not valid utf-8 text; rename it\n"


@pytest.fixture
def no_room(monkeypatch):
    """Lets every file end after some bytes, as on a full disk."""
    # Python 3.11 would keep the first bytes of a module that it compiles meanwhile.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    @contextmanager
    def limited(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture(scope="module")
def scratch(hostile):
    """A run with a model, and a run without."""
    runs = hostile / "runs"
    for method in (("scratch", "--backbone", "sam-toy", "--epochs", "1"), ("disc",)):
        words = ("run", "--data", hostile / "data", "--runs", runs, "--modality", "signal")
        with pytest.raises(SystemExit) as ended:
            main([*map(str, words), "--method", *method])
        assert not ended.value.code
    return sorted(runs.glob("[!.]*"), key=lambda run: "scratch" not in run.name)


@pytest.mark.parametrize(
    "line",
    [
        "view SET --out OUT",
        "export SET --format coco --out OUT",
        "convert coco --raw COCO --out OUT",
        "init PICTURES --out OUT",
        "run --data SET --runs OUT --modality signal --method disc",
        "run --data SET --runs OUT --modality signal --method scratch --backbone sam-toy --epochs 1",
        "evaluate RUN --data SET --clicks 1 --jitter 0",
        "evaluate RUN --data SET --everything",
        "export-model RUN --out OUT",
        "submit RUN --to OUT --weights",
        "compare RUN DISC --data SET --out OUT",
        "predict RUN SET --everything --out OUT",
        "report --runs RUNS --out OUT",
        "pretrain --images 4 --backbone sam-toy --out OUT",
        "synth --look OUT",
        *(f"synth {layout} --scenes 4 --size 32x48 --out OUT" for layout in ("folder", *LAYOUTS)),
    ],
)
def test_a_full_disk_has_the_name_of_a_file(aims, hostile, scratch, no_room, tmp_path, line):
    run = shutil.copytree(scratch[0], tmp_path / scratch[0].name)
    names = {"SET": hostile / "data/hostile", "RUN": run, "DISC": scratch[1], "RUNS": hostile / "runs"}
    names |= {"OUT": tmp_path / "out", "COCO": tmp_path / "coco"}
    names["PICTURES"] = tmp_path / "pictures"
    write_shapes(tmp_path / "pictures", scenes=3, size=(32, 48), seed=0)
    if "COCO" in line:
        assert aims("export", names["SET"], "--format", "coco", "--out", names["COCO"])[0] == 0
    with no_room(150):
        code, _, err = aims(*(names.get(word, word) for word in line.split()))
    assert code == 1, err
    last = err.splitlines()[-1]
    assert last.startswith(f"error: {tmp_path}/") or line.startswith("init"), err
    assert "File too large; make room" in last
