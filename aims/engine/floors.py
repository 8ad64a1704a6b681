"""Runs of floors (methods without a model): fitted on one split, scored on the test split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from aims.core.config import RunConfig
from aims.core.errors import InputError
from aims.core.records import InstanceRow
from aims.core.vocabulary import IOU_GRID, PROTOCOLS, Protocol
from aims.data.read import Dataset
from aims.data.refs import ImageRef
from aims.engine.evaluate import mean_iou, require_rows, score_instance
from aims.engine.samples import EvaluationTargets, find_targets
from aims.engine.train import RunObserver
from aims.methods import METHODS, ClickedMap, Floor


@dataclass(frozen=True, kw_only=True)
class FloorOutcome:
    """The result of a floor's run.

    Attributes:
        chosen: fitted values by name; empty for a floor that fits nothing.
        chosen_on: split on which they were fitted; None if nothing was fitted.
        val_miou: mean IoU on the validation part, 0..1; None if the protocol has no such part.
        rows: scored test instances, with masks.
    """

    chosen: Mapping[str, float] = field(default_factory=dict)
    chosen_on: str | None = None
    val_miou: float | None = None
    rows: list[InstanceRow] = field(default_factory=list)


def run_floor(
    config: RunConfig, dataset: Dataset, refs: Mapping[str, Sequence[ImageRef]], observer: RunObserver
) -> FloorOutcome:
    """Fits a floor, if it has anything to fit, and scores it on the validation part and the test split.

    `paper` fits on the test split, on which it selects everything; `strict` fits on the training part without
    the validation part. Both use the clicks and the size rules of the evaluation.

    Args:
        config: names the floor and the protocol.
        dataset: the dataset.
        refs: images of train, test and, where the protocol has one, val.
        observer: receives the progress.

    Raises:
        AimsError: no instance can be fitted on, or none can be scored.
    """
    protocol, kind = PROTOCOLS[config.protocol], METHODS[config.method]
    if not issubclass(kind, Floor):
        raise InputError(f"method {config.method!r} has a model and is none of the floors")
    floor = kind(**config.options)

    def read(stage: str, split: str) -> Iterator[EvaluationTargets]:
        observer.stage(stage, len(refs[split]))
        yield from read_targets(dataset, refs[split], protocol, observer.advance)

    split = "test" if protocol.select_on == "test" else "train"
    try:
        chosen = fit_floor(floor, read("fit", split), protocol)
    except InputError as error:
        raise InputError(f"{dataset.name}, {split}: {error}") from None
    validated = []
    if "val" in refs:
        validated = list(score_floor(floor, read("score val", "val"), protocol, chosen, masks=False))
    rows = list(score_floor(floor, read("test", "test"), protocol, chosen, masks=True))
    return FloorOutcome(
        chosen=chosen,
        chosen_on=split if chosen else None,
        val_miou=mean_iou(validated) if validated else None,
        rows=require_rows(rows, dataset.name, protocol),
    )


def read_targets(
    dataset: Dataset, refs: Iterable[ImageRef], protocol: Protocol, on_image: Callable[[int], None]
) -> Iterator[EvaluationTargets]:
    """Reads the instances and clicks of one image at a time, without decoding any stream."""
    for ref in refs:
        image = dataset.read(ref, ())
        yield find_targets(ref, image.instances, image.objects, dataset.name, protocol)
        on_image(1)


def fit_floor(floor: Floor, images: Iterable[EvaluationTargets], protocol: Protocol) -> dict[str, float]:
    """Fits a floor on images; the iterable is consumed only by floors that fit something.

    Raises:
        InputError: the images hold nothing to fit on.
    """
    return floor.fit(clicked_map(item, protocol) for item in images)


def score_floor(
    floor: Floor,
    images: Iterable[EvaluationTargets],
    protocol: Protocol,
    chosen: Mapping[str, float],
    *,
    masks: bool,
) -> Iterator[InstanceRow]:
    """Scores every instance of sufficient size, as `aims.engine.evaluate` does for models.

    Args:
        floor: the floor.
        images: targets of the images.
        protocol: clicks, size rules, and resolutions at which the IoU is computed.
        chosen: result of `fit_floor`.
        masks: whether rows contain the predicted masks as COCO RLE.

    Yields:
        Rows of `aims.core.records.INSTANCE_SCHEMA`, in order of image and instance.
    """
    for item in images:
        grid = (IOU_GRID, IOU_GRID)
        native = (item.native.shape[0], item.native.shape[1])
        sizes = (grid, native) if protocol.at_native else (grid,)
        predicted = floor.predict(clicked_map(item, protocol), sizes, chosen)
        for index, (on_grid, *at_native) in enumerate(predicted):
            yield score_instance(item, index, on_grid, next(iter(at_native), None), protocol, masks)


def clicked_map(item: EvaluationTargets, protocol: Protocol) -> ClickedMap:
    """Returns the input of a floor: the map on which the IoU is computed, and the clicks in its pixels."""
    instances = item.native if protocol.at_native else item.grid
    height, width = item.click_size
    scale = (instances.shape[1] / width, instances.shape[0] / height)
    return ClickedMap(instances=instances, ids=item.ids, clicks=(item.clicks + 0.5) * scale - 0.5)
