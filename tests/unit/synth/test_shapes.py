from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from aims.converters.folder import FolderConverter
from aims.core.errors import InputError
from aims.core.schema import Sample, SemanticMap
from aims.data.instances import split_instances
from aims.synth.layouts.folder import FolderImage, write_folder
from aims.synth.shapes import PALETTE, write_shapes
from helpers import file_digests


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> FolderConverter:
    out = tmp_path_factory.mktemp("shapes")
    return FolderConverter(config=write_shapes(out, scenes=30, size=(48, 64), seed=7))


def samples(converter: FolderConverter) -> list[tuple[Sample, np.ndarray]]:
    """Every sample and its class map."""
    found = []
    for split, ids in converter.splits().items():
        for image_id in ids:
            sample = converter.read(split, image_id)
            assert isinstance(sample.labels, SemanticMap)
            found.append((sample, sample.labels.class_map))
    return found


def test_description(shapes: FolderConverter) -> None:
    spec = shapes.spec()
    assert (spec.name, spec.classes, spec.has_rgb) == ("shapes", ("disc", "box", "triangle"), False)
    assert spec.streams["thermal"].valid_range == (0.0, 65535.0)
    splits = shapes.splits()
    assert {split: len(ids) for split, ids in splits.items()} == {"train": 20, "test": 10}
    assert splits["train"][0] == "000"
    assert splits["test"][-1] == "029"


def test_scenes(shapes: FolderConverter) -> None:
    seen: set[int] = set()
    touching = 0
    for sample, classes in samples(shapes):
        thermal = sample.streams["thermal"]
        assert (thermal.shape, thermal.dtype) == ((48, 64, 1), np.uint16)
        instances = split_instances(classes, void=(0,))
        assert 2 <= instances.max() <= 5
        # Every object keeps 60 % of at least the smallest shape, a narrow box of radius 0.11 * 48.
        assert np.bincount(instances.ravel())[1:].min() >= 15
        seen |= set(np.unique(classes).tolist())
        touching += len(set(np.unique(classes[2:-2, 2:-2])) - {0}) > 1 and bool(
            ((classes[:, 1:] != classes[:, :-1]) & (classes[:, 1:] > 0) & (classes[:, :-1] > 0)).any()
        )
    assert seen == {0, 1, 2, 3}
    assert touching >= 10  # objects do hide one another


def test_an_object_stands_out_from_the_ground(shapes: FolderConverter) -> None:
    for sample, classes in samples(shapes):
        thermal = sample.streams["thermal"][..., 0].astype(float)
        instances = split_instances(classes, void=(0,))
        ground = np.median(thermal[classes == 0])
        for number in range(1, int(instances.max()) + 1):
            inner = cv2.erode((instances == number).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            if inner.sum() >= 9:
                # Contrast is at least 3000, the ground slopes by less than 1500, blur takes a part.
                assert abs(np.median(thermal[inner]) - ground) > 1000


def test_the_seed_decides(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_shapes(tmp_path / name, scenes=4, size=(32, 40), seed=seed, rgb=True)
    first, again, other = (file_digests(tmp_path / name) for name in "abc")
    assert first == again
    assert first["shapes.toml"] == other["shapes.toml"]
    assert first["thermal/000.png"] != other["thermal/000.png"]
    assert first["thermal/000.png"] != first["thermal/001.png"]


def test_rgb(tmp_path: Path) -> None:
    converter = FolderConverter(config=write_shapes(tmp_path, scenes=3, size=(32, 40), seed=1, rgb=True))
    assert converter.spec().has_rgb
    assert {split: len(ids) for split, ids in converter.splits().items()} == {"train": 2, "test": 1}
    for sample, classes in samples(converter):
        assert sample.rgb is not None
        picture = cv2.imdecode(np.frombuffer(sample.rgb, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        for class_id, colour in enumerate(PALETTE.values(), start=1):
            if (classes == class_id).sum() > 20:
                np.testing.assert_allclose(picture[classes == class_id].mean(axis=0), colour, atol=6)


@pytest.mark.parametrize(
    ("scenes", "size", "message"),
    [
        (1, (32, 32), "scenes is 1; give at least 2"),
        (4, (8, 32), "size is 8 x 32; give at least 16 x 16 pixels"),
    ],
)
def test_wrong_arguments(tmp_path: Path, scenes: int, size: tuple[int, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_shapes(tmp_path / "out", scenes=scenes, size=size, seed=0)
    assert not (tmp_path / "out").exists()


def test_smallest(tmp_path: Path) -> None:
    converter = FolderConverter(config=write_shapes(tmp_path, scenes=2, size=(16, 16), seed=0))
    assert {split: len(ids) for split, ids in converter.splits().items()} == {"train": 1, "test": 1}
    assert all(classes.any() for _, classes in samples(converter))


def test_folder_layout_keeps_arrays(tmp_path: Path) -> None:
    plane = np.arange(5 * 7).reshape(5, 7)
    streams = {
        "grey": plane.astype(np.uint8),
        "deep": np.stack([plane, plane + 300, plane + 600], axis=-1).astype(np.uint16),
        "polar": np.stack([plane, plane + 0.25], axis=-1).astype(np.float32),
    }
    image = FolderImage(image_id="x", split="train", labels=plane % 3, streams=streams)
    config = write_folder(
        tmp_path,
        [image],
        name="made-up",
        license='a "quoted" licence, ä',
        palette={"red thing": (200, 10, 20), "blue": (20, 10, 200)},
        streams={name: {"unit": "digital number"} for name in streams},
    )
    converter = FolderConverter(config=config)
    spec = converter.spec()
    assert (spec.license, spec.classes) == ('a "quoted" licence, ä', ("red thing", "blue"))
    sample = converter.read("train", "x")
    np.testing.assert_array_equal(sample.streams["grey"][..., 0], streams["grey"])
    for name in ("deep", "polar"):
        np.testing.assert_array_equal(sample.streams[name], streams[name])
        assert sample.streams[name].dtype == streams[name].dtype
    assert isinstance(sample.labels, SemanticMap)
    np.testing.assert_array_equal(sample.labels.class_map, plane % 3)
