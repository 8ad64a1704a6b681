"""Each test breaks one promise of a dataset and expects it to be named."""

from __future__ import annotations

import json
import re

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_set import Tiny

from aims.core.errors import InputError
from aims.core.files import sha256_file
from aims.data.verify import verify_dataset
from aims.data.write import convert
from helpers import MadeUp

TRAIN = "data/train-00000-of-00001.parquet"


@pytest.fixture
def folder(raw, tmp_path):
    convert(MadeUp(raw=raw, rgb=True), tmp_path / "set")
    assert verify_dataset(tmp_path / "set") == []
    return tmp_path / "set"


def edit_manifest(folder, change):
    manifest = json.loads((folder / "aims.json").read_text())
    change(manifest)
    (folder / "aims.json").write_text(json.dumps(manifest))


def edit_rows(folder, change, file=TRAIN):
    """Rewrites a Parquet file and its checksum, so that only the content is wrong."""
    table = pq.read_table(folder / file)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, table.schema), folder / file)
    entry = {"sha256": sha256_file(folder / file), "images": len(rows)}
    edit_manifest(folder, lambda m: m["files"][file].update(entry))


def found(folder):
    return [str(problem) for problem in verify_dataset(folder)]


def test_a_flipped_bit_is_a_wrong_checksum(folder):
    data = bytearray((folder / TRAIN).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / TRAIN).write_bytes(data)
    assert any("checksum differs" in line and line.startswith(TRAIN) for line in found(folder))


def test_files_missing_extra_and_truncated(folder):
    (folder / "data" / "extra.parquet").write_bytes(b"")
    (folder / "README.md").unlink()
    (folder / TRAIN).write_bytes((folder / TRAIN).read_bytes()[:1000])
    lines = found(folder)
    assert any(line == "data/extra.parquet: not listed in the manifest" for line in lines)
    assert any(line == "README.md: missing" for line in lines)
    assert any("not readable as Parquet" in line for line in lines)
    (folder / TRAIN).unlink()
    assert f"{TRAIN}: listed in the manifest but missing" in found(folder)


def test_a_changed_value_changes_the_fingerprint(folder):
    def change(rows):
        data = bytearray(rows[0]["signal"]["data"])
        data[0] ^= 1
        rows[0]["signal"]["data"] = bytes(data)

    edit_rows(folder, change)
    assert found(folder) == ["aims.json, fingerprint: does not follow from the content"]


def test_a_range_of_whole_numbers_keeps_its_fingerprint(raw, tmp_path):
    assert Tiny(raw=raw).spec().streams["depth"].valid_range == (0, 10)
    convert(Tiny(raw=raw), tmp_path / "set")
    assert found(tmp_path / "set") == []


def test_a_changed_unit_changes_the_fingerprint(folder):
    edit_manifest(folder, lambda m: m["dataset"]["streams"]["signal"].update(unit="mV"))
    assert found(folder) == ["aims.json, fingerprint: does not follow from the content"]


@pytest.mark.parametrize(
    ("column", "change", "message"),
    [
        ("objects.area", lambda row: row["objects"][0].update(area=3), "instance 1: 3, the map says"),
        ("objects.bbox", lambda row: row["objects"][0].update(bbox=[0, 0, 1, 1]), "the map says"),
        (
            "objects.click_strict",
            lambda row: row["objects"][0].update(click_strict=[99, 0]),
            "[99, 0] of instance 1 lies outside the picture",
        ),
        (
            "objects.click_paper",
            lambda row: row["objects"][0].update(click_paper=[0, 0]),
            "click [0, 0] of instance 1 does not lie in it",
        ),
        ("objects.class_id", lambda row: row["objects"][0].update(class_id=3), "class 3 of the 2"),
        ("objects", lambda row: row["objects"].pop(), "are not the map's"),
        ("signal", lambda row: row["signal"].update(shape=[24, 32, 1]), "not a tensor"),
        ("signal", lambda row: row["signal"].update(dtype="object"), "not a number"),
        ("signal", lambda row: row["signal"].update(shape=[32, 24, 2]), "shape is (32, 24, 2)"),
        ("signal", lambda row: row.update(signal=None), "got 'null'"),
        ("rgb", lambda row: row.update(rgb=None), "is empty"),
        ("rgb", lambda row: row.update(rgb={"bytes": b"no picture", "path": None}), "not a readable picture"),
        ("instances", lambda row: row.update(instances={"bytes": b"", "path": None}), "not a 16-bit"),
        ("instances", lambda row: row.update(instances=png(np.full((24, 32), 9))), "ids are not dense"),
        ("instances", lambda row: row.update(instances=png(np.ones((5, 5)))), "size is (5, 5)"),
        ("group", lambda row: row.update(group=""), "is empty"),
    ],
)
def test_rows(folder, column, change, message):
    edit_rows(folder, lambda rows: change(rows[3]))
    named = [line for line in found(folder) if line.startswith(f"{TRAIN}, row 3, {column}: ")]
    assert named, found(folder)
    assert message in named[0]


