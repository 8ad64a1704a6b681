"""`aims init`'s descriptions of folders: what they say, and what they say is missing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from drafted import SHARE, converted, described, instances
from public_layouts import boxes, picture, save, save_palette, scenes, write
from refusals import refused

from aims.converters.coco import CocoConverter
from aims.converters.folder import FolderConverter
from aims.core.errors import InputError


def test_scenes_are_groups(tmp_path: Path) -> None:
    scenes(tmp_path / "raw")
    content, draft = described(tmp_path / "raw")
    assert (content["group"], content["image_id"]) == ("{scene}", "{scene}/{id}")
    dataset = converted(tmp_path / "raw", draft, tmp_path)
    assert {ref.group for refs in dataset.index.values() for ref in refs} == {"bath", "kitchen_2", "office"}


def test_the_same_folder_gives_the_same_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it lies, and by whatever path it is given."""
    for place in ("one", "two/three"):
        scenes(tmp_path / place / "raw")
    first = FolderConverter.draft(tmp_path / "one" / "raw").text
    assert FolderConverter.draft(tmp_path / "two" / "three" / "raw").text == first
    monkeypatch.chdir(tmp_path / "one" / "raw")
    assert FolderConverter.draft(Path()).text == first


def pairs(root: Path, count: int = 3, dtype: str = "uint8") -> Path:
    for k in range(count):
        save(root / "images" / f"{k}.png", picture(k, dtype=dtype))
        save(root / "masks" / f"{k}.png", boxes(1, 1))
    return root


def test_labels_named_as_one_of_several_sensors(tmp_path: Path) -> None:
    for k in range(3):
        save(tmp_path / "raw" / "rgb" / f"r_{2003 + 40 * k}.png", picture(k))
        save(tmp_path / "raw" / "thermal" / f"t_{1000 + 33 * k}.png", picture(k, dtype="uint16"))
        save(tmp_path / "raw" / "masks" / f"t_{1000 + 33 * k}.png", boxes(1))
    content, draft = described(tmp_path / "raw")
    assert content["streams"]["thermal"]["files"] == "thermal/{id}.png"
    assert content["labels"]["files"] == "masks/{id}.png"
    assert "rgb/{id}.png is left out: 0 images of 3 have such a file" in draft.unknown


