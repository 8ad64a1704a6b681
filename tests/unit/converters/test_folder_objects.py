"""Files that outline the objects of one image, as labels of the folder converter."""

from __future__ import annotations

import base64
import io
import json
import unicodedata
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from raw_folder import HEIGHT, WIDTH, Make
from refusals import refused

from aims.converters.folder import FolderConverter
from aims.core.errors import InputError
from aims.core.schema import InstanceMap, SampleError

LABELS = 'files = "labels/{id}.png"\nkind = "semantic"\nvalues = { weed = 1, crop = 2 }'
Write = Callable[..., FolderConverter]

# In x, y: columns 1 to 3 of rows 1 and 2.
BOX = [[1, 1], [4, 1], [4, 3], [1, 3]]


def png(mask: np.ndarray, mode: str = "L") -> bytes:
    """A PNG of a mask; as palette it is transparent where it is 0, as Supervisely writes it."""
    picture = Image.fromarray(mask.astype(np.uint8))
    keys: dict[str, Any] = {}
    if mode == "P":
        picture.putpalette([0, 0, 0, 255, 255, 255])
        keys["transparency"] = 0
    if mode == "RGBA":
        picture = Image.fromarray(np.dstack([mask * 0 + 9] * 3 + [mask * 255]).astype(np.uint8))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", **keys)
    return buffer.getvalue()


def box(value: int = 1) -> np.ndarray:
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[1:3, 1:4] = value
    return expected


def read(converter: FolderConverter) -> tuple[np.ndarray, dict[int, int], tuple[str, ...]]:
    labels = (sample := converter.read("train", "a")).labels
    assert isinstance(labels, InstanceMap)
    return labels.instances, dict(labels.class_ids), sample.dropped


