from __future__ import annotations

import numpy as np
import pytest
import torch
from flat_scene import SIZE, plane, row, sky, use_materials

from aims.synth.sensors import thermal

ZERO = 273.15


def test_black_body_shows_its_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row(emissivity=1.0))
    for kelvin in (233.0, 300.0, 373.0):
        picture = thermal.sense(plane(temperature_k=torch.full(SIZE, kelvin)), noise=False)
        assert (picture.dtype, picture.shape) == (torch.float32, (1, *SIZE))
        np.testing.assert_allclose(picture, kelvin - ZERO, atol=1e-3)


def test_mirror_shows_the_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row(emissivity=0.0))
    # Gravity along x, the plane facing the camera: a pixel's view (x, y, -1) is mirrored to (-x, -y, -1).
    geometry = plane(down=torch.tensor([1.0, 0.0, 0.0]), temperature_k=torch.full(SIZE, 999.0))
    view = geometry.view_directions()[0]
    # Up is -x, so the mirror looks up by the view's x. In rooms 1.5 K more straight above than level.
    up = view[..., 0].double()
    picture = thermal.sense(geometry, noise=False)[0]
    # A gradient this even keeps its shape under the blur, away from the mirrored edges.
    np.testing.assert_allclose(picture[:, 3:-3], 295 + 1.5 * up[:, 3:-3] - ZERO, atol=2e-3)
    outside = thermal.sense(plane(down=torch.tensor([1.0, 0.0, 0.0]), family="wilds"), noise=False)[0]
    cold = up > 0.1
    assert (outside[cold] < 295 - ZERO - 3).all()
    assert (outside[up < -0.1] - (295 - ZERO)).abs().max() < 1e-3


def test_grey_body_mixes_radiance(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row(emissivity=0.3))
    # A mirror facing straight up shows 1.5 K more than the air; gravity (0, 0, 1) makes the plane a floor.
    geometry = plane((25, 33), down=torch.tensor([0.0, 0.0, 1.0]), temperature_k=torch.full((25, 33), 350.0))
    middle = thermal.sense(geometry, noise=False)[0, 13, 16]
    # Within 0.01 K of straight down there.
    expected = (0.3 * 350.0**4 + 0.7 * 296.5**4) ** 0.25 - ZERO
    assert middle.item() == pytest.approx(expected, abs=0.02)


def test_blur_keeps_the_mean_radiance(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row())
    size = (128, 128)
    kelvin = torch.full(size, 290.0)
    kelvin[:, 100:], kelvin[-1], kelvin[:, 0] = 330.0, 310.0, 270.0
    picture = thermal.sense(plane(size, temperature_k=kelvin), noise=False)[0].double() + ZERO
    assert picture.pow(4).mean().item() == pytest.approx(kelvin.double().pow(4).mean().item(), rel=1e-6)
    # Across the step the share of the warm side is the normal distribution's (sigma 1 pixel): 0.6915 half
    # a pixel inside, 0.9332 one and a half.
    radiance = picture[60, 98:102].pow(4)
    share = (radiance - 290.0**4) / (330.0**4 - 290.0**4)
    np.testing.assert_allclose(share, [0.0668, 0.3085, 0.6915, 0.9332], atol=0.012)


def test_texture_is_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row(emissivity=0.9))
    stripes = torch.zeros(*SIZE, 3)
    stripes[:, ::2] = 1
    lit = stripes[..., 0]
    assert torch.equal(thermal.sense(plane(albedo_rgb=stripes, lit=lit)), thermal.sense(plane()))


def test_sky() -> None:
    outside, inside = (thermal.sense(sky(family=family), noise=False)[0] for family in ("wilds", "rooms"))
    assert torch.isfinite(outside).all()
    assert (outside[0] < outside[8]).all()
    assert outside[0].max() < 295 - ZERO - 5
    assert (outside[-1] - (295 - ZERO)).abs().max() < 1e-3
    assert (inside - (295 - ZERO)).abs().max() < 1.5


def test_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row())
    scenes = plane((96, 96), seeds=range(16))
    noise = (thermal.sense(scenes) - thermal.sense(scenes, noise=False)).double()
    # What all scenes share is the camera's pattern, 30 mK of pixels and 30 mK of columns; the rest is NETD.
    shared = noise.mean(dim=0)
    assert (noise - shared).std().item() == pytest.approx(0.05 * np.sqrt(15 / 16), rel=0.02)
    columns = shared.mean(dim=0)
    # 96 columns: known to 7 %.
    assert columns.std().item() == pytest.approx(0.03, rel=0.25)
    pixels = (shared - columns).std().item()
    # A mean of 16 frames leaves a quarter of the NETD.
    assert pixels == pytest.approx(np.hypot(0.03, 0.0125), rel=0.03)


def test_scene_is_the_same_in_any_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row(emissivity=0.6))
    batch = thermal.sense(plane(seeds=range(7)))
    for number in (0, 3, 6):
        assert torch.equal(thermal.sense(plane(seeds=[number]))[0], batch[number])
    assert not torch.equal(batch[0], batch[1])


@pytest.mark.parametrize("size", [(8, 8), (16, 40), (33, 21)])
def test_small_pictures(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row())
    assert torch.isfinite(thermal.sense(plane(size))).all()
