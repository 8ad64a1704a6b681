"""Every kind of TIFF, PNG and JPEG is read to the numbers that are stored, or refused in words."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from datasets import Image as HubImage
from datasets import load_dataset
from picture_bytes import chunk, png
from PIL import Image
from raw_folder import HEIGHT, WIDTH, Make, check_dataset, label_map
from refusals import refused

from aims.converters.reading.label_maps import colour_codes, numbers
from aims.core.schema import SampleError
from aims.data.format import decode_rgb
from aims.reading.pictures import load_picture, load_rgb

LAYOUTS: dict[str, dict[str, Any]] = {
    "grey": {"photometric": "minisblack"},
    "white-is-zero": {"photometric": "miniswhite"},
    "rgb": {"photometric": "rgb", "planarconfig": "contig"},
    "rgb-planes": {"photometric": "rgb", "planarconfig": "separate"},
    "rgba": {"photometric": "rgb", "planarconfig": "contig", "extrasamples": ["unassalpha"]},
    "rgba-multiplied": {"photometric": "rgb", "planarconfig": "contig", "extrasamples": ["assocalpha"]},
    "bands": {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": ["unspecified"] * 4},
    "band-planes": {"photometric": "rgb", "planarconfig": "separate", "extrasamples": ["unspecified"] * 2},
}
CHANNELS = {"grey": 1, "white-is-zero": 1, "rgb": 3, "rgb-planes": 3, "rgba": 4, "rgba-multiplied": 4}
STORAGE: dict[str, dict[str, Any]] = {
    "plain": {"byteorder": ">"},
    "lzw": {"compression": "lzw", "byteorder": "<"},
    "lzw-predictor": {"compression": "lzw", "predictor": True, "byteorder": ">"},
    "deflate-predictor-tiles": {"compression": "zlib", "predictor": True, "byteorder": "<", "tile": (16, 16)},
    "packbits-strips": {"compression": "packbits", "byteorder": ">", "rowsperstrip": 2},
}
TIFFS = list(itertools.product(("u1", "u2", "i2", "u4", "f4", "f8"), LAYOUTS, STORAGE))


def noise(channels: int, dtype: Any) -> np.ndarray:
    """(height, width, channels) over the whole range of the dtype, with zeros in the last channel."""
    bits = np.random.default_rng(channels).integers(0, 2**32, (HEIGHT, WIDTH, channels), dtype=np.uint32)
    array = bits.astype(dtype) if np.dtype(dtype).kind in "iu" else (bits / 2**31 - 1).astype(dtype)
    array[:2, :, -1] = 0
    return array


def squeeze(array: np.ndarray) -> np.ndarray:
    return array[..., 0] if array.shape[2] == 1 else array


@pytest.mark.parametrize(("dtype", "layout", "storage"), TIFFS)
def test_tiff(tmp_path: Path, dtype: str, layout: str, storage: str) -> None:
    array = noise(CHANNELS.get(layout, 5), dtype)
    planes = LAYOUTS[layout].get("planarconfig") == "separate"
    stored = np.moveaxis(array, -1, 0) if planes else squeeze(array)
    tifffile.imwrite(tmp_path / "a.tif", stored, metadata=None, **LAYOUTS[layout], **STORAGE[storage])
    found = load_picture(tmp_path / "a.tif").array
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "I;16", "F"])
def test_tiff_of_another_writer(tmp_path: Path, mode: str, compression: str) -> None:
    dtype = {"1": np.uint8, "I;16": np.uint16, "F": np.float32}.get(mode, np.uint8)
    array = noise({"LA": 2, "RGB": 3, "RGBA": 4}.get(mode, 1), dtype)
    image = Image.fromarray(squeeze(array) > 99 if mode == "1" else squeeze(array))
    assert image.mode == mode
    image.save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(squeeze(load_picture(tmp_path / "a.tif").array), np.asarray(image))


@pytest.mark.parametrize("bits", [4, 10, 12, 14])
def test_packed_bits(tmp_path: Path, bits: int) -> None:
    array = noise(1, np.uint16) % 2**bits
    array = array.astype(np.uint8) if bits < 8 else array
    tifffile.imwrite(tmp_path / "a.tif", array[..., 0], photometric="minisblack", bitspersample=bits)
    np.testing.assert_array_equal(load_picture(tmp_path / "a.tif").array, array)


@pytest.mark.parametrize("mode", ["L", "RGB", "YCbCr"])
def test_jpeg_in_tiff(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(squeeze(noise(1 if mode == "L" else 3, np.uint8))).convert(mode)
    image.save(tmp_path / "a.tif", compression="jpeg")
    shown = np.asarray(Image.open(tmp_path / "a.tif"))
    found = squeeze(load_picture(tmp_path / "a.tif").array)
    np.testing.assert_allclose(found.astype(int), shown, atol=1)
    with refused(SampleError, "a.tif: labels in a compression that changes values (JPEG and its like)"):
        numbers(tmp_path / "a.tif", load_picture(tmp_path / "a.tif"))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        counts = file.pages[0].tags["StripByteCounts"]
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[counts.offset + 8] -= 3
    (tmp_path / "a.tif").write_bytes(content)
    with refused(SampleError, "a.tif: not a whole TIFF file (JPEG data without an end)"):
        load_picture(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("codec", "kept", "changed"),
    [
        ("webp", {"lossless": True}, {"lossless": False, "level": 50}),
        ("jpeg2000", {}, {"level": 30}),
        ("aperio_jp2000_rgb", None, {}),
    ],
)
def test_lossy_codecs_in_tiff(
    tmp_path: Path, codec: str, kept: dict[str, Any] | None, changed: dict[str, Any]
) -> None:
    drawn = np.zeros((40, 60, 3), np.uint8)
    drawn[5:15, 10:30] = 9
    if kept is not None:
        tifffile.imwrite(tmp_path / "kept.tif", drawn, compression=codec, compressionargs=kept)
        found = numbers(tmp_path / "kept.tif", load_picture(tmp_path / "kept.tif"))
        np.testing.assert_array_equal(found, drawn[..., 0])
    tifffile.imwrite(tmp_path / "a.tif", drawn, compression=codec, compressionargs=changed)
    with refused(SampleError, "a.tif: labels in a compression that changes values (JPEG and its like)"):
        numbers(tmp_path / "a.tif", load_picture(tmp_path / "a.tif"))


@pytest.mark.parametrize("codec", ["lerc", "jpegxr", "jpegxl"])
def test_codecs_that_may_be_lossy(tmp_path: Path, codec: str) -> None:
    array = squeeze(noise(1, np.uint8))
    tifffile.imwrite(tmp_path / "a.tif", array, compression=codec)
    picture = load_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(squeeze(picture.array), array)
    assert picture.remarks == (f"compressed by {codec.upper()}, which may have changed its numbers",)


@pytest.mark.parametrize(("mode", "name"), [("CMYK", "SEPARATED"), ("LAB", "CIELAB"), ("YCbCr", "YCBCR")])
def test_colours_that_measure_nothing(tmp_path: Path, mode: str, name: str) -> None:
    image = Image.frombytes(mode, (4, 4), bytes(range(64))[: 16 * len(Image.new(mode, (1, 1)).getbands())])
    image.save(tmp_path / "a.tif")
    with refused(
        SampleError, f"a.tif: TIFF with colours in {name}, made for display or print, is no measurement"
    ):
        load_picture(tmp_path / "a.tif")


PNGS = [
    (bits, colour, extra)
    for colour, depths in {0: (1, 2, 4, 8, 16), 2: (8, 16), 4: (8, 16), 6: (8, 16)}.items()
    for bits in depths
    for extra in (b"", b"gAMA", b"pHYs", *([b"tRNS"] if colour < 4 else []))
]


@pytest.mark.parametrize(("bits", "colour", "extra"), PNGS)
def test_png(tmp_path: Path, bits: int, colour: int, extra: bytes) -> None:
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    array = noise(channels, np.uint16) & np.uint16(2**bits - 1)
    if bits < 8:
        per_byte = 8 // bits
        wide = np.pad(array[..., 0], ((0, 0), (0, -WIDTH % per_byte))).reshape(HEIGHT, -1, per_byte)
        rows = (wide * 2 ** (bits * np.arange(per_byte)[::-1])).sum(axis=-1).astype("u1")
    else:
        rows = array.astype(">u2" if bits == 16 else "u1")
    content = {
        b"gAMA": (45455).to_bytes(4, "big"),
        b"pHYs": bytes([0, 0, 11, 19] * 2 + [1]),
        b"tRNS": array[0, 0].astype(">u2").tobytes(),
    }
    chunks = chunk(extra, content[extra]) if extra else b""
    (tmp_path / "a.png").write_bytes(png(bits, colour, [row.tobytes() for row in rows], chunks=chunks))
    found = load_picture(tmp_path / "a.png").array
    np.testing.assert_array_equal(found, array)
    assert found.dtype == (np.uint16 if bits == 16 else np.bool_ if bits == 1 else np.uint8)


JPEGS = [
    *(
        {"quality": q, "subsampling": s, "progressive": p}
        for q in (40, 95)
        for s in (0, 1, 2)
        for p in (0, 1)
    ),
    *({"quality": q, "progressive": p, "keep_rgb": True} for q in (40, 95) for p in (0, 1)),
    *({"quality": q, "progressive": p, "grey": True} for q in (40, 95) for p in (0, 1)),
]


@pytest.mark.parametrize("options", JPEGS, ids=str)
def test_jpeg(tmp_path: Path, options: dict[str, Any]) -> None:
    array = noise(1 if "grey" in options else 3, np.uint8)
    options = {key: value for key, value in options.items() if key != "grey"}
    Image.fromarray(squeeze(array)).save(tmp_path / "a.jpg", **options)
    shown = np.asarray(Image.open(tmp_path / "a.jpg"))
    np.testing.assert_array_equal(squeeze(load_picture(tmp_path / "a.jpg").array), shown)
    data, _ = load_rgb(tmp_path / "a.jpg")
    np.testing.assert_array_equal(decode_rgb(data), np.asarray(Image.open(tmp_path / "a.jpg").convert("RGB")))


class TestWhiteIsZero:
    """Label files whose 0 is white are inverted, as viewers show them."""

    @pytest.mark.parametrize("compression", [None, "tiff_lzw", "group4"])
    def test_mask(self, tmp_path: Path, compression: str | None) -> None:
        mask = noise(1, np.uint8)[..., 0] > 99
        Image.fromarray(mask).save(tmp_path / "a.tif", compression=compression, tiffinfo={262: 0})
        picture = load_picture(tmp_path / "a.tif")
        np.testing.assert_array_equal(picture.array[..., 0], ~mask)
        np.testing.assert_array_equal(numbers(tmp_path / "a.tif", picture), mask)
        np.testing.assert_array_equal(colour_codes(tmp_path / "a.tif", picture), mask * 0xFFFFFF)

    def test_boolean_arrays_of_tifffile_are_as_written(self, tmp_path: Path) -> None:
        mask = noise(1, np.uint8)[..., 0] > 99
        tifffile.imwrite(tmp_path / "a.tif", mask)
        picture = load_picture(tmp_path / "a.tif")
        np.testing.assert_array_equal(numbers(tmp_path / "a.tif", picture), mask)
        assert any("as tifffile marks boolean arrays" in remark for remark in picture.remarks)

    @pytest.mark.parametrize("bits", [4, 8])
    def test_numbers(self, tmp_path: Path, bits: int) -> None:
        stored = noise(1, np.uint8)[..., 0] & np.uint8(2**bits - 1)
        options = {} if bits == 8 else {"bitspersample": bits}
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite", **options)
        found = numbers(tmp_path / "a.tif", load_picture(tmp_path / "a.tif"))
        np.testing.assert_array_equal(found, 2**bits - 1 - stored)

    def test_programs_disagree_on_16_bits(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", noise(1, np.uint16)[..., 0], photometric="miniswhite")
        with refused(SampleError, "a.tif: 0 is white (WhiteIsZero) and has uint16 values"):
            numbers(tmp_path / "a.tif", load_picture(tmp_path / "a.tif"))


def test_dataset(make: Make, raw: Path, tmp_path: Path) -> None:
    for name in "abc":
        picture = noise(4, np.uint8)
        Image.fromarray(picture, "RGBA").save(raw / "nir" / f"{name}.tif", compression="tiff_lzw")
        Image.fromarray(label_map() == 1).save(raw / "labels" / f"{name}.tif", tiffinfo={262: 0})
    values = ("values = { weed = 1, crop = 2 }", "values = { weed = 1, crop = 2 }\nvoid = [0]")
    converter = make(("nir/{id}.png", "nir/{id}.tif"), ("labels/{id}.png", "labels/{id}.tif"), values)
    dataset = check_dataset(converter, tmp_path / "set")
    for split, part in load_dataset(str(tmp_path / "set"), cache_dir=str(tmp_path / "cache")).items():
        for row in part:
            found = np.frombuffer(row["nir"]["data"], row["nir"]["dtype"]).reshape(row["nir"]["shape"])
            np.testing.assert_array_equal(found, noise(4, np.uint8))
            assert [(item["class_id"], item["area"]) for item in row["objects"]] == [(1, 4)]
        assert len(part) == dataset.manifest.splits[split].images


class TestRgb:
    """RGB files are read alike by `decode_rgb` and Hugging Face's reader, or refused."""

    @pytest.mark.parametrize(
        ("mode", "suffix"),
        [
            *itertools.product(["1", "L", "LA", "P", "RGB", "RGBA"], ["png", "webp"]),
            *itertools.product(["1", "L", "P", "RGB"], ["tif", "bmp"]),
        ],
    )
    def test_same_picture(self, tmp_path: Path, mode: str, suffix: str) -> None:
        channels = {"LA": 2, "RGB": 3, "RGBA": 4}.get(mode, 1)
        image = Image.fromarray(squeeze(noise(channels, np.uint8))).convert(mode)
        path = tmp_path / f"a.{suffix}"
        image.save(path, **({"lossless": True} if suffix == "webp" else {}))
        data, size = load_rgb(path)
        assert size == (HEIGHT, WIDTH)
        seen = HubImage().decode_example({"bytes": data, "path": None}).convert("RGB")
        np.testing.assert_array_equal(decode_rgb(data), np.asarray(seen))

    @pytest.mark.parametrize(
        ("dtype", "channels", "suffix"),
        [("f4", 1, "tif"), ("u1", 4, "tif"), ("u2", 1, "tif"), ("u2", 1, "png")],
    )
    def test_programs_differ(self, tmp_path: Path, dtype: str, channels: int, suffix: str) -> None:
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(squeeze(noise(channels, dtype))).save(path)
        with refused(SampleError, f"a.{suffix}: programs show different pictures of it (Pillow's mode"):
            load_rgb(path)

    def test_print_colours(self, tmp_path: Path) -> None:
        data = io.BytesIO()
        Image.fromarray(noise(3, np.uint8)).convert("CMYK").save(data, "JPEG")
        (tmp_path / "a.jpg").write_bytes(data.getvalue())
        with refused(SampleError, "a.jpg: programs show different pictures of it (Pillow's mode CMYK)"):
            load_rgb(tmp_path / "a.jpg")
