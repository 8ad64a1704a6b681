"""Every raw layout that the converters read, with four tiny pictures: two for training, two for testing.

Each writer fills a folder and returns the command line of `aims convert` that reads it. The last picture of
the test split is the one that tests break, so that the others come before it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile
from PIL import Image

from aims.cli import main
from aims.core.files import write_json
from aims.synth.layouts import folder, ivrg_nir, nyuv2, rgbp_glass, thermal_glass, zju_rgbp

SIZE = (16, 20)
NAMES = {"train": ("a", "b"), "test": ("c", "d")}

Writer = Callable[[Path], list[str]]


def ramp(start: int, channels: int = 0, dtype: Any = np.uint8) -> np.ndarray:
    """(height, width), or with channels; no value twice in a plane, and channel k begins 3 k higher."""
    plane = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % 200 + start
    if not channels:
        return plane.astype(dtype)
    return np.stack([plane + 3 * channel for channel in range(channels)], axis=-1).astype(dtype)


def regions(first: int = 1, second: int = 2) -> np.ndarray:
    """Two regions that do not touch."""
    labels = np.zeros(SIZE, np.uint8)
    labels[2:6, 3:9] = first
    labels[9:14, 11:17] = second
    return labels


def toml(raw: Path) -> Path:
    """The description of the folder set, which lies beside the raw folder."""
    return raw.with_name(f"{raw.name}.toml")


def write_folder(raw: Path) -> list[str]:
    """One stream of every format, RGB as JPEG, and label PNGs with a palette."""
    images = [
        folder.FolderImage(
            image_id=name,
            split=split,
            labels=regions(),
            streams={"nir": ramp(k, dtype=np.uint16), "heat": ramp(k, dtype=np.float32) / 4},
        )
        for k, (split, name) in enumerate(_names())
    ]
    palette = {"weed": (255, 0, 0), "crop": (0, 255, 0)}
    facts = {"nir": {"unit": "digital number"}, "heat": {"unit": "K"}}
    written = folder.write_folder(
        raw, images, name="field", license="CC0-1.0", palette=palette, streams=facts
    )
    for name in ("laser", "sonar", "rgb"):
        (raw / name).mkdir()
    for k, (_, name) in enumerate(_names()):
        tifffile.imwrite(raw / "laser" / f"{name}.tiff", ramp(k, 3, np.float32), photometric="rgb")
        Image.fromarray(ramp(k, 3)).save(raw / "rgb" / f"{name}.jpg")
        with h5py.File(raw / "sonar" / f"{name}.mat", "w", userblock_size=512) as file:
            file["echo"] = ramp(k, dtype=np.float64).T
            file["echo"].attrs["MATLAB_class"] = np.bytes_(b"double")
    more = """
[streams.laser]
files = "laser/{id}.tiff"
unit = "V"

[streams.sonar]
files = "sonar/{id}.mat"
variable = "echo"
unit = "dB"

[rgb]
files = "rgb/{id}.jpg"
"""
    toml(raw).write_text(written.read_text() + more)
    written.unlink()
    return ["folder", str(toml(raw)), "--raw", str(raw)]


def write_folder_archives(raw: Path) -> list[str]:
    """All streams of a picture in one npz file, and COCO's JSON as labels."""
    images = [
        folder.FolderImage(
            image_id=name,
            split=split,
            labels=regions(),
            streams={"nir": ramp(k, 2, np.uint16), "heat": ramp(k, dtype=np.float32) / 4},
        )
        for k, (split, name) in enumerate(_names())
    ]
    palette = {"weed": (255, 0, 0), "crop": (0, 255, 0)}
    facts = {"nir": {"unit": "digital number"}, "heat": {"unit": "K"}}
    written = folder.write_folder(
        raw, images, name="field", license="CC0-1.0", palette=palette, streams=facts, form="npz", coco=True
    )
    written.rename(toml(raw))
    return ["folder", str(toml(raw)), "--raw", str(raw)]


def write_coco(raw: Path) -> list[str]:
    """One picture of every format that a stream can have; COCO polygons."""
    (raw / "images").mkdir(parents=True)
    files = dict(zip("abcd", ("a.png", "b.png", "c.npy", "d.tiff"), strict=True))
    for k, (_, name) in enumerate(_names()):
        path, picture = raw / "images" / files[name], ramp(k, dtype=np.uint16)
        save(path, picture)
    for split, names in NAMES.items():
        entries = [
            {"id": k, "file_name": files[name], "height": SIZE[0], "width": SIZE[1]}
            for k, name in enumerate(names)
        ]
        corners = {1: [3, 2, 9, 2, 9, 6, 3, 6], 2: [11, 9, 17, 9, 17, 14, 11, 14]}
        objects = [
            {
                "id": 10 * k + category,
                "image_id": k,
                "category_id": category,
                "iscrowd": 0,
                "bbox": [points[0], points[1], 6, points[5] - points[1]],
                "area": 6 * (points[5] - points[1]),
                "segmentation": [points],
            }
            for k in range(len(names))
            for category, points in corners.items()
        ]
        categories = [{"id": 1, "name": "weed"}, {"id": 2, "name": "crop"}]
        content = {"images": entries, "annotations": objects, "categories": categories}
        (raw / "annotations").mkdir(exist_ok=True)
        write_json(raw / "annotations" / f"{split}.json", content)
    return ["coco", "--raw", str(raw), "--images", "images", "--stream", "nir"]


