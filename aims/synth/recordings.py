"""Scenes as arrays: what every sensor of the world sees of one scene, in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aims.core.errors import InputError, unknown_name
from aims.synth.sensors import depth, hha, nir, polarization, rgb, thermal
from aims.synth.world.geometry import Geometry
from aims.synth.world.render import FAMILIES, render

# What is rendered together: a batch takes some 900 bytes a pixel with all sensors.
_SCENES_AT_ONCE, _PIXELS_AT_ONCE = 16, 2**18

Renderer = Callable[[Sequence[int]], Geometry]


class Recording:
    """One scene as every sensor sees it.

    A sensor's array is computed when it is first read, for the whole batch.

    Args:
        batch: the scenes that were rendered together.
        index: which of them.
        number: the scene's number.
    """

    def __init__(self, batch: _Batch, index: int, number: int) -> None:
        self._batch = batch
        self._index = index
        self.number = number

    @property
    def scene_id(self) -> str:
        """The scene's number as text of at least six digits, so that names sort as numbers do."""
        return _scene_id(self.number)

    @property
    def family(self) -> str:
        """The scene's family."""
        return self._batch.geometry.family

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes 1, 2, ..."""
        return FAMILIES[self.family].classes

    @property
    def instances(self) -> NDArray[np.int32]:
        """(height, width): 0 = background, 1..n the visible objects; one may be seen in several pieces."""
        return self._batch.scene("instances", self._index)

    @property
    def classes(self) -> NDArray[np.int32]:
        """(height, width): 0 = background, else the class of the object."""
        return self._batch.scene("classes", self._index)

    @property
    def normals(self) -> NDArray[np.float32]:
        """(height, width, 3) true unit normals, x right, y down, z ahead; 0 where nothing is seen."""
        return self._batch.scene("normals", self._index)

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """(height, width, 3) of the colour camera, in sRGB."""
        return self._batch.scene("rgb", self._index)

    @property
    def nir(self) -> NDArray[np.uint8]:
        """(height, width) of the near infrared camera."""
        return self._batch.scene("nir", self._index)

    @property
    def thermal_c(self) -> NDArray[np.float32]:
        """(height, width) apparent temperature in degrees Celsius."""
        return self._batch.scene("thermal_c", self._index)

    @property
    def depth_m(self) -> NDArray[np.float32]:
        """(height, width) of the depth sensor in metres; 0 = no measurement."""
        return self._batch.scene("depth_m", self._index)

    @cached_property
    def hha(self) -> NDArray[np.uint8]:
        """(height, width, 3): disparity, height above ground, angle with gravity, of `depth_m`."""
        geometry = self._batch.geometry
        return hha.from_depth(self.depth_m, _numpy(geometry.down[self._index]), geometry.intrinsics)

    @property
    def polarizers(self) -> NDArray[np.float32]:
        """(4, height, width, 3): linear light behind polarizers at 0, 45, 90 and 135 degrees, 0..1."""
        return self._batch.scene("polarizers", self._index)


#: Array of a recording -> what computes it for a batch of scenes.
_BATCHED: dict[str, Callable[[Geometry], torch.Tensor]] = {
    "instances": lambda geometry: geometry.instances,
    "classes": lambda geometry: geometry.classes,
    "normals": lambda geometry: geometry.normals,
    "rgb": lambda geometry: rgb.sense(geometry),
    "nir": lambda geometry: nir.sense(geometry),
    "thermal_c": lambda geometry: thermal.sense(geometry),
    "depth_m": lambda geometry: depth.sense(geometry),
    "polarizers": lambda geometry: polarization.sense(geometry).movedim(3, 1),
}


class _Batch:
    """Scenes that were rendered together, and what the sensors have made of them so far."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self._arrays: dict[str, NDArray[Any]] = {}

    def scene(self, name: str, index: int) -> NDArray[Any]:
        """One scene's part of an array in `_BATCHED`."""
        if name not in self._arrays:
            self._arrays[name] = _numpy(_BATCHED[name](self.geometry))
        array: NDArray[Any] = self._arrays[name][index]
        return array


def _scene_id(number: int) -> str:
    return f"{number:06d}"


def _numpy(tensor: torch.Tensor) -> NDArray[Any]:
    return tensor.contiguous().cpu().numpy()


class Recordings:
    """Scenes by their place, rendered in batches when they are asked for; the last batch alone is kept.

    Args:
        scenes: numbers of the scenes.
        render: renders a batch of them.
        batch: how many at a time.
    """

    def __init__(self, scenes: Sequence[int], render: Renderer, batch: int) -> None:
        self._scenes = scenes
        self._render = render
        self._size = batch
        self._kept: tuple[int, _Batch] | None = None

    @property
    def scene_ids(self) -> list[str]:
        """`Recording.scene_id` of every scene, without rendering any."""
        return [_scene_id(number) for number in self._scenes]

    def __len__(self) -> int:
        return len(self._scenes)

    def __iter__(self) -> Iterator[Recording]:
        return (self[place] for place in range(len(self)))

    def __getitem__(self, place: int) -> Recording:
        first = place - place % self._size
        if self._kept is None or self._kept[0] != first:
            self._kept = None  # two batches at a time would take twice the memory
            self._kept = first, _Batch(self._render(self._scenes[first : first + self._size]))
        return Recording(self._kept[1], place - first, self._scenes[place])


def recordings(
    family: str, seed: int, scenes: Sequence[int], size: tuple[int, int], device: torch.device | str = "cpu"
) -> Recordings:
    """Scenes of a family as a sequence; see `record`."""
    if family not in FAMILIES:
        raise unknown_name("family of scenes", family, FAMILIES)
    if seed < 0 or any(number < 0 for number in scenes):
        raise InputError(f"seed {seed}, scenes {list(scenes)}: give numbers of at least 0")
    batch = max(1, min(_SCENES_AT_ONCE, _PIXELS_AT_ONCE // max(1, size[0] * size[1])))
    return Recordings(scenes, lambda numbers: render(family, seed, numbers, size, device), batch)


def record(
    family: str, seed: int, scenes: Sequence[int], size: tuple[int, int], device: torch.device | str = "cpu"
) -> Iterator[Recording]:
    """Records scenes one after the other; batches are rendered inside.

    Args:
        family: "rooms" or "wilds".
        seed: at least 0. Scene k of a seed is always the same, whatever the other arguments but `size` are.
        scenes: numbers of the scenes, at least 0.
        size: (height, width) in pixels, at least 8 each.
        device: where to render and to sense; the arrays are NumPy's.

    Raises:
        InputError: no such family; a negative number; too small a size.
    """
    return iter(recordings(family, seed, scenes, size, device))
