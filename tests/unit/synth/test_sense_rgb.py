from __future__ import annotations

import numpy as np
import pytest
import torch
from flat_scene import SIZE, plane, radiance, row, sky, use_materials

from aims.synth.sensors import rgb
from aims.synth.sensors._camera import _curve, add_noise

# Main light 1.0, 0.9, 0.8 and ambient 0.3, 0.2, 0.1 are 1.1 on average: white facing the light comes to 0.85.
GAIN = 0.85 / 1.1
ALBEDO = np.array([0.2, 0.4, 0.6])
MAIN = np.array([1.0, 0.9, 0.8])
AROUND = np.array([0.3, 0.2, 0.1])
TILTED = (0.0, -0.6, -0.8)


def srgb(linear: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, 0..255."""
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def test_matt_plane(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row())
    # The angle between normal and light has the cosine 0.8. The normal points upwards by 0.6; of surroundings
    # that shine 1 + 0.6 u in directions that point upwards by u, it gathers 1 + 2/3 * 0.6 * 0.6.
    geometry = plane(normal=TILTED)
    expected = GAIN * ALBEDO * (0.8 * MAIN + 1.24 * AROUND)
    diffuse, specular = radiance(geometry)
    np.testing.assert_allclose(diffuse, np.broadcast_to(expected, (1, *SIZE, 3)), rtol=1e-5)
    assert not specular.any()
    picture = rgb.sense(geometry, noise=False)
    assert picture.dtype == torch.uint8
    # Half a step of 8 bits, and half a step of 12 bits, where the curve is at most as steep as at 0.16.
    np.testing.assert_allclose(picture, np.broadcast_to(srgb(expected), (1, *SIZE, 3)), atol=0.5 + 0.05)


def test_shadow_leaves_the_ambient_light(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row())
    lit = torch.ones(SIZE)
    lit[:, :10], lit[:, 10:20] = 0, 0.25
    light, _ = radiance(plane(lit=lit))
    for column, share in ((0, 0), (15, 0.25), (25, 1)):
        np.testing.assert_allclose(light[0, 3, column], GAIN * ALBEDO * (share * MAIN + AROUND), rtol=1e-5)


def test_light_behind_the_plane(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row(shine=1.0, roughness=0.3))
    diffuse, specular = radiance(plane(light_direction=torch.tensor([0.0, 0.6, 0.8])))
    np.testing.assert_allclose(diffuse[0, 0, 0], GAIN * ALBEDO * AROUND, rtol=1e-5)
    assert specular.max() < 0.1


@pytest.mark.parametrize("place", [(4, 5), (17, 26)])
def test_highlight_lies_where_the_light_is_mirrored(
    place: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # roughness^2 = 0.25, so the lobe's power is 2 / 0.0625 - 2 = 30 and its norm 38 / 8.
    use_materials(monkeypatch, row(shine=0.5, roughness=0.5, refractive_index=1.5))
    view = plane().view_directions()[0, place[0], place[1]]
    # Mirrored at the plane z = 2: x and y turn round, z stays.
    towards = view * torch.tensor([-1.0, -1.0, 1.0])
    specular = radiance(plane(light_direction=towards))[1][0]
    peak = specular[..., 0].argmax().item()
    # The cosine of the light shifts the maximum by less than a pixel.
    assert np.abs(np.subtract(divmod(peak, SIZE[1]), place)).max() <= 1
    cosine = float(-view[2])
    # (1.5 - 1)^2 / (1.5 + 1)^2 = 0.04 at a right angle.
    fresnel = 0.5 * (0.04 + 0.96 * (1 - cosine) ** 5)
    # What the mirror shows of the surroundings: 1.6 of the mean from above, 0.4 from below.
    mirrored = 1 - 0.6 * float(towards[1])
    expected = GAIN * fresnel * (MAIN * cosine * 38 / 8 + AROUND * mirrored)
    np.testing.assert_allclose(specular[place], expected, rtol=1e-4)


def test_metal_scatters_nothing_and_colours_what_it_mirrors(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row(shine=1.0, roughness=0.5, refractive_index=2.5, extinction=3.4))
    # No main light. Level with the camera, facing it, the surroundings have their mean.
    geometry = plane((25, 33), light_rgb=torch.tensor([1e-6, 2e-6, 3e-6]))
    diffuse, specular = radiance(geometry)
    assert not diffuse.any()
    _, _, cx, cy = geometry.intrinsics
    middle = specular[0, round(cy), round(cx)]
    around = AROUND * 0.85 / 0.2
    np.testing.assert_allclose(middle, ALBEDO * around, rtol=0.02)


def test_sky(monkeypatch: pytest.MonkeyPatch) -> None:
    outside, inside = (
        radiance(sky(family=family, ambient_rgb=torch.full((3,), 0.5))) for family in ("wilds", "rooms")
    )
    for diffuse, specular in (outside, inside):
        assert torch.isfinite(diffuse).all()
        assert not specular.any()
    top, bottom = outside[0][0, 0, 16], outside[0][0, -1, 16]
    assert top[2] > top[1] > top[0]
    assert (bottom > top).all()
    # Level with the camera and below: 2.3, 2.25 and 2.15 of the ambient light under the meter's gain.
    np.testing.assert_allclose(bottom, np.array([2.3, 2.25, 2.15]) * 0.5 * 0.85 / 1.4, rtol=1e-5)
    assert not inside[0].any()
    assert rgb.sense(sky(family="wilds")).float().std() > 1


def test_scene_is_the_same_in_any_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row(shine=0.4, roughness=0.3))
    batch = rgb.sense(plane(normal=TILTED, seeds=range(7)))
    for number in (0, 3, 6):
        assert torch.equal(rgb.sense(plane(normal=TILTED, seeds=[number]))[0], batch[number])
    assert not torch.equal(batch[0], batch[1])


def test_noise_follows_light() -> None:
    seeds = torch.arange(8)
    for level in (0.0, 0.25, 1.0):
        noise = add_noise(torch.full((8, 64, 64, 3), level), seeds, 100) - level
        # Shot noise of 8000 electrons at full scale, 10 electrons of read noise.
        sigma = np.sqrt(level / 8000 + (10 / 8000) ** 2)
        # 98,304 draws: the standard deviation is known to 0.23 %, the mean to sigma / 314.
        assert noise.std().item() == pytest.approx(sigma, rel=0.015)
        assert abs(noise.mean().item()) < 5 * sigma / 314
    channels = np.corrcoef(noise.reshape(-1, 3).T)
    assert np.abs(channels - np.eye(3)).max() < 0.03


def test_noise_is_in_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row())
    clean, noisy = (rgb.sense(plane((64, 64)), noise=noise).float() for noise in (False, True))
    assert clean.std(dim=(0, 1, 2)).max() == 0
    noise = noisy - clean
    assert noise.std() > 0.5
    # 4,096 pixels: chance gives correlations of 0.016.
    assert (torch.corrcoef(noise.reshape(-1, 3).T) - torch.eye(3)).abs().max() < 0.08
    # A channel's mean stays to a tenth of a step, apart from rounding.
    assert (noisy.mean(dim=(0, 1, 2)) - clean[0, 0, 0]).abs().max() < 0.6


def test_no_value_of_srgbs_curve_is_near_to_a_tie() -> None:
    """So that rounding to 8 bits hides the last digits of powers, which depend on the processor."""
    linear = np.arange(4096) / 4095
    encoded = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(encoded - np.floor(encoded) - 0.5).min() > 1e-4
    curve = _curve(torch.device("cpu")).numpy()
    assert (curve == np.rint(encoded)).all()
