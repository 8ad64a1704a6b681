"""Splits, training batches and evaluation images; items are read in worker processes if there are any."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from aims.core.errors import InputError
from aims.core.records import Preprocessing
from aims.core.vocabulary import (
    BROKEN_IMAGES,
    CLICK_GRID,
    DEFAULT_PROMPTS,
    IOU_GRID,
    TRAINING_PROMPTS,
    Modality,
    Protocol,
    TrainingPrompts,
)
from aims.core.words import count
from aims.data.dropped import dropped_lines
from aims.data.instances import paper_clicks
from aims.data.manifest import PARTS
from aims.data.read import Dataset, Image
from aims.data.refs import ImageRef
from aims.engine.inputs import Channels, click_grid, reduce_grid, to_input, usable_instances
from aims.engine.training_prompts import BoundingBox, Prompts, StepDraws

#: Share of the groups of train that is held out for validation if the dataset has no `val` split.
VALIDATION_SHARE = 0.2
# Part of the seed, so that this draw is independent of the one that holds out the validation part.
_TRAIN_IMAGES = 1


def split_images(
    dataset: Dataset, protocol: Protocol, seed: int, limit: int | None, train_images: int | None = None
) -> dict[str, tuple[ImageRef, ...]]:
    """Returns the images of train, test and, if the protocol selects on it, val.

    The validation part is the dataset's own `val` split, else a seeded fifth of the groups of train. Broken
    images are replaced or left out according to the protocol.

    Args:
        dataset: the dataset; needs the splits train and test.
        protocol: rules for broken images and for the validation part.
        seed: seed of the validation part and of the drawn training images.
        limit: number of images to keep from the start of each split; None for all.
        train_images: number of images to draw from train after the validation part is held out; with the same
            seed, a smaller number draws a subset. None for all.

    Raises:
        InputError: a split is missing or too small.
    """
    for split in ("train", "test"):
        if not dataset.index.get(split):
            held = ", ".join(dataset.index) or "none"
            raise InputError(f"{dataset.folder}: needs a {split!r} split with images; it has: {held}")
    splits = {split: _without_broken(dataset, split, protocol)[:limit] for split in dataset.index}
    parts = {"train": splits["train"], "test": splits["test"]}
    if protocol.select_on == "val":
        parts["train"], parts["val"] = (
            (splits["train"], splits["val"]) if splits.get("val") else _hold_out(splits["train"], seed)
        )
    for split, refs in parts.items():
        if not refs:
            raise InputError(f"{dataset.folder}: no image is left in {split!r}; more images are needed")
    if train_images is not None:
        parts["train"] = _draw(parts["train"], train_images, seed)
    return parts


def _draw(refs: tuple[ImageRef, ...], number: int, seed: int) -> tuple[ImageRef, ...]:
    """Draws `number` images without replacement, in their original order."""
    if number > len(refs):
        raise InputError(f"--train-images {number}: the training part has {count(len(refs), 'image')}")
    drawn = np.random.default_rng((seed, _TRAIN_IMAGES)).permutation(len(refs))[:number]
    return tuple(refs[place] for place in sorted(drawn))


def _without_broken(dataset: Dataset, split: str, protocol: Protocol) -> tuple[ImageRef, ...]:
    refs, broken = tuple(dataset.index[split]), BROKEN_IMAGES.get(dataset.name, {})
    if not broken:
        return refs
    if not protocol.replaces_broken:
        return tuple(ref for ref in refs if ref.image_id not in broken)
    everywhere = {ref.image_id: ref for images in dataset.index.values() for ref in images}
    replaced = [everywhere.get(broken.get(ref.image_id, ref.image_id), ref) for ref in refs]
    # Broken images that the conversion dropped are replaced too, at the end.
    for line in dropped_lines(dataset.folder):
        other = everywhere.get(broken.get(line.image_id, ""))
        if line.split == split and line.kind not in PARTS and other is not None:
            replaced.append(other)
    return tuple(replaced)


def _hold_out(refs: Sequence[ImageRef], seed: int) -> tuple[tuple[ImageRef, ...], tuple[ImageRef, ...]]:
    # Whole groups, so that no scene is in both parts; sorted, so that only the seed decides.
    groups = sorted({ref.group for ref in refs})
    np.random.default_rng(seed).shuffle(groups)
    held = set(groups[: max(1, round(VALIDATION_SHARE * len(groups)))])
    return (
        tuple(ref for ref in refs if ref.group not in held),
        tuple(ref for ref in refs if ref.group in held),
    )


@dataclass(frozen=True, kw_only=True)
class Source:
    """Everything that turns a reference to an image into a model input.

    Attributes:
        dataset: the dataset.
        modality: modality that the model sees.
        protocol: rules of clicks, sizes and scaling.
        preprocessing: mean, standard deviation and order of the channels.
        input_size: side of the model's square input, in pixels.
    """

    dataset: Dataset
    modality: Modality
    protocol: Protocol
    preprocessing: Preprocessing
    input_size: int

    def channels(self, image: Image) -> Channels:
        """Returns the stacked channels of an image, on the CPU."""
        return Channels.of(image.streams, self.modality.streams, self.dataset.streams, self.protocol)

    def inputs(
        self, channels: Sequence[Channels], device: torch.device
    ) -> Float[Tensor, "batch channels size size"]:
        """Returns the normalised and resized input of the model, on a device."""
        return torch.stack([to_input(each, self.preprocessing, self.input_size, device) for each in channels])


def to_input_coords(
    clicks: NDArray[np.int64] | NDArray[np.float64], grid: tuple[int, int], input_size: int
) -> Tensor:
    """Maps clicks, (x, y) pixel indices of a (height, width) grid, to pixels of the model input.

    Pixel centres map to pixel centres. Half a pixel is subtracted because SAM's prompt encoder adds it.
    """
    scale = np.array([input_size / grid[1], input_size / grid[0]])
    return torch.from_numpy((clicks + 0.5) * scale - 0.5).float()


class Batch(NamedTuple):
    """Input of one training step: images, and for each the same number of prompts with their masks.

    Images keep their own size, because resizing on the device is faster than in the workers.
    """

    image_ids: tuple[str, ...]
    images: tuple[Channels, ...]
    prompts: Prompts
    whole: int
    """Number of images of the whole batch, of which this may be one process's share."""

    def parts(self, size: int) -> Iterator[Batch]:
        """Splits the batch into batches of at most `size` images."""
        each = len(self.prompts.masks) // max(1, len(self.images))
        for first in range(0, len(self.images), size):
            part = slice(first, first + size)
            yield self._replace(
                image_ids=self.image_ids[part],
                images=self.images[part],
                prompts=self.prompts.part(slice(each * first, each * (first + size))),
            )


