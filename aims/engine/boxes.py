"""Bounding boxes of the scored instances, as prompts."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from aims.engine.samples import EvaluationImage, Source, to_input_coords


def scored_map(item: EvaluationImage, source: Source) -> NDArray[np.uint16]:
    """Returns the instance map on which a protocol computes the IoU."""
    return item.native if source.protocol.at_native else item.grid


def click_on_map(item: EvaluationImage, index: int, size: tuple[int, int]) -> NDArray[np.int64]:
    """Returns the protocol's click of an instance, (x, y) in pixels of a (height, width) map."""
    scale = np.array(size[::-1]) / np.array(item.click_size[::-1])
    pixel: NDArray[np.int64] = ((item.clicks[index] + 0.5) * scale).astype(np.int64)
    return pixel


def bounding_boxes(item: EvaluationImage, source: Source) -> Float[Tensor, "instances 4"]:
    """Returns the bounding boxes of the scored instances, in pixels of the model input.

    They go from the centre of the first pixel to that of the last on the map of the IoU.
    """
    instances = scored_map(item, source)
    size = (instances.shape[0], instances.shape[1])
    boxes = []
    for index, instance_id in enumerate(item.ids.tolist()):
        rows, columns = np.nonzero(instances == instance_id)
        # An instance without a pixel at 256 x 256 has no bounding box: its click takes the place of one.
        box = (
            [(columns.min(), rows.min()), (columns.max(), rows.max())]
            if len(rows)
            else [tuple(click_on_map(item, index, size))] * 2
        )
        boxes.append(to_input_coords(np.array(box), size, source.input_size).flatten())
    return torch.stack(boxes)
