from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from raw_folder import check_dataset, check_lost_file
from refusals import refused

from aims.converters.rgbp_glass import RGBPGlassConverter
from aims.core.errors import InputError
from aims.core.schema import InstanceMap, LeftOut, Sample, SampleError, SemanticMap, StreamSpec
from aims.data.write import convert
from aims.synth.layouts.rgbp_glass import RGBPGlassImage, write_authors, write_redistributed

HEIGHT, WIDTH = 6, 8
URL = "https://mhaiyang.github.io/CVPR2022_PGSNet/index.html"
TRAIN = ("20210717001004", "20210717002001")
TEST = ("20210717001002",)
BROKEN = ("20210808013065", "20210811002205")
STREAMS = ("intensity", "aolp", "dolp")
FILES = ("image/{}_rgb.tiff", "aolp/{}_aolp.tiff", "dolp/{}_dolp.tiff")
# Two pieces of glass that touch: one region of the mask, two instances. A third stands apart.
PIECES = np.zeros((HEIGHT, WIDTH), np.int64)
PIECES[0:3, 0:2] = 4
PIECES[0:3, 2:5] = 9
PIECES[5, 6:8] = 300
BOTH = {"train": TRAIN, "test": TEST}


def picture(number: int, dtype: Any = np.float32) -> RGBPGlassImage:
    """No value twice in the nine channels of a picture, so that a swap or a transpose is seen."""
    values = np.arange(9 * HEIGHT * WIDTH).reshape(3, HEIGHT, WIDTH, 3)
    if dtype == np.uint8:
        values = values % 251 + number
    elif dtype == np.uint16:
        values = values * 100 + number
    else:
        values = (values + number / 10) / 500
    intensity, aolp, dolp = values.astype(dtype)
    return RGBPGlassImage(intensity=intensity, aolp=aolp, dolp=dolp, instances=PIECES)


def world(dtype: Any = np.float32) -> dict[str, dict[str, RGBPGlassImage]]:
    numbers = {image_id: k for k, image_id in enumerate((*TRAIN, *TEST))}
    # Written out of order: splits() sorts.
    return {
        split: {image_id: picture(numbers[image_id], dtype) for image_id in reversed(ids)}
        for split, ids in BOTH.items()
    }


def instances_of(sample: Sample) -> np.ndarray:
    assert isinstance(sample.labels, InstanceMap)
    assert set(sample.labels.class_ids.values()) == {1}
    assert set(sample.labels.class_ids) == set(np.unique(sample.labels.instances).tolist()) - {0}
    return sample.labels.instances


