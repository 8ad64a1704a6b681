"""Each set is written, converted and read again, and compared with what the sensors gave."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage import measure

from aims.core.converters import load_converter
from aims.core.errors import InputError
from aims.data.read import Dataset
from aims.data.read import Image as Row
from aims.data.write import convert
from aims.sensors.hha import Camera, encode_hha
from aims.sensors.polarization import aolp, dolp, stokes
from aims.synth import recordings
from aims.synth.datasets import (
    DESCRIPTION,
    FOLDER,
    LAYOUTS,
    UNFINISHED,
    convert_arguments,
    is_written,
    write,
)
from aims.synth.recordings import Recording, record
from helpers import file_digests

SIZE, SCENES, SEED = (48, 64), 5, 11
OPTIONS = {"nyuv2": {"hha": True}, "thermal-glass": {"numbered_masks": True}}
WITH_RGB = ("nyuv2", "thermal-glass", "ivrg-nir")


@pytest.fixture(scope="module")
def truth() -> list[Recording]:
    return list(record("rooms", SEED, range(SCENES), SIZE))


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    """Every layout, written and converted."""
    found = {}
    for layout in LAYOUTS:
        folder = tmp_path_factory.mktemp(layout)
        raw = write(layout, folder / "raw", scenes=SCENES, size=SIZE, seed=SEED)
        options = {"config": raw / "rooms.toml"} if layout == FOLDER else {"raw": raw}
        convert(load_converter(layout)(**options, **OPTIONS.get(layout, {})), folder / "set")
        found[layout] = Dataset.open(folder / "set")
    return found


def read(dataset: Dataset) -> list[Row]:
    """All images, in the order of the scenes."""
    streams = tuple(dataset.streams) + ("rgb",) * dataset.spec.has_rgb
    return [dataset.read(ref, streams) for refs in dataset.index.values() for ref in refs]


def read_ids(dataset: Dataset) -> list[str]:
    return [ref.image_id for refs in dataset.index.values() for ref in refs]


def same_regions(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether two maps show the same regions, whatever their numbers."""
    pairs = np.unique(np.stack([ours.ravel(), theirs.ravel()]), axis=1)
    background = ((pairs[0] == 0) == (pairs[1] == 0)).all()
    return bool(background and all(len(np.unique(side)) == pairs.shape[1] for side in pairs))


def components(labels: np.ndarray) -> np.ndarray:
    return measure.label(labels, background=0, connectivity=2)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_thirds_are_for_training(sets: dict[str, Dataset], layout: str) -> None:
    index = sets[layout].index
    ids = {split: [ref.image_id for ref in refs] for split, refs in index.items()}
    names = {"nyuv2": "12345"}.get(layout) or [f"{k:06d}" for k in range(SCENES)]
    if layout == "thermal-glass":
        names = [f"{name}/view" for name in names]
    assert ids == {"train": list(names[:3]), "test": list(names[3:])}
    groups = {ref.group for refs in index.values() for ref in refs}
    assert len(groups) == SCENES


def test_nyuv2(sets: dict[str, Dataset], truth: list[Recording]) -> None:
    dataset = sets["nyuv2"]
    assert dataset.spec.classes == truth[0].class_names
    # Ten times smaller than 640 x 480, about the edge of the frame; MATLAB's pixels count from 1.
    camera = Camera(
        fx=51.885790117450188,
        fy=51.946961112127485,
        cx=(325.58244941119034 - 0.5) / 10 + 0.5,
        cy=(253.73616633400465 - 0.5) / 10 + 0.5,
        first_pixel=1,
    )
    for row, scene in zip(read(dataset), truth, strict=True):
        np.testing.assert_array_equal(row.streams["depth"][..., 0], scene.depth_m)
        assert row.streams["depth"].dtype == np.float32
        assert (scene.depth_m == 0).any()
        hha = row.streams["hha"]
        np.testing.assert_array_equal(hha, encode_hha(scene.depth_m, camera=camera))
        # The world's encoding begins at the true gravity, the converter's at the camera's own axis.
        assert np.abs(hha.astype(int) - scene.hha).max() <= 1
        np.testing.assert_array_equal(row.instances > 0, scene.classes > 0)
        assert same_regions(row.instances, components(scene.classes))
        for item in row.objects:
            assert (scene.classes[row.instances == item["id"]] == item["class_id"]).all()


def test_rgbp_glass(sets: dict[str, Dataset], truth: list[Recording]) -> None:
    for row, scene in zip(read(sets["rgbp-glass"]), truth, strict=True):
        s0, s1, s2 = stokes(*scene.polarizers)
        np.testing.assert_array_equal(row.streams["intensity"], np.minimum(s0, 1))
        np.testing.assert_array_equal(row.streams["dolp"], dolp(s0, s1, s2))
        turns = row.streams["aolp"]
        assert {array.dtype for array in row.streams.values()} == {np.dtype(np.float32)}
        # The angle as a direction, which is the same at both ends of its range.
        assert 0 <= turns.min() < 0.25
        assert 0.75 < turns.max() <= 1
        back = np.exp(2j * np.pi * turns.astype(np.float64))
        np.testing.assert_allclose(back, np.exp(2j * aolp(s1, s2).astype(np.float64)), atol=1e-6)
        (path,) = sets["rgbp-glass"].folder.parent.glob(f"raw/pgsnet/*/aolp/{scene.scene_id}_aolp.tiff")
        np.testing.assert_array_equal(turns, tifffile.imread(path))
        assert same_regions(row.instances, scene.instances)


