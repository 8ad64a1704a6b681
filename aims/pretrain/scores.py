"""Scores of a pretrained model for one click, and of discs, on held-out scenes and photographs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from aims.core.errors import AimsError
from aims.core.structs import Count, Share
from aims.core.vocabulary import Protocol
from aims.data.instances import split_instances, strict_clicks
from aims.engine.inputs import usable_instances
from aims.engine.samples import to_input_coords
from aims.methods import ClickedMap
from aims.methods.disc import RADII, radius_scores
from aims.models.segmenter import Segmenter
from aims.pretrain.photographs import Photographs
from aims.pretrain.pictures import normalize_rgb, picture_scenes
from aims.pretrain.settings import HELD_OUT_SEED

SCENE_FAMILIES = ("wilds", "rooms")
#: Smallest share of the image that a large instance covers; large instances have separate scores.
LARGE = 0.005
#: Side of the instance maps of held-out scenes in pixels, whatever the model's input, so that all models are
#: scored on the same instances.
SCORED_SIDE = 128

_RENDERED_AT_ONCE = 16
_PROMPTS = 64


@dataclass(frozen=True, kw_only=True)
class ClickScores:
    """Mean IoU of a model for one click, 0..1, over all instances and over the large ones."""

    miou: Share
    miou_large: Share


@dataclass(frozen=True, kw_only=True)
class DiscScores:
    """Scores of discs around the same clicks (`aims.methods.disc`).

    Attributes:
        instances: number of instances.
        large_instances: number of instances that cover at least `LARGE` of the image.
        disc: mean IoU of the radius that is best on other images.
        best_disc: mean IoU of the best radius of each instance.
        radius: radius of `disc`.
        disc_large: mean IoU over large instances, of the radius that is best on large ones of other images.
        best_disc_large: mean IoU over large instances of the best radius of each.
        radius_large: radius of `disc_large`.
    """

    instances: Count
    large_instances: Count
    disc: Share
    best_disc: Share
    radius: float
    disc_large: Share
    best_disc_large: Share
    radius_large: float


@dataclass(frozen=True, kw_only=True)
class HeldOutScores(DiscScores, ClickScores):
    """Scores of a model and of discs on one held-out set."""

    @classmethod
    def of(cls, clicks: ClickScores, discs: DiscScores) -> HeldOutScores:
        """Combines the scores of a model and of discs."""
        return cls(**vars(clicks), **vars(discs))


@dataclass(frozen=True)
class Item:
    """One held-out image.

    Attributes:
        image: RGB at the model's input size, 0..255.
        clicked: instance map at the size of the scores, with ids and clicks of the scored instances.
        large: whether each scored instance covers at least `LARGE` of the image.
    """

    image: UInt8[Tensor, "size size 3"]
    clicked: ClickedMap
    large: NDArray[np.bool_]


@dataclass(frozen=True)
class HeldOut:
    """Images that are excluded from training, and further ones on which the radius of discs is chosen.

    Attributes:
        name: "wilds", "rooms" or "photographs".
        items: images that are scored.
        others: returns the images on which the radius is chosen.
    """

    name: str
    items: tuple[Item, ...]
    others: Callable[[], Iterable[Item]]


def held_out_scenes(
    family: str, count: int, size: int, seed: int, protocol: Protocol, side: int = SCORED_SIDE
) -> HeldOut:
    """Renders held-out scenes of a family; `others` are the first scenes with the seed of the training.

    Args:
        family: name of the family.
        count: number of scenes.
        size: side of the images, which is that of the model's input.
        seed: seed of the training.
        protocol: protocol that decides which instances are scored, by their size.
        side: side of the instance maps, on which clicks are found and IoU is counted.

    Raises:
        AimsError: no scene has a large instance.
    """

    def scenes(seed: int) -> Iterator[Item]:
        for first in range(0, count, _RENDERED_AT_ONCE):
            numbers = range(first, min(first + _RENDERED_AT_ONCE, count))
            pictures, geometry = picture_scenes(family, seed, numbers, size)
            if side != size:
                _, geometry = picture_scenes(family, seed, numbers, side)
            for image, instances in zip(pictures.images, geometry.instances, strict=True):
                yield _item(image, split_instances(instances.numpy()), protocol)

    return _require_instances(HeldOut(family, tuple(scenes(HELD_OUT_SEED)), lambda: scenes(seed)))


def held_out_photographs(val: Photographs, train: Photographs, size: int, protocol: Protocol) -> HeldOut:
    """Reads validation images with the regions of the first annotator; `others` are training images.

    Images are resized to the model's square input, and scored at their own size.

    Raises:
        AimsError: no image has a large region.
    """

    def read(photographs: Photographs) -> Iterator[Item]:
        for index in range(len(photographs.names)):
            picture, (regions, *_) = photographs.read(index)
            small = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
            yield _item(torch.from_numpy(small), regions, protocol)

    return _require_instances(HeldOut("photographs", tuple(read(val)), lambda: read(train)))


def _require_instances(held_out: HeldOut) -> HeldOut:
    if not any(item.large.any() for item in held_out.items):
        raise AimsError(
            f"{held_out.name}: none of the {len(held_out.items)} held-out pictures has an instance of "
            f"{LARGE:.1%} of its area; hold out more"
        )
    return held_out


def _item(image: Tensor, instances: NDArray[Any], protocol: Protocol) -> Item:
    area = np.bincount(instances.ravel())
    area[0] = 0
    narrow = instances.astype(np.uint16)
    ids = usable_instances(narrow, protocol, "pretraining", training=False)
    # `strict_clicks` returns one click for each id that occurs.
    clicks = strict_clicks(instances)[np.isin(np.flatnonzero(area), ids)]
    clicked = ClickedMap(instances=narrow, ids=ids, clicks=clicks.astype(np.float64))
    return Item(image, clicked, area[ids] >= LARGE * instances.size)


def score(
    model: Segmenter,
    held_out: HeldOut,
    *,
    precision: str,
    before_each: Callable[[], None] = lambda: None,
) -> ClickScores:
    """Computes the mean IoU of a model for the deepest click of each instance, at the size of its map.

    Args:
        model: the model; its device is used.
        held_out: the held-out set.
        precision: "float32" or "bf16".
        before_each: called before each image; an exception from it ends the scoring.

    Returns:
        Means over the instances that the protocol of the held-out set scores.
    """
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            found = []
            for item in held_out.items:
                before_each()
                found.append(_ious(model, item, precision))
            scores = np.concatenate(found)
    finally:
        model.train(training)
    return ClickScores(miou=float(scores.mean()), miou_large=float(scores[_large(held_out.items)].mean()))


def _large(items: Sequence[Item]) -> NDArray[np.bool_]:
    return np.concatenate([item.large for item in items])


def _ious(model: Segmenter, item: Item, precision: str) -> NDArray[np.float64]:
    device = next(model.parameters()).device
    height, width = item.clicked.instances.shape
    coords = to_input_coords(item.clicked.clicks.astype(np.int64), (height, width), model.image_size).to(
        device
    )
    ids = torch.from_numpy(item.clicked.ids.astype(np.int64)).to(device)
    instances = torch.from_numpy(item.clicked.instances.astype(np.int32)).to(device)
    found = [np.zeros(0)]
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        embeddings = model.embed(normalize_rgb(item.image[None].to(device)))
        for start in range(0, len(ids), _PROMPTS):
            part = slice(start, start + _PROMPTS)
            labels = torch.ones(len(ids[part]), 1, dtype=torch.int64, device=device)
            logits, _ = model.decode(embeddings, coords[part, None], labels)
            found.append(_iou(logits, instances, ids[part]).cpu().numpy())
    return np.concatenate(found)


def _iou(logits: Tensor, instances: Tensor, ids: Tensor) -> Float[Tensor, " prompts"]:
    size = (instances.shape[0], instances.shape[1])
    masks = F.interpolate(logits.float(), size, mode="bilinear", align_corners=False)[:, 0] > 0
    truth = instances == ids[:, None, None]
    return (masks & truth).sum((1, 2)).double() / (masks | truth).sum((1, 2)).double()


def disc_scores(held_out: HeldOut) -> DiscScores:
    """Scores discs on the same instances (`aims.methods.disc`).

    Raises:
        AimsError: `others` has no large instance to choose a radius on.
    """
    found, large = _disc_table(held_out.items)
    chosen, chosen_large = _disc_table(tuple(held_out.others()))
    if not chosen_large.any():
        raise AimsError(
            f"{held_out.name}: no large instance to choose a disc's radius on; hold out more pictures"
        )
    best, best_large = int(chosen.mean(0).argmax()), int(chosen[chosen_large].mean(0).argmax())
    return DiscScores(
        instances=len(found),
        large_instances=int(large.sum()),
        disc=float(found[:, best].mean()),
        best_disc=float(found.max(1).mean()),
        radius=float(RADII[best]),
        disc_large=float(found[large][:, best_large].mean()),
        best_disc_large=float(found[large].max(1).mean()),
        radius_large=float(RADII[best_large]),
    )


def _disc_table(items: Sequence[Item]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    return np.concatenate([radius_scores(item.clicked) for item in items]), _large(items)
