"""A damaged dataset ends every command that reads it in one line, with exit code 1 or 2."""

from __future__ import annotations

import hashlib
import json
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toys

from aims.data.format import encode_instances
from helpers import put

HUGE_PNG = encode_instances(np.zeros((4, 4), np.uint16))
HUGE_PNG = HUGE_PNG[:16] + (40_000).to_bytes(4, "big") * 2 + HUGE_PNG[24:]
TRAIN = "data/train-00000-of-00001.parquet"

#: Place in aims.json -> the values that are put there; `...` takes the key away.
MANIFEST = {
    ("version",): (None, "1", []),
    ("dataset",): (None, []),
    ("dataset", "classes"): ([1, 2], [], "ab", None),
    ("dataset", "license"): (3, None),
    ("dataset", "name"): ("\ud800", None, []),
    ("dataset", "licence"): ("none",),
    ("dataset", "streams"): ([], None, {"a": {}, "b": 1}),
    ("dataset", "streams", "signal"): (None, ..., []),
    ("dataset", "streams", "signal", "channels"): (float("inf"), -1, 0, "one", None, 1.5),
    ("dataset", "streams", "signal", "missing"): ([0], "0", float("nan"), 10**400),
    ("dataset", "streams", "signal", "valid_range"): (
        [float("nan"), 1],
        [1],
        [1, 1],
        [],
        [2, 1],
        ["a", 1],
        [0, 10**400],
    ),
    ("dataset", "streams", "signal", "wave_length_nm"): ([700, 900],),
    ("dataset", "streams", "signal", "wavelength_nm"): ("red", [700], [9, 8]),
    ("splits",): ([], None, {"train": None}, {"train": {"images": "x", "instances": 1}}),
    ("fingerprint",): (..., None, 7, "x"),
    ("files",): ([], None, "x"),
    ("files", TRAIN): (None, []),
    ("files", TRAIN, "images"): (..., "12", -1),
    ("files", TRAIN, "sha256"): (..., None, ""),
    ("files", TRAIN, "split"): (..., None, 5),
    ("files", "data/\ud800"): ({"split": "train", "images": 1, "instances": 1, "sha256": "0" * 64},),
    ("dropped",): ([], None, {"object": "x"}),
    ("warnings",): (3, [3]),
    ("inventory",): (3, [3], [{"pattern": "x"}]),
}
#: Path to a value in the first row -> the values that are put there.
CELLS = {
    ("image_id",): (None,),
    ("group",): (None,),
    ("height",): (None, 0, 7),
    ("signal",): (None,),
    ("signal", "data"): (None, b"short"),
    ("signal", "dtype"): (None, "object"),
    ("signal", "shape"): (None, [24, 32], [32, 24, 2], [24, 32, -2], [24, 32, 0]),
    ("instances",): (None,),
    ("instances", "bytes"): (None, b"", HUGE_PNG, encode_instances(np.ones((40, 40), np.uint16))),
    ("objects",): (None, []),
    ("objects", 0): (None,),
    ("objects", 0, "id"): (None, -1, 2, 9),
    ("objects", 0, "class_id"): (None, 0, 99),
    ("objects", 0, "area"): (None,),
    ("objects", 0, "click_paper"): (None, [5000, 1], [-1, 0]),
    ("objects", 0, "click_strict"): (None, [1, 5000]),
}
COMMANDS = ("verify", "inspect", "view", "audit", "export", "run")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return toys.made_up_set(tmp_path_factory.mktemp("damaged") / "set", images=2, size=(24, 32)).folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "set")


def write_manifest(folder, manifest):
    (folder / "aims.json").write_text(json.dumps(manifest))


def write_rows(folder, table):
    """Writes the training images, with the checksum corrected, so that the damage itself is what is met."""
    pq.write_table(table, folder / TRAIN)
    manifest = json.loads((folder / "aims.json").read_text())
    manifest["files"][TRAIN]["sha256"] = hashlib.sha256((folder / TRAIN).read_bytes()).hexdigest()
    write_manifest(folder, manifest)


