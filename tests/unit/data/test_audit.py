from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

import aims.data.audit as audit_module
from aims.core.errors import InputError
from aims.core.schema import Converter, DatasetSpec, Sample, SemanticMap, StreamSpec, option
from aims.data.audit import audit_dataset, perceptual_hash
from aims.data.write import convert
from helpers import seeded

SIZE = (48, 64)


@dataclass(frozen=True, kw_only=True)
class Pictures(Converter):
    """Pictures as given: (split, image id, group, heat, glow), both (height, width)."""

    name: ClassVar[str] = "pictures"

    rows: tuple[Any, ...] = option(help="The pictures.")
    rgb: bool = option(False, help="With glow as RGB picture too.")

    def spec(self) -> DatasetSpec:
        heat = StreamSpec(channels=1, unit="K", missing=-1.0)
        glow = StreamSpec(channels=2, unit="digital number")
        return DatasetSpec(
            name="pictures",
            classes=("thing",),
            streams={"heat": heat, "glow": glow},
            license="none",
            has_rgb=self.rgb,
        )

    def options(self) -> dict[str, object]:
        return {}

    def splits(self) -> Mapping[str, Sequence[str]]:
        names = dict.fromkeys(row[0] for row in self.rows)
        return {name: [row[1] for row in self.rows if row[0] == name] for name in names}

    def source_files(self, split: str, image_id: str) -> Sequence[Path]:
        return ()

    def read(self, split: str, image_id: str) -> Sample:
        _, _, group, heat, glow = next(row for row in self.rows if row[1] == image_id)
        labels = np.zeros(heat.shape, np.uint8)
        labels[3:9, 4:12] = 1
        return Sample(
            image_id=image_id,
            group=group,
            streams={"heat": heat[..., None], "glow": np.stack([glow, glow + 7], axis=-1)},
            labels=SemanticMap(class_map=labels),
            rgb=cv2.imencode(".png", glow.astype(np.uint8))[1].tobytes() if self.rgb else None,
        )


