"""The contents that README and docs/start.md name are those that its commands make, on any machine."""

from __future__ import annotations

import re
import shlex
import tomllib

import pytest
from documentation import ROOT, START, commands

from aims.data.read import Dataset

SUITE = tomllib.loads((ROOT / "benchmarks" / "demo.toml").read_text("utf-8"))
#: Dataset -> the commands that make it.
MADE = {data["dataset"]: data["make"] for data in SUITE["data"]} | {
    "shapes": [
        "aims synth folder --out {made}/shapes --scenes 60",
        "aims convert folder {made}/shapes/shapes.toml --out {data}/shapes",
    ]
}


def test_the_pages_name_no_other_content():
    named = re.findall(r"^([\w-]+): protocol .*, content [0-9a-f]{8};", START, re.MULTILINE)
    assert {*named} == {*MADE}
    # The commands of `shapes` are the README's own.
    own = ["aims synth folder --out raw --scenes 60", "aims convert folder raw/shapes.toml"]
    assert {*own} <= {*commands(START)}


@pytest.mark.parametrize("name", MADE)
def test_its_commands_make_the_content(aims, tmp_path, name):
    for line in MADE[name]:
        program, *arguments = shlex.split(
            line.format(made=tmp_path / "made", data=tmp_path / "data", suite=ROOT / "benchmarks")
        )
        assert program == "aims"
        assert aims(*arguments)[0] == 0
    dataset = Dataset.open(tmp_path / "data" / name)
    shown = re.findall(
        rf"^{name}: .*, content (\w+); (\d+) instances in (\d+) test images(?: of \d+ groups)?$",
        START,
        re.MULTILINE,
    )
    images = dataset.index["test"]
    assert {(content, int(count)) for content, _, count in shown} == {(dataset.fingerprint[:8], len(images))}
    if name == "shapes":
        assert set(re.findall(r"^fingerprint (\w+)$", START, re.MULTILINE)) == {dataset.fingerprint[:16]}