def arguments(command, folder):
    scratch = folder.parent
    if command == "run":
        # A folder of its own, as a finished run would answer.
        runs = scratch / f"runs{len(list(scratch.glob('runs*')))}"
        return ("run", "--data", folder, "--runs", runs, "--method", "disc", "--modality", "signal")
    more = {
        "view": ("--out", scratch / "page.html"),
        "export": ("--format", "coco", "--out", scratch / "coco"),
        "inspect": ("--all",),
    }.get(command, ())
    return (command, folder, *more)


def refused(aims, folder, commands=COMMANDS):
    """The lines of the commands, each of which must end with one, or find nothing wrong in what it reads."""
    lines = {}
    for command in commands:
        code, out, err = aims(*arguments(command, folder))
        assert code in (0, 1, 2), (command, err)
        assert "Traceback" not in err
        if code:
            text = (out + err).strip()
            assert text, command
            lines[command] = text
            if command != "verify":
                # `run` first says what it is about to do.
                *before, last = err.splitlines()
                assert last.startswith("error: "), (command, err)
                assert not before or command == "run", (command, err)
    return lines


@pytest.mark.parametrize("place", MANIFEST, ids=".".join)
def test_a_damaged_manifest_is_one_line_everywhere(aims, folder, place):
    whole = json.loads((folder / "aims.json").read_text())
    for new in MANIFEST[place]:
        manifest = json.loads(json.dumps(whole))
        put(manifest, place, new)
        write_manifest(folder, manifest)
        lines = refused(aims, folder)
        assert set(lines) == set(COMMANDS), (new, lines)
        assert all("aims.json" in line for line in lines.values()), (new, lines)


@pytest.mark.parametrize("place", CELLS, ids=lambda place: ".".join(map(str, place)))
def test_a_damaged_cell_is_one_line_everywhere(aims, folder, place):
    table = pq.read_table(folder / TRAIN)
    for new in CELLS[place]:
        rows = table.to_pylist()
        put(rows[0], place, new)
        write_rows(folder, pa.Table.from_pylist(rows, table.schema))
        lines = refused(aims, folder)
        assert {"verify", "view"} <= set(lines), (new, lines)


@pytest.mark.parametrize("name", ["group", "instances", "signal", "objects", "height"])
@pytest.mark.parametrize("change", ["gone", "text"])
def test_a_column_that_is_missing_or_of_another_type(aims, folder, name, change):
    table = pq.read_table(folder / TRAIN)
    place = table.column_names.index(name)
    table = table.remove_column(place)
    if change == "text":
        table = table.add_column(place, name, pa.array([7.5] * len(table)))
    write_rows(folder, table)
    lines = refused(aims, folder)
    assert {"verify", "view", "inspect", "export"} <= set(lines)


def test_what_is_no_regular_file_is_not_waited_for(aims, folder):
    for name in (TRAIN, "dropped.jsonl"):
        (folder / name).unlink()
        os.mkfifo(folder / name)
        assert "verify" in refused(aims, folder)


def test_a_damaged_list_of_what_was_dropped(aims, folder):
    for text in ("[]", "3", '{"split": 1}', '{"split": "train", "image_id": "a", "kind": [], "reason": ""}'):
        (folder / "dropped.jsonl").write_text(text + "\n")
        lines = refused(aims, folder, ("verify", "inspect"))
        assert set(lines) == {"verify", "inspect"}
        assert all("dropped.jsonl" in line for line in lines.values())


def test_the_nearest_key_is_named(aims, folder):
    manifest = json.loads((folder / "aims.json").read_text())
    manifest["fingerprnt"] = manifest.pop("fingerprint")
    write_manifest(folder, manifest)
    assert "no 'fingerprint'; is 'fingerprnt' meant for it?" in refused(aims, folder)["inspect"]
    manifest["fingerprint"] = manifest.pop("fingerprnt")
    manifest["dataset"]["streams"]["signal"]["missin"] = 0
    write_manifest(folder, manifest)
    said = "dataset.streams.signal: unknown key 'missin'; did you mean 'missing'?"
    assert said in refused(aims, folder)["inspect"]
