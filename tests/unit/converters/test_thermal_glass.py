from __future__ import annotations

import codecs
import io
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from raw_folder import check_dataset, check_lost_file
from refusals import refused

from aims.converters.thermal_glass import ThermalGlassConverter
from aims.core.errors import InputError
from aims.core.schema import InstanceMap, SampleError, StreamSpec
from aims.data.manifest import Counts
from aims.data.write import convert
from aims.synth.layouts.thermal_glass import ThermalGlassImage, write_authors, write_redistributed

HEIGHT, WIDTH = 6, 9
URL = "https://github.com/Dong-Huo/RGB-T-Glass-Segmentation"
TABLE = "RGB_T_Glass_train_GroundTruth.csv"


def picture(number: int) -> ThermalGlassImage:
    """No value twice in RGB and temperature; two panes that touch (1, 2), and a third."""
    plane = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    panes = np.zeros((HEIGHT, WIDTH), np.uint16)
    panes[0, :2], panes[1, 2:4], panes[4:, 6:] = 1, 2, 3
    return ThermalGlassImage(
        rgb=np.stack([plane, plane + 60, plane + 120], axis=-1).astype(np.uint8) + np.uint8(number),
        temperature=(plane / 8 + number).astype(np.float32),
        panes=panes,
    )


SPLITS = {
    # Table order is not the sorted one.
    "train": {"hall/b": picture(3), "hall/a": picture(1), "会议室/10": picture(4)},
    "test": {"shop/a": picture(2)},
}


@pytest.fixture
def authors(tmp_path: Path) -> Path:
    return write_authors(tmp_path / "raw", SPLITS)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_redistributed(tmp_path / "raw", SPLITS)


@pytest.fixture(params=[write_authors, write_redistributed])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder: Path = request.param(tmp_path / "raw", SPLITS)
    return folder


def edit(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text("gbk")), "gbk")


def test_spec(either: Path) -> None:
    spec = ThermalGlassConverter(raw=either).spec()
    assert (spec.name, spec.classes, spec.has_rgb, spec.url) == ("thermal-glass", ("glass",), True, URL)
    assert dict(spec.streams) == {
        "thermal": StreamSpec(
            channels=1, unit="degree Celsius", valid_range=(-20.0, 120.0), wavelength_nm=(7_500.0, 14_000.0)
        )
    }


def test_order_of_the_authors_layout(authors: Path) -> None:
    converter = ThermalGlassConverter(raw=authors)
    assert dict(converter.splits()) == {"train": ("hall/a", "hall/b", "会议室/10"), "test": ("shop/a",)}
    assert converter.shared_files() == ()


@pytest.mark.parametrize("nested", [False, True])
def test_order_of_the_tables(archive: Path, nested: bool) -> None:
    converter = ThermalGlassConverter(raw=archive.parent if nested else archive)
    assert dict(converter.splits()) == {"train": ("hall/b", "hall/a", "会议室/10"), "test": ("shop/a",)}
    assert converter.shared_files() == (archive / TABLE, archive / TABLE.replace("train", "test"))


@pytest.mark.parametrize(
    ("split", "image_id"), [("train", "hall/b"), ("train", "会议室/10"), ("test", "shop/a")]
)
def test_read(either: Path, split: str, image_id: str) -> None:
    converter = pickle.loads(pickle.dumps(ThermalGlassConverter(raw=either)))
    sample = converter.read(split, image_id)
    made, folder = SPLITS[split][image_id], either / split / image_id
    assert (sample.image_id, sample.group) == (image_id, image_id.split("/")[0])
    np.testing.assert_array_equal(sample.streams["thermal"], made.temperature[..., None])
    assert sample.streams["thermal"].dtype == np.float32
    assert sample.rgb == (folder / "rgb.png").read_bytes()
    with Image.open(io.BytesIO(sample.rgb)) as stored:
        np.testing.assert_array_equal(np.asarray(stored), made.rgb)
    assert converter.source_files(split, image_id) == (
        folder / "rgb.png",
        folder / "temperature.npy",
        folder / "mask.png",
    )


