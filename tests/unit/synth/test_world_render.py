"""The renderer against closed forms, on scenes made by hand."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
import torch

from aims.core.errors import InputError
from aims.synth.world import render as module
from aims.synth.world._builder import Builder, Spot
from aims.synth.world._cast import cast
from aims.synth.world._furniture import table
from aims.synth.world._tables import tabulate
from aims.synth.world._textures import ROOM_TEXTURES
from aims.synth.world.geometry import Geometry, scaled_intrinsics
from aims.synth.world.materials import MATERIALS
from aims.synth.world.render import FAMILIES, render, render_tables, scene_tables
from aims.synth.world.rooms import CLASSES
from aims.synth.world.scene import Camera, Light, SceneRng, SceneSpec, Solid
from aims.synth.world.solids import Kind

SIZE = (96, 128)
OVERHEAD = (0.0, -1.0, 0.0)


class Studio:
    """A plane under an open sky, for things of one material each."""

    def __init__(self, *, height=1.5, pitch=0.0, roll=0.0, yaw=0.0, towards=OVERHEAD, surroundings=None):
        self.spec = SceneSpec(
            camera=Camera(x=0.3, height=height, z=-0.2, angles=(yaw, pitch, roll)),
            light=Light(
                towards=towards, rgb=(0.9, 0.8, 0.7), ambient_rgb=(0.1, 0.2, 0.3), nir=0.6, ambient_nir=0.4
            ),
            air_k=290.0,
            surroundings=surroundings or Solid(Kind.TERRAIN, 0, (0, 0, 0), (1, 1, 1)),
        )
        rng = SceneRng(np.random.default_rng(1))
        self.builder = Builder(
            self.spec, rng, materials=MATERIALS["rooms"], classes=CLASSES, textures=tuple(ROOM_TEXTURES)
        )
        for colour in (
            (0.1, 0.2, 0.3),
            (0.2, 0.3, 0.4),
            (0.3, 0.4, 0.5),
            (0.4, 0.5, 0.6),
            (0.5,) * 3,
            (0.6,) * 3,
        ):
            self.builder.surface("plaster", "plain", colour=colour)

    def add(self, kind, centre, half, *, yaw=0.0, name="ball", form=0.0, material="plastic"):
        """A thing whose middle is given from the camera's place: x right, y down, z forward at yaw 0."""
        camera = self.spec.camera
        x, z = camera.x + centre[0], camera.z + centre[2]
        with self.builder.thing(name, Spot(x, z, yaw, camera.height - centre[1])):
            surface = self.builder.surface(material, "plain", colour=(0.7, 0.5, 0.2))
            self.builder.solid(kind, surface, (0, 0, 0), half, form=form)

    def render(self, size=SIZE) -> Geometry:
        return render_tables([tabulate("rooms", [self.spec], [11], scaled_intrinsics(size), size)], "cpu")


def rays(size=SIZE) -> np.ndarray:
    fx, fy, cx, cy = scaled_intrinsics(size)
    y, x = np.indices(size)
    return np.stack([(x - cx) / fx, (y - cy) / fy, np.ones(size)], axis=-1)


def test_what_follows_a_thing_that_failed_is_background():
    world = Studio()
    with pytest.raises(ZeroDivisionError), world.builder.thing("ball", Spot(1, 2, 0.5)):
        raise ZeroDivisionError
    world.builder.surface("plaster", "plain")
    assert (world.spec.surfaces[-1].instance, world.spec.surfaces[-1].class_id) == (0, 0)


def test_intrinsics_scale_about_the_picture_edges():
    assert scaled_intrinsics((480, 640)) == pytest.approx((518.857901, 519.469611, 324.582449, 252.736166))
    # A fifth across and a half down: the principal point keeps its share of the picture.
    fx, fy, cx, cy = scaled_intrinsics((240, 128))
    assert (fx, fy) == pytest.approx((103.7715802, 259.7348055))
    assert (cx + 0.5) / 128 == pytest.approx(325.082449 / 640)
    assert (cy + 0.5) / 240 == pytest.approx(253.236166 / 480)