def write_exported(raw: Path) -> list[str]:
    """What `aims export --format coco` makes of the folder set."""
    work = raw.with_name(f"{raw.name}-work")
    options = write_folder(work / "raw")
    for arguments in (
        ["convert", *options, "--out", str(work / "set")],
        ["export", str(work / "set"), "--format", "coco", "--out", str(raw)],
    ):
        try:
            main(arguments)
        except SystemExit as stop:
            if stop.code:
                raise RuntimeError(f"aims {' '.join(arguments)} failed") from stop
    shutil.rmtree(work)
    return ["coco", "--raw", str(raw)]


def write_nyuv2_official(raw: Path) -> list[str]:
    """The authors' MATLAB files."""
    nyuv2.write_official(raw, [_nyuv2(k) for k in range(4)], train=[1, 2], test=[3, 4])
    return ["nyuv2", "--raw", str(raw)]


def write_nyuv2_folder(raw: Path) -> list[str]:
    """The re-distributed folder."""
    nyuv2.write_folder(raw, {k + 1: _nyuv2(k) for k in range(4)}, train=[1, 2], test=[3, 4])
    return ["nyuv2", "--raw", str(raw), "--labels", "classes"]


def _nyuv2(number: int) -> nyuv2.NYUv2Image:
    depth = (1 + ramp(number) / 50).astype(np.float32)
    return nyuv2.NYUv2Image(rgb=ramp(number, 3), depth=depth, labels=regions(5, 21), scene=f"den_{number}")


def write_rgbp_authors(raw: Path) -> list[str]:
    """The authors' folders, with instances in JSON."""
    rgbp_glass.write_authors(raw, _rgbp())
    return ["rgbp-glass", "--raw", str(raw)]


def write_rgbp_archive(raw: Path) -> list[str]:
    """The archive with a PNG of instances for every picture."""
    rgbp_glass.write_redistributed(raw, _rgbp())
    return ["rgbp-glass", "--raw", str(raw)]


def _rgbp() -> dict[str, dict[str, rgbp_glass.RGBPGlassImage]]:
    def image(k: int) -> rgbp_glass.RGBPGlassImage:
        intensity, aolp, dolp = (ramp(k + 5 * stream, 3, np.float32) / 250 for stream in range(3))
        return rgbp_glass.RGBPGlassImage(intensity=intensity, aolp=aolp, dolp=dolp, instances=regions())

    return _by_split(image)


def write_zju_authors(raw: Path) -> list[str]:
    """The authors' folders, with class maps."""
    zju_rgbp.write_authors(raw, _zju())
    return ["zju-rgbp", "--raw", str(raw)]


def write_zju_archive(raw: Path) -> list[str]:
    """The archive with instance maps."""
    zju_rgbp.write_redistributed(raw, _zju())
    return ["zju-rgbp", "--raw", str(raw)]


def _zju() -> dict[str, dict[str, zju_rgbp.ZJURGBPImage]]:
    def image(k: int) -> zju_rgbp.ZJURGBPImage:
        angles = {f"i{angle}": ramp(k + number, 3) for number, angle in enumerate((0, 45, 90, 135))}
        return zju_rgbp.ZJURGBPImage(**angles, labels=regions())

    return _by_split(image)


def write_thermal_authors(raw: Path) -> list[str]:
    """The authors' folder for every image."""
    thermal_glass.write_authors(raw, _thermal())
    return ["thermal-glass", "--raw", str(raw)]


def write_thermal_archive(raw: Path) -> list[str]:
    """The archive with its two tables."""
    thermal_glass.write_redistributed(raw, _thermal())
    return ["thermal-glass", "--raw", str(raw)]


def _thermal() -> dict[str, dict[str, thermal_glass.ThermalGlassImage]]:
    def image(k: int) -> thermal_glass.ThermalGlassImage:
        temperature = (20 + ramp(k) / 20).astype(np.float32)
        return thermal_glass.ThermalGlassImage(rgb=ramp(k, 3), temperature=temperature, panes=regions())

    found = _by_split(image)
    return {split: {f"hall/{name}": value for name, value in part.items()} for split, part in found.items()}


def write_ivrg(raw: Path) -> list[str]:
    """The archive, near infrared as TIFF."""

    def image(k: int) -> ivrg_nir.IVRGNIRImage:
        return ivrg_nir.IVRGNIRImage(nir=ramp(k), rgb=ramp(k + 9, 3), regions=regions())

    ivrg_nir.write_redistributed(raw, _by_split(image), nir_ending="_nir.tiff", rgb_ending="_rgb.jpg")
    return ["ivrg-nir", "--raw", str(raw)]


def _names() -> list[tuple[str, str]]:
    return [(split, name) for split, names in NAMES.items() for name in names]


def _by_split(image: Callable[[int], Any]) -> dict[str, dict[str, Any]]:
    order = [name for _, name in _names()]
    return {split: {name: image(order.index(name)) for name in names} for split, names in NAMES.items()}


def save(path: Path, array: np.ndarray) -> None:
    """Saves an array in the format of the suffix; in an npz file it is the stream nir."""
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez(path, nir=array, heat=ramp(0, dtype=np.float32))
    elif path.suffix == ".tiff":
        tifffile.imwrite(path, array, photometric="rgb" if array.shape[2:] == (3,) else "minisblack")
    else:
        Image.fromarray(array).save(path)