def test_tables_from_windows(archive: Path) -> None:
    """A spreadsheet saves UTF-8 with a mark; the files have suffixes in capitals."""
    for table in (archive / TABLE, archive / TABLE.replace("train", "test")):
        text = table.read_text("gbk").replace("/", "\\").replace("\n", "\r\n")
        table.write_bytes(codecs.BOM_UTF8 + text.encode())
    for name in ("rgb.png", "mask.png"):
        path = archive / "train" / "会议室" / "10" / name
        path.rename(path.with_suffix(".PNG"))
    converter = ThermalGlassConverter(raw=archive)
    assert dict(converter.splits()) == {"train": ("hall/b", "hall/a", "会议室/10"), "test": ("shop/a",)}
    sample = converter.read("train", "会议室/10")
    made = SPLITS["train"]["会议室/10"]
    np.testing.assert_array_equal(sample.streams["thermal"], made.temperature[..., None])
    (archive / TABLE).write_bytes(codecs.BOM_UTF8 + b"\xb0")
    with refused(InputError, f"{TABLE}: not GBK text (byte 3 is not UTF-8, as its first bytes say)"):
        ThermalGlassConverter(raw=archive).splits()


def test_masks_are_split_into_components(either: Path) -> None:
    labels = ThermalGlassConverter(raw=either).read("test", "shop/a").labels
    assert isinstance(labels, InstanceMap)
    # By hand: panes 1 and 2 touch at a corner and are one component.
    expected = np.zeros((HEIGHT, WIDTH))
    expected[0, :2] = expected[1, 2:4] = 1
    expected[4:, 6:] = 2
    np.testing.assert_array_equal(labels.instances, expected)
    assert labels.class_ids == {1: 1, 2: 1}


def test_numbered_masks(tmp_path: Path) -> None:
    folder = write_redistributed(tmp_path, SPLITS, numbered=True)
    labels = ThermalGlassConverter(raw=folder, numbered_masks=True).read("test", "shop/a").labels
    assert isinstance(labels, InstanceMap)
    np.testing.assert_array_equal(labels.instances, picture(2).panes)
    assert labels.class_ids == {1: 1, 2: 1, 3: 1}
    with refused(SampleError, "mask.png: uint16 values, expected 8 bits", "--numbered-masks"):
        ThermalGlassConverter(raw=folder).read("test", "shop/a")


@pytest.mark.parametrize("kind", ["RGB", "LA", "1", "P"])
def test_masks_of_other_kinds(either: Path, kind: str) -> None:
    path = either / "test/shop/a/mask.png"
    with Image.open(path) as mask:
        mask.convert(kind).save(path)
    labels = ThermalGlassConverter(raw=either).read("test", "shop/a").labels
    assert isinstance(labels, InstanceMap)
    assert [(labels.instances == k).sum() for k in (1, 2)] == [4, 6]


@pytest.mark.parametrize("value", [1, 128, 254])
def test_unknown_value(either: Path, value: int) -> None:
    path = either / "test/shop/a/mask.png"
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[2, 3:5] = value
    Image.fromarray(mask).save(path)
    with refused(
        SampleError,
        f"mask.png: colour [{value}, {value}, {value}] is in no class (2 pixels, first at x=3, y=2)",
        "--num",
    ):
        ThermalGlassConverter(raw=either).read("test", "shop/a")


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_temperature_is_untouched(either: Path, dtype: type) -> None:
    made = picture(2).temperature.astype(dtype)
    made[0, :4] = np.nan, np.inf, -273, 500
    np.save(either / "test/shop/a/temperature.npy", made[..., None])
    read = ThermalGlassConverter(raw=either).read("test", "shop/a").streams["thermal"]
    np.testing.assert_array_equal(read, made[..., None])
    assert read.dtype == dtype


def test_nothing_measured(either: Path) -> None:
    np.save(either / "test/shop/a/temperature.npy", np.full((HEIGHT, WIDTH), np.nan))
    assert np.isnan(ThermalGlassConverter(raw=either).read("test", "shop/a").streams["thermal"]).all()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((HEIGHT, WIDTH, 3), np.float32), "3 channels, expected one temperature map"),
        (np.zeros((HEIGHT, WIDTH), np.uint16), "uint16 values, expected floats in degrees Celsius"),
        (np.full((HEIGHT, WIDTH), 295.0), "median is 295, expected degrees Celsius; convert Kelvin"),
        (np.zeros((WIDTH, HEIGHT), np.float32), "9 x 6 (height x width), but "),
        (np.array([{}]), "npy of Python objects, which are not unpickled"),
    ],
)
def test_wrong_temperature(either: Path, array: np.ndarray, message: str) -> None:
    np.save(either / "test/shop/a/temperature.npy", array, allow_pickle=True)
    with refused(SampleError, "shop/a/temperature.npy: ", message):
        ThermalGlassConverter(raw=either).read("test", "shop/a")


def test_mask_of_another_size(either: Path) -> None:
    Image.new("L", (WIDTH, HEIGHT + 1)).save(either / "test/shop/a/mask.png")
    with refused(SampleError, "mask.png: 7 x 9 (height x width), but ", "rgb.png is 6 x 9"):
        ThermalGlassConverter(raw=either).read("test", "shop/a")


