"""The folders that annotation tools write, as the converter `coco` finds them."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from refusals import refused

from aims.converters.coco import CocoConverter
from aims.core.errors import InputError
from aims.core.schema import InstanceMap, SampleError
from aims.data.manifest import Counts
from aims.data.write import convert

HEIGHT, WIDTH = 6, 8
SQUARE = [1, 1, 5, 1, 5, 5, 1, 5]
# Column 6 of six pixels, as run lengths that go down the columns.
COLUMN = {"size": [HEIGHT, WIDTH], "counts": [36, 6, 6]}


def picture(path: Path, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((HEIGHT, WIDTH), value, np.uint8)).save(path)


def annotations(path: Path, *names: str, **keys: Any) -> None:
    """Writes a file with a square in each picture; `keys` are those of every annotation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "images": [
            {"id": k, "file_name": name, "height": HEIGHT, "width": WIDTH} for k, name in enumerate(names, 1)
        ],
        "annotations": [
            {"id": k, "image_id": k, "category_id": 1, "segmentation": [SQUARE], **keys}
            for k in range(1, len(names) + 1)
        ],
        "categories": [{"id": 1, "name": "leaf"}],
    }
    path.write_text(json.dumps(content))


def splits(raw: Path, **options: Any) -> dict[str, tuple[str, ...]]:
    return {split: tuple(ids) for split, ids in CocoConverter(raw=raw, **options).splits().items()}


def values(converter: CocoConverter) -> list[int]:
    """The value of each picture, in the order of the splits."""
    found = []
    for split, ids in converter.splits().items():
        for image_id in ids:
            sample = converter.read(split, image_id)
            assert isinstance(sample.labels, InstanceMap)
            assert sample.labels.instances.sum() == 16
            found.append(int(sample.streams["nir"].max()))
    return found


class TestTrees:
    def test_roboflow(self, tmp_path: Path) -> None:
        for value, folder in enumerate(("train", "valid", "test")):
            picture(tmp_path / folder / "a.png", value)
            annotations(tmp_path / folder / "_annotations.coco.json", "a.png")
        (tmp_path / "README.roboflow.txt").write_text("exported")
        assert splits(tmp_path) == {"test": ("test/a",), "train": ("train/a",), "val": ("valid/a",)}
        assert values(CocoConverter(raw=tmp_path, stream="nir")) == [2, 0, 1]
        assert splits(tmp_path / "valid") == {"val": ("a",)}

    def test_cvat(self, tmp_path: Path) -> None:
        for value, subset in enumerate(("Train", "Validation")):
            picture(tmp_path / "images" / subset / "a.png", value)
            annotations(tmp_path / "annotations" / f"instances_{subset}.json", "a.png")
        assert splits(tmp_path) == {"train": ("images/Train/a",), "validation": ("images/Validation/a",)}
        assert values(CocoConverter(raw=tmp_path, stream="nir")) == [0, 1]

    def test_tasks_of_cvat(self, tmp_path: Path) -> None:
        for value, (task, folder) in enumerate(
            (("Task 7", "images/default"), ("test", "images"), ("valid", ""))
        ):
            picture(tmp_path / task / folder / "a.png", value)
            annotations(tmp_path / task / "annotations" / "instances_default.json", "a.png")
        picture(tmp_path / "other" / "a.png")
        (tmp_path / "other" / "notes.json").write_text("{}")
        assert list(splits(tmp_path)) == ["task_7", "test", "val"]
        assert values(CocoConverter(raw=tmp_path, stream="nir")) == [0, 1, 2]

    def test_coco_itself_without_images(self, tmp_path: Path) -> None:
        picture(tmp_path / "train2017" / "a.png")
        annotations(tmp_path / "annotations" / "instances_train2017.json", "a.png")
        assert splits(tmp_path) == {"train": ("train2017/a",)}

    def test_files_of_a_mac_and_of_windows(self, tmp_path: Path) -> None:
        picture(tmp_path / "train" / f"{unicodedata.normalize('NFD', 'é')}.PNG")
        annotations(tmp_path / "train" / "data.JSON", "é.png")
        (tmp_path / "train" / "._data.JSON").write_bytes(b"\0\5\x16\7")
        (tmp_path / ".Trash" / "train").mkdir(parents=True)
        assert values(CocoConverter(raw=tmp_path, stream="nir")) == [0]

    def test_two_folders_of_one_split(self, tmp_path: Path) -> None:
        for folder in ("val", "valid"):
            annotations(tmp_path / folder / "_annotations.coco.json", "a.png")
        with refused(InputError, "valid/_annotations.coco.json: is split 'val', as ", "val/_annotations"):
            splits(tmp_path)


