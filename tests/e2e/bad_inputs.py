"""The matrix of bad inputs: for every raw layout and every fault, how to make it - or why it cannot be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import scipy.io
import tiny_layouts as tiny
from raw_damage import Break, Named, copy, cut, edit, gone, loop, misname, overwrite, pickles, put, recode
from tiny_layouts import SIZE, ramp

#: One way or several to make a fault; or the reason why a layout cannot have it.
Cell = Break | tuple[Break, ...] | str

FAULTS = (
    "missing folder",
    "missing part",
    "missing table",
    "wrong encoding",
    "truncated HDF5",
    "truncated PNG",
    "truncated JPEG",
    "truncated TIFF",
    "truncated npy",
    "wrong channels",
    "size mismatch",
    "duplicate names",
    "path out of the folder",
    "symlink loop of a file",
    "symlink loop of a folder",
    "pickled npy",
)
#: Suffixes of the files that a fault of a format needs.
SUFFIXES = {
    "truncated HDF5": (".mat",),
    "truncated PNG": (".png",),
    "truncated JPEG": (".jpg",),
    "truncated TIFF": (".tiff",),
    "truncated npy": (".npy", ".npz"),
    "pickled npy": (".npy", ".npz"),
}
_TALLER = (SIZE[0] + 2, SIZE[1])


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A raw layout.

    Attributes:
        converter: name of its converter.
        write: writes it.
        cells: by fault.
        last: a file of the picture that is converted last, below the raw folder; None where pictures share
            all files.
    """

    converter: str
    write: tiny.Writer
    cells: Mapping[str, Cell]
    last: str | None


def describe(old: str, new: str) -> Break:
    """Replaces a text in the TOML file beside the raw folder."""

    def damage(raw: Path) -> Named:
        edit(tiny.toml(raw).name, old, new)(raw.parent)
        return tiny.toml(raw)

    return damage


def hdf5(change: Callable[[h5py.File, Path], None]) -> Break:
    """Changes the labelled file of NYUv2."""

    def damage(raw: Path) -> Named:
        path = raw / "nyu_depth_v2_labeled.mat"
        with h5py.File(path, "r+") as file:
            change(file, raw)
        return path

    return damage


def _replace(file: h5py.File, name: str, array: np.ndarray) -> None:
    del file[name]
    file[name] = array


def _outside(file: h5py.File, raw: Path) -> None:
    with h5py.File(raw.with_name("outside.mat"), "w") as other:
        other["depths"] = file["depths"][()]
    del file["depths"]
    file["depths"] = h5py.ExternalLink("../outside.mat", "depths")


def _toml_in_latin1(raw: Path) -> Named:
    path = tiny.toml(raw)
    path.write_bytes(path.read_text("utf-8").replace("CC0-1.0", "für alle").encode("latin-1"))
    return path


def _listed_in_latin1(raw: Path) -> Named:
    describe('train = "train.txt"\n', "")(raw)
    describe('"test.txt"', '"*"')(raw)
    misname("nir/a.png", b"\xe4.png")(raw)
    return str(raw), "nir/"


def _toml_missing(raw: Path) -> Named:
    tiny.toml(raw).unlink()
    return tiny.toml(raw)


def _splits(train: list[int], test: list[int]) -> Break:
    def damage(raw: Path) -> Named:
        columns = {"trainNdxs": np.array(train)[:, None], "testNdxs": np.array(test)[:, None]}
        scipy.io.savemat(raw / "splits.mat", columns)
        return raw / "splits.mat"

    return damage


NO_HDF5 = "no file of this layout is HDF5"
NO_PNG = "no file of this layout is a PNG"
NO_JPEG = "no file of this layout is a JPEG"
NO_TIFF = "no file of this layout is a TIFF"
NO_NPY = "no file of this layout is npy"
NO_TABLE = "no table: pictures are found by their names"
ONLY_ENDS = "of a path that leads out only the end after the last .. names a file"
NO_PATHS = "no path is read from a file: pictures are found by their names"

