from __future__ import annotations

import os
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from raw_folder import check_dataset, check_lost_file
from refusals import refused

from aims.converters.zju_rgbp import CLASSES, ZJURGBPConverter
from aims.core.errors import InputError
from aims.core.schema import InstanceMap, Sample, SampleError, SemanticMap, StreamSpec
from aims.data.write import convert
from aims.synth.layouts.zju_rgbp import ZJURGBPImage, write_authors, write_redistributed

HEIGHT, WIDTH = 5, 7
URL = "http://www.wangkaiwei.org/dataseteg.html"
STREAMS = ("i0", "i45", "i90", "i135")
BOTH = {"train": ("10_image0", "2_image0"), "test": ("7_image1",)}
# Every class once and the background; by hand, row by row.
LABELS = np.zeros((HEIGHT, WIDTH), np.int64)
LABELS[0, 0:4] = (1, 2, 3, 4)
LABELS[2, 1:5] = (5, 6, 7, 8)
# Pascal VOC's colours of the numbers 0 to 8, as its development kit prints them.
VOC = (
    (0, 0, 0),
    (128, 0, 0),
    (0, 128, 0),
    (128, 128, 0),
    (0, 0, 128),
    (128, 0, 128),
    (0, 128, 128),
    (128, 128, 128),
    (64, 0, 0),
)


def picture(number: int, labels: np.ndarray = LABELS) -> ZJURGBPImage:
    """Every angle and channel has values of its own, so that a swap or a transpose is seen."""
    values = np.arange(12 * HEIGHT * WIDTH).reshape(4, HEIGHT, WIDTH, 3) * 5 % 253 + number
    i0, i45, i90, i135 = values.astype(np.uint8)
    return ZJURGBPImage(i0=i0, i45=i45, i90=i90, i135=i135, labels=labels)


def world(labels: np.ndarray = LABELS) -> dict[str, dict[str, ZJURGBPImage]]:
    # Written out of order: splits() sorts.
    numbers = {"10_image0": 0, "2_image0": 1, "7_image1": 2}
    return {
        split: {name: picture(numbers[name], labels) for name in reversed(ids)} for split, ids in BOTH.items()
    }


def classes_of(sample: Sample) -> np.ndarray:
    assert isinstance(sample.labels, SemanticMap)
    assert sample.labels.void == (0,)
    return sample.labels.class_map


@pytest.fixture
def authors(tmp_path: Path) -> Path:
    return write_authors(tmp_path / "raw", world())


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_redistributed(tmp_path / "raw", world())


class TestSpec:
    def test_facts(self, authors: Path) -> None:
        spec = ZJURGBPConverter(raw=authors).spec()
        assert (spec.name, spec.has_rgb, spec.url) == ("zju-rgbp", False, URL)
        assert spec.classes == ("building", "glass", "car", "road", "tree", "sky", "pedestrian", "bicycle")
        stream = StreamSpec(channels=3, unit="digital number", valid_range=(0.0, 255.0))
        assert dict(spec.streams) == dict.fromkeys(STREAMS, stream)
        assert "Optics Express" in str(spec.citation)
        assert spec.license == "not stated; research use"

    def test_instances_have_no_class(self, archive: Path) -> None:
        assert ZJURGBPConverter(raw=archive).spec().classes == ("object",)


