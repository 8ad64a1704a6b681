"""Small trees in the layouts of public sets and annotation tools; every picture has numbers of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import scipy.io
from PIL import Image

HEIGHT, WIDTH = 12, 16
#: Writes a tree.
Writer = Callable[[Path], None]


def picture(number: int, channels: int = 1, dtype: str = "uint8") -> np.ndarray:
    """(height, width) or (height, width, channels), hardly a value twice in a row."""
    top = 251 if dtype == "uint8" else 60_000
    values = (np.arange(HEIGHT * WIDTH * channels) * 37 + 11 * number) % top
    shape = (HEIGHT, WIDTH) if channels == 1 else (HEIGHT, WIDTH, channels)
    return values.reshape(shape).astype(dtype)


def boxes(*values: int, dtype: str = "uint8") -> np.ndarray:
    """A map with a box of 3 x 2 pixels for each value, apart from each other."""
    labels = np.zeros((HEIGHT, WIDTH), dtype)
    for k, value in enumerate(values):
        row, column = 4 * (k // 4), 4 * (k % 4)
        labels[row : row + 2, column : column + 3] = value
    return labels


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    elif array.dtype == np.uint16 or array.dtype == np.float32 or path.suffix == ".TIF":
        cv2.imwrite(str(path), array)
    else:
        Image.fromarray(array).save(path)


def save_palette(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    image.putpalette([level for k in range(256) for level in (k * 53 % 256, k * 97 % 256, k)])
    image.save(path)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def dsb2018(root: Path) -> None:
    """Data Science Bowl 2018: a folder an image, with one mask file an object."""
    for k, name in enumerate(("0a7e", "31ff", "ac20")):
        save(root / "stage1_train" / name / "images" / f"{name}.png", picture(k))
        for n in range(k + 2):
            mask = np.where(boxes(*range(1, 6)) == n + 1, np.uint8(255), np.uint8(0))
            save(root / "stage1_train" / name / "masks" / f"{n:02}bd{k}.png", mask)


def voc(root: Path) -> None:
    """Pascal VOC: pairs of palette maps, and lists of which one is of both splits."""
    top = root / "VOCdevkit" / "VOC2012"
    names = ["2007_000032", "2007_000039", "2008_000012"]
    for k, name in enumerate([*names, "2009_000001"]):
        save(top / "JPEGImages" / f"{name}.jpg", picture(k, 3))
    for k, name in enumerate(names):
        objects = boxes(1, 2, 3)
        classes = np.array([0, 1 + k, 1 + k, 15], np.uint8)[objects]
        objects[11], classes[11] = 255, 255
        save_palette(top / "SegmentationObject" / f"{name}.png", objects)
        save_palette(top / "SegmentationClass" / f"{name}.png", classes)
    for split, listed in (("train", names[:2]), ("val", names[2:]), ("trainval", names)):
        write(top / "ImageSets" / "Segmentation" / f"{split}.txt", "".join(f"{name}\n" for name in listed))


def cityscapes(root: Path) -> None:
    """Cityscapes: cities in splits, maps of classes and of class * 1000 + instance, a secret test."""
    for split, city in (("train", "aachen"), ("train", "ulm"), ("val", "munster"), ("test", "berlin")):
        for k in range(2):
            stem = f"{city}_{k:06}_000019"
            save(root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png", picture(k, 3))
            coded = (
                boxes(24000, 24001, 26000, 7, dtype="uint16") if split != "test" else boxes(dtype="uint16")
            )
            classes = np.where(coded > 1000, coded // 1000, coded).astype(np.uint8)
            if split != "test":
                save(root / "gtFine" / split / city / f"{stem}_gtFine_instanceIds.png", coded)
                save(root / "gtFine" / split / city / f"{stem}_gtFine_labelIds.png", classes)
                save(root / "gtFine" / split / city / f"{stem}_gtFine_color.png", picture(k, 3))
                write(root / "gtFine" / split / city / f"{stem}_gtFine_polygons.json", '{"objects": []}')


def labelme(root: Path) -> None:
    """LabelMe: a JSON file beside each picture."""
    for k, name in enumerate("abcd"):
        save(root / f"IMG_{name}.png", picture(k))
        outlines = {"maize": [[1, 1], [7, 1], [7, 6], [1, 6]], "weed": [[9, 1], [14, 1], [9, 6]]}
        shapes = [{"label": label, "points": points} for label, points in outlines.items()][: 1 + k % 2]
        content = {
            "shapes": shapes,
            "imageHeight": HEIGHT,
            "imageWidth": WIDTH,
            "imagePath": f"IMG_{name}.png",
        }
        write(root / f"IMG_{name}.json", json.dumps(content))


def yolo(root: Path) -> None:
    """YOLO's segmentation: images and labels by split."""
    for split in ("train", "val"):
        for k in range(2):
            save(root / "images" / split / f"{split}{k}.jpg", picture(k, 3))
            write(root / "labels" / split / f"{split}{k}.txt", f"{k} 0.1 0.1 0.5 0.1 0.5 0.6 0.1 0.6\n")
    write(root / "data.yaml", "names: [cat, dog]\n")