class TestNamedSplit:
    def test_one_file(self, tmp_path: Path) -> None:
        annotations(tmp_path / "annotations" / "instances_default.json", "a.png")
        assert splits(tmp_path) == {"train": ("a",)}
        converter = CocoConverter(raw=tmp_path, split="test")
        assert dict(converter.splits()) == {"test": ("a",)}
        assert converter.options()["split"] == "test"

    def test_refused(self, tmp_path: Path) -> None:
        annotations(tmp_path / "a.json", "a.png")
        with refused(InputError, "--split 'A b': use lower-case letters"):
            splits(tmp_path, split="A b")
        annotations(tmp_path / "b.json", "b.png")
        with refused(InputError, "2 JSON files are as many splits; --split names only one"):
            splits(tmp_path, split="test")


class TestPictures:
    @pytest.mark.parametrize(
        "name",
        [
            "{raw}/images/a.png",
            "/home/me/data/images/a.png",
            "/elsewhere/a.png",
            "C:\\me\\images\\a.png",
            "..\\images\\a.png",
            "https://example.org/images/a.png",
            "/data/local-files/?d=%69mages/%61.png",
            "/data/local-files/?d=images%2Fa.png",
            "https://example.org/images/a.png?Expires=5&Signature=b/c%2Fd",
        ],
    )
    def test_names_of_other_machines(self, tmp_path: Path, name: str) -> None:
        picture(tmp_path / "images" / "a.png", 5)
        picture(tmp_path / "a" / "a.png")
        annotations(tmp_path / "train.json", name.replace("{raw}", str(tmp_path)))
        assert splits(tmp_path) == {"train": ("images/a",)}
        assert splits(tmp_path, images="images") == {"train": ("images/a",)}
        assert values(CocoConverter(raw=tmp_path, stream="nir")) == [5]

    @pytest.mark.parametrize("name", ["/data/local-files/?d=a.png", "https://example.org/a.png?key=b.png"])
    def test_addresses_of_files_beside_the_list(self, tmp_path: Path, name: str) -> None:
        picture(tmp_path / "a.png", 5)
        annotations(tmp_path / "train.json", name)
        assert values(CocoConverter(raw=tmp_path, stream="nir")) == [5]

    def test_the_longest_end_counts(self, tmp_path: Path) -> None:
        for value, folder in enumerate((".", "x", "y/x")):
            picture(tmp_path / folder / "a.png", value)
        annotations(tmp_path / "train.json", "/home/y/x/a.png", "/home/x/a.png", "/home/a.png")
        assert values(CocoConverter(raw=tmp_path, stream="nir")) == [2, 1, 0]

    def test_an_end_that_fits_twice_names_none(self, tmp_path: Path) -> None:
        picture(tmp_path / "a.png")
        picture(tmp_path / "b.png")
        annotations(tmp_path / "train.json", "/x/a.png", "/y/a.png", "b.png", "/x/b.png")
        assert splits(tmp_path)["train"] == ("x/a", "y/a", "b", "x/b")

    def test_a_relative_name_is_never_cut(self, tmp_path: Path) -> None:
        picture(tmp_path / "a.png")
        annotations(tmp_path / "train.json", "x/a.png", "a.png")
        converter = CocoConverter(raw=tmp_path, stream="nir")
        assert dict(converter.splits()) == {"train": ("x/a", "a")}
        with refused(SampleError, "x/a.png"):
            converter.read("train", "x/a")

    def test_a_name_that_no_file_can_have(self, tmp_path: Path) -> None:
        annotations(tmp_path / "train.json", f"{'a' * 5000}.png")
        with refused(SampleError, "no such file"):
            CocoConverter(raw=tmp_path).spec()