class TestRead:
    def check(self, converter: ZJURGBPConverter) -> None:
        assert dict(converter.splits()) == BOTH
        for split, images in world().items():
            for name, made in images.items():
                sample = converter.read(split, name)
                assert (sample.image_id, sample.group, sample.rgb) == (name, name, None)
                assert tuple(sample.streams) == STREAMS
                for stream in STREAMS:
                    np.testing.assert_array_equal(sample.streams[stream], getattr(made, stream))
                    assert sample.streams[stream].dtype == np.uint8

    # What programs make of the degree sign: UTF-8 read as Latin-1, as code page 437, as GBK; Info-ZIP's way.
    @pytest.mark.parametrize("degree", ["°", "", "Â°", "┬░", "掳", "º", "�", "#U00b0", "#U00B0", " deg"])
    def test_names(self, tmp_path: Path, degree: str) -> None:
        self.check(ZJURGBPConverter(raw=write_authors(tmp_path, world(), degree=degree)))

    def test_names_may_differ_between_folders(self, authors: Path) -> None:
        for path in (authors / "train/45").iterdir():
            path.rename(path.with_name(path.name.replace("°", "")))
        self.check(ZJURGBPConverter(raw=authors))

    def test_names_with_angles_in_them(self, tmp_path: Path) -> None:
        names = ("a_0", "a_45_90", "a", "a_0_0")
        splits = {"train": {name: picture(k) for k, name in enumerate(names)}, "test": {"b": picture(9)}}
        converter = ZJURGBPConverter(raw=write_authors(tmp_path, splits))
        assert converter.splits()["train"] == tuple(sorted(names))
        for name in names:
            np.testing.assert_array_equal(
                converter.read("train", name).streams["i0"], splits["train"][name].i0
            )

    @pytest.mark.parametrize("folder", ["label", "labels", "gt"])
    def test_folders_of_labels(self, tmp_path: Path, folder: str) -> None:
        converter = ZJURGBPConverter(raw=write_authors(tmp_path, world(), labels=folder))
        np.testing.assert_array_equal(classes_of(converter.read("test", "7_image1")), LABELS)

    @pytest.mark.parametrize("parent", [False, True])
    def test_archive(self, archive: Path, parent: bool) -> None:
        converter = ZJURGBPConverter(raw=archive.parent if parent else archive)
        self.check(converter)
        labels = converter.read("test", "7_image1").labels
        assert isinstance(labels, InstanceMap)
        np.testing.assert_array_equal(labels.instances, LABELS)
        assert labels.class_ids == dict.fromkeys(range(1, 9), 1)

    def test_the_source_calls_it_val(self, authors: Path) -> None:
        assert sorted(path.name for path in authors.iterdir()) == ["train", "val"]
        paths = ZJURGBPConverter(raw=authors).source_files("test", "7_image1")
        names = [f"{angle}/7_image1_{angle}°.png" for angle in (0, 45, 90, 135)]
        assert paths == tuple(authors / "val" / name for name in [*names, "label/7_image1.png"])

    def test_pickling(self, authors: Path) -> None:
        converter = ZJURGBPConverter(raw=authors)
        converter.spec()
        assert converter.options() == {"labels": "auto"}
        assert converter.shared_files() == converter.left_out() == ()
        copy = pickle.loads(pickle.dumps(converter))
        assert copy == converter
        self.check(copy)


