"""Evaluation with one prompt per instance, the protocol's click: IoU of every instance of every image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from aims.core.errors import AimsError
from aims.core.records import InstanceRow, Rle
from aims.core.sizes import large_scores
from aims.core.vocabulary import Protocol
from aims.data.refs import ImageRef
from aims.engine.boxes import bounding_boxes
from aims.engine.distributed import ProcessGroup
from aims.engine.inputs import click_grid, reduce_grid
from aims.engine.loading import loader, worker_deaths
from aims.engine.losses import Loss
from aims.engine.masks import encode_mask, encode_masks, threshold
from aims.engine.samples import EvaluationImage, EvaluationSet, EvaluationTargets, Source
from aims.models.features import Features
from aims.models.segmenter import Segmenter

#: Largest number of prompts decoded at once.
PROMPTS = 32
#: Largest number of logits held at once at the resolution of the image, to bound memory.
PIXELS = 32 << 20

_Row = TypeVar("_Row")


@worker_deaths()
def evaluate(
    model: Segmenter,
    source: Source,
    refs: Sequence[ImageRef],
    *,
    precision: str,
    masks: bool,
    loss: MaskLoss | None = None,
    boxes: bool = False,
    workers: int = 0,
    distributed: ProcessGroup | None = None,
    on_image: Callable[[int], None] = lambda images: None,
) -> list[InstanceRow]:
    """Scores every instance of sufficient size.

    Args:
        model: the model; its device is used.
        source: dataset, modality, protocol, scaling.
        refs: images.
        precision: "float32" or "bf16" (autocast; the logits are thresholded in float32).
        masks: whether rows contain the predicted masks as COCO RLE.
        loss: loss to compute per instance, stored as `loss` in its row; None for none.
        boxes: whether the prompt is an instance's bounding box in place of its click.
        workers: number of processes that read ahead.
        distributed: the processes that share the images; None for a single process.
        on_image: called with the number of images that this process has finished since the last call.

    Returns:
        Rows of `aims.core.records.INSTANCE_SCHEMA` from all processes, in order of image and instance.

    Raises:
        AimsError: no instance is of sufficient size.
    """
    distributed = distributed or ProcessGroup()
    # Keyed by position, not by image_id: an image that replaces broken ones comes more than once.
    found: list[tuple[int, list[InstanceRow]]] = []
    places = distributed.shard(range(len(refs)))
    for place, item, features in encoded(model, source, refs, places, precision, workers, on_image):
        with torch.inference_mode():
            given = bounding_boxes(item, source) if boxes else None
            scored = list(score_image(model, features, item, source.protocol, precision, masks, loss, given))
        found.append((place, scored))
    found = sorted(distributed.gather(found), key=lambda pair: pair[0])
    return require_rows([row for _, rows in found for row in rows], source.dataset.name, source.protocol)


def encoded(
    model: Segmenter,
    source: Source,
    refs: Sequence[ImageRef],
    places: Sequence[int],
    precision: str,
    workers: int,
    on_image: Callable[[int], None],
) -> Iterator[tuple[int, EvaluationImage, Features]]:
    """Encodes images one by one; the features serve any number of prompts.

    Args:
        model: the model; its device is used. It is in evaluation mode until the iterator is exhausted.
        source: dataset, modality, protocol, scaling.
        refs: images.
        places: indices into `refs`, in order.
        precision: "float32" or "bf16".
        workers: number of processes that read ahead.
        on_image: called with 1 after each image.

    Yields:
        Index, image and features of every image with an instance of sufficient size.
    """
    device = model.device
    training = model.training
    model.eval()
    data = EvaluationSet(source, tuple(refs))
    try:
        for place, item in zip(places, loader(data, places, workers, device.type == "cuda"), strict=True):
            if len(item.ids):
                autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
                # Not around the `yield`, which would leave the caller in inference mode.
                with torch.inference_mode(), autocast:
                    features = model.embed(source.inputs([item.image], device))
                yield place, item, features
            on_image(1)
    finally:
        # Also after an error, or if the caller stops iterating.
        model.train(training)


def require_rows(rows: list[_Row], dataset: str, protocol: Protocol) -> list[_Row]:
    """Returns `rows` unchanged if there are any.

    Raises:
        AimsError: `rows` is empty.
    """
    if not rows:
        raise AimsError(
            f"{dataset}: no test instance has {protocol.size_rule(dataset, training=False)} or more; "
            "nothing to evaluate"
        )
    return rows


def score_image(
    model: Segmenter,
    features: Features,
    item: EvaluationImage,
    protocol: Protocol,
    precision: str,
    masks: bool,
    loss: MaskLoss | None = None,
    boxes: Float[Tensor, "instances 4"] | None = None,
) -> Iterator[InstanceRow]:
    """Scores every instance of one encoded image; arguments are those of `evaluate`, with boxes as a tensor.

    Yields:
        Rows of `aims.core.records.INSTANCE_SCHEMA`, in order of the instances.
    """
    height, width = item.native.shape
    native = protocol.at_native
    maps = [GroundTruthMap(item.grid, model.device)]
    maps += [GroundTruthMap(item.native, model.device)] if native else []
    chunk = max(1, min(PROMPTS, PIXELS // (height * width))) if native else PROMPTS
    for start in range(0, len(item.ids), chunk):
        part = slice(start, start + chunk)
        coords, corners = item.point_coords[part], None
        if boxes is not None:
            coords, corners = coords[:, :0], boxes[part]
        labels = torch.ones(coords.shape[:2], dtype=torch.int64)
        logits, iou_predictions = predict(model, features, coords, labels, corners, precision=precision)
        losses = [] if loss is None else loss(item, part, logits, iou_predictions, protocol)
        predicted = [threshold(logits, truth.size) for truth in maps]
        ious = [
            # Not strict: `maps` has a second entry for `at_native` protocols only. It is never smoothed.
            truth.iou(each, item.ids[part], smoothing)
            for truth, each, smoothing in zip(maps, predicted, (protocol.smoothing, 0.0), strict=False)
        ]
        kept = [encode_masks(each) if masks else [None] * len(logits) for each in predicted]
        for k in range(len(logits)):
            row = _row(item, start + k, [iou[k] for iou in ious], [each[k] for each in kept])
            if losses:
                row["loss"] = losses[k]
            yield row


def score_instance(
    item: EvaluationTargets,
    index: int,
    grid: NDArray[np.bool_],
    native: NDArray[np.bool_] | None,
    protocol: Protocol,
    masks: bool,
) -> InstanceRow:
    """Scores the predicted masks of one instance.

    Args:
        item: the targets of its image.
        index: index of the instance in `item.ids`.
        grid: predicted mask at 256 x 256.
        native: predicted mask at the resolution of the image; None if the protocol scores at 256 x 256 only.
        protocol: supplies the smoothing term of the IoU.
        masks: whether the row contains the masks as COCO RLE.

    Returns:
        A row of `aims.core.records.INSTANCE_SCHEMA`.
    """
    predicted = [grid] if native is None else [grid, native]
    ids = item.ids[index : index + 1]
    ious = [
        GroundTruthMap(instances, torch.device("cpu")).iou(torch.from_numpy(mask)[None], ids, smoothing)[0]
        for instances, mask, smoothing in zip(
            (item.grid, item.native), predicted, (protocol.smoothing, 0.0), strict=False
        )
    ]
    return _row(item, index, ious, [encode_mask(mask) if masks else None for mask in predicted])


def _row(
    item: EvaluationTargets,
    index: int,
    ious: Sequence[float | None],
    masks: Sequence[Rle | None],
) -> InstanceRow:
    """Builds a row from the IoU at 256 x 256 and, if the protocol scores there, at the image's size."""
    grid, *at_native = ious
    rle_grid, *rle_native = masks
    iou = at_native[0] if at_native else grid
    assert iou is not None  # an instance has pixels in its picture, and `paper` smooths
    return {
        "image_id": item.ref.image_id,
        "group": item.ref.group,
        "instance_id": int(item.ids[index]),
        "class_id": item.class_ids[index],
        "area": item.areas[index],
        "pixels": item.native.size,
        "click": item.clicks[index].tolist(),
        "click_size": list(item.click_size),
        "iou": iou,
        "iou_grid": grid,
        "iou_native": at_native[0] if at_native else None,
        "rle_grid": rle_grid,
        "rle_native": rle_native[0] if rle_native else None,
    }


