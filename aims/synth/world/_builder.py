"""Puts things together: keeps the current instance and its frame, and turns materials into surfaces."""

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
    """A frame in the world, in metres and radians.

    Attributes:
        x: to the right, along the floor.
        z: ahead, along the floor.
        yaw: direction of the frame's +z axis, which is a thing's back.
        base: height above the floor.
    """

    x: float
    z: float
    yaw: float = 0.0
    base: float = 0.0


# Pigments that look unlike in colour differ by about this much in the near infrared.
_PAINT_NIR = 0.04


class Builder:
    """Adds things to a scene.

    Args:
        spec: the scene; solids, surfaces and instances are added to it.
        rng: its random choices.
        materials: the family's rows.
        classes: its class names.
        textures: its texture names.
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
        self._instance, self._class_id, self._warmth = 0, 0, 0.0
        self._origin: Triple = (0.0, 0.0, 0.0)
        self._yaw, self._cos, self._sin = 0.0, 1.0, 0.0

    @contextmanager
    def thing(self, name: str | None, spot: Spot) -> Iterator[None]:
        """Within this context, solids belong to one new instance and are given in its own frame.

        Args:
            name: the instance's class; None adds to the background.
            spot: where the frame stands.
        """
        if name is not None:
            self.spec.instances += 1
            self._instance, self._class_id = self.spec.instances, self._classes[name]
        self._warmth = self.rng.within(-1.0, 1.0)
        self._origin = (spot.x, spot.base, spot.z)
        self._yaw, self._cos, self._sin = spot.yaw, math.cos(spot.yaw), math.sin(spot.yaw)
        yield
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
        """Adds a surface of the current thing and returns its number.

        Args:
            material: a name in the family's table.
            texture: a name in the family's textures.
            scale: size of the pattern in metres.
            colour: reflectance; the material's own, a little varied, if None.
            second: the pattern's other colour; a darker or lighter first if None.
            warmth_k: temperature beside the material's and the thing's own offsets.
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
            # Unpainted matter that is darker in one place is so in the near infrared as well, but less.
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
        """Adds a solid to the current thing.

        Args:
            kind: its kind.
            surface: from `surface`.
            at: its middle in the thing's frame: x, height, z.
            half: half its sizes.
            angles: yaw, pitch, roll beside the thing's own yaw.
            form: the kind's own number.
            casts_shadow: whether it does.
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
        """Adds a box; one that lies close to another need not cast a shadow, which would not show."""
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
