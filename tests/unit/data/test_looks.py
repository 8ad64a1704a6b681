"""One window for all pictures of a stream."""

from __future__ import annotations

import pickle

import numpy as np

from aims.core.errors import AimsError
from aims.data.looks import draw_of
from aims.data.pictures import draw
from aims.data.read import Dataset
from aims.data.write import convert
from helpers import MadeUp


def opened(raw, tmp_path, **options):
    convert(MadeUp(raw=raw, **{"images": 6, "channels": 1, **options}), tmp_path / "set")
    return Dataset.open(tmp_path / "set")


def test_a_value_has_one_colour_on_all_pictures(raw, tmp_path):
    dataset = opened(raw, tmp_path)
    colours = {}
    for refs in dataset.index.values():
        for ref in refs:
            array = dataset.read(ref, ("signal",)).streams["signal"]
            pixels = draw_of(dataset, "signal", array).pixels
            for value, colour in zip(array[:, :, 0].ravel(), pixels.reshape(-1, 3), strict=True):
                assert colours.setdefault(float(value), tuple(colour)) == tuple(colour)
    scales = {draw_of(dataset, "signal", array[:k]).scale.labels for k in (3, 9)}
    assert len(scales) == 1


def test_the_window_is_that_of_the_training_part(raw, tmp_path):
    dataset = opened(raw, tmp_path)
    train = [dataset.read(ref, ("signal",)).streams["signal"].ravel() for ref in dataset.index["train"]]
    low, high = np.nanpercentile(np.concatenate(train).astype(float), (2, 98))
    array = dataset.read(dataset.index["test"][0], ("signal",)).streams["signal"]
    scale = draw_of(dataset, "signal", array).scale
    np.testing.assert_allclose((scale.low, scale.high), (low, high))
    # What was read is not sent to other processes.
    assert pickle.loads(pickle.dumps(dataset)).samples == {}


def test_pictures_that_need_no_window_read_no_other_image(raw, tmp_path, monkeypatch):
    dataset = opened(raw, tmp_path, rgb=True)
    picture = dataset.read(dataset.index["test"][0], ("rgb",)).streams["rgb"]
    monkeypatch.setattr(Dataset, "read", None)
    assert np.array_equal(draw_of(dataset, "rgb", picture).pixels, picture)


def test_images_that_cannot_be_read_are_left_out(raw, tmp_path, monkeypatch):
    dataset = opened(raw, tmp_path)
    first, *others = dataset.index["train"]
    array = dataset.read(first, ("signal",)).streams["signal"]
    read = Dataset.read

    def damaged(self, ref, streams):
        if ref in others:
            raise AimsError(f"{ref.file}: damaged")
        return read(self, ref, streams)

    monkeypatch.setattr(Dataset, "read", damaged)
    assert (
        draw_of(dataset, "signal", array).scale.labels
        == draw(array, "signal", dataset.streams["signal"]).scale.labels
    )
