"""The datasets of the zoo: each is found by its name and reads a tree of its layout."""

from __future__ import annotations

import inspect
import pickle
import re
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import numpy as np
import pytest
from refusals import refused
from zoo_trees import TREES

from aims.converters import zoo
from aims.converters.folder import FolderConverter
from aims.converters.folder.config import load_config
from aims.converters.zoo.converter import ZooConverter, zoo_converter
from aims.core.converters import installed_converters, load_converter
from aims.core.errors import AimsError, InputError
from aims.data.read import Dataset
from aims.data.write import convert

FOLDER = Path(zoo.__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))


def test_each_description_has_a_tree() -> None:
    assert list(TREES) == NAMES
    assert [entry.name for entry in zoo.entries()] == NAMES
    assert set(NAMES) < set(installed_converters())


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_a_tree_of_its_layout(name: str, tmp_path: Path) -> None:
    tree = TREES[name]
    tree.write(tmp_path / "raw")
    converter = load_converter(name)(raw=tmp_path / "raw")
    assert {split: list(ids) for split, ids in converter.splits().items()} == tree.splits
    convert(converter, tmp_path / "set")
    dataset = Dataset.open(tmp_path / "set")
    assert dataset.name == name
    assert list(dataset.spec.streams) == list(tree.corner)
    first = dataset.read(next(ref for refs in dataset.index.values() for ref in refs), tuple(tree.corner))
    for stream, values in tree.corner.items():
        corner = first.streams[stream][0, 0]
        np.testing.assert_array_equal(corner, np.array(values, corner.dtype))
    assert [dataset.spec.classes[entry["class_id"] - 1] for entry in first.objects] == tree.objects
    assert dict(dataset.manifest.dropped) == {}
    # By its name a set is what the folder converter makes of its description.
    folder = FolderConverter(config=FOLDER / f"{name}.toml", raw=tmp_path / "raw")
    assert (folder.spec(), folder.splits()) == (dataset.spec, converter.splits())


@pytest.mark.parametrize("name", NAMES)
def test_the_facts_are_told(name: str) -> None:
    converter = load_converter(name)
    facts = converter.published
    assert facts is not None
    assert facts.sensor in zoo.SENSORS
    assert set(facts.images) <= set(TREES[name].splits)
    assert facts.streams == tuple(TREES[name].corner)
    with refused(InputError, f"data/raw/{name}: no such folder; {name}", facts.url or "", facts.access):
        converter().description()
    comments = (FOLDER / f"{name}.toml").read_text("utf-8").partition("\nname = ")[0].splitlines()
    assert all(line.startswith("#") or not line for line in comments)
    assert re.search("layout", " ".join(comments), re.IGNORECASE)  # and what it was taken from


def test_the_kinds_of_sensor() -> None:
    found = {load_converter(name).published.sensor for name in NAMES}
    assert found == set(zoo.SENSORS)


def test_a_zoo_that_is_broken_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*, group: str) -> list[EntryPoint]:
        return [lost] if group == lost.group else known

    known = list(entry_points(group="aims.converters"))
    lost = EntryPoint(name="mine", value="no_such_zoo:entries", group="aims.zoo")
    monkeypatch.setattr("aims.core.converters.entry_points", broken)
    assert "folder" in installed_converters()
    with refused(AimsError, "converter 'mine' (no_such_zoo:entries) cannot be imported"):
        load_converter("mine")


def test_help_tells_what_is_known() -> None:
    title, *told = inspect.getdoc(load_converter("cwfid")).split("\n\n")
    assert title == "Near infrared: weed, crop."
    assert "A Crop/Weed Field Image Dataset" in told[0]
    assert told[1:] == [
        "Licence: non-commercial research.",
        "https://github.com/cwfid/dataset, clone the repository.",
    ]


def test_a_converter_is_pickled_by_its_name(tmp_path: Path) -> None:
    converter = load_converter("thermal-udder")(raw=tmp_path)
    assert type(converter) is zoo.thermal_udder
    assert pickle.loads(pickle.dumps(converter)) == converter
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = zoo.nothing


def test_a_description_needs_its_facts_and_its_own_name(tmp_path: Path) -> None:
    text = (FOLDER / "cwfid.toml").read_text("utf-8")
    for wrong in (
        text.replace('name = "cwfid"', 'name = "other"'),
        re.sub(r"(?s)\[published\].*?\n\n", "", text),
    ):
        (tmp_path / "cwfid.toml").write_text(wrong, encoding="utf-8")
        with refused(InputError, "cwfid.toml: a description of the zoo needs [published] and name"):
            zoo_converter(tmp_path / "cwfid.toml", module="somewhere")
    for wrong, message in (
        (text.replace("sensor = ", "sensors = "), "[published]: unknown key 'sensors'"),
        (text.replace("train = 40", "training = 40"), "[published.images]: unknown key 'training'"),
        (text.replace("train = 40", "train = '40'"), "[published.images]: 'train' is '40'"),
    ):
        (tmp_path / "cwfid.toml").write_text(wrong, encoding="utf-8")
        with refused(InputError, message):
            zoo_converter(tmp_path / "cwfid.toml", module="somewhere")


def test_its_raw_folder_is_below_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    TREES["thermal-udder"].write(tmp_path / "data" / "raw" / "thermal-udder")
    converter = load_converter("thermal-udder")()
    assert isinstance(converter, ZooConverter)
    assert converter.splits() == {"train": ("1",), "val": ("2",), "test": ("3",)}


def test_the_documentation_lists_them() -> None:
    lines = []
    for name in NAMES:
        facts, config = load_converter(name).published, load_config(FOLDER / f"{name}.toml")
        assert facts is not None
        images = [f"{count:,} {split}" for split, count in facts.images.items()]
        images += [f"{facts.total:,} in all"] if facts.total else []
        streams = ", ".join(f"`{stream}`" for stream in (*facts.streams, *(["rgb"] if config.rgb else [])))
        classes = config.classes if len(config.classes) < 7 else [f"{len(config.classes)} classes"]
        cells = (f"`{name}`", facts.sensor, streams, ", ".join(classes), ", ".join(images))
        lines.append(f"| {' | '.join(cells)} |\n")
    text = (FOLDER.parents[1] / "docs" / "datasets.md").read_text("utf-8")
    table = (
        text.partition("## The zoo\n")[2]
        .partition("| --- | --- | --- | --- | --- |\n")[2]
        .partition("\n\n")[0]
    )
    assert table + "\n" == "".join(lines)
