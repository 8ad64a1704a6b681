from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from raw_folder import check_dataset, check_lost_file
from refusals import refused

from aims.converters.ivrg_nir import IVRGNIRConverter
from aims.core.errors import InputError
from aims.core.schema import InstanceMap, SampleError, StreamSpec
from aims.data.manifest import Counts
from aims.synth.layouts.ivrg_nir import IVRGNIRImage, write_redistributed

HEIGHT, WIDTH = 6, 9
URL = "https://www.epfl.ch/labs/ivrl/research/downloads/rgb-nir-scene-dataset/"
TABLE = "IVRG-nir_train_GroundTruth.csv"


def picture(number: int, dtype: type = np.uint8) -> IVRGNIRImage:
    """No value twice in RGB and NIR; regions 7 and 9 touch, 7 is in two pieces, 255 is one of them."""
    plane = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    regions = np.zeros((HEIGHT, WIDTH), np.uint16)
    regions[0, :2], regions[0, 2:4], regions[1, 4:6], regions[4:, 6:], regions[5, 0] = 7, 9, 9, 7, 255
    return IVRGNIRImage(
        nir=(plane + 180 + number).astype(np.uint8) if dtype is np.uint8 else (plane * 900).astype(dtype),
        rgb=np.stack([plane, plane + 60, plane + 120], axis=-1).astype(np.uint8) + np.uint8(number),
        regions=regions,
    )


SPLITS = {
    # Table order is not the sorted one.
    "train": {"0009": picture(3), "0001": picture(1), "森林": picture(4)},
    "test": {"0002": picture(2)},
}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_redistributed(tmp_path / "raw", SPLITS)


@pytest.fixture
def pictures(archive: Path) -> Path:
    return archive / "Outdoor_dataset"


def edit(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text("gbk")), "gbk")


@pytest.mark.parametrize(("dtype", "highest"), [(np.uint8, 255.0), (np.uint16, 65535.0)])
def test_spec(tmp_path: Path, dtype: type, highest: float) -> None:
    splits = {split: {f"{split}1": picture(1, dtype)} for split in ("train", "test")}
    spec = IVRGNIRConverter(raw=write_redistributed(tmp_path, splits)).spec()
    assert (spec.name, spec.classes, spec.has_rgb, spec.url) == ("ivrg-nir", ("region",), True, URL)
    assert dict(spec.streams) == {
        "nir": StreamSpec(
            channels=1, unit="digital number", valid_range=(0.0, highest), wavelength_nm=(750.0, 1_100.0)
        )
    }


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("header", [False, True])
def test_order_of_the_tables(tmp_path: Path, nested: bool, header: bool) -> None:
    folder = write_redistributed(tmp_path, SPLITS, header=header)
    converter = IVRGNIRConverter(raw=tmp_path if nested else folder)
    assert dict(converter.splits()) == {"train": ("0009", "0001", "森林"), "test": ("0002",)}
    assert converter.shared_files() == (folder / TABLE, folder / TABLE.replace("train", "test"))
    assert "森林".encode("gbk") in (folder / TABLE).read_bytes()


@pytest.mark.parametrize(("split", "image_id"), [("train", "0009"), ("train", "森林"), ("test", "0002")])
def test_read(archive: Path, pictures: Path, split: str, image_id: str) -> None:
    converter = pickle.loads(pickle.dumps(IVRGNIRConverter(raw=archive)))
    sample = converter.read(split, image_id)
    made = SPLITS[split][image_id]
    assert (sample.image_id, sample.group) == (image_id, image_id)
    np.testing.assert_array_equal(sample.streams["nir"], made.nir[..., None])
    assert sample.streams["nir"].dtype == np.uint8
    assert sample.rgb == (pictures / f"RGBimages/{image_id}_rgb.png").read_bytes()
    with Image.open(io.BytesIO(sample.rgb)) as stored:
        np.testing.assert_array_equal(np.asarray(stored), made.rgb)
    assert converter.source_files(split, image_id) == (
        pictures / f"NIRimages/{image_id}_nir.png",
        pictures / f"RGBimages/{image_id}_rgb.png",
        pictures / f"Masks/{image_id}_mask.png",
    )


