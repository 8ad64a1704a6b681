from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco_mask
from refusals import refused

from aims.converters.coco import CocoConverter
from aims.converters.reading.coco import Annotations, CocoImage, keeps_crowds, read_annotations
from aims.converters.reading.masks import _decompress
from aims.core.errors import InputError
from aims.core.schema import InstanceMap, SampleError, StreamSpec
from aims.data.manifest import Counts
from aims.data.write import convert
from aims.reading import headers

HEIGHT, WIDTH = 6, 8
# x from 1 to 4, y from 1 to 4.
SQUARE = [1, 1, 5, 1, 5, 5, 1, 5]
SIZE = [HEIGHT, WIDTH]
CVAT = {"occluded": False}
CATEGORIES = [{"id": 90, "name": "toothbrush"}, {"id": 3, "name": "car"}]


def image(number: int = 1, name: str = "a.png", **keys: object) -> dict:
    return {"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH, **keys}


def annotation(number: int, segmentation: object, **keys: object) -> dict:
    return {"id": number, "image_id": 1, "category_id": 3, "segmentation": segmentation, "iscrowd": 0, **keys}


def content(*annotations: dict, **keys: object) -> dict:
    return {"images": [image()], "categories": CATEGORIES, "annotations": list(annotations), **keys}


def write(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def draw(path: Path, *annotations: dict) -> tuple[InstanceMap, tuple[str, ...]]:
    file = Annotations(write(path / "x.json", content(*annotations)))
    return file.labels(file.images[0])[:2]


def square() -> np.ndarray:
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[1:5, 1:5] = 1
    return expected


class TestAnnotations:
    def test_classes_go_by_category_id_and_images_by_the_file(self, tmp_path):
        value = content(images=[image(7, "z.png"), image(2, "./b/a.png")])
        file = Annotations(write(tmp_path / "x.json", value | {"info": {"year": 1}}))
        assert file.classes == ("car", "toothbrush")
        assert file.images == (
            CocoImage(id=7, file_name="z.png", height=HEIGHT, width=WIDTH),
            CocoImage(id=2, file_name="b/a.png", height=HEIGHT, width=WIDTH),
        )
        assert file.header == {"info": {"year": 1}}
        assert file.entries[7]["file_name"] == "z.png"

    # Columns first: column 1 starts at pixel 6, and its rows 1 to 4 are pixels 7 to 10; and so on.
    runs = (7, 4, 2, 4, 2, 4, 2, 4, 19)

    @pytest.mark.parametrize(
        "segmentation",
        [
            [SQUARE],
            [[1, 1, 5, 1, 5, 3, 1, 3], [1.0, 3.0, 5.0, 3.0, 5.0, 5.0, 1.0, 5.0]],
            {"size": SIZE, "counts": list(runs)},
            {
                "size": SIZE,
                "counts": coco_mask.encode(np.asfortranarray(square(), np.uint8))["counts"].decode(),
            },
        ],
        ids=["polygon", "two polygons", "counts", "compressed"],
    )
    def test_every_kind_of_segmentation(self, tmp_path, segmentation):
        labels, dropped = draw(tmp_path, annotation(5, segmentation, category_id=90))
        np.testing.assert_array_equal(labels.instances, square())
        assert labels.class_ids == {1: 2}
        assert dropped == ()

    def test_smaller_ones_are_seen_and_of_equal_ones_the_later(self, tmp_path):
        dot = {"size": SIZE, "counts": [8, 1, 39]}  # x = 1, y = 2
        right = {"size": SIZE, "counts": [8 + 18, 1, 21]}  # x = 4, y = 2
        labels, dropped = draw(
            tmp_path, annotation(1, dot), annotation(2, right), annotation(3, [SQUARE]), annotation(4, right)
        )
        expected = square() * 3
        expected[2, 1], expected[2, 4] = 1, 4
        np.testing.assert_array_equal(labels.instances, expected)
        assert labels.class_ids == {1: 1, 3: 1, 4: 1}
        assert dropped == ("annotation 2: wholly covered by other annotations",)

    def test_what_lies_under_others_is_counted(self, tmp_path, raw):
        dot = {"size": SIZE, "counts": [14, 1, 33]}  # x = 2, y = 2
        file = Annotations(write(tmp_path / "x.json", content(annotation(1, [SQUARE]), annotation(2, dot))))
        line = "1 of 2 annotations lie partly or wholly under smaller ones (1 pixels)"
        assert file.labels(file.images[0])[1:] == ((), (line,))
        path = raw / "annotations" / "instances_val2017.json"
        given = json.loads(path.read_text())
        given["annotations"] = [annotation(1, [SQUARE]), annotation(2, dot)]
        write(path, given)
        made = convert(CocoConverter(raw=raw, images="{split}2017"), tmp_path / "out")
        found = [(entry.split, entry.reason) for entry in made.dropped if entry.kind == "overlap"]
        assert found == [("val", line)]

    def test_what_is_no_mask_is_listed(self, tmp_path):
        box = annotation(4, None, bbox=[1, 1, 4, 4])
        bare = {key: value for key, value in box.items() if key != "segmentation"} | {"id": 5}
        labels, dropped = draw(
            tmp_path,
            annotation(3, [SQUARE], iscrowd=1),
            box,
            bare,
            annotation(6, []),
            annotation(7, {"size": SIZE, "counts": [48]}),
            annotation(8, [[-7, -5, -6, -5, -6, -4]]),
            annotation(9, [[0.1, 0.1, 0.95, 0.1, 0.95, 1]]),
        )
        assert not labels.instances.any()
        assert labels.class_ids == {}
        assert dropped == (
            "annotation 3: a crowd region (iscrowd 1), not one object",
            "annotation 4: no segmentation (a box is no mask)",
            "annotation 5: no segmentation (a box is no mask)",
            "annotation 6: no segmentation (a box is no mask)",
            "annotation 7: covers no pixel",
            "annotation 8: covers no pixel",
            "annotation 9: polygon [0.1, 0.1, 0.95, 0.1, 0.95, 1] lies within the first pixel; if its "
            "numbers are parts of the sides, multiply them by width and height",
        )

    @pytest.mark.parametrize(
        ("value", "parts"),
        [
            ([], "no COCO instances file"),
            ({"images": [], "annotations": []}, ["no COCO instances file", "'categories'"]),
            (content(categories=[]), "'categories' is empty"),
            (content(categories=[{"id": 1}]), ["category 1", "needs 'name'"]),
            (content(categories=[{"id": 1, "name": 4}]), ["category 1", "'name' is 4"]),
            (content(categories=[{"id": 1, "name": "a"}] * 2), "category id 1 stands twice"),
            (
                content(categories=[{"id": k, "name": "a"} for k in (1, 4)]),
                ["'a' stands twice", "ids 1 and 4"],
            ),
            (content(images=[4]), "images[0] is 4"),
            (content(images=[{"id": 1}]), ["image 1", "needs 'file_name'"]),
            (content(images=[image("1")]), ["images[0]", "'id' is '1'"]),
            (content(images=[image(), image(1, "b")]), "image id 1 stands twice"),
            (content(images=[image(), image(2)]), ["file_name 'a.png' stands twice", "ids 1 and 2"]),
            (content(images=[image(name="a/..")]), ["image 1", "'a/..' names no file"]),
            (content(images=[image(name="C:\\")]), ["image 1", "names no file"]),
            (content(images=[image(name="//")]), ["image 1", "'//' names no file"]),
            (content(images=[image(name="a\0.png")]), ["image 1", "null character"]),
            (content(images=[image(name="")]), ["image 1", "'file_name' is empty"]),
            (content(images=[image(height=0)]), ["image 1", "0 x 8"]),
            (content(images=[image(height=1e9)]), ["image 1", "'height' is 1000000000.0"]),
            (content(images=[image(width=2**40)]), ["image 1", f"6 x {2**40}"]),
            (content(images=[image(width=True)]), ["image 1", "'width' is True"]),
            (content("x"), "annotations[0] is 'x'"),
            (content({"image_id": 1}), ["annotations[0]", "needs 'id'"]),
            (content({"image_id": 1, "segments_info": []}), "panoptic annotations ('segments_info'), whose"),
            (content(annotation(5, [SQUARE]), annotation(5, [SQUARE])), "annotation id 5 stands twice"),
            (content(annotation(5, [SQUARE], image_id=9)), ["annotation 5", "image_id 9"]),
            (content(annotation(5, [SQUARE], category_id=9)), ["annotation 5", "category_id 9"]),
            (content(annotation(5, [SQUARE], category_id=[3])), ["annotation 5", "'category_id' is [3]"]),
            (content(annotation(5, [SQUARE], iscrowd="0")), ["annotation 5", "'iscrowd' is '0'"]),
        ],
    )
    def test_faults_of_the_file(self, tmp_path, value, parts):
        path = write(tmp_path / "x.json", value)
        with refused(InputError, path, parts) as error:
            Annotations(path)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        "text",
        [b"", b'{"a"', b"\xff\xfe", b"[" * 200_000, b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": "\\ud800"}'],
        ids=["empty", "cut", "no text", "deep", "not a number", "infinite", "half a pair"],
    )
    def test_files_that_are_no_json(self, tmp_path, text):
        path = tmp_path / "x.json"
        path.write_bytes(text)
        with refused(InputError, f"{path}: not readable as JSON"):
            Annotations(path)

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (b'\xef\xbb\xbf{"a": [1.5, NaN]}', "NaN at byte 12 is no number in JSON; write null"),
            (b'{"a": -Infinity}', "Infinity at byte 7 is no number in JSON; write null"),
            ('{"a": "b"}'.encode("utf-16"), "byte 0 is not UTF-8; save it in UTF-8"),
            ('{"a": "\u73bb"}'.encode("gbk"), "byte 7 is not UTF-8; save it in UTF-8"),
            (b'{"a": Nan}', "invalid character (byte 6)"),
        ],
    )
    def test_why_a_file_is_no_json(self, tmp_path, text, reason):
        (tmp_path / "x.json").write_bytes(text)
        with refused(InputError, "x.json: not readable as JSON (", f"{reason})"):
            Annotations(tmp_path / "x.json")

    def test_missing_file(self, tmp_path):
        with refused(InputError, "none.json: no such file"):
            read_annotations(tmp_path / "none.json")

    @pytest.mark.parametrize(
        ("segmentation", "parts"),
        [
            ("abc", "segmentation is 'abc'"),
            (5, "segmentation is 5"),
            ({"size": SIZE}, "must be a list of polygons, or an RLE"),
            ([1, 1, 5, 1, 5, 5], ["polygon 1"]),
            ([[1, 1, 4, 4]], ["polygon [1, 1, 4, 4]", "three x, y pairs"]),
            ([SQUARE, [1, 1, 5, 1, 5, 5, 1]], "polygon [1, 1, 5, 1, 5, 5, 1]"),
            ([[1, 1, 5, 1, 5, None]], "polygon coordinate None"),
            ([[1, 1, 5, 1, 5, True]], "polygon coordinate True"),
            ([[1, 1, 5, 1, 10**400, 5]], "far outside the image (6 x 8"),
            ([[1, 1, 5, 1, 5, 2e9]], "polygon coordinate 2000000000.0 lies far outside"),
            ({"size": [8, 6], "counts": [48]}, ["size [8, 6]", "[6, 8] (height, width)"]),
            ({"size": "6x8", "counts": [48]}, ["size '6x8'"]),
            ({"size": SIZE, "counts": [7, 4, 2]}, "do not add up to the image's 48 pixels"),
            ({"size": SIZE, "counts": [40, -4, 12]}, "do not add up"),
            ({"size": SIZE, "counts": [2**64, 48 - 2**64]}, "do not add up"),
            ({"size": SIZE, "counts": []}, "do not add up"),
            ({"size": SIZE, "counts": [48.0]}, "RLE counts are [48.0]"),
            ({"size": SIZE, "counts": {}}, "RLE counts are {}"),
            ({"size": SIZE, "counts": ""}, "no whole compressed RLE"),
            ({"size": SIZE, "counts": "7é"}, "no whole compressed RLE"),
            ({"size": SIZE, "counts": "7 4"}, "no whole compressed RLE"),
            ({"size": SIZE, "counts": "\0"}, "no whole compressed RLE"),
            # "P" says that the number goes on, and nothing follows: pycocotools would read on.
            ({"size": SIZE, "counts": "7P"}, "no whole compressed RLE"),
            ({"size": SIZE, "counts": "PPPPPPPPP0"}, "beyond 30 bits"),
            ({"size": SIZE, "counts": "74"}, "do not add up"),
        ],
    )
    def test_an_object_with_a_fault_is_dropped_alone(self, tmp_path, segmentation, parts):
        labels, dropped = draw(tmp_path, annotation(6, segmentation), annotation(5, [SQUARE]))
        np.testing.assert_array_equal(labels.instances, square() * 2)
        assert labels.class_ids == {2: 1}
        assert len(dropped) == 1
        assert dropped[0].startswith("annotation 6: ")
        assert len(dropped[0]) < 250
        for part in [parts] if isinstance(parts, str) else parts:
            assert part in dropped[0]

    @pytest.mark.parametrize("crumb", [[], [1, 1], [0, 0, 7, 5]])
    def test_parts_without_area_add_nothing(self, tmp_path, crumb):
        labels, dropped = draw(tmp_path, annotation(5, [crumb, SQUARE]))
        np.testing.assert_array_equal(labels.instances, square())
        assert dropped == ()

    @pytest.mark.parametrize(
        ("name", "file_name", "moved"),
        [
            ("b\\a.png", "b/a.png", False),
            (".\\a.png", "a.png", False),
            ("/home/me/a.png", "home/me/a.png", True),
            ("//home/a.png", "home/a.png", True),
            ("C:\\me\\a.png", "me/a.png", True),
            ("d:/me/a.png", "me/a.png", True),
            ("\\\\host\\share\\me\\a.png", "me/a.png", True),
            ("../../b/a.png", "b/a.png", True),
            ("b/../../a.png", "a.png", True),
            ("https://example.org/b/a.png", "https:/example.org/b/a.png", True),
        ],
    )
    def test_file_names_of_other_machines(self, tmp_path, name, file_name, moved):
        entry = Annotations(write(tmp_path / "x.json", content(images=[image(1, name)]))).images[0]
        assert (entry.file_name, entry.moved) == (file_name, moved)

    def test_a_byte_order_mark(self, tmp_path):
        path = tmp_path / "x.json"
        path.write_text(json.dumps(content(annotation(1, [SQUARE]))), encoding="utf-8-sig")
        assert Annotations(path).classes == ("car", "toothbrush")

    def test_a_group_of_categories_is_no_second_one(self, tmp_path):
        group = {"id": 0, "name": "car", "supercategory": "none"}
        cars = [group, {"id": 3, "name": "car", "supercategory": "car"}]
        file = Annotations(write(tmp_path / "x.json", content(annotation(1, [SQUARE]), categories=cars)))
        assert file.classes == ("car",)
        assert file.labels(file.images[0])[0].class_ids == {1: 1}
        used = content(annotation(1, [SQUARE], category_id=0), categories=cars)
        with refused(InputError, "category name 'car' stands twice"):
            Annotations(write(tmp_path / "y.json", used))

    @pytest.mark.parametrize(
        ("annotations", "kept"),
        [
            ([], False),
            ([annotation(1, [SQUARE])], False),
            ([annotation(1, [SQUARE], iscrowd=1)], True),
            ([annotation(1, [SQUARE], iscrowd=1), annotation(2, [SQUARE])], False),
            (
                [annotation(1, [SQUARE], iscrowd=1, attributes=CVAT), annotation(2, [SQUARE])],
                True,
            ),
            (
                [annotation(1, [SQUARE], iscrowd=1), annotation(2, [SQUARE], attributes=CVAT)],
                False,
            ),
        ],
    )
    def test_crowds_of_cvat_are_objects(self, tmp_path, annotations, kept):
        file = Annotations(write(tmp_path / "x.json", content(*annotations)))
        assert keeps_crowds([file]) is kept
        if annotations:
            labels, dropped, _ = file.labels(file.images[0], crowds=kept)
            assert ("crowd region" in " ".join(dropped)) is (not kept and "'iscrowd': 1" in str(annotations))
            assert labels.instances.any()

    @given(arrays.arrays(np.uint8, st.tuples(*[st.integers(1, 14)] * 2), elements=st.integers(0, 1)))
    def test_run_lengths_are_those_of_pycocotools(self, mask):
        counts = coco_mask.encode(np.asfortranarray(mask))["counts"].decode()
        # By hand: the lengths of the runs in the columns one after the other, nothing first.
        flat = np.concatenate(([0], mask.ravel(order="F")))
        ends = np.append(np.flatnonzero(np.diff(flat)), mask.size)
        assert _decompress(counts) == np.diff(ends, prepend=0).tolist()

    def test_run_lengths_of_a_large_picture(self):
        mask = np.zeros((9000, 9000), np.uint8, order="F")
        mask[5000:, 7000], mask[0, -1] = 1, 1
        counts = coco_mask.encode(mask)["counts"].decode()
        assert _decompress(counts) == [63_005_000, 4000, 17_982_000, 1, 8999]


