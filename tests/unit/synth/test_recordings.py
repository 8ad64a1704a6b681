from __future__ import annotations

import numpy as np
import pytest

from aims.core.errors import InputError
from aims.synth import recordings as module
from aims.synth.recordings import Recording, record
from aims.synth.sensors import depth, hha, nir, polarization, rgb, thermal
from aims.synth.world.geometry import Geometry
from aims.synth.world.render import FAMILIES, render

SIZE = (24, 32)
ARRAYS = {
    "instances": (SIZE, np.int32),
    "classes": (SIZE, np.int32),
    "normals": ((*SIZE, 3), np.float32),
    "rgb": ((*SIZE, 3), np.uint8),
    "nir": (SIZE, np.uint8),
    "thermal_c": (SIZE, np.float32),
    "depth_m": (SIZE, np.float32),
    "hha": ((*SIZE, 3), np.uint8),
    "polarizers": ((4, *SIZE, 3), np.float32),
}


@pytest.fixture(scope="module")
def three() -> list[Recording]:
    return list(record("rooms", 5, [3, 0, 7], SIZE))


@pytest.fixture(scope="module")
def geometry() -> Geometry:
    return render("rooms", 5, [3, 0, 7], SIZE)


@pytest.mark.parametrize("name", ARRAYS)
def test_shapes_and_dtypes(three: list[Recording], name: str) -> None:
    shape, dtype = ARRAYS[name]
    for recording in three:
        array = getattr(recording, name)
        assert (array.shape, array.dtype) == (shape, dtype)


def test_each_array_is_its_sensors(three: list[Recording], geometry: Geometry) -> None:
    for index, recording in enumerate(three):
        np.testing.assert_array_equal(recording.instances, geometry.instances[index])
        np.testing.assert_array_equal(recording.classes, geometry.classes[index])
        np.testing.assert_array_equal(recording.normals, geometry.normals[index])
        np.testing.assert_array_equal(recording.rgb, rgb.sense(geometry)[index])
        np.testing.assert_array_equal(recording.nir, nir.sense(geometry)[index])
        np.testing.assert_array_equal(recording.thermal_c, thermal.sense(geometry)[index])
        np.testing.assert_array_equal(recording.depth_m, depth.sense(geometry)[index])
        np.testing.assert_array_equal(recording.hha, hha.sense(geometry)[index])
        for k, picture in enumerate(recording.polarizers):
            np.testing.assert_array_equal(picture, polarization.sense(geometry)[index, :, :, k])


def test_names(three: list[Recording]) -> None:
    assert [recording.scene_id for recording in three] == ["000003", "000000", "000007"]
    assert {recording.family for recording in three} == {"rooms"}
    assert three[0].class_names == FAMILIES["rooms"].classes
    assert all(recording.classes.max() <= len(recording.class_names) for recording in three)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_scene_is_the_same_in_any_batch(family: str) -> None:
    alone = record(family, 1, [17], SIZE)[0]
    together = list(record(family, 1, range(18), SIZE))[17]
    other = record(family, 2, [17], SIZE)[0]
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(alone, name), getattr(together, name))
    assert (alone.rgb != other.rgb).any()


def test_batches_are_rendered_once_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []

    def counting(family, seed, numbers, size, device):  # type: ignore[no-untyped-def]
        asked.append(list(numbers))
        return render(family, seed, numbers, size, device)

    monkeypatch.setattr(module, "render", counting)
    seen = record("wilds", 0, range(3, 23), (8, 8))
    assert (len(seen), seen.scene_ids[0], seen.scene_ids[-1]) == (20, "000003", "000022")
    assert asked == []
    assert [recording.number for recording in seen] == list(range(3, 23))
    assert asked == [list(range(3, 19)), list(range(19, 23))]
    assert (seen[17].number, seen[19].number) == (20, 22)
    assert len(asked) == 2
    # Of large pictures one at a time: sixteen would take gigabytes.
    large = record("wilds", 0, [4, 5], (720, 730))
    monkeypatch.setattr(
        module, "render", lambda *arguments: asked.append(arguments[2]) or render("wilds", 0, [0], (8, 8))
    )
    assert [recording.number for recording in large] == [4, 5]
    assert asked[2:] == [[4], [5]]


def test_a_sensor_looks_only_when_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    for sensor in (rgb, nir, thermal, depth, polarization):
        name, sense = sensor.__name__.rpartition(".")[2], sensor.sense
        monkeypatch.setattr(sensor, "sense", lambda g, n=name, s=sense: looks.append(n) or s(g))
    first, second = record("rooms", 0, [0, 1], SIZE)
    assert looks == []
    assert (first.rgb != second.rgb).any()
    assert looks == ["rgb"]
    assert first.hha.any()
    assert second.depth_m.any()
    assert looks == ["rgb", "depth"]


@pytest.mark.parametrize(
    ("family", "seed", "scenes", "size", "message"),
    [
        ("room", 0, [0], SIZE, "unknown family of scenes 'room'; did you mean 'rooms'"),
        ("rooms", -1, [0], SIZE, "seed -1, scenes .0.: give numbers of at least 0"),
        ("rooms", 0, [4, -2], SIZE, "seed 0, scenes .4, -2.: give numbers of at least 0"),
        ("rooms", 0, [0], (7, 32), "size is 7 x 32; give"),
    ],
)
def test_wrong_arguments(
    family: str, seed: int, scenes: list[int], size: tuple[int, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        record(family, seed, scenes, size)[0]