def test_zju_rgbp(sets: dict[str, Dataset], truth: list[Recording]) -> None:
    for row, scene in zip(read(sets["zju-rgbp"]), truth, strict=True):
        for name, picture in zip(("i0", "i45", "i90", "i135"), scene.polarizers, strict=True):
            assert row.streams[name].dtype == np.uint8
            np.testing.assert_array_equal(row.streams[name], np.rint(picture * 255))
        assert same_regions(row.instances, scene.instances)


def test_thermal_glass(sets: dict[str, Dataset], truth: list[Recording]) -> None:
    for row, scene in zip(read(sets["thermal-glass"]), truth, strict=True):
        np.testing.assert_array_equal(row.streams["thermal"][..., 0], scene.thermal_c)
        assert row.streams["thermal"].dtype == np.float32
        assert same_regions(row.instances, components(scene.instances))


def test_ivrg_nir(sets: dict[str, Dataset], truth: list[Recording]) -> None:
    for row, scene in zip(read(sets["ivrg-nir"]), truth, strict=True):
        np.testing.assert_array_equal(row.streams["nir"][..., 0], scene.nir)
        assert same_regions(row.instances, components(scene.instances))


@pytest.mark.parametrize("layout", WITH_RGB)
def test_rgb_comes_through(sets: dict[str, Dataset], truth: list[Recording], layout: str) -> None:
    for row, scene in zip(read(sets[layout]), truth, strict=True):
        np.testing.assert_array_equal(row.streams["rgb"], scene.rgb)


