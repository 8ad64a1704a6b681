"""`aims init`: the file that it writes, what it prints, and that `aims convert folder` takes it as it is."""

from __future__ import annotations

import json
import tomllib

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """A folder with a space in its name, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("aims.cli._terminal.out._width", 60)
    folder = tmp_path / "My recordings"
    for name in ("thermal", "masks"):
        (folder / name).mkdir(parents=True)
    for k in range(4):
        picture = (np.arange(20 * 30).reshape(20, 30) * 7 + k) % 251
        Image.fromarray(picture.astype(np.uint8)).save(folder / "thermal" / f"{k}.png")
        mask = np.zeros((20, 30), np.uint8)
        mask[3:9, 4:12] = 255
        Image.fromarray(mask).save(folder / "masks" / f"{k}.png")
    return folder


def test_the_file_is_converted_as_it_is(aims, recordings, tmp_path):
    code, out, err = aims("init", "My recordings")
    assert (code, err) == (0, "")
    assert out.splitlines()[-2:] == [
        "written: My recordings.toml",
        "next: aims convert folder 'My recordings.toml' --raw 'My recordings'",
    ]
    assert tomllib.loads((tmp_path / "My recordings.toml").read_text("utf-8"))["name"] == "my-recordings"
    code, out, err = aims("convert", "folder", "My recordings.toml", "--raw", "My recordings", "--json")
    assert code == 0, err
    assert {split: counts["instances"] for split, counts in json.loads(out)["splits"].items()} == {
        "train": 3,
        "test": 1,
    }
    assert aims("verify", "data/aims/my-recordings")[0] == 0


@pytest.mark.parametrize("columns", [60, 120])
def test_lines_fit_the_terminal(aims, recordings, monkeypatch, columns):
    monkeypatch.setattr("aims.cli._terminal.out._width", columns)
    _, out, _ = aims("init", recordings, "-o", "a.toml")
    # Commands stand in one line, to be copied.
    assert all(len(line.rstrip()) <= columns for line in out.splitlines() if not line.startswith("next:"))
    assert "thermal/{id}.png" in out
    assert "the licence ('license')" in out


def test_a_file_that_is_there_is_kept(aims, recordings, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("precious")
    code, out, err = aims("init", recordings, "--out", path)
    assert (code, out) == (2, "")
    assert err == f"error: {path}: is there already; give --force to replace it, or --out for another file\n"
    assert path.read_text() == "precious"
    assert aims("init", recordings, "--out", path, "--force")[0] == 0
    assert tomllib.loads(path.read_text("utf-8"))["name"] == "my-recordings"
    code, _, err = aims("init", recordings, "--out", tmp_path)
    assert (code, err.startswith(f"error: {tmp_path}: is a folder")) == (2, True)


def test_what_is_missing_is_told(aims, recordings, tmp_path):
    (recordings / "masks" / "3.png").unlink()
    assert aims("init", recordings, "-o", "a.toml")[1].splitlines()[-1].endswith(" --keep-going")
    code, out, _ = aims("init", recordings / "thermal", "-o", "b.toml")
    assert code == 0
    assert "to be mended before it can be converted:\n  - labels, named as their pictures are" in out
    assert "next:" not in out
    code, _, err = aims("convert", "folder", "b.toml", "--raw", recordings / "thermal")
    assert (code, err.count("\n")) == (2, 1)
    code, out, err = aims("init", tmp_path / "nowhere")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert not (tmp_path / "nowhere.toml").exists()


def test_json(aims, recordings):
    found = json.loads(aims("init", recordings, "-o", "a.toml", "--json")[1])
    assert found["file"] == "a.toml"
    assert [entry["part"] for entry in found["found"]] == ["splits", "thermal", "labels"]
    assert found["problems"] == []
    assert found["guesses"] == ["splits: a random share, the same every time"]
