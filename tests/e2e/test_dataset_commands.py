"""`aims list`, `aims inspect` and `aims view` as a user has them."""

from __future__ import annotations

import json
import re
import shutil
from importlib.metadata import EntryPoint

import cv2
import numpy as np
import pytest
from rich.cells import cell_len
from tiny_set import NAMES, Tiny

from aims.core.converters import installed_converters
from aims.data.write import convert
from helpers import MadeUp


@pytest.fixture
def folder(raw, tmp_path):
    convert(Tiny(raw=raw), tmp_path / "data" / "tiny")
    return tmp_path / "data" / "tiny"


def one_line(err, code):
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def test_list_shows_every_converter_and_what_is_converted(aims, folder):
    code, out, err = aims("list", "datasets", "--data", folder.parent)
    assert code == 0, err
    for name in installed_converters():
        assert name in out
    assert "rgb-depth" in out  # with a plain hyphen, as --modality wants it
    assert "tiny" in out
    code, out, _ = aims("list", "datasets", "--data", folder.parent, "--json")
    value = json.loads(out)
    assert [entry["name"] for entry in value["converters"]] == list(installed_converters())
    (entry,) = value["datasets"]
    assert (entry["images"], entry["instances"], entry["path"]) == (3, 5, str(folder))
    assert entry["splits"]["test"] == {"images": 1, "instances": 1}
    assert json.loads(aims("list", "datasets", "--data", folder, "--json")[1])["datasets"] == [entry]


def test_list_takes_published_facts_from_the_converters(aims, tmp_path):
    code, out, err = aims("list", "datasets", "--data", tmp_path / "none", "--json")
    assert code == 0, err
    value = json.loads(out)
    assert value["datasets"] == []
    found = {entry["name"]: entry for entry in value["converters"]}
    assert found["folder"]["published"] is None
    assert found["nyuv2"]["modalities"] == ["depth", "hha", "rgb-depth", "rgb-hha"]
    if found["rgbp-glass"]["error"] is None:
        assert found["rgbp-glass"]["published"]["images"] == {"train": 3207, "test": 1304}


