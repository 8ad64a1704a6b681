from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from flat_scene import plane, row, sky, use_materials

from aims.core.schema import Array
from aims.synth.sensors import depth
from aims.synth.world.geometry import Geometry

SIZE = (96, 128)


@pytest.fixture(autouse=True)
def matt(monkeypatch: pytest.MonkeyPatch) -> None:
    materials(monkeypatch)


def materials(monkeypatch: pytest.MonkeyPatch, *dropout: float) -> None:
    """Material 1 always answers; material 2 and on fail in this share of their pixels."""
    use_materials(monkeypatch, row(), *(row(depth_dropout=share) for share in dropout))


def wall(z: float | Array, seeds: tuple[int, ...] = (7,), size: tuple[int, int] = SIZE) -> Geometry:
    """Surfaces that face the camera."""
    return plane(size, seeds=seeds, depth_m=torch.as_tensor(z, dtype=torch.float32).expand(size))


def step(left: float, right: float, column: int = 60) -> Array:
    """Depth with an edge before a column."""
    return np.where(np.arange(SIZE[1]) < column, left, right)


def test_without_noise_depth_is_what_it_is() -> None:
    # z (0.6 y - 0.8) = -0.8 * 2 on the plane through (0, 0, 2) of this normal.
    geometry = plane(SIZE, normal=(0.0, 0.6, -0.8))
    picture = depth.sense(geometry, noise=False)
    y = (np.arange(SIZE[0]) - geometry.intrinsics[3]) / geometry.intrinsics[1]
    expected = np.broadcast_to((1.6 / (0.8 - 0.6 * y))[:, None], SIZE)
    np.testing.assert_allclose(picture[0], expected, rtol=1e-6)
    assert picture.dtype == torch.float32
    assert (depth.sense(wall(12.0), noise=False) == 12).all()
    assert not depth.sense(sky(SIZE), noise=False).any()


def test_sigma_by_hand() -> None:
    # 0.0012 + 0.0019, and at 45 degrees 0.0001 / sqrt(1.4) more: the angle is as far from 0 as from 90.
    metres = torch.tensor([0.4, 1.4, 1.4])
    cosines = torch.tensor([1.0, 1.0, math.sqrt(0.5)])
    expected = [0.0012, 0.0031, 0.0031 + 0.0001 / math.sqrt(1.4)]
    np.testing.assert_allclose(depth.axial_sigma_m(metres, cosines), expected, rtol=1e-5)
    # At 80 degrees 0.0001 * 8^2; beyond 88 degrees no more than 0.0001 * 44^2.
    steep = depth.axial_sigma_m(torch.ones(2), torch.tensor([math.cos(math.radians(80)), 0.0]))
    np.testing.assert_allclose(steep - (0.0012 + 0.0019 * 0.36), [0.0064, 0.1936], rtol=1e-3)


@pytest.mark.parametrize("metres", [0.8, 1.5, 3.0, 6.0])
def test_noise_is_as_large_as_measured_by_nguyen(metres: float) -> None:
    # Over four steps of disparity, for how much rounding adds depends on where in a step a depth lies.
    inverse = 1 / metres + 2.85e-3 * np.linspace(-2, 2, SIZE[1])
    geometry = wall(1 / inverse, seeds=tuple(range(4)))
    picture = depth.sense(geometry)
    cosine = -geometry.view_directions()[..., 2]
    error = (picture - geometry.depth_m) / depth.axial_sigma_m(geometry.depth_m, cosine)
    # 49,152 pixels: the deviation is known to 0.3 % of itself, the mean to 0.5 %; far away 1 / z is skewed.
    assert error.std().item() == pytest.approx(1, abs=0.015)
    assert abs(error.mean().item()) < 0.05
    assert picture.all()


def test_depth_comes_in_steps_of_disparity() -> None:
    picture = depth.sense(wall(5.0)).double()
    steps = 1 / picture / 2.85e-3
    np.testing.assert_allclose(steps, steps.round(), atol=1e-4)
    # A step of 71 mm, and a deviation of 41 mm.
    assert 3 < picture.unique().numel() < 10


def test_noise_of_pixels_and_scenes_is_independent() -> None:
    error = (depth.sense(wall(3.0, seeds=(1, 2))) - 3.0).numpy()
    rows, columns = error[0, :-1].ravel(), error[0, :, :-1].ravel()
    assert abs(np.corrcoef(error[0].ravel(), error[1].ravel())[0, 1]) < 0.04
    assert abs(np.corrcoef(rows, error[0, 1:].ravel())[0, 1]) < 0.04
    assert abs(np.corrcoef(columns, error[0, :, 1:].ravel())[0, 1]) < 0.04


def test_shadow_of_the_projector() -> None:
    # Disparity 60 * 0.075 / z: 4.5 at 1 m and 1.8 at 2.5 m, so things throw shadows 2.7 columns to the left.
    def columns(*near: int, far: float = 2.5) -> list[int]:
        z = torch.full((1, 2, 40), far)
        z[:, 1, list(near)] = 1.0
        shadow = depth.shadowed(torch.where(z > 0, 1 / z, 0), 60.0)
        assert not shadow[0, 0].any()
        return shadow[0, 1].nonzero().flatten().tolist()

    assert columns(*range(20, 30)) == [18, 19]
    # Thin things: as wide as they are, and beside them.
    assert columns(20) == [18]
    assert columns(20, 21) == [18, 19]
    # At the border of the picture, and where nothing is there to receive a shadow.
    assert columns(0, 1) == []
    assert columns(*range(20, 30), far=0.0) == []