def test_depth_and_normals_of_a_plane():
    pitch, roll, height = 0.8, -0.2, 1.7
    made = Studio(height=height, pitch=pitch, roll=roll, yaw=1.1).render()
    # Gravity in the camera's frame: pitched down it gets a part along z, then roll turns x and y.
    down = np.array([math.cos(pitch) * math.sin(roll), math.cos(pitch) * math.cos(roll), math.sin(pitch)])
    depth = height / (rays() @ down)
    assert (depth > 0).all()
    np.testing.assert_allclose(made.depth_m[0], depth, rtol=1e-5)
    np.testing.assert_allclose(made.points[0], rays() * depth[..., None], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(made.normals[0], np.broadcast_to(-down, (*SIZE, 3)), atol=1e-5)
    np.testing.assert_allclose(made.down[0], down, atol=1e-6)
    np.testing.assert_allclose(made.light_direction[0], -down, atol=1e-6)
    assert made.instances.max() == 0
    assert (made.lit == 1).all()


def test_sky_is_nothing_at_all():
    made = Studio(pitch=-0.3).render()
    sky = made.depth_m[0] == 0
    # The horizon rises where the camera looks down; here it looks up and sky covers most.
    np.testing.assert_array_equal(sky[:, 0], rays()[:, 0, 1] * math.cos(-0.3) + math.sin(-0.3) < 1.5 / 80)
    for name in ("points", "normals", "instances", "classes", "materials", "albedo_rgb", "albedo_nir", "lit"):
        assert (getattr(made, name)[0][sky] == 0).all(), name
    assert (made.temperature_k[0][sky] == 290).all()


def test_faces_of_a_room():
    shell = Solid(Kind.SHELL, 0, (0, -1.2, 2.5), (2.0, 1.2, 2.5))
    made = Studio(surroundings=shell).render()
    # From the camera at (0.3, -1.5, -0.2): left, right, ceiling, floor, far wall.
    faces = {0: (0, -2.3), 1: (0, 1.7), 2: (1, -0.9), 3: (1, 1.5), 5: (2, 5.2)}
    directions = rays()
    hits = {
        face: place / np.where(directions[..., axis] == 0, 1e-9, directions[..., axis])
        for face, (axis, place) in faces.items()
    }
    depths = np.stack([np.where(hits[face] > 0, hits[face], np.inf) for face in faces])
    np.testing.assert_allclose(made.depth_m[0], depths.min(axis=0), rtol=1e-5)
    seen = np.array(list(faces))[depths.argmin(axis=0)]
    for face, (axis, place) in faces.items():
        where = seen == face
        assert where.sum() > 50
        expected = np.zeros(3)
        expected[axis] = -np.sign(place)
        np.testing.assert_allclose(made.normals[0][where], np.tile(expected, (where.sum(), 1)), atol=1e-6)
        first = 0.1 * (face + 1)
        np.testing.assert_allclose(made.albedo_rgb[0][where][:, 0], first, rtol=1e-5)


def test_silhouette_depth_and_normals_of_a_sphere():
    studio = Studio()
    centre, radius = np.array([0.2, -0.1, 3.0]), 0.7
    studio.add(Kind.SPHERE, centre, (radius,) * 3)
    made = studio.render()
    directions = rays()
    unit = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    along = unit @ centre
    square = radius**2 - (centre @ centre - along**2)
    clear = np.abs(square) > 1e-4
    np.testing.assert_array_equal((made.instances[0].numpy() == 1)[clear], (square > 0)[clear])
    ball = square > 1e-4
    points = unit[ball] * (along - np.sqrt(np.maximum(square, 0)))[ball][:, None]
    np.testing.assert_allclose(made.points[0][ball], points, atol=2e-5)
    # Near the outline a small error of the point turns the normal much.
    np.testing.assert_allclose(made.normals[0][ball], (points - centre) / radius, atol=2e-4)
    assert (made.classes[0][ball] == 1 + CLASSES.index("ball")).all()
    assert MATERIALS["rooms"][int(made.materials[0][ball][0])].name == "plastic"
    np.testing.assert_allclose(made.albedo_rgb[0][ball], np.tile([0.7, 0.5, 0.2], (ball.sum(), 1)), atol=1e-6)


def test_faces_of_a_turned_box():
    studio = Studio(height=1.0)
    yaw, half = 0.6, np.array([0.5, 0.3, 0.4])
    centre = np.array([0.1, 0.4, 2.5])
    studio.add(Kind.BOX, centre, tuple(half), yaw=yaw)
    made = studio.render()
    # The box's own axes: its z looks to (sin yaw, 0, cos yaw).
    axes = np.array([[math.cos(yaw), 0, -math.sin(yaw)], [0, 1, 0], [math.sin(yaw), 0, math.cos(yaw)]])
    box = made.instances[0] == 1
    local = (made.points[0][box].numpy() - centre) @ axes.T / half
    np.testing.assert_allclose(np.abs(local).max(axis=1), 1, atol=1e-5)
    face = np.abs(local).argmax(axis=1)
    interior = np.sort(np.abs(local), axis=1)[:, 1] < 0.999
    assert set(face) == {0, 1, 2}
    expected = axes[face] * np.sign(local[np.arange(len(face)), face])[:, None]
    np.testing.assert_allclose(made.normals[0][box][interior], expected[interior], atol=1e-6)


@pytest.mark.parametrize("far_first", [True, False])
def test_the_nearer_thing_hides_the_other(far_first):
    studio = Studio()
    things = [((0, 0, 4), 1.0, "cabinet"), ((0, 0, 2), 0.2, "ball")]
    for centre, size, name in things if far_first else things[::-1]:
        studio.add(Kind.BOX, centre, (size, size, 0.1), name=name)
    made = studio.render()
    middle = (48, 63)
    assert made.classes[0][middle] == 1 + CLASSES.index("ball")
    assert made.depth_m[0][middle].item() == pytest.approx(1.9, rel=1e-5)
    # Column 80 is 15.4 / 103.8 of the depth aside: 0.28 m at 1.9 m, 0.58 m at 3.9 m.
    assert made.classes[0, 48, 80] == 1 + CLASSES.index("cabinet")
    assert set(made.instances.unique().tolist()) == {0, 1, 2}


def test_what_is_hidden_or_behind_the_camera_gets_no_number():
    studio = Studio()
    studio.add(Kind.SPHERE, (0, 0, 6), (0.2,) * 3)
    studio.add(Kind.BOX, (0, 0, 3), (1.0, 1.0, 0.1))
    studio.add(Kind.BOX, (0, 0, -3), (1.0, 1.0, 0.1))
    studio.add(Kind.SPHERE, (1.4, 0, 3), (0.2,) * 3)
    assert studio.render().instances.unique().tolist() == [0, 1, 2]


def test_a_thing_that_reaches_behind_the_camera_is_seen():
    studio = Studio(height=1.0)
    studio.add(Kind.BOX, (0, 0.6, 0), (3.0, 0.2, 3.0))
    made = studio.render()
    # Its top lies 0.4 m below the camera.
    below = rays()[-1, 64, 1]
    assert made.instances[0, -1, 64] == 1
    assert made.depth_m[0, -1, 64].item() == pytest.approx(0.4 / below, rel=1e-5)


def test_a_table_of_many_parts_is_one_instance():
    studio = Studio(height=1.2, pitch=0.3)
    table(studio.builder, Spot(0.3, 2.0, 0.5))
    made = studio.render()
    assert len(studio.spec.solids) >= 3
    assert made.instances.unique().tolist() == [0, 1]
    thing = made.instances[0] == 1
    assert thing.sum() > 200
    assert (made.classes[0][thing] == 1 + CLASSES.index("table")).all()
    assert (made.classes[0][~thing] == 0).all()


def test_a_shadow_lies_where_the_light_puts_it():
    slant = math.sqrt(0.5)
    studio = Studio(height=3.0, pitch=0.8, towards=(-slant, -slant, 0.0))
    # 1 m above the ground, the light 45 degrees from the left: the shadow's middle lies 1 m to the right.
    studio.add(Kind.SPHERE, (0.0, 2.0, 2.5), (0.4,) * 3)
    made = studio.render((192, 256))
    down = np.array([0, math.cos(0.8), math.sin(0.8)])
    forward = np.array([0, -math.sin(0.8), math.cos(0.8)])
    points = made.points[0].numpy().astype(np.float64)
    x, z = points[..., 0] - 1.0, points @ forward - 2.5
    ground = (made.instances[0].numpy() == 0) & (made.depth_m[0].numpy() > 0)
    np.testing.assert_allclose((points @ down)[ground], 3.0, atol=1e-4)
    # A round caster's shadow is stretched by sqrt(2) along the light.
    out = np.hypot(x * slant, z) / 0.4
    lit = made.lit[0].numpy()
    assert (lit[ground & (out < 0.85)] == 0).all()
    assert (lit[ground & (out > 1.15)] == 1).all()
    assert (ground & (out < 0.85)).sum() > 300
    half = ground & (lit > 0) & (lit < 1)
    assert np.abs(out[half] - 1).mean() < 0.06
    # The lit side of the ball does not shade itself.
    ball, facing = made.instances[0] == 1, (made.normals[0] @ made.light_direction[0]) > 0.3
    assert (made.lit[0][ball & facing] == 1).all()
    assert (made.lit[0][ball & ((made.normals[0] @ made.light_direction[0]) < 0)] == 0).all()


def test_light_and_air_go_through_in_their_channels():
    made = Studio().render()
    assert made.light_rgb[0].tolist() == pytest.approx([0.9, 0.8, 0.7])
    assert made.ambient_rgb[0].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert (made.light_nir.item(), made.ambient_nir.item()) == pytest.approx((0.6, 0.4))
    assert made.air_k.item() == 290
    assert made.seeds.tolist() == [11]


def test_temperature_is_air_material_and_thing():
    studio = Studio()
    studio.add(Kind.BOX, (0, 0, 2), (0.5, 0.5, 0.1), material="enamel")
    made = studio.render()
    box = made.temperature_k[0][made.instances[0] == 1]
    # Enamel is 22 K above the air, a thing differs by at most 1 K from its material.
    assert box.min() == box.max()
    assert abs(box[0].item() - 312) <= 1


def test_view_directions_look_back_along_the_rays():
    made = Studio().render()
    expected = -rays() / np.linalg.norm(rays(), axis=-1, keepdims=True)
    np.testing.assert_allclose(made.view_directions()[0], expected, atol=1e-6)


def test_moving_keeps_every_value():
    made = Studio().render()
    moved = made.to("cpu")
    for field in fields(Geometry):
        before, after = getattr(made, field.name), getattr(moved, field.name)
        assert torch.equal(before, after) if isinstance(before, torch.Tensor) else before == after


@pytest.mark.parametrize("size", [(7, 64), (64, 4000)])
def test_sizes_out_of_range_are_refused(size):
    with pytest.raises(InputError, match="give 8 to 2048 pixels a side"):
        render("rooms", 0, [0], size)


def test_no_scene_is_refused():
    with pytest.raises(InputError, match="name at least one"):
        render("rooms", 0, [], SIZE)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_what_a_gpu_does_without_counting_gives_the_same_bits(family, monkeypatch):
    """Groups of pixels as large as they may be, of which some belong to others."""
    counted = render(family, 3, range(6), (48, 64))
    monkeypatch.setattr(module, "_counted_groups", None)
    monkeypatch.setattr(
        module, "_groups", lambda labels, most: module._bounded_groups(labels.to(torch.uint8), most)
    )
    bounded = render(family, 3, range(6), (48, 64))
    for field in fields(Geometry):
        value = getattr(counted, field.name)
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, getattr(bounded, field.name)), field.name


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_tables_say_how_much_can_be_seen(family):
    (tables,) = scene_tables(family, 3, range(6), (48, 64), 6)
    geometry = render_tables([tables], "cpu")
    assert int(geometry.instances.max()) <= tables.instances
    _, solid = cast(tables, 6)
    kinds = torch.bincount(tables.solids[16].index_select(0, solid).long())
    for kind in kinds.nonzero().flatten().tolist():
        assert kinds[kind] <= tables.kind_pixels[kind]
    everything = 6 * 48 * 64
    assert sum(tables.kind_pixels.values()) < 3 * everything
    assert max(tables.texture_pixels.values()) <= everything
