"""A setting and a protocol are declared in one place each: one more line there is all that it takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aims.synth.shapes import write_shapes

ROOT = Path(__file__).parents[2]

#: Run in a process of its own, whose `aims.core` has one setting and one protocol more than the source.
SCRIPT = """
import importlib.util, json, sys
from pathlib import Path
import aims.core

def add(module, before, line):
    spec = importlib.util.find_spec(module)
    source = Path(spec.origin).read_text("utf-8")
    assert source.count(before) == 1
    loaded = sys.modules[module] = importlib.util.module_from_spec(spec)
    exec(compile(source.replace(before, line + before), spec.origin, "exec"), loaded.__dict__)

add(
    "aims.core.vocabulary",
    "STRICT_2, PAPER, STRICT, PAPER_1)",
    'replace(PAPER, name="third", click="deepest", at_native=True, select_on="val", smoothing=0.5), ',
)
add(
    "aims.core.config",
    "    options: Mapping[str, Option]",
    '    drop_path: float = setting("Share of paths left out.", since=0.0, label="drop path {:g}")\\n',
)

import click.testing
from aims.cli.run import command
from aims.cli.sweep import suite_fields
from aims.cli import main
from aims.core.config import SETTINGS
from aims.suites.suite import read_suite

data, work = map(Path, sys.argv[1:])
assert "--drop-path FLOAT" in click.testing.CliRunner().invoke(command, ["--help"]).output

suite = work / "suite.toml"
head = 'title = "T"\\nquestion = "Q?"\\nfound = ""\\ncost = "none"\\ncommand = "c"\\n'
grid = '[[grid]]\\nmethod = "disc"\\nmodality = "thermal"\\nprotocol = "third"\\ndrop-path = [0.0, 0.5]\\n'
suite.write_text(head + grid)
entries = read_suite(suite, suite_fields()).entries
assert [entry.arguments["drop_path"] for entry in entries] == [0.0, 0.5]

def call(*words):
    try:
        main([str(word) for word in words])
    except SystemExit as stop:
        assert stop.code == 0, words

for entry in entries:
    call(*entry.command.split()[1:], "--data", data, "--runs", work / "runs")
configs = [json.loads(path.read_text())["config"] for path in sorted(work.glob("runs/*/run.json"))]
assert sorted(config["drop_path"] for config in configs) == [0.0, 0.5]
assert {config["protocol"] for config in configs} == {"third"}
for run in (work / "runs").glob("[!.]*"):
    call("verify", run, "--data", data)
call("report", "--runs", work / "runs", "--data", data, "--out", work / "report", "--jobs", 1)
page = (work / "report" / "index.html").read_text("utf-8")
assert "third" in page
"""


@pytest.mark.thorough
def test_a_setting_and_a_protocol_are_a_line_each(aims, tmp_path):
    description = write_shapes(tmp_path / "raw", scenes=9, size=(48, 64), seed=0, rgb=True)
    assert aims("convert", "folder", description, "--out", tmp_path / "data" / "shapes")[0] == 0
    arguments = (sys.executable, "-c", SCRIPT, tmp_path / "data", tmp_path)
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_the_name_of_a_setting_stands_where_it_is_declared_and_where_it_is_used():
    """Options, `plan`, suites, labels and sort keys hold no list of settings of their own."""
    listed = {"cli", "suites", "methods"}
    packages = {}
    for path in (ROOT / "aims").rglob("*.py"):
        text = path.read_text("utf-8")
        for name in ("train_images", "train-images", "score_every"):
            if name in text:
                packages.setdefault(path.relative_to(ROOT / "aims").parts[0], set()).add(path.name)
    assert not listed & packages.keys()
    assert packages["core"] == {"config.py"}
    assert "plan.py" not in packages["engine"]