@pytest.mark.parametrize("name", ["rgb.png", "temperature.npy", "mask.png"])
def test_missing_and_cut_files(either: Path, name: str) -> None:
    check_lost_file(ThermalGlassConverter(raw=either), either / "train/hall/a" / name, "train", "hall/a")


def test_boundary_is_not_needed(either: Path) -> None:
    for path in either.rglob("boundary.png"):
        path.unlink()
    assert ThermalGlassConverter(raw=either).read("train", "hall/a").image_id == "hall/a"


def test_becomes_a_dataset(either: Path, tmp_path: Path) -> None:
    dataset = check_dataset(ThermalGlassConverter(raw=either), tmp_path / "out")
    assert dataset.manifest.splits == {
        "train": Counts(images=3, instances=6),
        "test": Counts(images=1, instances=2),
    }
    for split, refs in dataset.index.items():
        for ref in refs:
            image, made = dataset.read(ref, ("rgb",)), SPLITS[split][ref.image_id]
            np.testing.assert_array_equal(image.streams["rgb"], made.rgb)
            np.testing.assert_array_equal(image.instances > 0, made.panes > 0)
            assert {entry["class_id"] for entry in image.objects} == {1}


def test_picture_without_glass_is_listed(tmp_path: Path) -> None:
    images = {"hall/a": picture(1), "hall/b": picture(2)}
    images["hall/b"].panes[:] = 0
    write_authors(tmp_path / "raw", {"train": images, "test": SPLITS["test"]})
    result = convert(ThermalGlassConverter(raw=tmp_path / "raw"), tmp_path / "out")
    assert [(line.image_id, line.kind) for line in result.dropped] == [("hall/b", "no instance")]


class TestAuthors:
    def test_names_with_a_dot_are_skipped(self, authors: Path) -> None:
        (authors / "train/.DS_Store").touch()
        (authors / "train/notes.txt").touch()
        (authors / "train/old.scene").mkdir()
        (authors / "train/hall/a.bak").mkdir()
        assert ThermalGlassConverter(raw=authors).splits()["train"] == ("hall/a", "hall/b", "会议室/10")

    @pytest.mark.parametrize("name", ["README", "hall/extra"])
    def test_file_in_a_scenes_place(self, authors: Path, name: str) -> None:
        (authors / "train" / name).touch()
        with refused(InputError, f"train/{name}: no folder, but ", "remove or rename it"):
            ThermalGlassConverter(raw=authors).spec()

    def test_name_that_is_no_text(self, authors: Path) -> None:
        os.mkdir(os.fsencode(authors / "train") + "/会".encode("gbk"))
        with refused(InputError, "train: name '\\udcbb\\udce1' is not UTF-8; unpack"):
            ThermalGlassConverter(raw=authors).spec()

    def test_link_that_leads_to_itself(self, authors: Path) -> None:
        (authors / "train/loop").symlink_to(authors / "train/loop")
        with refused(InputError, "train/loop: no folder"):
            ThermalGlassConverter(raw=authors).spec()

    def test_missing_split(self, authors: Path) -> None:
        shutil.rmtree(authors / "test")
        with refused(InputError, "test: not readable as a folder (No such file", "SCENE/IMAGE"):
            ThermalGlassConverter(raw=authors).spec()

    def test_empty_split(self, authors: Path) -> None:
        shutil.rmtree(authors / "test/shop/a")
        with refused(InputError, "test: holds no SCENE/IMAGE/rgb.png"):
            ThermalGlassConverter(raw=authors).spec()

    def test_name_in_two_splits(self, authors: Path) -> None:
        shutil.copytree(authors / "train/hall", authors / "test/hall")
        parts = ("train/hall/a/rgb.png and ", "test/hall/a/rgb.png: picture 'hall/a' is in two splits")
        with refused(InputError, parts):
            ThermalGlassConverter(raw=authors).spec()


