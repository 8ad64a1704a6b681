"""COCO's JSON as labels of the folder converter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raw_folder import HEIGHT, WIDTH, Make
from refusals import refused

from aims.converters.folder import FolderConverter
from aims.core.errors import InputError
from aims.core.schema import InstanceMap, Sample, SampleError

LABELS = 'files = "labels/{id}.png"\nkind = "semantic"\nvalues = { weed = 1, crop = 2 }'
COCO = 'files = "annotations/{split}.json"\nkind = "coco"'
# In x, y: the pixels of columns 1 and 2 in rows 0 to 2, and one pixel of them.
WEED, SPOT = [1, 0, 3, 0, 3, 3, 1, 3], [1, 1, 2, 1, 2, 2, 1, 2]


def image(number: int, file_name: str) -> dict[str, Any]:
    return {"id": number, "file_name": file_name, "height": HEIGHT, "width": WIDTH}


def annotation(number: int, image_id: int, category: int, polygon: list[int]) -> dict[str, Any]:
    return {"id": number, "image_id": image_id, "category_id": category, "segmentation": [polygon]}


def content(*names: str) -> dict[str, Any]:
    """The first image has a crop of two columns, with a spot of weed; each other one a spot of weed."""
    images = [image(10 * k, name) for k, name in enumerate(names, start=1)]
    spots = [annotation(k, entry["id"], 9, SPOT) for k, entry in enumerate(images, start=1)]
    return {
        "images": images,
        "annotations": [*spots, annotation(70, 10, 4, WEED)] if images else [],
        "categories": [{"id": 4, "name": "crop"}, {"id": 9, "name": "weed"}],
    }


@pytest.fixture
def coco(make: Make, raw: Path) -> Make:
    """Writes the annotations of the split `train`, and makes a converter."""

    def build(value: dict[str, Any], *edits: tuple[str, str]) -> FolderConverter:
        (raw / "annotations").mkdir(exist_ok=True)
        (raw / "annotations" / "train.json").write_text(json.dumps(value))
        return make((LABELS, COCO), ('\ntest = ["c"]', ""), *edits)

    return build


def classes(sample: Sample) -> np.ndarray:
    """The class of every pixel."""
    assert isinstance(sample.labels, InstanceMap)
    ids = np.zeros(int(sample.labels.instances.max()) + 1, int)
    for number, class_id in sample.labels.class_ids.items():
        ids[number] = class_id
    return ids[sample.labels.instances]


def test_classes_have_the_order_of_the_description(coco: Make) -> None:
    converter = coco(content("a.png", "b.png"))
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[:3, 1:3] = 2
    expected[1, 1] = 1
    np.testing.assert_array_equal(classes(converter.read("train", "a")), expected)
    np.testing.assert_array_equal(classes(converter.read("train", "b")), expected == 1)
    assert converter.spec().classes == ("weed", "crop")


def test_files(coco: Make, raw: Path) -> None:
    converter = coco(content("a.png", "b.png"))
    assert converter.source_files("train", "a") == (raw / "nir/a.png",)
    assert converter.shared_files() == (raw / "field.toml", raw / "annotations/train.json")


def test_one_file_for_all_splits(coco: Make, raw: Path) -> None:
    converter = coco(
        content("c.png", "a.png", "b.png"),
        ("{split}.json", "train.json"),
        ("train = ", 'test = ["c"]\ntrain = '),
    )
    assert classes(converter.read("test", "c")).max() == 2
    assert converter.shared_files() == (raw / "field.toml", raw / "annotations/train.json")


def test_annotations_that_no_map_holds(coco: Make) -> None:
    value = content("a.png", "b.png")
    value["annotations"] += [{**annotation(5, 10, 9, SPOT), "iscrowd": 1}, annotation(6, 10, 4, SPOT)]
    sample = coco(value).read("train", "a")
    assert sample.dropped == (
        "annotation 1: wholly covered by other annotations",
        "annotation 5: a crowd region (iscrowd 1), not one object",
    )
    assert classes(sample).max() == 2
    assert not (classes(sample) == 1).any()


def test_crowds(coco: Make) -> None:
    value = content("a.png", "b.png")
    value["annotations"][1] |= {"iscrowd": 1}
    converter = coco(value)
    assert not classes(converter.read("train", "b")).any()
    assert converter.warnings() == (
        'crowd regions (iscrowd 1): 1 left out; crowd = "keep" in [labels] decides otherwise',
    )
    keep = ('kind = "coco"', 'kind = "coco"\ncrowd = "keep"')
    assert (classes(coco(value, keep).read("train", "b")) == 1).sum() == 1
    value["annotations"][1] |= {"attributes": {"occluded": True}}
    assert (classes(coco(value).read("train", "b")) == 1).sum() == 1
    assert coco(value, keep).warnings() == ()
    drop = ('kind = "coco"', 'kind = "coco"\ncrowd = "drop"')
    assert not classes(coco(value, drop).read("train", "b")).any()


class TestEntries:
    @pytest.mark.parametrize(
        "name",
        [
            "a",
            "a.png",
            "a.tif",
            "x/a.png",
            "x/y/a.jpg",
            "nir/a.png",
            "raw/nir/a.png",
            "/nir/a.png",
            "D:\\x\\a.png",
        ],
    )
    def test_by_id(self, coco: Make, name: str) -> None:
        assert classes(coco(content(name, "b.png")).read("train", "a")).max() == 2

    @pytest.mark.parametrize("name", ["a_nir.png", "nir/a_nir.png", "set/nir/a_nir.png"])
    def test_by_file(self, coco: Make, raw: Path, name: str) -> None:
        for letter in "ab":
            (raw / "nir" / f"{letter}.png").rename(raw / "nir" / f"{letter}_nir.png")
        converter = coco(content(name, "b.png"), ("nir/{id}.png", "nir/{id}_nir.png"))
        assert classes(converter.read("train", "a")).max() == 2

    def test_the_whole_path_comes_first(self, coco: Make) -> None:
        assert classes(coco(content("a.png", "x/a.png", "b.png")).read("train", "a")).max() == 2
        assert classes(coco(content("nir/a.png", "x/a.png", "b.png")).read("train", "a")).max() == 2

    def test_an_entry_of_another_image_is_not_taken(self, coco: Make, raw: Path) -> None:
        for folder in ("nir", "labels"):
            (raw / folder / "x").mkdir()
            (raw / folder / "x" / "a.png").write_bytes((raw / folder / "b.png").read_bytes())
        ids = ('["b", "a"]', '["x/a", "a"]')
        converter = coco(content("set/x/a.png", "set/a.png"), ids)
        assert classes(converter.read("train", "x/a")).max() == 2
        assert classes(converter.read("train", "a")).max() == 1
        with refused(SampleError, "annotations/train.json: image 'a' is not in it: no 'file"):
            coco(content("set/x/a.png"), ids).read("train", "a")

    @pytest.mark.parametrize("names", [("x/a.png", "y/a.png"), ("a.png", "a.jpg"), ("x/a", "y/a.tif")])
    def test_two_fit(self, coco: Make, names: tuple[str, str]) -> None:
        with refused(
            SampleError,
            f"annotations/train.json: {names[0]!r} and {names[1]!r} both fit image 'a'; rename one",
        ):
            coco(content(*names)).read("train", "a")

    @pytest.mark.parametrize("name", ["aa.png", "a/x.png", "x_a.png", "b.png"])
    def test_none_fits(self, coco: Make, name: str) -> None:
        parts = (
            "train.json: image 'a' is not in it: no 'file_name' is 'a' with a suffix, or one of nir/a.png;"
        )
        with refused(SampleError, parts):
            coco(content(name)).read("train", "a")


class TestRefused:
    def test_other_categories(self, coco: Make) -> None:
        value = content("a.png")
        value["categories"][0]["name"] = "Crop"
        parts = (
            "annotations/train.json: its categories are not the classes of ",
            "field.toml: only the file has ['Crop'], only 'classes' has ['crop']; make them the same",
        )
        with refused(InputError, parts):
            coco(value).spec()

    def test_more_categories(self, coco: Make) -> None:
        value = content("a.png")
        value["categories"].append({"id": 1, "name": "soil"})
        parts = "only the file has ['soil'], only 'classes' has none; make them the same"
        with refused(InputError, parts):
            coco(value).spec()

    def test_missing_file(self, coco: Make, raw: Path) -> None:
        converter = coco(content("a.png"))
        (raw / "annotations" / "train.json").unlink()
        parts = (
            "annotations/train.json: no such file; split 'train' needs one JSON file (",
            "[labels] files)",
        )
        with refused(InputError, parts):
            converter.spec()

    def test_two_files(self, coco: Make, raw: Path) -> None:
        converter = coco(content("a.png"), ("{split}.json", "{split}*.json"))
        (raw / "annotations" / "train_old.json").write_text("{}")
        parts = ("train.json and ", "train_old.json; split 'train' needs one JSON file (")
        with refused(InputError, parts):
            converter.spec()

    def test_other_size(self, coco: Make) -> None:
        value = content("a.png", "b.png")
        value["images"][0] |= {"height": WIDTH, "width": HEIGHT}
        parts = ("train.json (a.png): 7 x 5 (height x width), but ", "nir/a.png is 5 x 7; all files of one")
        with refused(SampleError, parts):
            coco(value).read("train", "a")

    @pytest.mark.parametrize(
        ("old", "new", "parts"),
        [
            ("{split}.json", "{id}.json", "'annotations/{id}.json' has an {id}, but one JSON file describes"),
            ("{split}.json", "{split}.png", "[labels] files: suffix '.png' is not read here; use .json"),
            ('kind = "coco"', 'kind = "coco"\ncrowd = 1', '\'crowd\' is 1; it must be "keep" or "drop"'),
            ('kind = "coco"', 'kind = "coco"\nvoid = 1', "'void' does not go with kind = \"coco\"; leave it"),
            ('kind = "coco"', 'kind = "coco"\nvariable = "x"', "'variable' does not go with kind = \"coco\""),
        ],
    )
    def test_description(self, coco: Make, old: str, new: str, parts: object) -> None:
        with refused(InputError, "field.toml ", parts):
            coco(content("a.png"), (old, new)).spec()
