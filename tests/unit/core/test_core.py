from __future__ import annotations

import errno
import json
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from refusals import refused
from safetensors.torch import save_file

from aims.core import files
from aims.core.config import RunConfig
from aims.core.errors import AimsError, InputError, explain, unknown_name
from aims.core.files import atomic_write, inside, read_toml, sha256_json, write_json
from aims.core.records import RunRecord
from aims.core.registry import Registry
from aims.core.schema import DatasetSpec, StreamSpec
from aims.core.structs import convert_struct
from aims.core.vocabulary import DEFAULT_PROTOCOL, PAPER, PROTOCOLS, STRICT, STRICT_2
from helpers import MadeUp

CONFIG = RunConfig(
    method="simcmf",
    tuning="lora",
    modality="nir",
    dataset="ivrg-nir",
    fingerprint="f",
    backbone="sam-vit-b",
    weights="random",
    epochs=50,
    lr=3e-4,
    batch_size=4,
    seed=0,
    protocol="paper",
    precision="float32",
    loss="dice-ce",
)
SCORES = {"miou": 0.5, "instances": 2, "images": 1, "epoch": 1}


def test_unknown_names_show_the_nearest_and_all():
    error = unknown_name("method", "simcfm", ["scratch", "simcmf"], where="a.toml")
    assert str(error) == ("a.toml: unknown method 'simcfm'; did you mean 'simcmf'? (known: scratch, simcmf)")
    assert "did you mean" not in str(unknown_name("method", "zzz", ["scratch"]))
    assert error.exit_code == 2
    assert AimsError.exit_code == 1


def test_a_registry_takes_a_name_once():
    registry = Registry[int]("number")
    registry.register("one")(1)
    with pytest.raises(ValueError, match="registered already"):
        registry.register("one")(2)
    with pytest.raises(InputError, match="did you mean 'one'"):
        registry["on"]
    assert list(registry) == ["one"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"k": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"k": float("nan")})

    def interrupted():
        with atomic_write(path) as beside:
            beside.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert json.loads(path.read_text()) == {"k": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "..\\x", "C:\\x", "a/.."])
def test_paths_do_not_leave_their_folder(name):
    with pytest.raises(InputError, match="leaves its folder"):
        inside(Path("raw"), name, where="list.txt")
    assert inside(Path("raw"), "a/b.c", where="list.txt") == Path("raw/a/b.c")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": "papr"}, "did you mean 'paper'"),
        ({"precision": "fp16"}, "unknown precision"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": -1}, "batch-size must be at least 1"),
        ({"limit": 0}, "limit must be at least 1"),
        ({"lr": float("inf")}, "lr must be a positive number"),
        ({"lr": float("nan")}, "lr must be a positive number"),
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"tuning": "none"}, "nothing is trained: epochs and lr must be 0, not"),
        (
            {"protocol": "strict-2", "prompts": "click,box"},
            "unknown prompts 'click,box'; .*known: box, click, clicks, mixed",
        ),
        ({"prompts": "mixed"}, "protocol 'paper' trains on single clicks, .*: leave --prompts mixed out"),
    ],
)
def test_a_wrong_configuration_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        replace(CONFIG, **change)


def read_config(value):
    return convert_struct(value, RunConfig, where="run.json")


def test_every_field_of_the_configuration_changes_the_hash():
    others = {
        **dict.fromkeys(("method", "tuning", "modality", "dataset", "fingerprint", "backbone"), "x"),
        "weights": "x",
        "loss": "x",
        "epochs": 2,
        "lr": 1.0,
        "batch_size": 2,
        "seed": 2,
        "protocol": "strict",
        "precision": "bf16",
        "limit": 2,
        "clicks": 2,
        "train_images": 2,
        "score_every": 2,
        "init": "x",
        "prompts": "mixed",
        "options": {"kernel": 5},
    }
    assert set(others) == set(asdict(CONFIG))
    # Under `paper` there are single clicks alone.
    config = replace(CONFIG, protocol="strict-2")
    hashes = {replace(config, **{name: value}).hash for name, value in others.items()}
    assert len(hashes | {config.hash}) == len(others) + 1
    assert read_config(asdict(CONFIG)) == CONFIG


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": True}, "run.json: seed: expected 'int', got 'bool'"),
        ({"dataset": 5}, "dataset: expected 'str', got 'int'"),
        ({"dataset": ""}, "dataset is '', not a printable name"),
        ({"dataset": "a\nb"}, "not a printable name"),
        ({"lr": 10**400}, "lr is not finite, or too large"),
        ({"epoch": 5}, "did you mean 'epochs'"),
        ({"options": {"kernel": [5]}}, "options.kernel: expected"),
        ({"options": {"kernel": "a\nb"}}, "not a printable name"),
        ({"options": {"kernel": 10**400}}, "kernel is not finite, or too large"),
        ({"options": {"a\nb": 5}}, "are not printable names"),
        ({"options": [5]}, "options: expected 'object', got 'array'"),
    ],
)
def test_records_of_others_are_checked(change, message):
    with pytest.raises(InputError, match=message):
        read_config({**asdict(CONFIG), **change})


