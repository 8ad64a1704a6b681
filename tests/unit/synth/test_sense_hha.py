from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from flat_scene import plane, row, use_materials

from aims.synth.sensors import depth, hha
from aims.synth.world.geometry import Geometry, pixel_rays, scaled_intrinsics

SIZE = (96, 128)
ABOVE, AHEAD = 1.5, 3.0


@pytest.fixture(autouse=True)
def matt(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row())


def room(pitch_deg: float, size: tuple[int, int] = SIZE, **changes: Any) -> tuple[Geometry, torch.Tensor]:
    """A floor 1.5 m below the camera and a wall 3 m ahead, and where the floor is seen."""
    sine, cosine = math.sin(math.radians(pitch_deg)), math.cos(math.radians(pitch_deg))
    down, ahead = torch.tensor([0.0, cosine, sine]), torch.tensor([0.0, -sine, cosine])
    x, y = pixel_rays(scaled_intrinsics(size), size)
    rays = torch.stack([x, y, torch.ones(size)], dim=-1)
    to_floor, to_wall = ABOVE / (rays @ down).clamp(min=1e-6), AHEAD / (rays @ ahead).clamp(min=1e-6)
    floor = to_floor < to_wall
    z = torch.minimum(to_floor, to_wall)
    normals = torch.where(floor[..., None], -down, -ahead)
    scene = {"depth_m": z, "points": rays * z[..., None], "normals": normals, "down": down}
    return plane(size, **{**scene, **changes}), floor


@pytest.mark.parametrize("pitch_deg", [10.0, 30.0])
def test_floor_and_wall(pitch_deg: float) -> None:
    geometry, floor = room(pitch_deg)
    picture = hha.sense(geometry, noise=False)
    assert (picture.dtype, picture.shape) == (torch.uint8, (1, *SIZE, 3))
    disparity, height, angle = picture[0].numpy().astype(int).transpose(2, 0, 1)
    z, points = geometry.depth_m[0].numpy(), geometry.points[0].numpy()
    np.testing.assert_allclose(disparity, (310 / np.maximum(z, 1)).clip(max=255), atol=0.51)
    # Centimetres above the floor, which is 1.5 m below the camera.
    expected = 100 * (ABOVE - points @ geometry.down[0].numpy())
    assert (expected > 10).any()
    # A whole centimetre off, and the rounding of what is expected.
    np.testing.assert_allclose(height, expected.clip(max=255), atol=1.001)
    # Floors have 0 + 38, walls 90 + 38, away from the corner: windows of 7 x 7 pixels see both sides of it.
    changes = np.flatnonzero(floor[:, SIZE[1] // 2].diff())[0]
    np.testing.assert_allclose(angle[: changes - 6], 128, atol=1)
    np.testing.assert_allclose(angle[changes + 8 :], 38, atol=1)


def test_gravity_begins_at_the_true_one() -> None:
    # A floor alone, seen by a camera that looks down by 60 degrees; without a hint it would be a wall.
    geometry, floor = room(60.0)
    picture = hha.sense(geometry, noise=False)[0]
    assert floor.all()
    np.testing.assert_allclose(picture[4:-4, 4:-4, 2], 38, atol=1)
    depth_m = geometry.depth_m[0].numpy()
    unaware = hha.from_depth(depth_m, np.array([0, 1, 0]), geometry.intrinsics)
    assert (abs(unaware[4:-4, 4:-4, 2].astype(int) - 38) > 20).all()


def test_each_scene_by_itself_from_what_the_sensor_measures() -> None:
    geometry, _ = room(20.0, (48, 64), seeds=(3, 4))
    pictures = hha.sense(geometry).numpy()
    depths = depth.sense(geometry).numpy()
    for picture, depth_m in zip(pictures, depths, strict=True):
        expected = hha.from_depth(depth_m, geometry.down[0].numpy(), geometry.intrinsics)
        np.testing.assert_array_equal(picture, expected)
    assert (pictures[0] != pictures[1]).any()


def test_where_nothing_is_measured() -> None:
    geometry, _ = room(20.0)
    depth_m = geometry.depth_m.clone()
    depth_m[0, :, :5] = 0
    picture = hha.from_depth(depth_m[0].numpy(), geometry.down[0].numpy(), geometry.intrinsics)
    assert not picture[:, :5, :2].any()
    assert picture[:, 5:, 0].all()
