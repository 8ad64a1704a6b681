"""A loaded model answers as the run was scored, and refuses what is none of its sensor."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from pycocotools import mask as coco_mask

import aims
from aims.core.errors import InputError
from aims.core.records import INSTANCES, Preprocessing
from aims.core.schema import StreamSpec
from aims.core.submissions import pack
from aims.core.vocabulary import STRICT
from aims.prediction.inputs import InputRules
from aims.sensors.derived import derive


@pytest.fixture(scope="module")
def model(run_folder):
    return aims.load(run_folder, device="cpu")


@pytest.fixture
def array(made_up):
    return aims.open(made_up.folder)[0].streams["signal"]


def test_the_masks_are_those_that_the_run_was_scored_with(model, made_up, run_folder):
    rows = pq.read_table(run_folder / INSTANCES).to_pylist()
    dataset = aims.open(made_up.folder)
    images = {image.image_id: image for image in (dataset[k] for k in range(len(dataset)))}
    assert rows
    for row in rows:
        image = images[row["image_id"]]
        answer = model.predict(image, points=[row["click"]])
        rle = row["rle_native"]
        truth = coco_mask.decode({"size": rle["size"], "counts": rle["counts"].encode()})
        assert np.array_equal(answer.masks[0], truth)
        assert answer.instances().rles[0]["counts"] == rle["counts"]


def test_one_embedding_answers_many_prompts_as_one_by_one(model, array):
    embedding = model.embed(array)
    points = np.array([[3, 4], [20, 30], [50, 10]])
    together = embedding.predict(points=points)
    assert together.masks.shape == (3, *array.shape[:2])
    assert together.logits.shape == together.masks.shape
    assert np.array_equal(together.logits > 0, together.masks)
    for k, point in enumerate(points):
        alone = model.predict(array, points=[point])
        assert np.allclose(alone.mask_logits[0], together.mask_logits[k], atol=1e-5)
        assert alone.scores[0] == pytest.approx(together.scores[k], abs=1e-5)


def test_every_kind_of_prompt_changes_the_answer(model, array):
    embedding = model.embed(array)
    one = embedding.predict(points=[[20, 20]])
    others = [
        embedding.predict(points=[[[20, 20], [40, 10]]], labels=[[1, 0]]),
        embedding.predict(points=[[[20, 20], [40, 10]]]),
        embedding.predict(points=[[20, 20]], boxes=[10, 10, 30, 30]),
        embedding.predict(boxes=[[10, 10, 30, 30]]),
        embedding.predict(points=[[20, 20]], mask=one.mask_logits + 1),
        embedding.predict(points=[[20, 20]], mask=~one.masks),
    ]
    for other in others:
        assert not np.allclose(one.mask_logits, other.mask_logits, atol=1e-4)


@pytest.mark.parametrize(
    ("prompts", "reason"),
    [
        ({}, "no prompt"),
        ({"points": np.zeros((0, 2))}, "are empty"),
        ({"points": [[60, 3]]}, r"point \(60, 3\) lies outside the picture, which is 52 wide and 40 high"),
        ({"points": [[-1, 3]]}, "lies outside"),
        ({"points": [[1, 2, 3]]}, r"points of shape \(1, 3\)"),
        ({"points": [[1, 2], [3]]}, "no array of numbers"),
        ({"points": [[np.nan, 2]]}, "not finite"),
        ({"points": [[1, 2]], "labels": [2]}, "labels must be 1, 0 or -1"),
        ({"labels": [1]}, "labels without points"),
        ({"boxes": [[5, 5, 1, 9]]}, "left and top must not exceed"),
        ({"boxes": [[5, 5, 9]]}, "boxes of shape"),
        ({"points": [[1, 2]], "boxes": [[1, 1, 2, 2]] * 2}, "points, boxes and mask are of 1, 2 objects"),
        ({"points": [[1, 2]], "mask": np.zeros((1, 3, 3), bool)}, r"mask of \(3, 3\) pixels"),
        ({"points": [[1, 2]], "mask": np.zeros((1, 3, 3), int)}, "bool or logits"),
        ({"points": [[1, 2]], "mask": np.zeros((1, 3, 4))}, r"mask of \(3, 4\) logits; give the mask_logits"),
        ({"points": [[1, 2]], "mask": np.full((1, 4, 4), np.nan)}, "mask holds a value that is not finite"),
        ({"points": [[1, 2]], "mask": np.full((1, 4, 4), np.inf)}, "mask holds a value that is not finite"),
        ({"points": np.array([[1j, 2]])}, "points are no array of numbers, but one of complex128"),
    ],
)
def test_prompts_that_mean_nothing_are_refused(model, array, prompts, reason):
    with pytest.raises(InputError, match=reason):
        model.predict(array, **prompts)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda array: array[:, :, :1], "has 1 channel, signal has 2"),
        (lambda array: np.concatenate([array, array], 2), "has 4 channels, signal has 2; choose among them"),
        (lambda array: array.astype(complex), "an array of complex128"),
        (lambda array: array[0, 0], r"an array of shape \(2,\)"),
        (lambda array: np.full(array.shape, np.nan), "holds no measurement"),
        (lambda array: {"depth": array}, "unknown stream 'depth'"),
        (lambda array: np.ma.masked_array(array, array > array.mean()), "signal: values are masked; fill"),
        (lambda array: [[1, 2], [3]], "signal: lists of different lengths"),
    ],
)
def test_recordings_of_another_kind_are_refused(model, array, change, reason):
    with pytest.raises(InputError, match=reason):
        model.embed(change(array))


def test_tensors_are_arrays_whatever_they_are_part_of(model, array):
    points, tensor = [[20, 20]], torch.tensor(array)
    answer = model.predict(array, points)
    learned = torch.tensor([[20.0, 20.0]], requires_grad=True)
    same = model.predict(tensor.clone().requires_grad_(), learned.bfloat16(), mask=None)
    assert np.array_equal(same.mask_logits, answer.mask_logits)
    further = model.predict(array, points, mask=answer.mask_logits)
    logits = torch.from_numpy(answer.mask_logits).requires_grad_()
    assert np.array_equal(model.predict(array, learned, mask=logits).mask_logits, further.mask_logits)
    rounded = model.predict(tensor.bfloat16(), points)
    assert np.array_equal(rounded.mask_logits, model.predict(tensor.bfloat16().float(), points).mask_logits)
    assert len(model.predict(np.ma.masked_array(array), points)) == 1


def test_channels_are_chosen_by_number(model, array):
    more = np.concatenate([array[:, :, 1:], array[:, :, :1], array[:, :, :1]], 2)
    assert torch.equal(model.embed(more, channels=[1, 0]).features, model.embed(array).features)
    with pytest.raises(InputError, match=r"has 3 channels; channel 3 \(from 0\) is asked for"):
        model.embed(more, channels=[0, 3])
    with pytest.raises(InputError, match=r"channel -1 \(from 0\) is asked for"):
        model.embed(more, channels=[0, -1])
    with pytest.raises(InputError, match="has 0 channels, signal has 2"):
        model.embed(more, channels=[])


def test_variables_are_chosen_by_stream(tmp_path):
    spec = StreamSpec(channels=1, unit="1", valid_range=(0, 1))
    read = rules({"depth": spec, "nir": spec}, (0.0, 0.0)).read
    arrays = {name: np.random.default_rng(k).random((3, 4, 1)) for k, name in enumerate(("depth", "nir"))}
    file = tmp_path / "a.npz"
    np.savez(file, z=arrays["depth"], n=arrays["nir"])
    found = read({"depth": file, "nir": file}, variables={"depth": "z", "nir": "n"})
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())
    with pytest.raises(InputError, match=r"a.npz: holds arrays by name; say which one with --variable"):
        read({"depth": file, "nir": file}, variables={"depth": "z"})


def rules(streams, mean):
    preprocessing = Preprocessing(
        streams=tuple(streams),
        mean=mean,
        std=(1.0,) * len(mean),
        source="training part",
        channel_order=tuple(range(len(mean))),
    )
    return InputRules(modality="x", streams=streams, preprocessing=preprocessing, protocol=STRICT, size=8)


GREY = StreamSpec(channels=1, unit="m", valid_range=(0, 10))


def test_grey_pictures_that_were_saved_as_colours_are_grey_and_others_are_refused():
    plane = np.arange(12, dtype=np.float32).reshape(3, 4, 1) / 2
    read = rules({"depth": GREY}, (0.0,)).read(np.repeat(plane, 3, 2))
    assert np.array_equal(read["depth"], plane)
    with pytest.raises(InputError, match="has 3 channels, depth has 1"):
        rules({"depth": GREY}, (0.0,)).read(np.concatenate([plane, plane, plane + 1], 2))


def test_values_of_another_unit_are_refused():
    metres = np.full((3, 4), 4.5)
    rules({"depth": GREY}, (0.0,)).read(metres)
    with pytest.raises(InputError, match="values from 4500 to 4500; the model was trained on 0 to 10 m"):
        rules({"depth": GREY}, (0.0,)).read(1000 * metres)


WORDS = StreamSpec(channels=1, unit="digital number", valid_range=(0, 65535))


@pytest.mark.parametrize("change", [lambda words: (words >> 8).astype(np.uint8), lambda words: words / 65535])
def test_a_picture_of_another_scale_is_warned_of(change, caplog):
    words = np.linspace(3000, 40000, 12).astype(np.uint16).reshape(3, 4)
    # The second stream: its mean is not that of the first.
    both = rules({"heat": GREY, "swir": WORDS}, (0.9, 0.3))
    heat = np.ones((3, 4))
    both.read({"heat": heat, "swir": words})
    assert not caplog.records
    both.read({"heat": heat, "swir": change(words)})
    (record,) = caplog.records
    assert "swir has no value above" in record.getMessage()
    assert "trained on 0 to 65535 digital number, 19660.5 on average" in record.getMessage()


def test_a_dark_picture_of_a_sensor_that_is_dark_is_not_warned_of(caplog):
    dark = np.arange(12, dtype=np.uint16).reshape(3, 4)
    rules({"swir": WORDS}, (0.0003,)).read(dark)
    assert not caplog.records


def test_several_streams_come_by_name_and_in_one_size():
    both = rules({"depth": GREY, "heat": GREY}, (0.0, 0.0))
    plane = np.ones((3, 4))
    assert list(both.read({"heat": plane, "depth": plane})) == ["depth", "heat"]
    for given, reason in (
        (plane, "the model sees depth and heat"),
        ({"depth": plane}, "heat is not given"),
        ({"depth": plane, "heat": np.ones((4, 4))}, "depth 3 x 4, heat 4 x 4"),
    ):
        with pytest.raises(InputError, match=reason):
            both.read(given)


def test_streams_behind_polarizers_are_derived():
    spec = StreamSpec(channels=1, unit="1", valid_range=(0, 1))
    polarizers = {f"i{angle}": np.random.default_rng(angle).random((3, 4, 1)) for angle in (0, 45, 90, 135)}
    read = rules({"dolp": spec}, (0.0,)).read(polarizers)
    assert np.array_equal(read["dolp"], derive("dolp", polarizers))


def test_a_submission_with_weights_is_the_same_model(model, array, run_folder, tmp_path):
    packed = pack(run_folder, tmp_path, weights=True)
    other = aims.load(packed, device="cpu")
    assert torch.equal(other.embed(array).features, model.embed(array).features)
    with pytest.raises(InputError, match="holds no weights; pack the run again with `aims submit --weights`"):
        aims.load(pack(run_folder, tmp_path / "without"))


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        aims.load(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"no model \(no run.json, no model.json\)"):
        aims.load(tmp_path)


def test_bf16_is_near_float32(run_folder, array):
    half = aims.load(run_folder, device="cpu", precision="bf16").predict(array, points=[[20, 20]])
    full = aims.load(run_folder, device="cpu").predict(array, points=[[20, 20]])
    # bfloat16 has eight bits: the largest logit may move by a few hundredths of itself.
    assert np.abs(half.mask_logits - full.mask_logits).max() < 0.05 * np.abs(full.mask_logits).max() + 0.05
    with pytest.raises(InputError, match="precision 'half'"):
        aims.load(run_folder, precision="half")
