"""What the converters of published sets say about files that they pass over, and refuse before unpacking."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from raw_folder import problems
from refusals import refused

from aims.converters.ivrg_nir import IVRGNIRConverter
from aims.converters.nyuv2 import NYUv2Converter
from aims.converters.rgbp_glass import RGBPGlassConverter
from aims.converters.thermal_glass import ThermalGlassConverter
from aims.converters.zju_rgbp import ZJURGBPConverter
from aims.core.schema import Converter, SampleError
from aims.data.write import convert
from aims.reading import headers, pictures
from aims.synth.layouts import ivrg_nir, nyuv2, rgbp_glass, thermal_glass, zju_rgbp

SIZE = (6, 9)
PLANE = np.arange(54, dtype=np.uint8).reshape(SIZE)
COLOURS = np.stack([PLANE, PLANE + 60, PLANE + 120], axis=-1)
LABELS = np.zeros(SIZE, np.uint16)
LABELS[1:3, 2:5] = 7
GDAL_NODATA = 42113


def rgbp(root: Path) -> Converter:
    image = rgbp_glass.RGBPGlassImage(
        intensity=COLOURS.astype(np.uint16), aolp=COLOURS, dolp=COLOURS, instances=LABELS.astype(np.int64)
    )
    rgbp_glass.write_authors(root, {"train": {"1": image, "2": image}, "test": {"3": image}})
    return RGBPGlassConverter(raw=root)


def zju(root: Path) -> Converter:
    image = zju_rgbp.ZJURGBPImage(i0=COLOURS, i45=COLOURS, i90=COLOURS, i135=COLOURS, labels=LABELS)
    zju_rgbp.write_authors(root, {"train": {"1_x": image, "2_x": image}, "test": {"3_x": image}})
    return ZJURGBPConverter(raw=root)


def thermal(root: Path, write: Callable[..., Path] = thermal_glass.write_authors) -> Converter:
    image = thermal_glass.ThermalGlassImage(
        rgb=COLOURS, temperature=PLANE.astype(np.float32), panes=(LABELS > 0).astype(np.uint16)
    )
    write(root, {"train": {"hall/a": image, "hall/b": image}, "test": {"shop/a": image}})
    return ThermalGlassConverter(raw=root)


def thermal_archive(root: Path) -> Converter:
    return thermal(root, thermal_glass.write_redistributed)


def ivrg(root: Path) -> Converter:
    image = ivrg_nir.IVRGNIRImage(nir=PLANE, rgb=COLOURS, regions=LABELS)
    splits = {"train": {"field/1": image, "street/2": image}, "test": {"street/3": image}}
    ivrg_nir.write_redistributed(root, splits, nir_ending="_nir.tif")
    return IVRGNIRConverter(raw=root)


def nyu(root: Path) -> Converter:
    image = nyuv2.NYUv2Image(rgb=COLOURS, depth=PLANE.astype(np.float32) / 8, labels=LABELS, scene="kitchen")
    nyuv2.write_folder(root, {1: image, 2: image, 3: image}, train=[1, 2], test=[3])
    return NYUv2Converter(raw=root, labels="classes")


# The form of a stream's files, one of them, and a name like it that is none.
SETS: list[tuple[Any, str, str, str]] = [
    (rgbp, "{split}/aolp/{id}_aolp.tiff", "train/aolp/1_aolp.tiff", "1_aolp_.tiff"),
    (zju, "{split}/45/{id}_45*.png", "val/45/3_x_45°.png", "3_x_46.png"),
    (thermal, "{split}/{scene}/{id}/temperature.npy", "train/hall/a/temperature.npy", "temperatur.npy"),
    (thermal_archive, "{split}/{scene}/{id}/rgb.png", "train/hall/b/rgb.png", "rgb_.png"),
    (ivrg, "Outdoor_dataset/NIRimages/*/{id}_nir.*", "NIRimages/field/1_nir.tif", "1_nit.tif"),
    (nyu, "Depth/{id}.npy", "Depth/1.npy", "1.npz"),
]


def ending(root: Path, end: str) -> Path:
    (path,) = (path for path in root.rglob("*") if path.as_posix().endswith(end))
    return path


@pytest.mark.parametrize(("make", "form", "file", "other"), SETS)
def test_what_is_passed_over(tmp_path: Path, make: Any, form: str, file: str, other: str) -> None:
    converter = make(tmp_path)
    counts = converter.inventory()
    assert [line for count in counts for line in count.warnings()] == []
    assert all(count.found == count.used and not count.hidden for count in counts)
    folder = ending(tmp_path, file).parent
    for name in (other, "._1.png", "Thumbs.db", "notes on calibration.txt"):
        (folder / name).touch()
    (count,) = (count for count in dataclasses.replace(converter).inventory() if count.pattern == form)
    assert (count.found, count.used, count.hidden) == (3, 3, 2)
    assert count.nearest[0].endswith(other)


@pytest.mark.parametrize("make", [thermal_archive, ivrg, nyu])
def test_pictures_that_no_table_lists(tmp_path: Path, make: Any) -> None:
    converter = make(tmp_path)
    table = ending(tmp_path, "train.txt" if make is nyu else "train_GroundTruth.csv")
    table.write_text("\n".join(table.read_text("gbk").splitlines()[:-1]), "gbk")
    made = convert(converter, tmp_path / "out")
    assert {(count.found, count.used) for count in made.manifest.inventory} == {(3, 2)}
    lines = [line for line in made.manifest.warnings if "3 files, but 2 belong to an image" in line]
    assert len(lines) == len(made.manifest.inventory)
    assert problems(tmp_path / "out") == []


def test_tables_with_names_that_no_file_can_have(tmp_path: Path) -> None:
    converter = thermal_archive(tmp_path)
    table = ending(tmp_path, "train_GroundTruth.csv")
    table.write_text(table.read_text("gbk").replace("hall/b", f"hall/{'b' * 5000}"), "gbk")
    image_id = converter.splits()["train"][1]
    assert converter.source_files("train", image_id) == ()
    assert {count.examples for count in converter.inventory()} == {(image_id,)}
    with refused(SampleError, "rgb.png: not readable (File name too long)"):
        converter.read("train", image_id)


def test_images_that_a_json_file_lists_alone(tmp_path: Path) -> None:
    converter = rgbp(tmp_path)
    for name in ("image/2_rgb.tiff", "aolp/2_aolp.tiff", "dolp/2_dolp.tiff"):
        (tmp_path / "train" / name).unlink()
    (mask,) = tmp_path.glob("train/mask/2_*")
    mask.unlink()
    entries = {count.pattern: count for count in converter.inventory()}["instances_train.json 'images'"]
    assert (entries.found, entries.used, entries.unused) == (2, 1, ("2_rgb.tiff",))


@pytest.mark.parametrize(("make", "form", "file", "other"), SETS)
def test_headers_before_unpacking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any, form: str, file: str, other: str
) -> None:
    converter = make(tmp_path)
    path = ending(tmp_path, file)
    split = "test" if file.startswith("val") else "train"
    image_id = next(k for k in converter.splits()[split] if path in converter.source_files(split, k))
    monkeypatch.setattr(headers, "_LARGE_BYTES", 1000)
    assert converter.read(split, image_id).image_id == image_id
    large = np.zeros((300, 500), np.uint8)
    if path.suffix == ".npy":
        np.save(path, large)
    elif path.suffix == ".png":
        Image.fromarray(large).save(path)
    else:
        tifffile.imwrite(path, large, compression="zlib")
    # Cut short: unpacked, it would be called damaged.
    os.truncate(path, path.stat().st_size - 5)
    with refused(SampleError, f"{path}: announces 300 x 500 (", " is 6 x 9", "must have the same size"):
        dataclasses.replace(converter).read(split, image_id)


@pytest.mark.parametrize(
    ("make", "file", "stream"), [(rgbp, "_aolp.tiff", "aolp"), (ivrg, "_nir.tif", "nir")]
)
def test_declared_no_data_is_missing(tmp_path: Path, make: Any, file: str, stream: str) -> None:
    converter = make(tmp_path)
    for path in tmp_path.rglob(f"*{file}"):
        declared = "8" if path.name.startswith("3") else "7"
        image = tifffile.imread(path)
        photometric = "rgb" if image.ndim == 3 else "minisblack"
        tifffile.imwrite(
            path, image, photometric=photometric, extratags=[(GDAL_NODATA, 2, 0, declared, True)]
        )
    made = convert(converter, tmp_path / "out").manifest
    assert {name: spec.missing for name, spec in made.dataset.streams.items() if spec.missing} == {stream: 7}
    (line,) = (line for line in made.warnings if "declares" in line)
    assert line.endswith(f"3{file}: declares 8 to be no measurement; it is kept as one")


@pytest.mark.parametrize(("make", "file"), [(rgbp, "1_rgb.tiff"), (ivrg, "1_nir.tif")])
def test_headers_of_the_first_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any, file: str
) -> None:
    """Streams are described by the first image that can be read, which is not unpacked to find that out."""
    converter = make(tmp_path)
    path = ending(tmp_path, file)
    tifffile.imwrite(path, np.zeros((300, 500), np.uint8))
    monkeypatch.setattr(headers, "_LARGE_BYTES", 1000)
    unpacked: list[Path] = []
    load = pictures.load_tiff
    monkeypatch.setattr(pictures, "load_tiff", lambda p, *a, **k: unpacked.append(p) or load(p, *a, **k))
    assert converter.spec().streams
    assert path not in unpacked
    assert unpacked


def test_no_data_of_floats_is_no_fraction(tmp_path: Path) -> None:
    rgbp(tmp_path)
    values = COLOURS / np.float32(255)
    values[:3] = -9999
    for path in tmp_path.rglob("*_dolp.tiff"):
        tifffile.imwrite(path, values, photometric="rgb", extratags=[(GDAL_NODATA, 2, 0, "-9999", True)])
    converter = RGBPGlassConverter(raw=tmp_path)
    assert converter.spec().streams["dolp"].missing == -9999
    np.testing.assert_array_equal(converter.read("test", "3").streams["dolp"], values)
