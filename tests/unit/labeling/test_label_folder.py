"""What was labelled by hand is a folder that `aims convert folder` reads, with every number as it was."""

from __future__ import annotations

import json

import numpy as np
import pytest
from refusals import refused

import aims
from aims.core.errors import InputError
from aims.core.schema import StreamSpec
from aims.labeling.folder import LabelFolder, image_id
from aims.prediction.prompt_files import Prompt, PromptFile
from helpers import DTYPES, file_digests, seeded

CLICK = Prompt(points=[(3, 4)], labels=[1])


def box(size, top, left, bottom, right):
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def converted(labels, out):
    aims.convert("folder", config=labels.path / "labels.toml", raw=labels.path, out=out, strict_counts=True)
    return aims.open(out)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_every_number_comes_back(tmp_path, dtype, channels):
    array = (seeded(dtype, channels).random((6, 9, channels)) * 100).astype(dtype)
    spec = StreamSpec(
        channels=channels, unit="V", valid_range=(-5.0, 200.0), missing=7, wavelength_nm=(8e3, 1e4)
    )
    labels = LabelFolder(tmp_path / "labels", {"signal": spec})
    labels.add("a", {"signal": array}, box((6, 9), 1, 2, 4, 6), "thing", CLICK)
    dataset = converted(labels, tmp_path / "set")
    stored = dataset[0].streams["signal"]
    assert stored.dtype == array.dtype
    assert np.array_equal(stored, array)
    assert dataset.streams["signal"] == spec


def test_rgb_stays_a_picture(tmp_path):
    array = seeded("rgb").integers(0, 256, (6, 9, 3), np.uint8)
    spec = StreamSpec(channels=3, unit="digital number", valid_range=(0.0, 255.0))
    labels = LabelFolder(tmp_path / "labels", {"rgb": spec})
    labels.add("a", {"rgb": array}, box((6, 9), 1, 2, 4, 6), "thing", CLICK)
    assert np.array_equal(converted(labels, tmp_path / "set")[0].streams["rgb"], array)


@pytest.fixture
def labels(tmp_path):
    return LabelFolder(tmp_path / "labels", {"signal": StreamSpec(channels=1, unit="V")}, ["weed"])


ARRAYS = {"signal": np.arange(54, dtype=np.float32).reshape(6, 9, 1)}


def test_objects_have_classes_and_masks(tmp_path, labels):
    first, second = box((6, 9), 0, 0, 3, 3), box((6, 9), 2, 2, 6, 9)
    labels.add("test/a", ARRAYS, first, "weed", CLICK)
    labels.add("test/a", ARRAYS, second, "gross er Löwenzahn", CLICK)
    image = converted(labels, tmp_path / "set")[0]
    # Where masks overlap, the smaller one is on top.
    assert image.image_id == "test--a"
    found = {each["class_id"]: image.instances == each["id"] for each in image.objects}
    assert np.array_equal(found[1], first)
    assert np.array_equal(found[2], second & ~first)
    assert labels.classes == ("weed", "gross er Löwenzahn")


def test_a_folder_goes_on_where_it_was_left(tmp_path, labels):
    labels.add("a", ARRAYS, box((6, 9), 0, 0, 3, 3), "weed", CLICK)
    labels.add("a", ARRAYS, box((6, 9), 3, 3, 6, 6), "crop", Prompt(box=(3, 3, 5, 5)))
    path = labels.path / "labels.toml"
    path.write_text(path.read_text().replace('unit = "V"', 'unit = "mV"').replace("not stated", "CC0"))
    again = LabelFolder(labels.path, {"signal": StreamSpec(channels=1, unit="V")}, ["stone"])
    assert again.classes == ("weed", "crop", "stone")
    assert again.count() == (1, 2)
    saved = again.add("b", ARRAYS, box((6, 9), 0, 0, 2, 2), "stone", CLICK)
    assert np.array_equal(again.mask(saved), box((6, 9), 0, 0, 2, 2))
    # What was changed by hand stays.
    assert 'unit = "mV"' in path.read_text()
    assert "CC0" in path.read_text()
    assert len(converted(again, tmp_path / "set")) == 2
    prompts = PromptFile.read(labels.path / "prompts.json")
    assert [prompt.box for prompt in prompts.of("a", "signal/a.tif")] == [None, (3, 3, 5, 5)]


