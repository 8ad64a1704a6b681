"""Centre-click evaluation: one positive click an instance, IoU of every instance of every image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from torch import Tensor
from torch.nn import functional as F

from aims.core.errors import AimsError
from aims.core.vocabulary import IOU_GRID, Protocol
from aims.data.read import ImageRef
from aims.engine.samples import EvaluationImage, EvaluationSet, Source, Targets, loader
from aims.models.segmenter import Segmenter

#: Prompts decoded at once; and logits held at once at the picture's size.
_PROMPTS = 32
_PIXELS = 32 << 20


def evaluate(
    model: Segmenter,
    source: Source,
    refs: Sequence[ImageRef],
    *,
    precision: str,
    masks: bool,
    workers: int = 0,
    on_image: Callable[[int], None] = lambda images: None,
) -> list[dict[str, Any]]:
    """Scores every instance of sufficient size.

    Args:
        model: the model; its device is used.
        source: dataset, modality, protocol, scaling.
        refs: images.
        precision: "float32" or "bf16" (autocast; the logits are compared in float32).
        masks: keep the predicted masks as COCO RLE.
        workers: processes that read ahead.
        on_image: called with the number of further images that are done.

    Returns:
        Rows of `aims.core.records.INSTANCE_SCHEMA`, in order of image and instance.

    Raises:
        AimsError: no instance is of sufficient size.
    """
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    rows: list[dict[str, Any]] = []
    data = EvaluationSet(source, tuple(refs))
    try:
        with torch.inference_mode():
            for item in loader(data, range(len(refs)), workers, device.type == "cuda"):
                if len(item.ids):
                    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                        embeddings = model.embed(item.image.to(device, non_blocking=True))
                    rows.extend(_score_image(model, embeddings, item, source.protocol, precision, masks))
                on_image(1)
    finally:
        model.train(training)
    return require_rows(rows, source.dataset.name, source.protocol)


def require_rows(rows: list[dict[str, Any]], dataset: str, protocol: Protocol) -> list[dict[str, Any]]:
    """Gives scored instances back.

    Raises:
        AimsError: there are none.
    """
    if not rows:
        raise AimsError(
            f"{dataset}: no test instance has {protocol.smallest_area(dataset, training=False)} pixels or "
            "more at 1024 x 1024; nothing to evaluate"
        )
    return rows


def _score_image(
    model: Segmenter,
    embeddings: Tensor,
    item: EvaluationImage,
    protocol: Protocol,
    precision: str,
    masks: bool,
) -> Iterator[dict[str, Any]]:
    height, width = item.native.shape
    native = protocol.name == "strict"
    chunk = max(1, min(_PROMPTS, _PIXELS // (height * width))) if native else _PROMPTS
    for start in range(0, len(item.ids), chunk):
        part = slice(start, start + chunk)
        logits = _predict(model, embeddings, item.point_coords[part], precision)
        grid = _threshold(logits, (IOU_GRID, IOU_GRID))
        at_native = _threshold(logits, (height, width)) if native else None
        for k in range(len(grid)):
            mask = None if at_native is None else at_native[k]
            yield score_instance(item, start + k, grid[k], mask, protocol, masks)


def score_instance(
    item: Targets,
    index: int,
    grid: NDArray[np.bool_],
    native: NDArray[np.bool_] | None,
    protocol: Protocol,
    masks: bool,
) -> dict[str, Any]:
    """Scores the masks of one instance.

    Args:
        item: its image.
        index: its place in the image's `ids`.
        grid: its mask at 256 x 256.
        native: its mask at the picture's size; None under `paper`.
        protocol: decides on smoothing.
        masks: keep the masks as COCO RLE.

    Returns:
        A row of `aims.core.records.INSTANCE_SCHEMA`.
    """
    instance_id = int(item.ids[index])
    iou_grid = _iou(grid, item.grid, instance_id, protocol.smoothing)
    iou_native = None if native is None else _iou(native, item.native, instance_id, 0)
    return {
        "image_id": item.ref.image_id,
        "group": item.ref.group,
        "instance_id": instance_id,
        "class_id": item.class_ids[index],
        "area": item.areas[index],
        "click": item.clicks[index].tolist(),
        "click_size": list(item.click_size),
        "iou": iou_grid if native is None else iou_native,
        "iou_grid": iou_grid,
        "iou_native": iou_native,
        "rle_grid": _encode(grid) if masks else None,
        "rle_native": _encode(native) if masks and native is not None else None,
    }


def _predict(
    model: Segmenter, embeddings: Tensor, point_coords: Float[Tensor, "prompts 1 2"], precision: str
) -> Float[Tensor, "prompts mask mask"]:
    device = embeddings.device
    labels = torch.ones(point_coords.shape[:2], dtype=torch.int64, device=device)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        logits, _ = model.decode(embeddings, point_coords.to(device), labels)
    return logits[:, 0].float()


def _threshold(logits: Float[Tensor, "prompts mask mask"], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Masks of another size: logits stretched bilinearly where the size differs, then > 0."""
    if tuple(logits.shape[1:]) != size:
        logits = F.interpolate(logits[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    masks: NDArray[np.bool_] = (logits > 0).cpu().numpy()
    return masks


def _iou(
    mask: np.ndarray[Any, Any], instances: np.ndarray[Any, Any], instance_id: int, smoothing: float
) -> float | None:
    """IoU of a mask with one instance of a map; None where the instance is not on the map, unsmoothed."""
    truth = instances == instance_id
    if smoothing == 0 and not truth.any():
        return None
    intersection = int(np.count_nonzero(mask & truth))
    union = int(np.count_nonzero(mask | truth))
    return (intersection + smoothing) / (union + smoothing)


def _encode(mask: NDArray[np.bool_]) -> dict[str, Any]:
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def mean_iou(rows: Sequence[dict[str, Any]]) -> float:
    """Mean over all instances of the protocol's IoU (paper, section 4.1), 0..1."""
    return float(np.mean([row["iou"] for row in rows]))
