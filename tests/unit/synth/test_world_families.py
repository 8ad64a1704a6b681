"""Both families: reproducible, useful, and with nothing in common."""

from __future__ import annotations

from dataclasses import astuple, fields

import numpy as np
import pytest
import torch

from aims.core.errors import InputError
from aims.synth.world import _furniture, _growths
from aims.synth.world.geometry import Geometry
from aims.synth.world.materials import MATERIALS, NOTHING, material_table
from aims.synth.world.random import scene_keys
from aims.synth.world.render import FAMILIES, render

SIZE = (128, 128)


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def scenes(family: str) -> Geometry:
    return render(family, 7, range(60), SIZE)


def tensors(geometry: Geometry) -> dict[str, torch.Tensor]:
    values = {field.name: getattr(geometry, field.name) for field in fields(Geometry)}
    return {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}


@pytest.mark.parametrize("numbers", [[17], [17, 3], [40, 5, 17, 8, 0, 1, 2, 9, 33, 21, 4]], ids=len)
def test_a_scene_is_the_same_bits_in_every_batch(family, scenes, numbers):
    again = tensors(render(family, 7, numbers, SIZE))
    for name, values in tensors(scenes).items():
        assert torch.equal(again[name], values[numbers]), name


def test_seeds_and_numbers_make_other_scenes(family):
    here, there = render(family, 7, [0, 1], (48, 64)), render(family, 8, [0, 1], (48, 64))
    assert len({*here.seeds.tolist(), *there.seeds.tolist()}) == 4
    depths = [*here.depth_m, *there.depth_m]
    for index, one in enumerate(depths):
        for other in depths[:index]:
            assert (one != other).float().mean() > 0.3


def test_values_are_finite_and_in_range(scenes):
    for name, values in tensors(scenes).items():
        assert torch.isfinite(values).all(), name
    for name in ("albedo_rgb", "albedo_nir", "lit"):
        values = getattr(scenes, name)
        assert values.min() >= 0, name
        assert values.max() <= 1, name
    seen = scenes.depth_m > 0
    lengths = (scenes.normals[seen] ** 2).sum(-1)
    assert torch.allclose(lengths, torch.ones(()), atol=1e-5)
    towards = (scenes.normals * scenes.view_directions()).sum(-1)[seen]
    assert towards.min() > -1e-5
    assert (scenes.materials[seen] > 0).all()
    assert ((scenes.instances > 0) == (scenes.classes > 0)).all()
    assert scenes.temperature_k.min() > 250
    assert scenes.temperature_k.max() < 340


def test_instances_are_dense_and_of_one_class(scenes):
    for instances, classes in zip(scenes.instances, scenes.classes, strict=True):
        numbers = instances.unique()
        assert numbers.tolist() == list(range(int(instances.max()) + 1))
        for number in numbers[1:]:
            assert len(classes[instances == number].unique()) == 1


def test_scenes_are_worth_learning_from(family, scenes):
    sizes = [np.bincount(each.flatten())[1:] for each in scenes.instances]
    assert np.median(np.concatenate(sizes)) >= 100
    # Of 16 pixels at least, to count as visible.
    visible = np.array([(size >= 16).sum() for size in sizes])
    assert (visible >= 3).mean() >= 0.95
    assert len(scenes.classes.unique()) == len(FAMILIES[family].classes) + 1


def test_rooms_are_as_deep_as_rooms():
    depth = render("rooms", 3, range(30), (48, 64)).depth_m
    assert (depth > 0).all()
    assert depth.min() > 0.3
    assert depth.max() < 9
    middles = depth.flatten(1).median(dim=1).values
    assert middles.min() > 1
    assert middles.max() < 8


def test_rooms_hold_five_to_fourteen_things():
    build = FAMILIES["rooms"].build
    counts = [build(np.random.default_rng((5, number, 1))).instances for number in range(200)]
    assert max(counts) <= 14
    assert np.mean([count >= 5 for count in counts]) > 0.95
    assert len(set(counts)) >= 6


def test_only_the_familys_kinds_and_textures_are_used(family):
    facts = FAMILIES[family]
    specs = [facts.build(np.random.default_rng(number)) for number in range(60)]
    kinds = {solid.kind for spec in specs for solid in (spec.surroundings, *spec.solids)}
    assert kinds == facts.kinds
    textures = {surface.texture for spec in specs for surface in spec.surfaces}
    assert textures == set(range(len(facts.textures)))
    materials = {surface.material for spec in specs for surface in spec.surfaces}
    assert materials == set(range(1, len(MATERIALS[family])))


def test_the_families_share_no_shape_texture_material_or_class():
    rooms, wilds = FAMILIES["rooms"], FAMILIES["wilds"]
    assert rooms.number != wilds.number
    assert rooms.purpose != wilds.purpose
    assert not rooms.kinds & wilds.kinds
    assert not set(rooms.classes) & set(wilds.classes)
    assert not rooms.textures.keys() & wilds.textures.keys()
    assert not {*rooms.textures.values()} & {*wilds.textures.values()}
    assert not {maker for maker, _ in _furniture.FREE} & {*_growths.GROWTHS.values()}
    assert MATERIALS["rooms"][0] is MATERIALS["wilds"][0] is NOTHING
    first, second = (
        {row.name: astuple(row)[1:] for row in MATERIALS[name][1:]} for name in ("rooms", "wilds")
    )
    assert not first.keys() & second.keys()
    assert not {*first.values()} & {*second.values()}


@pytest.mark.parametrize(
    ("name", "texture"),
    [(name, texture) for each in FAMILIES.values() for name, texture in each.textures.items() if texture],
)
def test_textures_vary_between_0_and_1(name, texture):
    generator = torch.Generator().manual_seed(1)
    x, y, z = torch.rand(3, 20_000, generator=generator) * 40 - 20
    keys = scene_keys(torch.arange(2), 9).repeat_interleave(10_000)
    share = texture(keys, x, y, z)
    assert share.shape == x.shape
    assert share.min() >= 0
    assert share.max() <= 1
    assert share.std() > 0.1


def test_paints_look_alike_in_the_near_infrared(scenes):
    """Among the surfaces of one painted material, colours differ and the near infrared does not."""
    table = material_table(scenes.family)
    painted = table["painted"][scenes.materials] & ~table["vegetation"][scenes.materials]
    visible, nir = scenes.albedo_rgb[painted].mean(-1), scenes.albedo_nir[painted]
    assert nir.std() < 0.5 * visible.std()


def test_leaves_are_brighter_in_the_near_infrared(scenes):
    table = material_table(scenes.family)
    leaves = table["vegetation"][scenes.materials] & (scenes.instances > 0)
    assert leaves.sum() > 500
    assert scenes.albedo_nir[leaves].mean() > scenes.albedo_rgb[leaves].mean() + 0.15


def test_material_rows_are_within_their_ranges(family):
    table = material_table(family)
    for name in ("albedo_rgb", "albedo_nir", "roughness", "shine", "emissivity", "depth_dropout"):
        values = table[name]
        assert values.min() >= 0, name
        assert values.max() <= 1, name
    assert (table["refractive_index"] > 1).all()


def test_a_family_without_materials_is_refused():
    with pytest.raises(InputError, match="family of scenes 'attic'"):
        material_table("attic")
