"""What the converters of published sets know without a file, and what they say where the set is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from refusals import refused

from aims.converters.ivrg_nir import IVRGNIRConverter
from aims.converters.nyuv2 import NYUv2Converter
from aims.converters.rgbp_glass import RGBPGlassConverter
from aims.converters.thermal_glass import ThermalGlassConverter
from aims.converters.zju_rgbp import ZJURGBPConverter
from aims.core.errors import InputError

NYU = "https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html"
PGSNET = "https://mhaiyang.github.io/CVPR2022_PGSNet/index.html"
ZJU = "http://www.wangkaiwei.org/dataseteg.html"
HUO = "https://github.com/Dong-Huo/RGB-T-Glass-Segmentation"
IVRG = "https://www.epfl.ch/labs/ivrl/research/downloads/rgb-nir-scene-dataset/"


@pytest.mark.parametrize(
    ("converter", "streams", "images", "url", "author", "options"),
    [
        (NYUv2Converter, "depth", {"train": 795, "test": 654}, NYU, "Silberman", None),
        (RGBPGlassConverter, "intensity aolp dolp", {"train": 3207, "test": 1304}, PGSNET, "Mei", None),
        (ZJURGBPConverter, "i0 i45 i90 i135", {"train": 344, "test": 50}, ZJU, "Xiang", None),
        (
            ThermalGlassConverter,
            "thermal",
            {"train": 4427, "test": 1124},
            HUO,
            "Huo",
            {"numbered_masks": False},
        ),
        (IVRGNIRConverter, "nir", 477, IVRG, "Brown", {}),
    ],
)
def test_facts(converter: Any, streams: str, images: Any, url: str, author: str, options: Any) -> None:
    published = converter.published
    assert (published.streams, published.url) == (tuple(streams.split()), url)
    splits, total = (images, None) if isinstance(images, dict) else ({}, images)
    assert (published.images, published.total) == (splits, total)
    assert author in published.citation
    assert converter().root == Path("data/raw") / converter.name
    # Of other sets the options say which files were found.
    assert options is None or converter().options() == options


@pytest.mark.parametrize(
    ("converter", "parts"),
    [
        (
            NYUv2Converter,
            ["nyu_depth_v2_labeled.mat", "splits.mat", "classMapping40.mat", "Gupta", "RGB/", NYU],
        ),
        (RGBPGlassConverter, ["image/ID_rgb.tiff", "mask/ID_mask.png", "instance_mask/", "pgsnet", PGSNET]),
        (ZJURGBPConverter, ["train/ and val/", "0/, 45/, 90/ and 135/", "label/", "label_sam/", ZJU]),
        (
            ThermalGlassConverter,
            ["train/ and test/", "temperature.npy", "RGB_T_Glass_train_G", "RGB-Thermal-Glass/", HUO],
        ),
        (
            IVRGNIRConverter,
            ["IVRG-nir_train_G", "Outdoor_dataset/NIRimages/", "RGBimages/", "IVRG_RGBNIR/", IVRG],
        ),
    ],
)
def test_a_set_that_is_not_there(tmp_path: Path, converter: Any, parts: list[str]) -> None:
    for root in (tmp_path, tmp_path / "absent"):
        with refused(InputError, f"{root}: ", parts, "--raw"):
            converter(raw=root).spec()
