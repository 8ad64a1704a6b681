"""Evaluation under further prompts: corrective clicks, bounding boxes, clicks drawn at random.

Every image is encoded once for all prompts. Masks are compared at the protocol's resolution: that of the
image under `strict`, 256 x 256 under `paper`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from aims.core.evaluations import PROMPT_MEANS, PROMPT_ROWS, PromptPlan
from aims.core.files import atomic_write, write_json
from aims.data.refs import ImageRef
from aims.data.verified import require_verified
from aims.engine.boxes import bounding_boxes, click_on_map, scored_map
from aims.engine.evaluate import PIXELS, PROMPTS, GroundTruthMap, encoded, predict, require_rows
from aims.engine.loading import worker_deaths
from aims.engine.masks import threshold
from aims.engine.prompt_scores import (
    GOALS,
    Mask,
    PromptRow,
    PromptScores,
    boundary_iou,
    clicks_until,
    next_click,
    summarize,
)
from aims.engine.restore import dataset_of, load_model, load_record, source_of
from aims.engine.samples import (
    EvaluationImage,
    Source,
    split_images,
    to_input_coords,
)
from aims.models.features import Features
from aims.models.segmenter import Segmenter

#: Arrow types of `PromptRow`, for prompts.parquet.
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
class PromptReport:
    """The content of prompts.json and prompts.parquet.

    Attributes:
        run: name of the run.
        trained_on: training prompts of the run (`aims.core.vocabulary.TRAINING_PROMPTS`); None if nothing was
            trained.
        plan: prompts of the evaluation.
        scores: means over the test instances.
        rows: the rows of prompts.parquet, one a test instance.
    """

    run: str
    trained_on: str | None
    plan: PromptPlan
    scores: PromptScores
    rows: list[PromptRow] = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """Returns the JSON object of prompts.json with its keys in the order of the file."""
        scores = msgspec.to_builtins(self.scores)
        return {"run": self.run, "trained_on": self.trained_on, **asdict(self.plan), **scores}


def evaluate_run(
    folder: Path,
    data: Path,
    plan: PromptPlan,
    *,
    weights: Path | None = None,
    device: torch.device | None = None,
    trust: bool = False,
    on_total: Callable[[int], None] = lambda images: None,
    on_image: Callable[[int], None] = lambda images: None,
) -> PromptReport:
    """Evaluates the model of a finished run under further prompts, and writes the scores to its folder.

    Args:
        folder: folder of the run.
        data: a converted dataset or a folder of several, one of which is the run's.
        plan: prompts of the evaluation.
        weights: the pretrained weights that the run started from; None for the cache folder.
        device: device to compute on; None for the CPU.
        trust: whether the dataset is taken as it is, without being verified.
        on_total: called once with the number of images.
        on_image: called with the number of images finished since the last call.

    Raises:
        InputError: the folder holds no finished run with a model, or its dataset or weights are missing.
    """
    record = load_record(folder)
    dataset, config = dataset_of(record, data), record.config
    if not trust:
        require_verified(dataset)
    source = source_of(record, dataset)
    model = load_model(folder, weights).to(device or "cpu")
    refs = split_images(dataset, source.protocol, config.seed, config.limit)["test"]
    on_total(len(refs))
    rows = evaluate_prompts(model, source, refs, plan, precision=config.precision, on_image=on_image)
    report = PromptReport(
        run=config.run_name,
        trained_on=config.trained_on,
        plan=plan,
        scores=summarize(rows, dataset.spec.classes),
        rows=rows,
    )
    with atomic_write(folder / PROMPT_ROWS) as beside:
        pq.write_table(pa.Table.from_pylist(rows, PROMPT_SCHEMA), beside, compression="zstd")
    write_json(folder / PROMPT_MEANS, report.as_json())
    return report


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
) -> list[PromptRow]:
    """Scores every instance of sufficient size under every kind of prompt.

    Args:
        model: the model; its device is used.
        source: dataset, modality, protocol, scaling.
        refs: images.
        plan: prompts of the evaluation.
        precision: "float32" or "bf16".
        workers: number of processes that read ahead.
        on_image: called with the number of images finished since the last call.

    Returns:
        Rows of `PROMPT_SCHEMA`, in order of image and instance.

    Raises:
        AimsError: no instance is of sufficient size.
    """
    rows: list[PromptRow] = []
    places = range(len(refs))
    for place, item, features in encoded(model, source, refs, places, precision, workers, on_image):
        # A few instances at a time, fewer for large images: each has masks at the resolution of the map.
        step = max(1, min(PROMPTS, PIXELS // scored_map(item, source).size))
        for start in range(0, len(item.ids), step):
            part = item.some(slice(start, start + step))
            with torch.inference_mode():
                rows.extend(PromptEvaluator(model, source, part, features, precision).rows(plan, place))
    return require_rows(rows, source.dataset.name, source.protocol)


class PromptEvaluator:
    """Predicts masks for some instances of an encoded image, under every kind of prompt, and scores them.

    Args:
        model: the model, in evaluation mode.
        source: dataset, modality, protocol, scaling.
        item: the image and the instances, whose prompts are decoded together.
        features: features of the image, from `Segmenter.embed`.
        precision: "float32" or "bf16".
    """

    def __init__(
        self, model: Segmenter, source: Source, item: EvaluationImage, features: Features, precision: str
    ) -> None:
        self.model, self.item, self.features, self.precision = model, item, features, precision
        self.source, self.instances = source, scored_map(item, source)
        self.size = (self.instances.shape[0], self.instances.shape[1])
        self.smoothing = source.protocol.smoothing
        self.truth = GroundTruthMap(self.instances, model.device)

    def rows(self, plan: PromptPlan, number: int) -> Iterator[PromptRow]:
        """Scores the instances.

        Args:
            plan: prompts of the evaluation.
            number: index of the image, a part of the seed of its drawn clicks.

        Yields:
            Rows of `PROMPT_SCHEMA`.
        """
        first, curve = self._clicks(plan)
        box_masks, box_ious = self._boxes()
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
                "noc_85": clicks_until(ious, GOALS[0]),
                "noc_90": clicks_until(ious, GOALS[1]),
                "iou_box": box_ious[k],
                "iou_jitter": [step[k] for step in jitter],
                "boundary_iou": boundary_iou(first[k], truth),
                "boundary_iou_box": boundary_iou(box_masks[k], truth),
            }

    def _clicks(self, plan: PromptPlan) -> tuple[list[Mask], list[list[float]]]:
        """Returns the masks after the first click, and the IoU after each click as [click][instance]."""
        coords = self.item.point_coords
        labels = torch.ones(coords.shape[:2], dtype=torch.int64)
        clicked = [np.zeros(self.size, bool) for _ in self.item.ids]
        for index, taken in enumerate(clicked):
            x, y = click_on_map(self.item, index, self.size)
            taken[y, x] = True
        first, ious, logits = self._predict(coords, labels)
        masks, curve = first, [ious]
        for _ in range(1, plan.clicks):
            places, signs = [], []
            for mask, instance_id, taken in zip(masks, self.item.ids.tolist(), clicked, strict=True):
                (x, y), sign = next_click(mask, self.instances == instance_id, taken)
                taken[y, x] = True
                places.append((x, y))
                signs.append(sign)
            coords = torch.cat([coords, self._coords(np.array(places))[:, None]], dim=1)
            labels = torch.cat([labels, torch.tensor(signs)[:, None]], dim=1)
            before = logits[:, None] if plan.last_mask else None
            masks, ious, logits = self._predict(coords, labels, before=before)
            curve.append(ious)
        return first, curve

    def _boxes(self) -> tuple[list[Mask], list[float]]:
        boxes = bounding_boxes(self.item, self.source)
        no_clicks = torch.zeros(len(boxes), 0, 2), torch.zeros(len(boxes), 0, dtype=torch.int64)
        masks, ious, _ = self._predict(*no_clicks, boxes)
        return masks, ious

    def _jitter(self, plan: PromptPlan, number: int) -> list[list[float]]:
        """Returns the IoU of single clicks drawn uniformly in the instances, as [draw][instance]."""
        curves = []
        for draw in range(plan.jitter):
            places = []
            for index, instance_id in enumerate(self.item.ids.tolist()):
                # A generator for each draw: a click depends on no other instance and on no number of draws.
                rng = np.random.default_rng((plan.seed, number, instance_id, draw))
                pixels = np.flatnonzero(self.instances == instance_id)
                place = click_on_map(self.item, index, self.size)
                if len(pixels):
                    pixel = int(rng.choice(pixels))
                    place = np.array([pixel % self.size[1], pixel // self.size[1]])
                places.append(place)
            coords = self._coords(np.stack(places))[:, None]
            curves.append(self._predict(coords, torch.ones(coords.shape[:2], dtype=torch.int64))[1])
        return curves

    def _coords(self, pixels: NDArray[np.int64]) -> Tensor:
        return to_input_coords(pixels, self.size, self.source.input_size)

    def _predict(
        self, coords: Tensor, labels: Tensor, boxes: Tensor | None = None, before: Tensor | None = None
    ) -> tuple[list[Mask], list[float], Tensor]:
        """Predicts the masks of the instances, one prompt each, and computes their IoU.

        Args:
            coords: (instances, points, 2) in pixels of the model input.
            labels: (instances, points).
            boxes: (instances, 4), or None.
            before: (instances, 1, mask, mask) mask logits of the answers before, as prompts; or None.

        Returns:
            Masks on the map of the IoU, their IoU, and (instances, mask, mask) mask logits.
        """
        logits, _ = predict(
            self.model, self.features, coords, labels, boxes, before, precision=self.precision
        )
        predicted = threshold(logits, self.size)
        ious = self.truth.iou(predicted, self.item.ids, self.smoothing)
        # An instance without a pixel on the map counts as 0.
        return list(predicted.cpu().numpy()), [value or 0.0 for value in ious], logits
