"""Scenes and sensors on the card are the CPU's within a stated bound."""

from __future__ import annotations

import pytest
import torch

from aims.benchmarks.speed.scenes import sensor_functions
from aims.synth.world.geometry import Geometry
from aims.synth.world.render import FAMILIES, render

pytestmark = pytest.mark.gpu

SIZE, SCENES = (96, 128), range(6)
#: Along edges and steps a last digit decides what a pixel is: at most so many of all.
SHARE = 2e-3
#: Elsewhere values agree to this, of a picture's range; pictures of bytes to one level.
CLOSE = 1e-4


@pytest.fixture(params=list(FAMILIES))
def both(request, device) -> tuple[Geometry, Geometry]:
    return render(request.param, 3, SCENES, SIZE, device), render(request.param, 3, SCENES, SIZE)


def share_apart(here, there) -> float:
    """The share of values that are not close."""
    here, there = here.cpu(), there.cpu()
    assert here.shape == there.shape
    assert here.dtype == there.dtype
    if not there.is_floating_point():
        limit = 1 if there.dtype == torch.uint8 else 0
        return float(((here.int() - there.int()).abs() > limit).float().mean())
    limit = CLOSE * float(there.max() - there.min())
    return float((~((here - there).abs() <= limit)).float().mean())


FIELDS = ("depth_m", "points", "normals", "instances", "classes", "materials", "albedo_rgb", "albedo_nir")
FIELDS += ("temperature_k", "lit")


@pytest.mark.parametrize("name", FIELDS)
def test_geometry(both, name):
    here, there = (getattr(geometry, name) for geometry in both)
    assert float(there.float().std()) > 0
    assert share_apart(here, there) < SHARE


@pytest.mark.parametrize("sensor", sensor_functions())
def test_sensors(both, sensor):
    sense = sensor_functions()[sensor]
    here, there = (sense(geometry) for geometry in both)
    assert float(there.float().std()) > 0
    if sensor == "hha":
        # Gravity is fitted to all pixels of a picture, so that a single one moves every angle a little.
        apart = (here.cpu().int() - there.int()).abs()
        assert float((apart > 2).float().mean()) < 5 * SHARE
        return
    assert share_apart(here, there) < 5 * SHARE


def test_a_scene_is_the_same_in_any_batch(device):
    alone = render("wilds", 3, [4], SIZE, device)
    among = render("wilds", 3, SCENES, SIZE, device)
    for name in ("depth_m", "instances", "albedo_rgb", "lit"):
        here, there = getattr(alone, name)[0], getattr(among, name)[4]
        assert share_apart(here, there) < SHARE
