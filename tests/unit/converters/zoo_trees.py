"""Tiny trees in the layouts of the datasets of the zoo, and what their conversion must give."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import scipy.io
from raw_folder import label_map, ramp


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A tree of few files, and what is read from it.

    Attributes:
        write: writes it into a folder.
        splits: the image ids of each split that is read.
        corner: the first pixel of each stream of the first image, channel by channel.
        objects: classes of the instances of the first image, in the order of their first pixels.
    """

    write: Callable[[Path], None]
    splits: Mapping[str, Sequence[str]]
    corner: Mapping[str, Sequence[float]]
    objects: Sequence[str]


def save(path: Path, array: np.ndarray) -> None:
    """Saves an array as a picture; three and four channels are RGB and RGBA."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if array.ndim == 3:
        array = array.squeeze(-1) if array.shape[2] == 1 else array[..., [2, 1, 0, *range(3, array.shape[2])]]
    assert cv2.imwrite(str(path), array)


def drawn(first: Any, second: Any, background: Any = 0, dtype: Any = np.uint8) -> np.ndarray:
    """The labels of `label_map`, with values or colours of one's own for its two regions."""
    return np.array([background, first, second], dtype)[label_map()]


#: Pictures of CWFID's test part.
CWFID_TEST = (1, 3, 4, 9, 10, 13, 15, 21, 22, 26, 29, 30, 32, 35, 39, 44, 47, 48, 54, 60)