def picture(number: int) -> np.ndarray:
    """No value twice in the whole picture."""
    plane = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    return np.stack([plane, plane + 50, plane + 100], axis=-1).astype(np.uint8) + np.uint8(number)


def encode(array: np.ndarray, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, np.ascontiguousarray(array[..., ::-1]))[1].tobytes()


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A set as COCO has it: instances, captions beside them, pictures in one folder a split."""
    root = tmp_path / "raw"
    for split, number in (("train", 1), ("val", 2)):
        (root / f"{split}2017").mkdir(parents=True)
        (root / f"{split}2017" / "a.png").write_bytes(encode(picture(number)))
        value = content(annotation(4, [SQUARE]), annotation(5, None)) | {
            "licenses": [{"id": 1, "name": "CC BY 4.0"}, {"id": 2, "name": "CC0"}],
            "info": {"url": "https://example.org"},
        }
        write(root / "annotations" / f"instances_{split}2017.json", value)
        write(root / "annotations" / f"captions_{split}2017.json", {"images": [], "annotations": []})
    return root


class TestConverter:
    def test_coco_as_rgb(self, raw):
        converter = CocoConverter(raw=raw, images="{split}2017")
        spec = converter.spec()
        assert (spec.name, spec.classes, dict(spec.streams)) == ("coco", ("car", "toothbrush"), {})
        assert (spec.license, spec.url, spec.has_rgb) == ("CC BY 4.0; CC0", "https://example.org", True)
        assert converter.splits() == {"train": ("train2017/a",), "val": ("val2017/a",)}
        sample = converter.read("val", "val2017/a")
        assert sample.rgb == (raw / "val2017" / "a.png").read_bytes()
        assert sample.group == sample.image_id == "val2017/a"
        np.testing.assert_array_equal(sample.labels.instances, square())
        assert sample.dropped == ("annotation 5: no segmentation (a box is no mask)",)
        assert converter.source_files("val", "val2017/a") == (raw / "val2017" / "a.png",)
        assert [path.name for path in converter.shared_files()] == [
            "instances_train2017.json",
            "instances_val2017.json",
        ]
        assert pickle.loads(pickle.dumps(converter)).spec() == spec

    def test_a_stream_keeps_its_numbers(self, raw):
        deep = picture(1).astype(np.uint16) * 257
        (raw / "train2017" / "a.png").write_bytes(encode(deep))
        (raw / "val2017" / "a.png").write_bytes(encode(deep + 1))
        converter = CocoConverter(raw=raw, images="{split}2017", stream="nir", unit="count", dataset="mine")
        spec = converter.spec()
        assert spec.streams == {"nir": StreamSpec(channels=3, unit="count", valid_range=(0.0, 65535.0))}
        assert (spec.name, spec.has_rgb) == ("mine", False)
        np.testing.assert_array_equal(converter.read("val", "val2017/a").streams["nir"], deep + 1)
        with refused(SampleError, "train2017/a.png", "more than the 8 bits", "--stream"):
            CocoConverter(raw=raw, images="{split}2017").spec()

    def test_pictures_of_a_stream_must_be_alike(self, raw):
        for other in (picture(2).astype(np.uint16), picture(2)[..., :1]):
            (raw / "val2017" / "a.png").write_bytes(encode(other))
            converter = CocoConverter(raw=raw, images="{split}2017", stream="nir")
            with refused(SampleError, "val2017/a.png: channels, dtype", "3 and uint8 in", "train"):
                converter.read("val", "val2017/a")

    def test_pictures_that_no_file_lists(self, raw):
        (counted,) = CocoConverter(raw=raw).inventory()
        assert (counted.used, counted.warnings()) == (counted.found, [])
        folder = next(path.parent for path in sorted(raw.rglob("*.png")))
        for name in ("new.PNG", "._new.png", "notes.txt"):
            (folder / name).touch()
        first = min(folder.glob("[!n.]*.png"))
        first.unlink()
        (counted,) = CocoConverter(raw=raw).inventory()
        unused, missing = ((folder / "new.PNG").relative_to(raw), first.relative_to(raw))
        assert (counted.unused, counted.examples) == ((str(unused),), (str(missing),))
        assert len(counted.warnings()) == 2
        assert (counted.hidden, counted.nearest) == (1, (str((folder / "notes.txt").relative_to(raw)),))

    def test_headers_before_unpacking(self, raw, monkeypatch):
        path = raw / "val2017" / "a.png"
        path.write_bytes(encode(np.zeros((300, 500), np.uint8))[:-40])
        monkeypatch.setattr(headers, "_LARGE_BYTES", 1000)
        converter = CocoConverter(raw=raw, images="{split}2017")
        size = f"instances_val2017.json: image 1 is {HEIGHT} x {WIDTH}; all files"
        with refused(SampleError, f"{path}: announces 300 x 500 (", size):
            converter.read("val", "val2017/a")
        (raw / "train2017" / "a.png").write_bytes(path.read_bytes())
        with refused(SampleError, "announces 300 x 500 (", "its entry in the JSON file is"):
            CocoConverter(raw=raw, images="{split}2017", stream="nir").spec()

    def test_conversion_lists_what_was_dropped(self, raw, tmp_path):
        result = convert(CocoConverter(raw=raw, images="{split}2017"), tmp_path / "out")
        assert result.manifest.splits["val"] == Counts(images=1, instances=1)
        reasons = {line.reason for line in result.dropped}
        assert reasons == {"annotation 5: no segmentation (a box is no mask)"}

    @pytest.mark.parametrize(
        ("stem", "split"),
        [
            ("instances_train2017", "train"),
            ("_annotations.coco", "train"),
            ("instances_default", "train"),
            ("Test Set-A", "test_set_a"),
            ("val", "val"),
            ("fold3", "fold3"),
        ],
    )
    def test_names_of_splits(self, tmp_path, stem, split):
        (tmp_path / "a.png").write_bytes(encode(picture(1)))
        write(tmp_path / f"{stem}.json", content(annotation(1, [SQUARE])))
        assert dict(CocoConverter(raw=tmp_path).splits()) == {split: ("a",)}

    def test_split_names_that_do_not_do(self, raw):
        write(raw / "annotations" / "instances_train2014.json", content())
        with refused(InputError, "train2017.json", "is split 'train'", "train2014.json"):
            CocoConverter(raw=raw).splits()
        for path in (raw / "annotations").iterdir():
            path.unlink()
        write(raw / "2017.json", content())
        with refused(InputError, "2017.json", "no name of a split"):
            CocoConverter(raw=raw).splits()

    def test_faults_of_the_folder(self, raw, tmp_path):
        with refused(InputError, "none: no such folder", "--raw"):
            CocoConverter(raw=tmp_path / "none").spec()
        (tmp_path / "empty").mkdir()
        with refused(InputError, "empty: no JSON file", "--raw"):
            CocoConverter(raw=tmp_path / "empty").spec()
        with refused(InputError, "raw/pictures/a.png: no such file", "--images"):
            CocoConverter(raw=raw, images="pictures").spec()
        with refused(InputError, "--images", "'../raw' leaves its folder"):
            CocoConverter(raw=raw, images="../raw").spec()

    def test_categories_must_agree(self, raw):
        write(raw / "annotations" / "instances_val2017.json", content(categories=CATEGORIES[:1]))
        with refused(InputError, "val2017.json", "categories", "train2017.json"):
            CocoConverter(raw=raw, images="{split}2017").spec()

    def test_two_pictures_of_one_name(self, tmp_path):
        write(tmp_path / "train.json", content(images=[image(1, "a.png"), image(2, "a.jpg")]))
        with refused(InputError, "train.json", "two images are called 'a'"):
            CocoConverter(raw=tmp_path).splits()

    def test_no_image_at_all(self, tmp_path):
        write(tmp_path / "train.json", content(images=[]))
        with refused(InputError, "train.json", "'images' is empty"):
            CocoConverter(raw=tmp_path).spec()

    @pytest.mark.parametrize(
        ("damage", "parts"),
        [
            (lambda path: path.write_bytes(path.read_bytes()[:-20]), "a.png: not a whole PNG"),
            (lambda path: path.write_bytes(b""), "a.png: empty"),
            (lambda path: path.unlink(), "a.png: no such file"),
            (
                lambda path: path.write_bytes(encode(picture(1)[:, :5])),
                ["a.png: 6 x 5", "instances_val2017.json: image 1 is 6 x 8"],
            ),
            (lambda path: (path.unlink(), os.symlink(path, path)), ["a.png"]),
        ],
        ids=["truncated", "empty", "missing", "size", "loop"],
    )
    def test_faults_of_a_picture(self, raw, damage, parts):
        damage(raw / "val2017" / "a.png")
        for more in ({}, {"stream": "nir"}):
            converter = CocoConverter(raw=raw, images="{split}2017", **more)
            assert converter.spec()
            with refused(SampleError, "val2017", parts):
                converter.read("val", "val2017/a")
            assert converter.source_files("val", "val2017/a") in ((), (raw / "val2017" / "a.png",))

    def test_a_file_is_read_once_in_a_process_until_it_changes(self, raw):
        converter = CocoConverter(raw=raw, images="{split}2017")
        again = pickle.loads(pickle.dumps(converter))
        assert again._files[0] is converter._files[0]
        assert again._entries is converter._entries
        write(raw / "annotations" / "instances_val2017.json", content(images=[image(1, "b.png")]))
        assert pickle.loads(pickle.dumps(converter)).splits()["val"] == ("val2017/b",)
        assert converter.splits()["val"] == ("val2017/a",)

    def test_worker_processes_give_the_same_set(self, raw, tmp_path):
        converter = CocoConverter(raw=raw, images="{split}2017")
        one, two = (convert(converter, tmp_path / str(jobs), jobs=jobs).manifest for jobs in (1, 2))
        assert one == two

    def test_the_first_fault_is_told_where_nothing_can_be_read(self, raw):
        for split in ("train", "val"):
            (raw / f"{split}2017" / "a.png").write_bytes(b"no picture")
        with refused(SampleError, "train2017/a.png: not a"):
            CocoConverter(raw=raw, images="{split}2017").spec()
