"""What files say about their numbers is used or named in a warning."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from picture_bytes import chunk, png
from PIL import Image
from raw_folder import HEIGHT, WIDTH, Make, ramp
from refusals import refused

from aims.cli import main
from aims.converters.coco import CocoConverter
from aims.core.remarks import collect_remarks
from aims.core.schema import InstanceMap, SampleError, SemanticMap
from aims.data.read import Dataset
from aims.data.verify import verify_dataset
from aims.data.write import convert
from aims.reading.pictures import load_measurement, load_picture

Tag = tuple[int, int, int, Any, bool]
NIR = ("nir/{id}.png", "nir/{id}.*")
LABEL_KEYS = 'kind = "semantic"\nvalues = { weed = 1, crop = 2 }'
ONE = ('train = ["b", "a"]\ntest = ["c"]', 'train = ["a"]')
FLIR = b"FLIR\0\1\0\0FFF\0" + bytes(60)
DJI = b"\xaa\x55\x12\x06" + bytes(60)
INFIRAY = b"\2\0\1\0IJPEG\0" + bytes(60)


def ascii_tag(code: int, text: str) -> Tag:
    return (code, 2, len(text) + 1, text, True)


def nodata(text: str) -> list[Tag]:
    return [ascii_tag(42113, text)]


def write(
    path: Path, dtype: Any = np.float32, tags: list[Tag] | None = None, *, start: int = 0, **options: Any
) -> None:
    options = {"photometric": "minisblack", "metadata": None, **options}
    array = ramp(0, 1, dtype)[..., 0] + np.dtype(dtype).type(start)
    tifffile.imwrite(path.with_suffix(".tif"), array, extratags=tags or [], **options)


class TestNoData:
    @pytest.mark.parametrize(
        ("text", "dtype", "missing"),
        [
            ("-9999", "f4", -9999.0),
            ("-9999 ", "i2", -9999),
            ("0", "u1", 0),
            ("-3.4028234663852886e+38", "f4", float(np.finfo("f4").min)),
            ("-3.40282e+38", "f4", float(np.finfo("f4").min)),
            ("-1.79769e+308", "f8", float(np.finfo("f8").min)),
            ("0.1", "f4", float(np.float32(0.1))),
            ("nan", "f4", None),
        ],
    )
    def test_becomes_missing(
        self, make: Make, path: Path, tmp_path: Path, text: str, dtype: str, missing: float | None
    ) -> None:
        write(path, dtype, nodata(text))
        made = convert(make(NIR, ONE), tmp_path / "set")
        assert made.manifest.dataset.streams["nir"].missing == missing
        assert made.manifest.warnings == ()
        assert verify_dataset(tmp_path / "set") == []

    @pytest.mark.parametrize(
        ("text", "dtype"), [("-9999", "u1"), ("0.5", "u2"), ("-1.7e308", "f4"), ("inf", "f4"), ("none", "u1")]
    )
    def test_that_no_pixel_can_hold(self, path: Path, text: str, dtype: str) -> None:
        write(path, dtype, nodata(text))
        picture = load_picture(path.with_suffix(".tif"))
        assert picture.missing is None
        assert picture.remarks == (f"GDAL_NODATA is {text!r}, which no {np.dtype(dtype)} pixel can hold",)

    @pytest.mark.parametrize("kind", ["semantic", "instance", "masks"])
    @pytest.mark.parametrize("dtype", ["u2", "i4"])
    def test_is_nothing_in_labels(self, make: Make, raw: Path, kind: str, dtype: str) -> None:
        array, none = np.zeros((HEIGHT, WIDTH), dtype), 65535 if dtype == "u2" else -9999
        array[1, 2:5], array[3:] = 7, none
        tifffile.imwrite(raw / "labels" / "a.tif", array, extratags=nodata(f"{none}"))
        one = ('classes = ["weed", "crop"]', 'classes = ["crop"]')
        keys = f'kind = "{kind}"' + "\nvalues = { crop = 7 }" * (kind == "semantic")
        converter = make(one, ("labels/{id}.png", "labels/{id}.tif"), (LABEL_KEYS, keys), ONE)
        labels = converter.read("train", "a").labels
        drawn = labels.class_map if isinstance(labels, SemanticMap) else labels.instances
        np.testing.assert_array_equal(drawn > 0, array == 7)

    def test_is_nothing_in_a_palette(self, make: Make, raw: Path) -> None:
        array = np.zeros((HEIGHT, WIDTH), np.uint8)
        array[1, 2:5], array[3:] = 7, 255
        colours, one = np.zeros((3, 256), np.uint16), ('classes = ["weed", "crop"]', 'classes = ["crop"]')
        tifffile.imwrite(
            raw / "labels" / "a.tif", array, photometric="palette", colormap=colours, extratags=nodata("255")
        )
        kind = (LABEL_KEYS, 'kind = "instance"')
        labels = make(one, ("labels/{id}.png", "labels/{id}.tif"), kind, ONE).read("train", "a").labels
        assert isinstance(labels, InstanceMap)
        np.testing.assert_array_equal(labels.instances > 0, array == 7)

    def test_a_class_of_that_number(self, make: Make, raw: Path) -> None:
        array = np.full((HEIGHT, WIDTH), 2, np.uint8)
        tifffile.imwrite(raw / "labels" / "a.tif", array, extratags=nodata("2"))
        labels = make(("labels/{id}.png", "labels/{id}.tif"), ONE).read("train", "a").labels
        assert isinstance(labels, SemanticMap)
        np.testing.assert_array_equal(labels.class_map, array)

    def test_description_decides(self, make: Make, path: Path, tmp_path: Path) -> None:
        write(path, tags=nodata("7"))
        converter = make(NIR, ONE, ("unit =", "missing = 3\nunit ="))
        assert converter.spec().streams["nir"].missing == 3
        made = convert(converter, tmp_path / "set")
        assert made.manifest.warnings == (
            "nir/a.tif: declares 7.0 to be no measurement; 'missing' in the description is 3",
        )

    @pytest.mark.parametrize("first", [[], nodata("8")])
    def test_files_that_disagree(self, make: Make, path: Path, first: list[Tag]) -> None:
        (path.parent / "b.png").unlink()
        write(path.with_name("b"), tags=first)
        write(path, tags=nodata("7"))
        converter = make(NIR, ('test = ["c"]', ""))
        with refused(SampleError, "nir/a.tif: declares 7.0 to be no measurement", "give 'missing'"):
            converter.read("train", "a")

    def test_value_that_does_not_occur(self, make: Make, path: Path) -> None:
        (path.parent / "b.png").unlink()
        write(path.with_name("b"))
        write(path, tags=nodata("-1"))
        converter = make(NIR, ('test = ["c"]', ""))
        assert converter.read("train", "a").streams["nir"].shape == ramp().shape

    def test_mosaic_would_average_it(self, make: Make, path: Path) -> None:
        tifffile.imwrite(path.with_suffix(".tif"), ramp()[:4, :6, 0], extratags=nodata("7"))
        mosaic = '[mosaic]\nlayout = [[90, 45], [135, 0]]\nresolution = "full"'
        with refused(SampleError, "nir/a.tif: declares 7 to be no measurement, which would be averaged"):
            make(NIR, ONE, ("[streams.nir]", mosaic)).read("train", "a")

    @pytest.mark.parametrize("bits", [8, 16])
    def test_transparent_grey(self, path: Path, bits: int) -> None:
        rows = [row.astype(">u2" if bits == 16 else "u1").tobytes() for row in ramp()]
        key = chunk(b"tRNS", (5).to_bytes(2, "big"))
        path.with_suffix(".png").write_bytes(png(bits, 0, rows, chunks=key))
        picture = load_picture(path.with_suffix(".png"))
        assert (picture.missing, picture.remarks) == (5, ())


GDAL = """<GDALMetadata><Item name="OFFSET" sample="0" role="offset">273.15</Item>
<Item name="SCALE" sample="0" role="scale">0.01</Item></GDALMetadata>"""
DICOM = "Rescale Slope: 0.5; RescaleIntercept=-1024"
RESOLUTION = {"resolution": (4000, 2000), "resolutionunit": 3}


@pytest.mark.parametrize(
    ("tags", "options", "remark"),
    [
        ([ascii_tag(42112, GDAL)], {}, "GDAL_METADATA gives offset 273.15, scale 0.01"),
        ([], {"description": DICOM}, "ImageDescription gives rescale slope 0.5, rescaleintercept -1024"),
        ([], {"description": '{"scale_factor": 2.5e-3}'}, "ImageDescription gives scale_factor 2.5e-3"),
        (
            [],
            {"description": "ImageJ=1\nc0=-273.15\nc1=0.04\n"},
            "ImageDescription gives c0 -273.15, c1 0.04",
        ),
        ([], {"description": "ImageJ=1\nunit=micron\n"}, "ImageJ gives its resolution in 'micron'"),
        ([], RESOLUTION, "XResolution and YResolution are 4,000 and 2,000 a cm"),
        ([(33550, 12, 3, (0.5, 0.25, 0.0), True)], {}, "ModelPixelScale gives a pixel of 0.5 x 0.25"),
        ([], {"bitspersample": 12}, "has 12 bits a sample, fewer than uint16; "),
        ([(281, 3, 1, 4095, True)], {}, "MaxSampleValue is 4095, below the range of uint16; "),
        ([], {"photometric": "miniswhite"}, "0 is white (WhiteIsZero): streams keep its numbers, "),
    ],
)
def test_tags_are_named(path: Path, tags: list[Tag], options: dict[str, Any], remark: str) -> None:
    write(path, np.uint16, tags, **options)
    (found,) = load_picture(path.with_suffix(".tif")).remarks
    assert found.startswith(remark)


@pytest.mark.parametrize(
    ("tags", "options"),
    [
        ([(281, 3, 1, 65535, True)], {}),
        ([], {"resolution": (72, 72), "resolutionunit": 2}),
        ([], {"description": "scale=1 offset=0; a meadow"}),
        ([ascii_tag(42112, '<GDALMetadata><Item name="SCALE">1</Item></GDALMetadata>')], {}),
    ],
)
def test_nothing_to_say(path: Path, tags: list[Tag], options: dict[str, Any]) -> None:
    write(path, np.uint16, tags, **options)
    assert load_picture(path.with_suffix(".tif")).remarks == ()


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(
    ("colours", "inverted"),
    [
        ([[255, 255, 255], [0, 0, 0]], True),
        ([[0, 0, 0], [255, 255, 255]], False),
        ([[255, 255, 255], [255, 0, 0]], False),
    ],
)
def test_a_palette_with_0_as_white(
    tmp_path: Path, suffix: str, colours: list[list[int]], inverted: bool
) -> None:
    picture = Image.fromarray(np.eye(4, dtype=np.uint8))
    picture.putpalette([level for colour in colours for level in colour])
    picture.save(tmp_path / f"a.{suffix}")
    found = load_picture(tmp_path / f"a.{suffix}").remarks
    line = "its palette shows 0 as the brightest: the numbers are kept, not inverted"
    assert found == (line,) * inverted


@pytest.mark.parametrize(
    ("name", "content", "remark"),
    [
        (b"sBIT", b"\x0c", "sBIT says that 12 of 16 bits are significant; 'valid_range' can say so"),
        (b"pCAL", b"height\0\0\0m", "pCAL calibrates it: 'height   m'"),
    ],
)
def test_png_chunks_are_named(path: Path, name: bytes, content: bytes, remark: str) -> None:
    rows = [row.astype(">u2").tobytes() for row in ramp()]
    path.with_suffix(".png").write_bytes(png(16, 0, rows, chunks=chunk(name, content)))
    assert load_picture(path.with_suffix(".png")).remarks == (remark,)


def test_coco_stream(path: Path, tmp_path: Path) -> None:
    write(path, np.uint16, nodata("7"))
    write(path.with_name("b"), np.uint16, nodata("8"))
    size = {"height": HEIGHT, "width": WIDTH}
    square = {"category_id": 1, "segmentation": [[1, 1, 3, 1, 3, 3, 1, 3]], "iscrowd": 0}
    value = {
        "images": [{"id": k, "file_name": f"{name}.tif", **size} for k, name in enumerate("ab")],
        "annotations": [{"id": k + 1, "image_id": k, **square} for k in (0, 1)],
        "categories": [{"id": 1, "name": "weed"}],
    }
    (path.parent / "train.json").write_text(json.dumps(value), encoding="utf-8")
    made = convert(CocoConverter(raw=path.parent, stream="nir"), tmp_path / "set")
    assert made.manifest.dataset.streams["nir"].missing == 7
    *_, told = made.manifest.warnings
    assert told == "b.tif: declares 8 to be no measurement; it is kept as one"


@pytest.mark.parametrize(("number", "remarks"), [("7", 1), ("99", 0)])
def test_no_data_that_a_converter_cannot_declare(path: Path, number: str, remarks: int) -> None:
    write(path, np.uint16, nodata(number))
    with collect_remarks() as collected:
        np.testing.assert_array_equal(load_measurement(path.with_suffix(".tif")), ramp())
    text = "declares 7 to be no measurement; it is kept as one"
    assert collected == {text: [path.with_suffix(".tif")]} if remarks else not collected


class TestWarnings:
    def test_on_screen_and_in_the_manifest(self, make: Make, raw: Path, tmp_path: Path) -> None:
        for number, name in enumerate("abc"):
            write(raw / "nir" / name, np.uint16, start=number, description="scale=0.5")
        lines: list[str] = []
        converter = make(("nir/{id}.png", "nir/{id}.tif"))
        made = convert(converter, tmp_path / "set", rows_per_shard=1, on_warning=lines.append)
        assert lines == ["nir/b.tif: ImageDescription gives scale 0.5 (3 files)"]
        assert made.manifest.warnings == tuple(lines)
        assert convert(converter, tmp_path / "set", rows_per_shard=1).already_there

    def test_many_are_summed_up(
        self, make: Make, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number, name in enumerate("bac", start=2):
            write(raw / "nir" / name, np.uint16, start=number, description=f"scale={number}")
        monkeypatch.setattr("aims.data.conversion_remarks._REMARKS", 1)
        made = convert(make(("nir/{id}.png", "nir/{id}.tif")), tmp_path / "set")
        assert made.manifest.warnings == (
            "nir/b.tif: ImageDescription gives scale 2",
            "and 2 more remarks of the same kinds",
        )


class TestThermogram:
    @pytest.fixture(
        params=[(0xE1, FLIR, "FLIR"), (0xE4, DJI, "DJI"), (0xE2, INFIRAY, "InfiRay")],
        ids=["FLIR", "DJI", "InfiRay"],
    )
    def radiometric(self, request: pytest.FixtureRequest) -> tuple[Callable[[Path], None], str]:
        marker, content, maker = request.param

        def write_jpeg(path: Path) -> None:
            Image.fromarray(ramp(0, 3, np.uint8)).save(path, "JPEG")
            data = path.read_bytes()
            segment = bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content
            path.write_bytes(data[:2] + segment + data[2:])

        return write_jpeg, maker

    def test_pixels_are_no_temperatures(
        self, path: Path, radiometric: tuple[Callable[[Path], None], str]
    ) -> None:
        write_jpeg, maker = radiometric
        write_jpeg(path.with_suffix(".jpg"))
        with refused(SampleError, f"a.jpg: a radiometric JPEG of {maker}: its pixels are a coloured picture"):
            load_picture(path.with_suffix(".jpg"))

    def test_picture_is_kept(
        self, make: Make, raw: Path, tmp_path: Path, radiometric: tuple[Callable[[Path], None], str]
    ) -> None:
        write_jpeg, maker = radiometric
        write_jpeg(raw / "a.jpg")
        made = convert(make(ONE, ("[labels]", '[rgb]\nfiles = "{id}.jpg"\n\n[labels]')), tmp_path / "set")
        assert made.manifest.warnings == (
            f"a.jpg: radiometric JPEG of {maker}: kept as the coloured picture that it shows",
        )
        assert made.manifest.images == 1


def test_twelve_bits_in_sixteen_that_nothing_declares(
    make: Make, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = (np.arange(10_000).reshape(100, 100) % 4096).astype(np.uint16)
    for k, name in enumerate("abc"):
        Image.fromarray(np.roll(values, k) * np.uint16(16)).save(raw / "nir" / f"{name}.png")
        Image.fromarray((values > 2000).astype(np.uint8)).save(raw / "labels" / f"{name}.png")
    warnings: list[str] = []
    made = convert(make(), tmp_path / "out", on_warning=warnings.append, rows_per_shard=1)
    text = "all numbers are multiples of 16, so they may have 12 bits in the upper ones of 16"
    assert made.manifest.warnings == (f"stream nir: {text}; they are kept as stored",) == tuple(warnings)
    dataset = Dataset.open(tmp_path / "out")
    stored = dataset.read(dataset.index["train"][1], ("nir",)).streams["nir"]
    np.testing.assert_array_equal(stored[..., 0], values * np.uint16(16))
    with pytest.raises(SystemExit):
        main(["inspect", str(tmp_path / "out")])
    assert f"nir: {text}" in " ".join(capsys.readouterr().out.split())