class TestLabels:
    def write(self, authors: Path, array: Any) -> ZJURGBPConverter:
        picture = array if isinstance(array, Image.Image) else Image.fromarray(array)
        picture.save(authors / "val/label/7_image1.png")
        return ZJURGBPConverter(raw=authors)

    def test_colours(self, authors: Path) -> None:
        converter = self.write(authors, np.array(VOC, np.uint8)[LABELS])
        np.testing.assert_array_equal(classes_of(converter.read("test", "7_image1")), LABELS)

    def test_colours_with_alpha(self, authors: Path) -> None:
        colours = np.array(VOC, np.uint8)[LABELS]
        opaque = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
        converter = self.write(authors, np.concatenate([colours, opaque], 2))
        np.testing.assert_array_equal(classes_of(converter.read("test", "7_image1")), LABELS)

    def palette(self, indices: np.ndarray, colours: Any) -> Image.Image:
        picture = Image.fromarray(indices.astype(np.uint8))
        picture.putpalette([level for colour in colours for level in colour])
        return picture

    def test_palette(self, authors: Path) -> None:
        converter = self.write(authors, self.palette(LABELS, VOC))
        np.testing.assert_array_equal(classes_of(converter.read("test", "7_image1")), LABELS)

    def test_colours_count_where_a_palette_is_in_another_order(self, authors: Path) -> None:
        converter = self.write(authors, self.palette(8 - LABELS, VOC[::-1]))
        np.testing.assert_array_equal(classes_of(converter.read("test", "7_image1")), LABELS)

    def test_indices_count_where_a_palette_has_other_colours(self, authors: Path) -> None:
        converter = self.write(authors, self.palette(LABELS, [(30 * k, 0, k) for k in range(9)]))
        np.testing.assert_array_equal(classes_of(converter.read("test", "7_image1")), LABELS)

    def test_three_equal_channels(self, authors: Path) -> None:
        converter = self.write(authors, np.repeat(LABELS[..., None], 3, 2).astype(np.uint8))
        np.testing.assert_array_equal(classes_of(converter.read("test", "7_image1")), LABELS)

    def test_unknown_number(self, authors: Path) -> None:
        labels = LABELS.astype(np.uint8)
        labels[4, 6] = 9
        with refused(
            SampleError, "val/label/7_image1.png: value 9 is in no class (1 pixels, first at x=6, y=4"
        ):
            self.write(authors, labels).read("test", "7_image1")

    def test_unknown_colour(self, authors: Path) -> None:
        colours = np.array(VOC, np.uint8)[LABELS]
        colours[4, 6] = (192, 0, 0)
        with refused(SampleError, "7_image1.png: colour [192, 0, 0] is in no class (1 pixels, first at x=6"):
            self.write(authors, colours).read("test", "7_image1")

    def test_coloured_instances(self, archive: Path) -> None:
        Image.fromarray(np.array(VOC, np.uint8)[LABELS]).save(archive / "val/label_sam/7_image1.png")
        with refused(SampleError, "label_sam/7_image1.png: colours, where one number a pixel"):
            ZJURGBPConverter(raw=archive).read("test", "7_image1")

    def test_class_maps_come_first(self, authors: Path) -> None:
        write_authors(authors, world(LABELS * 30), labels="label_sam")
        np.testing.assert_array_equal(
            classes_of(ZJURGBPConverter(raw=authors).read("test", "7_image1")), LABELS
        )
        converter = ZJURGBPConverter(raw=authors, labels="instances")
        labels = converter.read("test", "7_image1").labels
        assert isinstance(labels, InstanceMap)
        np.testing.assert_array_equal(labels.instances, LABELS * 30)
        assert converter.spec().classes == ("object",)
        assert authors / "val/label_sam/7_image1.png" in converter.source_files("test", "7_image1")

    def test_instances_of_sixteen_bits(self, tmp_path: Path) -> None:
        converter = ZJURGBPConverter(raw=write_redistributed(tmp_path, world(LABELS * 1000)))
        labels = converter.read("train", "2_image0").labels
        assert isinstance(labels, InstanceMap)
        np.testing.assert_array_equal(labels.instances, LABELS * 1000)

    def test_of_one_split_only(self, authors: Path) -> None:
        shutil.rmtree(authors / "train/label")
        with refused(InputError, "train/label: not found, but ", "val/label is there", "--labels"):
            ZJURGBPConverter(raw=authors).spec()

    def test_none(self, authors: Path) -> None:
        for folder in ("train", "val"):
            shutil.rmtree(authors / folder / "label")
        with refused(InputError, "no labels: looked for ", "train/label", "val/label_sam"):
            ZJURGBPConverter(raw=authors).spec()

    def test_two_folders(self, authors: Path) -> None:
        (authors / "val/gt").mkdir()
        with refused(InputError, "val/label and ", "val/gt: two folders of label maps"):
            ZJURGBPConverter(raw=authors).spec()

    def test_chosen_but_absent(self, authors: Path, tmp_path: Path) -> None:
        with refused(InputError, "train/label_sam: no such folder; it holds NAME.png"):
            ZJURGBPConverter(raw=authors, labels="instances").spec()
        archive = write_redistributed(tmp_path / "other", world())
        with refused(InputError, "train/label: no such folder; it holds NAME.png"):
            ZJURGBPConverter(raw=archive, labels="classes").spec()

    def test_unknown_choice(self, authors: Path) -> None:
        with refused(InputError, "value of --labels 'class'; did you mean 'classes'? (known: auto, classes"):
            ZJURGBPConverter(raw=authors, labels="class").spec()