def test_regions(archive: Path) -> None:
    labels = IVRGNIRConverter(raw=archive).read("test", "0002").labels
    assert isinstance(labels, InstanceMap)
    # By hand: 7 falls into two pieces, the two runs of 9 touch at a corner, 255 is kept.
    expected = np.zeros((HEIGHT, WIDTH))
    expected[0, :2], expected[0, 2:4], expected[1, 4:6], expected[4:, 6:], expected[5, 0] = 1, 2, 2, 3, 4
    np.testing.assert_array_equal(labels.instances, expected)
    assert labels.class_ids == dict.fromkeys((1, 2, 3, 4), 1)


def test_sixteen_bits(tmp_path: Path) -> None:
    splits = {split: {f"{split}1": picture(1, np.uint16)} for split in ("train", "test")}
    splits["test"]["test1"].regions[3, 3] = 300
    sample = IVRGNIRConverter(raw=write_redistributed(tmp_path, splits)).read("test", "test1")
    np.testing.assert_array_equal(sample.streams["nir"], picture(1, np.uint16).nir[..., None])
    assert sample.streams["nir"].dtype == np.uint16
    assert isinstance(sample.labels, InstanceMap)
    assert sample.labels.instances.max() == 5


def test_three_equal_channels_are_one(archive: Path, pictures: Path) -> None:
    path = pictures / "NIRimages/0002_nir.png"
    with Image.open(path) as grey:
        grey.convert("RGB").save(path)
    read = IVRGNIRConverter(raw=archive).read("test", "0002").streams["nir"]
    np.testing.assert_array_equal(read, picture(2).nir[..., None])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("LA", "2 channels that are not one and the same, but near infrared is one; save the one that"),
        ("P", "a palette picture, whose numbers measure nothing"),
        ("1", "one bit a pixel is no near infrared"),
        ("I;16", "uint16 values, but "),
    ],
)
def test_wrong_kinds(archive: Path, pictures: Path, kind: str, message: str) -> None:
    path = pictures / "NIRimages/0002_nir.png"
    with Image.open(path) as grey:
        grey.convert(kind).save(path)
    with refused(SampleError, "0002_nir.png: ", message):
        IVRGNIRConverter(raw=archive).read("test", "0002")


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_channels_that_differ(archive: Path, pictures: Path, channel: int) -> None:
    nir = np.repeat(picture(2).nir[..., None], 3, axis=2)
    nir[5, 8, channel] += 1
    Image.fromarray(nir).save(pictures / "NIRimages/0002_nir.png")
    with refused(SampleError, "0002_nir.png: 3 channels that are not one and the same"):
        IVRGNIRConverter(raw=archive).read("test", "0002")


def test_floats_may_hold_nan(archive: Path, pictures: Path) -> None:
    nir = picture(1).nir.astype(np.float32)
    nir[0, 0] = np.nan
    for split in ("train", "test"):
        edit(archive / TABLE.replace("train", split), lambda text: text.replace("_nir.png", "_nir.npy"))
    for name in ("0009", "0001", "森林", "0002"):
        np.save(pictures / f"NIRimages/{name}_nir.npy", nir)
    converter = IVRGNIRConverter(raw=archive)
    assert converter.spec().streams["nir"].valid_range is None
    np.testing.assert_array_equal(converter.read("test", "0002").streams["nir"], nir[..., None])


def test_first_picture_may_be_broken(archive: Path, pictures: Path) -> None:
    (pictures / "NIRimages/0009_nir.png").write_bytes(b"x")
    converter = IVRGNIRConverter(raw=archive)
    assert converter.spec().streams["nir"].valid_range == (0.0, 255.0)
    assert converter.read("test", "0002").image_id == "0002"
    for path in (pictures / "NIRimages").iterdir():
        path.write_bytes(b"x")
    with refused(SampleError, "0009_nir.png: not a PNG file"):
        IVRGNIRConverter(raw=archive).spec()


@pytest.mark.parametrize("folder", ["NIRimages", "RGBimages", "Masks"])
def test_missing_and_cut_files(archive: Path, pictures: Path, folder: str) -> None:
    path = next((pictures / folder).glob("0001_*"))
    check_lost_file(IVRGNIRConverter(raw=archive), path, "train", "0001")
    again = IVRGNIRConverter(raw=archive)
    with refused(SampleError, f"{path}: no such file"):
        again.read("train", "0001")
    assert path not in again.source_files("train", "0001")


