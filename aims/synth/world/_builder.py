"""The builder of scenes: it tracks the current instance and its frame, and makes surfaces from materials."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from aims.synth.world.materials import Colour, Material
from aims.synth.world.scene import SceneRng, SceneSpec, Solid, Surface
from aims.synth.world.solids import Kind

Triple = tuple[float, float, float]


class Spot(NamedTuple):
    """The position and orientation of an object's frame in the world, in metres and radians.

    Attributes:
        x: to the right, along the floor.
        z: ahead, along the floor.
        yaw: direction of the frame's +z axis, which is the object's back.
        base: height above the floor.
    """

    x: float
    z: float
    yaw: float = 0.0
    base: float = 0.0


# Maximum difference in near infrared albedo between the two colours of a painted surface.
_PAINT_NIR = 0.04


class Builder:
    """Adds objects to a scene.

    Args:
        spec: the scene; solids, surfaces and instances are added to it.
        rng: random choices of the scene.
        materials: material table of the family.
        classes: class names of the family; ids count from 1.
        textures: texture names of the family, in the order of their indices.
    """

    def __init__(
        self,
        spec: SceneSpec,
        rng: SceneRng,
        *,
        materials: Sequence[Material],
        classes: Sequence[str],
        textures: Sequence[str],
    ) -> None:
        self.spec, self.rng = spec, rng
        self._materials = {material.name: (row, material) for row, material in enumerate(materials)}
        self._classes = {name: 1 + index for index, name in enumerate(classes)}
        self._textures = {name: index for index, name in enumerate(textures)}
        self._leave()

    @contextmanager
    def thing(self, name: str | None, spot: Spot) -> Iterator[None]:
        """Within this context, solids belong to one new instance and are given in its own frame.

        Args:
            name: the instance's class; None adds to the background.
            spot: position and orientation of the frame.
        """
        if name is not None:
            self.spec.instances += 1
            self._instance, self._class_id = self.spec.instances, self._classes[name]
        self._warmth = self.rng.within(-1.0, 1.0)
        self._origin: Triple = (spot.x, spot.base, spot.z)
        self._yaw, self._cos, self._sin = spot.yaw, math.cos(spot.yaw), math.sin(spot.yaw)
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        """Returns to the background and the world's frame."""
        self._instance, self._class_id, self._warmth = 0, 0, 0.0
        self._origin = (0.0, 0.0, 0.0)
        self._yaw, self._cos, self._sin = 0.0, 1.0, 0.0

    def surface(
        self,
        material: str,
        texture: str,
        *,
        scale: float = 1.0,
        colour: Colour | None = None,
        second: Colour | None = None,
        warmth_k: float = 0.0,
    ) -> int:
        """Adds a surface of the current object and returns its number.

        Args:
            material: a name in the family's material table.
            texture: a name in the family's textures.
            scale: size of the pattern in metres.
            colour: reflectance, 0..1; None for the material's, times 0.85 to 1.15.
            second: the pattern's second colour; None for a darker or lighter `colour`.
            warmth_k: kelvin added to the temperature offsets of the material and the object.
        """
        row, matter = self._materials[material]
        rng = self.rng
        if colour is None:
            gain = rng.within(0.85, 1.15)
            colour = _clipped([gain * value for value in matter.albedo_rgb])
        if second is None:
            gain = rng.pick((0.6, 0.7, 1.3))
            second = _clipped([gain * value for value in colour])
        nir = matter.albedo_nir * rng.within(0.95, 1.05)
        second_nir = nir + rng.within(-_PAINT_NIR, _PAINT_NIR)
        if not matter.painted:
            # Where an unpainted material is darker, it is darker in the near infrared too, but less so.
            ratio = (sum(second) + 0.1) / (sum(colour) + 0.1)
            second_nir = nir * (0.5 + 0.5 * min(max(ratio, 0.3), 1.6))
        surface = Surface(
            material=row,
            class_id=self._class_id,
            instance=self._instance,
            texture=self._textures[texture],
            scale=scale,
            phase=rng.within(3.0, 40.0),
            colour=colour,
            second_colour=second,
            nir=min(nir, 1.0),
            second_nir=min(max(second_nir, 0.01), 1.0),
            temperature_offset_k=matter.temperature_offset_k + self._warmth + warmth_k,
        )
        self.spec.surfaces.append(surface)
        return len(self.spec.surfaces) - 1

    def solid(
        self,
        kind: Kind,
        surface: int,
        at: Triple,
        half: Triple,
        *,
        angles: Triple = (0.0, 0.0, 0.0),
        form: float = 0.0,
        casts_shadow: bool = True,
    ) -> None:
        """Adds a solid to the current object.

        Args:
            kind: kind of the solid.
            surface: number of its surface, from `surface`.
            at: centre in the object's frame (x, height, z), in metres.
            half: half sizes along its own axes, in metres.
            angles: yaw, pitch and roll in radians; the object's yaw is added.
            form: shape parameter of the kind, see `Kind`.
            casts_shadow: whether it casts a shadow.
        """
        x, up, z = at
        centre = (
            self._origin[0] + self._cos * x + self._sin * z,
            -self._origin[1] - up,
            self._origin[2] - self._sin * x + self._cos * z,
        )
        turned = (angles[0] + self._yaw, angles[1], angles[2])
        self.spec.solids.append(Solid(kind, surface, centre, half, turned, form, casts_shadow))

    def box(self, surface: int, at: Triple, half: Triple, *, casts_shadow: bool = True) -> None:
        """Adds a box; a thin one on another solid need not cast a shadow, which would not be visible."""
        self.solid(Kind.BOX, surface, at, half, casts_shadow=casts_shadow)

    def cylinder(self, surface: int, at: Triple, radius: float, half_height: float) -> None:
        """Adds an upright cylinder."""
        self.solid(Kind.CYLINDER, surface, at, (radius, half_height, radius))

    def ball(self, surface: int, at: Triple, radius: float) -> None:
        """Adds a ball."""
        self.solid(Kind.SPHERE, surface, at, (radius, radius, radius))


def _clipped(values: Sequence[float]) -> Colour:
    red, green, blue = (min(max(value, 0.01), 0.95) for value in values)
    return red, green, blue
