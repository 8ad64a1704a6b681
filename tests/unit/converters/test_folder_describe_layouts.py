"""`aims init` on the layouts of public sets: the converter reads each description without an edit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from drafted import SHARE, converted, described, instances
from public_layouts import LAYOUTS

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
    "cell_tracking": Expected(
        {"image": "{scene}/t{id}.tif"},
        {"files": "{scene}_GT/SEG/man_seg{id}.tif", "kind": "instance"},
        {**SHARE, "train": "50%"},
        {"class_1": 36},
    ),
    "radar": Expected(
        {"vh": "vh/{id}_vh.png", "vv": "vv/{id}_vv.png"},
        {"files": "flood_label/{id}.png", "kind": "semantic", "values": {"class_1": 255}},
        SHARE,
        {"class_1": 3},
    ),
    "penn_fudan": Expected(
        {"image": "PNGImages/{id}.png"},
        {"files": "PedMasks/{id}_mask.png", "kind": "instance"},
        SHARE,
        {"class_1": 6},
    ),
    "camvid": Expected(
        {"image": "{split}/{id}.png"},
        {
            "files": "{split}_labels/{id}_L.png",
            "kind": "semantic",
            "palette": {"class_1": [64, 128, 64], "class_2": [128, 0, 0]},
        },
        FOLDERS,
        {"class_1": 4, "class_2": 8},
    ),
}


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