FOLDER = Layout(
    converter="folder",
    write=tiny.write_folder,
    last="heat/d.npy",
    cells={
        "missing folder": gone(""),
        "missing part": gone("laser"),
        "missing table": (gone("test.txt", "test.txt", "[splits]"), _toml_missing),
        "wrong encoding": (recode("train.txt"), _toml_in_latin1, _listed_in_latin1),
        "truncated HDF5": cut("sonar/d.mat"),
        "truncated PNG": cut("nir/d.png", "labels/d.png", "nir/a.png"),
        "truncated JPEG": cut("rgb/d.jpg"),
        "truncated TIFF": cut("laser/d.tiff"),
        "truncated npy": cut("heat/d.npy"),
        "wrong channels": (
            put("nir/d.png", ramp(3, 3)),
            put("heat/d.npy", ramp(3, 2, np.float32)),
            put("labels/d.png", ramp(3, 3)),
        ),
        "size mismatch": (
            put("labels/d.png", np.zeros(_TALLER, np.uint8)),
            put("heat/d.npy", np.zeros(_TALLER, np.float32)),
        ),
        "duplicate names": (
            edit("train.txt", "b\n", "b\na\n"),
            edit("test.txt", "c\n", "c\nb\n", "image 'b'", "train.txt"),
        ),
        "path out of the folder": (
            edit("train.txt", "b\n", "../b\n"),
            describe('"nir/{id}.png"', '"../raw/nir/{id}.png"'),
            describe('"train.txt"', '"../raw/train.txt"'),
        ),
        "symlink loop of a file": (loop("heat/d.npy"), loop("train.txt")),
        "symlink loop of a folder": (loop("heat"), loop()),
        "pickled npy": pickles("heat/d.npy"),
    },
)

FOLDER_ARCHIVES = Layout(
    converter="folder",
    write=tiny.write_folder_archives,
    last="data/d.npz",
    cells={
        "missing folder": gone(""),
        "missing part": gone("data"),
        "missing table": (gone("annotations/test.json"), gone("annotations")),
        "wrong encoding": recode("annotations/test.json"),
        "truncated HDF5": NO_HDF5,
        "truncated PNG": NO_PNG,
        "truncated JPEG": NO_JPEG,
        "truncated TIFF": NO_TIFF,
        "truncated npy": cut("data/d.npz"),
        "wrong channels": put("data/d.npz", ramp(3, 3, np.uint16)),
        "size mismatch": put("data/d.npz", np.zeros((*_TALLER, 2), np.uint16)),
        "duplicate names": edit("annotations/test.json", '"d.png"', '"c.png"'),
        "path out of the folder": ONLY_ENDS,
        "symlink loop of a file": (loop("data/d.npz"), loop("annotations/test.json")),
        "symlink loop of a folder": (loop("data"), loop("annotations"), loop()),
        "pickled npy": pickles("data/d.npz"),
    },
)

COCO = Layout(
    converter="coco",
    write=tiny.write_coco,
    last="images/b.png",
    cells={
        "missing folder": gone(""),
        "missing part": gone("images"),
        "missing table": gone("annotations", "/raw:", "'annotations'"),
        "wrong encoding": (
            recode("annotations/train.json"),
            edit("annotations/train.json", "b.png", "\\ud800.png"),
        ),
        "truncated HDF5": NO_HDF5,
        "truncated PNG": cut("images/b.png"),
        "truncated JPEG": NO_JPEG,
        "truncated TIFF": cut("images/d.tiff"),
        "truncated npy": cut("images/c.npy"),
        "wrong channels": (put("images/d.tiff", ramp(3, 3, np.uint16)), put("images/b.png", ramp(3, 3))),
        "size mismatch": put("images/d.tiff", np.zeros(_TALLER, np.uint16)),
        "duplicate names": edit("annotations/test.json", "d.tiff", "c.npy"),
        "path out of the folder": ONLY_ENDS,
        "symlink loop of a file": (loop("images/d.tiff"), loop("annotations/test.json")),
        "symlink loop of a folder": (loop("images"), loop("annotations", "'annotations'"), loop()),
        "pickled npy": pickles("images/c.npy"),
    },
)

