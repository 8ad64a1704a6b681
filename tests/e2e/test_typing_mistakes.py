"""Misspelt names and options: answered at once, before torch is imported, and completed by the shell."""

from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest
from click.shell_completion import ShellComplete

from aims.cli import cli
from aims.cli._names import registered_names
from aims.engine.export import FORMATS
from aims.engine.losses import LOSSES
from aims.methods import BACKBONES, METHODS, TUNINGS

REGISTRIES = {"method": METHODS, "tuning": TUNINGS, "backbone": BACKBONES, "loss": LOSSES, "format": FORMATS}
RUN = ("run", "--method", "simcmf", "--modality", "nir")
SIMCMF = "unknown method 'simcnf'; did you mean 'simcmf'?"
MISTAKES = {
    ("run", "--modalty", "nir"): "no such option: --modalty; did you mean --modality?",
    ("run", "--methd=simcmf", "--modality", "nir"): "no such option: --methd; did you mean --method?",
    ("run", "--rank", "4"): "Missing option '--method'.",
    ("run", "--method", "simcnf", "--modality", "nir"): SIMCMF,
    (*RUN, "--tuning", "lra"): "unknown tuning 'lra'; did you mean 'lora'?",
    (*RUN, "--backbone", "sam-tny"): "unknown backbone 'sam-tny'; did you mean 'sam-tiny'?",
    (*RUN, "--loss", "dice-cee"): "unknown loss 'dice-cee'; did you mean 'dice-ce'?",
    (*RUN, "--protocol", "stric"): "unknown protocol 'stric'; did you mean 'strict'?",
    (*RUN, "--precision", "bf61"): "unknown precision 'bf61'; did you mean 'bf16'?",
    (*RUN, "--data", "nowhere"): "nowhere: no such folder",
    ("info", "--method", "simcnf"): SIMCMF,
    ("export-model", "run", "--format", "onx"): "unknown format 'onx'; did you mean 'onnx'?",
    (
        "convert",
        "folder",
        ".",
    ): ".: a folder, not a TOML file; give the file, or let `aims init FOLDER` write one",
}
#: Gives each command of a list to AIMS, and prints its exit code and errors.
SCRIPT = """
import contextlib, io, json, sys
from aims.cli import main
found = []
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            main(words)
        except SystemExit as end:
            found.append([end.code, said.getvalue()])
assert "torch" not in sys.modules
print(json.dumps(found))
"""


def test_mistakes_are_answered_without_torch(tmp_path):
    command = [sys.executable, "-c", SCRIPT, json.dumps([*MISTAKES])]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    for (words, expected), (code, said) in zip(MISTAKES.items(), json.loads(done.stdout), strict=True):
        assert (code, said.count("\n")) == (2, 1), words
        assert said.startswith(f"error: {expected}")


@pytest.mark.parametrize("kind", REGISTRIES)
def test_names_are_those_of_the_registry(kind):
    assert registered_names(kind) == (*REGISTRIES[kind],)


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        (["run", "--method"], "sim", ["simcmf", "simcmf-plus", "simcmf-released"]),
        (["run", "--tuning"], "l", ["linear-probe", "lora"]),
        (["run", "--modality"], "rgb-h", ["rgb-hha"]),
        (["run", "--prompts"], "", ["box", "click", "clicks", "mixed"]),
        (["info", "--method"], "disc", ["disc"]),
        (["export-model", "run", "--format"], "on", ["onnx"]),
        (["run"], "--batch", ["--batch-size"]),
        (["convert"], "nyu", ["nyuv2"]),
        (["sweep"], "prom", ["prompts"]),
    ],
)
def test_the_shell_completes_names(words, incomplete, expected):
    found = ShellComplete(cli, {}, "aims", "_AIMS_COMPLETE").get_completions(words, incomplete)
    assert [item.value for item in found] == expected


def test_every_option_with_few_values_is_completed():
    """A choice of click's, or a name of ours."""
    run = cli.get_command(click.Context(cli), "run")
    with click.Context(run) as context:
        for name in ("method", "tuning", "modality", "backbone", "protocol", "precision", "loss", "prompts"):
            (option,) = (each for each in run.params if each.name == name)
            assert option.shell_complete(context, ""), name