@pytest.mark.parametrize("file", ["RGBimages/0001_rgb.png", "Masks/0001_mask.png"])
def test_sizes_agree(archive: Path, pictures: Path, file: str) -> None:
    Image.new("L", (WIDTH, HEIGHT + 1)).save(pictures / file)
    with refused(SampleError, f"{file}: 7 x 9 (height x width), but ", "0001_nir.png is 6 x 9"):
        IVRGNIRConverter(raw=archive).read("train", "0001")


def test_masks_without_numbers(archive: Path, pictures: Path) -> None:
    Image.fromarray(picture(1).rgb).save(pictures / "Masks/0001_mask.png")
    with refused(SampleError, "0001_mask.png: colours, where one number a pixel is expected"):
        IVRGNIRConverter(raw=archive).read("train", "0001")
    edit(archive / TABLE, lambda text: text.replace("0009_mask.png", "0009_mask.JPG"))
    with refused(SampleError, "0009_mask.JPG: JPEG changes the values"):
        IVRGNIRConverter(raw=archive).read("train", "0009")


class TestCase:
    """Tables and disk need not agree in upper and lower case."""

    @pytest.mark.parametrize(
        ("nir", "rgb"), [("_NIR.PNG", "_RGB.PNG"), ("_nir.tiff", "_Rgb.jpg"), ("_Nir.Png", "_rgb.JPEG")]
    )
    def test_table_in_lower_case(self, tmp_path: Path, nir: str, rgb: str) -> None:
        folder = write_redistributed(tmp_path, SPLITS, nir_ending=nir, rgb_ending=rgb)
        for split in ("train", "test"):
            edit(folder / TABLE.replace("train", split), str.lower)
        sample = IVRGNIRConverter(raw=folder).read("train", "0009")
        np.testing.assert_array_equal(sample.streams["nir"], picture(3).nir[..., None])
        assert sample.rgb == (folder / f"Outdoor_dataset/RGBimages/0009{rgb}").read_bytes()

    def test_table_in_upper_case(self, archive: Path, pictures: Path) -> None:
        edit(archive / TABLE, str.upper)
        converter = IVRGNIRConverter(raw=archive)
        assert converter.splits()["train"] == ("0009", "0001", "森林")
        assert converter.source_files("train", "0009")[0] == pictures / "NIRimages/0009_nir.png"
        assert len(converter.source_files("train", "0009")) == 3

    def test_folders_in_other_case(self, archive: Path, pictures: Path) -> None:
        for name in ("NIRimages", "RGBimages", "Masks"):
            (pictures / name).rename(pictures / name.swapcase())
        assert IVRGNIRConverter(raw=archive).read("train", "0001").image_id == "0001"

    def test_two_files_that_fit(self, archive: Path, pictures: Path) -> None:
        path = pictures / "NIRimages/0001_nir.png"
        for name in ("0001_NIR.png", "0001_Nir.png"):
            path.with_name(name).write_bytes(path.read_bytes())
        # The one that is written in the table is meant.
        assert IVRGNIRConverter(raw=archive).source_files("train", "0001")[0] == path
        path.unlink()
        with refused(
            InputError, f"{TABLE}, line 3: ", "0001_NIR.png and 0001_Nir.png both fit; remove or rename one"
        ):
            IVRGNIRConverter(raw=archive).spec()

    @pytest.mark.parametrize("name", ["0001_RGB.png", "0001_rgb.jpg"])
    def test_two_rgb_pictures_that_fit(self, archive: Path, pictures: Path, name: str) -> None:
        (pictures / "RGBimages" / name).touch()
        (pictures / "RGBimages/0001_rgb.txt").touch()
        with refused(InputError, f"{TABLE}, line 3: ", name, "both fit"):
            IVRGNIRConverter(raw=archive).spec()

    def test_names_that_differ_in_case_alone(self, tmp_path: Path) -> None:
        splits = {"train": {"a": picture(1), "A": picture(2)}, "test": {"x": picture(3)}}
        folder = write_redistributed(tmp_path, splits)
        (folder / "Outdoor_dataset/RGBimages/a_rgb.png").unlink()
        with refused(InputError, f"{TABLE}, line 3: image 'A' is listed already in ", "line 2"):
            IVRGNIRConverter(raw=folder).spec()

    def test_one_file_under_two_names(self, archive: Path) -> None:
        edit(archive / TABLE, lambda text: text + "3,NIRimages/森林_NIR.PNG,Masks/森林_mask.png\n")
        with refused(InputError, f"{TABLE}, line 5: image '森林' is listed already in ", "line 4"):
            IVRGNIRConverter(raw=archive).spec()