EXPORTED = Layout(
    converter="coco",
    write=tiny.write_exported,
    last="streams/heat/test/d.npy",
    cells={
        "missing folder": gone(""),
        "missing part": gone("streams/laser"),
        "missing table": gone("annotations/test.json", "annotations/train.json", "'test'"),
        "wrong encoding": recode("annotations/train.json"),
        "truncated HDF5": NO_HDF5,
        "truncated PNG": cut("streams/nir/test/d.png"),
        "truncated JPEG": cut("images/test/d.jpg"),
        "truncated TIFF": NO_TIFF,
        "truncated npy": cut("streams/heat/test/d.npy"),
        "wrong channels": (
            put("streams/nir/test/d.png", ramp(3, 3)),
            put("streams/heat/test/d.npy", ramp(3, 2, np.float32)),
        ),
        "size mismatch": put("streams/heat/test/d.npy", np.zeros(_TALLER, np.float32)),
        "duplicate names": edit("annotations/test.json", '"images/test/d', '"images/test/c'),
        "path out of the folder": (
            edit("annotations/test.json", '"images/test/d', '"../raw/images/test/d'),
            edit("annotations/test.json", '"streams/', '"../raw/streams/'),
        ),
        "symlink loop of a file": (loop("streams/heat/test/d.npy"), loop("annotations/test.json")),
        "symlink loop of a folder": (loop("streams/heat"), loop("annotations", "'annotations'"), loop()),
        "pickled npy": pickles("streams/heat/test/d.npy"),
    },
)

NYUV2_OFFICIAL = Layout(
    converter="nyuv2",
    write=tiny.write_nyuv2_official,
    last=None,
    cells={
        "missing folder": gone(""),
        "missing part": gone("nyu_depth_v2_labeled.mat", "/raw:", "nyu_depth_v2_labeled.mat"),
        "missing table": gone("splits.mat"),
        "wrong encoding": (
            overwrite("splits.mat", "1\n2\n", "utf-16"),
            hdf5(lambda file, raw: _replace(file, "#refs#/3", np.full((1, 1), 0xD800, np.uint16))),
        ),
        "truncated HDF5": cut("nyu_depth_v2_labeled.mat"),
        "truncated PNG": NO_PNG,
        "truncated JPEG": NO_JPEG,
        "truncated TIFF": NO_TIFF,
        "truncated npy": NO_NPY,
        "wrong channels": hdf5(
            lambda file, raw: _replace(file, "images", np.zeros((4, 4, SIZE[1], SIZE[0]), np.uint8))
        ),
        "size mismatch": hdf5(
            lambda file, raw: _replace(file, "labels", np.ones((4, SIZE[1] + 2, SIZE[0]), np.uint16))
        ),
        "duplicate names": (_splits([1, 2], [3, 2]), _splits([1, 1], [3, 4])),
        "path out of the folder": hdf5(_outside),
        "symlink loop of a file": loop("splits.mat"),
        "symlink loop of a folder": loop(),
        "pickled npy": NO_NPY,
    },
)