def predict(
    model: Segmenter,
    features: Features,
    point_coords: Float[Tensor, "prompts points 2"],
    point_labels: Int[Tensor, "prompts points"],
    boxes: Float[Tensor, "prompts 4"] | None = None,
    masks: Float[Tensor, "prompts 1 mask mask"] | None = None,
    *,
    precision: str,
) -> tuple[Float[Tensor, "prompts mask mask"], Float[Tensor, " prompts"]]:
    """Predicts the one mask of each prompt that AIMS trains; see `predict_masks`."""
    logits, iou = predict_masks(
        model, features, point_coords, point_labels, boxes, masks, precision=precision
    )
    return logits[:, 0], iou[:, 0]


def predict_masks(
    model: Segmenter,
    features: Features,
    point_coords: Float[Tensor, "prompts points 2"],
    point_labels: Int[Tensor, "prompts points"],
    boxes: Float[Tensor, "prompts 4"] | None = None,
    masks: Float[Tensor, "prompts 1 mask mask"] | None = None,
    *,
    precision: str,
    multimask: bool = False,
) -> tuple[Float[Tensor, "prompts masks mask mask"], Float[Tensor, "prompts masks"]]:
    """Predicts float32 mask logits and IoU for prompts on one image; their device may differ.

    The prompts are those of `Segmenter.decode`.
    """
    device = model.device
    optional = {"boxes": boxes, "masks": masks}
    given: dict[str, Any] = {name: each.to(device) for name, each in optional.items() if each is not None}
    if multimask:
        given["multimask"] = True
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        logits, iou = model.decode(features, point_coords.to(device), point_labels.to(device), **given)
    return logits.float(), iou.float()