def supervisely(root: Path) -> None:
    """Supervisely: pictures and annotations of their whole names."""
    for k, name in enumerate("abc"):
        save(root / "ds0" / "img" / f"{name}.png", picture(k))
        points = {"exterior": [[1, 1], [7, 1], [7, 6], [1, 6]], "interior": []}
        entry = {"classTitle": "pipe", "geometryType": "polygon", "points": points}
        content = {"size": {"height": HEIGHT, "width": WIDTH}, "objects": [entry]}
        write(root / "ds0" / "ann" / f"{name}.png.json", json.dumps(content))
    write(root / "meta.json", json.dumps({"classes": [{"title": "pipe"}]}))


def one_folder(root: Path) -> None:
    """Breast ultrasound: pictures and their masks in one folder, some with two."""
    for k in range(1, 4):
        save(root / f"benign ({k}).png", picture(k))
        save(root / f"benign ({k})_mask.png", boxes(255))
    save(root / "benign (2)_mask_1.png", np.flipud(boxes(255)))


def scenes(root: Path) -> None:
    """NYU-like: scenes with a folder for each sensor and frames of equal names."""
    for k, scene in enumerate(("bath", "kitchen_2", "office")):
        for n in range(2):
            save(root / scene / "depth" / f"{n:04}.png", picture(k + n, dtype="uint16"))
            save(root / scene / "rgb" / f"{n:04}.jpg", picture(k + n, 3))
            save(root / scene / "labels" / f"{n:04}.png", boxes(1, 1, 2, 2))


def subsets(root: Path) -> None:
    """Roboflow's semantic masks: train, valid and test, each with pictures and masks."""
    for split in ("train", "valid", "test"):
        for k in range(2):
            save(root / split / f"{split}-{k}_jpg.rf.ab12.jpg", picture(k, 3))
            save(root / split / f"{split}-{k}_jpg.rf.ab12_mask.png", boxes(1, 1, 2))


def isic(root: Path) -> None:
    """ISIC: pictures and masks in folders of unlike names."""
    for part, count in (("Training", 3), ("Test", 2)):
        for k in range(count):
            name = f"ISIC_{k + 10 * (part == 'Test'):07}"
            save(root / f"ISIC-2017_{part}_Data" / f"{name}.jpg", picture(k, 3))
            path = root / f"ISIC-2017_{part}_Part1_GroundTruth" / f"{name}_segmentation.png"
            save(path, boxes(255))


def heads(root: Path) -> None:
    """Names that begin with what they are."""
    for k in range(3):
        save(root / "x" / f"img_{k:03}.TIF", picture(k, dtype="uint16"))
        save(root / "y" / f"mask_{k:03}.png", boxes(1, 2, 3, 4, 5)[::-1] if k else boxes(1, 2, 3, 4))


def archives(root: Path) -> None:
    """MATLAB: all of an image in one file."""
    for k in range(3):
        (root / "mat").mkdir(parents=True, exist_ok=True)
        arrays = {"temperature": picture(k) / 7.0, "mask": boxes(1, 2, 2).astype(np.float64), "t": 3.0}
        scipy.io.savemat(root / "mat" / f"{k}.mat", arrays)