class TestBadInput:
    def test_two_sets(self, authors: Path) -> None:
        write_redistributed(authors, world())
        with refused(InputError, "zju-rgbp both hold the set; give the one to read with --raw"):
            ZJURGBPConverter(raw=authors).spec()

    @pytest.mark.parametrize("angle", ["0", "45", "90", "135"])
    def test_missing_and_empty_folder(self, authors: Path, angle: str) -> None:
        shutil.rmtree(authors / "val" / angle)
        part = f"NAME_{angle}°.png or NAME_{angle}.png"
        with refused(InputError, f"val/{angle}: no such folder; it holds {part}"):
            ZJURGBPConverter(raw=authors).spec()
        (authors / "val" / angle).mkdir()
        # A name of another angle is no name of this one.
        (authors / "val" / angle / f"x_1{angle}.png").touch()
        with refused(InputError, f"val/{angle}: holds no {part}"):
            ZJURGBPConverter(raw=authors).spec()

    def test_two_files_for_one_picture(self, authors: Path) -> None:
        path = authors / "val/90/7_image1_90°.png"
        shutil.copy(path, path.with_name("7_image1_90.png"))
        parts = "val/90: '7_image1_90.png' and '7_image1_90°.png' are two files for picture '7_image1'"
        with refused(InputError, parts):
            ZJURGBPConverter(raw=authors).spec()

    def test_a_name_in_both_splits(self, authors: Path) -> None:
        write_authors(authors, {"test": {"2_image0": picture(1)}})
        parts = ("train/0/2_image0_0°.png and ", "val/0/2_image0_0°.png: picture '2_image0' is in two splits")
        with refused(InputError, parts):
            ZJURGBPConverter(raw=authors).spec()

    @pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux only")
    def test_a_name_that_is_no_text(self, authors: Path) -> None:
        path = authors / "val/0/7_image1_0°.png"
        os.rename(path, os.fsencode(path.parent) + b"/7_image1_0\xa1\xe3.png")  # the sign in GBK
        with pytest.raises(InputError, match=r"val/0: file name '7_image1_0\\udca1\\udce3.png' is not UTF-8"):
            ZJURGBPConverter(raw=authors).spec()

    @pytest.mark.parametrize("name", ["0/7_image1_0°.png", "135/7_image1_135°.png", "label/7_image1.png"])
    def test_missing_and_cut_files(self, authors: Path, name: str) -> None:
        path = authors / "val" / name
        check_lost_file(ZJURGBPConverter(raw=authors), path, "test", "7_image1")
        (path.parent / f"other_{path.name}").touch()  # the folder must not be empty
        # The other files know the name, so that the loss is seen.
        lost = path.with_name(path.name.replace("°", ""))
        converter = ZJURGBPConverter(raw=authors)
        assert "7_image1" in converter.splits()["test"]
        with refused(SampleError, f"{lost}: no such file"):
            converter.read("test", "7_image1")
        assert len(converter.source_files("test", "7_image1")) == 4

    @pytest.mark.parametrize(
        ("array", "part"),
        [
            (np.zeros((HEIGHT, WIDTH), np.uint8), "has 1 channel(s), expected three"),
            (np.zeros((HEIGHT, WIDTH, 4), np.uint8), "has 4 channel(s), expected three"),
            (np.zeros((HEIGHT, WIDTH, 3), np.uint16), "uint16 values, expected 8 bits a channel"),
            (np.zeros((WIDTH, HEIGHT, 3), np.uint8), "7 x 5 (height x width), but "),
        ],
    )
    @pytest.mark.parametrize("angle", ["45", "135"])
    def test_wrong_pictures(self, authors: Path, angle: str, array: np.ndarray, part: str) -> None:
        path = authors / "val" / angle / f"7_image1_{angle}°.png"
        assert cv2.imwrite(str(path), array)
        with refused(SampleError, f"{path}: {part}"):
            ZJURGBPConverter(raw=authors).read("test", "7_image1")

    def test_palette_picture(self, authors: Path) -> None:
        path = authors / "val/0/7_image1_0°.png"
        Image.fromarray(picture(2).i0).quantize(16).save(path)
        with refused(SampleError, f"{path}: a palette picture, whose numbers measure nothing"):
            ZJURGBPConverter(raw=authors).read("test", "7_image1")

    @pytest.mark.parametrize("folder", ["label", "label_sam"])
    def test_labels_of_another_size(self, tmp_path: Path, folder: str) -> None:
        raw = write_authors(tmp_path, world(LABELS.T), labels=folder)
        with refused(SampleError, f"{folder}/7_image1.png: 7 x 5 (height x width), but "):
            ZJURGBPConverter(raw=raw).read("test", "7_image1")


class TestConvert:
    def test_classes(self, authors: Path, tmp_path: Path) -> None:
        dataset = check_dataset(ZJURGBPConverter(raw=authors), tmp_path / "out")
        image = dataset.read(dataset.index["test"][0], STREAMS)
        np.testing.assert_array_equal(image.instances, LABELS)  # numbered in row-major order too
        assert [CLASSES[entry["class_id"] - 1] for entry in image.objects] == list(CLASSES)

    def test_instances(self, archive: Path, tmp_path: Path) -> None:
        dataset = check_dataset(ZJURGBPConverter(raw=archive), tmp_path / "out")
        image = dataset.read(dataset.index["test"][0], STREAMS)
        assert [entry["class_id"] for entry in image.objects] == [1] * 8

    def test_keep_going(self, authors: Path, tmp_path: Path) -> None:
        (authors / "train/90/2_image0_90°.png").unlink()
        result = convert(ZJURGBPConverter(raw=authors), tmp_path / "out", keep_going=True)
        assert result.manifest.splits["train"].images == 1
        assert [line.image_id for line in result.dropped if line.kind == "unreadable"] == ["2_image0"]
