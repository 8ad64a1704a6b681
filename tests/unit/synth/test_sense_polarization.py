from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from flat_scene import SIZE, plane, radiance, row, sky, use_materials
from scipy.spatial.transform import Rotation

from aims.sensors.polarization import ANGLES, aolp, dolp, stokes
from aims.synth.sensors import polarization
from aims.synth.world.geometry import Geometry

GLASS = {"refractive_index": 1.5, "roughness": 0.3}
DARK = torch.zeros(*SIZE, 3)
LEFT_RIGHT_UP_DOWN = [(0.0, -0.5), (0.0, 0.5), (0.5, 0.0), (-0.5, 0.0)]


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def degrees(*values: float) -> torch.Tensor:
    """Cosines."""
    return torch.cos(torch.deg2rad(tensor(*values)))


def tilted(x: float, y: float, size: tuple[int, int] = SIZE, **changes: Any) -> Geometry:
    """A plane whose normal leans to x (right) and y (down); the optical axis goes through the middle."""
    geometry = plane(size, normal=(x, y, -math.sqrt(1 - x * x - y * y)), **changes)
    fx, fy, _, _ = geometry.intrinsics
    return replace(geometry, intrinsics=(fx, fy, size[1] // 2, size[0] // 2))


def measured(geometry: Geometry) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stokes' s0, the degree, and the angle in degrees, that four pictures without noise give."""
    pictures = polarization.sense(geometry, noise=False).numpy()
    s0, s1, s2 = stokes(*pictures.transpose(3, 0, 1, 2, 4))
    return s0, dolp(s0, s1, s2), np.degrees(aolp(s1, s2))


def centre(picture: np.ndarray) -> np.ndarray:
    """R, G and B on the optical axis of the first scene."""
    middle: np.ndarray = picture[0, SIZE[0] // 2, SIZE[1] // 2]
    return middle


def test_fresnel_by_hand() -> None:
    # At 45 degrees into n = 1.5: sin t = 0.47140, cos t = 0.88192.
    # Rs = ((0.70711 - 1.5 * 0.88192) / (0.70711 + 1.5 * 0.88192))^2 = (0.61577 / 2.02998)^2 = 0.09201.
    # Rp = ((1.5 * 0.70711 - 0.88192) / (1.5 * 0.70711 + 0.88192))^2 = (0.17874 / 1.94258)^2 = 0.00847.
    # Upright, both are (0.5 / 2.5)^2 = 0.04; at 90 degrees, 1.
    across, inside = polarization.fresnel(degrees(45, 0, 90), tensor(1.5), tensor(0))
    np.testing.assert_allclose(across, [0.09201, 0.04, 1], atol=1e-5)
    np.testing.assert_allclose(inside, [0.00847, 0.04, 1], atol=1e-5)


def test_fresnel_of_metals() -> None:
    # Upright: ((n - 1)^2 + k^2) / ((n + 1)^2 + k^2) = (2.25 + 11.56) / (12.25 + 11.56).
    across, inside = polarization.fresnel(degrees(0), tensor(2.5), tensor(3.4))
    np.testing.assert_allclose([across.item(), inside.item()], 13.81 / 23.81, rtol=1e-7)
    # Elsewhere against Fresnel's equations in complex numbers.
    theta = np.radians(np.arange(0, 90, 7.5))
    index = 1.18 + 2.2j
    inner = np.sqrt(index**2 - np.sin(theta) ** 2)
    rs = (np.cos(theta) - inner) / (np.cos(theta) + inner)
    rp = (index**2 * np.cos(theta) - inner) / (index**2 * np.cos(theta) + inner)
    found = polarization.fresnel(torch.from_numpy(np.cos(theta)), tensor(1.18), tensor(2.2))
    np.testing.assert_allclose(found[0], abs(rs) ** 2, rtol=1e-9)
    np.testing.assert_allclose(found[1], abs(rp) ** 2, rtol=1e-9)


@pytest.mark.parametrize("index", [1.31, 1.5, 2.4])
def test_degree_of_what_is_mirrored(index: float) -> None:
    cosine = degrees(0, 10, 30, 45, 60, 75, 89, 90)
    degree = polarization.specular_degree(cosine, tensor(index), tensor(0))
    # Atkinson and Hancock: 2 s^2 c sqrt(n^2 - s^2) / (n^2 - s^2 - n^2 s^2 + 2 s^4).
    c, s2, n2 = cosine.numpy(), 1 - cosine.numpy() ** 2, index**2
    expected = 2 * s2 * c * np.sqrt(n2 - s2) / (n2 - s2 - n2 * s2 + 2 * s2**2)
    np.testing.assert_allclose(degree, expected, atol=1e-12)
    # At 45 degrees into n = 1.5, by hand: (0.09201 - 0.00847) / (0.09201 + 0.00847).
    by_hand = polarization.specular_degree(degrees(45), tensor(1.5), tensor(0)).item()
    assert by_hand == pytest.approx(0.8314, abs=2e-4)


def test_brewster() -> None:
    for index in (1.31, 1.5, 2.4):
        brewster = torch.cos(torch.atan(tensor(index)))
        assert polarization.fresnel(brewster, tensor(index), tensor(0))[1].item() == pytest.approx(
            0, abs=1e-12
        )
        degree = polarization.specular_degree(brewster, tensor(index), tensor(0))
        assert degree.item() == pytest.approx(1, abs=1e-12)
    # Metals have none.
    assert polarization.specular_degree(degrees(*range(91)), tensor(2.5), tensor(3.4)).max() < 0.7


def test_degree_of_what_is_scattered() -> None:
    # n = 1.5 at 60 degrees: 0.69444 * 0.75 / (6.5 - 4.69444 * 0.75 + 2 * sqrt(1.5)) = 0.52083 / 5.42866.
    by_hand = polarization.diffuse_degree(degrees(60), tensor(1.5)).item()
    assert by_hand == pytest.approx(0.09594, abs=1e-5)
    cosine = degrees(*range(91))
    degree = polarization.diffuse_degree(cosine, tensor(1.5))
    assert degree[0] == 0
    assert (degree.diff() > 0).all()
    # (n^2 - 1) / (n^2 + 1)
    assert degree[-1].item() == pytest.approx(1.25 / 3.25)
    # Light goes out as it would come in: what is not mirrored passes, (Tp - Ts) / (Tp + Ts).
    across, inside = polarization.fresnel(cosine[:-1], tensor(1.5), tensor(0))
    np.testing.assert_allclose(degree[:-1], (across - inside) / (2 - across - inside), atol=1e-9)


@pytest.mark.parametrize("normal", LEFT_RIGHT_UP_DOWN)
def test_scattered_light_is_polarized_along_the_plane_of_incidence(
    normal: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_materials(monkeypatch, row(refractive_index=1.5))
    # Tilted about the x axis, the normal leans along y: 90 degrees; about the y axis: 0.
    expected = 90 if normal[1] else 0
    _, degree, angle = measured(tilted(*normal))
    np.testing.assert_allclose((centre(angle) - expected + 90) % 180 - 90, 0, atol=1e-2)
    # The normal leans by 30 degrees.
    upright = polarization.diffuse_degree(degrees(30), tensor(1.5)).item()
    assert centre(degree) == pytest.approx(upright, abs=1e-5)


@pytest.mark.parametrize("normal", LEFT_RIGHT_UP_DOWN)
def test_mirrored_light_is_polarized_across_it(
    normal: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_materials(monkeypatch, row(shine=1.0, **GLASS))
    expected = 0 if normal[1] else 90
    _, degree, angle = measured(tilted(*normal, albedo_rgb=DARK))
    np.testing.assert_allclose((centre(angle) - expected + 90) % 180 - 90, 0, atol=1e-2)
    upright = polarization.specular_degree(degrees(30), tensor(1.5), tensor(0)).item()
    assert centre(degree) == pytest.approx(upright, abs=1e-5)


def test_metals_mirror_all_and_polarize_less(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row(shine=1.0, roughness=0.3, refractive_index=2.5, extinction=3.4))
    _, degree, angle = measured(tilted(0.0, -0.8))
    # (Rs - Rp) / (Rs + Rp) in complex numbers, where the normal leans by the angle of the cosine 0.6.
    index = 2.5 + 3.4j
    inner = np.sqrt(index**2 - 0.64)
    rs = abs((0.6 - inner) / (0.6 + inner)) ** 2
    rp = abs((index**2 * 0.6 - inner) / (index**2 * 0.6 + inner)) ** 2
    assert centre(degree) == pytest.approx((rs - rp) / (rs + rp), abs=1e-5)
    np.testing.assert_allclose(centre(angle), 0, atol=1e-2)


def test_angles_count_anticlockwise(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row(refractive_index=1.5))
    # The normal leans to the upper right of the picture: y is down.
    _, _, angle = measured(tilted(0.4, -0.4))
    assert centre(angle) == pytest.approx(45, abs=1e-2)
    pictures = centre(polarization.sense(tilted(0.4, -0.4), noise=False).numpy())
    assert (pictures[ANGLES.index(45)] > pictures[ANGLES.index(135)]).all()


def test_brewster_in_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row(shine=1.0, **GLASS))
    # The normal at Brewster's angle, 56.3 degrees, to every ray, and light only mirrored.
    view = plane().view_directions()
    side = torch.nn.functional.normalize(
        torch.stack([view[..., 2], 0 * view[..., 0], -view[..., 0]], -1), dim=-1
    )
    normals = (view + 1.5 * side) / math.sqrt(1 + 1.5**2)
    _, degree, _ = measured(plane(albedo_rgb=DARK, normals=normals[0]))
    np.testing.assert_allclose(degree, 1, atol=1e-5)


def test_polarizers_give_back_what_was_put_in(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row(shine=0.2, **GLASS))
    geometry = tilted(0.4, -0.7, seeds=(1, 2))
    s0, s1, s2 = (np.stack(each, axis=-1) for each in zip(*polarization.stokes(geometry), strict=True))
    assert s0.max() < 1
    light, degree, angle = measured(geometry)
    np.testing.assert_allclose(light, s0, atol=1e-5)
    np.testing.assert_allclose(degree, np.hypot(s1, s2) / s0, atol=1e-5)
    # The angle through its sine and cosine: it means nothing where nothing is polarized.
    np.testing.assert_allclose(light * degree * np.cos(2 * np.radians(angle)), s1, atol=1e-5)
    np.testing.assert_allclose(light * degree * np.sin(2 * np.radians(angle)), s2, atol=1e-5)
    # By the law of Malus, and a different number in every channel.
    pictures = polarization.sense(geometry, noise=False)
    assert (pictures.dtype, pictures.shape) == (torch.float32, (2, *SIZE, 4, 3))
    for place, polarizer in enumerate(ANGLES):
        expected = light / 2 * (1 + degree * np.cos(2 * np.radians(polarizer - angle)))
        np.testing.assert_allclose(pictures[..., place, :], expected, atol=1e-5)
    assert np.unique(centre(pictures.numpy()).round(4)).size == 12


def test_scattered_and_mirrored_light_work_against_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row(shine=0.6, **GLASS))
    geometry = tilted(0.0, -0.6)
    diffuse, specular = radiance(geometry)
    cosine = (geometry.normals * geometry.view_directions()).sum(-1, keepdim=True)
    scattered = diffuse * polarization.diffuse_degree(cosine, tensor(1.5))
    mirrored = specular * polarization.specular_degree(cosine, tensor(1.5), tensor(0))
    s0, degree, _ = measured(geometry)
    # All light is that of the colour camera.
    total = (diffuse + specular).numpy()
    np.testing.assert_allclose(s0, total, atol=1e-6)
    np.testing.assert_allclose(degree, (scattered - mirrored).abs().numpy() / total, atol=1e-5)
    # The darker the colour, the more of its light is mirrored, which has no colour: red is 0.2, blue 0.6.
    assert ((mirrored - scattered)[..., 0] > (mirrored - scattered)[..., 2]).all()


def test_the_ray_is_turned_onto_the_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row(refractive_index=1.5))
    geometry = tilted(0.3, -0.5)
    _, _, angle = measured(geometry)
    normal = geometry.normals[0, 0, 0].double().numpy()
    for y, x in ((0, 0), (0, 31), (23, 0), (12, 20)):
        ray = -geometry.view_directions()[0, y, x].double().numpy()
        axis = np.cross(ray, [0, 0, 1])
        size = np.linalg.norm(axis)
        turned = Rotation.from_rotvec(axis / size * np.arctan2(size, ray[2])).apply(normal)
        expected = np.degrees(np.arctan2(-turned[1], turned[0]))
        np.testing.assert_allclose((angle[0, y, x] - expected + 90) % 180 - 90, 0, atol=1e-2)


def test_upright_and_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row(shine=0.6, **GLASS))
    facing = plane(normals=plane().view_directions()[0])
    for geometry in (facing, sky(), sky(family="wilds")):
        s0, degree, angle = measured(geometry)
        # Rooms are closed: a gap is black.
        assert (s0 > 0).all() or not s0.any()
        np.testing.assert_allclose(degree, 0, atol=1e-6)
        assert np.isfinite(angle).all()


def test_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row(shine=0.6, **GLASS))
    geometry = tilted(0.3, -0.5, (96, 128))
    clean = polarization.sense(geometry, noise=False)
    noisy = polarization.sense(geometry)
    assert 0 < clean.min() <= clean.max() < 1
    # 10,500 electrons are full scale; their shot noise, and a read noise of 2.3.
    error = ((noisy - clean) * 10_500 / (clean * 10_500 + 2.3**2).sqrt()).reshape(-1, 12).numpy()
    # 12,288 pixels: the deviation is known to 0.6 %, the mean and correlations to 0.9 %.
    np.testing.assert_allclose(error.std(axis=0), 1, atol=0.03)
    np.testing.assert_allclose(error.mean(axis=0), 0, atol=0.04)
    np.testing.assert_allclose(np.corrcoef(error.T), np.eye(12), atol=0.04)


def test_full_pixels_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    # Light from behind the camera, mirrored straight back: a highlight of (p + 8) / 8 = 101 times 0.04 times
    # the light, for p = 2 / 0.05^2 - 2.
    use_materials(monkeypatch, row(shine=1.0, refractive_index=1.5, roughness=0.1))
    pictures = polarization.sense(plane())
    assert pictures.min() >= 0
    assert pictures.max() == 1


@pytest.mark.parametrize("size", [(24, 32), (17, 23)])
def test_same_scene_same_bits(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    use_materials(monkeypatch, row(shine=0.6, **GLASS))
    seeds = (11, 2**40 + 3, 5)
    together = polarization.sense(tilted(0.3, -0.5, size, seeds=seeds))
    for index, seed in enumerate(seeds):
        assert torch.equal(together[index], polarization.sense(tilted(0.3, -0.5, size, seeds=(seed,)))[0])
    assert not torch.equal(together[0], together[1])