def test_shadow_is_not_measured() -> None:
    geometry = wall(step(2.5, 1.0), seeds=(3, 4))
    # 103.8 * 0.075 * (1 - 0.4) = 4.7 columns.
    assert not depth.sense(geometry)[:, :, 56:60].any()
    assert depth.sense(geometry)[:, :, :54].all()


def test_edges_are_lost_behind_and_ragged() -> None:
    # The far side on the right, where the projector's light reaches it.
    picture = depth.sense(wall(step(1.0, 2.5), seeds=tuple(range(40)))).numpy()
    assert (picture == 0).any((0, 1)).nonzero()[0].tolist() == [60]
    near, far = picture[:, :, 59], picture[:, :, 60]
    # 3,840 pixels each; three of ten are lost, known to 0.7 %.
    assert (far == 0).mean() == pytest.approx(0.3, abs=0.025)
    # A quarter of pixels look to that side, on average sqrt(2) * 0.8 / 5 * sqrt(2 / pi) = 0.181 of a pixel.
    assert (near > 1.5).mean() == pytest.approx(0.181 / 4, abs=0.011)
    assert (far[far > 0] < 1.5).mean() == pytest.approx(0.181 / 4, abs=0.013)
    # Never between both surfaces, and never further than the next pixel.
    assert not ((picture > 1.1) & (picture < 2.3)).any()
    assert (picture[:, :, :59] < 1.1).all()
    assert (picture[:, :, 61:] > 2.3).all()


def test_material_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    materials(monkeypatch, 0.3, 1.0)
    kinds = torch.ones(SIZE, dtype=torch.int64)
    kinds[:, 40:100], kinds[:, 100:] = 2, 3
    lost = depth.sense(replace_all(wall(2.0, seeds=tuple(range(30))), materials=kinds)) == 0
    assert not lost[:, :, :40].any()
    assert lost[:, :, 100:].all()
    part = lost[:, :, 40:100]
    # 30 scenes of 360 patches: known to 0.5 %.
    assert part.float().mean().item() == pytest.approx(0.3, abs=0.02)
    # In patches: neighbours are mostly lost together, distant pixels by chance (0.09).
    together = (part[..., 1:] & part[..., :-1]).float().mean().item()
    apart = (part[..., 20:] & part[..., :-20]).float().mean().item()
    assert 0.12 < together < 0.25
    assert apart == pytest.approx(0.09, abs=0.015)


def test_grazing_angles() -> None:
    def lost(degrees: float) -> float:
        # The same angle to the ray at every pixel.
        geometry = wall(2.0, seeds=(1, 2, 3))
        view = geometry.view_directions()
        side = torch.nn.functional.normalize(
            torch.linalg.cross(view, torch.tensor([0.0, 1.0, 0.0]).expand_as(view)), dim=-1
        )
        angle = math.radians(degrees)
        seen = replace(geometry, normals=view * math.cos(angle) + side * math.sin(angle))
        return (depth.sense(seen) == 0).float().mean().item()

    assert lost(79.9) == 0
    assert lost(88.1) == 1
    # (cos 80 - cos 85) / (cos 80 - cos 88)
    assert lost(85) == pytest.approx((0.17365 - 0.08716) / (0.17365 - 0.03490), abs=0.01)


def test_range() -> None:
    assert not depth.sense(wall(0.48)).any()
    assert depth.sense(wall(0.52)).all()
    assert depth.sense(wall(9.0)).all()
    # Noise of 0.26 m.
    assert not depth.sense(wall(12.0)).any()
    assert not depth.sense(sky(SIZE)).any()
    assert not depth.sense(sky((5, 7), family="wilds")).any()


def test_slope_moves_depth_as_pixels_look_beside_their_place() -> None:
    # 1 / z = 0.5 - 0.375 y on this plane: depth changes along columns, not along rows.
    geometry = plane(SIZE, normal=(0.0, 0.6, -0.8), seeds=tuple(range(8)))
    error = depth.sense(geometry) - geometry.depth_m
    cosine = (geometry.normals * geometry.view_directions()).sum(-1)
    axial = depth.axial_sigma_m(geometry.depth_m, cosine)
    # 0.8 pixels of 640 x 480 on a picture whose pixels are five times as wide.
    lateral = 0.8 / 5 * geometry.depth_m**2 * 0.375 / geometry.intrinsics[1]
    expected = (axial**2 + lateral**2).sqrt()
    inner = (error / expected)[:, 2:-2]
    assert inner.std().item() == pytest.approx(1, abs=0.02)
    # Without looking beside it would be less.
    assert (lateral / axial)[:, 2:-2].mean() > 0.2


@pytest.mark.parametrize("size", [(24, 32), (17, 23), (1, 1)])
def test_same_scene_same_bits(size: tuple[int, int]) -> None:
    seeds = (11, 2**40 + 3, 5)
    geometry = plane(size, normal=(0.0, 0.6, -0.8), seeds=seeds)
    together = depth.sense(geometry)
    assert torch.equal(together, depth.sense(geometry))
    for index, seed in enumerate(seeds):
        alone = depth.sense(plane(size, normal=(0.0, 0.6, -0.8), seeds=(seed,)))
        assert torch.equal(together[index], alone[0])
    assert size == (1, 1) or not torch.equal(together[0], together[1])
    assert torch.isfinite(together).all()


def replace_all(geometry: Geometry, **maps: torch.Tensor) -> Geometry:
    """The same map in every scene."""
    batch = len(geometry.seeds)
    return replace(geometry, **{name: value.expand(batch, *value.shape) for name, value in maps.items()})