def png(instances):
    return {"bytes": cv2.imencode(".png", instances.astype(np.uint16))[1].tobytes(), "path": None}


def test_an_image_in_two_splits_is_named(folder):
    train = pq.read_table(folder / TRAIN).to_pylist()
    edit_rows(folder, lambda rows: rows.append(train[0]), "data/test-00000-of-00001.parquet")
    lines = found(folder)
    assert any("row 6, image_id: image 'a000' is in split 'train' and in 'test'" in line for line in lines)


def test_a_picture_in_two_splits_is_named_whatever_it_is_called(folder):
    train = {**pq.read_table(folder / TRAIN).to_pylist()[2], "image_id": "b100"}
    edit_rows(folder, lambda rows: rows.append(train), "data/test-00000-of-00001.parquet")
    said = f"row 6: the same picture as {TRAIN}, row 2, of split 'train'"
    assert any(said in line for line in found(folder))


def test_instances_are_counted_by_file(folder):
    edit_manifest(folder, lambda m: m["files"][TRAIN].update(instances=1))
    (line,) = found(folder)
    assert re.fullmatch(rf"{TRAIN}: \d+ instances, the manifest says 1", line)


def test_hidden_files_are_passed_over(folder):
    (folder / "data" / ".DS_Store").write_bytes(b"")
    assert found(folder) == []


def test_a_wrong_schema_is_named(folder):
    table = pq.read_table(folder / TRAIN)
    edited = table.drop_columns(["group"]).append_column("extra", pa.array([1] * len(table)))
    edited = edited.set_column(2, "width", pa.array(["32"] * len(table))).replace_schema_metadata(None)
    pq.write_table(edited, folder / TRAIN)
    edit_manifest(folder, lambda m: m["files"][TRAIN].update(sha256=sha256_file(folder / TRAIN)))
    lines = found(folder)
    for expected in (
        "group: column is missing",
        "width: type is string, not int32",
        "extra: column is not in the manifest",
    ):
        assert f"{TRAIN}, {expected}" in lines
    assert f"{TRAIN}: carries no Hugging Face features" in lines


def test_counts(folder):
    edit_manifest(folder, lambda m: m["splits"]["test"].update(images=5))
    (folder / "dropped.jsonl").write_text(
        '{"split": "train", "image_id": "a", "kind": "unreadable", "reason": "broken"}\n'
    )
    lines = found(folder)
    assert any(line.startswith("aims.json, splits.test: says") for line in lines)
    assert "dropped.jsonl: does not hold what the manifest counts" in lines


def test_no_dataset_at_all(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        verify_dataset(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no AIMS dataset"):
        verify_dataset(tmp_path)
    (tmp_path / "aims.json").write_text('{"version": 99}')
    with pytest.raises(InputError, match="update AIMS"):
        verify_dataset(tmp_path)
    (tmp_path / "aims.json").write_text("[]")
    with pytest.raises(InputError, match="not a manifest"):
        verify_dataset(tmp_path)


def test_a_manifest_may_not_name_files_outside(folder):
    edit_manifest(folder, lambda m: m["files"].update({"../../etc/passwd": m["files"][TRAIN]}))
    with pytest.raises(InputError, match="leaves its folder"):
        verify_dataset(folder)