class GroundTruthMap:
    """The instance map of one image on a device, for computing the IoU of many masks at once.

    Args:
        instances: (height, width) map of instance ids, 0 where there is no instance.
        device: device of the masks.
    """

    def __init__(self, instances: NDArray[np.uint16], device: torch.device) -> None:
        self.size = (instances.shape[0], instances.shape[1])
        # torch implements no comparison for uint16; equality of the same bits read as int16 is the same.
        self._map = torch.from_numpy(np.ascontiguousarray(instances).view(np.int16)).to(device)

    def iou(
        self, masks: Bool[Tensor, "prompts height width"], ids: NDArray[np.int64], smoothing: float
    ) -> list[float | None]:
        """Computes the IoU of each mask with its instance; None if the map lacks it and `smoothing` is 0."""
        wanted = torch.from_numpy(ids.astype(np.uint16).view(np.int16)).to(self._map.device)
        truth = self._map == wanted[:, None, None]
        # Stacked, so that one copy brings all counts to the CPU.
        counts = torch.stack(
            [each.sum((1, 2), dtype=torch.int32) for each in (masks & truth, masks, truth)], dim=1
        )
        return [
            None
            if smoothing == 0 and not true
            else (intersection + smoothing) / (found + true - intersection + smoothing)
            for intersection, found, true in counts.tolist()
        ]


@dataclass(frozen=True)
class MaskLoss:
    """A training loss, computed per instance for the clicks of the evaluation.

    Attributes:
        loss: a loss of `aims.engine.losses.LOSSES`.
        mask_size: side of the model's mask logits, at which the loss is computed as in training.
    """

    loss: Loss
    mask_size: int

    def __call__(
        self,
        item: EvaluationTargets,
        part: slice,
        logits: Float[Tensor, "prompts mask mask"],
        iou_predictions: Float[Tensor, " prompts"],
        protocol: Protocol,
    ) -> list[float]:
        """Computes the loss of each instance in the slice `part` of `item.ids`."""
        small = reduce_grid(click_grid(item.native), self.mask_size, protocol)
        wanted = small == item.ids[part, None, None]
        masks = torch.from_numpy(wanted.astype(np.float32)).to(logits.device)
        losses = [
            self.loss(logits[k, None], masks[k, None], iou_predictions[k, None]) for k in range(len(logits))
        ]
        return [float(value) for value in torch.stack(losses).tolist()]


def mean_dice(rows: Sequence[InstanceRow]) -> float:
    """Computes the mean Dice, 2 |A and B| / (|A| + |B|), over instances, at the protocol's resolution, 0..1.

    It is computed from the IoU J of each instance as 2 J / (1 + J), so it is smoothed where the IoU is.
    """
    return float(np.mean([2 * row["iou"] / (1 + row["iou"]) for row in rows]))


def count_images(rows: Sequence[Mapping[str, object]]) -> int:
    """Counts scored images; an image that replaces broken ones (NYUv2's 1134) counts each time."""
    often = Counter((row["image_id"], row["instance_id"]) for row in rows)
    images: dict[object, int] = {}
    for (image_id, _), count in often.items():
        # An image was scored as often as any of its instances.
        images[image_id] = max(count, images.get(image_id, 0))
    return sum(images.values())


def mean_iou(rows: Sequence[InstanceRow]) -> float:
    """Computes the mean over all instances of the protocol's IoU (paper, section 4.1), 0..1."""
    return float(np.mean([row["iou"] for row in rows]))


def mean_grid_iou(rows: Sequence[InstanceRow]) -> float | None:
    """Computes the mean IoU at 256 x 256 over instances with a pixel there, 0..1; None if there is none."""
    grid = [row["iou_grid"] for row in rows if row["iou_grid"] is not None]
    return sum(grid) / len(grid) if grid else None


def large_iou(rows: Sequence[InstanceRow]) -> tuple[float | None, int]:
    """Computes the mean IoU over large instances, and their number (`aims.core.sizes.large_scores`)."""
    return large_scores(*(np.array([row[name] for row in rows]) for name in ("iou", "area", "pixels")))