class TestCrowds:
    def counts(self, raw: Path, out: Path, **options: Any) -> tuple[Counts, Any]:
        manifest = convert(CocoConverter(raw=raw, **options), out).manifest
        return manifest.splits["train"], manifest.converter.options.get("crowd")

    def test_brush_masks(self, tmp_path: Path) -> None:
        raw = tmp_path / "raw"
        for name in "ab":
            picture(raw / f"{name}.png")
        mask = {"segmentation": COLUMN, "iscrowd": 1}
        annotations(raw / "train.json", "a.png", "b.png", **mask, attributes={"occluded": False})
        content = json.loads((raw / "train.json").read_text())
        polygon = {"id": 9, "image_id": 1, "category_id": 1, "segmentation": [SQUARE], "iscrowd": 0}
        content["annotations"].append(polygon)
        (raw / "train.json").write_text(json.dumps(content))
        assert self.counts(raw, tmp_path / "1") == (Counts(images=2, instances=3), "keep")
        assert self.counts(raw, tmp_path / "2", crowd="drop") == (Counts(images=1, instances=1), "drop")
        for item in content["annotations"]:
            item.pop("attributes", None)
        (raw / "train.json").write_text(json.dumps(content))
        assert self.counts(raw, tmp_path / "3") == (Counts(images=1, instances=1), None)
        assert self.counts(raw, tmp_path / "4", crowd="keep") == (Counts(images=2, instances=3), "keep")

    def test_what_was_made_of_them_is_said(self, tmp_path: Path) -> None:
        annotations(tmp_path / "train.json", "a.png", "b.png", iscrowd=1)
        assert CocoConverter(raw=tmp_path).warnings() == (
            "crowd regions (iscrowd 1): 2 kept as objects; --crowd drop decides otherwise",
        )
        assert CocoConverter(raw=tmp_path, crowd="keep").warnings() == ()
        annotations(tmp_path / "train.json", "a.png")
        assert CocoConverter(raw=tmp_path).warnings() == ()

    def test_nothing_but_crowds(self, tmp_path: Path) -> None:
        picture(tmp_path / "raw" / "a.png")
        annotations(tmp_path / "raw" / "train.json", "a.png", iscrowd=1)
        assert self.counts(tmp_path / "raw", tmp_path / "1") == (Counts(images=1, instances=1), "keep")
        with refused(InputError, "no image is left", "crowd region (iscrowd 1)"):
            convert(CocoConverter(raw=tmp_path / "raw", crowd="drop"), tmp_path / "2")


@pytest.mark.parametrize(
    "name",
    [
        *("%2e%2e/outside.png", "%2E./outside.png", "a/%2e%2e/%2e%2e/outside.png", "{}"),
        *("/?d=a%2F..%2f../outside.png", "/x%2F..%2Foutside.png", "/?d=%2e%2e/outside.png", "/?d={}"),
    ],
)
def test_an_address_never_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "outside.png")
    (tmp_path / "raw" / "a").mkdir(parents=True)
    absolute = str(tmp_path / "outside.png").replace("/", "%2F")
    annotations(tmp_path / "raw" / "train.json", name.format(absolute))
    with refused(SampleError, "outside.png: no such file"):
        CocoConverter(raw=tmp_path / "raw").spec()
