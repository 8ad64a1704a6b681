from __future__ import annotations

import numpy as np
import pytest
import torch
from flat_scene import SIZE, plane, row, sky, use_materials

from aims.synth.sensors import nir, rgb
from aims.synth.world.materials import MATERIALS, material_table


def srgb(linear: float) -> float:
    return 255 * (1.055 * linear ** (1 / 2.4) - 0.055)


def test_matt_plane_in_light_and_shadow(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row())
    lit = torch.ones(SIZE)
    lit[:, :16] = 0
    # The light's cosine is 0.8; main 0.85 and ambient 0.15 are exposed to 0.85 of full scale together. The
    # normal points upwards by 0.6 and gathers 1 + 2/3 * 0.6 * 0.6 of the ambient light.
    picture = nir.sense(plane(normal=(0.0, -0.6, -0.8), lit=lit), noise=False)
    assert (picture.dtype, picture.shape) == (torch.uint8, (1, *SIZE))
    shadow, light = 0.85 * 0.7 * 1.24 * 0.15, 0.85 * 0.7 * (1.24 * 0.15 + 0.8 * 0.85)
    # Half a step of 8 bits, and of 12 bits where the curve is at its steepest here.
    assert (picture[..., :16] - srgb(shadow)).abs().max() <= 0.5 + 0.07
    assert (picture[..., 16:] - srgb(light)).abs().max() <= 0.5 + 0.07


def test_colours_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row(shine=0.3, roughness=0.4))
    other = {name: torch.tensor([0.9, 0.1, 0.5]) for name in ("light_rgb", "ambient_rgb")}
    dyed = plane(albedo_rgb=torch.rand(*SIZE, 3, generator=torch.Generator().manual_seed(1)), **other)
    assert torch.equal(nir.sense(plane()), nir.sense(dyed))


def test_leaves_are_bright_and_paints_alike() -> None:
    """By the materials' own albedos, under white light: a leaf beside a grey of the same look."""
    table = material_table("rooms")
    leaf = [row.name for row in MATERIALS["rooms"]].index("foliage")
    materials = torch.full(SIZE, leaf)
    white = {name: torch.ones(3) for name in ("light_rgb", "ambient_rgb")}
    leaves = plane(
        materials=materials,
        albedo_rgb=table["albedo_rgb"][leaf].expand(*SIZE, 3),
        albedo_nir=table["albedo_nir"][leaf].expand(SIZE),
        **white,
    )
    visible, infrared = rgb.sense(leaves, noise=False), nir.sense(leaves, noise=False)
    assert infrared.float().mean() > 1.3 * visible[..., 1].float().mean()
    painted = table["albedo_nir"][table["painted"]]
    assert painted.max() - painted.min() < 0.15


def test_highlight(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row(shine=0.5, roughness=0.4))
    place = (6, 20)
    view = plane().view_directions()[0, place[0], place[1]]
    picture = nir.sense(plane(light_direction=view * torch.tensor([-1.0, -1.0, 1.0])), noise=False)[0]
    brightest = np.argwhere(picture.numpy() == picture.max().item())
    assert np.abs(brightest - place).max() <= 2
    assert picture.max() > picture[-1, 0] + 10


def test_sky_is_darker_than_the_visible_one() -> None:
    geometry = sky(family="wilds", ambient_rgb=torch.full((3,), 0.5), ambient_nir=torch.tensor(0.5))
    infrared, visible = nir.sense(geometry, noise=False).float(), rgb.sense(geometry, noise=False).float()
    assert (infrared < visible.mean(dim=-1)).all()
    assert infrared[0, 0].mean() < infrared[0, -1].mean()
    # At the horizon and below 0.9 of the ambient light, which is 0.5 of 1.35, exposed to 0.85.
    assert infrared[0, -1, 0].item() == pytest.approx(srgb(0.9 * 0.5 / 1.35 * 0.85), abs=0.6)


def test_scene_is_the_same_in_any_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row(shine=0.4, roughness=0.3))
    batch = nir.sense(plane(seeds=range(7)))
    for number in (0, 3, 6):
        assert torch.equal(nir.sense(plane(seeds=[number]))[0], batch[number])
    assert not torch.equal(batch[0], batch[1])


def test_noise_is_not_the_colour_camera_s(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row())
    grey = plane((64, 64), albedo_nir=torch.full((64, 64), 0.4))
    noise = nir.sense(grey).float() - nir.sense(grey, noise=False).float()
    assert 0.5 < noise.std() < 5
    other = rgb.sense(grey).float() - rgb.sense(grey, noise=False).float()
    for channel in range(3):
        both = torch.stack([noise.flatten(), other[..., channel].flatten()])
        assert torch.corrcoef(both)[0, 1].abs() < 0.06