class TestTables:
    @pytest.mark.parametrize(
        "change", [lambda text: text.replace("/", "\\"), lambda text: text.replace("NIRi", "./NIRi")]
    )
    def test_ways_to_write_a_path(self, archive: Path, change: Callable[[str], str]) -> None:
        edit(archive / TABLE, change)
        assert IVRGNIRConverter(raw=archive).read("train", "森林").image_id == "森林"

    def test_pictures_in_folders_of_their_own(self, tmp_path: Path) -> None:
        splits = {"train": {"street/0001": picture(1), "field/0001": picture(2)}, "test": {"x": picture(3)}}
        converter = IVRGNIRConverter(raw=write_redistributed(tmp_path, splits))
        assert converter.splits()["train"] == ("street/0001", "field/0001")
        sample = converter.read("train", "field/0001")
        assert sample.group == "field/0001"
        np.testing.assert_array_equal(sample.streams["nir"], picture(2).nir[..., None])

    @pytest.mark.parametrize("place", ["../", "/", "C:/", "C:\\", "\\\\server\\"])
    @pytest.mark.parametrize("file", ["NIRimages/0001_nir.png", "Masks/0001_mask.png"])
    def test_path_that_leaves_the_folder(self, archive: Path, place: str, file: str) -> None:
        edit(archive / TABLE, lambda text: text.replace(file, f"{place}{file}"))
        with refused(InputError, f"{TABLE}, line 3: path ", "leaves its folder"):
            IVRGNIRConverter(raw=archive).spec()

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("0,NIRimages/森林_nir.png,x".encode(), f"{TABLE}: not GBK text"),
            (b"0,NIRimages/a_nir.png\n", f"{TABLE}, line 1: 2 column(s)"),
            (b"0,NIRimages/a.png,x\n", f"{TABLE}, line 1: path 'NIRimages/a.png' is no NIRimages/NAME_nir.*"),
            (b"0,NIRimages/_nir.png,x\n", f"{TABLE}, line 1: path 'NIRimages/_nir.png' is no NIRimages/NAME"),
            (b"0,Pictures/a_nir.png,x\n", f"{TABLE}, line 1: path 'Pictures/a_nir.png' is no NIRimages/NAME"),
            (b"0,NIRimages/0002_nir.png,x\n", "test_GroundTruth.csv, line 2: image '0002' is listed already"),
        ],
    )
    def test_wrong_tables(self, archive: Path, content: bytes, message: str) -> None:
        (archive / TABLE).write_bytes(content)
        with refused(InputError, message):
            IVRGNIRConverter(raw=archive).spec()

    @pytest.mark.parametrize("inside", [False, True])
    def test_the_public_pictures_have_no_masks(self, tmp_path: Path, inside: bool) -> None:
        folder = tmp_path / "nirscene1"
        (folder / "country").mkdir(parents=True)
        for name in ("nir", "rgb"):
            (folder / "country" / f"0000_{name}.tiff").write_bytes(b"")
        with refused(InputError, "nirscene1: the authors' pictures by scene category, which have no masks"):
            IVRGNIRConverter(raw=folder if inside else tmp_path).spec()

    def test_missing_table(self, archive: Path) -> None:
        (archive / TABLE).unlink()
        with refused(InputError, f"{TABLE}: no such file; it lists the pictures"):
            IVRGNIRConverter(raw=archive).spec()

    def test_link_that_leads_to_itself(self, archive: Path, pictures: Path) -> None:
        (pictures / "RGBimages").rename(pictures / "elsewhere")
        (pictures / "RGBimages").symlink_to(pictures / "RGBimages")
        with refused(InputError, "RGBimages: not readable as a folder ("):
            IVRGNIRConverter(raw=archive).spec()


def test_becomes_a_dataset(archive: Path, tmp_path: Path) -> None:
    dataset = check_dataset(IVRGNIRConverter(raw=archive), tmp_path / "out")
    assert dataset.manifest.splits == {
        "train": Counts(images=3, instances=12),
        "test": Counts(images=1, instances=4),
    }
    for split, refs in dataset.index.items():
        for ref in refs:
            image, made = dataset.read(ref, ("rgb",)), SPLITS[split][ref.image_id]
            np.testing.assert_array_equal(image.streams["rgb"], made.rgb)
            np.testing.assert_array_equal(image.instances > 0, made.regions > 0)
