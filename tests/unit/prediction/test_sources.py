"""The pictures that are predicted, and the names of their results."""

from __future__ import annotations

import dataclasses
import unicodedata

import pytest
from refusals import refused

import aims
from aims.core.errors import InputError
from aims.data.write import convert
from aims.prediction.sources import Source, find_sources
from helpers import MadeUp


class Leaving(MadeUp):
    """Image ids that lead out of a folder."""

    def splits(self):
        return {split: [f"../../{name}" for name in names] for split, names in super().splits().items()}

    def read(self, split, image_id):
        return dataclasses.replace(super().read(split, image_id.removeprefix("../../")), image_id=image_id)


def test_results_stay_in_their_folder(run_folder, raw, tmp_path):
    convert(Leaving(raw=raw, images=2), tmp_path / "set")
    rules = aims.load(run_folder, device="cpu").rules
    with refused(InputError, "../../a000", "leaves its folder"):
        find_sources([tmp_path / "set"], rules)


@pytest.mark.parametrize("name", ["/x", "a\0b", "caf\udce9"])
def test_no_result_is_outside_or_has_a_name_that_is_no_text(name):
    with pytest.raises(InputError, match=r"leaves its folder|no result can have its name"):
        Source(name=name, file="set:x")


@pytest.mark.parametrize(
    "hidden", ["._a.png", ".ipynb_checkpoints/a.png", "b/._a.png", "__MACOSX/._a.png", ".cache/b/a.npy"]
)
def test_hidden_files_of_a_folder_are_no_pictures(run_folder, tmp_path, hidden):
    for name in ("a.png", "b/a.PNG", hidden):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_sources([tmp_path], aims.load(run_folder, device="cpu").rules)
    assert [source.name for source in found] == ["a", "b/a"]


@pytest.mark.parametrize("pattern", ["{id}.set/rgb.png", "{id}.set/rgb.???", "{id}.set/rgb.p*"])
def test_a_suffix_may_have_wildcards(run_folder, tmp_path, pattern):
    (tmp_path / "b.set").mkdir()
    (tmp_path / "b.set" / "rgb.png").touch()
    rules = aims.load(run_folder, device="cpu").rules
    sources = find_sources([tmp_path], rules, streams={"thermal": pattern})
    assert [source.name for source in sources] == ["b"]


def test_names_of_several_streams_are_read_alike(run_folder, tmp_path):
    name = unicodedata.normalize("NFC", "ä")
    for path in (
        f"rgb/{name}_x.JPG",
        f"nir/{unicodedata.normalize('NFD', name)}.tif",
        "rgb/b_x.jpg",
        "nir/b.tif",
    ):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "nir" / "._b.tif").touch()
    streams = {"rgb": "rgb/{id}_x.jpg", "nir": "nir/{id}.tif"}
    found = find_sources([tmp_path], aims.load(run_folder, device="cpu").rules, streams=streams)
    assert [(source.name, [*source.recording]) for source in found] == [
        ("b", ["rgb", "nir"]),
        (name, ["rgb", "nir"]),
    ]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*/img/{id}.png", ["a", "b"]),
        ("scene?/img/{id}.png", ["a", "b"]),
        ("scene[1]/img/{id}.png", ["c"]),
        ("./scene1/img/{id}.*", ["a"]),
        ("{id}_*.png", ["d"]),
    ],
)
def test_a_name_is_what_stands_for_id(run_folder, tmp_path, pattern, names):
    for path in ("scene1/img/a.png", "scene2/img/b.png", "scene[1]/img/c.png", "d_20260101.png"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    if pattern.startswith("*"):
        (tmp_path / "scene[1]/img/c.png").unlink()
    rules = aims.load(run_folder, device="cpu").rules
    found = find_sources([tmp_path], rules, streams={"thermal": pattern})
    assert [source.name for source in found] == names


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [("*/{id}.png", "are two files for picture 'a'; narrow"), ("/raw/{id}.png", "is absolute")],
)
def test_patterns_that_are_refused(run_folder, tmp_path, pattern, reason):
    for path in ("x/a.png", "y/a.png"):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).touch()
    with refused(InputError, reason):
        find_sources([tmp_path], aims.load(run_folder, device="cpu").rules, streams={"thermal": pattern})


def test_a_file_that_is_named_twice_is_one_picture(run_folder, tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).touch()
    rules = aims.load(run_folder, device="cpu").rules
    given = [tmp_path / "b.png", tmp_path / "*.png", tmp_path / ".." / tmp_path.name]
    assert [source.name for source in find_sources(given, rules)] == ["b", "a"]


def test_two_pictures_never_share_a_result(run_folder, raw, tmp_path):
    for name in ("one", "two"):
        convert(MadeUp(raw=raw, images=2), tmp_path / name)
    rules = aims.load(run_folder, device="cpu").rules
    with refused(InputError, "one:a000", "two:a000", "would both be written as 'train/a000'"):
        find_sources([tmp_path / "one", tmp_path / "two"], rules)