def test_whole_numbers_of_a_record_stay_whole():
    """The hash, which names the folder, is made of the words."""
    whole = replace(CONFIG, lr=1)
    assert (
        read_config(json.loads(json.dumps(asdict(whole)))).hash == whole.hash != replace(whole, lr=1.0).hash
    )


def test_options_go_round_and_tell_configurations_apart():
    changed = replace(CONFIG, options={"rank": 8, "kernel": 5})
    assert changed.options_text == "kernel 5, rank 8"
    assert CONFIG.options_text == ""
    assert read_config(asdict(changed)) == changed
    assert len({CONFIG, changed, replace(CONFIG, options={"kernel": 5, "rank": 8})}) == 2
    older = asdict(CONFIG)
    del older["options"]
    assert read_config(older) == CONFIG


@pytest.mark.parametrize("later", [("clicks",), ("clicks", "train_images", "score_every", "init", "prompts")])
def test_runs_from_before_there_was_a_choice_keep_their_names(later):
    older = asdict(CONFIG)
    for name in later:
        del older[name]
    assert read_config(older) == CONFIG
    if len(later) == 5:
        assert CONFIG.hash == sha256_json(older)[:10]


def test_configurations_share_what_is_not_named():
    config = replace(CONFIG, options={"kernel": 5, "rank": 8})
    same = replace(config, seed=5, lr=1.0, options={"rank": 8, "kernel": 5})
    assert config.apart_from("seed", "lr") == same.apart_from("seed", "lr")
    assert config.apart_from("seed") != same.apart_from("seed")
    other = replace(config, options={"kernel": 5})
    assert config.apart_from("seed", "lr") != other.apart_from("seed", "lr")


def test_the_hash_of_a_configuration_stays():
    """Names of folders that earlier versions gave."""
    assert CONFIG.hash == "b863374327"
    assert replace(CONFIG, protocol="strict-2", clicks=8).hash == "ad5d7d00bc"


def test_paper_of_earlier_records_is_another_protocol_under_the_same_name(tmp_path):
    """It reduced the grid by PIL's rule: its scores share no table with those of the released program's."""
    content = {"version": 1, "status": "finished", "config": asdict(CONFIG), "scores": SCORES}
    (tmp_path / "run.json").write_text(json.dumps(content))
    earlier = RunRecord.load(tmp_path).config
    assert (earlier.protocol, earlier.run_name) == ("paper-1", CONFIG.run_name)
    assert PROTOCOLS["paper-1"] == replace(PAPER, name="paper-1", reduction="pil", recorded_as="paper")
    (tmp_path / "run.json").write_text(json.dumps({**content, "version": 2}))
    assert RunRecord.load(tmp_path).config == CONFIG


def test_the_default_protocol_is_the_first_and_differs_from_the_first_edition_in_one_rule():
    assert next(iter(PROTOCOLS)) == DEFAULT_PROTOCOL == "strict-2"
    assert replace(STRICT_2, name="strict", min_recorded=1) == STRICT
    assert STRICT_2.min_recorded == 64


def test_without_training_there_are_no_epochs():
    still = replace(CONFIG, tuning="none", epochs=0, lr=0)
    assert still.epochs == 0
    with pytest.raises(InputError, match="batch-size must be at least 1"):
        replace(still, batch_size=0)