NYUV2_FOLDER = Layout(
    converter="nyuv2",
    write=tiny.write_nyuv2_folder,
    last="NYUDepthv2/Depth/4.npy",
    cells={
        "missing folder": gone(""),
        "missing part": gone("NYUDepthv2/Mask_gt"),
        "missing table": gone("NYUDepthv2/test.txt"),
        "wrong encoding": recode("NYUDepthv2/train.txt"),
        "truncated HDF5": NO_HDF5,
        "truncated PNG": cut("NYUDepthv2/Mask_gt/4.png"),
        "truncated JPEG": cut("NYUDepthv2/RGB/4.jpg"),
        "truncated TIFF": NO_TIFF,
        "truncated npy": cut("NYUDepthv2/Depth/4.npy"),
        "wrong channels": (
            put("NYUDepthv2/Depth/4.npy", ramp(3, 3, np.float32) / 100),
            put("NYUDepthv2/Mask_gt/4.png", ramp(3, 3)),
        ),
        "size mismatch": (
            put("NYUDepthv2/Depth/4.npy", np.ones(_TALLER, np.float32)),
            put("NYUDepthv2/Mask_gt/4.png", np.ones(_TALLER, np.uint8)),
        ),
        "duplicate names": (
            edit("NYUDepthv2/train.txt", "RGB/2.jpg", "RGB/1.jpg"),
            edit("NYUDepthv2/test.txt", "RGB/4.jpg", "RGB/1.jpg"),
        ),
        "path out of the folder": edit("NYUDepthv2/test.txt", "RGB/4.jpg", "../NYUDepthv2/RGB/4.jpg"),
        "symlink loop of a file": (loop("NYUDepthv2/Depth/4.npy"), loop("NYUDepthv2/test.txt")),
        "symlink loop of a folder": (loop("NYUDepthv2/Depth"), loop("NYUDepthv2", "NYUDepthv2"), loop()),
        "pickled npy": pickles("NYUDepthv2/Depth/4.npy"),
    },
)

RGBP_AUTHORS = Layout(
    converter="rgbp-glass",
    write=tiny.write_rgbp_authors,
    last="test/dolp/d_dolp.tiff",
    cells={
        "missing folder": gone(""),
        "missing part": (gone("test/aolp"), gone("test")),
        "missing table": "the masks are read instead, with a warning",
        "wrong encoding": recode("test/instances_test.json"),
        "truncated HDF5": NO_HDF5,
        "truncated PNG": "the masks are not opened where the tables have the instances",
        "truncated JPEG": NO_JPEG,
        "truncated TIFF": cut("test/dolp/d_dolp.tiff", "train/image/a_rgb.tiff"),
        "truncated npy": NO_NPY,
        "wrong channels": put("test/aolp/d_aolp.tiff", ramp(3, dtype=np.float32) / 250),
        "size mismatch": put("test/aolp/d_aolp.tiff", np.zeros((*_TALLER, 3), np.float32)),
        "duplicate names": (
            copy("train/image/a_rgb.tiff", "test/image/a_rgb.tiff", "test/image/a_rgb.tiff", "'a'"),
            edit("test/instances_test.json", "d_rgb.tiff", "c_rgb.tiff"),
        ),
        "path out of the folder": ONLY_ENDS,
        "symlink loop of a file": (loop("test/dolp/d_dolp.tiff"), loop("test/instances_test.json")),
        "symlink loop of a folder": (loop("test/aolp"), loop("test"), loop()),
        "pickled npy": NO_NPY,
    },
)

RGBP_ARCHIVE = Layout(
    converter="rgbp-glass",
    write=tiny.write_rgbp_archive,
    last="pgsnet/test/instance_mask/d_instance_mask.png",
    cells={
        "missing folder": gone(""),
        "missing part": gone("pgsnet/test/aolp"),
        "missing table": NO_TABLE,
        "wrong encoding": misname("pgsnet/test/image/d_rgb.tiff", b"\xb0_rgb.tiff"),
        "truncated HDF5": NO_HDF5,
        "truncated PNG": cut("pgsnet/test/instance_mask/d_instance_mask.png"),
        "truncated JPEG": NO_JPEG,
        "truncated TIFF": cut("pgsnet/test/dolp/d_dolp.tiff"),
        "truncated npy": NO_NPY,
        "wrong channels": (
            put("pgsnet/test/image/d_rgb.tiff", ramp(3, dtype=np.float32) / 250),
            put("pgsnet/test/instance_mask/d_instance_mask.png", ramp(3, 3)),
        ),
        "size mismatch": put("pgsnet/test/instance_mask/d_instance_mask.png", np.ones(_TALLER, np.uint8)),
        "duplicate names": copy(
            "pgsnet/train/aolp/a_aolp.tiff", "pgsnet/test/aolp/a_aolp.tiff", "test/aolp/a_aolp", "'a'"
        ),
        "path out of the folder": NO_PATHS,
        "symlink loop of a file": loop("pgsnet/test/dolp/d_dolp.tiff"),
        "symlink loop of a folder": (loop("pgsnet/test/aolp"), loop("pgsnet", "pgsnet"), loop()),
        "pickled npy": NO_NPY,
    },
)


