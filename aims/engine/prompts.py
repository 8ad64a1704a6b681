"""Prompts beside the protocol's one click: more clicks where the error is, boxes, clicks anywhere.

Every image is encoded once, whatever is asked of it. Masks are compared on the protocol's own map: the
picture under `strict`, the 256 x 256 grid under `paper`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from aims.core.files import atomic_write, write_json
from aims.core.sizes import SIZES, sums_by_size
from aims.core.vocabulary import PROTOCOLS
from aims.data.read import ImageRef
from aims.engine.evaluate import (
    PIXELS,
    PROMPTS,
    Truth,
    count_images,
    encoded,
    predict,
    require_rows,
    threshold,
)
from aims.engine.inputs import choose_dataset
from aims.engine.loading import worker_deaths
from aims.engine.restore import dataset_of, load_model, load_record, preprocessing_of
from aims.engine.samples import (
    EvaluationImage,
    Source,
    split_images,
    to_input_coords,
)
from aims.methods import BACKBONES
from aims.models.segmenter import Segmenter

Mask = NDArray[np.bool_]

#: IoU that a user is content with, for the number of clicks (NoC) it takes.
GOALS = (0.85, 0.90)
#: Width of a boundary, as a part of the picture's diagonal (Cheng et al., Boundary IoU, CVPR 2021).
BOUNDARY = 0.02

#: One row a test instance. `iou_clicks[k]` is after k + 1 clicks, the first of them the protocol's own;
#: `noc_85` and `noc_90` are the clicks until that IoU, null where it is not reached; `iou_jitter` is of
#: single clicks drawn anywhere in the instance; boundary IoU is of the first click and of the box.
PROMPT_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("group", pa.string()),
        ("instance_id", pa.int32()),
        ("class_id", pa.int32()),
        ("area", pa.int64()),
        ("pixels", pa.int64()),
        ("iou_clicks", pa.list_(pa.float64())),
        ("noc_85", pa.int32()),
        ("noc_90", pa.int32()),
        ("iou_box", pa.float64()),
        ("iou_jitter", pa.list_(pa.float64())),
        ("boundary_iou", pa.float64()),
        ("boundary_iou_box", pa.float64()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class PromptPlan:
    """What is asked.

    Attributes:
        clicks: at most so many for an instance, each where the error is largest.
        jitter: single clicks drawn anywhere in the instance.
        seed: of these.
    """

    clicks: int = 20
    jitter: int = 5
    seed: int = 0


def evaluate_run(
    folder: Path,
    data: Path,
    plan: PromptPlan,
    *,
    weights: Path | None = None,
    device: torch.device | None = None,
    on_image: Callable[[int], None] = lambda images: None,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Asks the model of a finished run, and writes what it answers beside the run's scores.

    Args:
        folder: of the run.
        data: a converted dataset or a folder of several, with the run's own among them.
        plan: what is asked.
        weights: the pretrained weights that the run started from; None for the cache folder.
        device: where to compute; None for the CPU.
        on_image: called with the number of further images that are done.

    Returns:
        Rows of `PROMPT_SCHEMA` and `summarize` of them, as prompts.parquet and prompts.json hold them.

    Raises:
        InputError: the folder is of no finished run or of one without a model, or dataset or weights are not
            there.
    """
    record = load_record(folder)
    dataset, config = dataset_of(record, data), record.config
    protocol = PROTOCOLS[config.protocol]
    _, modality = choose_dataset([dataset], config.modality, protocol, None)
    source = Source(
        dataset=dataset,
        modality=modality,
        protocol=protocol,
        preprocessing=preprocessing_of(record),
        input_size=BACKBONES[config.backbone].image_size,
    )
    model = load_model(folder, weights).to(device or "cpu")
    refs = split_images(dataset, protocol, config.seed, config.limit)["test"]
    rows = evaluate_prompts(model, source, refs, plan, precision=config.precision, on_image=on_image)
    means = {"run": config.run_name, **asdict(plan), **summarize(rows, dataset.spec.classes)}
    with atomic_write(folder / "prompts.parquet") as beside:
        pq.write_table(pa.Table.from_pylist(rows, PROMPT_SCHEMA), beside, compression="zstd")
    write_json(folder / "prompts.json", means)
    return rows, means