def test_the_last_object_takes_its_picture_along(labels):
    first = labels.add("a", ARRAYS, box((6, 9), 0, 0, 3, 3), "weed", CLICK)
    before = file_digests(labels.path)
    second = labels.add("a", ARRAYS, box((6, 9), 3, 3, 6, 6), "crop", CLICK)
    labels.remove("a", second.number)
    after = file_digests(labels.path)
    assert {name for name in after if before.get(name) != after[name]} == {"labels.toml"}
    assert set(after) == set(before)
    labels.remove("a", first.number)
    assert set(file_digests(labels.path)) == {"labels.toml"}
    with refused(InputError, "a: has no object 1"):
        labels.remove("a", 1)


def test_prompts_of_another_number_of_objects_are_dropped(labels):
    labels.add("a", ARRAYS, box((6, 9), 0, 0, 3, 3), "weed", CLICK)
    file = labels.path / "prompts.json"
    file.write_text(json.dumps({"a": [{"points": [[1, 1]]}, {"points": [[2, 2]]}]}))
    again = LabelFolder(labels.path, {"signal": StreamSpec(channels=1, unit="V")})
    again.add("b", ARRAYS, box((6, 9), 0, 0, 3, 3), "weed", CLICK)
    assert set(json.loads(file.read_text())) == {"b"}


@pytest.mark.parametrize(
    "name", ["", " ", "a/b", "..", ".", "a\\b", "a\n", "a*", "{id}", "x" * 61, "a\u202eb"]
)
def test_what_cannot_be_a_class(labels, name):
    with refused(InputError, f"class {name!r}"):
        labels.add("a", ARRAYS, box((6, 9), 0, 0, 3, 3), name, CLICK)
    assert not labels.path.exists()


def test_classes_differ_in_more_than_capitals(labels):
    with refused(InputError, "class 'Weed'", "'weed'"):
        labels.add("a", ARRAYS, box((6, 9), 0, 0, 3, 3), "Weed", CLICK)


def test_an_empty_mask_is_no_object(labels):
    with refused(InputError, "the mask is empty"):
        labels.add("a", ARRAYS, np.zeros((6, 9), bool), "weed", CLICK)
    assert not labels.path.exists()


def test_folders_of_something_else_are_refused(tmp_path, labels):
    labels.add("a", ARRAYS, box((6, 9), 0, 0, 3, 3), "weed", CLICK)
    with refused(InputError, "holds labels of signal, the model sees depth"):
        LabelFolder(labels.path, {"depth": StreamSpec(channels=1, unit="m")})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with refused(InputError, "holds something else"):
        LabelFolder(tmp_path / "other", {"depth": StreamSpec(channels=1, unit="m")})


def test_names_are_one_file_name():
    assert image_id("test/scene/1") == "test--scene--1"


def test_another_picture_of_a_known_name_is_refused(labels):
    labels.add("a", ARRAYS, box((6, 9), 0, 0, 3, 3), "weed", CLICK)
    before = file_digests(labels.path)
    for other in (ARRAYS["signal"] + 1, ARRAYS["signal"].astype(np.float64), ARRAYS["signal"][:5]):
        with refused(InputError, "a.tif: another picture of this name"):
            labels.add("a", {"signal": other}, box(other.shape[:2], 0, 0, 3, 3), "weed", CLICK)
    assert file_digests(labels.path) == before


def test_missing_values_are_the_same_picture(labels):
    arrays = {"signal": np.where(ARRAYS["signal"] > 5, np.nan, ARRAYS["signal"]).astype(np.float32)}
    labels.add("a", arrays, box((6, 9), 0, 0, 3, 3), "weed", CLICK)
    labels.add("a", arrays, box((6, 9), 3, 3, 6, 6), "weed", CLICK)
    assert labels.count() == (1, 2)
