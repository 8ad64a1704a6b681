"""Suites by name and by file, and the tables that say how data are made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from suite_files import FIELDS, GRID, read

from aims.cli.sweep import suite_fields
from aims.core.errors import InputError
from aims.suites.suite import find_suite, read_suite

DATA = '[[data]]\ndataset = "set"\nimages = { train = 3 }\nmake = ["aims synth folder --out {made}/set"]\n'


def test_by_name_or_by_file(tmp_path, monkeypatch):
    assert find_suite("smoke").name == "smoke.toml"
    monkeypatch.chdir(tmp_path)
    Path("own.toml").touch()
    assert find_suite("own.toml") == Path("own.toml")
    with pytest.raises(InputError, match=r"unknown suite 'smok'; did you mean 'smoke'\?"):
        find_suite("smok")
    with pytest.raises(InputError, match=r"gone\.toml: no such file"):
        find_suite("gone.toml")


def test_folders_are_filled_in_word_by_word(tmp_path):
    make = """make = [
        'python -m aims.benchmarks.floors "{raw}/two words" {made}',
        "aims convert folder {suite}/x.toml --out {data}/set",
    ]"""
    (recipe,) = read(tmp_path, f'[[data]]\ndataset = "set"\n{make}\n{GRID}').recipes
    assert (recipe.dataset, recipe.images) == ("set", {})
    folders = {name: Path(f"/a b/{name}") for name in ("data", "raw", "made", "suite")}
    assert recipe.commands(**folders) == [
        ["python", "-m", "aims.benchmarks.floors", "/a b/raw/two words", "/a b/made"],
        ["aims", "convert", "folder", "/a b/suite/x.toml", "--out", "/a b/data/set"],
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dataset =", "datset =", "t.toml [[data]] 1: no 'dataset'; is 'datset' meant for it?"),
        ("images =", "image =", "t.toml [[data]] 1: unknown key 'image'; did you mean 'images'?"),
        ('"set"', "3", "[[data]] 1: dataset: expected 'str', got 'int'"),
        ("train = 3", "train = 0", "[[data]] 1: images.train: expected 'int' >= 1"),
        ("{ train = 3 }", "3", "[[data]] 1: images: expected 'object', got 'int'"),
        ("[data]", "data", "data: expected 'array', got 'object'"),
        ('["aims synth folder --out {made}/set"]', "[]", "[[data]] 1: make: expected 'array' of length >= 1"),
        ("{made}", "{home}", "[[data]] 1: a command of 'make' cannot be read ('home')"),
        ("{made}", "{made", "[[data]] 1: a command of 'make' cannot be read"),
        ("--out", "'--out", "[[data]] 1: a command of 'make' cannot be read (No closing quotation)"),
        ("aims synth folder", "rm -rf", "is not run; a command here begins with one of `aims synth`, "),
        ("aims synth folder", "aims synthetic", "is not run"),
        ("aims synth folder", "aims", "is not run"),
        ("aims synth folder", "python -m pip install", "is not run"),
    ],
)
def test_mistakes(tmp_path, old, new, message):
    assert old in DATA
    with pytest.raises(InputError) as raised:
        read(tmp_path, DATA.replace(old, new) + GRID)
    assert message in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path))


def test_no_toml(tmp_path):
    with pytest.raises(InputError, match=r"t\.toml: not TOML \(Invalid value"):
        read(tmp_path, "", "title = ")
    (tmp_path / "t.toml").write_bytes(b"\xff")
    with pytest.raises(InputError, match="not TOML"):
        read_suite(tmp_path / "t.toml", FIELDS)
    with pytest.raises(InputError, match="no such file"):
        read_suite(tmp_path / "u.toml", FIELDS)


def test_the_form_in_the_documentation_is_read(tmp_path):
    page = (Path(__file__).parents[3] / "docs" / "suites.md").read_text("utf-8")
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "kernels.toml").write_text(text, encoding="utf-8")
    suite = read_suite(tmp_path / "kernels.toml", suite_fields())
    # 3 seeds x 2 tunings x 3 kernels, less 3 seeds of one pair, and 2 floors.
    assert len(suite.entries) == 18 - 3 + 2
    assert suite.recipes[0].images == {"train": 40, "test": 20}
