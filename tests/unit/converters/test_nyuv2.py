from __future__ import annotations

import dataclasses
import io
import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image
from raw_folder import check_dataset, check_lost_file
from refusals import refused

from aims.converters.nyuv2 import NYUv2Converter
from aims.converters.nyuv2.classes import CLASS_NAMES, CLASS_OF_LABEL
from aims.core.errors import InputError
from aims.core.schema import InstanceMap, LeftOut, Sample, SampleError, SemanticMap, StreamSpec
from aims.data.manifest import Counts
from aims.data.write import convert
from aims.sensors.hha import Camera, encode_hha
from aims.synth.layouts.nyuv2 import NYUv2Image, write_folder, write_official

HEIGHT, WIDTH = 6, 9
URL = "https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html"
# By hand from classMapping40.mat: raw label 1 is a book (40, otherprop), 5 a chair (5), 21 a wall (1).
RAW = (1, 5, 21, 894)
FORTY = (40, 5, 1, 40)


def picture(number: int, labels: Sequence[int] = RAW) -> NYUv2Image:
    """No value twice in RGB and depth, so that a swap or a transpose is seen."""
    plane = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    label = np.zeros((HEIGHT, WIDTH), np.uint16)
    for index, value in enumerate(labels):
        label[index, index : index + 3] = value
    return NYUv2Image(
        rgb=np.stack([plane, plane + 60, plane + 120], axis=-1).astype(np.uint8) + np.uint8(number),
        depth=(plane / 8 + number).astype(np.float32),
        labels=label,
        scene=f"kitchen_{number:04d}",
    )


def classes_of(sample: Sample) -> np.ndarray:
    assert isinstance(sample.labels, SemanticMap)
    assert sample.labels.void == (0,)
    return sample.labels.class_map


@pytest.fixture
def official(tmp_path: Path) -> Path:
    images = [picture(number) for number in (1, 2, 3)]
    write_official(tmp_path, images, train=[3, 1], test=[2])
    return tmp_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = {number: picture(number, FORTY) for number in (1, 2, 30)}
    write_folder(tmp_path, images, train=[30, 1], test=[2])
    return tmp_path / "NYUDepthv2"


class TestClasses:
    def test_names(self) -> None:
        assert len(CLASS_NAMES) == 40
        assert CLASS_NAMES[:3] == ("wall", "floor", "cabinet")
        assert (CLASS_NAMES[19], CLASS_NAMES[27]) == ("floor mat", "shower curtain")
        assert CLASS_NAMES[37:] == ("otherstructure", "otherfurniture", "otherprop")

    def test_mapping(self) -> None:
        assert len(CLASS_OF_LABEL) == 895
        first = (40, 40, 3, 22, 5, 40, 12, 38, 40, 40, 2, 39, 40, 40, 26, 40, 24, 40, 7, 40)
        assert CLASS_OF_LABEL[:21] == (0, *first)
        assert CLASS_OF_LABEL[21] == 1  # wall
        assert CLASS_OF_LABEL[157] == 4  # bed
        assert set(CLASS_OF_LABEL[1:]) == set(range(1, 41))


