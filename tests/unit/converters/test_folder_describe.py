"""`aims init`'s descriptions of folders: what they say, and that the converter reads each without an edit."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from public_layouts import LAYOUTS, boxes, picture, save, save_palette, scenes, write
from raw_folder import check_dataset
from refusals import refused

from aims.converters.coco import CocoConverter
from aims.converters.folder import FolderConverter
from aims.core.drafts import Draft
from aims.core.errors import InputError
from aims.data.read import Dataset

SHARE = {"train": "80%", "test": "*", "seed": 0}
FOLDERS = {"train": "*", "val": "*"}


@dataclass
class Expected:
    """Streams and files, labels, splits, and the instances of the whole dataset by class."""

    streams: dict[str, str]
    labels: dict[str, Any]
    splits: dict[str, Any]
    instances: dict[str, int]
    rgb: str = ""


VOC = "VOCdevkit/VOC2012/"
LEFT, FINE = "leftImg8bit/{split}/{scene}/{id}_leftImg8bit.png", "gtFine/{split}/{scene}/{id}_gtFine_"
EXPECTED = {
    "dsb2018": Expected(
        {"image": "stage1_train/{id}/images/{id}.png"},
        {"files": "stage1_train/{id}/masks/*.png", "kind": "masks"},
        SHARE,
        {"class_1": 2 + 3 + 4},
    ),
    "voc": Expected(
        {"image": f"{VOC}JPEGImages/{{id}}.jpg"},
        {
            "files": f"{VOC}SegmentationObject/{{id}}.png",
            "kind": "instance",
            "class_files": f"{VOC}SegmentationClass/{{id}}.png",
            "values": {"class_1": 1, "class_2": 2, "class_3": 3, "class_4": 15},
            "void": [255],
        },
        {split: f"{VOC}ImageSets/Segmentation/{split}.txt" for split in ("train", "val")},
        {"class_1": 2, "class_2": 2, "class_3": 2, "class_4": 3},
    ),
    "cityscapes": Expected(
        {"leftimg8bit": LEFT},
        {
            "files": f"{FINE}instanceIds.png",
            "kind": "instance",
            "label_divisor": 1000,
            "values": {"class_1": 24, "class_2": 26},
        },
        FOLDERS,
        {"class_1": 12, "class_2": 6},
    ),
    "labelme": Expected(
        {"image": "{id}.png"},
        {"files": "{id}.json", "kind": "labelme"},
        SHARE,
        {"maize": 4, "weed": 2},
    ),
    "yolo": Expected(
        {"image": "images/{split}/{id}.jpg"},
        {"files": "labels/{split}/{id}.txt", "kind": "yolo"},
        FOLDERS,
        {"class_1": 2, "class_2": 2},
    ),
    "supervisely": Expected(
        {"image": "ds0/img/{id}.png"},
        {"files": "ds0/ann/{id}.png.json", "kind": "supervisely"},
        SHARE,
        {"pipe": 3},
    ),
    "one_folder": Expected(
        {"image": "{id}.png"}, {"files": "{id}_mask*.png", "kind": "masks"}, SHARE, {"class_1": 4}
    ),
    "scenes": Expected(
        {"depth": "{scene}/depth/{id}.png"},
        {"files": "{scene}/labels/{id}.png", "kind": "semantic", "values": {"class_1": 1, "class_2": 2}},
        SHARE,
        {"class_1": 12, "class_2": 12},
        rgb="{scene}/rgb/{id}.jpg",
    ),
    "subsets": Expected(
        {"image": "{subset}/{id}.jpg"},
        {"files": "{subset}/{id}_mask.png", "kind": "semantic", "values": {"class_1": 1, "class_2": 2}},
        {"train": "train/*", "val": "valid/*", "test": "test/*"},
        {"class_1": 12, "class_2": 6},
    ),
    "isic": Expected(
        {"image": "ISIC-2017_{subset}_Data/{id}.jpg"},
        {
            "files": "ISIC-2017_{subset}_Part1_GroundTruth/{id}_segmentation.png",
            "kind": "semantic",
            "values": {"class_1": 255},
        },
        {"train": "Training/*", "test": "Test/*"},
        {"class_1": 5},
    ),
    "heads": Expected(
        {"image": "x/img_{id}.tif"}, {"files": "y/mask_{id}.png", "kind": "instance"}, SHARE, {"class_1": 14}
    ),
    "archives": Expected(
        {"temperature": "mat/{id}.mat"},
        {
            "files": "mat/{id}.mat",
            "variable": "mask",
            "kind": "semantic",
            "values": {"class_1": 1, "class_2": 2},
        },
        SHARE,
        {"class_1": 3, "class_2": 6},
    ),
    "stacks": Expected(
        {"image": "{split}_images/{id}.npy"},
        {
            "files": "{split}_masks/{id}.npy",
            "kind": "semantic",
            "values": {"class_1": 1, "class_2": 2},
        },
        {"train": "*", "test": "*"},
        {"class_1": 8, "class_2": 8},
    ),
    "bands": Expected(
        {band: f"{band}/{{id}}.png" for band in ("blue", "edge", "red")},
        {"files": "gt/{id}.png", "kind": "semantic", "values": {"class_1": 1, "class_2": 2}},
        {
            split: {"file": "meta.csv", "names": "file", "column": "fold", "value": [value]}
            for split, value in (("train", "train"), ("test", "Test"))
        },
        {"class_1": 8, "class_2": 4},
    ),
    "mask_folders": Expected(
        {"thermal": "thermal/{id}.png"},
        {"files": "masks/{id}/*.png", "kind": "masks"},
        SHARE,
        {"class_1": 9},
    ),
    "cwfid": Expected(
        {"image": "images/{id}_image.png"},
        {
            "files": "annotations/{id}_annotation.png",
            "kind": "semantic",
            "palette": {"class_1": [0, 255, 0], "class_2": [255, 0, 0]},
        },
        SHARE,
        {"class_1": 3, "class_2": 3},
    ),
}


def described(root: Path) -> tuple[dict[str, Any], Draft]:
    draft = FolderConverter.draft(root)
    return tomllib.loads(draft.text), draft


def converted(root: Path, draft: Draft, tmp_path: Path) -> Dataset:
    """Converts by the description as it stands; the dataset holds what the converter reads."""
    path = tmp_path / "drafted.toml"
    path.write_text(draft.text, encoding="utf-8")
    return check_dataset(FolderConverter(config=path, raw=root), tmp_path / "out")


def instances(dataset: Dataset) -> dict[str, int]:
    names = [
        dataset.spec.classes[entry["class_id"] - 1]
        for refs in dataset.index.values()
        for ref in refs
        for entry in dataset.read(ref, ()).objects
    ]
    return {name: names.count(name) for name in sorted(set(names))}


def test_every_layout_is_expected() -> None:
    assert list(LAYOUTS) == list(EXPECTED)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_public_layouts(layout: str, tmp_path: Path) -> None:
    root, expected = tmp_path / layout, EXPECTED[layout]
    LAYOUTS[layout](root)
    content, draft = described(root)
    assert {name: stream["files"] for name, stream in content["streams"].items()} == expected.streams
    assert content.get("rgb", {}).get("files", "") == expected.rgb
    assert content["labels"] == expected.labels
    assert content["splits"] == expected.splits
    assert list(content["classes"]) == list(expected.instances)
    assert (draft.problems, draft.keep_going) == ([], False)
    assert instances(converted(root, draft, tmp_path)) == expected.instances


def test_scenes_are_groups(tmp_path: Path) -> None:
    scenes(tmp_path / "raw")
    content, draft = described(tmp_path / "raw")
    assert (content["group"], content["image_id"]) == ("{scene}", "{scene}/{id}")
    dataset = converted(tmp_path / "raw", draft, tmp_path)
    assert {ref.group for refs in dataset.index.values() for ref in refs} == {"bath", "kitchen_2", "office"}


def test_the_same_folder_gives_the_same_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it lies, and by whatever path it is given."""
    for place in ("one", "two/three"):
        scenes(tmp_path / place / "raw")
    first = FolderConverter.draft(tmp_path / "one" / "raw").text
    assert FolderConverter.draft(tmp_path / "two" / "three" / "raw").text == first
    monkeypatch.chdir(tmp_path / "one" / "raw")
    assert FolderConverter.draft(Path()).text == first