def same_pieces(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether two instance maps draw the same pieces, whatever their numbers."""
    pairs = {(int(a), int(b)) for a, b in zip(ours.ravel(), theirs.ravel(), strict=True)}
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) and (0, 0) in pairs


@pytest.fixture
def authors(tmp_path: Path) -> Path:
    return write_authors(tmp_path / "raw", world())


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_redistributed(tmp_path / "raw", world())


class TestSpec:
    def test_facts(self, authors: Path) -> None:
        spec = RGBPGlassConverter(raw=authors).spec()
        assert (spec.name, spec.classes, spec.has_rgb, spec.url) == ("rgbp-glass", ("glass",), False, URL)
        assert "Mei" in str(spec.citation)
        assert dict(spec.streams) == {
            "intensity": StreamSpec(channels=3, unit="fraction of full scale", valid_range=(0.0, 1.0)),
            "aolp": StreamSpec(channels=3, unit="fraction of pi", valid_range=(0.0, 1.0)),
            "dolp": StreamSpec(channels=3, unit="fraction of the intensity", valid_range=(0.0, 1.0)),
        }

    @pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535)])
    def test_whole_numbers_have_their_own_unit(self, tmp_path: Path, dtype: Any, top: int) -> None:
        spec = RGBPGlassConverter(raw=write_authors(tmp_path, world(dtype))).spec()
        assert spec.streams["aolp"] == StreamSpec(channels=3, unit=f"1/{top} of pi", valid_range=(0.0, top))
        assert spec.streams["intensity"].unit == f"1/{top} of full scale"

    def test_a_broken_first_image_does_not_hide_the_others(self, authors: Path) -> None:
        (authors / "train/dolp" / f"{TRAIN[0]}_dolp.tiff").unlink()
        assert RGBPGlassConverter(raw=authors).spec().streams["dolp"].valid_range == (0.0, 1.0)


class TestRead:
    @pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.uint16, np.float64])
    def test_streams_as_stored(self, tmp_path: Path, dtype: Any) -> None:
        converter = RGBPGlassConverter(raw=write_authors(tmp_path, world(dtype)))
        for split, images in world(dtype).items():
            for image_id, made in images.items():
                sample = converter.read(split, image_id)
                assert (sample.image_id, sample.group, sample.rgb) == (image_id, image_id, None)
                for name in STREAMS:
                    np.testing.assert_array_equal(sample.streams[name], getattr(made, name))
                    assert sample.streams[name].dtype == dtype

    def test_suffixes_in_capitals(self, authors: Path) -> None:
        for folder, suffix in (("image", "rgb.tiff"), ("aolp", "aolp.tiff"), ("mask", "mask.png")):
            path = authors / "train" / folder / f"{TRAIN[0]}_{suffix}"
            path.rename(path.with_suffix(path.suffix.upper()))
        sample = RGBPGlassConverter(raw=authors, instances="components").read("train", TRAIN[0])
        np.testing.assert_array_equal(sample.streams["aolp"], world()["train"][TRAIN[0]].aolp)

    def test_authors_channel_order(self, authors: Path) -> None:
        made = world()["train"][TRAIN[0]]
        sample = RGBPGlassConverter(raw=authors, authors_channel_order=True).read("train", TRAIN[0])
        np.testing.assert_array_equal(sample.streams["intensity"], made.intensity)
        for name in ("aolp", "dolp"):
            for channel in range(3):
                np.testing.assert_array_equal(
                    sample.streams[name][..., channel], getattr(made, name)[..., 2 - channel]
                )

    @pytest.mark.parametrize("parent", [False, True])
    def test_both_layouts_agree(self, authors: Path, tmp_path: Path, parent: bool) -> None:
        folder = write_redistributed(tmp_path / "other", world())
        ours = RGBPGlassConverter(raw=folder.parent if parent else folder)
        theirs = RGBPGlassConverter(raw=authors)
        assert dict(ours.splits()) == dict(theirs.splits()) == BOTH
        one, other = ours.read("train", TRAIN[1]), theirs.read("train", TRAIN[1])
        for name in STREAMS:
            np.testing.assert_array_equal(one.streams[name], other.streams[name])
        assert same_pieces(instances_of(one), instances_of(other))

    def test_a_folder_with_the_authors_name(self, authors: Path) -> None:
        authors.rename(authors.parent / "RGBP-Glass")
        assert dict(RGBPGlassConverter(raw=authors.parent).splits()) == BOTH

    def test_broken_recordings_are_listed(self, tmp_path: Path) -> None:
        splits = world()
        splits["train"][BROKEN[0]] = splits["train"][BROKEN[1]] = picture(7)
        for split, images in splits.items():
            write_authors(tmp_path, {split: images})
        converter = RGBPGlassConverter(raw=tmp_path)
        assert dict(converter.splits()) == BOTH
        left_out = converter.left_out()
        assert [(entry.split, entry.image_id) for entry in left_out] == [
            ("train", image_id) for image_id in BROKEN
        ]
        assert all(isinstance(entry, LeftOut) and "broken" in entry.reason for entry in left_out)

    def test_nothing_is_left_out_where_they_are_absent(self, authors: Path) -> None:
        assert RGBPGlassConverter(raw=authors).left_out() == ()

    def test_broken_recording_alone(self, tmp_path: Path) -> None:
        write_authors(tmp_path, {"train": {BROKEN[0]: picture(0)}, "test": {BROKEN[1]: picture(0)}})
        with refused(InputError, "holds no picture but the broken ones"):
            RGBPGlassConverter(raw=tmp_path).spec()

    def test_sources_and_pickling(self, archive: Path) -> None:
        converter = RGBPGlassConverter(raw=archive)
        names = [f"train/{name.format(TRAIN[0])}" for name in FILES]
        names.append(f"train/instance_mask/{TRAIN[0]}_instance_mask.png")
        assert converter.source_files("train", TRAIN[0]) == tuple(archive / name for name in names)
        assert converter.shared_files() == ()
        assert converter.options() == {"instances": "auto", "authors_channel_order": False}
        converter.spec()
        copy = pickle.loads(pickle.dumps(converter))
        assert copy == converter
        np.testing.assert_array_equal(
            copy.read("train", TRAIN[0]).streams["aolp"], converter.read("train", TRAIN[0]).streams["aolp"]
        )


class TestLabels:
    def test_instance_masks_come_first(self, archive: Path) -> None:
        write_authors(archive, world())
        np.testing.assert_array_equal(
            instances_of(RGBPGlassConverter(raw=archive).read("test", TEST[0])), PIECES
        )

    def test_tables_come_before_masks(self, authors: Path) -> None:
        converter = RGBPGlassConverter(raw=authors)
        sample = converter.read("test", TEST[0])
        assert same_pieces(instances_of(sample), PIECES)
        assert sample.dropped == ()
        assert converter.shared_files() == tuple(authors / s / f"instances_{s}.json" for s in BOTH)
        assert len(converter.source_files("test", TEST[0])) == 3

    def test_tables_beside_the_splits(self, authors: Path) -> None:
        for split in BOTH:
            (authors / split / f"instances_{split}.json").rename(authors / f"instances_{split}.json")
        converter = RGBPGlassConverter(raw=authors)
        assert same_pieces(instances_of(converter.read("test", TEST[0])), PIECES)
        shutil.copy(authors / "instances_test.json", authors / "test")
        with refused(InputError, "two tables for the split 'test'; remove one"):
            RGBPGlassConverter(raw=authors).spec()

    def test_masks_come_last(self, tmp_path: Path) -> None:
        raw = write_authors(tmp_path, world(), tables=False)
        for source in ("auto", "components"):
            converter = RGBPGlassConverter(raw=raw, instances=source)
            labels = converter.read("test", TEST[0]).labels
            assert isinstance(labels, SemanticMap)
            np.testing.assert_array_equal(labels.class_map, PIECES > 0)
            assert raw / "test/mask" / f"{TEST[0]}_mask.png" in converter.source_files("test", TEST[0])

    @pytest.mark.parametrize("mode", ["L", "1"])
    def test_masks_of_zeros_and_ones(self, authors: Path, mode: str) -> None:
        array = PIECES > 0 if mode == "1" else (PIECES > 0).astype(np.uint8)
        Image.fromarray(array).save(authors / "test/mask" / f"{TEST[0]}_mask.png")
        labels = RGBPGlassConverter(raw=authors, instances="components").read("test", TEST[0]).labels
        assert isinstance(labels, SemanticMap)
        np.testing.assert_array_equal(labels.class_map, PIECES > 0)

    def test_the_source_can_be_chosen(self, archive: Path, tmp_path: Path) -> None:
        write_authors(archive, world())
        counts = {}
        for source in ("png", "json", "components"):
            result = convert(RGBPGlassConverter(raw=archive, instances=source), tmp_path / source)
            counts[source] = result.manifest.splits["test"].instances
        # Two touching pieces are one component.
        assert counts == {"png": 3, "json": 3, "components": 2}

    def test_unknown_source(self, authors: Path) -> None:
        with refused(InputError, "value of --instances 'coco'", "auto", "components", "png"):
            RGBPGlassConverter(raw=authors, instances="coco").spec()

    @pytest.mark.parametrize("name", ["test/instance_mask", "train/instances_train.json"])
    def test_a_source_of_one_split_only(self, archive: Path, name: str, tmp_path: Path) -> None:
        if name.endswith("json"):
            write_authors(archive, world())
            for split in BOTH:
                shutil.rmtree(archive / split / "instance_mask")
            (archive / name).unlink()
        else:
            shutil.rmtree(archive / name)
        split = name.split("/")[0]
        other = {"train": TEST, "test": TRAIN}[split][0]
        warned: list[str] = []
        made = convert(RGBPGlassConverter(raw=archive), tmp_path / "set", on_warning=warned.append)
        # Two touching pieces are one component.
        images = made.manifest.splits[split]
        assert images.instances == 2 * images.images
        at_other = "train" if split == "test" else "test"
        assert same_pieces(instances_of(RGBPGlassConverter(raw=archive).read(at_other, other)), PIECES)
        told = f"{split} from components"
        assert sum(told in line and "--instances" in line for line in warned) == 1
        assert set(warned) <= set(made.manifest.warnings)
        assert not RGBPGlassConverter(raw=archive, instances="components").warnings()

    def test_chosen_but_absent(self, authors: Path, tmp_path: Path) -> None:
        with refused(InputError, "train/instance_mask: no such folder", "ID_instance_mask."):
            RGBPGlassConverter(raw=authors, instances="png").spec()
        bare = write_authors(tmp_path / "bare", world(), tables=False)
        with refused(InputError, "instances_train.json: no such file", "--instances"):
            RGBPGlassConverter(raw=bare, instances="json").spec()

    @pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"shapes": []}', b"\xff\xfe"])
    def test_a_table_of_another_format(self, authors: Path, content: bytes) -> None:
        (authors / "test/instances_test.json").write_bytes(content)
        with refused(
            InputError,
            "instances_test.json: ",
            "a COCO instances file with one category was expected",
            "--instances",
        ):
            RGBPGlassConverter(raw=authors).spec()

    def edit_table(self, authors: Path, edit: Any) -> RGBPGlassConverter:
        path = authors / "test/instances_test.json"
        table = json.loads(path.read_text())
        edit(table)
        path.write_text(json.dumps(table))
        return RGBPGlassConverter(raw=authors)

    def test_a_table_of_several_classes(self, authors: Path) -> None:
        converter = self.edit_table(
            authors, lambda table: table["categories"].append({"id": 2, "name": "mirror"})
        )
        with refused(InputError, "has the categories glass, mirror", "--instances"):
            converter.spec()

    @pytest.mark.parametrize("name", ["test/image/{}_rgb.tiff", "{}_mask.png", "{}.jpg"])
    def test_names_in_tables(self, authors: Path, name: str) -> None:
        converter = self.edit_table(
            authors, lambda table: table["images"][0].update(file_name=name.format(TEST[0]))
        )
        assert same_pieces(instances_of(converter.read("test", TEST[0])), PIECES)

    def test_a_table_without_the_picture(self, authors: Path) -> None:
        converter = self.edit_table(authors, lambda table: table["images"][0].update(file_name="1.tiff"))
        with refused(SampleError, "instances_test.json: lists no picture", TEST[0], "--instances"):
            converter.read("test", TEST[0])

    def test_a_table_with_a_picture_twice(self, authors: Path) -> None:
        other = {"id": 99, "file_name": f"{TEST[0]}_mask.png", "height": HEIGHT, "width": WIDTH}
        converter = self.edit_table(authors, lambda table: table["images"].append(other))
        with refused(InputError, "_rgb.tiff' and ", "_mask.png' are both picture", TEST[0]):
            converter.spec()

    def test_objects_that_a_map_cannot_hold(self, authors: Path) -> None:
        converter = self.edit_table(authors, lambda table: table["annotations"][0].update(segmentation=[]))
        sample = converter.read("test", TEST[0])
        assert len(sample.dropped) == 1
        np.testing.assert_array_equal(instances_of(sample) > 0, PIECES > 4)

    @pytest.mark.parametrize(
        ("value", "parts"),
        [(7, "value 7 is in no class (1 pixels, first at x=7, y=5)"), (1, "value 1 is in no class")],
    )
    def test_unknown_value_in_a_mask(self, authors: Path, value: int, parts: str) -> None:
        mask = ((PIECES > 0) * 255).astype(np.uint8)
        mask[5, 7] = value
        path = authors / "test/mask" / f"{TEST[0]}_mask.png"
        Image.fromarray(mask).save(path)
        with refused(SampleError, f"{path}: ", parts):
            RGBPGlassConverter(raw=authors, instances="components").read("test", TEST[0])

    @pytest.mark.parametrize("source", ["png", "components"])
    def test_coloured_labels(self, archive: Path, source: str) -> None:
        name = {"png": "instance_mask", "components": "mask"}[source]
        colours = np.arange(HEIGHT * WIDTH * 3, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3)
        Image.fromarray(colours).save(archive / "test" / name / f"{TEST[0]}_{name}.png")
        with refused(SampleError, f"_{name}.png: colours, where one number a pixel"):
            RGBPGlassConverter(raw=archive, instances=source).read("test", TEST[0])


class TestBadInput:
    def test_two_sets(self, authors: Path) -> None:
        write_redistributed(authors, world())
        with refused(InputError, "pgsnet both hold the set; give the one to read with --raw"):
            RGBPGlassConverter(raw=authors).spec()

    def test_missing_split(self, authors: Path) -> None:
        shutil.rmtree(authors / "test")
        with refused(InputError, "test: no such folder; train and test are two downloads"):
            RGBPGlassConverter(raw=authors).spec()

    @pytest.mark.parametrize(("folder", "suffix"), [("image", "rgb"), ("aolp", "aolp"), ("dolp", "dolp")])
    def test_missing_and_empty_folder(self, authors: Path, folder: str, suffix: str) -> None:
        shutil.rmtree(authors / "test" / folder)
        with refused(InputError, f"test/{folder}: no such folder; it holds ID_{suffix}.tiff"):
            RGBPGlassConverter(raw=authors).spec()
        (authors / "test" / folder).mkdir()
        (authors / "test" / folder / f"._1_{suffix}.tiff").touch()
        with refused(InputError, f"test/{folder}: holds no ID_{suffix}.tiff"):
            RGBPGlassConverter(raw=authors).spec()

    def test_a_folder_that_is_a_loop_or_a_file(self, authors: Path) -> None:
        shutil.rmtree(authors / "test/aolp")
        (authors / "test/aolp").symlink_to(authors / "test/aolp")
        with refused(InputError, "test/aolp: not readable as a folder"):
            RGBPGlassConverter(raw=authors).spec()
        (authors / "test/aolp").unlink()
        (authors / "test/aolp").touch()
        with refused(InputError, "test/aolp: not readable as a folder"):
            RGBPGlassConverter(raw=authors).spec()

    @pytest.mark.parametrize("name", [*FILES, "instance_mask/{}_instance_mask.png"])
    def test_missing_and_cut_files(self, archive: Path, name: str) -> None:
        path = archive / "train" / name.format(TRAIN[1])
        converter = RGBPGlassConverter(raw=archive)
        check_lost_file(converter, path, "train", TRAIN[1])
        path.symlink_to(path)
        with refused(SampleError, f"{path}: not readable ("):
            converter.read("train", TRAIN[1])
        path.unlink()
        converter = RGBPGlassConverter(raw=archive)
        # The other files know the name, so that the loss is seen.
        assert TRAIN[1] in converter.splits()["train"]
        with refused(SampleError, f"{path}: no such file"):
            converter.read("train", TRAIN[1])
        assert path not in converter.source_files("train", TRAIN[1])

    def replace(self, authors: Path, name: str, array: np.ndarray) -> Path:
        path = authors / "train" / name.format(TRAIN[1])
        photometric = "rgb" if array.ndim == 3 and array.shape[2] > 2 else "minisblack"
        extra = {"extrasamples": ["unassalpha"]} if array.ndim == 3 and array.shape[2] == 4 else {}
        tifffile.imwrite(path, array, photometric=photometric, **extra)
        return path

    @pytest.mark.parametrize("name", FILES)
    @pytest.mark.parametrize("channels", [1, 4])
    def test_wrong_channels(self, authors: Path, name: str, channels: int) -> None:
        shape = (HEIGHT, WIDTH) if channels == 1 else (HEIGHT, WIDTH, channels)
        path = self.replace(authors, name, np.zeros(shape, np.float32))
        with refused(SampleError, f"{path}: has {channels} channel(s), expected three"):
            RGBPGlassConverter(raw=authors).read("train", TRAIN[1])

    @pytest.mark.parametrize(("dtype", "part"), [(np.uint8, "float32; all images"), (np.int32, "expected")])
    def test_wrong_dtype(self, authors: Path, dtype: Any, part: str) -> None:
        path = self.replace(authors, FILES[1], np.zeros((HEIGHT, WIDTH, 3), dtype))
        with refused(SampleError, f"{path}: {np.dtype(dtype)}", part):
            RGBPGlassConverter(raw=authors).read("train", TRAIN[1])

    @pytest.mark.parametrize("name", [FILES[1], FILES[2]])
    def test_wrong_size(self, authors: Path, name: str) -> None:
        path = self.replace(authors, name, np.zeros((WIDTH, HEIGHT, 3), np.float32))
        with refused(SampleError, f"{path}: 8 x 6 (height x width), but ", "is 6 x 8"):
            RGBPGlassConverter(raw=authors).read("train", TRAIN[1])

    @pytest.mark.parametrize("source", ["png", "json", "components"])
    def test_labels_of_another_size(self, archive: Path, source: str) -> None:
        write_authors(archive, world())
        turned = {TRAIN[1]: dataclasses.replace(picture(1), instances=PIECES.T)}
        write_redistributed(archive.parent, {"train": turned})
        write_authors(archive, {"train": turned})
        for name, array in zip(FILES, (picture(1).intensity, picture(1).aolp, picture(1).dolp), strict=True):
            tifffile.imwrite(archive / "train" / name.format(TRAIN[1]), array, photometric="rgb")
        converter = RGBPGlassConverter(raw=archive, instances=source)
        with refused(SampleError, "train/", ": 8 x 6 (height x width), but ", "is 6 x 8"):
            converter.read("train", TRAIN[1])

    @pytest.mark.parametrize(
        ("scale", "shift", "part"),
        [
            (
                255,
                0,
                "94 % of its values lie outside 0 to 1 (0 to 255)",
            ),  # 15 of 16 steps, 8-bit numbers as floats
            (np.pi, 0, "% of its values lie outside 0 to 1 (0 to 3.14159)"),  # radians
            (np.pi, -np.pi / 2, "% of its values lie outside 0 to 1 (-1.5708 to 1.5708)"),
        ],
    )
    def test_other_units(self, authors: Path, scale: float, shift: float, part: str) -> None:
        ramp = np.tile(np.linspace(0, 1, 16, dtype=np.float32), HEIGHT * WIDTH * 3 // 16)
        path = self.replace(authors, FILES[1], (ramp * scale + shift).astype("f4").reshape(HEIGHT, WIDTH, 3))
        with refused(SampleError, f"{path}: ", part, "expected fractions"):
            RGBPGlassConverter(raw=authors).read("train", TRAIN[1])

    def test_a_few_values_beyond_and_nan_are_kept(self, authors: Path) -> None:
        array = picture(1).dolp.copy()
        array[0, 0] = (1.25, np.nan, -0.5)
        self.replace(authors, FILES[2], array)
        sample = RGBPGlassConverter(raw=authors).read("train", TRAIN[1])
        np.testing.assert_array_equal(sample.streams["dolp"], array)

    def test_a_name_in_both_splits(self, authors: Path) -> None:
        write_authors(authors, {"test": {TRAIN[0]: picture(0)}}, tables=False)
        parts = (f"train/dolp/{TRAIN[0]}_dolp.tiff and ", "test/dolp/", f"'{TRAIN[0]}' is in two splits")
        with refused(InputError, parts):
            RGBPGlassConverter(raw=authors).spec()


class TestConvert:
    @pytest.mark.parametrize("write", [write_authors, write_redistributed])
    def test_becomes_a_dataset(self, tmp_path: Path, write: Any) -> None:
        splits = world()
        splits["train"][BROKEN[0]] = picture(9)
        converter = RGBPGlassConverter(raw=write(tmp_path / "raw", splits))
        dataset = check_dataset(converter, tmp_path / "out")
        assert converter.splits() == BOTH
        for split, refs in dataset.index.items():
            for ref in refs:
                image = dataset.read(ref, STREAMS)
                assert ref.group == ref.image_id
                for name in STREAMS:
                    made = getattr(world()[split][ref.image_id], name)
                    np.testing.assert_array_equal(image.streams[name], made)
                assert same_pieces(image.instances, PIECES)
                assert [entry["class_id"] for entry in image.objects] == [1, 1, 1]

    def test_options_shape_the_result(self, authors: Path, tmp_path: Path) -> None:
        plain = convert(RGBPGlassConverter(raw=authors), tmp_path / "plain")
        turned = convert(RGBPGlassConverter(raw=authors, authors_channel_order=True), tmp_path / "turned")
        assert plain.manifest.fingerprint != turned.manifest.fingerprint
        assert turned.manifest.converter.options["authors_channel_order"] is True

    def test_keep_going(self, authors: Path, tmp_path: Path) -> None:
        (authors / "train" / FILES[0].format(TRAIN[0])).unlink()
        result = convert(RGBPGlassConverter(raw=authors), tmp_path / "out", keep_going=True)
        assert result.manifest.splits["train"].images == 1
        assert [line.image_id for line in result.dropped if line.kind == "unreadable"] == [TRAIN[0]]