class TestOfficial:
    def test_spec(self, official: Path) -> None:
        spec = NYUv2Converter(raw=official).spec()
        assert (spec.name, spec.classes, spec.has_rgb, spec.url) == ("nyuv2", CLASS_NAMES, True, URL)
        depth = StreamSpec(channels=1, unit="m", valid_range=(0.0, 10.0), missing=0.0)
        assert dict(spec.streams) == {"depth": depth}
        assert "Silberman" in str(spec.citation)

    def test_splits_in_the_order_of_the_table(self, official: Path) -> None:
        assert dict(NYUv2Converter(raw=official).splits()) == {"train": ("3", "1"), "test": ("2",)}

    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_read(self, official: Path, number: int) -> None:
        sample = NYUv2Converter(raw=official).read("train", str(number))
        made = picture(number)
        assert (sample.image_id, sample.group) == (str(number), f"kitchen_{number:04d}")
        np.testing.assert_array_equal(sample.streams["depth"], made.depth[..., None])
        assert sample.streams["depth"].dtype == np.float32
        assert sample.rgb is not None
        with Image.open(io.BytesIO(sample.rgb)) as stored:
            assert stored.format == "PNG"
            np.testing.assert_array_equal(np.asarray(stored), made.rgb)
        expected = np.zeros((HEIGHT, WIDTH))
        for index, value in enumerate(FORTY):
            expected[index, index : index + 3] = value
        np.testing.assert_array_equal(classes_of(sample), expected)

    def test_layout_is_matlabs(self, official: Path) -> None:
        path = official / "nyu_depth_v2_labeled.mat"
        header = path.read_bytes()[:512]
        assert header.startswith(b"MATLAB 7.3 MAT-file")
        assert header[124:128] == b"\x00\x02IM"
        with h5py.File(path) as file:
            assert file.userblock_size == 512
            assert file["images"].shape == (3, 3, WIDTH, HEIGHT)
            assert file["depths"].shape == file["labels"].shape == (3, WIDTH, HEIGHT)
            assert file["rawDepths"].dtype == np.float32
            assert file["instances"].dtype == np.uint8
            # By hand: picture 2, green channel, x = 4, y = 1 is 60 + 1 * 9 + 4 + 2.
            assert file["images"][1, 1, 4, 1] == 75
            assert file["scenes"].shape == (1, 3)
            scene = file[file["scenes"][0, 1]]
            assert (scene.shape, scene.dtype) == ((12, 1), np.uint16)
        table = scipy.io.loadmat(official / "splits.mat")
        assert table["trainNdxs"].tolist() == [[3], [1]]

    def test_own_mapping_is_preferred(self, official: Path) -> None:
        numbers = [2] * 894
        numbers[4] = 1
        table = {"mapClass": np.array([numbers]), "className": np.array([["seat", "rest"]], object)}
        scipy.io.savemat(official / "classMapping40.mat", table)
        converter = NYUv2Converter(raw=official)
        assert converter.spec().classes == ("seat", "rest")
        assert set(classes_of(converter.read("train", "1")).ravel().tolist()) == {0, 1, 2}
        assert (classes_of(converter.read("train", "1")) == 1).sum() == 3

    def test_mapping_of_the_writer_is_read(self, tmp_path: Path) -> None:
        mapping = (CLASS_OF_LABEL[1:], CLASS_NAMES)
        write_official(tmp_path, [picture(1), picture(2)], train=[1], test=[2], mapping=mapping)
        converter = NYUv2Converter(raw=tmp_path)
        assert converter.spec().classes == CLASS_NAMES
        assert [path.name for path in converter.shared_files()] == [
            "nyu_depth_v2_labeled.mat",
            "splits.mat",
            "classMapping40.mat",
        ]
        (tmp_path / "classMapping40.mat").unlink()
        without = NYUv2Converter(raw=tmp_path).read("train", "1")
        np.testing.assert_array_equal(classes_of(converter.read("train", "1")), classes_of(without))

    def test_one_image_is_read_at_a_time(self, official: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        keys: list[object] = []
        original = h5py.Dataset.__getitem__

        def watch(self: h5py.Dataset, key: object) -> object:
            if self.name in ("/images", "/depths", "/labels"):
                keys.append(key)
            return original(self, key)

        monkeypatch.setattr(h5py.Dataset, "__getitem__", watch)
        converter = NYUv2Converter(raw=official)
        converter.spec()
        converter.splits()
        converter.read("train", "3")
        assert keys == [2, 2, 2]

    def test_sources_and_pickling(self, official: Path) -> None:
        converter = NYUv2Converter(raw=official)
        converter.spec()
        assert converter.source_files("train", "1") == ()
        assert len(converter.shared_files()) == 2
        assert converter.options() == {"hha": False, "hha_from": None, "raw_depth": False}
        copy = pickle.loads(pickle.dumps(converter))
        assert copy.read("train", "1").rgb == converter.read("train", "1").rgb

    def test_becomes_a_dataset(self, official: Path, tmp_path: Path) -> None:
        manifest = convert(NYUv2Converter(raw=official), tmp_path / "out").manifest
        # Four classes a picture; book (40) and label 894 (40) do not touch.
        assert manifest.splits["train"] == Counts(images=2, instances=8)

    def test_unknown_label(self, tmp_path: Path) -> None:
        write_official(tmp_path, [picture(1), picture(2, (1, 895))], train=[1], test=[2])
        with refused(
            SampleError,
            "nyu_depth_v2_labeled.mat, labels of image 2: value 895 is in no class (3 pixels, first at x=1",
        ):
            NYUv2Converter(raw=tmp_path).read("test", "2")

    @pytest.mark.parametrize(
        ("train", "test", "parts"),
        [
            ([1, 4], [2], ("splits.mat: 'trainNdxs' names image 4, but ", " has 1 to 3")),
            ([1], [0], "splits.mat: 'testNdxs' names image 0"),
            ([1, 2], [2], "splits.mat: image 2 is in 'trainNdxs' and again in 'testNdxs'"),
            ([1, 1], [2], "splits.mat: image 1 is in 'trainNdxs' and again in 'trainNdxs'"),
            ([], [2], "splits.mat: has no numbers 'trainNdxs'"),
            ([1.5], [2], "splits.mat: 'trainNdxs' must hold whole numbers"),
        ],
    )
    def test_wrong_splits(self, official: Path, train: list[float], test: list[float], parts: object) -> None:
        table = {"trainNdxs": np.array(train)[:, None], "testNdxs": np.array(test)[:, None]}
        scipy.io.savemat(official / "splits.mat", table)
        with refused(InputError, parts):
            NYUv2Converter(raw=official).splits()

    def test_missing_splits(self, official: Path) -> None:
        (official / "splits.mat").unlink()
        with refused(InputError, "splits.mat: no such file, and nyu_depth_v2", URL):
            NYUv2Converter(raw=official).splits()

    @pytest.mark.parametrize(("name", "used_by"), [("splits.mat", "splits"), ("classMapping40.mat", "spec")])
    @pytest.mark.parametrize(
        "content", [b"", b"hello", b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + bytes(9)]
    )
    def test_broken_tables(self, official: Path, name: str, used_by: str, content: bytes) -> None:
        (official / name).write_bytes(content)
        method = getattr(NYUv2Converter(raw=official), used_by)
        with refused(InputError, f"{name}: ", "get"):
            method()

    def test_cut_table(self, official: Path) -> None:
        path = official / "splits.mat"
        path.write_bytes(path.read_bytes()[:-20])
        with refused(InputError, "splits.mat: "):
            NYUv2Converter(raw=official).splits()

    def test_wrong_mapping(self, official: Path) -> None:
        table = {"mapClass": np.full((1, 894), 3), "className": np.array([["seat", "rest"]], object)}
        scipy.io.savemat(official / "classMapping40.mat", table)
        with refused(InputError, "classMapping40.mat: 'mapClass' must give one of the classes"):
            NYUv2Converter(raw=official).spec()

    @pytest.mark.parametrize("lost", [1, 5000])
    def test_cut_file(self, official: Path, lost: int) -> None:
        path = official / "nyu_depth_v2_labeled.mat"
        path.write_bytes(path.read_bytes()[:-lost])
        with refused(InputError, "labeled.mat: not a whole MATLAB 7.3 file (", URL):
            NYUv2Converter(raw=official).spec()

    def test_old_matlab_file(self, official: Path) -> None:
        scipy.io.savemat(official / "nyu_depth_v2_labeled.mat", {"images": np.zeros((3, 3))})
        with refused(InputError, "labeled.mat: not a whole MATLAB 7.3 file ("):
            NYUv2Converter(raw=official).spec()

    def test_foreign_file(self, official: Path) -> None:
        with h5py.File(official / "nyu_depth_v2_labeled.mat", "w") as file:
            file["images"] = np.zeros((2, 3, 4, 5), np.uint8)
        with refused(InputError, "labeled.mat: has no array 'scenes'; this is not the file"):
            NYUv2Converter(raw=official).spec()

    @pytest.mark.parametrize(
        ("name", "array"),
        [
            ("images", np.zeros((3, WIDTH, HEIGHT, 3), np.uint8)),
            ("images", np.zeros((3, 3), np.uint8)),
            ("depths", np.zeros((3, HEIGHT, WIDTH), np.float32)),
            ("depths", np.zeros((3, WIDTH, HEIGHT), np.uint16)),
            ("labels", np.zeros((2, WIDTH, HEIGHT), np.uint16)),
        ],
    )
    def test_wrong_arrays(self, official: Path, name: str, array: np.ndarray) -> None:
        with h5py.File(official / "nyu_depth_v2_labeled.mat", "r+") as file:
            del file[name]
            file[name] = array
        with refused(InputError, "labeled.mat: '", "which does not fit 'images' (N, 3, W, H)"):
            NYUv2Converter(raw=official).spec()

    def test_wrong_scenes(self, official: Path) -> None:
        with h5py.File(official / "nyu_depth_v2_labeled.mat", "r+") as file:
            del file["scenes"]
            file["scenes"] = np.zeros((1, 3), np.uint16)
        with refused(InputError, "'scenes' does not name the scene of each of the 3 images"):
            NYUv2Converter(raw=official).spec()


class TestFolder:
    @pytest.mark.parametrize("depth", [0, 1])
    def test_read(self, folder: Path, depth: int) -> None:
        converter = NYUv2Converter(raw=(folder, folder.parent)[depth], labels="classes")
        assert converter.spec().classes == CLASS_NAMES
        assert dict(converter.splits()) == {"train": ("30", "1"), "test": ("2",)}
        sample = converter.read("train", "30")
        made = picture(30, FORTY)
        assert (sample.image_id, sample.group) == ("30", "30")
        np.testing.assert_array_equal(sample.streams["depth"], made.depth[..., None])
        np.testing.assert_array_equal(classes_of(sample), made.labels)
        assert sample.rgb == (folder / "RGB" / "30.jpg").read_bytes()
        assert converter.source_files("train", "30") == (
            folder / "RGB/30.jpg",
            folder / "Depth/30.npy",
            folder / "Mask_gt/30.png",
        )
        assert converter.shared_files() == (folder / "train.txt", folder / "test.txt")

    def test_lists_from_windows(self, folder: Path) -> None:
        text = (folder / "train.txt").read_text().replace("RGB/30.jpg", "RGB\\30.JPG").replace("\n", "\r\n")
        (folder / "train.txt").write_text(text, encoding="utf-8-sig", newline="")
        (folder / "RGB/30.jpg").rename(folder / "RGB/30.JPG")
        sample = NYUv2Converter(raw=folder, labels="classes").read("train", "30")
        assert sample.rgb == (folder / "RGB" / "30.JPG").read_bytes()

    def test_both_layouts_agree(self, folder: Path, official: Path) -> None:
        ours, theirs = (
            NYUv2Converter(raw=folder, labels="classes").read("train", "1"),
            NYUv2Converter(raw=official).read("train", "1"),
        )
        np.testing.assert_array_equal(ours.streams["depth"], theirs.streams["depth"])
        np.testing.assert_array_equal(classes_of(ours), classes_of(theirs))

    def test_classes_or_instances_must_be_said(self, folder: Path) -> None:
        with refused(
            InputError, "Mask_gt: all numbers are 0 to 40 or 255", "--labels classes or --labels inst"
        ):
            NYUv2Converter(raw=folder).spec()
        with refused(InputError, "--labels: unknown kind of labels 'class'", "auto, classes, instances"):
            NYUv2Converter(raw=folder, labels="class").spec()

    @pytest.mark.parametrize("labels", ["auto", "instances"])
    def test_instances(self, folder: Path, labels: str) -> None:
        numbers = np.zeros((HEIGHT, WIDTH), np.uint8)
        numbers[2:5, 2:4], numbers[2:5, 6:8], numbers[0] = 7, 57, 255
        # One instance in two places, as an occluder may cut it.
        numbers[8:9, 2:4] = 7
        Image.fromarray(numbers).save(folder / "Mask_gt" / "1.png")
        converter = NYUv2Converter(raw=folder, labels=labels)
        assert converter.spec().classes == ("region",)
        found = converter.read("train", "1").labels
        assert isinstance(found, InstanceMap)
        np.testing.assert_array_equal(found.instances, np.where(numbers == 255, 0, numbers))
        assert found.class_ids == {7: 1, 57: 1}
        assert converter.options().get("labels", "auto") == labels
        told = [f"{folder / 'Mask_gt' / '1.png'} holds a number above 40"] if labels == "auto" else []
        assert [line.split(":")[0] for line in converter.warnings()] == told

    def test_the_authors_layout_says_it(self, official: Path) -> None:
        with refused(InputError, "--labels classes: the authors' layout holds classes and instances"):
            NYUv2Converter(raw=official, labels="classes").spec()
        assert "labels" not in NYUv2Converter(raw=official).options()
        assert not NYUv2Converter(raw=official).warnings()

    def test_255_is_nothing(self, folder: Path) -> None:
        labels = picture(1, FORTY).labels.astype(np.uint8)
        Image.fromarray(np.where(labels == 5, 255, labels).astype(np.uint8)).save(
            folder / "Mask_gt" / "1.png"
        )
        classes = classes_of(NYUv2Converter(raw=folder, labels="classes").read("train", "1"))
        np.testing.assert_array_equal(classes, np.where(labels == 5, 0, labels))

    def test_label_outside(self, folder: Path) -> None:
        labels = picture(1, FORTY).labels.astype(np.uint8)
        labels[5, 8] = 41
        Image.fromarray(labels).save(folder / "Mask_gt" / "1.png")
        with refused(SampleError, "Mask_gt/1.png: value 41 is in no class (1 pixels, first at x=8"):
            NYUv2Converter(raw=folder, labels="classes").read("train", "1")

    def test_depth_keeps_its_dtype(self, folder: Path) -> None:
        depth = np.arange(HEIGHT * WIDTH, dtype=np.float64).reshape(HEIGHT, WIDTH, 1)
        np.save(folder / "Depth" / "1.npy", depth)
        read = NYUv2Converter(raw=folder, labels="classes").read("train", "1").streams["depth"]
        np.testing.assert_array_equal(read, depth)
        assert read.dtype == np.float64

    def test_depth_with_channels(self, folder: Path) -> None:
        np.save(folder / "Depth" / "1.npy", np.zeros((HEIGHT, WIDTH, 3), np.float32))
        with refused(SampleError, "Depth/1.npy: 3 channels, expected one depth map"):
            NYUv2Converter(raw=folder, labels="classes").read("train", "1")

    def test_sizes_agree(self, folder: Path) -> None:
        np.save(folder / "Depth" / "1.npy", np.zeros((WIDTH, HEIGHT), np.float32))
        with refused(SampleError, "Depth/1.npy: 9 x 6 (height x width), but ", "RGB/1.jpg is 6 x 9"):
            NYUv2Converter(raw=folder, labels="classes").read("train", "1")

    @pytest.mark.parametrize("name", ["RGB/1.jpg", "Depth/1.npy", "Mask_gt/1.png"])
    def test_missing_and_cut_files(self, folder: Path, name: str) -> None:
        check_lost_file(NYUv2Converter(raw=folder, labels="classes"), folder / name, "train", "1")

    @pytest.mark.parametrize(
        ("lines", "parts"),
        [
            ("RGB/1.jpg\tx\n\n1.jpg\n", "train.txt, line 3: first column is '1.jpg', expected RGB/N.jpg"),
            ("RGB/../1.jpg\n", "train.txt, line 1: first column is 'RGB/../1.jpg'"),
            (
                "RGB/1.jpg\nRGB/1.jpg\n",
                ("train.txt, line 2: image 1 is listed already in ", "train.txt, line 1"),
            ),
            (
                "RGB/2.jpg\n",
                ("test.txt, line 1: image 2 is listed already in ", "train.txt, line 1; keep one"),
            ),
            ("\n", "train.txt: lists no image"),
        ],
    )
    def test_wrong_lists(self, folder: Path, lines: str, parts: object) -> None:
        (folder / "train.txt").write_text(lines)
        with refused(InputError, parts):
            NYUv2Converter(raw=folder, labels="classes").spec()

    def test_missing_list(self, folder: Path) -> None:
        (folder / "test.txt").unlink()
        with refused(InputError, "NYUDepthv2/test.txt: no such file; it lists"):
            NYUv2Converter(raw=folder, labels="classes").spec()

    def test_list_that_is_no_text(self, folder: Path) -> None:
        (folder / "test.txt").write_bytes(b"\xff\xfe\xfa")
        with refused(InputError, "test.txt: not readable as text"):
            NYUv2Converter(raw=folder, labels="classes").spec()

    def test_becomes_a_dataset(self, folder: Path, tmp_path: Path) -> None:
        (folder / "Depth" / "30.npy").unlink()
        result = convert(NYUv2Converter(raw=folder, labels="classes"), tmp_path / "out", keep_going=True)
        assert result.manifest.splits["train"] == Counts(images=1, instances=4)
        assert [line.image_id for line in result.dropped] == ["30"]


# One fortieth of the full frame: the smallest 4:3 picture in which planes can be fitted.
FRAME = (12, 16)


def room(number: int) -> NYUv2Image:
    """A floor before a wall, with holes in the raw depth, and HHA that no depth gives."""
    rows, columns = np.mgrid[: FRAME[0], : FRAME[1]]
    depth = np.minimum(3 + number / 8, 30 / (rows + 1.0)).astype(np.float32)
    raw = (depth + np.float32(0.25)).astype(np.float32)
    raw[(rows + columns + number) % 5 == 0] = 0
    labels = np.where(rows < 8, 5, 21).astype(np.uint16)
    smooth = np.stack([rows * 8, columns * 6 + 90, rows + columns + 150], axis=-1)
    rgb = np.stack([rows * 5, columns * 5 + 80, rows + columns + 180 + number], axis=-1)
    return NYUv2Image(
        rgb=rgb.astype(np.uint8),
        depth=depth,
        raw_depth=raw,
        labels=labels,
        hha=(smooth + number).astype(np.uint8),
    )


# By hand: 518.8579 / 40, 519.4696 / 40, (325.58245 - 0.5) / 40 + 0.5, (253.73617 - 0.5) / 40 + 0.5.
SMALL_CAMERA = Camera(
    fx=12.971447529362562, fy=12.986740278028122, cx=8.627061235279758, cy=6.830904158350116, first_pixel=1
)


@pytest.fixture
def official_rooms(tmp_path: Path) -> Path:
    write_official(tmp_path / "raw", [room(number) for number in (1, 2, 3)], train=[3, 1], test=[2])
    return tmp_path / "raw"


@pytest.fixture
def folder_rooms(tmp_path: Path) -> Path:
    return write_folder(
        tmp_path / "raw", {number: room(number) for number in (1, 2, 30)}, train=[30, 1], test=[2]
    )


class TestOfficialExtras:
    def test_raw_depth(self, official_rooms: Path) -> None:
        converter = NYUv2Converter(raw=official_rooms, raw_depth=True)
        depth = StreamSpec(channels=1, unit="m", valid_range=(0.0, 10.0), missing=0.0)
        assert dict(converter.spec().streams) == {"depth": depth, "raw_depth": depth}
        sample, made = converter.read("train", "3"), room(3)
        assert made.raw_depth is not None
        np.testing.assert_array_equal(sample.streams["raw_depth"], made.raw_depth[..., None])
        np.testing.assert_array_equal(sample.streams["depth"], made.depth[..., None])
        assert sample.streams["raw_depth"].dtype == np.float32

    def test_hha(self, official_rooms: Path) -> None:
        converter = NYUv2Converter(raw=official_rooms, hha=True)
        hha = converter.spec().streams["hha"]
        assert (hha.channels, hha.valid_range, hha.missing) == (3, (0.0, 255.0), None)
        assert hha.unit.startswith(
            "disparity 31000 / max(depth in cm, 100), height above ground in cm, angle"
        )
        sample, made = converter.read("train", "3"), room(3)
        assert made.raw_depth is not None
        missing = made.raw_depth == 0
        expected = encode_hha(made.depth, missing=missing, camera=SMALL_CAMERA)
        np.testing.assert_array_equal(sample.streams["hha"], expected)
        assert sample.streams["hha"].dtype == np.uint8
        # By hand: the wall is at 3.375 m, 31000 / 337.5 = 91.85.
        assert sample.streams["hha"][0, 0, 0] == 92
        assert set(sample.streams) == {"depth", "hha"}
        # The mask is that of the raw depth, and so is the camera that of the frame.
        for other in (
            encode_hha(made.depth, camera=SMALL_CAMERA),
            encode_hha(made.raw_depth, camera=SMALL_CAMERA),
            encode_hha(made.depth, missing=missing),
        ):
            assert (other != expected).any()

    def test_full_frame(self, tmp_path: Path) -> None:
        scale = np.ones((40, 40), np.float32)
        images = [
            NYUv2Image(
                rgb=np.zeros((480, 640, 3), np.uint8),
                depth=np.kron(image.depth, scale),
                raw_depth=np.kron(image.raw_depth, scale),
                labels=np.ones((480, 640), np.uint16),
            )
            for image in (room(1), room(2))
            if image.raw_depth is not None
        ]
        write_official(tmp_path, images, train=[1], test=[2])
        read = NYUv2Converter(raw=tmp_path, hha=True).read("train", "1").streams["hha"]
        raw = images[0].raw_depth
        assert raw is not None
        np.testing.assert_array_equal(read, encode_hha(images[0].depth, missing=raw == 0))

    def test_other_shapes_have_no_known_camera(self, official: Path) -> None:
        parts = ("labeled.mat, depths of image 1: 6 x 9 (height x width) is not the full 4:3 frame", "--hha")
        with refused(SampleError, parts):
            NYUv2Converter(raw=official, hha=True).read("train", "1")

    def test_millimetres(self, tmp_path: Path) -> None:
        image = dataclasses.replace(room(1), depth=room(1).depth * 1000)
        write_official(tmp_path, [image, image], train=[1], test=[2])
        with refused(SampleError, "depths of image 1: no HHA can be computed (", "m"):
            NYUv2Converter(raw=tmp_path, hha=True).read("train", "1")

    @pytest.mark.parametrize("flag", ["hha", "raw_depth"])
    @pytest.mark.parametrize(
        ("array", "message"),
        [
            (None, "has no array 'rawDepths'"),
            (np.zeros((3, *FRAME), np.float32), "'rawDepths' is float32 (3, 12, 16), which does not fit"),
            (np.zeros((3, *FRAME[::-1]), np.uint16), "'rawDepths' is uint16 (3, 16, 12), which does not fit"),
        ],
    )
    def test_wrong_raw_depth(
        self, official_rooms: Path, flag: str, array: np.ndarray | None, message: str
    ) -> None:
        with h5py.File(official_rooms / "nyu_depth_v2_labeled.mat", "r+") as file:
            del file["rawDepths"]
            if array is not None:
                file["rawDepths"] = array
        with refused(InputError, "labeled.mat: ", message):
            NYUv2Converter(raw=official_rooms, **{flag: True}).spec()
        NYUv2Converter(raw=official_rooms).spec()

    def test_there_are_no_files_of_hha(self, official_rooms: Path) -> None:
        parts = ("labeled.mat: --hha-from files: the authors' layout holds no HHA", "NYUDepthv2/")
        with refused(InputError, parts):
            NYUv2Converter(raw=official_rooms, hha=True, hha_from="files").spec()

    @pytest.mark.parametrize("source", ["auto", "depth"])
    def test_becomes_a_dataset(self, official_rooms: Path, tmp_path: Path, source: str) -> None:
        converter = NYUv2Converter(raw=official_rooms, hha=True, raw_depth=True, hha_from=source)
        copy = pickle.loads(pickle.dumps(converter))
        dataset = check_dataset(copy, tmp_path / "out")
        assert list(dataset.spec.streams) == ["depth", "raw_depth", "hha"]
        options = dataset.manifest.converter.options
        assert options == {"hha": True, "hha_from": "depth", "raw_depth": True}
        assert list(converter.left_out()) == []


class TestFolderExtras:
    def test_files_are_read_as_they_are(self, folder_rooms: Path) -> None:
        converter = NYUv2Converter(raw=folder_rooms, labels="classes", hha=True)
        assert "as HHA/N.jpg has them" in converter.spec().streams["hha"].unit
        sample = converter.read("train", "30")
        with Image.open(folder_rooms / "HHA/30.jpg") as stored:
            np.testing.assert_array_equal(sample.streams["hha"], np.asarray(stored))
        made = room(30).hha
        assert made is not None
        # JPEG is not exact, but near enough to see the channels in their order.
        assert np.abs(sample.streams["hha"].astype(int) - made).max() < 12
        assert converter.source_files("train", "30")[-1] == folder_rooms / "HHA/30.jpg"
        assert len(converter.source_files("train", "30")) == 4

    @pytest.mark.parametrize("source", ["auto", "depth"])
    def test_computed(self, folder_rooms: Path, source: str) -> None:
        if source == "auto":
            shutil.rmtree(folder_rooms / "HHA")
        converter = NYUv2Converter(raw=folder_rooms, labels="classes", hha=True, hha_from=source)
        assert converter.spec().streams["hha"].unit.startswith("disparity 31000")
        read = converter.read("train", "30").streams["hha"]
        np.testing.assert_array_equal(read, encode_hha(room(30).depth, camera=SMALL_CAMERA))
        assert len(converter.source_files("train", "30")) == 3
        assert converter.options()["hha_from"] == "depth"

    @pytest.mark.parametrize(("files", "source"), [(True, "files"), (False, "depth")])
    def test_becomes_a_dataset(self, folder_rooms: Path, tmp_path: Path, files: bool, source: str) -> None:
        if not files:
            shutil.rmtree(folder_rooms / "HHA")
        converter = NYUv2Converter(raw=folder_rooms.parent, labels="classes", hha=True)
        dataset = check_dataset(converter, tmp_path / "out")
        options = dataset.manifest.converter.options
        assert options == {"hha": True, "hha_from": source, "labels": "classes", "raw_depth": False}
        assert ("NYUDepthv2/HHA/30.jpg" in dataset.manifest.sources) is files

    def test_no_files(self, folder_rooms: Path) -> None:
        shutil.rmtree(folder_rooms / "HHA")
        with refused(InputError, "HHA: no such folder; --hha-from depth computes"):
            NYUv2Converter(raw=folder_rooms, labels="classes", hha=True, hha_from="files").spec()

    def test_missing_and_cut_files(self, folder_rooms: Path) -> None:
        converter = NYUv2Converter(raw=folder_rooms, labels="classes", hha=True)
        check_lost_file(converter, folder_rooms / "HHA/30.jpg", "train", "30")

    @pytest.mark.parametrize(
        ("image", "message"),
        [
            (Image.new("L", FRAME[::-1]), "1 channel(s), expected disparity, height and angle"),
            (Image.new("RGB", FRAME), "16 x 12 (height x width), but "),
        ],
    )
    def test_wrong_files(self, folder_rooms: Path, image: Image.Image, message: str) -> None:
        image.save(folder_rooms / "HHA/30.jpg")
        with refused(SampleError, "HHA/30.jpg: ", message):
            NYUv2Converter(raw=folder_rooms, labels="classes", hha=True).read("train", "30")

    def test_there_is_no_raw_depth(self, folder_rooms: Path) -> None:
        parts = (
            "NYUDepthv2: --raw-depth: this layout holds no depth as measured",
            "nyu_depth_v2_labeled.mat",
        )
        with refused(InputError, parts):
            NYUv2Converter(raw=folder_rooms, labels="classes", raw_depth=True).spec()

    def test_depth_in_whole_numbers(self, folder_rooms: Path) -> None:
        np.save(folder_rooms / "Depth/30.npy", np.ones(FRAME, np.uint16))
        with refused(SampleError, "Depth/30.npy: no HHA can be computed ("):
            NYUv2Converter(raw=folder_rooms, labels="classes", hha=True, hha_from="depth").read("train", "30")


class TestBrokenImages:
    """398 and 1133 of the folder: the protocols treat them, the conversion neither drops nor stops."""

    @pytest.fixture
    def broken(self, tmp_path: Path) -> Path:
        images = {number: room(number % 50) for number in (398, 1133, 1134, 5)}
        return write_folder(tmp_path / "raw", images, train=[5, 398, 1133, 1134], test=[6])

    def test_are_converted_where_they_can_be(self, broken: Path) -> None:
        converter = NYUv2Converter(raw=broken, labels="classes")
        assert converter.splits()["train"] == ("5", "398", "1133", "1134")
        assert list(converter.left_out()) == []
        assert converter.read("train", "398").image_id == "398"

    def test_are_left_out_where_they_cannot(self, broken: Path, tmp_path: Path) -> None:
        (broken / "RGB/398.jpg").write_bytes(b"")
        (broken / "HHA/1133.jpg").unlink()
        converter = NYUv2Converter(raw=broken, labels="classes")
        assert converter.splits() == {"train": ("5", "1133", "1134"), "test": ("6",)}
        reason = "broken in this archive: RGB/398.jpg: empty (0 bytes); copy or download it again"
        assert list(converter.left_out()) == [LeftOut(split="train", image_id="398", reason=reason)]
        with_hha = NYUv2Converter(raw=broken, labels="classes", hha=True)
        assert [item.image_id for item in with_hha.left_out()] == ["398", "1133"]
        write_folder(broken.parent, {6: room(6)}, train=[5, 398, 1133, 1134], test=[6])
        result = convert(with_hha, tmp_path / "out")
        assert result.manifest.splits["train"].images == 2

    def test_others_still_stop_it(self, broken: Path) -> None:
        (broken / "RGB/1134.jpg").write_bytes(b"")
        converter = NYUv2Converter(raw=broken, labels="classes")
        assert "1134" in converter.splits()["train"]
        with refused(SampleError, "RGB/1134.jpg: empty"):
            converter.read("train", "1134")


class TestOptions:
    def test_unknown_source(self, folder_rooms: Path) -> None:
        with refused(InputError, "--hha-from: unknown source of hha 'file'; did you mean 'files'"):
            NYUv2Converter(raw=folder_rooms, labels="classes", hha=True, hha_from="file").spec()

    def test_source_without_hha(self, folder_rooms: Path) -> None:
        with refused(InputError, "--hha-from depth: says where hha is from; add --hha"):
            NYUv2Converter(raw=folder_rooms, labels="classes", hha_from="depth").spec()

    def test_without_extras_nothing_else_is_read(self, folder_rooms: Path) -> None:
        shutil.rmtree(folder_rooms / "HHA")
        converter = NYUv2Converter(raw=folder_rooms, labels="classes")
        assert set(converter.read("train", "30").streams) == {"depth"}
        assert converter.options() == {
            "hha": False,
            "hha_from": None,
            "labels": "classes",
            "raw_depth": False,
        }
        assert NYUv2Converter(raw=folder_rooms / "absent").options()["hha_from"] is None
