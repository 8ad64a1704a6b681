"""Scenes as tables with one column per solid or surface, for a whole batch, in the camera's frame.

The numbers of a scene come from the C library, whose sines and powers differ between processors in the last
of 53 bits; they are rounded to float32 first, which removes the difference but for one number in a hundred
million. All further steps are bit-identical on every processor (`aims.synth.exact`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aims.synth.exact import matmul, sine_and_cosine
from aims.synth.world.geometry import Intrinsics
from aims.synth.world.scene import SceneSpec
from aims.synth.world.solids import SURROUNDINGS, Kind

Array = NDArray[np.float64]
Pixels = NDArray[np.int64]

#: Near clipping distance, in metres.
NEAR_M = 0.05
# Row of the sky in the table of surfaces: zeros, but a scale of 1, by which textures divide.
_NO_SURFACE = (0.0, 0.0, 0.0, 0.0, 1.0, *(0.0,) * 10)
_CORNERS = np.array(list(product((-1.0, 1.0), repeat=3)))
_TIPS = np.concatenate([np.eye(3), -np.eye(3), np.eye(3)[:2]])


class Group(NamedTuple):
    """Consecutive solids of one kind in a view: their kind, their number, and the pixels of their boxes."""

    kind: int
    solids: int
    pixels: int


@dataclass(frozen=True, kw_only=True)
class View:
    """The rays of one image in the frames of the solids, and the pixels that each solid may cover.

    Either the origin (camera) or the direction (light) of the rays is the same for all pixels; the other is
    linear in column and row. Rays of the camera have z = 1 in its frame, those of the light unit length.

    Attributes:
        rays: (13, solids); x, y, z each of the constant vector, of the other at pixel (0, 0), of its change
            per column and of its change per row; then the solid's form.
        parallel: whether the direction is constant and not the origin.
        size: (height, width) of the image.
        groups: the solids that may cover pixels, kind by kind.
        drawn: (drawn,) numbers of these solids, in that order.
        areas: (drawn,) pixels of the box of each.
        boxes: (6, drawn); rows: first column, first row, width, pixels of the boxes before it in its group,
            number of the solid, first pixel of its scene. These are int32 values viewed as float32, as torch
            selects columns of integers at a quarter of the speed.
    """

    rays: Tensor
    parallel: bool
    size: tuple[int, int]
    groups: tuple[Group, ...]
    drawn: Tensor
    areas: Tensor
    boxes: Tensor


@dataclass(frozen=True, kw_only=True)
class Tables:
    """A batch of scenes in the form that the renderer needs.

    The surroundings of all scenes come first, one per scene, then the solids scene by scene. Sizes of tensors
    are known as Python integers, so that the renderer never waits for a GPU.

    Attributes:
        family: name of the family.
        scenes: number of scenes.
        intrinsics: (fx, fy, cx, cy) of the camera, in pixels.
        surroundings: the kind of all surroundings.
        instances: the highest number of an instance.
        kind_pixels: upper bound of the pixels that show solids of a kind, by kind.
        texture_pixels: upper bound of the pixels that show a texture, by its index.
        seeds: (scenes,) seeds of the sensors' noise.
        solids: (18, solids); rows: the affine map into the solid's frame (12: for each axis, three of the
            matrix and the offset), half sizes (3), form, kind, surface.
        surfaces: (15, surfaces), the first is the sky's; rows as in `Surface`, three for each colour.
        camera: the camera's rays.
        light: the light's rays, with the solids that cast shadows.
        light_map: (scenes, 3, 4), the affine map from the camera's frame to column, row and depth in the
            shadow map.
        texel_m: (scenes,) size of the shadow map's pixels in metres.
        light_direction: (scenes, 3) unit vector to the light, in the camera's frame.
        down: (scenes, 3) unit vector of gravity, in the camera's frame.
        air_k: (scenes,) temperature of the air in kelvin.
        light_rgb: as in `Geometry`.
        ambient_rgb: as in `Geometry`.
        light_nir: as in `Geometry`.
        ambient_nir: as in `Geometry`.
    """

    family: str
    scenes: int
    intrinsics: Intrinsics
    surroundings: int
    instances: int
    kind_pixels: dict[int, int]
    texture_pixels: dict[int, int]
    seeds: Tensor
    solids: Tensor
    surfaces: Tensor
    camera: View
    light: View
    light_map: Tensor
    texel_m: Tensor
    light_direction: Tensor
    down: Tensor
    air_k: Tensor
    light_rgb: Tensor
    ambient_rgb: Tensor
    light_nir: Tensor
    ambient_nir: Tensor


def tabulate(
    family: str,
    specs: Sequence[SceneSpec],
    seeds: Sequence[int],
    intrinsics: Intrinsics,
    size: tuple[int, int],
) -> Tables:
    """Packs scenes into tables; the surroundings of all must be of one kind."""
    solids = [(spec.surroundings, index) for index, spec in enumerate(specs)]
    solids += [(solid, index) for index, spec in enumerate(specs) for solid in spec.solids]
    scenes = np.array([index for _, index in solids])
    first_surfaces = np.cumsum([1] + [len(spec.surfaces) for spec in specs])
    kinds = np.array([int(solid.kind) for solid, _ in solids])
    numbers = _numbers(
        (*solid.centre, *solid.half, *solid.angles, solid.form, solid.surface, solid.kind)
        for solid, _ in solids
    )
    cameras = _rotations(_numbers(spec.camera.angles for spec in specs))
    places = _numbers((spec.camera.x, -spec.camera.height, spec.camera.z) for spec in specs)
    matrices, offsets, corners = _affine(numbers, cameras[scenes], places[scenes])
    first_surface = numbers[:, 10] + first_surfaces[scenes]
    rows = np.concatenate(
        [
            np.concatenate([matrices, offsets[:, :, None]], axis=2).reshape(-1, 12).T,
            numbers[:, 3:6].T,
            numbers[:, 9][None],
            kinds[None],
            first_surface[None],
        ]
    )
    casts = np.array([solid.casts_shadow and solid.kind not in SURROUNDINGS for solid, _ in solids])
    towards = _into_camera(cameras, _numbers(spec.light.towards for spec in specs))
    light_size = (max(size),) * 2
    light_map, texels = _light_map(towards, corners, scenes, casts, light_size[0])
    down = _into_camera(cameras, np.tile([0.0, 1.0, 0.0], (len(specs), 1)))
    rays, boxes = _camera_rays(matrices, offsets, corners, numbers[:, 9], intrinsics, size)
    light_rays, light_boxes = _light_rays(
        matrices, offsets, corners, numbers[:, 9], light_map[scenes], light_size
    )
    surfaces = _surface_rows(specs)
    seen = np.where(kinds > max(SURROUNDINGS), boxes[:, 2] * boxes[:, 3], size[0] * size[1])

    def lights(name: str) -> Tensor:
        return torch.tensor([getattr(spec.light, name) for spec in specs])

    return Tables(
        family=family,
        scenes=len(specs),
        intrinsics=intrinsics,
        surroundings=int(kinds[0]),
        instances=max(int(surfaces[2].max()), 0),
        kind_pixels=_most(kinds, seen, len(specs) * size[0] * size[1]),
        texture_pixels=_most_of_textures(surfaces[3], first_surface, kinds, seen, len(specs), size),
        seeds=torch.tensor(seeds, dtype=torch.int64),
        solids=_tensor(rows),
        surfaces=_tensor(surfaces),
        camera=_view(rays, boxes, size, kinds, scenes, kinds > max(SURROUNDINGS), parallel=False),
        light=_view(light_rays, light_boxes, light_size, kinds, scenes, casts, parallel=True),
        light_map=_tensor(light_map),
        texel_m=_tensor(texels),
        light_direction=_tensor(towards),
        down=_tensor(down),
        air_k=torch.tensor([spec.air_k for spec in specs]),
        light_rgb=lights("rgb"),
        ambient_rgb=lights("ambient_rgb"),
        light_nir=lights("nir"),
        ambient_nir=lights("ambient_nir"),
    )


def _most(labels: Pixels, pixels: Pixels, limit: int) -> dict[int, int]:
    """Sums the pixels by label, each sum at most `limit`."""
    sums = np.bincount(labels, pixels)
    return {int(label): min(int(sums[label]), limit) for label in np.flatnonzero(sums)}


def _most_of_textures(
    textures: Array, surface: Array, kinds: Pixels, pixels: Pixels, scenes: int, size: tuple[int, int]
) -> dict[int, int]:
    labels, first, shells = textures.astype(np.int64), surface.astype(np.int64), kinds == Kind.SHELL
    # Each face of a shell may fill the picture, and so may the sky, which has the first texture.
    faces = [labels[first[shells] + face] for face in range(1, 6)]
    all_pixels = np.full(scenes, size[0] * size[1])
    everything = [labels[first], *faces, np.zeros(scenes, np.int64)]
    each = [pixels, *(pixels[shells] for _ in faces), all_pixels]
    return _most(np.concatenate(everything), np.concatenate(each), int(all_pixels.sum()))


def _view(
    rays: Array,
    boxes: Pixels,
    size: tuple[int, int],
    kinds: Pixels,
    scenes: Pixels,
    wanted: NDArray[np.bool_],
    *,
    parallel: bool,
) -> View:
    """Makes a view of the wanted solids whose box is not empty, sorted by kind."""
    area = boxes[:, 2] * boxes[:, 3]
    drawn = np.flatnonzero(wanted & (area > 0))
    drawn = drawn[np.argsort(kinds[drawn], kind="stable")]
    areas, before = area[drawn], np.zeros(len(drawn), np.int64)
    groups = []
    for kind in np.unique(kinds[drawn]):
        own = kinds[drawn] == kind
        before[own] = areas[own].cumsum() - areas[own]
        groups.append(Group(int(kind), int(own.sum()), int(areas[own].sum())))
    starts = scenes[drawn] * (size[0] * size[1])
    rows = np.stack([*boxes[drawn, :3].T, before, drawn, starts]).astype(np.int32)
    return View(
        rays=_tensor(rays),
        parallel=parallel,
        size=size,
        groups=tuple(groups),
        drawn=torch.from_numpy(drawn),
        areas=torch.from_numpy(areas),
        boxes=torch.from_numpy(rows).view(torch.float32),
    )


def _numbers(rows: Iterable[tuple[float, ...]]) -> Array:
    return np.array(list(rows), np.float32).astype(np.float64)


def _surface_rows(specs: Sequence[SceneSpec]) -> Array:
    rows: list[tuple[float, ...]] = [_NO_SURFACE]
    rows += [
        (*surface[:6], *surface.colour, *surface.second_colour, *surface[8:])
        for spec in specs
        for surface in spec.surfaces
    ]
    return np.array(rows, np.float64).T


def _rotations(angles: Array) -> Array:
    """Makes (n, 3, 3) rotations from the inner to the outer frame from yaw, pitch and roll, (n, 3)."""
    (sy, sp, sr), (cy, cp, cr) = sine_and_cosine(angles.T)
    zero, one = np.zeros_like(sy), np.ones_like(sy)
    yaw = np.stack([cy, zero, sy, zero, one, zero, -sy, zero, cy], axis=1).reshape(-1, 3, 3)
    pitch = np.stack([one, zero, zero, zero, cp, sp, zero, -sp, cp], axis=1).reshape(-1, 3, 3)
    roll = np.stack([cr, -sr, zero, sr, cr, zero, zero, zero, one], axis=1).reshape(-1, 3, 3)
    return matmul(matmul(yaw, pitch), roll)


def _into_camera(cameras: Array, directions: Array) -> Array:
    return matmul(directions[:, None, :], cameras)[:, 0]


def _affine(numbers: Array, cameras: Array, places: Array) -> tuple[Array, Array, Array]:
    """Returns matrix and offset from the camera's frame into each solid's, and its hull in the camera's."""
    centres, half = numbers[:, :3], numbers[:, 3:6]
    turns = _rotations(numbers[:, 6:9])
    inverse = turns.transpose(0, 2, 1) / half[:, :, None]
    offsets = matmul(inverse, (places - centres)[:, :, None])[:, :, 0]
    hulls = _hulls(numbers[:, 11], numbers[:, 9]) * half[:, None, :]
    world = matmul(hulls, turns.transpose(0, 2, 1)) + (centres - places)[:, None, :]
    return matmul(inverse, cameras), offsets, matmul(world, cameras)


