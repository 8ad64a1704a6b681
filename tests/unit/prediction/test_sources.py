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
    assert len(sources) == 1
    assert sources[0].name.startswith("b")


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
