"""Average precision and recall of all objects that a run's model finds without a prompt."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from aims.core.evaluations import EVERYTHING, EverythingScores
from aims.core.files import write_json
from aims.core.vocabulary import find_protocol
from aims.data.verified import require_verified
from aims.engine.inputs import usable_instances
from aims.engine.masks import encode_mask
from aims.engine.restore import dataset_of, load_record
from aims.engine.samples import split_images
from aims.prediction.instances import Instances
from aims.prediction.load import load
from aims.prediction.options import Everything

#: Most objects of a picture that count, by falling rank. COCO's is 100, which tiles of cells exceed.
MOST = 1000
# Places in COCOeval's arrays.
_ALL_SIZES, _AT_MOST, _IOU_50, _IOU_75 = 0, 2, 0, 5


def evaluate_everything(
    folder: Path,
    data: Path,
    options: Everything,
    *,
    weights: Path | None = None,
    device: str = "auto",
    trust: bool = False,
    on_total: Callable[[int], None] = lambda images: None,
    on_image: Callable[[int], None] = lambda images: None,
) -> EverythingScores:
    """Finds all objects of the test images of a run and scores them; writes `EVERYTHING` beside its record.

    Args:
        folder: folder of a finished run.
        data: a converted dataset, or a folder of several, with the run's.
        options: grid and thresholds.
        weights: the pretrained weights that the run started from; None to find them.
        device: "auto", "cpu", "cuda" or "cuda:N".
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
    protocol = find_protocol(config.protocol)
    model = load(folder, weights=weights, device=device)
    refs = split_images(dataset, protocol, config.seed, config.limit)["test"]
    on_total(len(refs))
    truths: list[tuple[NDArray[np.uint16], NDArray[np.int64]]] = []
    found: list[Instances] = []
    for ref in refs:
        image = dataset.read(ref, tuple(model.rules.streams))
        usable = usable_instances(image.instances, protocol, dataset.name, training=False)
        truths.append((image.instances, usable))
        found.append(model.everything(image, options))
        on_image(1)
    scores = average_precision(truths, found, options)
    scores = msgspec.structs.replace(scores, trained_on=config.trained_on)
    said = {"run": config.run_name, **asdict(options), **msgspec.to_builtins(scores)}
    write_json(folder / EVERYTHING, said)
    return scores


def average_precision(
    truths: Sequence[tuple[NDArray[np.uint16], NDArray[np.int64]]],
    found: Sequence[Instances],
    options: Everything,
) -> EverythingScores:
    """Scores objects with pycocotools' COCOeval.

    Args:
        truths: for each image its instance map, and the ids that count.
        found: the objects of each image.
        options: the options with which they were found, which rank them.
    """
    annotations: list[dict[str, Any]] = []
    for image, (instances, usable) in enumerate(truths):
        for number in np.unique(instances[instances > 0]).tolist():
            mask = instances == number
            entry = {"segmentation": encode_mask(mask), "area": int(mask.sum()), "bbox": [0, 0, 1, 1]}
            # COCO's crowds: what is found on them counts neither way.
            entry["iscrowd"] = int(number not in usable)
            annotations.append({"id": len(annotations) + 1, "image_id": image, "category_id": 1, **entry})
    results = [
        {"image_id": image, "category_id": 1, "segmentation": rle, "score": float(rank)}
        for image, instances_found in enumerate(found)
        for rle, rank in zip(instances_found.rles, options.ranks(instances_found), strict=True)
    ]
    images = [
        {"id": k, "height": truth.shape[0], "width": truth.shape[1]} for k, (truth, _) in enumerate(truths)
    ]
    counted = sum(1 - entry["iscrowd"] for entry in annotations)
    precision, recall = _evaluate(images, annotations, results) if results and counted else (None, None)

    def mean(values: NDArray[np.float64] | None) -> float:
        return 0.0 if values is None else float(np.mean(values))

    return EverythingScores(
        ap=mean(precision),
        ap_50=mean(None if precision is None else precision[_IOU_50]),
        ap_75=mean(None if precision is None else precision[_IOU_75]),
        recall=mean(recall),
        instances=counted,
        objects=len(results),
        images=len(images),
    )


def _evaluate(
    images: Sequence[Mapping[str, Any]],
    annotations: Sequence[Mapping[str, Any]],
    results: list[dict[str, Any]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns COCOeval's precision (thresholds, recalls) and recall (thresholds,)."""
    # pycocotools prints what it does.
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {"images": [*images], "annotations": [*annotations], "categories": [{"id": 1}]}
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "segm")
        evaluation.params.useCats = 0
        evaluation.params.maxDets = [1, 10, MOST]
        evaluation.evaluate()
        evaluation.accumulate()
    precision: NDArray[np.float64] = evaluation.eval["precision"][:, :, 0, _ALL_SIZES, _AT_MOST]
    recall: NDArray[np.float64] = evaluation.eval["recall"][:, 0, _ALL_SIZES, _AT_MOST]
    return precision, recall
