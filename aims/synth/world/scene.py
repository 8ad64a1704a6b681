"""The description of one scene before rendering: solids, surfaces, camera and light, as plain numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
from torch import Tensor

from aims.synth.world.materials import Colour
from aims.synth.world.solids import Kind

#: Half the vertical field of view of NYUv2's camera, in radians (tangent 240 / 519.5).
HALF_VIEW = math.atan(0.462)

_Choice = TypeVar("_Choice")


class Surface(NamedTuple):
    """The appearance of a solid; one column of the renderer's table.

    The texture mixes both colours; its coordinates are metres in the solid's frame over `scale` plus `phase`.
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

    It is rotated by roll about its own z, then by pitch about x, then by yaw about y. A shell has six
    consecutive surfaces, from `surface` on, in the order of its faces.
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
    """Position of the camera in metres, and its angles in radians: yaw to the right, pitch down, roll."""

    x: float
    height: float
    z: float
    angles: tuple[float, float, float]

    def floor_in_sight(self, farthest: float) -> tuple[float, float]:
        """Returns the distances in metres between which the image's middle column shows the floor.

        Args:
            farthest: upper limit of the second distance.
        """
        steepest, flattest = self.angles[1] + HALF_VIEW, self.angles[1] - HALF_VIEW
        # Limits the angle to just below 90 degrees, beyond which the floor behind the camera is in sight.
        near = self.height / math.tan(min(steepest, 0.5 * math.pi - 0.01))
        far = self.height / math.tan(flattest) if flattest > 0 else farthest
        return near, min(far, farthest)


@dataclass(frozen=True, kw_only=True)
class Light:
    """The main light, infinitely far away in one direction, and the ambient light.

    Attributes:
        towards: unit vector from the scene to the light, in the world's frame.
        rgb: radiance of a white matt surface that faces the main light.
        ambient_rgb: radiance of a white, matt, upright surface in the ambient light.
        nir: rgb of the near infrared.
        ambient_nir: ambient_rgb of the near infrared.
    """

    towards: tuple[float, float, float]
    rgb: Colour
    ambient_rgb: Colour
    nir: float
    ambient_nir: float


@dataclass(kw_only=True)
class SceneSpec:
    """A scene, filled by a `Builder`; `surroundings` is the shell or terrain around all other solids."""

    camera: Camera
    light: Light
    air_k: float
    surroundings: Solid
    surfaces: list[Surface] = field(default_factory=list)
    solids: list[Solid] = field(default_factory=list)
    instances: int = 0


#: (keys, x, y, z) -> the share of the second colour, 0..1; keys holds the 32-bit key of each point's scene.
Texture = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of scenes.

    Attributes:
        number: part of the seed, so that families draw different random numbers.
        classes: names of the classes 1, 2, ...
        kinds: the kinds of solids that it uses.
        textures: its texture functions by name (None: the first colour alone); a surface holds the index.
        purpose: purpose of the random numbers in its textures (`aims.synth.world.random`).
        build: makes one scene from a random generator.
    """

    number: int
    classes: tuple[str, ...]
    kinds: frozenset[Kind]
    textures: Mapping[str, Texture | None]
    purpose: int
    build: Callable[[np.random.Generator], SceneSpec]


class SceneRng:
    """Random choices of one scene.

    Numbers are drawn from the generator in blocks, as single draws would take longer than building the scene.

    Args:
        rng: random generator of the scene.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._numbers: list[float] = []

    def share(self) -> float:
        """Draws a uniform number in [0, 1)."""
        if not self._numbers:
            self._numbers = self._rng.random(512).tolist()
        return self._numbers.pop()

    def within(self, low: float, high: float) -> float:
        """Draws a uniform number from low to high."""
        return low + (high - low) * self.share()

    def evenly(self, low: float, high: float) -> float:
        """Draws a log-uniform number from low to high."""
        return low * math.exp(self.share() * math.log(high / low))

    def count(self, low: int, high: int) -> int:
        """Draws a uniform integer from low to high, both included."""
        return low + int(self.share() * (high - low + 1))

    def pick(self, choices: Sequence[_Choice]) -> _Choice:
        """Draws one of the choices."""
        return choices[int(self.share() * len(choices))]

    def happens(self, probability: float) -> bool:
        """Returns True with this probability."""
        return self.share() < probability
