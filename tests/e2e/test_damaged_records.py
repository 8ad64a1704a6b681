"""What a run, a suite's run or a pretraining has left, damaged: one line and exit code 1 or 2, everywhere."""

from __future__ import annotations

import json
import os
import shutil

import msgspec
import pytest
import torch
from earlier_runs import EARLIER

from aims.core.errors import AimsError, InputError
from aims.core.records import METRICS, RECORD, RESUME
from aims.engine.checkpoint import INDEX, load_resume, save_tensors
from aims.pretrain.settings import PretrainSettings
from aims.reports.runs.load import load_run
from helpers import put

NAN, INFINITE = float("nan"), float("inf")

#: Place in run.json -> the values that are put there; `...` takes the key away.
RECORDS = {
    ("version",): (..., None, "2", [], 99),
    ("status",): (..., None, "done", 3),
    ("config",): (..., None, [], "x"),
    ("config", "epochs"): (..., None, "5", 1.5, -1),
    ("config", "lr"): (..., None, "fast", [1], NAN, 0),
    ("config", "dataset"): (..., None, "", 7, "two\nlines"),
    ("config", "protocol"): (None, "lax"),
    ("config", "learning_rate"): (0.1,),
    ("config", "options"): (None, [1], {"rank": [1]}),
    ("dataset",): (3, []),
    ("dataset", "streams"): (None, [], {"thermal": 3}),
    ("images",): ([], {"train": "x"}),
    ("options",): ([],),
    ("code",): ("x",),
    ("hardware", "threads"): (None, "two", -1),
    ("processes",): ("two", 0),
    ("command",): ("aims run", [1]),
    ("preprocessing",): ([], "x"),
    ("preprocessing", "mean"): (..., None, ["a"], [0.5]),
    ("preprocessing", "channel_order"): (None, [7, 8, 9, 10], ["x"]),
    ("parameters", "trainable"): (..., None, 5),
    ("parameters", "trainable", "total"): (..., None, "x", -1),
    ("flops", "forward"): ("x", INFINITE),
    ("scores",): (..., None, [0.5], "x"),
    ("scores", "miou"): (..., None, "0.5", 1.5, -0.1, True, NAN, INFINITE, [0.5], 10**400),
    ("scores", "instances"): (..., None, "5", 1.5, -1),
    ("scores", "epoch"): (..., None, "last"),
    ("seconds",): ("long", -1, []),
    ("peak_memory_bytes",): ("much", 1.5),
    ("micro_batch",): ("x", [4]),
    ("learning_rates",): (7, {"scores": {"fast": 0.1}, "stopped_early": []}),
}
#: Whole contents of run.json.
FILES = (b"", b"null", b"[]", b"[" * 100_000, b'{"version": 2, "sta', b"\xff\xfe", b'{"version": NaN}')
COMMANDS = ("verify", "evaluate", "export-model")

#: Place in a checkpoint's index -> the values that are put there.
INDEXES = {
    ("metadata",): (..., None, []),
    ("metadata", "progress"): (..., None, 3),
    ("metadata", "progress", "step"): ("x", None),
    ("metadata", "progress", "floors"): ([], {"wilds": {"disc": "x"}}),
    ("metadata", "sums"): (..., None, ["x"], {}),
    ("weight_map",): (..., None, [1], {"a": 1}, {"a": "gone.safetensors"}),
}
#: Place in pretraining.json -> the values that are put there.
SETTINGS = {
    ("images",): ("x", [], -1),
    ("backbone",): (None, 3, "sam-huge"),
    ("lr",): (None, "fast", NAN),
    ("recipe",): (None, 3),
    ("recipe", "betas"): (None, [1], ["a", "b"]),
    ("btch_size",): (4,),
}


@pytest.fixture
def folder(earlier, tmp_path):
    return shutil.copytree(earlier, tmp_path / "runs" / earlier.name)


def one_line(aims, *arguments):
    """The error of a command, which must be one line."""
    code, _, err = aims(*arguments)
    assert code in (1, 2), (arguments, err)
    *before, last = err.splitlines()
    assert last.startswith("error: "), (arguments, err)
    assert not before, (arguments, err)
    return last


