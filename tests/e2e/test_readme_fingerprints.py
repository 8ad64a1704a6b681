"""The contents that the README names are those that its commands make, on any machine."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from aims.data.read import Dataset

ROOT = Path(__file__).parents[2]
SUITE = tomllib.loads((ROOT / "benchmarks" / "demo.toml").read_text("utf-8"))
#: Dataset -> the commands that make it.
MADE = {data["dataset"]: data["make"] for data in SUITE["data"]} | {
    "shapes": [
        "aims synth folder --out {made}/shapes --scenes 60",
        "aims convert folder {made}/shapes/shapes.toml --out {data}/shapes",
    ]
}
README = (ROOT / "README.md").read_text("utf-8")


def test_the_readme_names_no_other_content():
    named = re.findall(r"^([\w-]+): protocol .*, content [0-9a-f]{8};", README, re.MULTILINE)
    assert sorted(named) == sorted(MADE)
    # The commands of `shapes` are the README's own.
    assert "$ aims synth folder --out raw --scenes 60  " in README
    assert "$ aims convert folder raw/shapes.toml\n" in README


@pytest.mark.parametrize("name", MADE)
def test_its_commands_make_the_content(aims, tmp_path, name):
    for line in MADE[name]:
        program, *arguments = shlex.split(
            line.format(made=tmp_path / "made", data=tmp_path / "data", suite=ROOT / "benchmarks")
        )
        assert program == "aims"
        assert aims(*arguments)[0] == 0
    dataset = Dataset.open(tmp_path / "data" / name)
    shown = re.search(
        rf"^{name}: .*, content (\w+); (\d+) instances in (\d+) test images(?: of \d+ groups)?$",
        README,
        re.MULTILINE,
    )
    images = dataset.index["test"]
    assert shown[1] == dataset.fingerprint[:8]
    assert int(shown[3]) == len(images)
    if name == "shapes":
        assert f"\nfingerprint {dataset.fingerprint[:16]}\n" in README