def pairs(root: Path, count: int = 3, dtype: str = "uint8") -> Path:
    for k in range(count):
        save(root / "images" / f"{k}.png", picture(k, dtype=dtype))
        save(root / "masks" / f"{k}.png", boxes(1, 1))
    return root


class TestNames:
    def test_letters_with_a_meaning(self, tmp_path: Path) -> None:
        """Braces, wildcards, regular expressions, quotes, spaces and Unicode in names."""
        root = tmp_path / 'r {a} "+'
        for k in range(3):
            save(root / "im[a]{x}* (1)" / f"ä {k}+.PNG", picture(k))
            save(root / 'mäsk\\"s' / "masks" / f"ä {k}+.png", boxes(1))
        content, draft = described(root)
        assert content["streams"]["image"]["files"] == "im[a]?x?? (1)/{id}.png"
        assert content["labels"]["files"] == 'mäsk?"s/masks/{id}.png'
        assert content["name"] == "r-a"
        assert instances(converted(root, draft, tmp_path)) == {"class_1": 3}

    def test_files_that_systems_leave_behind(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw")
        before, _ = described(root)
        for name in ("images/._0.png", "masks/Thumbs.db", ".DS_Store", "__MACOSX/images/1.png"):
            write(root / name, "junk")
        after, draft = described(root)
        assert after == before
        assert "3 hidden files are passed over" in draft.unknown

    def test_suffixes_that_differ(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw", 4)
        os.rename(root / "images" / "0.png", root / "images" / "0.PNG")
        save(root / "images" / "7.tif", picture(7))
        save(root / "masks" / "7.png", boxes(1))
        content, draft = described(root)
        assert content["streams"]["image"]["files"] == "images/{id}.*"
        assert instances(converted(root, draft, tmp_path)) == {"class_1": 9}

    def test_a_name_that_is_no_text(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw")
        (root / "other").mkdir()
        Path(os.fsdecode(os.fsencode(root / "other") + b"/\xff.png")).write_bytes(b"x")
        assert any("not UTF-8" in note for note in described(root)[1].unknown)

    def test_links_in_a_circle(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw")
        (root / "again").symlink_to(root)
        assert described(root)[0]["streams"]["image"]["files"] == "images/{id}.png"

    def test_classes_as_folders_of_masks(self, tmp_path: Path) -> None:
        for k in range(3):
            save(tmp_path / "raw" / "img" / f"{k}.png", picture(k))
            for name in ("weed", "crop"):
                save(tmp_path / "raw" / "masks" / name / f"{k}.png", boxes(1))
        content, draft = described(tmp_path / "raw")
        assert content["labels"] == {"files": "masks/*/{id}.png", "kind": "masks"}
        assert "labels: whether the folders of masks/*/ are classes" in draft.unknown

    def test_the_same_names_in_two_splits(self, tmp_path: Path) -> None:
        for split in ("train", "test"):
            pairs(tmp_path / "raw" / split)
        content, draft = described(tmp_path / "raw")
        assert content["image_id"] == "{split}/{id}"
        assert instances(converted(tmp_path / "raw", draft, tmp_path)) == {"class_1": 12}


class TestValues:
    def test_a_value_far_from_all_others(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw")
        for k in range(3):
            array = picture(k).astype(np.float32)
            array[:2] = -9999
            save(root / "depth" / f"{k}.npy", array)
        content, draft = described(root)
        assert content["streams"]["depth"] == {"files": "depth/{id}.npy", "unit": "unknown"}
        assert "# missing = -9999.0" in draft.text.splitlines()
        (note,) = (note for note in draft.unknown if "missing" in note)
        assert note.startswith("depth: -9999 occurs 96 times")

    def test_a_void_value(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw")
        save(root / "masks" / "0.png", boxes(1, 1, 2, 255))
        assert described(root)[0]["labels"] == {
            "files": "masks/{id}.png",
            "kind": "semantic",
            "values": {"class_1": 1, "class_2": 2},
            "void": [255],
        }

    def test_soft_edges(self, tmp_path: Path) -> None:
        mask = np.zeros((60, 80), np.uint8)
        mask[5:40, 5:50] = 255
        mask[4, 5:50] = np.arange(45) * 5
        for k in range(2):
            save(tmp_path / "raw" / "images" / f"{k}.jpg", np.resize(picture(k), mask.shape))
            save(tmp_path / "raw" / "masks" / f"{k}.png", mask)
        content, draft = described(tmp_path / "raw")
        assert content["labels"]["values"] == {"class_1": list(range(128, 256))}
        assert content["labels"]["void"] == list(range(1, 128))
        assert instances(converted(tmp_path / "raw", draft, tmp_path)) == {"class_1": 2}

    def test_pages_of_a_tiff_are_channels(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw")
        (root / "ms").mkdir()
        for k in range(3):
            stack = np.stack([picture(k + n, dtype="uint16") for n in range(4)])
            tifffile.imwrite(root / "ms" / f"{k}.tif", stack, photometric="minisblack")
        _, draft = described(root)
        (what,) = (what for part, _, what in draft.found if part == "ms")
        assert what.startswith("uint16, 4 channels, 12 x 16, values ")
        dataset = converted(root, draft, tmp_path)
        assert {name: stream.channels for name, stream in dataset.spec.streams.items()} == {
            "image": 1,
            "ms": 4,
        }

    def test_palettes_measure_nothing(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw")
        for k in range(3):
            save_palette(root / "images" / f"{k}.png", picture(k))
        content, draft = described(root)
        assert "streams" not in content
        assert content["rgb"] == {"files": "images/{id}.png"}
        assert instances(converted(root, draft, tmp_path)) == {"class_1": 6}


class TestSplits:
    def test_lists_of_other_images_are_named(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw", 4)
        write(root / "train.txt", "images/0.png\r\nimages/9.png\r\n")
        write(root / "test.txt", "2\n")
        content, draft = described(root)
        assert content["splits"] == SHARE
        assert "train.txt is not used: it names 1 image that is not there" in draft.unknown

    @pytest.mark.parametrize(
        ("count", "splits"), [(1, {"train": "*"}), (2, {**SHARE, "train": "50%"}), (3, SHARE)]
    )
    def test_shares_of_few_images(self, tmp_path: Path, count: int, splits: dict[str, Any]) -> None:
        root = pairs(tmp_path / "raw", count)
        content, draft = described(root)
        assert content["splits"] == splits
        assert instances(converted(root, draft, tmp_path)) == {"class_1": 2 * count}


class TestWhatIsMissing:
    def test_labels(self, tmp_path: Path) -> None:
        for k in range(3):
            save(tmp_path / "nir" / f"{k}.png", picture(k))
            save(tmp_path / "rgb" / f"{k}.jpg", picture(k, 3))
        content, draft = described(tmp_path)
        assert content["streams"]["nir"]["files"] == "nir/{id}.png"
        assert content["rgb"]["files"] == "rgb/{id}.jpg"
        assert "labels" not in content
        assert draft.problems == ["labels, named as their pictures are"]

    def test_pictures(self, tmp_path: Path) -> None:
        for k in range(3):
            save(tmp_path / "masks" / f"{k}.png", boxes(1))
        content, draft = described(tmp_path)
        assert content["labels"]["files"] == "masks/{id}.png"
        assert draft.problems == ["pictures, named as their labels are"]

    def test_labels_of_some_images(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw", 5)
        (root / "masks" / "4.png").unlink()
        _, draft = described(root)
        assert draft.keep_going
        assert not draft.problems
        assert "labels: 1 picture has none" in draft.unknown

    def test_jpeg_masks(self, tmp_path: Path) -> None:
        for k in range(2):
            save(tmp_path / "images" / f"{k}.png", picture(k))
            save(tmp_path / "masks" / f"{k}.jpg", boxes(255))
        _, draft = described(tmp_path)
        assert "labels masks/{id}.jpg are left out: JPEG changes values" in draft.unknown

    def test_a_damaged_picture(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw", 4)
        (root / "images" / "0.png").write_bytes(b"x")
        _, draft = described(root)
        assert draft.keep_going
        assert any(note.startswith("images/0.png: not a PNG file") for note in draft.unknown)

    def test_streams_of_some_images(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw", 4)
        save(root / "nir" / "0.png", picture(1))
        save(root / "overview.png", picture(2, 3))
        content, draft = described(root)
        assert list(content["streams"]) == ["image"]
        for start in (
            "nir/{id}.png is left out: 1 image of 4 has",
            "{id}.png is left out: 0 images of 4 have",
        ):
            assert any(note.startswith(start) for note in draft.unknown)


def missing(root: Path) -> None:
    root.rmdir()


def one_file(root: Path) -> None:
    root.rmdir()
    root.write_text("x")


def coco(root: Path) -> None:
    save(root / "images" / "a.png", picture(1))
    image = {"id": 1, "file_name": "a.png", "height": 12, "width": 16}
    content = {"images": [image], "annotations": [], "categories": [{"id": 1, "name": "x"}]}
    write(root / "annotations" / "train.json", json.dumps(content))


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (missing, "no such folder"),
        (one_file, "is a file"),
        (lambda root: write(root / ".DS_Store", "x"), "an empty folder, but for 1 hidden file"),
        (lambda root: write(root / "scan.dcm", "x"), "1 file, and none that is read; pictures are png"),
        (coco, "aims convert coco --raw"),
    ],
)
def test_refused(tmp_path: Path, make: Callable[[Path], None], parts: str) -> None:
    root = tmp_path / "raw"
    root.mkdir()
    make(root)
    with refused(InputError, root, parts):
        FolderConverter.draft(root)


def test_other_converters_need_no_description(tmp_path: Path) -> None:
    with refused(InputError, "converter 'coco' needs no description"):
        CocoConverter.draft(tmp_path)