def _hulls(kinds: Array, forms: Array) -> Array:
    """Returns eight points whose convex hull contains the solid, (solids, 8, 3), in its frame."""
    points = np.tile(_CORNERS, (len(kinds), 1, 1))
    upper = points[:, :, 1] < 0
    form = np.broadcast_to(forms[:, None], upper.shape)
    cone, wedge, dome = ((kinds == kind)[:, None] for kind in (Kind.CONE, Kind.WEDGE, Kind.DOME))
    points[cone & upper] *= np.stack([form, np.ones_like(form), form], axis=2)[cone & upper]
    points[:, :, 0] = np.where(wedge & upper, form, points[:, :, 0])
    points[:, :, 1] = np.where(dome & ~upper, form, points[:, :, 1])
    points[kinds == Kind.CRYSTAL] = _TIPS
    return points


def _camera_rays(
    matrices: Array,
    offsets: Array,
    corners: Array,
    forms: Array,
    intrinsics: Intrinsics,
    size: tuple[int, int],
) -> tuple[Array, Pixels]:
    fx, fy, cx, cy = intrinsics
    across, down = matrices[:, :, 0] / fx, matrices[:, :, 1] / fy
    value = matrices[:, :, 2] - cx * across - cy * down
    depth = corners[:, :, 2]
    seen = np.maximum(depth, NEAR_M)
    columns, rows = fx * corners[:, :, 0] / seen + cx, fy * corners[:, :, 1] / seen + cy
    # A solid that reaches behind the camera may appear anywhere.
    behind = (depth < NEAR_M).any(axis=1) & (depth > NEAR_M).any(axis=1)
    boxes = _boxes(columns, rows, size)
    boxes[behind] = (0, 0, size[1], size[0])
    boxes[(depth < NEAR_M).all(axis=1)] = 0
    rays = np.concatenate([offsets.T, value.T, across.T, down.T, forms[None]])
    return rays, boxes


