"""`aims export` and `aims convert` back, as a user types them."""

from __future__ import annotations

import json

import pytest

from aims.data.write import convert
from helpers import MadeUp


@pytest.fixture
def dataset(raw, tmp_path):
    return convert(MadeUp(raw=raw, images=4, rgb=True), tmp_path / "set")


def test_coco_and_back(aims, dataset, tmp_path):
    code, out, err = aims("export", dataset.folder, "--format", "coco", "--out", tmp_path / "coco")
    assert (code, err) == (0, "")
    assert out == f"{dataset.folder}  ->  {tmp_path / 'coco'} (coco): 6 images, 21 instances\n"
    assert (tmp_path / "coco" / "images" / "test" / "b001.png").is_file()
    code, out, err = aims(
        "convert", "coco", "--raw", tmp_path / "coco", "--out", tmp_path / "again", "--json"
    )
    assert code == 0, err
    assert json.loads(out)["fingerprint"] == dataset.manifest.fingerprint


def test_folder_and_back(aims, dataset, tmp_path):
    code, out, err = aims("export", dataset.folder, "--format", "folder", "--out", tmp_path / "folder")
    assert code == 0
    assert out.count("\n") == 1
    assert "warning: folder.toml: no expression finds the groups" in err
    code, out, err = aims(
        *("convert", "folder", tmp_path / "folder" / "folder.toml", "--out", tmp_path / "again", "--json")
    )
    assert code == 0, err
    manifest = json.loads(out)
    assert manifest["splits"] == dataset.manifest.as_json()["splits"]
    assert manifest["dataset"] == dataset.manifest.as_json()["dataset"]


def test_json(aims, dataset, tmp_path):
    code, out, _ = aims(
        *("export", dataset.folder, "--format", "folder", "--out", tmp_path / "folder", "--json")
    )
    assert code == 0
    value = json.loads(out)
    assert (value["format"], value["images"], value["instances"]) == ("folder", 6, 21)
    assert len(value["lost"]) == 1


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (("--format", "voc", "--out", "x"), "'voc' is not one of"),
        (("--format", "coco"), "Missing option '--out'"),
        (("--out", "x"), "Missing option '--format'"),
    ],
)
def test_what_is_missing_is_said(aims, dataset, args, part):
    code, out, err = aims("export", dataset.folder, *args)
    assert (code, out) == (2, "")
    assert part in err
    assert err.count("\n") == 1


def test_faults_end_in_one_line(aims, dataset, tmp_path):
    for folder, part in ((tmp_path / "none", "no such folder"), (tmp_path / "raw", "no AIMS dataset")):
        code, out, err = aims("export", folder, "--format", "coco", "--out", tmp_path / "coco")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert part in err
    code, _, err = aims("export", dataset.folder, "--format", "coco", "--out", tmp_path / "raw")
    assert (code, err.count("\n")) == (2, 1)
    assert "exists already" in err