def refused_everywhere(aims, folder, what):
    with pytest.raises(InputError, match=r"run\.json"):
        load_run(folder)
    for command in COMMANDS:
        data = () if command == "export-model" else ("--data", EARLIER / "dataset")
        assert RECORD in one_line(aims, command, folder, *data), (command, what)


@pytest.mark.parametrize("place", RECORDS, ids=".".join)
def test_a_damaged_record(aims, folder, place):
    content = (folder / RECORD).read_text()
    for new in RECORDS[place]:
        record = json.loads(content)
        put(record, place, new)
        (folder / RECORD).write_text(json.dumps(record))
        refused_everywhere(aims, folder, new)


def test_no_record_at_all(aims, folder):
    for content in FILES:
        (folder / RECORD).write_bytes(content)
        refused_everywhere(aims, folder, content[:20])


def test_what_is_no_regular_file_is_not_waited_for(aims, folder):
    (folder / RECORD).unlink()
    os.mkfifo(folder / RECORD)
    with pytest.raises(InputError, match="not a regular file"):
        load_run(folder)
    one_line(aims, "evaluate", folder, "--data", EARLIER / "dataset")


def test_commands_that_look_at_several_runs(aims, earlier, folder, tmp_path):
    record = json.loads((folder / RECORD).read_text())
    record["scores"]["miuo"] = record["scores"].pop("miou")
    (folder / RECORD).write_text(json.dumps(record))
    said = f"{folder / RECORD}: not a run record: scores: no 'miou'; is 'miuo' meant for it?"
    assert said in one_line(aims, "compare", earlier, folder, "--out", tmp_path / "pair.png")
    assert said in one_line(aims, "submit", folder, "--to", tmp_path)
    # The same run again answers from what is there.
    config = record["config"]
    names = ("method", "modality", "tuning", "backbone", "epochs")
    words = [word for name in names for word in (f"--{name}", config[name])]
    words += ["--weights", "sam-tiny@1"]
    code, _, err = aims("run", *words, "--data", EARLIER / "dataset", "--runs", folder.parent)
    assert (code, err.splitlines()[-1]) == (2, f"error: {said}")


@pytest.mark.parametrize("line", ["[]", '{"epoch": "1"}', '{"epoch": 1, "val_miou": NaN}'])
def test_a_damaged_curve_fails_the_check_and_costs_no_report(aims, folder, line):
    (folder / METRICS).write_text(f"{line}\n")
    code, out, err = aims("verify", folder, "--data", EARLIER / "dataset")
    assert code == 1, err
    assert METRICS in out
    assert load_run(folder).miou > 0


@pytest.mark.parametrize(
    "state", ["", "[]", "{", '{"epoch": "x"}', '{"metrics": [3]}', '{"best": 3}', '{"stp": 1}']
)
def test_a_damaged_state_of_a_training(tmp_path, state):
    save_tensors(tmp_path / RESUME, {"x": torch.zeros(1)}, {"state": state})
    model = torch.nn.Linear(1, 1)
    with pytest.raises(AimsError, match=r"not a checkpoint of a run .*; delete it to start afresh"):
        load_resume(tmp_path / RESUME, model, torch.optim.Adam(model.parameters()))


@pytest.fixture
def begun(tmp_path):
    """A pretraining's folder; its checkpoint names no tensor."""
    folder = tmp_path / "pretraining"
    folder.mkdir()
    (folder / "pretraining.json").write_text(json.dumps(msgspec.to_builtins(PretrainSettings(images=4))))
    index = {"metadata": {"progress": {"step": 1}, "sums": [0.0] * 5}, "weight_map": {}}
    (folder / INDEX).write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize(
    ("name", "place"),
    [*((INDEX, place) for place in INDEXES), *(("pretraining.json", place) for place in SETTINGS)],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else value,
)
def test_a_damaged_pretraining(aims, begun, name, place):
    content = (begun / name).read_text()
    for new in (INDEXES if name == INDEX else SETTINGS)[place]:
        value = json.loads(content)
        put(value, place, new)
        (begun / name).write_text(json.dumps(value))
        code, _, err = aims("pretrain", "--images", 4, "--out", begun)
        assert code in (1, 2), (new, err)
        assert err.splitlines()[-1].startswith("error: "), err
        assert str(begun) in err.splitlines()[-1]
        assert "Traceback" not in err