@dataclass(frozen=True)
class TrainingSet(TorchDataset[Batch]):
    """Training batches by key (epoch, step, indices).

    Instances and prompts are drawn from the key and the seed alone, whichever worker reads the batch. Each of
    several processes reads its share of every batch.
    """

    source: Source
    refs: tuple[ImageRef, ...]
    mask_size: int
    seed: int
    rank: int = 0
    world_size: int = 1
    clicks: int = 1
    prompts: TrainingPrompts = TRAINING_PROMPTS[DEFAULT_PROMPTS]

    def __getitem__(self, key: tuple[int, int, tuple[int, ...]]) -> Batch:
        epoch, step, indices = key
        draws = StepDraws(self.prompts, self.seed, epoch, step)
        # The seed contains the place in the whole batch: the number of processes changes no draw.
        share = list(enumerate(indices))[self.rank :: self.world_size]
        entries = [
            self._entry(
                self.refs[index], draws, place, np.random.default_rng((self.seed, epoch, step, place))
            )
            for place, index in share
        ]
        # A share may be empty, and there is nothing to join then.
        nothing = self._prompts(draws, 0, [], [], [], (1, 1))
        return Batch(
            image_ids=tuple(self.refs[index].image_id for _, index in share),
            images=tuple(channels for channels, _ in entries),
            prompts=Prompts.joined([nothing, *(prompts for _, prompts in entries)]),
            whole=len(indices),
        )

    def _entry(
        self, ref: ImageRef, draws: StepDraws, place: int, rng: np.random.Generator
    ) -> tuple[Channels, Prompts]:
        source = self.source
        image = source.dataset.read(ref, source.modality.streams)
        usable = usable_instances(image.instances, source.protocol, source.dataset.name, training=True)
        bounds = {entry["id"]: entry["bbox"] for entry in image.objects}
        clicks, drawn, boxes = [], [], []
        for instance_id in _drawn(usable, self.clicks, rng):
            chosen = click_grid(image.instances == instance_id)
            # Training clicks are uniform over the pixels of the instance, as in the paper.
            pixel = rng.choice(np.flatnonzero(chosen))
            clicks.append([pixel % CLICK_GRID, pixel // CLICK_GRID])
            drawn.append(chosen)
            boxes.append(bounds[instance_id])
        size = (image.instances.shape[0], image.instances.shape[1])
        return source.channels(image), self._prompts(draws, place, clicks, drawn, boxes, size)

    def _prompts(
        self,
        draws: StepDraws,
        place: int,
        clicks: list[list[int]],
        drawn: list[NDArray[np.bool_]],
        bounds: list[BoundingBox],
        size: tuple[int, int],
    ) -> Prompts:
        """Returns the prompts of an image.

        Args:
            draws: the random numbers of the step.
            place: index of the image in the whole batch.
            clicks: clicks in its drawn instances, (x, y) on the grid.
            drawn: masks of these instances on the grid.
            bounds: their bounding boxes in pixels of the image.
            size: (height, width) of the image.
        """
        source, grid = self.source, (CLICK_GRID, CLICK_GRID)
        boxes, lots = draws.of_image(place, bounds, size)
        coords = to_input_coords(np.array(clicks, np.int64).reshape(-1, 1, 2), grid, source.input_size)
        corners = to_input_coords(boxes, size, source.input_size).flatten(1)
        masks = [reduce_grid(each, self.mask_size, source.protocol) for each in drawn]
        return Prompts(
            point_coords=coords[:, :0] if draws.boxes_first else coords,
            masks=torch.from_numpy(np.array(masks, np.float32).reshape(-1, self.mask_size, self.mask_size)),
            boxes=corners if draws.boxes_first else None,
            lots=torch.from_numpy(lots),
            with_mask=draws.with_mask,
        )


def _drawn(usable: NDArray[np.int64], count: int, rng: np.random.Generator) -> Iterator[int]:
    """Draws `count` instance ids; none is drawn again before each was drawn once."""
    left: list[int] = []
    for _ in range(count):
        left = left or usable.tolist()
        yield left.pop(left.index(int(rng.choice(left))))


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The order in which images are visited, starting at any step of any epoch."""

    images: int
    batch_size: int
    epochs: int
    shuffle: bool
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps per epoch; the last batch may be smaller."""
        return -(-self.images // self.batch_size)

    def batches(self, epoch: int, step: int) -> Iterator[tuple[int, int, tuple[int, ...]]]:
        """Yields the keys of `TrainingSet` for all batches from a step of an epoch to the last epoch."""
        while epoch < self.epochs:
            order = np.arange(self.images)
            if self.shuffle:
                # Seeded per epoch, so that a resumed run visits the images in the same order.
                order = np.random.default_rng((self.seed, epoch)).permutation(order)
            for k in range(step, self.steps_per_epoch):
                part = order[k * self.batch_size : (k + 1) * self.batch_size]
                yield epoch, k, tuple(part.tolist())
            epoch, step = epoch + 1, 0


@dataclass(frozen=True, kw_only=True)
class EvaluationTargets:
    """The scored instances of one image with their clicks.

    Attributes:
        ref: reference to the image.
        ids: ids of the instances, ascending.
        clicks: (instances, 2) pixel indices (x, y) on a map of `click_size`.
        click_size: (height, width) of the map on which the clicks were placed.
        grid: instance map at 256 x 256.
        native: instance map at the resolution of the image.
        class_ids: class of each instance in `ids`.
        areas: number of pixels of each instance in `ids`, at the resolution of the image.
    """

    ref: ImageRef
    ids: NDArray[np.int64]
    clicks: NDArray[np.int64]
    click_size: tuple[int, int]
    grid: NDArray[np.uint16]
    native: NDArray[np.uint16]
    class_ids: list[int]
    areas: list[int]


def find_targets(
    ref: ImageRef,
    instances: NDArray[np.uint16],
    objects: Sequence[Mapping[str, Any]],
    dataset: str,
    protocol: Protocol,
) -> EvaluationTargets:
    """Finds the instances that a protocol scores in an image, and their clicks.

    Args:
        ref: reference to the image.
        instances: (height, width) instance map.
        objects: `objects` of the image in the dataset.
        dataset: name of the dataset, on which the smallest area may depend.
        protocol: rules of clicks and sizes.
    """
    grid = click_grid(instances)
    ids = usable_instances(instances, protocol, dataset, training=False)
    by_id = {entry["id"]: entry for entry in objects}
    if protocol.click == "middle":
        # The paper's click is the middle pixel on the 1024 x 1024 grid: the stored `click_paper` is in pixels
        # of the image.
        kept = np.where(np.isin(grid, ids), grid, 0)
        clicks, size = paper_clicks(kept), (CLICK_GRID, CLICK_GRID)
    else:
        clicks = np.array([by_id[k]["click_strict"] for k in ids.tolist()], np.int64).reshape(-1, 2)
        size = instances.shape[0], instances.shape[1]
    return EvaluationTargets(
        ref=ref,
        ids=ids,
        clicks=clicks,
        click_size=size,
        grid=reduce_grid(grid, IOU_GRID, protocol),
        native=instances,
        class_ids=[by_id[k]["class_id"] for k in ids.tolist()],
        areas=[by_id[k]["area"] for k in ids.tolist()],
    )


@dataclass(frozen=True, kw_only=True)
class EvaluationImage(EvaluationTargets):
    """The input of a model for one evaluated image, and its targets.

    Attributes:
        image: stacked channels of the image.
        point_coords: clicks in pixels of the model input.
    """

    image: Channels
    point_coords: Float[Tensor, "instances 1 2"]

    def some(self, part: slice) -> EvaluationImage:
        """Returns the image with some of its instances alone."""
        names = ("ids", "clicks", "class_ids", "areas", "point_coords")
        return dataclasses.replace(self, **{name: getattr(self, name)[part] for name in names})

    def pin_memory(self) -> EvaluationImage:
        """Page-locks the tensors; called by PyTorch's `DataLoader`."""
        return dataclasses.replace(
            self, image=self.image.pinned(), point_coords=self.point_coords.pin_memory()
        )


@dataclass(frozen=True)
class EvaluationSet(TorchDataset[EvaluationImage]):
    """Images to evaluate, with their targets, by index."""

    source: Source
    refs: tuple[ImageRef, ...]

    def __len__(self) -> int:
        return len(self.refs)

    def __getitem__(self, index: int) -> EvaluationImage:
        source, ref = self.source, self.refs[index]
        image = source.dataset.read(ref, source.modality.streams)
        found = find_targets(ref, image.instances, image.objects, source.dataset.name, source.protocol)
        coords = to_input_coords(found.clicks, found.click_size, source.input_size)
        return EvaluationImage(
            **vars(found),
            image=source.channels(image),
            point_coords=coords[:, None],
        )