def test_list_tells_which_sets_are_at_hand(aims, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for number, split in enumerate(("train", "val", "test")):
        for folder, value in (("images", number), ("masks", 255)):
            path = tmp_path / "data" / "raw" / "thermal-udder" / folder / split / f"{number}.png"
            path.parent.mkdir(parents=True)
            cv2.imwrite(str(path), np.full((4, 6), value, np.uint8))
    assert aims("convert", "thermal-udder")[0] == 0
    (tmp_path / "data" / "raw" / "nyuv2").mkdir()
    code, out, err = aims("list", "datasets", "--json")
    assert code == 0, err
    found = {entry["name"]: entry for entry in json.loads(out)["converters"]}
    assert {name: entry["at_hand"] for name, entry in found.items() if entry["at_hand"]} == {
        "nyuv2": ["raw"],
        "thermal-udder": ["raw", "converted"],
    }
    assert found["pst900"]["published"]["size"] == "1.4 GB"
    assert found["pst900"]["published"]["sensor"] == "thermal"
    code, _, err = aims("convert", "cwfid")
    assert "data/raw/cwfid: no such folder; cwfid: https://github.com/cwfid/dataset" in one_line(err, code)


def test_list_goes_on_past_what_is_broken(aims, monkeypatch, folder):
    broken = EntryPoint(name="broken", value="no_such_module:Converter", group="aims.converters")
    known = {**installed_converters(), "broken": broken}
    monkeypatch.setattr("aims.core.converters.installed_converters", lambda: known)
    monkeypatch.setattr("aims.cli.list.installed_converters", lambda: known)
    damaged = folder.parent / "damaged"
    damaged.mkdir()
    (damaged / "aims.json").write_text('{"version": 1}')
    code, out, err = aims("list", "datasets", "--data", folder.parent)
    assert code == 0, err
    assert "no_such_module" in out
    assert "not importable" in out
    assert "damaged" in out
    assert "tiny" in out
    value = json.loads(aims("list", "datasets", "--data", folder.parent, "--json")[1])
    assert "not a manifest" in value["datasets"][0]["error"]
    assert "no_such_module" in next(e["error"] for e in value["converters"] if e["name"] == "broken")


def test_list_names_the_nearest(aims):
    code, _, err = aims("list", "datset")
    assert "did you mean 'datasets'" in one_line(err, code)


@pytest.mark.parametrize("width", [40, 80, 100, 140])
def test_tables_keep_to_the_terminal(aims, monkeypatch, folder, width):
    monkeypatch.setattr("aims.cli._terminal.out._width", width)
    for args in (("list", "datasets", "--data", folder.parent), ("inspect", folder)):
        code, out, err = aims(*args)
        assert code == 0, err
        # Addresses and paths are left to the terminal, so that they can be copied.
        table = out.partition("Where to get them")[0]
        assert max(map(len, table.splitlines())) <= width
        if width >= 80:
            # Nothing is cut off either.
            assert "…" not in out


@pytest.mark.parametrize("width", [80, 100, 140])
def test_every_word_of_a_licence_is_there(aims, monkeypatch, tmp_path, width):
    monkeypatch.setattr("aims.cli._terminal.out._width", width)
    _, out, _ = aims("list", "datasets", "--data", tmp_path)
    converters = json.loads(aims("list", "datasets", "--data", tmp_path, "--json")[1])["converters"]
    words = {
        word for entry in converters if entry["published"] for word in entry["published"]["license"].split()
    }
    assert words
    shown = set(out.split())
    assert words <= shown


@pytest.mark.parametrize("width", [44, 60, 78])
def test_no_word_of_inspect_is_broken(aims, monkeypatch, folder, width):
    """But where it does not fit a line alone: the fingerprint, and paths."""
    wide, narrow = [], []
    for columns, words in ((200, wide), (width, narrow)):
        monkeypatch.setattr("aims.cli._terminal.out._width", columns)
        code, out, _ = aims("inspect", folder, "--all")
        assert code == 0
        assert all(cell_len(line) <= columns for line in out.splitlines())
        tables = out.partition("\nSplits\n")[2]
        words += re.findall(r"[^\s;]*\w[^\s;]*", tables)
    # A table that is told row by row names its columns in each.
    assert {*wide} == {*narrow}
    assert {"leaf", "stone", "float64", "declared"} <= {*narrow}


def test_inspect(aims, folder):
    code, out, err = aims("inspect", folder)
    assert code == 0, err
    for text in ("measured in all 3 images", "6 x 4 (2), 3 x 2 (1)", "none & <free>", "A. Nobody", "float64"):
        assert text in out
    assert "without an instance: absent" in out
    assert "no instance" in out
    code, out, _ = aims("inspect", folder, "--images", 2)
    assert "2 of 3 images" in out
    code, out, _ = aims("inspect", folder, "--json", "--all")
    value = json.loads(out)
    assert value["streams"]["depth"]["outside"] == 1
    assert value["streams"]["depth"]["spec"]["unit"] == "m"
    assert value["splits"]["train"]["class_instances"]["leaf"] == 3
    assert value["dropped"][0]["kind"] == "no instance"
    assert (value["images_read"], value["warnings"]) == (3, [])


def test_inspect_shows_the_warnings_of_the_conversion(aims, folder):
    manifest = json.loads((folder / "aims.json").read_text())
    manifest["warnings"] = ["train holds 3 images, published are 4"]
    (folder / "aims.json").write_text(json.dumps(manifest))
    assert "warning: train holds 3 images" in aims("inspect", folder)[2]
    assert json.loads(aims("inspect", folder, "--json")[1])["warnings"] == manifest["warnings"]


def test_view(aims, folder, tmp_path):
    page = tmp_path / "pages" / "page.html"
    code, out, err = aims("view", folder, "--out", page)
    assert code == 0, err
    assert "3 of 3 images" in out
    first = page.read_bytes()
    code, _, err = aims("view", folder, "--out", page)
    assert "--overwrite" in one_line(err, code)
    assert aims("view", folder, "--out", page, "--overwrite")[0] == 0
    assert page.read_bytes() == first
    assert sorted(path.name for path in page.parent.iterdir()) == ["page.html"]
    args = ("view", folder, "--out", page, "--overwrite", "--images", 1, "--split", "test", "--json")
    value = json.loads(aims(*args)[1])
    assert (value["images"], value["bytes"]) == ([NAMES[2]], page.stat().st_size)


def test_view_names_a_wrong_split(aims, folder, tmp_path):
    code, _, err = aims("view", folder, "--out", tmp_path / "page.html", "--split", "trian")
    assert "did you mean 'train'" in one_line(err, code)
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("command", [("inspect",), ("view", "--out", "page.html")])
def test_no_dataset(aims, tmp_path, command):
    code, _, err = aims(*command, tmp_path / "absent")
    assert "no such folder" in one_line(err, code)
    code, _, err = aims(*command, tmp_path)
    assert "no AIMS dataset" in one_line(err, code)


def test_view_refuses_what_it_cannot_write(aims, folder, tmp_path):
    code, _, err = aims("view", folder, "--out", tmp_path)
    assert "is a folder" in one_line(err, code)
    (tmp_path / "file").write_text("")
    code, _, err = aims("view", folder, "--out", tmp_path / "file" / "page.html")
    assert "cannot be written" in one_line(err, code)


def test_inspect_takes_one_of_two_options(aims, folder):
    code, _, err = aims("inspect", folder, "--all", "--images", 3)
    assert "exclude each other" in one_line(err, code)


def test_many_classes_and_reasons_are_cut_on_screen_only(aims, raw, tmp_path):
    convert(MadeUp(raw=raw, broken=("a001",)), tmp_path / "set", keep_going=True)
    lines = [
        {"split": "train", "image_id": f"x{k}", "kind": "unreadable", "reason": f"reason number {k:02d}."}
        for k in range(20)
    ]
    (tmp_path / "set" / "dropped.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    code, out, err = aims("inspect", tmp_path / "set")
    assert code == 0, err
    assert "and 8 for 8 further reasons" in out
    assert len(json.loads(aims("inspect", tmp_path / "set", "--json")[1])["dropped"]) == 20


def test_damage_is_a_failure_in_one_line(aims, folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    shard = copy / "data" / "test-00000-of-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:100])
    for command in (("inspect", copy), ("view", copy, "--out", tmp_path / "page.html")):
        code, _, err = aims(*command)
        assert code == 1
        assert err.count("\n") == 1
        assert "not readable" in err