def test_objects_are_annotated_whatever_they_are_made_of(
    sets: dict[str, Dataset], truth: list[Recording]
) -> None:
    seen = {scene.class_names[k - 1] for scene in truth for k in np.unique(scene.classes) if k}
    assert len(seen) >= 4
    for layout in ("rgbp-glass", "thermal-glass"):
        for row, scene in zip(read(sets[layout]), truth, strict=True):
            np.testing.assert_array_equal(row.instances > 0, scene.classes > 0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_arguments_decide_every_byte(tmp_path: Path, layout: str) -> None:
    for name, seed, family in (("a", 1, "wilds"), ("b", 1, "wilds"), ("c", 2, "wilds"), ("d", 1, "rooms")):
        write(layout, tmp_path / name, scenes=3, size=(32, 40), seed=seed, family=family)
    first, again, *others = (file_digests(tmp_path / name) for name in "abcd")
    assert first == again
    assert all(other != first for other in others)


def test_the_number_of_scenes_changes_none(tmp_path: Path) -> None:
    for name, scenes in (("few", 3), ("many", 6)):
        write("ivrg-nir", tmp_path / name, scenes=scenes, size=(32, 32), seed=0)
    few, many = (sorted((tmp_path / name).rglob("*_nir.png")) for name in ("few", "many"))
    assert len(few) == 3
    assert [path.read_bytes() for path in few] == [path.read_bytes() for path in many[:3]]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_scene_is_rendered_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    asked: list[int] = []
    render = recordings.render
    monkeypatch.setattr(
        recordings, "render", lambda *arguments: asked.extend(arguments[2]) or render(*arguments)
    )
    steps: list[int] = []
    write(layout, tmp_path, scenes=20, size=(16, 16), seed=0, on_progress=steps.append)
    assert asked == list(range(20))
    assert steps == [1] * 20


def test_what_is_written_beside_the_layout(tmp_path: Path) -> None:
    write("thermal-glass", tmp_path, scenes=4, size=(32, 40), seed=3, family="wilds")
    assert sorted(path.name for path in tmp_path.iterdir()) == [DESCRIPTION, "test", "train"]
    about = json.loads((tmp_path / DESCRIPTION).read_text())
    assert about.pop("made_up").startswith("rendered by AIMS ")
    assert about == {
        "layout": "thermal-glass",
        "family": "wilds",
        "seed": 3,
        "scenes": 4,
        "test": 1,
        "size": [32, 40],
    }
    picture = Image.open(io.BytesIO((tmp_path / "test" / "000003" / "view" / "rgb.png").read_bytes()))
    assert picture.size == (40, 32)


def test_a_stopped_sweep_leaves_nothing_and_a_killed_one_does_not_hinder(tmp_path: Path) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    arguments = {"scenes": 3, "size": (32, 32), "seed": 0}
    with pytest.raises(KeyboardInterrupt):
        write("nyuv2", tmp_path, **arguments, on_progress=stop)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    (tmp_path / UNFINISHED).mkdir()
    (tmp_path / UNFINISHED / "stale").touch()
    write("nyuv2", tmp_path, **arguments)  # type: ignore[arg-type]
    assert "stale" not in file_digests(tmp_path)
    with pytest.raises(InputError, match="is not empty; give a new folder"):
        write("nyuv2", tmp_path, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("moves", [0, 1, 2])
def test_a_dataset_that_a_kill_cut_short_never_passes_for_a_real_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    """The last moment: the pictures are written and are moved to their place one after the other."""
    move, left = Path.rename, iter(range(moves))

    def dies(path: Path, target: Path) -> Path:
        if path.parent.name == UNFINISHED and next(left, None) is None:
            raise KeyboardInterrupt
        return move(path, target)

    arguments = {"scenes": 3, "size": (32, 32), "seed": 0}
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", dies)
        with pytest.raises(KeyboardInterrupt):
            write("thermal-glass", tmp_path, **arguments)  # type: ignore[arg-type]
    there = {path.name for path in tmp_path.iterdir()} - {UNFINISHED}
    assert len(there) == moves
    assert not there or DESCRIPTION in there
    assert not is_written(tmp_path)
    if moves:
        with pytest.raises(InputError, match="holds a part of a dataset whose writing was stopped"):
            write("thermal-glass", tmp_path, **arguments)  # type: ignore[arg-type]
    else:
        write("thermal-glass", tmp_path, **arguments)  # type: ignore[arg-type]
        assert is_written(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layout": "nyu"}, "unknown layout 'nyu'; did you mean 'nyuv2'"),
        ({"scenes": 1}, "scenes is 1; give at least 2"),
        ({"test": 3}, "3 of 3 scenes for testing leave none for training"),
        ({"test": 0}, "0 of 3 scenes for testing"),
        ({"family": "caves"}, "unknown family of scenes 'caves'"),
        ({"seed": -3}, "seed -3"),
        ({"size": (32, 4)}, "size is 32 x 4"),
    ],
)
def test_wrong_arguments(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    arguments = {"layout": "nyuv2", "scenes": 3, "size": (32, 32), "seed": 0, **changes}
    with pytest.raises(InputError, match=message):
        write(out=tmp_path / "out", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_hha_is_asked_for_where_the_converter_can_compute_it() -> None:
    def arguments(layout: str, size: tuple[int, int] = SIZE) -> str:
        return " ".join(convert_arguments(layout, Path("raw"), size, "rooms"))

    assert arguments("nyuv2", (96, 128)) == "nyuv2 --raw raw --hha"
    assert arguments("nyuv2", (128, 128)) == "nyuv2 --raw raw"
    assert arguments("thermal-glass") == "thermal-glass --raw raw --numbered-masks"
    for layout in ("rgbp-glass", "zju-rgbp", "ivrg-nir"):
        assert arguments(layout) == f"{layout} --raw raw"
    assert arguments(FOLDER) == "folder raw/rooms.toml"


def test_the_last_scenes_test_as_many_as_asked(tmp_path: Path) -> None:
    write(FOLDER, tmp_path, scenes=5, test=3, size=(32, 32), seed=0)
    assert (tmp_path / "train.txt").read_text().split() == ["000000", "000001"]
    assert (tmp_path / "test.txt").read_text().split() == ["000002", "000003", "000004"]
    assert json.loads((tmp_path / DESCRIPTION).read_text())["test"] == 3


def test_made_up_sets_do_not_pass_for_the_published_ones(sets: dict[str, Dataset]) -> None:
    for layout, dataset in sets.items():
        assert dataset.name == ("rooms" if layout == FOLDER else f"made-up-{layout}")
        assert (dataset.spec.license, dataset.spec.citation, dataset.spec.url) == ("Apache-2.0", None, None)
        assert dataset.manifest.warnings == ()


def test_the_folder_layout_holds_every_sensor(sets: dict[str, Dataset], truth: list[Recording]) -> None:
    dataset = sets[FOLDER]
    assert dataset.spec.classes == truth[0].class_names
    assert dataset.streams["depth"].missing == 0
    polarization = dict(zip(read_ids(sets["rgbp-glass"]), read(sets["rgbp-glass"]), strict=True))
    for row, scene in zip(read(dataset), truth, strict=True):
        streams = dict(row.streams)
        for name in ("intensity", "aolp", "dolp"):
            np.testing.assert_array_equal(
                streams.pop(name), polarization[scene.scene_id].streams[name], err_msg=name
            )
        seen = {"thermal": scene.thermal_c, "depth": scene.depth_m, "hha": scene.hha, "nir": scene.nir}
        seen["rgb"] = scene.rgb
        assert set(streams) == set(seen)
        for name, array in seen.items():
            assert streams[name].dtype == array.dtype
            np.testing.assert_array_equal(streams[name].squeeze(), array, err_msg=name)
        assert same_regions(row.instances, components(scene.classes))
