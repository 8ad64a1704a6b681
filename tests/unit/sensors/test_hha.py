"""HHA against the original's output, against a literal reference, and at its edges."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from aims.core.errors import InputError
from aims.sensors import _hha_gravity, _hha_normals, hha
from aims.sensors.hha import NYUV2_COLOR, Camera, encode_hha, estimate_gravity

REFERENCE = Path(__file__).parents[3] / ".." / "shared" / "data" / "nyuv2" / "hha_reference"
CAMERA = Camera(fx=52.0, fy=50.0, cx=27.3, cy=21.6)
# An eighth of the colour camera of NYUv2, for pictures of 60 x 80.
NYUV2_SMALL = Camera(fx=64.9, fy=64.9, cx=40.1, cy=31.2)


# The steps of the original, one after another, pixel by pixel.


def literal_normals(z, present, camera, radius):
    """Unit normals away from the camera, NaN where two or fewer or collinear samples are in the window."""
    h, w = z.shape
    normals = np.full((h, w, 3), np.nan)
    for y, x in np.ndindex(h, w):
        rows, columns = np.mgrid[
            max(y - radius, 0) : min(y + radius + 1, h), max(x - radius, 0) : min(x + radius + 1, w)
        ]
        there = present[rows, columns]
        rows, columns = rows[there], columns[there]
        pixels = np.stack([columns - x, rows - y, np.ones(len(rows))], axis=1)
        if len(rows) < 3 or np.linalg.matrix_rank(pixels) < 3:
            continue
        u = (columns + camera.first_pixel - camera.cx) / camera.fx
        v = (rows + camera.first_pixel - camera.cy) / camera.fy
        normal = np.linalg.lstsq(np.stack([u, v, np.ones(len(u))], 1), 1 / z[rows, columns], rcond=None)[0]
        normal = normal / np.linalg.norm(normal)
        if normal[2] < 0:
            normal = -normal
        ray = [
            (x + camera.first_pixel - camera.cx) / camera.fx,
            (y + camera.first_pixel - camera.cy) / camera.fy,
            1,
        ]
        normals[y, x] = -normal if normal @ ray < 0 else normal
    return normals


def literal_gravity(normals, y):
    n = normals.reshape(-1, 3)
    n = n[~np.isnan(n[:, 0])]
    for t in (45, 15):
        for _ in range(5):
            floor = n[np.abs(n @ y) > math.cos(math.radians(t))]
            wall = n[np.abs(n @ y) < math.sin(math.radians(t))]
            values, vectors = np.linalg.eigh(wall.T @ wall - floor.T @ floor)
            new = vectors[:, 0] * np.sign(y @ vectors[:, 0])
            if values[1] - values[0] <= 1e-6 * np.abs(values).max():
                # Open in the original: a picture smaller than a window is a single plane.
                new = y - vectors[:, 2] * (vectors[:, 2] @ y)
                new = new / np.linalg.norm(new)
            y = new
    return y


def literal_hha(depth_m, missing=None, camera=CAMERA, gravity=(0.0, 1.0, 0.0)):
    z = 100 * depth_m
    h, w = z.shape
    present = np.ones((h, w), bool) if missing is None else ~missing
    u = (np.arange(w) + camera.first_pixel - camera.cx) / camera.fx
    v = (np.arange(h)[:, None] + camera.first_pixel - camera.cy) / camera.fy
    points = np.stack([u * z, v * z, z], axis=2)
    n1 = literal_normals(z, present, camera, 3)
    y = np.array(gravity)
    n2 = literal_normals(z, present, camera, 10)
    if not np.isnan(n2).all():
        y = literal_gravity(n2, y)
    height = -points[..., 1] if math.degrees(math.acos(min(y[1], 1))) <= 0.1 else -points @ y
    lowest = height.min()
    height = height - (-130 if lowest > -90 else lowest)
    cosine = np.clip(n1 @ y, -1, 1)
    angle = np.where(np.isnan(cosine), 180, np.degrees(np.arccos(cosine)))
    channels = np.stack([31000 / np.maximum(z, 100), height, angle + 38], axis=2)
    return np.minimum(np.floor(channels + 0.5), 255).astype(np.uint8), y


# Scenes.


def turn(pitch, roll=0.0):
    """Rotation of the world (y down, z ahead) into a camera that looks down by `pitch`, rolled by `roll`."""
    p, r = math.radians(pitch), math.radians(roll)
    about_x = np.array([[1, 0, 0], [0, math.cos(p), -math.sin(p)], [0, math.sin(p), math.cos(p)]])
    about_z = np.array([[math.cos(r), -math.sin(r), 0], [math.sin(r), math.cos(r), 0], [0, 0, 1]])
    return about_z @ about_x


def rays(shape, camera):
    v, u = np.indices(shape, float) + camera.first_pixel
    return np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(shape)], axis=2)


def room(shape, rotation, camera=CAMERA, noise=0.0, seed=0):
    """Depth in metres of a room of 3.4 x 2.6 x 4 m with a box, seen from 1.4 m above its floor."""
    world = rays(shape, camera) @ rotation
    world = np.where(np.abs(world) < 1e-9, 1e-9, world)
    low, high = np.array([-1.5, -1.2, -1.0]), np.array([1.9, 1.4, 3.0])
    depth = np.maximum(low / world, high / world).min(axis=2)
    corners = np.stack([np.array([-0.5, 0.8, 1.6]) / world, np.array([0.4, 1.4, 2.3]) / world])
    enter, leave = corners.min(axis=0).max(axis=2), corners.max(axis=0).min(axis=2)
    depth = np.where((enter > 0) & (enter < leave), np.minimum(enter, depth), depth)
    return depth + noise * np.random.default_rng(seed).normal(size=shape)


def plane(shape, normal, distance, camera=CAMERA):
    return distance / (rays(shape, camera) @ np.asarray(normal, float))


def holes(shape, seed=1):
    """Missing: noise, a block larger than a window, and in it one, two and three samples on a line."""
    missing = np.random.default_rng(seed).random(shape) < 0.15
    missing[4:32, 20:50] = True
    missing[17, [31, 35]] = False
    missing[[25, 26, 27], [40, 41, 42]] = False
    return missing


def angle_between(a, b):
    return math.degrees(math.atan2(np.linalg.norm(np.cross(a, b)), np.dot(a, b)))


# Agreement.


def test_equals_the_original_output():
    if not REFERENCE.is_dir():
        pytest.skip(f"the reference pictures are not at {REFERENCE}")
    depth = np.asarray(Image.open(REFERENCE / "depth.png")) / 1e4
    expected = np.asarray(Image.open(REFERENCE / "hha_matlab.png"))
    # Disparity is known pixel by pixel, so this tells the order of the channels on its own.
    np.testing.assert_array_equal(expected[..., 0], np.floor(31000 / (100 * depth) + 0.5))
    np.testing.assert_array_equal(encode_hha(depth), expected)


@pytest.mark.parametrize("with_holes", [False, True])
@pytest.mark.parametrize(("shape", "pitch", "roll"), [((43, 57), 18, 4), ((40, 64), -12, -7)])
def test_equals_the_literal_steps(shape, pitch, roll, with_holes):
    depth = room(shape, turn(pitch, roll), noise=0.01)
    missing = holes(shape) if with_holes else None
    expected, down = literal_hha(depth, missing)
    assert (expected[..., 2] == 218).sum() >= 5 * with_holes
    np.testing.assert_allclose(estimate_gravity(depth, missing=missing, camera=CAMERA), down, atol=1e-10)
    np.testing.assert_array_equal(encode_hha(depth, missing=missing, camera=CAMERA), expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (2, 2), (2, 5), (7, 9), (9, 25), (25, 6)])
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_pictures_smaller_than_a_window(shape, share):
    depth = room(shape, turn(15), noise=0.05)
    missing = np.random.default_rng(3).random(shape) < share
    expected, _ = literal_hha(depth, missing)
    np.testing.assert_array_equal(encode_hha(depth, missing=missing, camera=CAMERA), expected)


def test_ways_of_working_do_not_change_the_result(monkeypatch):
    depth, missing = room((43, 57), turn(14, 3), noise=0.02), holes((43, 57))
    expected = encode_hha(depth, missing=missing, camera=CAMERA)
    down = estimate_gravity(depth, missing=missing, camera=CAMERA)
    monkeypatch.setattr(hha, "BAND", 5 * 57)
    monkeypatch.setattr(_hha_normals, "INT32_SIZE", 0)
    monkeypatch.setattr(_hha_gravity, "SLACKS", {45.0: (), 15.0: ()})
    monkeypatch.setattr(_hha_gravity, "CHUNK", 100)
    np.testing.assert_array_equal(encode_hha(depth, missing=missing, camera=CAMERA), expected)
    np.testing.assert_allclose(
        estimate_gravity(depth, missing=missing, camera=CAMERA), down, rtol=0, atol=1e-12
    )


def test_leaves_its_input_and_the_threads_of_opencv_alone():
    depth, missing = room((20, 30), turn(10)), holes((60, 60))[:20, :30]
    depth[0, 0] = np.nan
    before, threads = depth.copy(), cv2.getNumThreads()
    encode_hha(depth, missing=missing, camera=CAMERA)
    np.testing.assert_array_equal(depth, before)
    assert cv2.getNumThreads() == threads


# Values derived by hand.


def test_a_level_camera_sees_floor_wall_and_ceiling():
    camera = Camera(fx=30, fy=30, cx=29.5, cy=29.5)
    v = (np.arange(60)[:, None] - 29.5) / 30
    # Floor and ceiling 1.4 m below and above, a wall 3 m ahead: symmetric, so gravity is exactly (0, 1, 0).
    picture = encode_hha(np.minimum(np.broadcast_to(1.4 / np.abs(v), (60, 60)), 3.0), camera=camera)
    # 31000 / 300 = 103.3; half a pixel above the axis is 300 / 60 = 5 cm above 140.
    assert picture[29, 45].tolist() == [103, 145, 128]
    # 28.5 pixels below: 140 * 30 / 28.5 = 147.4 cm away, 31000 / 147.4 = 210.4.
    assert picture[58, 30].tolist() == [210, 0, 38]
    assert picture[1, 30].tolist() == [210, 255, 218]


def test_the_ground_is_130_cm_below_when_nothing_lies_below_90():
    picture = encode_hha(np.full((20, 20), 2.0), camera=Camera(fx=100, fy=100, cx=9.5, cy=9.5))
    # v = (0.5) / 100 at 2 m is 1 cm below the axis.
    assert picture[10, 10].tolist() == [155, 129, 128]
    assert picture[9, 10].tolist() == [155, 131, 128]


def test_disparity_rounds_halves_up_and_saturates_nearer_than_a_metre():
    # 31000 / 496 = 62.5; at 1 m and nearer 310, which is clipped.
    depth = np.repeat(np.array([[4.96, 1.0, 0.3, 50.0]]), 2, axis=0)
    assert encode_hha(depth, camera=CAMERA)[0, :, 0].tolist() == [63, 255, 255, 6]


# Missing pixels.


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf, -np.inf, 1e-9, 1e9])
def test_a_depth_that_is_none_means_missing(value):
    depth, missing = room((40, 57), turn(15), noise=0.01), holes((40, 57))
    hollow = np.where(missing, value, depth)
    picture = encode_hha(hollow, camera=CAMERA)
    expected = encode_hha(depth, missing=missing, camera=CAMERA)
    np.testing.assert_array_equal(picture, encode_hha(hollow, missing=missing, camera=CAMERA))
    np.testing.assert_array_equal(picture[..., 2], expected[..., 2])
    np.testing.assert_array_equal(picture[missing][:, :2], 0)
    assert (encode_hha(depth, camera=CAMERA)[missing][:, 0] > 0).all()


def test_a_completed_depth_keeps_its_disparity_and_height_where_missing():
    depth, missing = room((40, 57), turn(15)), holes((40, 57))
    np.testing.assert_array_equal(
        encode_hha(depth, missing=missing, camera=CAMERA)[..., 0], encode_hha(depth, camera=CAMERA)[..., 0]
    )


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, -3.0])
def test_every_pixel_missing(value):
    picture = encode_hha(np.full((12, 15), value), camera=CAMERA)
    np.testing.assert_array_equal(picture, np.broadcast_to([0, 0, 218], (12, 15, 3)))
    down = estimate_gravity(np.full((12, 15), value), gravity=(0, 3, 4))
    np.testing.assert_allclose(down, [0, 0.6, 0.8], atol=1e-15)


def test_masked_arrays_are_missing_where_masked():
    depth, missing = room((30, 40), turn(15)), holes((60, 60))[:30, :40]
    masked = np.ma.MaskedArray(depth, missing)
    np.testing.assert_array_equal(
        encode_hha(masked, camera=CAMERA), encode_hha(np.where(missing, 0, depth), camera=CAMERA)
    )


@pytest.mark.parametrize(
    ("samples", "angle"),
    [
        ([(5, 5)], 218),
        ([(5, 5), (6, 6)], 218),
        ([(4, 4), (5, 5), (6, 6)], 218),
        ([(5, 3), (5, 4), (5, 7)], 218),
        ([(5, 4), (5, 5), (6, 4)], 128),
    ],
)
def test_samples_that_span_no_plane_have_no_normal(samples, angle):
    depth = np.zeros((11, 11))
    depth[tuple(zip(*samples, strict=True))] = 2.0
    picture = encode_hha(depth, camera=CAMERA)
    assert picture[5, 5, 2] == angle
    assert picture[0, 10, 2] == 218


# Gravity.


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (20, 0), (-15, 8), (5, -20)])
def test_gravity_of_a_tilted_room(pitch, roll):
    rotation = turn(pitch, roll)
    down = estimate_gravity(room((60, 80), rotation, NYUV2_SMALL), camera=NYUV2_SMALL)
    # A third of the windows lies across an edge of this small picture and pulls a little.
    assert angle_between(down, rotation @ [0, 1, 0]) < 1
    assert np.linalg.norm(down) == pytest.approx(1, abs=1e-12)


def test_a_steep_camera_needs_a_first_guess():
    rotation = turn(60)
    truth = rotation @ [0, 1, 0]
    depth = room((60, 80), rotation, NYUV2_SMALL)
    assert angle_between(estimate_gravity(depth, camera=NYUV2_SMALL), truth) > 45
    guess = turn(50, 5) @ [0, 1, 0]
    down = estimate_gravity(depth, camera=NYUV2_SMALL, gravity=3 * guess)
    assert angle_between(down, truth) < 1
    picture = encode_hha(depth, camera=NYUV2_SMALL, gravity=guess)
    # The middle of the lower half is floor, at height 0, where the box is not.
    assert abs(int(picture[50, 75, 2]) - 38) <= 1
    assert picture[50, 75, 1] <= 1


def test_one_facing_wall_keeps_the_first_guess():
    np.testing.assert_allclose(estimate_gravity(np.full((30, 40), 2.5), camera=CAMERA), [0, 1, 0], atol=1e-9)


@pytest.mark.parametrize("unit", [None, 1e-3])
def test_one_leaning_wall_turns_the_first_guess_into_its_plane(unit):
    normal = np.array([0.3, 0.4, 0.866])
    normal /= np.linalg.norm(normal)
    depth = plane((60, 80), normal, 2.0, NYUV2_SMALL)
    if unit:
        depth = np.round(depth / unit) * unit
    expected = np.array([0, 1, 0]) - normal[1] * normal
    down = estimate_gravity(depth, camera=NYUV2_SMALL)
    assert angle_between(down, expected) < (0.2 if unit else 1e-6)


def test_one_floor_is_enough():
    normal = turn(30) @ [0, 1, 0]
    depth = plane((60, 80), normal, 1.3, NYUV2_SMALL)
    depth[(depth <= 0) | (depth > 20)] = 0
    assert angle_between(estimate_gravity(depth, camera=NYUV2_SMALL), normal) < 1e-6


# Cameras.


def test_first_pixel_moves_the_principal_point():
    depth = room((30, 40), turn(15), noise=0.01)
    matlab = Camera(fx=52.0, fy=50.0, cx=28.3, cy=22.6, first_pixel=1)
    np.testing.assert_array_equal(encode_hha(depth, camera=matlab), encode_hha(depth, camera=CAMERA))
    assert (
        encode_hha(depth, camera=matlab)
        != encode_hha(depth, camera=Camera(fx=52.0, fy=50.0, cx=28.3, cy=22.6))
    ).any()


def test_the_default_camera_is_the_published_one():
    assert (NYUV2_COLOR.fx, NYUV2_COLOR.fy) == (518.85790117450188, 519.46961112127485)
    assert (NYUV2_COLOR.cx, NYUV2_COLOR.cy, NYUV2_COLOR.first_pixel) == (
        325.58244941119034,
        253.73616633400465,
        1,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [({"fx": 0.0}, "fx is 0"), ({"fy": -3.0}, "fy is -3"), ({"fx": math.nan}, "fx is nan"),
     ({"fx": 0.0035}, "pixels"), ({"cx": math.inf}, "cx is inf"), ({"first_pixel": 2}, "first_pixel is 2")],
)  # fmt: skip
def test_impossible_cameras(change, message):
    with pytest.raises(InputError, match=message):
        Camera(**{"fx": 50.0, "fy": 50.0, "cx": 20.0, "cy": 15.0, **change})


# Wrong input.


@pytest.mark.parametrize("call", [encode_hha, estimate_gravity])
@pytest.mark.parametrize(
    ("depth", "options", "message"),
    [
        (np.full((4, 5), 2500.0), {}, "millimetres"),
        (np.full((4, 5), np.nan), {"missing": np.zeros((4, 6), bool)}, r"\(4, 6\).*\(4, 5\)"),
        (np.full((4, 5), 2500, np.uint16), {}, "uint16.*metres"),
        (np.ones((4, 5), bool), {}, "bool.*metres"),
        (np.ones((4, 5), complex), {}, "complex128.*metres"),
        (np.ones((4, 5, 1)), {}, r"\(4, 5, 1\).*height, width"),
        (np.ones((0, 5)), {}, r"\(0, 5\)"),
        (np.ones((4, 5)), {"missing": np.zeros((4, 5), np.uint8)}, "uint8.*raw_depth == 0"),
        (np.ones((4, 5)), {"gravity": (0, 0, 0)}, "gravity"),
        (np.ones((4, 5)), {"gravity": (0, np.nan, 1)}, "gravity"),
        (np.ones((4, 5)), {"gravity": (0, 1)}, "gravity"),
        (np.ones((4, 5)), {"gravity": "down"}, "gravity"),
    ],
)
def test_wrong_input(call, depth, options, message):
    with pytest.raises(InputError, match=message):
        call(depth, **options)


def test_a_few_far_pixels_are_not_millimetres():
    depth = room((20, 30), turn(10))
    depth[0, :5] = 300.0
    assert encode_hha(depth, camera=CAMERA)[0, 0, 0] == 1


def test_single_and_half_precision_are_read_as_they_are():
    depth = room((30, 40), turn(15), noise=0.01).astype(np.float16)
    np.testing.assert_array_equal(
        encode_hha(depth, camera=CAMERA), encode_hha(depth.astype(np.float64), camera=CAMERA)
    )