class TestTables:
    def test_without_names_of_columns(self, tmp_path: Path) -> None:
        folder = write_redistributed(tmp_path, SPLITS, header=False)
        assert (folder / TABLE).read_text("gbk").startswith("0,train/hall/b/rgb.png,train/hall/b/mask.png\n")
        assert ThermalGlassConverter(raw=folder).splits()["train"] == ("hall/b", "hall/a", "会议室/10")

    def test_is_gbk(self, archive: Path) -> None:
        assert "会议室".encode("gbk") in (archive / TABLE).read_bytes()

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: text.replace("/", "\\"),
            lambda text: text.replace("\n", "\r\n\r\n"),
            lambda text: text.replace("train/", "./train/"),
            lambda text: text.replace("train/", "RGB-Thermal-Glass/train/"),
            lambda text: text.replace("train/", "/home/someone/RGB-Thermal-Glass/train/"),
            lambda text: text.replace("train/", "E:\\RGB-Thermal-Glass\\train\\"),
            lambda text: text.replace("train/", "../../RGB-Thermal-Glass/train/"),
        ],
    )
    def test_ways_to_write_a_path(self, archive: Path, change: Callable[[str], str]) -> None:
        edit(archive / TABLE, change)
        converter = ThermalGlassConverter(raw=archive)
        assert converter.splits()["train"] == ("hall/b", "hall/a", "会议室/10")
        assert converter.read("train", "会议室/10").group == "会议室"

    @pytest.mark.parametrize(
        "place",
        [
            "../train/",
            "/train/",
            "C:/train/",
            "C:\\train\\",
            "\\\\server\\train\\",
            "RGB-Thermal-Glass/../train/",
            "my-RGB-Thermal-Glass/../../train/",
        ],
    )
    @pytest.mark.parametrize("file", ["rgb.png", "mask.png"])
    def test_path_that_leaves_the_folder(self, archive: Path, place: str, file: str) -> None:
        edit(archive / TABLE, lambda text: text.replace(f"train/hall/a/{file}", f"{place}hall/a/{file}"))
        with refused(InputError, f"{TABLE}, line 3: path ", "leaves its folder"):
            ThermalGlassConverter(raw=archive).spec()

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            # These six bytes are GBK too, of three other characters.
            ("图片".encode(), f"{TABLE}: not GBK text (it looks like UTF-8)"),
            ("会议室".encode("utf-16"), f"{TABLE}: not GBK text"),
            ("0,a/b/c.png,d".encode("utf-16-le"), f"{TABLE}: not GBK text (it looks like UTF-16)"),
            (b"0,caf\xe9,x\n", f"{TABLE}: not GBK text (byte 5 does not fit)"),
            (b"", f"{TABLE}: lists no picture"),
            (b",rgb,mask\n", f"{TABLE}: lists no picture"),
            (
                b"train/a/b/rgb.png\n",
                f"{TABLE}, line 1: 1 column(s), expected a number, a path, a mask's path",
            ),
            (b"0,train/a/b/rgb.png,\n", f"{TABLE}, line 1: a path is empty"),
            (b'0,"train/a/b/rgb.png,x\n', f"{TABLE}, line 1: no CSV ("),
            (b"0,a/rgb.png,x\n", f"{TABLE}, line 1: path 'a/rgb.png' is no .../SCENE/IMAGE/rgb.png"),
            (
                b"0,t/a/b/rgb.png,x\n1,t/a/b/rgb.png,x\n",
                f"{TABLE}, line 2: image 'a/b' is listed already in ",
            ),
            (
                b"0,test/shop/a/rgb.png,x\n",
                "test_GroundTruth.csv, line 2: image 'shop/a' is listed already in ",
            ),
        ],
    )
    def test_wrong_tables(self, archive: Path, content: bytes, message: str) -> None:
        (archive / TABLE).write_bytes(content)
        with refused(InputError, message) as caught:
            ThermalGlassConverter(raw=archive).spec()
        assert "\n" not in str(caught.value)

    def test_missing_table(self, archive: Path) -> None:
        (archive / TABLE).unlink()
        with refused(InputError, f"{TABLE}: no such file; it lists the pictures"):
            ThermalGlassConverter(raw=archive).spec()

    def test_table_that_cannot_be_read(self, archive: Path) -> None:
        (archive / TABLE).unlink()
        (archive / TABLE).symlink_to(archive / TABLE)
        with refused(InputError, f"{TABLE}: not readable ("):
            ThermalGlassConverter(raw=archive).spec()

    def test_mask_as_jpeg(self, archive: Path) -> None:
        edit(archive / TABLE, lambda text: text.replace("hall/a/mask.png", "hall/a/mask.jpg"))
        with refused(SampleError, "hall/a/mask.jpg: JPEG changes the values"):
            ThermalGlassConverter(raw=archive).read("train", "hall/a")

    def test_only_listed_pictures_belong_to_the_set(self, archive: Path) -> None:
        edit(archive / TABLE, lambda text: "".join(text.splitlines(keepends=True)[:2]))
        assert ThermalGlassConverter(raw=archive).splits()["train"] == ("hall/b",)


def test_two_sets(archive: Path) -> None:
    write_authors(archive.parent, SPLITS)
    with refused(InputError, "both hold the set; give the one to read with --raw"):
        ThermalGlassConverter(raw=archive.parent).spec()