class TestNames:
    def test_letters_with_a_meaning(self, tmp_path: Path) -> None:
        """Braces, wildcards, regular expressions, quotes, spaces and Unicode in names."""
        root = tmp_path / 'r {a} "+'
        for k in range(3):
            save(root / "im[a]{x}* (1)" / f"ä {k}+.PNG", picture(k))
            save(root / 'mäsk\\"s' / "masks" / f"ä {k}+.png", boxes(1))
        content, draft = described(root)
        assert content["streams"]["image"]["files"] == "im[a]?x?? (1)/{id}.png"
        assert content["labels"]["files"] == 'mäsk?"s/masks/{id}.png'
        assert content["name"] == "r-a"
        assert instances(converted(root, draft, tmp_path)) == {"class_1": 3}

    def test_files_that_systems_leave_behind(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw")
        before, _ = described(root)
        for name in ("images/._0.png", "masks/Thumbs.db", ".DS_Store", "__MACOSX/images/1.png"):
            write(root / name, "junk")
        after, draft = described(root)
        assert after == before
        assert "3 hidden files are passed over" in draft.unknown

    def test_files_of_other_formats(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw")
        for name in ("images/0.EXR", "images/1.exr", "a.xml", "README", "b.pgm", "c.dcm", "train.csv"):
            write(root / name, "junk")
        _, draft = described(root)
        line = "6 files of formats that are not read: .exr (2), no suffix (1), .xml (1), .pgm (1), ..."
        assert [note for note in draft.unknown if "formats" in note] == [line]

    def test_json_that_is_no_label(self, tmp_path: Path) -> None:
        for k in range(3):
            save(tmp_path / "raw" / "images" / f"{k}.png", picture(k))
        write(tmp_path / "raw" / "via_export.json", '{"0.png123": {"filename": "0.png", "regions": []}}')
        draft = FolderConverter.draft(tmp_path / "raw")
        assert "1 JSON file in no form of labels that is read" in draft.unknown

    def test_suffixes_that_differ(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw", 4)
        os.rename(root / "images" / "0.png", root / "images" / "0.PNG")
        save(root / "images" / "7.tif", picture(7))
        save(root / "masks" / "7.png", boxes(1))
        content, draft = described(root)
        assert content["streams"]["image"]["files"] == "images/{id}.*"
        assert instances(converted(root, draft, tmp_path)) == {"class_1": 9}

    def test_suffixes_beside_other_files(self, tmp_path: Path) -> None:
        """A wildcard would take the JSON file for a picture."""
        root = pairs(tmp_path / "raw", 4)
        (root / "images" / "0.png").unlink()
        save(root / "images" / "0.tif", picture(0))
        write(root / "images" / "camera.json", "{}")
        content, draft = described(root)
        assert content["streams"]["image"]["files"] == "images/{id}.png"
        assert "images/{id}.tif is left out: 0 images of 3 have such a file" in draft.unknown
        assert instances(converted(root, draft, tmp_path)) == {"class_1": 6}

    @pytest.mark.parametrize("name", ["images/0.mat", "images/0.npz", "labels/0.json", "0.csv", "train.txt"])
    def test_junk_beside_pictures(self, tmp_path: Path, name: str) -> None:
        """What is no file of its kind is left out, and nothing else changes."""
        root = pairs(tmp_path / "raw")
        streams = described(root)[0]["streams"]
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"\x00\xffMATLAB 5.0\n" * 30)
        content, draft = described(root)
        assert (content["streams"], content["labels"]["files"]) == (streams, "masks/{id}.png")
        assert not draft.problems

    def test_a_name_that_is_no_text(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw")
        (root / "other").mkdir()
        Path(os.fsdecode(os.fsencode(root / "other") + b"/\xff.png")).write_bytes(b"x")
        assert any("not UTF-8" in note for note in described(root)[1].unknown)

    def test_links_that_lead_to_no_file(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw")
        (root / "images" / "9.png").symlink_to("nowhere")
        assert "1 link leads to no file" in described(root)[1].unknown
        for path in (*root.rglob("*.png"),):
            path.unlink()
            path.symlink_to("nowhere")
        with refused(InputError, "raw: 7 links lead to no file; fetch what they link to"):
            FolderConverter.draft(root)

    def test_links_in_a_circle(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw")
        (root / "again").symlink_to(root)
        assert described(root)[0]["streams"]["image"]["files"] == "images/{id}.png"

    def test_classes_as_folders_of_masks(self, tmp_path: Path) -> None:
        for k in range(3):
            save(tmp_path / "raw" / "img" / f"{k}.png", picture(k))
            for name in ("weed", "crop"):
                save(tmp_path / "raw" / "masks" / name / f"{k}.png", boxes(1))
        content, draft = described(tmp_path / "raw")
        assert content["labels"] == {"files": "masks/*/{id}.png", "kind": "masks"}
        assert "labels: whether the folders of masks/*/ are classes" in draft.unknown

    def test_the_same_names_in_two_splits(self, tmp_path: Path) -> None:
        for split in ("train", "test"):
            pairs(tmp_path / "raw" / split)
        content, draft = described(tmp_path / "raw")
        assert content["image_id"] == "{split}/{id}"
        assert instances(converted(tmp_path / "raw", draft, tmp_path)) == {"class_1": 12}


class TestValues:
    def test_a_value_far_from_all_others(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw")
        for k in range(3):
            array = picture(k).astype(np.float32)
            array[:2] = -9999
            save(root / "depth" / f"{k}.npy", array)
        content, draft = described(root)
        assert content["streams"]["depth"] == {"files": "depth/{id}.npy", "unit": "unknown"}
        assert "# missing = -9999.0" in draft.text.splitlines()
        (note,) = (note for note in draft.unknown if "missing" in note)
        assert note.startswith("depth: -9999 occurs 96 times")

    def test_a_void_value(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw")
        save(root / "masks" / "0.png", boxes(1, 1, 2, 255))
        assert described(root)[0]["labels"] == {
            "files": "masks/{id}.png",
            "kind": "semantic",
            "values": {"class_1": 1, "class_2": 2},
            "void": [255],
        }

    def test_soft_edges(self, tmp_path: Path) -> None:
        mask = np.zeros((60, 80), np.uint8)
        mask[5:40, 5:50] = 255
        mask[4, 5:50] = np.arange(45) * 5
        for k in range(2):
            save(tmp_path / "raw" / "images" / f"{k}.jpg", np.resize(picture(k), mask.shape))
            save(tmp_path / "raw" / "masks" / f"{k}.png", mask)
        content, draft = described(tmp_path / "raw")
        assert content["labels"]["values"] == {"class_1": list(range(128, 256))}
        assert content["labels"]["void"] == list(range(1, 128))
        assert instances(converted(tmp_path / "raw", draft, tmp_path)) == {"class_1": 2}

    def test_soft_edges_of_one_mask_an_object(self, tmp_path: Path) -> None:
        for k in range(2):
            save(tmp_path / "raw" / "images" / f"{k}.jpg", np.resize(picture(k), (60, 80)))
            for n in range(2):
                mask = np.zeros((60, 80), np.uint8)
                mask[30 * n + 5 : 30 * n + 25, 5:50] = 255
                mask[30 * n + 4, 5:50] = np.arange(45) * 5
                save(tmp_path / "raw" / "masks" / f"{k}" / f"{n}.png", mask)
        content, draft = described(tmp_path / "raw")
        assert content["labels"] == {
            "files": "masks/{id}/*.png",
            "kind": "masks",
            "void": list(range(1, 128)),
        }
        assert instances(converted(tmp_path / "raw", draft, tmp_path)) == {"class_1": 4}

    def test_one_colour_an_instance(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw", 10)
        colours = np.random.default_rng(0).permutation(256 * 256).reshape(-1)[:90]
        for k in range(10):
            drawn = np.zeros((12, 16, 3), np.uint8)
            for n, at in enumerate(np.ndindex(3, 3)):
                code = int(colours[9 * k + n])
                drawn[4 * at[0] : 4 * at[0] + 3, 5 * at[1] : 5 * at[1] + 4] = code >> 8, code & 255, 90
            save(root / "masks" / f"{k}.png", drawn)
        content, draft = described(root)
        assert content["labels"] == {"files": "masks/{id}.png", "kind": "instance"}
        assert instances(converted(root, draft, tmp_path)) == {"class_1": 90}

    def test_more_colours_than_classes_have(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw")
        for k in range(3):  # each colour in two places
            half = np.random.default_rng(k).integers(0, 256, (12, 8, 3), np.uint8)
            save(root / "masks" / f"{k}.png", np.concatenate([half, half], 1))
        _, draft = described(root)
        assert any("colours, too many for a palette, and no instances" in note for note in draft.unknown)

    def test_pages_of_a_tiff_are_channels(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw")
        (root / "ms").mkdir()
        for k in range(3):
            stack = np.stack([picture(k + n, dtype="uint16") for n in range(4)])
            tifffile.imwrite(root / "ms" / f"{k}.tif", stack, photometric="minisblack")
        _, draft = described(root)
        (what,) = (what for part, _, what in draft.found if part == "ms")
        assert what.startswith("uint16, 4 channels, 12 x 16, values ")
        dataset = converted(root, draft, tmp_path)
        assert {name: stream.channels for name, stream in dataset.spec.streams.items()} == {
            "image": 1,
            "ms": 4,
        }

    def test_palettes_measure_nothing(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw")
        for k in range(3):
            save_palette(root / "images" / f"{k}.png", picture(k))
        content, draft = described(root)
        assert "streams" not in content
        assert content["rgb"] == {"files": "images/{id}.png"}
        assert instances(converted(root, draft, tmp_path)) == {"class_1": 6}


class TestSplits:
    def test_lists_of_other_images_are_named(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw", 4)
        write(root / "train.txt", "images/0.png\r\nimages/9.png\r\n")
        write(root / "test.txt", "2\n")
        content, draft = described(root)
        assert content["splits"] == SHARE
        assert "train.txt is not used: it names 1 image that is not there" in draft.unknown

    @pytest.mark.parametrize(
        ("count", "splits"), [(1, {"train": "*"}), (2, {**SHARE, "train": "50%"}), (3, SHARE)]
    )
    def test_shares_of_few_images(self, tmp_path: Path, count: int, splits: dict[str, Any]) -> None:
        root = pairs(tmp_path / "raw", count)
        content, draft = described(root)
        assert content["splits"] == splits
        assert instances(converted(root, draft, tmp_path)) == {"class_1": 2 * count}


class TestWhatIsMissing:
    def test_labels(self, tmp_path: Path) -> None:
        for k in range(3):
            save(tmp_path / "nir" / f"{k}.png", picture(k))
            save(tmp_path / "rgb" / f"{k}.jpg", picture(k, 3))
        content, draft = described(tmp_path)
        assert content["streams"]["nir"]["files"] == "nir/{id}.png"
        assert content["rgb"]["files"] == "rgb/{id}.jpg"
        assert "labels" not in content
        assert draft.problems == ["labels, named as their pictures are"]

    def test_pictures(self, tmp_path: Path) -> None:
        for k in range(3):
            save(tmp_path / "masks" / f"{k}.png", boxes(1))
        content, draft = described(tmp_path)
        assert content["labels"]["files"] == "masks/{id}.png"
        assert draft.problems == ["pictures, named as their labels are"]

    def test_labels_of_some_images(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw", 5)
        (root / "masks" / "4.png").unlink()
        _, draft = described(root)
        assert draft.keep_going
        assert not draft.problems
        assert "labels: 1 picture has none" in draft.unknown

    def test_jpeg_masks(self, tmp_path: Path) -> None:
        for k in range(2):
            save(tmp_path / "images" / f"{k}.png", picture(k))
            save(tmp_path / "masks" / f"{k}.jpg", boxes(255))
        _, draft = described(tmp_path)
        assert "labels masks/{id}.jpg are left out: JPEG changes values" in draft.unknown

    def test_a_damaged_picture(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw", 4)
        (root / "images" / "0.png").write_bytes(b"x")
        _, draft = described(root)
        assert draft.keep_going
        assert any(note.startswith("images/0.png: not a PNG file") for note in draft.unknown)

    def test_streams_of_some_images(self, tmp_path: Path) -> None:
        root = pairs(tmp_path / "raw", 4)
        save(root / "nir" / "0.png", picture(1))
        save(root / "overview.png", picture(2, 3))
        content, draft = described(root)
        assert list(content["streams"]) == ["image"]
        for start in (
            "nir/{id}.png is left out: 1 image of 4 has",
            "{id}.png is left out: 0 images of 4 have",
        ):
            assert any(note.startswith(start) for note in draft.unknown)


def missing(root: Path) -> None:
    root.rmdir()


def one_file(root: Path) -> None:
    root.rmdir()
    root.write_text("x")


def coco(root: Path) -> None:
    save(root / "images" / "a.png", picture(1))
    image = {"id": 1, "file_name": "a.png", "height": 12, "width": 16}
    content = {"images": [image], "annotations": [], "categories": [{"id": 1, "name": "x"}]}
    write(root / "annotations" / "train.json", json.dumps(content))


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (missing, "no such folder"),
        (one_file, "is a file"),
        (lambda root: write(root / ".DS_Store", "x"), "an empty folder, but for 1 hidden file"),
        (lambda root: write(root / "scan.dcm", "x"), "1 file, and none that is read; pictures are png"),
        (coco, "aims convert coco --raw"),
    ],
)
def test_refused(tmp_path: Path, make: Callable[[Path], None], parts: str) -> None:
    root = tmp_path / "raw"
    root.mkdir()
    make(root)
    with refused(InputError, root, parts):
        FolderConverter.draft(root)


def test_other_converters_need_no_description(tmp_path: Path) -> None:
    with refused(InputError, "converter 'coco' needs no description"):
        CocoConverter.draft(tmp_path)