def _light_map(
    towards: Array, corners: Array, scenes: NDArray[np.int64], casts: NDArray[np.bool_], side: int
) -> tuple[Array, Array]:
    """Returns the affine maps into the shadow maps, (scenes, 3, 4), and the size of a pixel in metres."""
    helper = np.where(np.abs(towards[:, :1]) < 0.6, [[1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]])
    across = np.cross(helper, towards)
    across /= np.sqrt(matmul(across[:, None, :], across[:, :, None]))[:, 0]
    axes = np.stack([across, np.cross(towards, across), -towards], axis=1)
    flat = matmul(corners, axes[scenes].transpose(0, 2, 1))
    low = np.full((len(towards), 3), np.inf)
    high = np.full((len(towards), 3), -np.inf)
    np.minimum.at(low, scenes[casts], flat[casts].min(axis=1))
    np.maximum.at(high, scenes[casts], flat[casts].max(axis=1))
    empty = np.isinf(low).any(axis=1)
    low[empty], high[empty] = -1.0, 1.0
    texels = (high - low)[:, :2].max(axis=1) / (side - 3)
    maps = np.concatenate([axes, np.zeros((len(towards), 3, 1))], axis=2)
    maps[:, :2, :3] /= texels[:, None, None]
    # A border of one empty pixel: points outside of the map are clamped to it and are lit.
    maps[:, :2, 3] = 1 - low[:, :2] / texels[:, None]
    # Depths start at 1, as only positive floats order like their bits.
    maps[:, 2, 3] = 1 - low[:, 2]
    return maps, texels


