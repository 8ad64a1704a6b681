"""The numbers of `aims inspect`, each counted by hand on `tiny_set` (4 x 6, 4 x 6 and 2 x 3 pixels)."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from tiny_set import NAMES, Tiny

from aims.core.errors import AimsError, InputError
from aims.core.schema import StreamSpec
from aims.data.dropped import read_dropped
from aims.data.meters import StreamMeter
from aims.data.page import choose_images, render_page
from aims.data.read import Dataset
from aims.data.summary import Bin, area_bins, count_bins, evenly, summarize
from aims.data.write import convert


@pytest.fixture
def dataset(raw, tmp_path):
    convert(Tiny(raw=raw), tmp_path / "set")
    return Dataset.open(tmp_path / "set")


def test_splits_and_classes(dataset):
    found = summarize(dataset)
    train, test, total = found.splits["train"], found.splits["test"], found.total
    assert [(part.images, part.instances, part.groups) for part in (train, test, total)] == [
        (2, 4, 1),
        (1, 1, 1),
        (3, 5, 2),
    ]
    assert (train.per_image, test.per_image, total.per_image) == ((2, 2, 2), (1, 1, 1), (1, 2, 2))
    assert train.class_instances == {"leaf": 3, "stone & <sand>": 1, "absent": 0}
    assert train.class_pixels == {"leaf": 4 + 1 + 1, "stone & <sand>": 6, "absent": 0}
    assert test.class_pixels == {"leaf": 0, "stone & <sand>": 3, "absent": 0}
    assert (train.pixels, test.pixels, total.pixels) == (48, 6, 54)
    assert found.sizes == {(4, 6): 2, (2, 3): 1}


def test_instance_sizes(dataset):
    found = summarize(dataset)
    # Areas 1, 1, 3, 4, 6; instances per image 2, 2, 1.
    assert found.areas == [Bin(low=1, high=3, count=3), Bin(low=4, high=15, count=2)]
    assert found.area_quantiles[0.5] == 3
    assert (found.area_quantiles[0.0], found.area_quantiles[1.0]) == (1, 6)
    assert found.per_image == [Bin(low=1, high=1, count=1), Bin(low=2, high=2, count=2)]


def test_stream_values(dataset):
    found = summarize(dataset)
    depth, gas = found.streams["depth"], found.streams["gas"]
    assert (depth.values, depth.nan, depth.missing, depth.outside) == (54, 1, 1, 1)
    assert depth.dtypes == {"float32": 2, "float64": 1}
    # Measured: 12 once, 2 m 21 times, 4 m 24 times, 6 m 6 times.
    total, squares, count = 12 + 42 + 96 + 36, 144 + 84 + 384 + 216, 52
    assert (depth.all.minimum, depth.all.maximum) == (2, 12)
    assert depth.all.mean == pytest.approx(total / count, rel=1e-12)
    assert depth.all.std == pytest.approx(math.sqrt(squares / count - (total / count) ** 2), rel=1e-12)
    means = [channel.mean for channel in gas.channels]
    assert means == pytest.approx([126 / 54, 1260 / 54], rel=1e-12)
    assert (gas.all.minimum, gas.all.maximum) == (1, 50)
    assert gas.all.mean == pytest.approx((126 + 1260) / 108, rel=1e-12)
    # 24 x (1, 9, 100, 900) and 6 x (25, 2500).
    squares = 24 * 1010 + 6 * 2525
    assert gas.all.std == pytest.approx(math.sqrt(squares / 108 - gas.all.mean**2), rel=1e-12)
    assert gas.outside == 0
    assert found.images_read == 3


def test_a_sample_of_the_images(dataset):
    totals, read = [], []
    found = summarize(dataset, images=2, on_total=totals.append, on_progress=read.append)
    assert (totals, sum(read), found.images_read) == ([2], 2, 2)
    # The first and the last; everything else is about all images.
    assert found.streams["gas"].channels[0].maximum == 5
    assert found.streams["gas"].values == 2 * (24 + 6)
    assert found.total.images == 3
    assert summarize(dataset, images=None).images_read == 3


def test_json_holds_no_nan(dataset):
    value = summarize(dataset).as_json()
    text = json.dumps(value, allow_nan=False)
    assert json.loads(text)["sizes"][0] == {"height": 4, "width": 6, "images": 2}


def test_dropped_reasons_are_grouped_without_the_names(dataset):
    lines = [
        {"split": "train", "image_id": "7", "kind": "unreadable", "reason": "RGB/7.jpg: truncated at 17"},
        {"split": "test", "image_id": "71", "kind": "unreadable", "reason": "RGB/71.jpg: truncated at 17"},
        {"split": "test", "image_id": "b", "kind": "left out", "reason": "broken"},
    ]
    (dataset.folder / "dropped.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    first, second = read_dropped(dataset.folder)
    assert (first.reason, first.splits, first.count) == (
        "RGB/{id}.jpg: truncated at 17",
        {"train": 1, "test": 1},
        2,
    )
    assert tuple(first.examples) == ("7", "71")
    assert (second.kind, second.count) == ("left out", 1)


def test_what_was_dropped_by_the_conversion(dataset):
    (found,) = summarize(dataset).dropped
    assert (found.kind, found.splits, found.examples) == ("no instance", {"train": 1}, ("empty",))


def test_damage_is_named(dataset):
    (dataset.folder / "dropped.jsonl").write_text("{\n")
    with pytest.raises(InputError, match=r"dropped\.jsonl, line 1: not readable"):
        summarize(dataset)
    (dataset.folder / "dropped.jsonl").write_text("")
    shard = dataset.folder / "data" / "train-00000-of-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:200])
    with pytest.raises(AimsError, match="train-00000-of-00001"):
        summarize(dataset)


def test_an_image_that_contradicts_the_manifest_is_named(dataset):
    manifest = json.loads((dataset.folder / "aims.json").read_text())
    for change in ({"classes": ["leaf"]}, {"streams": manifest["dataset"]["streams"]}):
        wrong = {**manifest, "dataset": {**manifest["dataset"], **change}}
        wrong["dataset"]["streams"]["gas"]["channels"] = 3 if "streams" in change else 2
        (dataset.folder / "aims.json").write_text(json.dumps(wrong))
        again = Dataset.open(dataset.folder)
        for look in (summarize, lambda again: render_page(again, choose_images(again, 3))):
            with pytest.raises(AimsError, match=r"gas: shape is|class 2 of the 1 that the set lists"):
                look(again)


def test_bins():
    areas = np.array([1, 3, 4, 15, 16, 4**12 - 1, 4**12])
    counts = {(item.low, item.high): item.count for item in area_bins(areas)}
    assert counts[1, 3] == 2
    assert counts[4, 15] == 2
    assert counts[16, 63] == 1
    assert counts[4**11, 4**12 - 1] == 1
    assert counts[4**12, 4**13 - 1] == 1
    assert sum(counts.values()) == 7
    assert area_bins(np.zeros(0, np.int64)) == []
    # 1 to 25 in ten bins at most: three wide, the last one cut.
    bins = count_bins([1, 3, 4, 25])
    assert (bins[0], bins[1].low, bins[-1]) == (Bin(low=1, high=3, count=2), 4, Bin(low=25, high=25, count=1))
    assert len(bins) == 9
    assert sum(item.count for item in bins) == 4
    assert count_bins([]) == []


def test_a_bound_is_rounded_as_the_values_are():
    half_turn = StreamSpec(channels=1, unit="rad", valid_range=(-math.pi / 2, math.pi / 2))
    meter = StreamMeter(half_turn)
    meter.add(np.full((2, 2, 1), math.pi / 2, np.float32))
    meter.add(np.full((2, 2, 1), 1.571, np.float32))
    assert meter.summary(derived=True).outside == 4


def test_large_offsets_do_not_cancel():
    meter = StreamMeter(StreamSpec(channels=1, unit="Pa"))
    for value in (1e9, 1e9 + 2):
        meter.add(np.full((3, 3, 1), value))
    found = meter.summary(derived=False).all
    assert (found.mean, found.std) == (1e9 + 1, 1)


def test_nothing_measured():
    meter = StreamMeter(StreamSpec(channels=2, unit="m", missing=-1))
    meter.add(np.full((2, 2, 2), -1, np.int16))
    found = meter.summary(derived=False)
    assert (found.missing, found.all.mean, found.channels[1].maximum) == (8, None, None)


def test_evenly_spaced(dataset):
    refs = [ref for refs in dataset.index.values() for ref in refs]
    assert [ref.image_id for ref in evenly(refs, 9)] == list(NAMES)
    assert [ref.image_id for ref in evenly(refs, 2)] == [NAMES[0], NAMES[2]]
    assert evenly(refs, 0) == []


def metered(*images, missing=None):
    meter = StreamMeter(StreamSpec(channels=1, unit="degC", missing=missing))
    for image in images:
        meter.add(np.asarray(image)[..., None])
    return meter.summary(derived=False)


def room(generator, low=281, high=309):
    return generator.uniform(low, high, (20, 30)).astype(np.float32)


@pytest.mark.parametrize("code", [-9999, 65535, 3e38, -32768])
@pytest.mark.parametrize("where", [[0], [1], [0, 2]])
def test_a_code_that_nobody_declared_is_found(code, where):
    images = [room(np.random.default_rng(k)) for k in range(3)]
    for number in where:
        images[number][:4, :5] = code
    values = np.concatenate([image.ravel() for image in images])
    others = values[values != np.float32(code)]
    (found,) = metered(*images).strays
    assert (found.value, found.count) == (np.float32(code), 20 * len(where))
    assert found.nearest == (others.min() if code < 0 else others.max())
    assert not metered(*images, missing=code).strays


def test_codes_at_both_ends():
    image = room(np.random.default_rng(0))
    image[0], image[1, :7] = -999, 9999
    assert [(stray.value, stray.count) for stray in metered(image).strays] == [(-999, 30), (9999, 7)]


@pytest.mark.parametrize(
    "image",
    [
        np.where(np.arange(20_000).reshape(100, 200) == 7, 60_000, np.arange(20_000).reshape(100, 200) % 300),
        np.arange(600).reshape(20, 30) % 2 * 255,
        np.full((20, 30), 5.0),
        np.where(np.arange(600).reshape(20, 30) % 9, np.linspace(0.5, 10, 600).reshape(20, 30), 0.0),
    ],
    ids=["one defective pixel", "two values", "one value", "zero where depth begins at half a metre"],
)
def test_no_code(image):
    assert not metered(image).strays


@pytest.mark.parametrize(
    ("top", "factor", "missing", "text"),
    [
        (4096, 1, None, "no number is above 4,095, so they may have 12 bits in 16: valid_range = [0, 4095]"),
        (4096, 16, None, "all numbers are multiples of 16, so they may have 12 bits in the upper ones of 16"),
        (16384, 4, None, "all numbers are multiples of 4, so they may have 14 bits in the upper ones of 16"),
        (1000, 1, None, "no number is above 1,023, so they may have 10 bits in 16"),
        (4096, 1, 65535, "no number is above 4,095, so they may have 12 bits in 16"),
        (3000, 1, None, None),
        (65536, 1, None, None),
        (65536 // 8, 8, None, None),
    ],
)
def test_fewer_bits_than_are_stored(top, factor, missing, text):
    values = (np.arange(20_000) * 7919 % top * factor).astype(np.uint16).reshape(100, 200)
    if missing is not None:
        values[0] = missing
    meter = StreamMeter(StreamSpec(channels=1, unit="count", missing=missing, valid_range=(0, 65535)))
    for rows in np.split(values, 2):
        meter.add(rows[..., None])
    found = meter.summary(derived=False).depth
    assert found is None if text is None else found.startswith(text)
    # The description says which numbers there are, or they are too few to say anything.
    for spec, rows in ((StreamSpec(channels=1, unit="count", valid_range=(0, 4095)), 100), (meter._spec, 10)):
        other = StreamMeter(spec)
        other.add(values[:rows, :, None])
        assert other.summary(derived=False).depth is None
