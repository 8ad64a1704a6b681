"""What a conversion says about the files that it reads and those that it passes over."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from raw_folder import Make
from refusals import refused

from aims.core.errors import InputError
from aims.core.schema import FileCount
from aims.data.read import Dataset
from aims.data.verify import verify_dataset
from aims.data.write import convert

SPLITS = 'train = ["b", "a"]\ntest = ["c"]'
STAR = (SPLITS, 'train = "*"')


def test_nothing_is_left(make: Make) -> None:
    for complete, edits in ((False, ()), (True, (STAR,))):
        nir, labels = make(*edits).inventory()
        assert nir == FileCount(pattern="nir/{id}.png", found=3, used=3, complete=complete)
        assert labels == FileCount(pattern="labels/{id}.png", found=3, used=3, complete=complete)
        assert nir.warnings() + labels.warnings() == []


def test_labels_without_a_picture(make: Make, raw: Path, tmp_path: Path) -> None:
    for name in "wxyz":
        shutil.copy(raw / "labels" / "a.png", raw / "labels" / f"{name}.PNG")
    warnings: list[str] = []
    made = convert(make(STAR), tmp_path / "out", on_warning=warnings.append)
    assert warnings == [
        "labels/{id}.png: 7 files, but 3 belong to an image; without one: labels/w.PNG, labels/x.PNG, "
        "labels/y.PNG and 1 more"
    ]
    assert Dataset.open(tmp_path / "out").manifest.inventory[1].found == 7
    assert made.manifest.warnings == tuple(warnings)
    assert verify_dataset(tmp_path / "out") == []
    with refused(InputError, "labels/{id}.png: 7 files", "; complete it, or leave --strict-counts out"):
        convert(make(STAR), tmp_path / "other", strict_counts=True)
    # Where images are listed, the others are left out on purpose.
    assert [count.warnings() for count in make().inventory()] == [[], []]


def test_pictures_without_a_label(make: Make, raw: Path, tmp_path: Path) -> None:
    (raw / "labels" / "b.png").unlink()
    made = convert(make(STAR), tmp_path / "out", keep_going=True)
    assert made.manifest.warnings == ("labels/{id}.png: no file for 1 image: b",)
    assert made.manifest.inventory[1].examples == ("b",)


def test_nearest_names(make: Make, raw: Path) -> None:
    for name in (
        "d.bmp",
        "e_1.jpeg",
        "notes on calibration.txt",
        "f.PNGG",
        "Thumbs.db",
        "._a.png",
        ".DS_Store",
    ):
        (raw / "nir" / name).touch()
    (raw / "nir" / "folder.png").mkdir()
    nir, labels = make(STAR).inventory()
    assert (nir.found, nir.others, nir.hidden) == (3, 4, 3)
    assert nir.nearest[0] == "nir/f.PNGG"
    assert "nir/notes on calibration.txt" not in nir.nearest
    assert (labels.others, labels.hidden) == (0, 0)


def test_both_spellings_of_one_name(make: Make, raw: Path) -> None:
    shutil.copy(raw / "nir" / "a.png", raw / "nir" / "a.PNG")
    nir, _ = make(STAR).inventory()
    assert (nir.found, nir.used, nir.unused) == (4, 3, ("nir/a.PNG",))


def test_a_split_that_is_not_described(make: Make, raw: Path) -> None:
    for split in ("train", "val"):
        (raw / split).mkdir()
        for folder in ("nir", "labels"):
            shutil.copytree(raw / folder, raw / split / folder)
    edits = (("nir/{id}", "{split}/nir/{id}"), ("labels/{id}", "{split}/labels/{id}"))
    nir, _ = make(STAR, *edits).inventory()
    assert (nir.found, nir.used, nir.unused) == (6, 3, ("val/nir/a.png", "val/nir/b.png", "val/nir/c.png"))


def test_several_patterns_of_one_folder(make: Make, raw: Path) -> None:
    for path in (raw / "labels").iterdir():
        path.rename(raw / "nir" / f"{path.stem}_mask.png")
    nir, labels = make(("labels/{id}", "nir/{id}_mask")).inventory()
    assert (nir.found, nir.used, labels.found, labels.used) == (3, 3, 3, 3)
    assert nir.others == labels.others == 0


def test_masks_beside_the_pictures_are_no_pictures(make: Make, raw: Path) -> None:
    for path in (raw / "labels").iterdir():
        path.rename(raw / "nir" / f"{path.stem}_mask.png")
    shutil.copy(raw / "nir" / "a.png", raw / "nir" / "d.png")
    converter = make(STAR, ("labels/{id}", "nir/{id}_mask"))
    assert dict(converter.splits()) == {"train": ("a", "b", "c", "d")}
    nir, labels = converter.inventory()
    assert (nir.found, nir.used, labels.found, labels.used) == (4, 4, 3, 3)
    assert labels.warnings() == ["nir/{id}_mask.png: no file for 1 image: d"]
    # A picture whose name ends like that of a mask, with a mask of its own, is one.
    shutil.copy(raw / "nir" / "a_mask.png", raw / "nir" / "a_mask_mask.png")
    assert "a_mask" in make(STAR, ("labels/{id}", "nir/{id}_mask")).splits()["train"]


@pytest.mark.parametrize("first", ['["a", "b"]', '"60%"', '"b*"'])
def test_masks_of_pictures_in_another_split_are_no_pictures(make: Make, raw: Path, first: str) -> None:
    for path in (raw / "labels").iterdir():
        path.rename(raw / "nir" / f"{path.stem}_mask.png")
    splits = ('train = ["b", "a"]\ntest = ["c"]', f'train = {first}\ntest = "*"')
    found = make(splits, ("labels/{id}", "nir/{id}_mask")).splits()
    assert sorted(name for names in found.values() for name in names) == ["a", "b", "c"]


def test_a_wildcard_that_takes_files_of_other_images(make: Make, raw: Path) -> None:
    for folder in ("nir", "labels"):
        (raw / folder / "b.png").rename(raw / folder / "a0.png")
    (raw / "labels" / "a.png").unlink()
    converter = make(STAR, ("labels/{id}.png", "labels/{id}*.png"))
    parts = (
        "labels/a0.png: fits 'labels/{id}*.png' for image 'a' and for 'a0'; narrow it (",
        "[labels] files",
    )
    with refused(InputError, parts):
        converter.inventory()


def test_no_file_at_all(make: Make, raw: Path) -> None:
    for path in (raw / "labels").iterdir():
        path.rename(path.with_suffix(".tif"))
    _, labels = make().inventory()
    assert (labels.found, labels.images_without, labels.examples) == (0, 3, ("b", "a", "c"))
    assert labels.nearest == ("labels/a.tif", "labels/b.tif", "labels/c.tif")


@pytest.mark.parametrize("splits", ['train = "*"', SPLITS])
def test_coco_entries(make: Make, raw: Path, splits: str) -> None:
    names = ("a.png", "b.png", "z.png")
    images = [{"id": k, "file_name": name, "height": 5, "width": 7} for k, name in enumerate(names)]
    categories = [{"id": 1, "name": "weed"}, {"id": 2, "name": "crop"}]
    content = {"images": images, "annotations": [], "categories": categories}
    (raw / "all.json").write_text(json.dumps(content), encoding="utf-8-sig")
    kind = 'kind = "semantic"\nvalues = { weed = 1, crop = 2 }'
    _, entries = make((SPLITS, splits), ("labels/{id}.png", "all.json"), (kind, 'kind = "coco"')).inventory()
    assert (entries.pattern, entries.found, entries.used) == ("all.json 'images'", 3, 2)
    assert (entries.unused, entries.examples) == (("z.png",), ("c",))
    assert len(entries.warnings()) == (2 if "*" in splits else 0)
