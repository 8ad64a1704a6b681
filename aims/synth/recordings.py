"""Recordings: the images of every sensor of one scene, as NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from aims.synth.sensors import depth, hha, nir, polarization, rgb, thermal
from aims.synth.world.geometry import Geometry
from aims.synth.world.render import FAMILIES, check_scenes, render

# Limits of a batch, which takes about 900 bytes per pixel with all sensors.
_SCENES_AT_ONCE, _PIXELS_AT_ONCE = 16, 2**18

Renderer = Callable[[Sequence[int]], Geometry]
_Array = TypeVar("_Array", bound=NDArray[Any])


class _Batch:
    """Scenes that were rendered together, and the sensor arrays computed from them so far."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.arrays: dict[str, NDArray[Any]] = {}


class _Sensed(Generic[_Array]):
    """An attribute of `Recording`: an array that is computed for the whole batch when it is first read.

    Args:
        sense: computes the array for a batch of scenes, (batch, ...).
    """

    def __init__(self, sense: Callable[[Geometry], torch.Tensor]) -> None:
        self._sense = sense

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, recording: Recording, owner: type | None = None) -> _Array:
        arrays = recording.batch.arrays
        if self._name not in arrays:
            arrays[self._name] = _numpy(self._sense(recording.batch.geometry))
        array: _Array = arrays[self._name][recording.index]
        return array


class Recording:
    """One scene as every sensor sees it.

    A sensor's array is computed when it is first read, for the whole batch.

    Args:
        batch: the scenes that were rendered together.
        index: position of this scene in the batch.
        number: the scene's number.
    """

    instances = _Sensed[NDArray[np.int32]](lambda geometry: geometry.instances)
    """(height, width): 0 = background, 1..n the visible objects; occlusion may split one into regions."""
    classes = _Sensed[NDArray[np.int32]](lambda geometry: geometry.classes)
    """(height, width): 0 = background, else the class of the object."""
    normals = _Sensed[NDArray[np.float32]](lambda geometry: geometry.normals)
    """(height, width, 3) true unit normals, x right, y down, z ahead; 0 where nothing is seen."""
    rgb = _Sensed[NDArray[np.uint8]](lambda geometry: rgb.sense(geometry))
    """(height, width, 3) of the colour camera, in sRGB."""
    nir = _Sensed[NDArray[np.uint8]](lambda geometry: nir.sense(geometry))
    """(height, width) of the near infrared camera."""
    thermal_c = _Sensed[NDArray[np.float32]](lambda geometry: thermal.sense(geometry))
    """(height, width) apparent temperature in degrees Celsius."""
    depth_m = _Sensed[NDArray[np.float32]](lambda geometry: depth.sense(geometry))
    """(height, width) of the depth sensor in metres; 0 = no measurement."""
    polarizers = _Sensed[NDArray[np.float32]](lambda geometry: polarization.sense(geometry).movedim(3, 1))
    """(4, height, width, 3): linear light behind polarizers at 0, 45, 90 and 135 degrees, 0..1."""

    def __init__(self, batch: _Batch, index: int, number: int) -> None:
        self.batch, self.index, self.number = batch, index, number

    @property
    def scene_id(self) -> str:
        """The scene's number as text of at least six digits, so that names sort as numbers do."""
        return _scene_id(self.number)

    @property
    def family(self) -> str:
        """The scene's family."""
        return self.batch.geometry.family

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes 1, 2, ..."""
        return FAMILIES[self.family].classes

    @cached_property
    def hha(self) -> NDArray[np.uint8]:
        """(height, width, 3) computed from `depth_m`: disparity, height above ground, angle with gravity."""
        geometry = self.batch.geometry
        return hha.from_depth(self.depth_m, _numpy(geometry.down[self.index]), geometry.intrinsics)


def _scene_id(number: int) -> str:
    return f"{number:06d}"


def _numpy(tensor: torch.Tensor) -> NDArray[Any]:
    return tensor.contiguous().cpu().numpy()


class Recordings:
    """A sequence of recordings, rendered in batches on access; only the last batch is kept.

    Args:
        scenes: numbers of the scenes.
        render: renders the scenes of a batch.
        batch: number of scenes in a batch.
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


def record(
    family: str, seed: int, scenes: Sequence[int], size: tuple[int, int], device: torch.device | str = "cpu"
) -> Recordings:
    """Records scenes of a family; they are rendered in batches on access.

    Args:
        family: "rooms" or "wilds".
        seed: at least 0. Scene k of a seed depends on no argument but `family` and `size`.
        scenes: numbers of the scenes, at least 0.
        size: (height, width) in pixels, at least 8 each; the first access checks it.
        device: torch device that renders and runs the sensors; the arrays are NumPy's.

    Raises:
        InputError: the family is unknown, or a number is negative.
    """
    check_scenes(family, seed, scenes)
    batch = max(1, min(_SCENES_AT_ONCE, _PIXELS_AT_ONCE // max(1, size[0] * size[1])))
    return Recordings(scenes, lambda numbers: render(family, seed, numbers, size, device), batch)