def writer(make: Make, raw: Path, name: str, lines: str) -> Write:
    def write(content: Any, *edits: tuple[str, str]) -> FolderConverter:
        path = raw / name.replace("{id}", "a")
        path.parent.mkdir(exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf-8-sig", newline="\r\n")
        ids = ('train = ["b", "a"]\ntest = ["c"]', 'train = ["a"]')
        return make((LABELS, f'files = "{name}"\n{lines}'), ids, *edits)

    return write


class TestLabelMe:
    @pytest.fixture
    def write(self, make: Make, raw: Path) -> Write:
        return writer(make, raw, "labels/{id}.json", 'kind = "labelme"')

    def content(self, *shapes: dict[str, Any], **keys: Any) -> dict[str, Any]:
        head = {"version": "5.4.1", "flags": {}, "imagePath": "..\\a.png", "imageData": None}
        return {**head, "shapes": list(shapes), "imageHeight": HEIGHT, "imageWidth": WIDTH, **keys}

    def shape(self, points: Any, label: str = "crop", **keys: Any) -> dict[str, Any]:
        return {"label": label, "points": points, "shape_type": "polygon", "group_id": None, **keys}

    @pytest.mark.parametrize(
        "keys",
        [
            {"points": BOX},
            {"points": BOX, "shape_type": None},
            {"points": [[4, 3], [1, 1]], "shape_type": "rectangle"},
            {"points": BOX, "shape_type": "rectangle"},
            {"points": BOX, "shape_type": "rotation"},
            {
                "points": [[1, 1], [3, 2]],
                "shape_type": "mask",
                "mask": base64.b64encode(png(np.ones((2, 3)))).decode(),
            },
        ],
    )
    def test_shapes(self, write: Write, keys: dict[str, Any]) -> None:
        converter = write(self.content(self.shape(**keys)))
        instances, classes, dropped = read(converter)
        np.testing.assert_array_equal(instances, box())
        assert (classes, dropped) == ({1: 2}, ())
        assert converter.source_files("train", "a")[1].name == "a.json"

    @pytest.mark.parametrize("form", ["NFC", "NFD"])
    def test_a_label_in_both_forms_of_unicode(self, write: Write, form: Any) -> None:
        other = unicodedata.normalize({"NFC": "NFD", "NFD": "NFC"}[form], "blé")
        classes = ('["weed", "crop"]', f'["weed", "{unicodedata.normalize(form, "blé")}"]')
        assert read(write(self.content(self.shape(BOX, label=other)), classes))[1] == {1: 2}

    def test_a_circle(self, write: Write) -> None:
        circle = self.shape([[3.5, 2.5], [4.5, 2.5]], shape_type="circle")
        expected = np.zeros((HEIGHT, WIDTH), int)
        expected[2, 2:5] = expected[1:4, 3] = 1
        np.testing.assert_array_equal(read(write(self.content(circle)))[0], expected)
        corner = self.shape([[0, 0], [0, 1.5]], shape_type="circle")
        assert np.argwhere(read(write(self.content(corner)))[0]).tolist() == [[0, 0]]
        outside = self.shape([[-3, 2], [-2, 2]], shape_type="circle")
        assert read(write(self.content(outside)))[2] == ("shape 1: covers no pixel",)

    def test_a_group_is_one_object(self, write: Write) -> None:
        parts = [[[k, 0], [k + 1, 0], [k + 1, 1], [k, 1]] for k in range(4)]
        shapes = [
            self.shape(parts[0], group_id=1),
            self.shape(parts[1], group_id=1, label="weed"),
            self.shape(parts[2], group_id=1),
            self.shape(parts[3]),
        ]
        instances, classes, _ = read(write(self.content(*shapes)))
        np.testing.assert_array_equal(instances[0, :5], [1, 2, 1, 3, 0])
        assert classes == {1: 2, 2: 1, 3: 2}

    def test_a_shape_that_is_not_read(self, write: Write) -> None:
        _, _, dropped = read(write(self.content(self.shape(BOX, shape_type="cuboid"))))
        assert dropped == ("shape 1: shapes 'cuboid' are not read",)

    def test_what_has_no_area_is_listed(self, write: Write) -> None:
        shapes = [
            self.shape([[1, 1]], shape_type="point"),
            self.shape([[1, 1], [2, 2]]),
            self.shape(BOX),
            self.shape([[1, 1], [2, None], [2, 2]]),
            self.shape([[1, 1], [9e9, 1], [2, 2]]),
            self.shape([[1, 1]], shape_type="mask", mask="é"),
            self.shape([[1, 1]], shape_type="mask", mask=base64.b64encode(png(np.ones((99, 3)))).decode()),
            self.shape([[1, 1]], shape_type="mask", mask=base64.b64encode(b"\x89PNG").decode()),
            self.shape(BOX, label="__ignore__"),
        ]
        instances, classes, dropped = read(write(self.content(*shapes)))
        np.testing.assert_array_equal(instances, box(3))
        assert classes == {3: 2}
        assert [line.partition(":")[0] for line in dropped] == [f"shape {k}" for k in (1, 2, 4, 5, 6, 7, 8)]
        assert dropped[0] == "shape 1: a point has no area"
        assert "at least 3 points" in dropped[1]
        assert "far outside the image (5 x 7" in dropped[3]
        assert "no base64" in dropped[4]
        assert "99 x 3" in dropped[5]
        assert "no whole PNG" in dropped[6]

    def test_labels(self, write: Write) -> None:
        content = self.content(self.shape(BOX, "maize"), self.shape(BOX, "unsure"), self.shape(BOX, "unsure"))
        with refused(SampleError, "a.json: label 'maize' is in no class (1 object, first: shape 1)", "field"):
            read(write(content))
        values = 'kind = "labelme"\nvalues = { weed = "weed", crop = ["crop", "maize"] }'
        with refused(SampleError, "label 'unsure' is in no class (2 objects, first: shape 2)", "void"):
            read(write(content, ('kind = "labelme"', values)))
        instances, classes, dropped = read(write(content, ('kind = "labelme"', f'{values}\nvoid = "unsure"')))
        np.testing.assert_array_equal(instances, box())
        assert (classes, dropped) == ({1: 2}, ())

    def test_size(self, write: Write) -> None:
        unknown = self.content(self.shape(BOX), imageHeight=None, imageWidth=None)
        np.testing.assert_array_equal(read(write(unknown))[0], box())
        with refused(SampleError, "a.json: of an image of 7 x 5 (height x width), but this one is 5 x 7"):
            read(write(self.content(imageHeight=WIDTH, imageWidth=HEIGHT)))
        with refused(SampleError, "imageHeight, imageWidth are 0, 7"):
            read(write(self.content(imageHeight=0)))

    @pytest.mark.parametrize("content", ["{", "[]", {"shapes": {}}, {"shapes": [{"points": []}]}])
    def test_no_file_of_it(self, write: Write, content: Any) -> None:
        with refused(SampleError, "labels/a.json: not "):
            read(write(content))

    def test_no_file(self, write: Write, raw: Path) -> None:
        converter = write(self.content())
        (raw / "labels/a.json").unlink()
        with refused(SampleError, "labels/a.json: no such file"):
            read(converter)


class TestYOLO:
    @pytest.fixture
    def write(self, make: Make, raw: Path) -> Write:
        return writer(make, raw, "labels/{id}.txt", 'kind = "yolo"')

    def line(self, label: object, points: list[list[int]] = BOX) -> str:
        return " ".join([str(label), *(f"{x / WIDTH} {y / HEIGHT}" for x, y in points)])

    def test_polygons(self, write: Write) -> None:
        spot = self.line("1.0", [[5, 0], [6, 0], [6, 1], [5, 1]])
        instances, classes, dropped = read(write(f"{self.line(0)}\n\n{spot}\n"))
        expected = box()
        expected[0, 5] = 2
        np.testing.assert_array_equal(instances, expected)
        assert (classes, dropped) == ({1: 1, 2: 2}, ())

    def test_no_object(self, write: Write) -> None:
        assert not read(write(""))[0].any()

    def test_what_is_no_polygon_is_listed(self, write: Write) -> None:
        lines = [
            "0 0.5 0.5 0.2 0.2",
            "0 0.1 0.1",
            "1 0.1 x 0.2 0.2 0.3 0.3",
            "0 30 40 50 40 50 60",
            "0 nan " * 3,
            "0 0.5 0.5 0.2 0.2 0.5 0.4 2 0.6 0.4 2",  # a box and two keypoints
        ]
        _, classes, dropped = read(write("\n".join([*lines, self.line(1)])))
        assert classes == {7: 2}
        assert [line[:7] for line in dropped] == [f"line {number}:" for number in range(1, 7)]
        assert dropped[0] == "line 1: a box (x, y, width, height) is no mask"
        assert "coordinate 60.0; it must be a part of the side, 0 to 1" in dropped[3]

    def test_numbers_of_classes(self, write: Write) -> None:
        with refused(SampleError, "a.txt: label 7 is in no class (1 object, first: line 1)"):
            read(write(self.line(7)))
        values = 'kind = "yolo"\nvalues = { weed = 3, crop = [7, 8] }\nvoid = [0, 1]'
        assert read(write(f"{self.line(7)}\n{self.line(0)}", ('kind = "yolo"', values)))[1] == {1: 2}

    @pytest.mark.parametrize("line", ["crop 0.1 0.1", "-1 0.1", "1.5 0.1"])
    def test_no_number_of_a_class(self, write: Write, line: str) -> None:
        with refused(SampleError, "a.txt, line 1: begins with "):
            read(write(line))


class TestSupervisely:
    @pytest.fixture
    def write(self, make: Make, raw: Path) -> Write:
        return writer(make, raw, "ann/{id}.png.json", 'kind = "supervisely"')

    def content(self, *objects: dict[str, Any]) -> dict[str, Any]:
        size = {"height": HEIGHT, "width": WIDTH}
        return {"description": "", "tags": [], "size": size, "objects": list(objects)}

    def figure(self, kind: str, exterior: Any, interior: Any = (), label: str = "crop") -> dict[str, Any]:
        points = {"exterior": exterior, "interior": interior}
        return {"id": 7, "classTitle": label, "geometryType": kind, "points": points}

    def bitmap(self, data: bytes, x: int = 1, y: int = 1) -> dict[str, Any]:
        text = base64.b64encode(zlib.compress(data)).decode()
        bitmap = {"data": text, "origin": [x, y]}
        return {"classTitle": "crop", "geometryType": "bitmap", "bitmap": bitmap}

    @pytest.mark.parametrize("mode", ["L", "P", "RGBA"])
    def test_bitmaps(self, write: Write, mode: str) -> None:
        mask = np.array([[1, 1, 1], [1, 0, 1]])
        expected = box()
        expected[2, 2] = 0
        instances, classes, dropped = read(write(self.content(self.bitmap(png(mask, mode)))))
        np.testing.assert_array_equal(instances, expected)
        assert (classes, dropped) == ({1: 2}, ())

    @pytest.mark.parametrize(("x", "y"), [(-1, -1), (WIDTH - 1, HEIGHT - 1)])
    def test_bitmaps_are_clipped(self, write: Write, x: int, y: int) -> None:
        instances = read(write(self.content(self.bitmap(png(np.ones((2, 2))), x, y))))[0]
        assert instances[max(y, 0), max(x, 0)] == instances.sum() == 1

    def test_the_outline_belongs_to_the_object(self, write: Write) -> None:
        corners = [[0, 0], [4, 0], [4, 4], [0, 4]]
        hole = [[1, 1], [3, 1], [3, 3], [1, 3]]
        instances, classes, _ = read(
            write(
                self.content(
                    self.figure("polygon", corners, [hole], "weed"),
                    self.figure("rectangle", [[5, 1], [6, 2]]),
                )
            )
        )
        expected = np.zeros((HEIGHT, WIDTH), int)
        expected[:5, :5] = 1
        expected[1:4, 1:4] = 0
        expected[1:3, 5:7] = 2
        np.testing.assert_array_equal(instances, expected)
        assert classes == {1: 1, 2: 2}

    def test_a_figure_that_is_not_read(self, write: Write) -> None:
        objects = [{**self.bitmap(png(np.ones((2, 3)))), "geometryType": "alpha_mask"}]
        assert read(write(self.content(*objects)))[2] == ("object 1: shapes 'alpha_mask' are not read",)

    def test_what_cannot_be_drawn_is_listed(self, write: Write) -> None:
        broken, foreign = self.bitmap(b""), self.bitmap(b"")
        broken["bitmap"]["data"], foreign["bitmap"]["data"] = "eJ", "é"
        objects = [
            self.figure("line", [[1, 1], [2, 2]]),
            self.figure("polygon", [[1, 1], [2, 2]]),
            self.figure("polygon", BOX, [[[1, 1]]]),
            self.figure("polygon", BOX, 5),
            self.bitmap(bytes(1 << 20)),
            broken,
            foreign,
            self.bitmap(png(np.ones((2, 3)))),
        ]
        instances, _, dropped = read(write(self.content(*objects)))
        np.testing.assert_array_equal(instances, box(8))
        assert [line.partition(":")[0] for line in dropped] == [f"object {k}" for k in range(1, 8)]
        assert dropped[0] == "object 1: a line has no area"
        assert "unpacks to more than the picture holds" in dropped[4]
        assert "cannot be unpacked" in dropped[5]
        assert "cannot be unpacked" in dropped[6]


@pytest.mark.parametrize(
    ("edit", "parts"),
    [
        (
            'kind = "labelm"',
            '\'kind\' is \'labelm\'; it must be "semantic" or "instance" or "masks" or "coco" or',
        ),
        ('kind = "labelme"\npalette = {}', "'palette' does not go with kind = \"labelme\""),
        ('kind = "labelme"\nvalues = { soil = "a" }', "soil"),
        ('kind = "labelme"\nvalues = { weed = 1, crop = "a" }', "'weed' is 1; it must be a text or a list"),
        ('kind = "labelme"\nvoid = "crop"', "label 'crop' has two meanings"),
        ('kind = "yolo"', "suffix '.json' is not read here; use .txt"),
    ],
)
def test_descriptions_that_are_refused(make: Make, edit: str, parts: str) -> None:
    with refused(InputError, "field.toml ", parts):
        make((LABELS, f'files = "labels/{{id}}.json"\n{edit}')).spec()
