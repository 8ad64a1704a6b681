"""Pictures of a dataset's streams, in which the same value has the same colour on every picture."""

from __future__ import annotations

import numpy as np

from aims.core.errors import AimsError
from aims.core.schema import Array
from aims.data.pictures import Drawing, Values, draw, measured_values
from aims.data.read import Dataset
from aims.data.summary import evenly

# Images whose pixels are the sample of a stream, pixels of each, and pixels that are read for it at most.
_IMAGES, _PIXELS, _READ = 16, 4096, 1 << 26


def draw_of(dataset: Dataset, name: str, array: Array) -> Drawing:
    """Draws a stream of one of a dataset's images, in the window of its training part.

    Args:
        dataset: the image's dataset.
        name: name of the stream.
        array: (height, width, channels) as stored, or a part of that.
    """

    def sample() -> Values | None:
        if name not in dataset.samples:
            dataset.samples[name] = _sample(dataset, name)
        return dataset.samples[name]

    return draw(array, name, dataset.streams[name], sample=sample)


def _sample(dataset: Dataset, name: str) -> Values | None:
    """Returns (n, channels) values of evenly spaced training images; None if none of them can be read."""
    refs = dataset.index.get("train") or [ref for refs in dataset.index.values() for ref in refs]
    parts, read = list[Values](), 0
    for ref in evenly(refs, _IMAGES):
        try:
            array = dataset.read(ref, (name,)).streams[name]
        except AimsError:
            # Whoever asks for the image itself is told.
            continue
        # Every k-th pixel in both directions.
        step = max(1, int(np.sqrt(array.shape[0] * array.shape[1] / _PIXELS)))
        values = measured_values(array[::step, ::step], dataset.streams[name])
        parts.append(values.reshape(-1, values.shape[2]))
        read += array.shape[0] * array.shape[1]
        if read > _READ:
            break
    return np.concatenate(parts) if parts else None