def stacks(root: Path) -> None:
    """Hyperspectral arrays with the channels first, and folders of splits in the names of folders."""
    for split in ("train", "test"):
        for k in range(2):
            cube = np.moveaxis(picture(k, 5, "uint16"), -1, 0)
            save(root / f"{split}_images" / f"{split}{k}.npy", cube)
            save(root / f"{split}_masks" / f"{split}{k}.npy", boxes(1, 1, 2, 2, dtype="int32"))


def bands(root: Path) -> None:
    """Multispectral pictures, a folder a band, and a table of the splits."""
    for k in range(4):
        for band in ("blue", "red", "edge"):
            save(root / band / f"tile_{k}.png", picture(k + len(band), dtype="uint16"))
        save(root / "gt" / f"tile_{k}.png", boxes(1, 1, 2))
    rows = "".join(f"tile_{k}.png;{'train' if k else 'Test'}\n" for k in range(4))
    write(root / "meta.csv", f"\ufefffile;fold\n{rows}")


def mask_folders(root: Path) -> None:
    """A folder of masks for each picture."""
    for k, name in enumerate("abc"):
        save(root / "thermal" / f"{name}.png", picture(k, dtype="uint16"))
        for n in range(3):
            save(
                root / "masks" / name / f"{n}.png",
                np.where(boxes(1, 2, 3) == n + 1, np.uint8(255), np.uint8(0)),
            )


def cwfid(root: Path) -> None:
    """Colours for classes beside other masks."""
    for k in range(1, 4):
        colours = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], np.uint8)
        save(root / "images" / f"{k:03}_image.png", picture(k, 3))
        save(root / "annotations" / f"{k:03}_annotation.png", colours[boxes(1, 2)])
        save(root / "masks" / f"{k:03}_mask.png", boxes(255))


def cell_tracking(root: Path) -> None:
    """Cell Tracking Challenge: sequences beside the folders of their labels, of some frames."""
    for sequence in ("01", "02"):
        for k in range(3):
            save(root / sequence / f"t{k:03}.tif", picture(k, dtype="uint16"))
            objects = boxes(*range(1, 6 + k), dtype="uint16")
            save(root / f"{sequence}_GT" / "SEG" / f"man_seg{k:03}.tif", objects)
            save(root / f"{sequence}_GT" / "TRA" / f"man_track{k:03}.tif", boxes(1, 1, 9, dtype="uint16"))


def radar(root: Path) -> None:
    """Sentinel-1: files whose names end with that of their folder."""
    for k in range(3):
        for polarization in ("vh", "vv"):
            save(root / polarization / f"tile{k}_{polarization}.png", picture(k + (polarization == "vv")))
        save(root / "flood_label" / f"tile{k}.png", boxes(255))


def penn_fudan(root: Path) -> None:
    """Penn-Fudan: numbers of the pedestrians, few a picture, and boxes."""
    for k in range(3):
        save(root / "PNGImages" / f"FudanPed0000{k}.png", picture(k, 3))
        save(root / "PedMasks" / f"FudanPed0000{k}_mask.png", boxes(*range(1, 2 + k)))
        write(root / "Annotation" / f"FudanPed0000{k}.txt", "# Compatible with PASCAL Annotation\n")


def camvid(root: Path) -> None:
    """CamVid: colours in folders beside those of the splits."""
    colours = np.array([[0, 0, 0], [128, 0, 0], [64, 128, 64]], np.uint8)
    for split in ("train", "val"):
        for k in range(2):
            save(root / split / f"{split}0{k}.png", picture(k, 3))
            save(root / f"{split}_labels" / f"{split}0{k}_L.png", colours[boxes(1, 1, 2)])


LAYOUTS: Mapping[str, Writer] = {
    write.__name__: write
    for write in (
        *(dsb2018, voc, cityscapes, labelme, yolo, supervisely, one_folder, scenes, subsets, isic, heads),
        *(archives, stacks, bands, mask_folders, cwfid, cell_tracking, radar, penn_fudan, camvid),
    )
}
