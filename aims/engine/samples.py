"""Training batches and test images, read by worker processes where there are some."""

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
from aims.core.vocabulary import BROKEN_IMAGES, CLICK_GRID, IOU_GRID, Modality, Protocol
from aims.data.dropped import dropped_lines
from aims.data.instances import paper_clicks
from aims.data.read import Dataset, Image, ImageRef
from aims.engine.inputs import Channels, click_grid, reduce_grid, to_input, usable_instances

#: Share of the training part that is held out for validation where the set has no such split.
VALIDATION_SHARE = 0.2
# Tells this draw apart from the one that holds out the validation part.
_TRAIN_IMAGES = 1


def split_images(
    dataset: Dataset, protocol: Protocol, seed: int, limit: int | None, train_images: int | None = None
) -> dict[str, tuple[ImageRef, ...]]:
    """The images of train, test and, where the protocol selects on it, val.

    The validation part is the set's own `val` split, else a seeded fifth of train by group. Broken images are
    replaced or left out, as the protocol says.

    Args:
        dataset: the dataset; needs the splits train and test.
        protocol: decides on broken images and on the validation part.
        seed: of the validation part, and of the images that are trained on.
        limit: only the first so many images of each split.
        train_images: only so many images of train, drawn after the validation part is held out; a smaller
            number of the same seed draws some of the same. None for all.

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


def _draw(refs: tuple[ImageRef, ...], count: int, seed: int) -> tuple[ImageRef, ...]:
    """Draws images, and keeps their order."""
    if count > len(refs):
        raise InputError(f"--train-images {count}: only {len(refs)} images are there to train on")
    drawn = np.random.default_rng((seed, _TRAIN_IMAGES)).permutation(len(refs))[:count]
    return tuple(refs[place] for place in sorted(drawn))


def _without_broken(dataset: Dataset, split: str, protocol: Protocol) -> tuple[ImageRef, ...]:
    refs, broken = dataset.index[split], BROKEN_IMAGES.get(dataset.name, {})
    if not broken:
        return refs
    if not protocol.replaces_broken:
        return tuple(ref for ref in refs if ref.image_id not in broken)
    everywhere = {ref.image_id: ref for images in dataset.index.values() for ref in images}
    replaced = [everywhere.get(broken.get(ref.image_id, ref.image_id), ref) for ref in refs]
    # Those that could not even be converted are replaced too, at the end.
    for line in dropped_lines(dataset.folder):
        other = everywhere.get(broken.get(line.image_id, ""))
        if line.split == split and line.kind != "object" and other is not None:
            replaced.append(other)
    return tuple(replaced)


def _hold_out(refs: Sequence[ImageRef], seed: int) -> tuple[tuple[ImageRef, ...], tuple[ImageRef, ...]]:
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
        modality: what the model sees.
        protocol: clicks, sizes, scaling.
        preprocessing: scaling constants.
        input_size: side of the model's square input.
    """

    dataset: Dataset
    modality: Modality
    protocol: Protocol
    preprocessing: Preprocessing
    input_size: int

    def channels(self, image: Image) -> Channels:
        """Returns the channels that the model sees of an image, in memory of the CPU."""
        return Channels.of(image, self.dataset, self.modality, self.protocol)

    def inputs(
        self, channels: Sequence[Channels], device: torch.device
    ) -> Float[Tensor, "batch channels size size"]:
        """Returns the model's input, on its device."""
        return torch.stack([to_input(each, self.preprocessing, self.input_size, device) for each in channels])


def to_input_coords(clicks: NDArray[np.int64], grid: tuple[int, int], input_size: int) -> Tensor:
    """Moves clicks, as pixel indices (x, y) of a (height, width) grid, to pixels of the model input.

    Pixel centres are mapped to pixel centres; SAM's prompt encoder adds the half pixel itself.
    """
    scale = np.array([input_size / grid[1], input_size / grid[0]])
    return torch.from_numpy((clicks + 0.5) * scale - 0.5).float()


class Batch(NamedTuple):
    """One training step: images, and for each equally many clicks and their instances' masks.

    Images keep their own size: workers would be slower at stretching them than the device.
    """

    image_ids: tuple[str, ...]
    images: tuple[Channels, ...]
    point_coords: Float[Tensor, "prompts 1 2"]
    masks: Float[Tensor, "prompts mask mask"]
    whole: int
    """Images of the whole batch, of which this may be one process's share."""

    def parts(self, size: int) -> Iterator[Batch]:
        """Splits the batch into batches of at most `size` images."""
        clicks = len(self.masks) // max(1, len(self.images))
        for first in range(0, len(self.images), size):
            part, prompts = slice(first, first + size), slice(clicks * first, clicks * (first + size))
            yield self._replace(
                image_ids=self.image_ids[part],
                images=self.images[part],
                point_coords=self.point_coords[prompts],
                masks=self.masks[prompts],
            )


