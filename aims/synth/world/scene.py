"""One scene before it is rendered: solids, their surfaces, camera and light, as plain numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
from torch import Tensor

from aims.synth.world.materials import Colour
from aims.synth.world.solids import Kind

#: From the middle of the picture to its upper edge, in radians, as NYUv2's camera has it (240 / 519.5).
HALF_VIEW = math.atan(0.462)

_Choice = TypeVar("_Choice")


class Surface(NamedTuple):
    """What a solid looks like; one row of the renderer's table.

    The texture mixes both colours; it gets metres in the solid's frame over `scale`, plus `phase`.
    """

    material: int
    class_id: int
    instance: int
    texture: int
    scale: float
    phase: float
    colour: Colour
    second_colour: Colour
    nir: float
    second_nir: float
    temperature_offset_k: float


class Solid(NamedTuple):
    """A solid in the world: x and z along the floor, y down, the floor at y = 0; metres and radians.

    It is turned by roll about its own z, then by pitch about x, then by yaw about y. A shell takes six
    surfaces, from `surface` on, in the order of its faces.
    """

    kind: Kind
    surface: int
    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    angles: tuple[float, float, float] = (0.0, 0.0, 0.0)
    form: float = 0.0
    casts_shadow: bool = True


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Where the camera stands and looks: yaw to the right, pitch down, roll; metres and radians."""

    x: float
    height: float
    z: float
    angles: tuple[float, float, float]

    def floor_in_sight(self, farthest: float) -> tuple[float, float]:
        """How far from the camera the floor comes into and goes out of the middle of the picture.

        Args:
            farthest: the most that the second number may be.
        """
        steepest, flattest = self.angles[1] + HALF_VIEW, self.angles[1] - HALF_VIEW
        # Looking straight down and beyond would see the floor behind the camera.
        near = self.height / math.tan(min(steepest, 0.5 * math.pi - 0.01))
        far = self.height / math.tan(flattest) if flattest > 0 else farthest
        return near, min(far, farthest)


@dataclass(frozen=True, kw_only=True)
class Light:
    """The main light, far away in one direction, and the light from all around.

    Attributes:
        towards: unit vector from the scene to the light, in the world.
        rgb: what a white matt surface that faces the light radiates.
        ambient_rgb: what it radiates from the light all around.
        nir: as rgb.
        ambient_nir: as ambient_rgb.
    """

    towards: tuple[float, float, float]
    rgb: Colour
    ambient_rgb: Colour
    nir: float
    ambient_nir: float


@dataclass(kw_only=True)
class SceneSpec:
    """A scene in the making; `surroundings` is the one solid that every ray may meet."""

    camera: Camera
    light: Light
    air_k: float
    surroundings: Solid
    surfaces: list[Surface] = field(default_factory=list)
    solids: list[Solid] = field(default_factory=list)
    instances: int = 0


#: (keys, x, y, z) -> the share of the second colour, 0..1; keys is the scene's 32-bit hash of each point.
Texture = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Family:
    """A kind of world.

    Attributes:
        number: sets its random numbers apart from those of other families.
        classes: names of the classes 1, 2, ...
        kinds: the solids that it uses.
        textures: its texture functions by name (None: the first colour alone); a surface holds the index.
        purpose: of the random numbers in its textures.
        build: makes one scene.
    """

    number: int
    classes: tuple[str, ...]
    kinds: frozenset[Kind]
    textures: Mapping[str, Texture | None]
    purpose: int
    build: Callable[[np.random.Generator], SceneSpec]


class SceneRng:
    """Random choices of one scene.

    Numbers are drawn from the generator in blocks, as single draws would take longer than making the scene.

    Args:
        rng: the scene's generator.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._numbers: list[float] = []

    def share(self) -> float:
        """Uniform in 0..1."""
        if not self._numbers:
            self._numbers = self._rng.random(512).tolist()
        return self._numbers.pop()

    def within(self, low: float, high: float) -> float:
        """Uniform from low to high."""
        return low + (high - low) * self.share()

    def evenly(self, low: float, high: float) -> float:
        """From low to high, uniform in the logarithm."""
        return low * math.exp(self.share() * math.log(high / low))

    def count(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + int(self.share() * (high - low + 1))

    def pick(self, choices: Sequence[_Choice]) -> _Choice:
        """One of the choices."""
        return choices[int(self.share() * len(choices))]

    def happens(self, probability: float) -> bool:
        """True with this probability."""
        return self.share() < probability