def write_lists(root: Path, **splits: Sequence[str]) -> None:
    """Writes a list of names for each split."""
    root.mkdir(parents=True, exist_ok=True)
    for split, names in splits.items():
        (root / f"{split}.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def write_bus_bra(root: Path) -> None:
    for number in range(1, 6):
        for side in "lr":
            save(root / "Images" / f"bus_{number:04}-{side}.png", ramp(number, 1, np.uint8))
            save(root / "Masks" / f"mask_{number:04}-{side}.png", drawn(255, 255))


def write_caffe(root: Path) -> None:
    for number, split in enumerate(("train", "val", "test"), start=1):
        scene, patch = f"Crane_2002-11-0{number}_ERS_20_2_061", "93_102_0_0_0"
        save(root / "sar_images" / split / f"{scene}__{patch}.png", ramp(number, 1, np.uint8))
        save(root / "zones" / split / f"{scene}_zones__{patch}.png", drawn(127, 64, 0))
        save(root / "fronts" / split / f"{scene}_front__{patch}.png", drawn(255, 0))


def write_cwfid(root: Path) -> None:
    for number in range(1, 61):
        save(root / "images" / f"{number:03}_image.png", ramp(number, 3, np.uint8))
        save(root / "annotations" / f"{number:03}_annotation.png", drawn((255, 0, 0), (0, 255, 0), (0, 0, 0)))


def write_thermal_udder(root: Path) -> None:
    for number, split in enumerate(("train", "val", "test"), start=1):
        save(root / "images" / split / f"{number}.png", ramp(number, 1, np.uint8))
        save(root / "masks" / split / f"{number}.png", drawn(255, 255))


def write_dsb2018(root: Path) -> None:
    for number, split in enumerate(("train", "test"), start=1):
        for folder, array in (
            ("images", ramp(number, 1, np.uint8)),
            ("masks", drawn(7, 300, dtype=np.uint16)),
        ):
            save(root / split / folder / "0287.tif", array)


def write_indian_pines(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    cube = {"indian_pines_corrected": ramp(1000, 200, np.uint16)}
    scipy.io.savemat(root / "Indian_pines_corrected.mat", cube)
    scipy.io.savemat(root / "Indian_pines_gt.mat", {"indian_pines_gt": drawn(14, 2)})


def write_marine_debris(root: Path) -> None:
    for number in range(10):
        save(root / "Images" / f"marine-debris-aris3k-{number}.png", ramp(number, 1, np.uint8))
        save(root / "Masks" / f"marine-debris-aris3k-{number}.png", drawn(6, 11))


def write_mcubes(root: Path) -> None:
    names = [f"outscene1208_2_0000000{number}" for number in (150, 180, 210)]
    write_lists(root / "list_folder", train=names[:1], val=names[1:2], test=names[2:], all=names)
    for number, name in enumerate(names):
        save(root / "polL_color" / f"{name}.png", ramp(number, 3, np.uint8))
        save(root / "NIR_warped" / f"{name}.png", ramp(1000 + number))
        save(root / "GT" / f"{name}.png", drawn(5, 255, 0))
        for k, kind in enumerate(("aolp_sin", "aolp_cos", "dolp"), start=1):
            folder = root / f"polL_{kind}"
            folder.mkdir(exist_ok=True)
            np.save(folder / f"{name}.npy", ramp(0)[..., 0].astype(np.float32) / 100 + k / 4)


def write_mfnet(root: Path) -> None:
    names = ("00001D", "00002N", "00003D")
    write_lists(root, train=names[:1], val=names[1:2], test=names[2:])
    for number, name in enumerate(names):
        save(root / "images" / f"{name}.png", ramp(number, 4, np.uint8))
        save(root / "labels" / f"{name}.png", drawn(2, 8))


def write_montgomery(root: Path) -> None:
    for number in range(1, 11):
        name = f"MCUCXR_{number:04}_{number % 2}.png"
        save(root / "CXR_png" / name, ramp(number))
        # Neighbours, which one mask would unite.
        left = np.zeros((5, 7), np.uint8)
        left[:, 4:] = 255
        save(root / "ManualMask" / "leftMask" / name, left)
        save(root / "ManualMask" / "rightMask" / name, 255 - left)


def write_pst900(root: Path) -> None:
    for number, split in enumerate(("train", "test"), start=1):
        name = "31_bag1a_rect_rgb_frame0000000007.png"
        save(root / split / "rgb" / name, ramp(number, 3, np.uint8))
        save(root / split / "thermal" / name, ramp(number + 10, 1, np.uint8))
        save(root / split / "thermal_raw" / name, ramp(number + 7000))
        save(root / split / "depth" / name, ramp(number + 2560))
        save(root / split / "labels" / name, drawn(4, 1))


def write_rgbd_mirror(root: Path) -> None:
    for number, split in enumerate(("train", "test"), start=1):
        save(root / split / "image" / "9.jpg", ramp(number, 3, np.uint8))
        save(root / split / "depth_normalized" / "9.png", ramp(number + 30000))
        save(root / split / "mask_single" / "9.png", drawn(255, 255))


def write_ssdd(root: Path) -> None:
    (root / "annotations").mkdir(parents=True)
    for number, split in enumerate(("train", "test", "test_inshore"), start=1):
        # Even, so that JPEG keeps it.
        save(root / "images" / split / f"{number:06}.jpg", np.full((5, 7, 3), 40 + number, np.uint8))
        outline = [1, 1, 5, 1, 5, 3, 1, 3]
        annotation = {"id": 1, "image_id": 3, "category_id": 1, "iscrowd": 0, "area": 8, "bbox": [1, 1, 4, 2]}
        value = {
            "images": [{"id": 3, "file_name": f"{number:06}.jpg", "height": 5, "width": 7}],
            "annotations": [{**annotation, "segmentation": [outline]}],
            "categories": [{"id": 1, "name": "ship", "supercategory": "none"}],
        }
        (root / "annotations" / f"{split}.json").write_text(json.dumps(value), encoding="utf-8")


def write_vnc(root: Path) -> None:
    for number in range(20):
        save(root / "stack1" / "raw" / f"{number:02}.tif", ramp(number, 1, np.uint8))
        save(root / "stack1" / "labels" / f"labels{number:08}.png", drawn(191, 255, 32))
        save(root / "stack2" / "raw" / f"{number:02}.tif", ramp(number, 1, np.uint8))


def write_weedsgalore(root: Path) -> None:
    names = [f"2023-0{month}_0108" for month in ("5-25", "5-30", "6-06")]
    write_lists(root / "splits", train=names[:1], val=names[1:2], test=names[2:])
    for number, name in enumerate(names):
        folder = root / name.partition("_")[0]
        for k, band in enumerate(("R", "G", "B", "RE", "NIR"), start=1):
            save(folder / "images" / f"{name}_{band}.png", ramp(number + 1000 * k))
        save(folder / "semantics" / f"{name}.png", drawn(3, 1))
        save(folder / "instances" / f"{name}.png", drawn(1, 2))


#: The tree of each dataset of the zoo.
TREES = {
    "bus-bra": Tree(
        write=write_bus_bra,
        # Both sides of a patient are in one part.
        splits={
            "train": [f"{number:04}-{side}" for number in range(1, 5) for side in "lr"],
            "test": ["0005-l", "0005-r"],
        },
        corner={"ultrasound": [1]},
        objects=["tumour"],
    ),
    "caffe": Tree(
        write=write_caffe,
        splits={
            split: [f"Crane_2002-11-0{number}_ERS_20_2_061__93_102_0_0_0"]
            for number, split in enumerate(("train", "val", "test"), start=1)
        },
        corner={"sar": [1]},
        objects=["glacier", "rock"],
    ),
    "cwfid": Tree(
        write=write_cwfid,
        splits={
            "train": [f"{number:03}" for number in range(1, 61) if number not in CWFID_TEST],
            "test": [f"{number:03}" for number in CWFID_TEST],
        },
        corner={"nir": [52], "red": [2]},
        objects=["weed", "crop"],
    ),
    "dsb2018": Tree(
        write=write_dsb2018,
        splits={"train": ["train/0287"], "test": ["test/0287"]},
        corner={"fluorescence": [1]},
        objects=["nucleus", "nucleus"],
    ),
    "indian-pines": Tree(
        write=write_indian_pines,
        splits={"train": ["Indian_pines"]},
        corner={"hyperspectral": range(1000, 11000, 50)},
        objects=["woods", "corn-notill"],
    ),
    "marine-debris": Tree(
        write=write_marine_debris,
        splits={
            "train": [f"marine-debris-aris3k-{number}" for number in (0, 1, 2, 3, 4, 5, 6, 9)],
            "test": [f"marine-debris-aris3k-{number}" for number in (7, 8)],
        },
        corner={"sonar": [0]},
        objects=["propeller", "wall"],
    ),
    "mcubes": Tree(
        write=write_mcubes,
        splits={
            "train": ["outscene1208_2_0000000150"],
            "val": ["outscene1208_2_0000000180"],
            "test": ["outscene1208_2_0000000210"],
        },
        corner={
            "intensity": [0, 50, 100],
            "aolp_sin": [0.25],
            "aolp_cos": [0.5],
            "dolp": [0.75],
            "nir": [1000],
        },
        objects=["asphalt", "glass"],
    ),
    "mfnet": Tree(
        write=write_mfnet,
        splits={"train": ["00001D"], "val": ["00002N"], "test": ["00003D"]},
        corner={"thermal": [150], "visible": [0, 50, 100]},
        objects=["person", "bump"],
    ),
    "montgomery": Tree(
        write=write_montgomery,
        splits={
            "train": [f"MCUCXR_{number:04}_{number % 2}" for number in (1, 2, 5, 6, 7, 8, 9, 10)],
            "test": ["MCUCXR_0003_1", "MCUCXR_0004_0"],
        },
        corner={"xray": [1]},
        objects=["lung", "lung"],
    ),
    "pst900": Tree(
        write=write_pst900,
        splits={
            "train": ["train/31_bag1a_rect_rgb_frame0000000007"],
            "test": ["test/31_bag1a_rect_rgb_frame0000000007"],
        },
        corner={"thermal": [11], "thermal_raw": [7001], "depth": [2561]},
        objects=["rescue_randy", "fire_extinguisher"],
    ),
    "rgbd-mirror": Tree(
        write=write_rgbd_mirror,
        splits={"train": ["train/9"], "test": ["test/9"]},
        corner={"depth": [30001]},
        objects=["mirror", "mirror"],
    ),
    "ssdd": Tree(
        write=write_ssdd,
        splits={"train": ["000001"], "test": ["000002"]},
        corner={"sar": [41]},
        objects=["ship"],
    ),
    "thermal-udder": Tree(
        write=write_thermal_udder,
        splits={"train": ["1"], "val": ["2"], "test": ["3"]},
        corner={"thermal": [1]},
        objects=["udder", "udder"],
    ),
    "vnc": Tree(
        write=write_vnc,
        splits={
            "train": [f"{number:02}" for number in range(16)],
            "test": [f"{number:02}" for number in range(16, 20)],
        },
        corner={"em": [0]},
        objects=["mitochondria", "intracellular"],
    ),
    "weedsgalore": Tree(
        write=write_weedsgalore,
        splits={"train": ["2023-05-25_0108"], "val": ["2023-05-30_0108"], "test": ["2023-06-06_0108"]},
        corner={"red": [1000], "green": [2000], "blue": [3000], "red_edge": [4000], "nir": [5000]},
        objects=["weed_2", "crop"],
    ),
}