@worker_deaths()
def evaluate_prompts(
    model: Segmenter,
    source: Source,
    refs: Sequence[ImageRef],
    plan: PromptPlan,
    *,
    precision: str = "float32",
    workers: int = 0,
    on_image: Callable[[int], None] = lambda images: None,
) -> list[dict[str, Any]]:
    """Scores every instance of sufficient size under every kind of prompt.

    Args:
        model: the model; its device is used.
        source: dataset, modality, protocol, scaling.
        refs: images.
        plan: what is asked.
        precision: "float32" or "bf16".
        workers: processes that read ahead.
        on_image: called with the number of further images that are done.

    Returns:
        Rows of `PROMPT_SCHEMA`, in order of image and instance.

    Raises:
        AimsError: no instance is of sufficient size.
    """
    rows: list[dict[str, Any]] = []
    places = range(len(refs))
    for place, item, embeddings in encoded(model, source, refs, places, precision, workers, on_image):
        with torch.inference_mode():
            rows.extend(_Asked(model, source, item, embeddings, precision).rows(plan, place))
    return require_rows(rows, source.dataset.name, source.protocol)


class _Asked:
    """One encoded image and all that is asked about it."""

    def __init__(
        self, model: Segmenter, source: Source, item: EvaluationImage, embeddings: Tensor, precision: str
    ) -> None:
        self.model, self.item, self.embeddings, self.precision = model, item, embeddings, precision
        self.instances = item.native if source.protocol.at_native else item.grid
        self.size = (self.instances.shape[0], self.instances.shape[1])
        self.input_size = source.input_size
        self.smoothing = source.protocol.smoothing
        self.truth = Truth(self.instances, embeddings.device)

    def rows(self, plan: PromptPlan, number: int) -> Iterator[dict[str, Any]]:
        first, curve = self._clicks(plan.clicks)
        box, of_boxes = self._boxes()
        jitter = self._jitter(plan, number)
        for k, instance_id in enumerate(self.item.ids.tolist()):
            truth = self.instances == instance_id
            ious = [float(step[k]) for step in curve]
            yield {
                "image_id": self.item.ref.image_id,
                "group": self.item.ref.group,
                "instance_id": instance_id,
                "class_id": self.item.class_ids[k],
                "area": self.item.areas[k],
                "pixels": self.item.native.size,
                "iou_clicks": ious,
                **{f"noc_{goal * 100:.0f}": clicks_until(ious, goal) for goal in GOALS},
                "iou_box": box[k],
                "iou_jitter": [step[k] for step in jitter],
                "boundary_iou": boundary_iou(first[k], truth),
                "boundary_iou_box": boundary_iou(of_boxes[k], truth),
            }

    def _clicks(self, clicks: int) -> tuple[list[Mask], list[list[float]]]:
        """The masks of the first click, and the IoU after each."""
        coords = self.item.point_coords
        labels = torch.ones(coords.shape[:2], dtype=torch.int64)
        clicked = [np.zeros(self.size, bool) for _ in self.item.ids]
        first: list[Mask] = []
        curve: list[list[float]] = []
        for step in range(clicks):
            masks, ious = self._ask(coords, labels)
            first = first or masks
            curve.append(ious)
            if step + 1 == clicks:
                break
            places, signs = [], []
            for mask, instance_id, taken in zip(masks, self.item.ids.tolist(), clicked, strict=True):
                (x, y), sign = next_click(mask, self.instances == instance_id, taken)
                taken[y, x] = True
                places.append((x, y))
                signs.append(sign)
            new = to_input_coords(np.array(places), self.size, self.input_size)
            coords = torch.cat([coords, new[:, None]], dim=1)
            labels = torch.cat([labels, torch.tensor(signs)[:, None]], dim=1)
        return first, curve

    def _boxes(self) -> tuple[list[float], list[Mask]]:
        boxes = []
        for instance_id in self.item.ids.tolist():
            rows, columns = np.nonzero(self.instances == instance_id)
            # An instance that has vanished from the grid is asked for by its click.
            box = (
                [(columns.min(), rows.min()), (columns.max(), rows.max())]
                if len(rows)
                else [tuple(self._click_on_map(instance_id))] * 2
            )
            boxes.append(to_input_coords(np.array(box), self.size, self.input_size).flatten())
        count = len(boxes)
        nothing = torch.zeros(count, 0, 2), torch.zeros(count, 0, dtype=torch.int64)
        masks, ious = self._ask(*nothing, torch.stack(boxes))
        return ious, masks

    def _click_on_map(self, instance_id: int) -> NDArray[np.int64]:
        place = self.item.ids.tolist().index(instance_id)
        scale = np.array(self.size[::-1]) / np.array(self.item.click_size[::-1])
        pixel: NDArray[np.int64] = ((self.item.clicks[place] + 0.5) * scale).astype(np.int64)
        return pixel

    def _jitter(self, plan: PromptPlan, number: int) -> list[list[float]]:
        curves = []
        for turn in range(plan.jitter):
            places = []
            for instance_id in self.item.ids.tolist():
                rng = np.random.default_rng((plan.seed, number, instance_id, turn))
                pixels = np.flatnonzero(self.instances == instance_id)
                place = self._click_on_map(instance_id)
                if len(pixels):
                    pixel = int(rng.choice(pixels))
                    place = np.array([pixel % self.size[1], pixel // self.size[1]])
                places.append(place)
            coords = to_input_coords(np.stack(places), self.size, self.input_size)[:, None]
            curves.append(self._ask(coords, torch.ones(coords.shape[:2], dtype=torch.int64))[1])
        return curves

    def _ask(
        self, coords: Tensor, labels: Tensor, boxes: Tensor | None = None
    ) -> tuple[list[Mask], list[float]]:
        """Masks of all instances, one prompt each, and their IoU."""
        step = max(1, min(PROMPTS, PIXELS // self.instances.size))
        masks: list[Mask] = []
        ious: list[float] = []
        for start in range(0, len(coords), step):
            part = slice(start, start + step)
            asked = (coords[part], labels[part], None if boxes is None else boxes[part])
            logits, _ = predict(self.model, self.embeddings, *asked, precision=self.precision)
            found = threshold(logits, self.size)
            counted = self.truth.iou(found, self.item.ids[part], self.smoothing)
            ious += [0.0 if value is None else value for value in counted]
            masks += list(found.cpu().numpy())
        return masks, ious


def next_click(mask: Mask, truth: Mask, taken: Mask) -> tuple[tuple[int, int], int]:
    """Where a user clicks next: the middle of the largest error.

    As in interactive segmentation (Sofiiuk et al., Reviving iterative training with mask guidance, ICIP
    2022): of what is missing and of what is too much, the pixel farthest from its region's edge, the
    picture's border counting as an edge, where no click was yet.

    Args:
        mask: what was predicted.
        truth: what is right.
        taken: pixels that were clicked.

    Returns:
        (x, y), and 1 for object or 0 for background; without any error (0, 0) and -1, SAM's padding.
    """
    missing, extra = (np.where(taken, 0, _depth(error)) for error in (truth & ~mask, mask & ~truth))
    if missing.max() == 0 and extra.max() == 0:
        return (0, 0), -1
    sign = int(missing.max() > extra.max())
    depth = missing if sign else extra
    y, x = np.unravel_index(np.argmax(depth), depth.shape)
    return (int(x), int(y)), sign


def _depth(region: Mask) -> NDArray[Any]:
    padded = np.pad(region.astype(np.uint8), 1)
    return cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]


def clicks_until(ious: Sequence[float], goal: float) -> int | None:
    """The number of clicks after which an IoU is reached; None if it never is."""
    return next((k for k, iou in enumerate(ious, start=1) if iou >= goal), None)


def boundary_iou(mask: Mask, truth: Mask) -> float:
    """IoU of two masks' inner boundaries, each 2 % of the diagonal wide (Cheng et al., CVPR 2021).

    Two masks without a pixel have an IoU of 1.
    """
    width = max(1, round(BOUNDARY * math.hypot(*mask.shape)))
    inner, outer = (_boundary(each, width) for each in (mask, truth))
    union = int(np.count_nonzero(inner | outer))
    return int(np.count_nonzero(inner & outer)) / union if union else 1.0


def _boundary(mask: Mask, width: int) -> Mask:
    # What lies outside of the picture is not of the object.
    padded = np.pad(mask.astype(np.uint8), 1)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1]
    boundary: Mask = mask & (eroded == 0)
    return boundary


def summarize(rows: Sequence[dict[str, Any]], classes: Sequence[str]) -> dict[str, Any]:
    """Means over instances, of everything that was asked; scores from 0 to 1.

    Args:
        rows: of `PROMPT_SCHEMA`.
        classes: names of the classes 1, 2, ...

    Returns:
        `miou_clicks` after 1, 2, ... clicks; for each goal the mean number of clicks, an instance that never
        reaches it counting with all of them (as published NoC do), and the share of such instances; mIoU of
        boxes and of clicks anywhere, with the standard deviation over the clicks of an instance; boundary
        IoU; and mIoU of the first click by class, by size, and as the mean over images.
    """
    iou = np.array([row["iou_clicks"] for row in rows])
    jitter = np.array([row["iou_jitter"] for row in rows])
    found: dict[str, Any] = {
        "instances": len(rows),
        "images": count_images(rows),
        "miou_clicks": iou.mean(axis=0).tolist(),
    }
    for goal in GOALS:
        name = f"noc_{goal * 100:.0f}"
        clicks = [row[name] for row in rows]
        found[name] = float(np.mean([iou.shape[1] if count is None else count for count in clicks]))
        found[f"{name}_failed"] = sum(count is None for count in clicks) / len(rows)
    found |= {
        name: float(np.mean([row[key] for row in rows]))
        for name, key in (
            ("miou_box", "iou_box"),
            ("boundary_iou", "boundary_iou"),
            ("boundary_iou_box", "boundary_iou_box"),
        )
    }
    found["miou_jitter"] = float(jitter.mean()) if jitter.size else None
    found["jitter_sd"] = float(jitter.std(axis=1, ddof=1).mean()) if jitter.shape[1] > 1 else None
    return found | _by_kind(rows, iou[:, 0], classes)


def _by_kind(
    rows: Sequence[dict[str, Any]], iou: NDArray[np.float64], classes: Sequence[str]
) -> dict[str, Any]:
    class_ids = np.array([row["class_id"] for row in rows])
    images = np.array([row["image_id"] for row in rows])
    sums, counts = sums_by_size(
        iou, np.array([row["area"] for row in rows]), np.array([row["pixels"] for row in rows])
    )
    return {
        "by_class": {
            name: {"instances": int(there.sum()), "miou": float(iou[there].mean())}
            for number, name in enumerate(classes, start=1)
            if (there := class_ids == number).any()
        },
        "by_size": {
            name: {"instances": int(count), "miou": float(total / count)}
            for name, total, count in zip(SIZES, sums, counts, strict=True)
            if count
        },
        "mean_over_images": float(np.mean([iou[images == name].mean() for name in np.unique(images)])),
    }
