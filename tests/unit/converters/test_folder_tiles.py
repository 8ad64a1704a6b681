"""Pictures that the folder converter cuts into tiles."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from raw_folder import Make, check_dataset, label_map, ramp
from refusals import refused

from aims.converters.folder import FolderConverter
from aims.converters.folder.tiles import Tiles
from aims.core.errors import InputError
from aims.core.schema import InstanceMap, SampleError, SemanticMap
from aims.data.format import decode_rgb
from aims.data.write import convert

END = "values = { weed = 1, crop = 2 }\n"


def tiled(size: str, *more: str) -> tuple[str, str]:
    """The edit that cuts pictures of 5 x 7."""
    return END, "\n".join((END, "[tiles]", f"size = {size}", *more, ""))


def outlined(raw: Path) -> tuple[tuple[str, str], ...]:
    """The edits that cut pictures whose labels are outlines, which have no size."""
    (raw / "ann").mkdir()
    for name in "abc":
        (raw / "ann" / f"{name}.txt").write_text("0 0.1 0.1 0.9 0.1 0.9 0.9 0.1 0.9\n")
    tiles = '"yolo"\n\n[tiles]\nsize = [4, 3]\n'
    return ("labels/{id}.png", "ann/{id}.txt"), ('"semantic"\n' + END, tiles)


def starts(length: int, tile: int, overlap: int = 0) -> list[int]:
    boxes = Tiles(size=(tile, tile), overlap=overlap).boxes((length, tile))
    return [rows.start for rows, _ in boxes.values()]


class TestBoxes:
    def test_rows_first_with_the_last_at_the_edge(self) -> None:
        boxes = Tiles(size=(3, 4)).boxes((5, 7))
        corners = {
            name: (rows.start, rows.stop, columns.start, columns.stop)
            for name, (rows, columns) in boxes.items()
        }
        assert corners == {"00": (0, 3, 0, 4), "01": (0, 3, 3, 7), "10": (2, 5, 0, 4), "11": (2, 5, 3, 7)}

    def test_overlap(self) -> None:
        assert starts(10, 4, 1) == [0, 3, 6]
        assert starts(11, 4, 1) == [0, 3, 6, 7]
        assert starts(10, 4, 2) == [0, 2, 4, 6]
        assert starts(12, 4) == [0, 4, 8]

    def test_a_smaller_picture_is_one_tile(self) -> None:
        assert dict(Tiles(size=(9, 4)).boxes((5, 3))) == {"00": (slice(0, 5), slice(0, 3))}

    def test_every_name_once(self) -> None:
        names = list(Tiles(size=(1, 1)).boxes((2, 12)))
        assert (names[0], names[-1], len(set(names))) == ("0000", "0111", 24)


class TestFolder:
    def test_tiles_put_together_are_the_picture(self, make: Make) -> None:
        converter = make(tiled("[5, 4]", "overlap = 1"))
        assert converter.splits()["train"] == ("b_00", "b_01", "a_00", "a_01")
        left, right = (converter.read("train", name) for name in ("a_00", "a_01"))
        assert (left.group, right.group, right.image_id) == ("a", "a", "a_01")
        np.testing.assert_array_equal(left.streams["nir"], ramp(1000)[:, :4])
        np.testing.assert_array_equal(right.streams["nir"], ramp(1000)[:, 3:])
        assert isinstance(right.labels, SemanticMap)
        np.testing.assert_array_equal(right.labels.class_map, label_map()[:, 3:])

    def test_what_a_cut_goes_through_is_counted(self, make: Make, tmp_path: Path) -> None:
        # The four pixels of weed lie on both sides of column 4, the crop in column 0.
        made = convert(make(tiled("[5, 4]")), tmp_path / "out")
        assert made.manifest.splits["test"].instances == 3
        assert made.manifest.dropped == {"cut": 6}
        lines = {line.image_id: line.reason for line in made.dropped}
        assert lines["c_00"].startswith("1 of 2 objects go on in other tiles")
        assert lines["c_01"].startswith("1 of 1 objects go on in other tiles")
        options = json.loads((tmp_path / "out" / "aims.json").read_text())["converter"]["options"]
        assert options["tiles"] == {"size": [5, 4], "overlap": 0}

    def test_becomes_a_dataset_without_tiles_that_show_nothing(self, make: Make, tmp_path: Path) -> None:
        converter = make(tiled("[1, 7]"))
        made = convert(converter, tmp_path / "out")
        # Rows 1, 3 and 4 of five; crop in two rows.
        assert (made.manifest.splits["test"].images, made.manifest.splits["test"].instances) == (3, 3)
        assert made.manifest.dropped == {"no instance": 6, "cut": 6}

    def test_verified(self, make: Make, tmp_path: Path) -> None:
        dataset = check_dataset(make(tiled("[5, 4]")), tmp_path / "out")
        assert {ref.group for ref in dataset.index["train"]} == {"a", "b"}

    def test_a_picture_is_read_once(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        converter, read = make(tiled("[5, 3]")), FolderConverter._read
        taken = []

        def count(self: FolderConverter, split: str, image_id: str):
            taken.append(image_id)
            return read(self, split, image_id)

        monkeypatch.setattr(FolderConverter, "_read", count)
        for tile in converter.splits()["train"]:
            converter.read("train", tile)
        assert len(converter.splits()["train"]) == 6
        assert taken == ["b", "a"]

    def test_files_and_inventory_are_those_of_pictures(self, make: Make, raw: Path) -> None:
        converter = make(tiled("[5, 4]"))
        assert converter.source_files("test", "c_01") == (raw / "nir/c.png", raw / "labels/c.png")
        assert [(files.found, files.used) for files in converter.inventory()] == [(3, 3), (3, 3)]

    def test_instances_and_rgb(self, make: Make, raw: Path) -> None:
        (raw / "rgb").mkdir()
        colours = ramp(10, channels=3, dtype=np.uint8)
        for name in "abc":
            cv2.imwrite(str(raw / "rgb" / f"{name}.png"), colours[..., ::-1])
            Image.fromarray(label_map() * np.uint8(7)).save(raw / "labels" / f"{name}.png")
        one = 'classes = ["weed"]'
        converter = make(
            ('classes = ["weed", "crop"]', one),
            ('"semantic"\n' + END, '"instance"\n\n[rgb]\nfiles = "rgb/{id}.png"\n\n[tiles]\nsize = [5, 4]\n'),
        )
        sample = converter.read("train", "a_01")
        assert isinstance(sample.labels, InstanceMap)
        np.testing.assert_array_equal(sample.labels.instances, 7 * label_map()[:, 3:])
        assert sample.rgb is not None
        np.testing.assert_array_equal(decode_rgb(sample.rgb), colours[:, 3:])
        assert sample.cuts == ("1 of 1 objects go on in other tiles; each counts its part",)

    def test_a_mosaic_at_half_resolution(self, make: Make, raw: Path) -> None:
        frame = np.arange(8 * 12, dtype=np.uint16).reshape(8, 12)
        for name in "abc":
            cv2.imwrite(str(raw / "nir" / f"{name}.png"), frame)
        mosaic = '[mosaic]\nlayout = [[90, 45], [135, 0]]\nresolution = "half"'
        converter = make(("[streams.nir]", mosaic), *outlined(raw))
        streams = converter.read("train", "a_01").streams
        np.testing.assert_array_equal(streams["i90"][..., 0], frame[::2, 6::2])
        np.testing.assert_array_equal(streams["i0"][..., 0], frame[1::2, 7::2])

    def test_channels_first(self, make: Make, raw: Path) -> None:
        for name in "abc":
            (raw / "nir" / f"{name}.png").unlink()
            np.save(raw / "nir" / f"{name}.npy", np.moveaxis(ramp(5, channels=2), -1, 0))
        converter = make(
            ("nir/{id}.png", "nir/{id}.npy"),
            ('unit = "digital number"', 'unit = "digital number"\nchannel_axis = "first"'),
            *outlined(raw),
        )
        np.testing.assert_array_equal(
            converter.read("train", "a_01").streams["nir"], ramp(5, channels=2)[:4, 3:6]
        )


class TestMistakes:
    @pytest.mark.parametrize(
        ("size", "more", "message"),
        [
            ("5", (), "'size' is 5; it must be two whole numbers above 0, \\[height, width\\]"),
            ("[0, 4]", (), "'size' is \\[0, 4\\]; it must be two"),
            ("[5, 4]", ("overlap = 4",), "'overlap' is 4; it must be 0 or more, and less than the size"),
            ("[5, 4]", ("step = 4",), "step"),
        ],
    )
    def test_keys(self, make: Make, size: str, more: tuple[str, ...], message: str) -> None:
        with pytest.raises(InputError, match=message):
            make(tiled(size, *more)).splits()

    def test_a_damaged_picture_is_named_when_it_is_read(self, make: Make, raw: Path, tmp_path: Path) -> None:
        (raw / "labels" / "a.png").write_bytes(b"")
        (raw / "nir" / "a.png").write_bytes(b"")
        converter = make(tiled("[5, 4]"))
        assert converter.splits()["train"] == ("b_00", "b_01", "a_00")
        with refused(SampleError, "a.png"):
            converter.read("train", "a_00")
        made = convert(converter, tmp_path / "out", keep_going=True)
        assert [line.image_id for line in made.dropped if line.kind == "unreadable"] == ["a_00"]