def _light_rays(
    matrices: Array,
    offsets: Array,
    corners: Array,
    forms: Array,
    maps: Array,
    size: tuple[int, int],
) -> tuple[Array, Pixels]:
    # The rows of the map are orthogonal, so its inverse is the transpose over their squared lengths.
    steps = maps[:, :, :3].copy()
    steps[:, :2] /= matmul(steps[:, :2] * steps[:, :2], np.ones((3, 1)))
    across, down, step = matmul(matrices, steps.transpose(0, 2, 1)).transpose(2, 0, 1)
    start = offsets - maps[:, 0, 3:] * across - maps[:, 1, 3:] * down - maps[:, 2, 3:] * step
    pixels = matmul(corners, maps[:, :2, :3].transpose(0, 2, 1)) + maps[:, None, :2, 3]
    rays = np.concatenate([step.T, start.T, across.T, down.T, forms[None]])
    return rays, _boxes(pixels[:, :, 0], pixels[:, :, 1], size)


def _boxes(columns: Array, rows: Array, size: tuple[int, int]) -> Pixels:
    """Returns (left, top, width, height) of the pixels whose centres lie between a solid's corners.

    The interval is widened by 0.01 pixels against rounding.
    """
    edges = []
    for places, length in ((columns, size[1]), (rows, size[0])):
        first = np.clip(np.ceil(places.min(axis=1) - 0.01), 0, length)
        last = np.clip(np.floor(places.max(axis=1) + 0.01), -1, length - 1)
        edges.append((first, np.maximum(last + 1 - first, 0)))
    (left, width), (top, height) = edges
    return np.stack([left, top, width, height], axis=1).astype(np.int64)


def _tensor(values: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))
