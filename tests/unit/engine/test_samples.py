from __future__ import annotations

import os
import signal
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import torch
import toys
from torch.utils.data import Dataset as TorchDataset

from aims.core.errors import AimsError, InputError
from aims.core.vocabulary import PAPER, STRICT, STRICT_2
from aims.data.instances import stretch_nearest
from aims.engine.inputs import reduce_grid, usable_instances
from aims.engine.loading import loader
from aims.engine.samples import (
    EvaluationSet,
    Schedule,
    TrainingSet,
    split_images,
    to_input_coords,
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return toys.made_up_set(tmp_path_factory.mktemp("sets") / "made-up", images=15)


def ids(refs):
    return [ref.image_id for ref in refs]


def test_strict_holds_out_whole_groups(dataset):
    # 15 images in groups of three: a fifth of five groups is one group.
    parts = split_images(dataset, STRICT, seed=0, limit=None)
    assert len(parts["val"]) == 3
    assert len({ref.group for ref in parts["val"]}) == 1
    assert not {ref.group for ref in parts["val"]} & {ref.group for ref in parts["train"]}
    assert sorted(ids(parts["train"]) + ids(parts["val"])) == ids(dataset.index["train"])
    assert ids(split_images(dataset, STRICT, seed=0, limit=None)["val"]) == ids(parts["val"])
    assert any(
        ids(split_images(dataset, STRICT, seed=seed, limit=None)["val"]) != ids(parts["val"])
        for seed in range(1, 5)
    )


def test_paper_selects_on_test_and_keeps_train_whole(dataset):
    parts = split_images(dataset, PAPER, seed=0, limit=None)
    assert set(parts) == {"train", "test"}
    assert ids(parts["train"]) == ids(dataset.index["train"])
    assert len(split_images(dataset, PAPER, seed=0, limit=4)["test"]) == 4


def test_one_group_cannot_be_held_out(dataset):
    with pytest.raises(InputError, match="no image is left in 'train'"):
        split_images(dataset, STRICT, seed=0, limit=2)


def test_a_set_without_test_split_is_refused(dataset):
    lacking = replace(dataset)
    lacking.__dict__["index"] = {"train": dataset.index["train"]}
    with pytest.raises(InputError, match="needs a 'test' split"):
        split_images(lacking, PAPER, seed=0, limit=None)


def test_broken_pictures_of_nyuv2(dataset):
    def named(ref, image_id):
        return replace(ref, image_id=image_id)

    train, test = dataset.index["train"], dataset.index["test"]
    nyu = replace(dataset, spec=replace(dataset.spec, name="nyuv2"))
    nyu.__dict__["index"] = {
        "train": (named(train[0], "398"), named(train[3], "7"), named(train[6], "1134")),
        "test": (named(test[0], "1133"), named(test[1], "8")),
    }
    paper = split_images(nyu, PAPER, seed=0, limit=None)
    assert ids(paper["train"]) == ["1134", "7", "1134"]
    assert ids(paper["test"]) == ["1134", "8"]
    strict = split_images(nyu, STRICT, seed=0, limit=None)
    assert sorted(ids(strict["train"]) + ids(strict["val"])) == ["1134", "7"]
    assert ids(strict["test"]) == ["8"]


def test_broken_pictures_that_could_not_be_converted(dataset, tmp_path):
    def named(ref, image_id):
        return replace(ref, image_id=image_id)

    lines = [("test", "1133", "unusable"), ("train", "5", "unusable"), ("train", "398", "object")]
    (tmp_path / "dropped.jsonl").write_text(
        "".join(
            f'{{"split": "{split}", "image_id": "{name}", "kind": "{kind}", "reason": "broken"}}\n'
            for split, name, kind in lines
        )
    )
    nyu = replace(dataset, folder=tmp_path, spec=replace(dataset.spec, name="nyuv2"))
    nyu.__dict__["index"] = {
        "train": (named(dataset.index["train"][0], "7"), named(dataset.index["train"][3], "1134")),
        "test": (named(dataset.index["test"][1], "8"),),
    }
    # 1133 is replaced in its split; 5 is not one of the two, and of 398 only an object was lost.
    paper = split_images(nyu, PAPER, seed=0, limit=None)
    assert (ids(paper["train"]), ids(paper["test"])) == (["7", "1134"], ["8", "1134"])
    assert ids(split_images(nyu, STRICT, seed=0, limit=None)["test"]) == ["8"]


def test_clicks_move_from_pixel_centre_to_pixel_centre():
    clicks = np.array([[0, 0], [3, 1]])
    # A grid of 2 rows x 4 columns on an input of 8: pixels are 2 wide and 4 high.
    np.testing.assert_allclose(to_input_coords(clicks, (2, 4), 8), [[0.5, 1.5], [6.5, 5.5]])
    np.testing.assert_allclose(to_input_coords(clicks, (1024, 1024), 1024), clicks)


def test_training_clicks_lie_in_the_mask_and_masks_are_one_instance(dataset):
    made = toys.source(dataset, PAPER, size=1024)
    data = TrainingSet(made, dataset.index["train"], 256, seed=3)
    batch = data[(0, 0, (0, 4, 7))]
    assert made.inputs(batch.images, torch.device("cpu")).shape == (3, 2, 1024, 1024)
    for k, index in enumerate((0, 4, 7)):
        image = dataset.read(dataset.index["train"][index], ("signal",))
        grid = stretch_nearest(image.instances, (1024, 1024))
        x, y = batch.prompts.point_coords[k, 0].int().tolist()
        assert grid[y, x] > 0
        expected = (grid == grid[y, x])[::4, ::4]
        np.testing.assert_array_equal(batch.prompts.masks[k].numpy() > 0, expected)


def test_several_clicks_an_image_are_of_different_instances_first(dataset):
    made = toys.source(dataset, PAPER, size=1024)
    batch = TrainingSet(made, dataset.index["train"], 256, seed=3, clicks=5)[(0, 0, (0, 4))]
    assert (len(batch.images), batch.prompts.point_coords.shape, batch.prompts.masks.shape) == (
        2,
        (10, 1, 2),
        (10, 256, 256),
    )
    for k, index in enumerate((0, 4)):
        grid = stretch_nearest(
            dataset.read(dataset.index["train"][index], ("signal",)).instances, (1024, 1024)
        )
        found = []
        for prompt in range(5 * k, 5 * k + 5):
            x, y = batch.prompts.point_coords[prompt, 0].int().tolist()
            found.append(int(grid[y, x]))
            expected = (grid == found[-1])[::4, ::4]
            np.testing.assert_array_equal(batch.prompts.masks[prompt].numpy() > 0, expected)
        there = len(np.unique(grid)) - 1
        assert len(set(found[:there])) == min(5, there)
    parts = list(batch.parts(1))
    assert [part.image_ids for part in parts] == [(name,) for name in batch.image_ids]
    np.testing.assert_array_equal(torch.cat([part.prompts.masks for part in parts]), batch.prompts.masks)
    # The first of several is the one that a single click would have been.
    single = TrainingSet(made, dataset.index["train"], 256, seed=3)[(0, 0, (0, 4))]
    np.testing.assert_array_equal(single.prompts.point_coords, batch.prompts.point_coords[::5])


def test_what_is_drawn_depends_on_seed_epoch_and_place_alone(dataset):
    made = toys.source(dataset, PAPER)
    data = TrainingSet(made, dataset.index["train"], 16, seed=3)
    first = data[(1, 2, (5, 6))].prompts.point_coords
    np.testing.assert_array_equal(data[(1, 2, (5, 6))].prompts.point_coords, first)
    others = [
        data[(2, 2, (5, 6))].prompts.point_coords,
        data[(1, 3, (5, 6))].prompts.point_coords,
        TrainingSet(made, dataset.index["train"], 16, seed=4)[(1, 2, (5, 6))].prompts.point_coords,
    ]
    assert all((other != first).any() for other in others)


@pytest.mark.thorough
def test_worker_processes_read_the_same(dataset):
    made = toys.source(dataset, PAPER)
    data = TrainingSet(made, dataset.index["train"], 16, seed=0)
    schedule = Schedule(images=15, batch_size=6, epochs=1, shuffle=True, seed=0)
    here = list(loader(data, schedule.batches(0, 0), 0, False))
    there = list(loader(data, schedule.batches(0, 0), 2, False))
    assert [len(batch.images) for batch in here] == [6, 6, 3]
    for one, other in zip(here, there, strict=True):
        for image, same in zip(one.images, other.images, strict=True):
            np.testing.assert_array_equal(image.values, same.values)
            np.testing.assert_array_equal(image.valid, same.valid)
        np.testing.assert_array_equal(one.prompts.point_coords, other.prompts.point_coords)


def test_schedule_goes_on_from_any_step():
    schedule = Schedule(images=7, batch_size=3, epochs=3, shuffle=True, seed=5)
    whole = list(schedule.batches(0, 0))
    assert len(whole) == 9
    assert list(schedule.batches(1, 2)) == whole[5:]
    for epoch in range(3):
        assert sorted(i for e, _, part in whole if e == epoch for i in part) == list(range(7))
    assert whole[0][2] != whole[3][2]
    fixed = list(Schedule(images=7, batch_size=3, epochs=2, shuffle=False, seed=5).batches(0, 0))
    assert [part for _, _, part in fixed] == 2 * [(0, 1, 2), (3, 4, 5), (6,)]


@pytest.mark.parametrize("protocol", [PAPER, STRICT])
def test_test_clicks_follow_the_protocol(dataset, protocol):
    made = toys.source(dataset, protocol, size=1024)
    for item in EvaluationSet(made, dataset.index["test"]):
        grid = stretch_nearest(item.native, (1024, 1024))
        for (x, y), instance_id in zip(item.clicks, item.ids, strict=True):
            if protocol is PAPER:
                pixels = np.flatnonzero(grid == instance_id)
                assert y * 1024 + x == pixels[len(pixels) // 2]
            else:
                assert item.native[y, x] == instance_id
        assert item.click_size == ((1024, 1024) if protocol is PAPER else item.native.shape)
        # The released program reduces by torch's nearest neighbour (protocol.md).
        first = 0 if protocol is PAPER else 2
        np.testing.assert_array_equal(item.grid, grid[first::4, first::4])


@pytest.mark.parametrize("side", [64, 100, 256, 1024])
def test_the_papers_reduction_is_torchs_nearest_neighbour(side):
    grid = np.random.default_rng(0).integers(0, 1000, (1024, 1024)).astype(np.uint16)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(grid.astype(np.float32))[None, None], (side, side)
    )
    np.testing.assert_array_equal(reduce_grid(grid, side, PAPER), theirs[0, 0].numpy())
    pil = PIL.Image.fromarray(grid).resize((side, side), PIL.Image.Resampling.NEAREST)
    np.testing.assert_array_equal(reduce_grid(grid, side, STRICT_2), np.array(pil))


def test_strict_2_counts_pixels_of_the_recording_too():
    """Of a picture of 32 x 32, a pixel is 1024 on the grid: the first edition counts a single one."""
    instances = np.zeros((32, 32), np.uint16)
    instances[:8, :8], instances[10:17, 10:19], instances[30, 30] = 1, 2, 3  # 64, 63 and 1 pixels
    for training in (True, False):
        assert usable_instances(instances, STRICT, "any", training=training).tolist() == [1, 2, 3]
        assert usable_instances(instances, STRICT_2, "any", training=training).tolist() == [1]
    # Of a large picture the grid decides: 64 pixels of 1024 x 1024 are fewer than 100.
    large = np.zeros((1024, 1024), np.uint16)
    large[:8, :8], large[20:30, 20:30] = 1, 2
    assert usable_instances(large, STRICT_2, "any", training=False).tolist() == [2]


def test_training_images_are_drawn_from_what_is_not_held_out(dataset):
    whole = split_images(dataset, STRICT, seed=0, limit=None)
    some = split_images(dataset, STRICT, 0, None, train_images=3)
    fewer = split_images(dataset, STRICT, 0, None, train_images=2)
    assert (some["val"], some["test"]) == (whole["val"], whole["test"])
    assert len(some["train"]) == 3
    assert set(fewer["train"]) < set(some["train"]) < set(whole["train"])
    assert [ref for ref in whole["train"] if ref in some["train"]] == list(some["train"])
    draws = {split_images(dataset, PAPER, seed, None, train_images=2)["train"] for seed in range(5)}
    assert len(draws) > 1
    with pytest.raises(InputError, match=r"--train-images 99: the training part has \d+ images?$"):
        split_images(dataset, STRICT, 0, None, train_images=99)


def test_small_regions_are_left_out(dataset):
    area = 0
    counts = []
    for name in ("made-up", "rgbp-glass", "ivrg-nir", "zju-rgbp"):
        made = toys.source(replace(dataset, spec=replace(dataset.spec, name=name)), PAPER)
        counts.append(sum(len(item.ids) for item in EvaluationSet(made, dataset.index["test"])))
        for item in EvaluationSet(made, dataset.index["test"]):
            grid = stretch_nearest(item.native, (1024, 1024))
            area = {"made-up": 0, "rgbp-glass": 100, "ivrg-nir": 1_000, "zju-rgbp": 10_000}[name]
            kept = [k for k in range(1, item.native.max() + 1) if (grid == k).sum() > area]
            assert item.ids.tolist() == kept
    assert counts[0] >= counts[1] >= counts[2] > counts[3]


class Broken(TorchDataset):
    """Cannot be read, or dies while it is."""

    def __init__(self, dies=False):
        self.dies = dies

    def __getitem__(self, key):
        if self.dies:
            os.kill(os.getpid(), signal.SIGKILL)
        raise AimsError(f"image {key}: no longer there")


@pytest.mark.thorough
def test_what_a_worker_says_arrives_as_it_was_said():
    for workers in (0, 1):
        with pytest.raises(AimsError) as caught:
            list(loader(Broken(), [7], workers, False))
        assert str(caught.value) == "image 7: no longer there"
    with pytest.raises(AimsError, match=r"a process that reads ahead died .*: out of memory, most often"):
        list(loader(Broken(dies=True), [7], 1, False))