@dataclass(frozen=True)
class TrainingSet(TorchDataset[Batch]):
    """Batches by (epoch, step, indices): what is drawn depends on these and the seed, not on the reader.

    Each of several processes reads its share of every batch.
    """

    source: Source
    refs: tuple[ImageRef, ...]
    mask_size: int
    seed: int
    rank: int = 0
    world_size: int = 1
    clicks: int = 1

    def __getitem__(self, key: tuple[int, int, tuple[int, ...]]) -> Batch:
        epoch, step, indices = key
        share = list(enumerate(indices))[self.rank :: self.world_size]
        entries = [
            self._entry(self.refs[index], np.random.default_rng((self.seed, epoch, step, place)))
            for place, index in share
        ]
        coords = [torch.empty(0, 1, 2), *(coords for _, coords, _ in entries)]
        masks = [torch.empty(0, self.mask_size, self.mask_size), *(masks for _, _, masks in entries)]
        return Batch(
            image_ids=tuple(self.refs[index].image_id for _, index in share),
            images=tuple(channels for channels, _, _ in entries),
            point_coords=torch.cat(coords),
            masks=torch.cat(masks),
            whole=len(indices),
        )

    def _entry(self, ref: ImageRef, rng: np.random.Generator) -> tuple[Channels, Tensor, Tensor]:
        source = self.source
        image = source.dataset.read(ref, source.modality.streams)
        usable = usable_instances(image.instances, source.protocol, source.dataset.name, training=True)
        clicks, masks = [], []
        for instance_id in _drawn(usable, self.clicks, rng):
            chosen = click_grid(image.instances == instance_id)
            pixel = rng.choice(np.flatnonzero(chosen))
            clicks.append([pixel % CLICK_GRID, pixel // CLICK_GRID])
            masks.append(reduce_grid(chosen, self.mask_size, source.protocol))
        return (
            source.channels(image),
            to_input_coords(np.array(clicks), (CLICK_GRID, CLICK_GRID), source.input_size)[:, None],
            torch.from_numpy(np.stack(masks).astype(np.float32)),
        )


def _drawn(usable: NDArray[np.int64], count: int, rng: np.random.Generator) -> Iterator[int]:
    """Draws instances one by one: each once before any comes again."""
    left: list[int] = []
    for _ in range(count):
        left = left or usable.tolist()
        yield left.pop(left.index(int(rng.choice(left))))


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The order in which images are visited, from any step of any epoch on."""

    images: int
    batch_size: int
    epochs: int
    shuffle: bool
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch; the last batch may be smaller."""
        return -(-self.images // self.batch_size)

    def batches(self, epoch: int, step: int) -> Iterator[tuple[int, int, tuple[int, ...]]]:
        """Keys of all batches that remain, across epochs."""
        while epoch < self.epochs:
            order = np.arange(self.images)
            if self.shuffle:
                order = np.random.default_rng((self.seed, epoch)).permutation(order)
            for k in range(step, self.steps_per_epoch):
                part = order[k * self.batch_size : (k + 1) * self.batch_size]
                yield epoch, k, tuple(part.tolist())
            epoch, step = epoch + 1, 0


@dataclass(frozen=True, kw_only=True)
class EvaluationTargets:
    """The scored instances of one image with their clicks.

    Attributes:
        ref: where it comes from.
        ids: instance ids, in order.
        clicks: (x, y) as pixel indices of `click_size`.
        click_size: (height, width) of the map on which the clicks were placed.
        grid: instance map at 256 x 256.
        native: instance map at the picture's size.
        class_ids: class of each id in `ids`.
        areas: pixels of each id at the picture's size.
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
        ref: where the image comes from.
        instances: (height, width) map.
        objects: the dataset's `objects` of it.
        dataset: name of the dataset, which may decide on the smallest size.
        protocol: clicks and sizes.
    """
    grid = click_grid(instances)
    ids = usable_instances(instances, protocol, dataset, training=False)
    by_id = {entry["id"]: entry for entry in objects}
    if protocol.click == "middle":
        # This click is the middle pixel of the stretched map, not of the picture.
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
    """One image as a model is evaluated on it.

    Attributes:
        image: its channels.
        point_coords: the clicks in pixels of the model input.
    """

    image: Channels
    point_coords: Float[Tensor, "instances 1 2"]

    def pin_memory(self) -> EvaluationImage:
        """Page-locks the tensors; called by torch's loader."""
        return dataclasses.replace(
            self, image=self.image.pinned(), point_coords=self.point_coords.pin_memory()
        )


@dataclass(frozen=True)
class EvaluationSet(TorchDataset[EvaluationImage]):
    """Test images in order."""

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