def test_a_missing_field_is_named():
    value = asdict(CONFIG)
    del value["lr"]
    with pytest.raises(InputError, match=r"run\.json: no 'lr'"):
        read_config(value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not readable as JSON"),
        ("[]", "not a run record"),
        (json.dumps({"version": 99}), "update AIMS"),
        (json.dumps({"version": 1, "status": "running", "config": asdict(CONFIG)}), "running, not finished"),
        (json.dumps({"version": 1, "status": "finished", "config": asdict(CONFIG)}), "no 'scores'"),
    ],
)
def test_broken_run_records(tmp_path, content, message):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(InputError, match=message):
        RunRecord.load(tmp_path)


def test_smallest_areas_of_both_protocols():
    # Training keeps regions of exactly the size, the paper's evaluation does not (protocol.md).
    assert PAPER.smallest_area("rgbp-glass", training=True) == 100
    assert PAPER.smallest_area("rgbp-glass", training=False) == 101
    assert PAPER.smallest_area("zju-rgbp", training=False) == 10_001
    assert PAPER.smallest_area("ivrg-nir", training=True) == 1_000
    assert PAPER.smallest_area("nyuv2", training=True) == 1
    assert PAPER.smallest_area("nyuv2", training=False) == 1
    assert STRICT.smallest_area("zju-rgbp", training=False) == 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "../up"}, "folder name"),
        ({"classes": ("a", "a")}, "each name once"),
        ({"classes": ()}, "at least one class"),
        ({"streams": {"rgb": StreamSpec(channels=3, unit="x")}}, "stream name 'rgb'"),
        ({"streams": {"a b": StreamSpec(channels=3, unit="x")}}, "stream name 'a b'"),
        ({"streams": {}}, "neither a stream nor RGB"),
    ],
)
def test_a_wrong_spec_is_refused(change, message):
    good = {
        "name": "x",
        "classes": ("a",),
        "streams": {"nir": StreamSpec(channels=1, unit="u")},
        "license": "l",
    }
    with pytest.raises(InputError, match=message):
        DatasetSpec(**{**good, **change})


def test_specs_survive_json():
    spec = DatasetSpec(
        name="x",
        classes=("a", "b"),
        streams={"nir": StreamSpec(channels=1, unit="u", valid_range=(0, 1), wavelength_nm=(700, 900))},
        license="l",
    )
    assert convert_struct(json.loads(json.dumps(asdict(spec))), DatasetSpec, where="x") == spec


def test_converters_travel_without_their_handles(tmp_path):
    converter = MadeUp(raw=tmp_path, images=3)
    converter.__dict__["handle"] = open  # what functools.cached_property would keep
    again = pickle.loads(pickle.dumps(converter))
    assert again == converter
    assert "handle" not in vars(again)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "No space left on device; make room: what was finished is kept"),
        (errno.EDQUOT, "make room"),
        (errno.EROFS, "Read-only file system; see who may read and write there"),
        (errno.EACCES, "Permission denied; see who may read and write there, or name another folder"),
        (errno.ENOENT, "No such file or directory"),
    ],
)
def test_what_the_system_refuses_is_one_line_with_a_way_on(number, words):
    assert words in explain(OSError(number, os.strerror(number), "runs/x"))
    assert explain(OSError(number, os.strerror(number), "runs/x")).startswith("runs/x: ")
    assert explain(OSError("told by a library")) == "told by a library"


def test_a_file_that_cannot_be_written_is_named_as_its_reader_knows_it(tmp_path):
    target = tmp_path / "weights"
    target.write_text("old")

    def write_to_a_device_that_is_full():
        with atomic_write(target) as beside:
            beside.unlink()
            beside.symlink_to("/dev/full")
            beside.write_text("new")

    with pytest.raises(OSError, match="No space left on device") as caught:
        write_to_a_device_that_is_full()
    assert caught.value.filename == str(target)
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    target = tmp_path / "scores"
    dead = subprocess.run([sys.executable, "-c", KILLED, target], check=False)
    assert dead.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1  # unfinished
    with atomic_write(target) as first:
        with atomic_write(target) as second:
            second.write_text("second")
            first.write_text("first")
        assert target.read_text() == "second"
    assert target.read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["scores"]


