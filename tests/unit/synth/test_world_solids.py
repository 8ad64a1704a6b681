"""Every solid against its definition by membership: an independent one, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aims.synth.world.solids import SURROUNDINGS, Kind, normal, shell_face, span

FORMS = {Kind.DOME: 0.35, Kind.CONE: 0.3, Kind.WEDGE: -0.4, Kind.CAPSULE: 0.25}
SOLIDS = [kind for kind in Kind if kind not in SURROUNDINGS]


def inside(kind: Kind, points: np.ndarray, form: float) -> np.ndarray:
    x, y, z = np.moveaxis(points, -1, 0)
    cube = np.abs(points).max(axis=-1) <= 1
    out = np.hypot(x, z)
    match kind:
        case Kind.BOX:
            return cube
        case Kind.CYLINDER:
            return (out <= 1) & cube
        case Kind.SPHERE:
            return x**2 + y**2 + z**2 <= 1
        case Kind.DOME:
            return (x**2 + y**2 + z**2 <= 1) & (y <= form)
        case Kind.CONE:
            return cube & (out <= np.interp(y, [-1, 1], [form, 1]))
        case Kind.WEDGE:
            return cube & (x >= np.interp(y, [-1, 1], [form, -1])) & (x <= np.interp(y, [-1, 1], [form, 1]))
        case Kind.CRYSTAL:
            return np.abs(points).sum(axis=-1) <= 1
        case Kind.CAPSULE:
            beyond = np.maximum(np.abs(y) - (1 - form), 0) / form
            return out**2 + beyond**2 <= 1
    raise AssertionError(kind)


def rays(count: int) -> tuple[np.ndarray, np.ndarray]:
    """From a sphere of radius 3 towards points of the cube, a third of them along an axis."""
    rng = np.random.default_rng(3)
    origins = rng.normal(size=(count, 3))
    origins *= 3 / np.linalg.norm(origins, axis=1, keepdims=True)
    directions = rng.uniform(-1, 1, (count, 3)) - origins
    directions[::3] *= np.eye(3)[rng.integers(0, 3, len(directions[::3]))]
    return origins, directions


def triple(values: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x, y, z = torch.from_numpy(values.astype(np.float32).T.copy())
    return x, y, z


@pytest.mark.parametrize("kind", SOLIDS, ids=lambda kind: kind.name.lower())
def test_a_ray_is_inside_between_its_entrance_and_its_exit(kind):
    form = FORMS.get(kind, 0.0)
    origins, directions = rays(400)
    enter, leave = span(kind, triple(origins), triple(directions), torch.full((400,), form))
    steps = np.linspace(-4, 4, 4001)
    there = inside(kind, origins[:, None] + steps[:, None] * directions[:, None], form)
    for ray in range(400):
        low, high = enter[ray].item(), leave[ray].item()
        clear = (np.abs(steps - low) > 1e-4) & (np.abs(steps - high) > 1e-4)
        assert np.array_equal(((steps > low) & (steps < high))[clear], there[ray][clear]), ray
    assert there.any(axis=1).mean() > 0.2


@pytest.mark.parametrize("kind", SOLIDS, ids=lambda kind: kind.name.lower())
def test_normals_have_the_whole_solid_behind_them(kind):
    form = FORMS.get(kind, 0.0)
    origins, directions = rays(3000)
    forms = torch.full((3000,), form)
    enter, leave = span(kind, triple(origins), triple(directions), forms)
    hit = (enter <= leave).numpy()
    points = origins[hit] + enter.numpy()[hit, None] * directions[hit]
    found = torch.stack(normal(kind, triple(points), forms[: len(points)]), dim=-1).numpy()
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    cloud = np.random.default_rng(4).uniform(-1, 1, (20_000, 3))
    cloud = cloud[inside(kind, cloud, form)]
    # The plane through the point with this normal supports the convex solid; there is one such plane at
    # points that lie on no edge, so the normal is right.
    assert (cloud @ found.T - (points * found).sum(axis=1)).max() < 1e-4
    assert len(points) > 300


def test_a_shell_is_hit_from_inside_and_tells_its_face():
    directions = np.array([[-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1.0]])
    direction = triple(directions + 0.1)
    origin = triple(np.zeros((6, 3)))
    enter, leave = span(Kind.SHELL, origin, direction, torch.zeros(6))
    assert enter.tolist() == pytest.approx([1 / 0.9, 1 / 1.1] * 3)
    assert leave.isinf().all()
    point = triple((directions + 0.1) * enter.numpy()[:, None])
    inwards = normal(Kind.SHELL, point, torch.zeros(6))
    assert torch.stack(inwards, dim=1).tolist() == (-directions).tolist()
    assert shell_face(inwards).tolist() == [0, 1, 2, 3, 4, 5]


def test_terrain_is_below_and_never_met_by_rays_that_rise():
    direction = triple(np.array([[0.3, 0.5, 1], [0.3, 0, 1], [0.3, -0.5, 1]]))
    enter, _ = span(Kind.TERRAIN, triple(np.tile([0, -2.0, 0], (3, 1))), direction, torch.zeros(3))
    assert enter.tolist() == pytest.approx([4.0, torch.inf, torch.inf])
