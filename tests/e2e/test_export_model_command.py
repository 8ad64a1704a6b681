"""`aims export-model` as a user types it, on a run that `aims run` made."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import toys
from safetensors.torch import load_file

from aims.cli import main
from aims.engine.export import FORMATS
from aims.methods import BACKBONES


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data folder and a finished run, LoRA on random weights."""
    folder = tmp_path_factory.mktemp("made")
    toys.made_up_set(folder / "data" / "made-up", channels=3)
    with pytest.raises(SystemExit) as stop:
        main(
            [
                *("run", "--method", "simcmf", "--tuning", "lora", "--modality", "signal", "--epochs", "1"),
                *("--backbone", "sam-toy", "--weights", "none", "--rank", "4"),
                *("--data", str(folder / "data"), "--runs", str(folder / "runs")),
            ]
        )
    assert stop.value.code in (0, None)
    (run,) = (path for path in (folder / "runs").iterdir() if path.is_dir())
    return folder, run


def test_a_run_is_exported(aims, made, tmp_path):
    _, run = made
    code, out, err = aims("export-model", run, "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"{run}  ->  {tmp_path / 'out'}"
    assert [line.split()[0] for line in lines[1:5]] == [
        "README.md",
        "alignment.safetensors",
        "model.json",
        "model.safetensors",
    ]
    number = r"\d\.\de-\d\d"
    assert re.fullmatch(
        rf"compared with .*: embeddings differ by at most {number}, mask logits by {number}", lines[5]
    )
    state = load_file(tmp_path / "out" / "model.safetensors")
    assert state.keys() == BACKBONES["sam-toy"].build().state_dict().keys()
    assert "rank 4" in (tmp_path / "out" / "README.md").read_text()
    code, out, err = aims("export-model", run, "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert err == f"error: {tmp_path / 'out'}: exists already; give another --out, or remove it\n"


def test_json_and_the_default_folder(aims, made, tmp_path, monkeypatch):
    _, run = made
    monkeypatch.chdir(tmp_path)
    code, out, err = aims("export-model", run, "--json")
    assert (code, err) == (0, "")
    value = json.loads(out)
    folder = Path(value["folder"])
    assert folder == Path("exported") / run.name
    assert value["files"] == {path.name: path.stat().st_size for path in folder.iterdir()}
    assert value["model"] == json.loads((folder / "model.json").read_text())
    assert value["model"]["options"]["rank"] == 4


@pytest.mark.parametrize(
    ("what", "args", "message"),
    [
        ("no run", (), "Missing argument 'RUN'"),
        ("nowhere", ("nowhere",), "nowhere: no such folder; give the folder of a run"),
        ("a folder", (".",), "not a run (no run.json)"),
        ("unfinished", ("run",), "the run is failed, not finished"),
        ("no json", ("run",), "run.json: not readable as JSON"),
        ("damaged", ("run",), "weights.safetensors: damaged"),
        ("weights", ("run", "--weights", "any.pth"), "started from random weights; leave --weights out"),
        ("option", ("run", "--ouf", "x"), "--ouf"),
        ("format", ("run", "--format", "onxn"), "unknown format 'onxn'; did you mean 'onnx'?"),
        ("half", ("run", "--half"), "--half goes with --format onnx; leave it out, or name that format"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(aims, made, tmp_path, monkeypatch, what, args, message):
    monkeypatch.chdir(tmp_path)
    if "run" in args:
        shutil.copytree(made[1], tmp_path / "run")
    if what == "unfinished":
        record = json.loads((tmp_path / "run" / "run.json").read_text())
        (tmp_path / "run" / "run.json").write_text(json.dumps({**record, "status": "failed"}))
    if what == "no json":
        (tmp_path / "run" / "run.json").write_text("{")
    if what == "damaged":
        (tmp_path / "run" / "weights.safetensors").write_bytes(b"\x80\x04" * 50)
    code, out, err = aims("export-model", *args)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert {path.name for path in tmp_path.iterdir()} <= {"run"}


def test_the_help_and_the_page_name_every_format(aims):
    _, out, _ = aims("export-model", "--help")
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
    for name in FORMATS:
        assert re.search(rf"\b{name},", out)
        assert f"| `{name}` |" in page


@pytest.mark.thorough
@pytest.mark.parametrize("name", list(FORMATS))
def test_every_format_is_written_without_a_word_on_stderr(made, tmp_path, name):
    # In a process of its own, as packages that are imported may write past what a test captures.
    _, run = made
    code = "import toys; from aims.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "export-model", run, "--format", name, "--out", "out", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert said["model"]["format"] == name
    assert {"README.md", "model.json"} < said["files"].keys()


def test_the_page_loads_a_model(made, monkeypatch):
    folder, run = made
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[-1]
    assert "load_model" in code
    monkeypatch.chdir(folder)
    names = {}
    exec(code.replace("runs/NAME", f"runs/{run.name}"), names)
    assert names["model"].in_channels == 3