def test_a_namesake_on_a_shared_disk_has_a_file_of_its_own(tmp_path, monkeypatch):
    # Another machine of the same name, whose process has the same number and writes as often.
    monkeypatch.setattr(files, "_WRITERS", iter([0, 0]))
    with atomic_write(tmp_path / "scores") as one, atomic_write(tmp_path / "scores") as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")


KILLED = """
import os, pathlib, signal, sys
from aims.core.files import atomic_write
with atomic_write(pathlib.Path(sys.argv[1])) as beside:
    beside.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    "content",
    [
        "a = " + "[" * 100_000,
        "a = " + "[" * 101 + "]" * 101,
        "a = " + "{a = " * 100_000,
        "a." * 100_000 + "a = 1",
        "[" + "'a' . " * 100_000 + "a]",
        "b = {" + '"a".' * 100_000 + "a = 1}",
        # Each of these keys is short enough.
        "[" + "a." * 60 + "a]\n" + "b." * 60 + "b = 1",
    ],
)
def test_toml_nested_too_deep(tmp_path: Path, content: str):
    (tmp_path / "a.toml").write_text(content)
    with refused(InputError, "a.toml: it nests more than 100 deep"):
        read_toml(tmp_path / "a.toml", otherwise="")


def test_toml_of_many_keys(tmp_path: Path):
    lines = [f"a.b.c{k} = 'x.y{'.z' * 50}'" for k in range(1000)]
    (tmp_path / "a.toml").write_text("\n".join((*lines, "d = " + "[" * 99 + "]" * 99)))
    content = read_toml(tmp_path / "a.toml", otherwise="")
    assert len(content["a"]["b"]) == 1000
    assert set(content) == {"a", "d"}


@pytest.mark.parametrize("quote", ['"', "'", '"""', "'''"])
def test_toml_of_texts_with_many_dots(tmp_path: Path, quote: str):
    words = "word." * 300
    path = tmp_path / "a.toml"
    path.write_text(f"# {words}\na = {quote}{words}{quote} # {words}\n'{words}' . b = [1]\n")
    assert read_toml(path, otherwise="write it") == {"a": words, words: {"b": [1]}}
    path.write_text(f"a = {quote}{words}{quote}\n" + "b." * 300 + "c = 1")
    with refused(InputError, "a.toml: it nests more than 100 deep"):
        read_toml(path, otherwise="write it")


@pytest.mark.parametrize("content", ['"' + '\\"' * 100_000, '"""' * 100_001, "'" * 100_000, 'a = """\\'])
def test_toml_of_texts_without_an_end(tmp_path: Path, content: str):
    (tmp_path / "a.toml").write_text(content)
    with refused(InputError, "a.toml: not TOML ("):
        read_toml(tmp_path / "a.toml", otherwise="write it")


@pytest.mark.parametrize(
    ("coding", "reason"), [("utf-16", "byte 0 is not UTF-8"), ("latin-1", "byte 5 is not UTF-8")]
)
def test_toml_of_another_coding(tmp_path: Path, coding: str, reason: str):
    (tmp_path / "a.toml").write_bytes('a = "\u00fc"'.encode(coding))
    with refused(InputError, f"a.toml: not TOML ({reason}); save it in UTF-8"):
        read_toml(tmp_path / "a.toml", otherwise="write it")


def test_files_are_readable_for_whom_the_umask_lets(tmp_path):
    tensors = tmp_path / "a.safetensors"
    before = os.umask(0o027)
    try:
        with atomic_write(tensors) as beside:
            save_file({"a": torch.zeros(1)}, beside)
        write_json(tmp_path / "a.json", {})
    finally:
        os.umask(before)
    assert [file.stat().st_mode & 0o777 for file in (tensors, tmp_path / "a.json")] == [0o640, 0o640]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "float32", "float64"])
def test_ranges_and_missing_values_that_a_type_cannot_hold_are_compared(dtype):
    spec = StreamSpec(channels=1, unit="K", valid_range=(20, 1e300), missing=-1e300)
    values = np.array([0, 20, 100], dtype)
    assert spec.measured(values).tolist() == [True] * 3
    assert spec.within(values).tolist() == [False, True, True]
    assert StreamSpec(channels=1, unit="K").within(values).all()