def scene(*name: object, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Smooth random blobs, 0 to 200; another name gives another picture."""
    noise = cv2.GaussianBlur(seeded(*name).normal(size=size), (0, 0), 4)
    return 200 * (noise - noise.min()) / np.ptp(noise)


@pytest.fixture
def audit(tmp_path):
    def call(*rows, rgb=False, **options):
        convert(Pictures(rows=rows, rgb=rgb), tmp_path / "set")
        return audit_dataset(tmp_path / "set", **options)

    return call


def found(result):
    return [(pair.first.image_id, pair.second.image_id) for pair in result.pairs]


def basis(row: int, column: int) -> np.ndarray:
    """The 32 x 32 wave whose cosine transform is one positive number in that place."""
    angle = (2 * np.arange(32) + 1) * np.pi / 64
    return np.outer(np.cos(row * angle), np.cos(column * angle))


def test_the_bits_are_the_signs_of_the_known_coefficients():
    expected = seeded("bits").permutation(np.arange(64) % 2).astype(bool).reshape(8, 8)
    picture = sum((1 if expected[v, u] else -1) * basis(v + 1, u + 1) for v in range(8) for u in range(8))
    np.testing.assert_array_equal(perceptual_hash(picture[..., None]), expected.ravel())
    # Nothing outside the 8 x 8 counts: neither the mean, nor gradients, nor what is finer.
    outside = 40 * basis(0, 0) + 9 * basis(0, 3) + 9 * basis(5, 0) + 9 * basis(9, 1) + 9 * basis(2, 20)
    np.testing.assert_array_equal(perceptual_hash((picture + outside)[..., None]), expected.ravel())
    np.testing.assert_array_equal(perceptual_hash(-picture[..., None]), ~expected.ravel())


def test_rounding_flips_no_bit_of_a_regular_picture():
    picture = 3 * basis(2, 3) + basis(4, 4)
    expected = np.zeros((8, 8), bool)
    expected[2 - 1, 3 - 1] = expected[4 - 1, 4 - 1] = True
    for copy in (picture, 1.1 * picture + 5, (picture / 7).astype(np.float32)):
        np.testing.assert_array_equal(perceptual_hash(copy[..., None]), expected.ravel())


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float16", "float32", "float64"])
def test_gain_and_offset_do_not_matter_and_every_dtype_is_read(dtype):
    picture = np.round(scene("a")) / 2
    expected = perceptual_hash(picture[..., None])
    other = (np.round(scene("a")) + 30).astype(dtype)
    assert (perceptual_hash(other[..., None]) != expected).sum() == 0
    assert (perceptual_hash(scene("b")[..., None]) != expected).sum() > 16


def test_missing_measurements_count_as_the_mean_of_their_channel():
    whole = np.stack([scene("a"), 1000 + scene("b")], axis=-1)
    holes = whole.copy()
    holes[5:9, 7:12, 0] = np.nan
    holes[30:33, 40:44, 1] = -1
    filled = whole.copy()
    filled[5:9, 7:12, 0] = np.nanmean(holes[..., 0])
    filled[30:33, 40:44, 1] = holes[..., 1][holes[..., 1] != -1].mean()
    np.testing.assert_array_equal(perceptual_hash(holes, missing=-1), perceptual_hash(filled))
    infinite = np.where(np.isnan(holes), np.inf, holes)
    np.testing.assert_array_equal(perceptual_hash(infinite, missing=-1), perceptual_hash(filled))


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros(SIZE),
        np.full(SIZE, 293.15, np.float32),
        np.full(SIZE, np.nan),
        np.where(scene("a") > 100, -1.0, np.nan),
        np.indices((64, 64)).sum(axis=0) % 2,
        np.tile(np.arange(64.0), (48, 1)),
        np.full((1, 1), 7, np.uint8),
    ],
    ids=["zero", "constant", "all NaN", "all missing", "checkerboard", "gradient", "one pixel"],
)
def test_plain_pictures_have_no_hash(picture):
    assert perceptual_hash(picture[..., None], missing=-1) is None


def test_copies_across_splits_are_found(audit):
    one, two, three = scene("one"), scene("two"), scene("three")
    brighter = np.clip(np.round(1.1 * two + 5), 0, 255)
    result = audit(
        ("train", "a", "g1", one, one),
        ("train", "b", "g2", two, two),
        ("train", "c", "g3", three, three),
        ("test", "d", "g4", one, one),
        ("test", "e", "g5", brighter, brighter),
        ("test", "f", "g6", scene("four"), scene("four")),
    )
    assert found(result) == [("a", "d"), ("b", "e")]
    exact, similar = result.pairs
    assert exact.distances == {"heat": 0, "glow": 0}
    assert exact.identical == ("heat", "glow")
    assert similar.identical == ()
    assert max(similar.distances.values()) <= 6
    assert result.images == {"train": 3, "test": 3}
    assert (result.streams, result.distance, result.groups) == (("heat", "glow"), 6, 6)
    assert result.straddling == {}
    assert result.plain == []


def test_one_stream_is_enough_and_all_distances_are_told(audit):
    one, two, three = scene("one"), scene("two"), scene("three")
    rows = [("train", "a", "g1", one, two), ("test", "b", "g2", one, three)]
    result = audit(*rows, rgb=True)
    (pair,) = result.pairs
    assert list(pair.distances) == ["heat", "glow", "rgb"]
    assert pair.distance == pair.distances["heat"] == 0
    assert pair.identical == ("heat",)
    assert pair.distances["glow"] > 12
    assert pair.distances["rgb"] > 12


def test_streams_can_be_chosen(audit, tmp_path):
    one, two, three = scene("one"), scene("two"), scene("three")
    rows = [("train", "a", "g1", one, two), ("test", "b", "g2", one, three)]
    assert found(audit(*rows, rgb=True, streams=["glow", "rgb"])) == []
    assert found(audit_dataset(tmp_path / "set", streams=["heat", "heat"])) == [("a", "b")]
    with pytest.raises(InputError, match="unknown stream 'heta'; did you mean 'heat'"):
        audit_dataset(tmp_path / "set", streams=["heta"])


def test_the_threshold_is_what_is_asked_for(audit, tmp_path):
    one = scene("one", size=(96, 128))
    cropped = one[4:-2, 3:-5].copy()
    rows = [("train", "a", "g1", one, one), ("test", "b", "g2", cropped, cropped)]
    far = int((perceptual_hash(one[..., None]) != perceptual_hash(cropped[..., None])).sum())
    assert 0 < far < 31
    assert audit(*rows, distance=far - 1).pairs == []
    (pair,) = audit_dataset(tmp_path / "set", distance=far).pairs
    assert pair.distances["heat"] == far
    for distance in (-1, 32):
        with pytest.raises(InputError, match="give 0 to 31"):
            audit_dataset(tmp_path / "set", distance=distance)


def test_pairs_of_one_split_on_request(audit, tmp_path):
    one, two = scene("one"), scene("two")
    rows = [
        ("train", "a", "g1", one, one),
        ("train", "b", "g1", one, one),
        ("test", "c", "g2", two, two),
        ("test", "d", "g2", two, two),
    ]
    assert found(audit(*rows)) == []
    assert found(audit_dataset(tmp_path / "set", within=True)) == [("a", "b"), ("c", "d")]


def test_plain_pictures_match_nothing_and_are_listed(audit):
    flat, one = np.full(SIZE, 20.0), scene("one")
    result = audit(
        ("train", "a", "g1", flat, one),
        ("test", "b", "g2", flat, scene("two")),
        ("test", "c", "g3", one, one),
    )
    assert [(ref.image_id, streams) for ref, streams in result.plain] == [("a", ("heat",)), ("b", ("heat",))]
    assert found(result) == [("a", "c")]
    assert result.pairs[0].distances == {"heat": None, "glow": 0}


def test_groups_in_several_splits_are_counted(audit):
    names = [
        ("train", "kitchen"),
        ("train", "kitchen"),
        ("train", "hall"),
        ("val", "kitchen"),
        ("test", "den"),
    ]
    rows = [(split, f"i{k}", group, scene(k), scene(k)) for k, (split, group) in enumerate(names)]
    result = audit(*rows)
    assert result.straddling == {"kitchen": {"train": 2, "val": 1}}
    assert result.groups == 3
    assert result.pairs == []


def test_blocks_do_not_change_the_result(audit, tmp_path, monkeypatch):
    rows = [
        ("train" if k % 2 else "test", f"i{k:02d}", f"g{k}", scene(k % 5), scene(k % 5)) for k in range(12)
    ]
    whole = found(audit(*rows, within=True))
    # By hand: pictures 0 to 4 stand 3, 3, 2, 2, 2 times, which is 3 + 3 + 1 + 1 + 1 pairs.
    assert len(whole) == 9
    monkeypatch.setattr(audit_module, "_BLOCK", 5)
    assert found(audit_dataset(tmp_path / "set", within=True)) == whole


def test_too_many_pairs_are_an_error(audit, monkeypatch):
    monkeypatch.setattr(audit_module, "_MOST_PAIRS", 5)
    rows = [("train" if k < 3 else "test", f"i{k}", "g", scene("one"), scene("one")) for k in range(6)]
    with pytest.raises(InputError, match="more than 5 pairs lie within distance 6"):
        audit(*rows)


def test_progress_counts_every_image(audit):
    seen = []
    rows = [("train", "a", "g1", scene(1), scene(1)), ("test", "b", "g2", scene(2), scene(2))]
    audit(*rows, on_progress=seen.append)
    assert seen == [1, 1]
