"""The command line as a user has it: every command, every registry entry, typing mistakes."""

from __future__ import annotations

import importlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import toys

from aims.cli import COMMANDS, main
from aims.core.config import NO_TUNING
from aims.core.vocabulary import PAPER_1, PROTOCOLS
from aims.engine.losses import LOSSES
from aims.methods import BACKBONES, METHODS, TUNINGS, all_options, has_model
from aims.synth.layouts.nyuv2 import NYUv2Image, write_official
from aims.synth.shapes import write_shapes
from helpers import seeded


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A converted set of generated shapes in a data folder."""
    folder = tmp_path_factory.mktemp("shapes")
    toml = write_shapes(folder / "raw", scenes=9, size=(48, 64), seed=0, rgb=True)
    with pytest.raises(SystemExit):
        main(["convert", "folder", str(toml), "--out", str(folder / "data" / "shapes")])
    return folder


def run_options(shapes, tmp_path, *more, modality="thermal"):
    return (
        *("run", "--modality", modality, "--data", shapes / "data", "--runs", tmp_path / "runs"),
        *("--backbone", "sam-toy", "--epochs", "1", *more),
    )


def check_record(record):
    """What the record of a run on random weights says."""
    config = record["config"]
    assert 0 <= record["scores"]["miou"] <= 1
    assert (record["parameters"]["trainable"]["total"] == 0) == (config["tuning"] == NO_TUNING)
    if not has_model(config["method"]):
        assert (config["weights"], config["backbone"]) == ("none", "none")
        assert (record["preprocessing"], record["parameters"]["total"]) == (None, 0)
        return
    assert config["weights"] == "random"
    in_order = record["preprocessing"]["channel_order"] == [0, 1, 2, 3]
    # Seed 0 happens to move a channel.
    assert in_order == (config["method"] in ("cmx", "vipt", "zero-shot"))


def test_the_whole_job(aims, shapes, tmp_path):
    for method in METHODS:
        options = ("--method", method, "--weights", "none")
        code, out, err = aims(*run_options(shapes, tmp_path, *options, modality="rgb-thermal"))
        assert code == 0, err
        assert "mIoU" in out
        assert ("nothing is trained" if METHODS[method].own_tuning == NO_TUNING else "epoch   1") in err
    records = [json.loads(path.read_text()) for path in sorted((tmp_path / "runs").glob("*/run.json"))]
    assert sorted(record["config"]["method"] for record in records) == sorted(METHODS)
    for record in records:
        check_record(record)
    code, out, err = aims("report", "--runs", tmp_path / "runs", "--out", tmp_path / "report")
    assert code == 0, err
    assert "RANDOM WEIGHTS, NOT PRETRAINED" in out
    assert "shapes / rgb-thermal" in (tmp_path / "report" / "table1.md").read_text()
    assert {"comparison.tex", "index.html", "paired.csv", "cost-1.svg", "results.md", "table1.csv"} <= {
        path.name for path in (tmp_path / "report").iterdir()
    }
    assert f"written: {tmp_path / 'report' / 'index.html'}" in out
    results = (tmp_path / "report" / "results.csv").read_text()
    assert all(f",{method}," in results for method in METHODS)


#: A run may be made under these; `paper-1` is only read.
TODAYS = [name for name in PROTOCOLS if name != PAPER_1.name]


def test_the_registries_are_complete():
    assert list(METHODS) == [
        *("channel-batch", "cmx", "disc", "linear", "linear-frozen", "mlp", "oracle-disc", "random-embed"),
        *("scratch", "simcmf", "simcmf-plus", "simcmf-released", "transformer", "vipt", "zero-shot"),
    ]
    assert [method for method in METHODS if not has_model(method)] == ["disc", "oracle-disc"]
    assert list(TUNINGS) == ["adapter", "full", "linear-probe", "lora", "prefix", "prompt"]
    assert set(BACKBONES) - {"sam-toy"} == {
        *("efficient-sam-s", "efficient-sam-ti", "mobile-sam"),
        *("sam-tiny", "sam-vit-b", "sam-vit-h", "sam-vit-l"),
    }
    assert list(LOSSES) == ["dice-ce", "sam"]
    assert list(PROTOCOLS) == ["strict-2", "paper", "strict", "paper-1"]
    assert list(COMMANDS) == [
        *("list", "info", "init", "convert", "inspect", "view", "verify", "audit", "export"),
        *("weights", "pretrain", "run", "sweep", "watch", "export-model", "push", "predict", "click"),
        *("evaluate", "compare", "submit", "report", "demo", "synth"),
    ]


@pytest.mark.parametrize("tuning", TUNINGS)
def test_every_tuning_runs(aims, shapes, tmp_path, tuning):
    options = ("--method", "simcmf", "--tuning", tuning, "--json", "--weights", "none")
    code, out, err = aims(*run_options(shapes, tmp_path, *options, modality="rgb-thermal"))
    assert code == 0, err
    record = json.loads(out)
    assert record["config"]["tuning"] == tuning
    check_record(record)


@pytest.mark.parametrize(
    ("method", "tuning"),
    [("scratch", "lora"), ("linear-frozen", "full"), ("simcmf", NO_TUNING), ("disc", "lora")],
)
def test_other_pairs_are_refused_before_anything_is_made(aims, shapes, tmp_path, method, tuning):
    options = ("--method", method, "--tuning", tuning, "--json", "--weights", "none")
    code, out, err = aims(*run_options(shapes, tmp_path, *options, modality="rgb-thermal"))
    assert (code, out) == (2, "")
    assert err.startswith(f"error: method {method!r} does not go with tuning {tuning!r}: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("loss", "protocol"), [("dice-ce", protocol) for protocol in TODAYS] + [("sam", "strict-2")]
)
def test_every_loss_and_every_protocol_run(aims, shapes, tmp_path, loss, protocol):
    options = ("--method", "simcmf", "--loss", loss, "--protocol", protocol, "--json", "--weights", "none")
    code, out, err = aims(*run_options(shapes, tmp_path, *options))
    assert code == 0, err
    record = json.loads(out)
    assert record["selected_on"] == ("test" if protocol == "paper" else "val")


def test_options_of_methods_and_tunings(aims, shapes, tmp_path):
    options = ("--method", "simcmf", "--tuning", "lora", "--weights", "none", "--kernel", "5", "--rank=3")
    code, out, err = aims(*run_options(shapes, tmp_path, *options, "--width", "64", "--json"))
    assert code == 0, err
    assert "simcmf x lora (kernel 5, rank 3), sam-toy" in err
    record = json.loads(out)
    assert record["config"]["options"] == {"kernel": 5, "rank": 3}
    assert record["options"] == {"kernel": 5, "width": 64, "depth": 2, "rank": 3}
    assert record["parameters"]["trainable"]["alignment"] == 5 * 5 * 64 + 64 + 64 * 3 + 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--kernal", "5"), "no such option: --kernal; did you mean --kernel?"),
        (("--epoch", "5"), "no such option: --epoch; did you mean --epochs?"),
        (("--rank", "5"), "method 'simcmf', tuning 'full': unknown option 'rank'"),
        (("--kernel",), "option --kernel needs a value"),
        (("--kernel", "--seed", "1"), "option --kernel needs a value"),
        (("--kernel", "3", "--kernel=5"), "option --kernel is given twice"),
        (("--kernel", "4"), "odd"),
        (("--width", "0"), "--width must be at least 1, not 0"),
        (("--width", f"{10**30}"), "is more than 1,048,576: is it a slip?"),
        (("nir",), "unexpected argument 'nir'"),
    ],
)
def test_wrong_options_of_methods_and_tunings(aims, shapes, tmp_path, options, message):
    arguments = ("--method", "simcmf", "--tuning", "full", "--weights", "none", *options)
    code, out, err = aims(*run_options(shapes, tmp_path, *arguments))
    assert code == 2
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_finished_run_answers(aims, shapes, tmp_path):
    options = run_options(shapes, tmp_path, "--method", "scratch")
    _, first, _ = aims(*options)
    code, second, err = aims(*options)
    assert code == 0
    assert first == second
    assert "finished before" in err
    code, _, err = aims(*options, "--fresh")
    assert code == 0
    assert "epoch   1" in err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--method", "simcfm"), "unknown method 'simcfm'; did you mean 'simcmf'?"),
        (("--method", "simcmf", "--tuning", "lorra"), "did you mean 'lora'?"),
        (("--method", "simcmf", "--backbone", "sam-vitb"), "did you mean 'sam-vit-b'?"),
        (("--method", "simcmf", "--protocol", "strikt"), "did you mean 'strict'?"),
        (("--method", "simcmf", "--precision", "float16"), "did you mean 'float32'?"),
        (("--method", "simcmf", "--loss", "dice"), "did you mean 'dice-ce'?"),
        (("--method", "simcmf", "--dataset", "shape"), "did you mean 'shapes'?"),
        (("--method", "simcmf", "--modality", "termal"), "did you mean 'thermal'?"),
        (("--method", "simcmf", "--modality", "nir"), "no dataset has the streams of nir (nir)"),
        (("--method", "simcmf", "--data", "nowhere"), "nowhere: no such folder"),
        (("--method", "simcmf", "--device", "gpu"), "device 'gpu': use auto, cpu, cuda or cuda:N"),
        (("--method", "simcmf", "--lr", "-1"), "lr must be a positive number"),
        (("--method", "simcmf", "--epochs", "0"), "epochs must be at least 1"),
        (("--method", "simcmf", "--epochs", "many"), "Invalid value for '--epochs'"),
        (("--method", "simcmf", "--weights", "gone.pth"), "gone.pth: no such file of weights"),
        (("--method", "scratch", "--weights", "gone.pth"), "starts from random weights"),
        (("--methd", "simcmf"), "--method"),
        ((), "Missing option '--method'"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(aims, shapes, tmp_path, change, message):
    options = run_options(shapes, tmp_path, "--weights", "none")
    code, out, err = aims(*options, *change)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert not (tmp_path / "runs").exists()


def test_without_weights_all_but_scratch_refuse(aims, shapes, tmp_path, monkeypatch):
    monkeypatch.setenv("AIMS_CACHE", str(tmp_path / "cache"))

    def refusal(method, *options):
        options = run_options(shapes, tmp_path, "--method", method, *options, modality="rgb-thermal")
        code, _, err = aims(*options)
        assert code == 2
        return err

    for method in set(METHODS) - {"zero-shot", "disc", "oracle-disc"}:
        # The rate is wrong in every case; scratch gets as far as that, weights are looked for after it.
        assert "lr must be" in refusal(method, "--backbone", "sam-vit-b", "--lr", "0")
    for method in set(METHODS) - {"scratch", "disc", "oracle-disc"}:
        # sam-toy has none that could be fetched.
        for backbone in ("sam-vit-b", "sam-toy"):
            err = refusal(method, "--backbone", backbone)
            assert "--weights none for random weights (recorded as random)" in err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("convret",), "unknown command 'convret'; did you mean 'convert'?"),
        (("convert", "nyu"), "unknown converter 'nyu'; did you mean 'nyuv2'?"),
        (("convert", "nyuv2", "--raw", "nowhere"), "get it from https://cs.nyu.edu"),
        (("convert", "nyuv2", "--raw", "nowhere", "--hha-from", "fiels"), "did you mean 'files'?"),
        (("convert", "nyuv2", "--engine", "dask"), "'dask' is not one of 'local', 'ray'"),
        (("convert", "folder", "nowhere.toml"), "nowhere.toml"),
        (("convert", "folder"), "Missing argument"),
        (("verify", "nowhere"), "nowhere: no such folder"),
        (("report", "--runs", "nowhere"), "nowhere: no such folder"),
        (("report", "--out", ""), "'--out': is empty"),
        (("inspect", ""), "'FOLDER': is empty; give a path, or . for the current folder"),
        (("synth", "nyu", "--out", "x"), "unknown layout 'nyu'"),
        (("synth", "folder", "--out", "x", "--size", "12"), "give height x width"),
    ],
)
def test_other_mistakes(aims, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = aims(*args)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_synth_overwrites_nothing(aims, tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    code, _, err = aims("synth", "folder", "--out", tmp_path)
    assert code == 2
    assert "is not empty" in err
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_help_of_every_command(aims):
    code, out, _ = aims("--help")
    assert code == 0
    assert all(name in out for name in COMMANDS)
    for name in COMMANDS:
        code, out, _ = aims(name, "--help")
        assert code == 0
        assert len(out.splitlines()) > 3
    assert aims("--version")[1].startswith("aims, version ")


def test_the_short_line_of_every_command_is_its_docstrings():
    for name, line in COMMANDS.items():
        help_text = importlib.import_module(f"aims.cli.{name.replace('-', '_')}").command.help
        assert help_text.splitlines()[0] == line


def test_the_help_of_run_names_every_entry(aims):
    # It is written by hand, since reading the registries would import torch for a page of help.
    text = " ".join(aims("run", "--help")[1].split())
    for name in (*METHODS, *TUNINGS, *LOSSES, *TODAYS, "sam-vit-b", "sam-tiny"):
        assert name in text
    assert all(f"--{name.replace('_', '-')}" in text for name in all_options())


def test_convert_says_what_was_dropped(aims, shapes, tmp_path):
    raw = tmp_path / "raw"
    shutil.copytree(shapes / "raw", raw)
    picture = sorted((raw / "thermal").glob("*.png"))[0]
    picture.write_bytes(picture.read_bytes()[:100])
    code, _, err = aims("convert", "folder", raw / "shapes.toml", "--out", tmp_path / "set")
    assert code == 2
    assert str(picture) in err
    assert err.count("\n") == 1
    code, out, _ = aims("convert", "folder", raw / "shapes.toml", "--out", tmp_path / "set", "--keep-going")
    assert code == 0
    assert "left out: 1 image (unreadable), listed in" in out
    line = json.loads((tmp_path / "set" / "dropped.jsonl").read_text())
    assert line["reason"].startswith(f"thermal/{picture.name}: ")
    code, out, _ = aims("verify", tmp_path / "set")
    assert code == 0
    assert "8 images verified, no problem found" in out


def test_verify_names_failures(aims, shapes, tmp_path):
    shutil.copytree(shapes / "data" / "shapes", tmp_path / "set")
    (tmp_path / "set" / "data" / "test-00000-of-00001.parquet").unlink()
    code, out, err = aims("verify", tmp_path / "set")
    assert code == 1
    assert "data/test-00000-of-00001.parquet: listed in the manifest but missing" in out
    assert err.startswith("error: ")
    code, out, _ = aims("verify", tmp_path / "set", "--json")
    assert code == 1
    assert json.loads(out)["problems"][0]["file"] == "data/test-00000-of-00001.parquet"


def test_nyuv2_from_the_authors_file_to_a_run(aims, tmp_path):
    rng = seeded("nyuv2")
    images = []
    for k in range(6):
        labels = np.zeros((40, 60), np.uint16)
        labels[5:30, 5:25], labels[10:35, 30:55] = 1 + k, 21
        depth = (1 + labels / 10 + rng.normal(0, 0.01, labels.shape)).astype(np.float32)
        rgb = rng.integers(0, 255, (40, 60, 3), np.uint8)
        images.append(NYUv2Image(rgb=rgb, depth=depth, labels=labels, scene=f"room_{k // 2}"))
    write_official(tmp_path / "raw", images, train=(1, 2, 3, 4), test=(5, 6))
    data = tmp_path / "data" / "nyuv2"
    code, _, err = aims("convert", "nyuv2", "--raw", tmp_path / "raw", "--out", data)
    assert code == 0, err
    assert aims("verify", data)[0] == 0
    for modality, channels in (("depth", 1), ("rgb-depth", 4)):
        code, out, err = aims(
            *("run", "--method", "simcmf", "--modality", modality, "--data", tmp_path / "data"),
            *("--backbone", "sam-toy", "--weights", "none", "--epochs", "1", "--protocol", "paper"),
            *("--runs", tmp_path / "runs", "--json"),
        )
        assert code == 0, err
        preprocessing = json.loads(out)["preprocessing"]
        assert preprocessing["source"] == "published"
        assert sorted(preprocessing["channel_order"]) == list(range(channels))


@pytest.mark.thorough
def test_ctrl_c_saves_and_the_same_command_goes_on(aims, shapes, tmp_path):
    tests = str(Path(toys.__file__).parent)
    script = f"import sys; sys.path.insert(0, {tests!r}); import toys; from aims.cli import main; main()"
    options = run_options(shapes, tmp_path, "--method", "simcmf", "--weights", "none", "--epochs", "15")
    command = [sys.executable, "-c", script, *map(str, options)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        for line in child.stderr:
            if line.startswith("epoch   2"):
                child.send_signal(signal.SIGINT)
                break
        rest = child.stderr.read()
    assert child.returncode == 130, rest
    assert rest.splitlines()[-1].startswith("error: stopped; everything is saved in ")
    code, _, err = aims(*options)
    assert code == 0, err
    first = next(line for line in err.splitlines() if line.startswith("epoch"))
    assert int(first.split()[1]) >= 3


def test_no_file_is_left_by_a_reader_that_goes_away(shapes):
    """`aims ... | head` ends without a traceback."""
    command = f"{sys.executable} -m aims verify {shapes / 'data' / 'shapes'} --json | true"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert done.stderr == ""


def test_the_earlier_name_of_attention_works_with_a_warning(aims, shapes):
    arguments = ("run", "--method", "linear", "--modality", "thermal", "--precision", "bf16")
    arguments += ("--data", shapes / "data")
    for option in ("--attention", "--path"):
        code, _, err = aims(*arguments, option, "stock")
        assert code == 2
        assert "--attention stock computes in float32" in err
        assert ("warning: --path is now --attention" in err) == (option == "--path")