def _zju(base: str, labels: str) -> dict[str, Cell]:
    last = f"{base}val/{labels}/d.png"
    return {
        "missing folder": gone(""),
        "missing part": (gone(f"{base}val/90"), gone(f"{base}val/{labels}")),
        "missing table": NO_TABLE,
        "wrong encoding": misname(f"{base}val/90/d_90°.png", b"e_90\xb0.png"),
        "truncated HDF5": NO_HDF5,
        "truncated PNG": cut(f"{base}val/135/d_135°.png", last),
        "truncated JPEG": NO_JPEG,
        "truncated TIFF": NO_TIFF,
        "truncated npy": NO_NPY,
        "wrong channels": (put(f"{base}val/45/d_45°.png", ramp(3)), put(last, ramp(3, 3))),
        "size mismatch": (
            put(f"{base}val/90/d_90°.png", np.zeros((*_TALLER, 3), np.uint8)),
            put(last, np.ones(_TALLER, np.uint8)),
        ),
        "duplicate names": (
            copy(f"{base}val/0/d_0°.png", f"{base}val/0/d_0.png", f"{base}val/0", "'d_0°.png'", "'d_0.png'"),
            copy(f"{base}train/0/a_0°.png", f"{base}val/0/a_0°.png"),
        ),
        "path out of the folder": NO_PATHS,
        "symlink loop of a file": (loop(f"{base}val/0/d_0°.png"), loop(last)),
        "symlink loop of a folder": (loop(f"{base}val/0"), loop(f"{base}val/{labels}"), loop()),
        "pickled npy": NO_NPY,
    }


def _thermal(base: str) -> dict[str, Cell]:
    image = f"{base}test/hall/d"
    return {
        "missing folder": gone(""),
        "missing part": (gone(image), gone(f"{image}/temperature.npy")),
        "truncated HDF5": NO_HDF5,
        "truncated PNG": cut(f"{image}/rgb.png", f"{image}/mask.png"),
        "truncated JPEG": NO_JPEG,
        "truncated TIFF": NO_TIFF,
        "truncated npy": cut(f"{image}/temperature.npy"),
        "wrong channels": (
            put(f"{image}/temperature.npy", ramp(3, 3, np.float32)),
            put(f"{image}/mask.png", ramp(3, 3)),
        ),
        "size mismatch": (
            put(f"{image}/temperature.npy", np.ones(_TALLER, np.float32)),
            put(f"{image}/mask.png", np.zeros(_TALLER, np.uint8)),
        ),
        "symlink loop of a file": loop(f"{image}/temperature.npy"),
        "symlink loop of a folder": (loop(image), loop(f"{base}test/hall"), loop()),
        "pickled npy": pickles(f"{image}/temperature.npy"),
    }


_THERMAL_TEST = "RGB-Thermal-Glass/RGB_T_Glass_test_GroundTruth.csv"
THERMAL_AUTHORS = Layout(
    converter="thermal-glass",
    write=tiny.write_thermal_authors,
    last="test/hall/d/temperature.npy",
    cells={
        **_thermal(""),
        "missing part": gone("test"),
        "missing table": NO_TABLE,
        "wrong encoding": misname("test/hall/d", b"\xe4"),
        "duplicate names": copy("train/hall/a", "test/hall/a"),
        "path out of the folder": NO_PATHS,
    },
)
THERMAL_ARCHIVE = Layout(
    converter="thermal-glass",
    write=tiny.write_thermal_archive,
    last="RGB-Thermal-Glass/test/hall/d/temperature.npy",
    cells={
        **_thermal("RGB-Thermal-Glass/"),
        "missing table": gone(_THERMAL_TEST),
        "wrong encoding": (recode(_THERMAL_TEST), recode(_THERMAL_TEST, "latin-1")),
        "duplicate names": edit(_THERMAL_TEST, "hall/d/", "hall/c/"),
        "path out of the folder": edit(_THERMAL_TEST, "test/hall/d/rgb", "../RGB-T/test/hall/d/rgb"),
        "symlink loop of a file": (
            loop("RGB-Thermal-Glass/test/hall/d/temperature.npy"),
            loop(_THERMAL_TEST),
        ),
    },
)

