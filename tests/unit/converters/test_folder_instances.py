"""Instances of several classes: one mask file an object, one coded number, or two maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from raw_folder import HEIGHT, WIDTH, Make, check_dataset, label_map
from refusals import refused

from aims.converters.folder import FolderConverter
from aims.core.errors import InputError
from aims.core.remarks import collect_remarks
from aims.core.schema import InstanceMap, SampleError
from aims.data.read import Dataset
from aims.data.write import convert
from aims.reading import headers

SPLITS = 'train = ["b", "a"]\ntest = ["c"]'
CLASSES = 'classes = ["weed", "crop"]'
VALUES = "values = { weed = 1, crop = 2 }"
KIND = 'kind = "semantic"'
ONE = (SPLITS, 'train = ["a"]')


def instances(converter: FolderConverter) -> dict[int, tuple[int, int]]:
    """Returns the area and the class of every instance of image a."""
    labels = converter.read("train", "a").labels
    assert isinstance(labels, InstanceMap)
    ids, areas = np.unique(labels.instances[labels.instances > 0], return_counts=True)
    assert set(labels.class_ids) == set(ids.tolist())
    return {
        number: (area, labels.class_ids[number])
        for number, area in zip(ids.tolist(), areas.tolist(), strict=True)
    }


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


class TestMasks:
    PLANT = (CLASSES, 'classes = ["plant"]')
    MASKS = (f"{KIND}\n{VALUES}", 'kind = "masks"')

    @pytest.fixture
    def masks(self, raw: Path) -> Path:
        """A large mask, a small one in it, and one far from both."""
        for name, box in (("x1", np.s_[0:4, 0:4]), ("x2", np.s_[1:3, 1:3]), ("x10", np.s_[4:, 5:])):
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            mask[box] = 255
            save(raw / "masks" / "a" / f"{name}.png", mask)
            save(raw / "masks" / f"a_mask_{name}.png", mask)
        return raw / "masks" / "a"

    @pytest.mark.parametrize("pattern", ["masks/{id}/*.png", "masks/{id}_mask*.png", "m*/{id}/x*"])
    @pytest.mark.usefixtures("masks")
    def test_one_file_an_object(self, make: Make, tmp_path: Path, pattern: str) -> None:
        converter = make(ONE, self.PLANT, self.MASKS, ("labels/{id}.png", pattern))
        assert sorted(instances(converter).values()) == [(2, 1), (4, 1), (12, 1)]
        assert len(converter.source_files("train", "a")) == 4
        check_dataset(converter, tmp_path / "out")
        manifest = Dataset.open(tmp_path / "out").manifest
        assert (manifest.splits["train"].instances, manifest.dropped) == (3, {"overlap": 1})
        assert "Left out: 0 images, 0 labelled objects" in (tmp_path / "out" / "README.md").read_text()

    @pytest.mark.usefixtures("masks")
    def test_overlaps_are_counted(self, make: Make, masks: Path) -> None:
        converter = make(ONE, self.PLANT, self.MASKS, ("labels/{id}.png", "masks/{id}/*.png"))
        lines = converter.read("train", "a").overlaps
        assert lines == ("1 of 3 masks lie partly or wholly under smaller ones (4 pixels)",)
        save(masks / "x0.png", np.array(Image.open(masks / "x2.png")))
        save(masks / "x3.png", np.zeros((HEIGHT, WIDTH), np.uint8))
        sample = make(ONE, self.PLANT, self.MASKS, ("labels/{id}.png", "masks/{id}/*.png")).read("train", "a")
        assert sample.dropped == (
            f"{masks / 'x0.png'}: wholly covered by other masks",
            f"{masks / 'x3.png'}: covers no pixel",
        )
        assert sample.overlaps == ("2 of 5 masks lie partly or wholly under smaller ones (8 pixels)",)

    @pytest.mark.usefixtures("masks")
    def test_classes_of_masks(self, make: Make, masks: Path) -> None:
        mask = np.array(Image.open(masks / "x2.png"))
        save(masks / "x2.png", mask // 255 * np.uint8(7))
        masks_kind = (f"{KIND}\n{VALUES}", 'kind = "masks"\nvalues = { weed = 255, crop = 7 }')
        converter = make(ONE, masks_kind, ("labels/{id}.png", "masks/{id}/*.png"))
        assert sorted(instances(converter).values()) == [(2, 1), (4, 2), (12, 1)]
        mask[0, 0] = 7
        save(masks / "x2.png", mask)
        with refused(SampleError, "x2.png: holds 2 classes, but is the mask of one object ("):
            make(ONE, masks_kind, ("labels/{id}.png", "masks/{id}/*.png")).read("train", "a")

    def test_coloured_masks(self, make: Make, masks: Path) -> None:
        mask = np.array(Image.open(masks / "x2.png"))
        save(masks / "x2.png", mask[..., None] * np.array([1, 0, 0], np.uint8))
        converter = make(ONE, self.PLANT, self.MASKS, ("labels/{id}.png", "masks/{id}/*.png"))
        with collect_remarks() as found:
            assert sorted(instances(converter).values()) == [(2, 1), (4, 1), (12, 1)]
        assert not found

    @pytest.mark.parametrize(
        ("edge", "void", "told"), [(100, "", True), (100, "\nvoid = 100", False), (200, "", False)]
    )
    def test_soft_edges_are_named(self, make: Make, masks: Path, edge: int, void: str, told: bool) -> None:
        mask = np.array(Image.open(masks / "x10.png"))
        mask[4, 0] = edge
        save(masks / "x10.png", mask)
        kind = (self.MASKS[0], self.MASKS[1] + void)
        converter = make(ONE, self.PLANT, kind, ("labels/{id}.png", "masks/{id}/*.png"))
        with collect_remarks() as found:
            areas = sorted(instances(converter).values())
        assert areas == [((2 + (not void)), 1), (4, 1), (12, 1)]
        assert list(found.values()) == [[masks / "x10.png"]] * told
        assert all(text.startswith("every number above 0 is the object; where some") for text in found)

    @pytest.mark.usefixtures("masks")
    def test_refused(self, make: Make, masks: Path) -> None:
        files = ("labels/{id}.png", "masks/{id}/*.png")
        with refused(SampleError, "two files for image 'a'", 'the mask of one object, give kind = "masks"'):
            make(ONE, files).read("train", "a")
        with refused(InputError, "[labels]: needs either 'palette' or 'values'"):
            make(ONE, self.MASKS, files).spec()
        save(masks / "x2.png", np.ones((HEIGHT, WIDTH + 1), np.uint8))
        with refused(SampleError, "x2.png: 5 x 8 (height x width), but "):
            make(ONE, self.PLANT, self.MASKS, files).read("train", "a")
        for path in masks.iterdir():
            path.unlink()
        with refused(SampleError, "masks/a/*.png: no such file; image 'a' of 'train' needs it"):
            make(ONE, self.PLANT, self.MASKS, files).read("train", "a")

    def test_images_without_masks(self, make: Make, masks: Path, tmp_path: Path) -> None:
        edits = (self.PLANT, self.MASKS, ("labels/{id}.png", "masks/{id}/*.png"))
        text = "masks/{id}/*.png: 2 images have no mask: b, c; where that means no object, give empty = true"
        (line,) = make(*edits).warnings()
        assert line == f"{text} in [labels]"
        with refused(SampleError, "masks/b/*.png: no such file;", "empty = true in [labels]"):
            make(*edits).read("train", "b")
        empty = (edits[1][0], 'kind = "masks"\nempty = true')
        made = convert(make(self.PLANT, empty, edits[2], (SPLITS, 'train = "*"')), tmp_path / "out")
        assert made.manifest.warnings == ("masks/{id}/*.png: 2 images have no mask, so no object: b, c",)
        assert made.manifest.splits["train"].images == 1
        assert [(line.image_id, line.kind) for line in made.dropped if line.kind != "overlap"] == [
            ("b", "no instance"),
            ("c", "no instance"),
        ]
        assert made.manifest.inventory[1].used == 3
        with refused(InputError, "'empty' goes with kind = \"masks\" alone"):
            make((KIND, f"{KIND}\nempty = true")).spec()
        with refused(InputError, "'empty' is 1; it must be true or false"):
            make(self.PLANT, (edits[1][0], 'kind = "masks"\nempty = 1')).spec()

    def test_classes_by_name(self, make: Make, masks: Path, tmp_path: Path) -> None:
        for old, new in (("x1", "weed_1"), ("x2", "weed_big_1"), ("x10", "crop_2")):
            (masks / f"{old}.png").rename(masks / f"{new}.png")
        files, splits = ("labels/{id}.png", "masks/{id}/{class}_*.png"), (SPLITS, 'train = ["a"]')
        values = 'kind = "masks"\nvalues = { weed = "weed", crop = ["crop", "weed_big"] }'
        converter = make(splits, (f"{KIND}\n{VALUES}", values), files)
        assert sorted(instances(converter).values()) == [(2, 2), (4, 2), (12, 1)]
        assert [count.used for count in converter.inventory()] == [1, 3]
        check_dataset(converter, tmp_path / "out")
        void = 'kind = "masks"\nvalues = { weed = "unkraut", crop = ["crop", "weed_big"] }\nvoid = "weed"'
        assert sorted(instances(make(splits, (f"{KIND}\n{VALUES}", void), files)).values()) == [
            (2, 2),
            (4, 2),
        ]
        (masks / "weed_big_1.png").rename(masks / "maize_1.png")
        with refused(
            SampleError, "maize_1.png: its name has no class of", "(1 of 3 masks of the image); add it"
        ):
            make(splits, self.MASKS, files).read("train", "a")
        palette = (f"{KIND}\n{VALUES}", 'kind = "masks"\npalette = { weed = [1, 2, 3] }')
        with refused(InputError, "'palette' does not go with names of classes"):
            make(splits, palette, files).spec()
        with refused(InputError, "unknown placeholder '{class}'"):
            make(files).spec()

    @pytest.mark.usefixtures("masks")
    def test_classes_by_folder(self, make: Make, masks: Path) -> None:
        for old, new in (("x1", "weed"), ("x2", "crop"), ("x10", "crop")):
            save(masks.parent / new / "a" / f"{old}.png", np.array(Image.open(masks / f"{old}.png")))
        edits = (self.MASKS, ("labels/{id}.png", "masks/{class}/{id}/*.png"))
        assert sorted(instances(make(ONE, *edits)).values()) == [(2, 2), (4, 2), (12, 1)]
        star = make((SPLITS, 'train = "*"'), *edits)
        assert [count.used for count in star.inventory()] == [3, 3]
        listed = make((SPLITS, 'train = ["masks/weed/a/x1.png"]'), *edits)
        assert listed.splits() == {"train": ("a",)}

    @pytest.mark.parametrize(("pattern", "told"), [("{id}.png", 1), ("{id}*.png", 0)])
    def test_one_mask_a_class_in_several_regions(
        self, make: Make, masks: Path, pattern: str, told: int
    ) -> None:
        whole = np.zeros((HEIGHT, WIDTH), np.uint8)
        whole[4:, 5:] = 255
        parts = np.zeros((HEIGHT, WIDTH), np.uint8)
        parts[0, 0] = parts[2, 2] = 255
        for name, mask in (("crop", whole), ("weed", parts)):
            save(masks.parent / name / "a.png", mask)
        with collect_remarks() as found:
            instances(make(ONE, self.MASKS, ("labels/{id}.png", f"masks/{{class}}/{pattern}")))
        assert [*found.values()] == [[masks.parent / "weed" / "a.png"]] * told

    @pytest.mark.usefixtures("masks")
    def test_headers_of_all_masks(self, make: Make, masks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        save(masks / "x2.png", np.zeros((300, 500), np.uint8))
        monkeypatch.setattr(headers, "_LARGE_BYTES", 1000)
        with refused(SampleError, "x2.png: announces 300 x 500 ("):
            make(ONE, self.PLANT, self.MASKS, ("labels/{id}.png", "masks/{id}/*.png")).read("train", "a")


class TestCodedNumbers:
    CODED = (
        f"{KIND}\n{VALUES}",
        'kind = "instance"\nlabel_divisor = 1000\nvalues = { weed = 24, crop = [26, 27] }',
    )

    def test_class_times_divisor_plus_instance(self, make: Make, raw: Path, tmp_path: Path) -> None:
        values = np.zeros((HEIGHT, WIDTH), np.uint16)
        values[0, :3], values[0, 4:], values[2], values[3, 0], values[4, :2] = 24000, 24001, 26000, 27001, 24
        values[4, 6] = 5
        save(raw / "labels" / "a.png", values)
        converter = make(ONE, self.CODED)
        assert instances(converter) == {24000: (3, 1), 24001: (3, 1), 26000: (7, 2), 27001: (1, 2)}
        reason = "value 24: a class without an instance number (2 pixels)"
        dropped = convert(converter, tmp_path / "out").dropped
        assert [(line.kind, line.reason) for line in dropped] == [("object", f"labels/a.png: {reason}")]

    def test_class_that_is_not_declared(self, make: Make, raw: Path) -> None:
        values = label_map().astype(np.uint16) * 24000
        save(raw / "labels" / "a.png", values)
        parts = "labels/a.png: class number 48 (values 48000 to 48999) is in no class (2 pixels, first at x=0"
        with refused(SampleError, parts):
            make(ONE, self.CODED).read("train", "a")
        void = (self.CODED[0], self.CODED[1] + "\nvoid = 48")
        assert instances(make(ONE, void)) == {24000: (4, 1)}

    def test_negative_numbers(self, make: Make, raw: Path) -> None:
        edits = (ONE, ("labels/{id}.png", "labels/{id}.npy"))
        np.save(raw / "labels" / "a.npy", np.where(label_map() == 1, -1, 24003))
        with refused(SampleError, "labels/a.npy: number -1 is negative; list it in 'void'"):
            make(*edits, self.CODED).read("train", "a")
        converter = make(*edits, (self.CODED[0], self.CODED[1] + "\nvoid = -1"))
        assert instances(converter) == {24003: (31, 1)}


class TestTwoMaps:
    PAIR = (KIND, 'kind = "instance"\nclass_files = "classes/{id}.png"')

    @pytest.fixture
    def maps(self, raw: Path) -> Path:
        """Numbers that begin anew with each class, and a pixel of a class without one."""
        numbers = np.zeros((HEIGHT, WIDTH), np.uint8)
        numbers[1, 2:4], numbers[1, 4:5], numbers[3:, 0] = 1, 2, 1
        numbers[0, 0] = 9
        save(raw / "labels" / "a.png", numbers)
        save(raw / "classes" / "a.png", label_map())
        return raw

    def test_equal_class_and_equal_number(self, make: Make, maps: Path, tmp_path: Path) -> None:
        converter = make(ONE, self.PAIR)
        assert sorted(instances(converter).values()) == [(1, 1), (2, 1), (2, 2)]
        files = ("nir/a.png", "labels/a.png", "classes/a.png")
        assert converter.source_files("train", "a") == tuple(maps / name for name in files)
        dropped = convert(converter, tmp_path / "out").dropped
        reason = "classes/a.png: class id 1: 1 pixels without an instance number in a.png"
        assert [(line.kind, line.reason) for line in dropped] == [("object", reason)]

    def test_palette_and_void(self, make: Make, maps: Path) -> None:
        colours = np.array([[0, 0, 0], [255, 0, 10], [10, 0, 255], [224, 224, 192]], np.uint8)
        drawn = label_map()
        drawn[1, 2] = 3
        save(maps / "classes" / "a.png", colours[drawn])
        palette = (VALUES, "palette = { weed = [255, 0, 10], crop = [10, 0, 255] }\nvoid = [224, 224, 192]")
        assert sorted(instances(make(ONE, self.PAIR, palette)).values()) == [(1, 1), (1, 1), (2, 2)]

    def test_files_that_do_not_fit(self, make: Make, maps: Path) -> None:
        save(maps / "classes" / "a.png", label_map().T)
        with refused(SampleError, "classes/a.png: 7 x 5 (height x width), but "):
            make(ONE, self.PAIR).read("train", "a")
        (maps / "classes" / "a.png").unlink()
        with refused(SampleError, "classes/a.png: no such file", "[labels] class files)"):
            make(ONE, self.PAIR).read("train", "a")


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        (
            f"{KIND}\nlabel_divisor = 1000",
            "'label_divisor' goes with kind = \"instance\" alone; leave it out",
        ),
        ('kind = "instance"\nlabel_divisor = 1', "'label_divisor' is 1; it must be 2 or more"),
        ('kind = "instance"\nclass_variable = "x"', "'class_variable' goes with 'class_files'"),
        (
            'kind = "instance"\nlabel_divisor = 9\nclass_files = "c/{id}.png"',
            "give either 'label_divisor' or 'class_files'",
        ),
        ('kind = "instance"\nclass_files = "c/{id}.jpg"', "[labels] class files: JPEG labels are refused"),
        ('kind = "instance"\nclass_files = "c/{id}.mat"', "[labels] class: needs 'variable'"),
    ],
)
def test_every_key_is_checked(make: Make, kind: str, parts: str) -> None:
    with refused(InputError, parts):
        make((KIND, kind)).spec()