_IVRG, _IVRG_TEST = "IVRG_RGBNIR/Outdoor_dataset", "IVRG_RGBNIR/IVRG-nir_test_GroundTruth.csv"
IVRG = Layout(
    converter="ivrg-nir",
    write=tiny.write_ivrg,
    last=f"{_IVRG}/NIRimages/d_nir.tiff",
    cells={
        "missing folder": gone(""),
        "missing part": (gone(f"{_IVRG}/RGBimages"), gone(f"{_IVRG}/NIRimages")),
        "missing table": gone(_IVRG_TEST),
        "wrong encoding": (recode(_IVRG_TEST), recode(_IVRG_TEST, "latin-1")),
        "truncated HDF5": NO_HDF5,
        "truncated PNG": cut(f"{_IVRG}/Masks/d_mask.png"),
        "truncated JPEG": cut(f"{_IVRG}/RGBimages/d_rgb.jpg"),
        "truncated TIFF": cut(f"{_IVRG}/NIRimages/d_nir.tiff", f"{_IVRG}/NIRimages/a_nir.tiff"),
        "truncated npy": NO_NPY,
        "wrong channels": (
            put(f"{_IVRG}/NIRimages/d_nir.tiff", ramp(3, 3)),
            put(f"{_IVRG}/Masks/d_mask.png", ramp(3, 3)),
        ),
        "size mismatch": (
            put(f"{_IVRG}/NIRimages/d_nir.tiff", np.zeros(_TALLER, np.uint8)),
            put(f"{_IVRG}/Masks/d_mask.png", np.ones(_TALLER, np.uint8)),
        ),
        "duplicate names": (
            edit(_IVRG_TEST, "d_nir", "c_nir"),
            edit(_IVRG_TEST, "c_nir", "a_nir"),
        ),
        "path out of the folder": (
            edit(_IVRG_TEST, "NIRimages/d", "../Outdoor_dataset/NIRimages/d"),
            edit(_IVRG_TEST, "Masks/d", "../Outdoor_dataset/Masks/d"),
        ),
        "symlink loop of a file": (loop(f"{_IVRG}/NIRimages/d_nir.tiff"), loop(_IVRG_TEST)),
        "symlink loop of a folder": (loop(f"{_IVRG}/Masks"), loop(f"{_IVRG}/NIRimages"), loop()),
        "pickled npy": NO_NPY,
    },
)

LAYOUTS = {
    "coco": COCO,
    "coco, exported": EXPORTED,
    "folder": FOLDER,
    "folder, archives": FOLDER_ARCHIVES,
    "ivrg-nir": IVRG,
    "nyuv2, authors": NYUV2_OFFICIAL,
    "nyuv2, archive": NYUV2_FOLDER,
    "rgbp-glass, authors": RGBP_AUTHORS,
    "rgbp-glass, archive": RGBP_ARCHIVE,
    "thermal-glass, authors": THERMAL_AUTHORS,
    "thermal-glass, archive": THERMAL_ARCHIVE,
    "zju-rgbp, authors": Layout(
        converter="zju-rgbp",
        write=tiny.write_zju_authors,
        cells=_zju("", "label"),
        last="val/label/d.png",
    ),
    "zju-rgbp, archive": Layout(
        converter="zju-rgbp",
        write=tiny.write_zju_archive,
        cells=_zju("zju-rgbp/", "label_sam"),
        last="zju-rgbp/val/label_sam/d.png",
    ),
}
