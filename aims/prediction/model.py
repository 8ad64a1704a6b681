"""A trained model that answers prompts on recordings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F

from aims.core.errors import InputError
from aims.engine.evaluate import PIXELS, PROMPTS, predict_masks
from aims.engine.masks import resize, threshold
from aims.engine.samples import to_input_coords
from aims.models.features import Features
from aims.models.segmenter import Segmenter
from aims.prediction.inputs import InputRules, Recording, as_array
from aims.prediction.instances import Instances

if TYPE_CHECKING:
    from aims.prediction.options import Everything

# Logits of a mask prompt that is given as a mask rather than as logits.
_SURE = 10.0


@dataclass(frozen=True, kw_only=True)
class Masks:
    """The answers to prompts on one picture.

    Attributes:
        masks: (objects, height, width) bool, at the picture's own size.
        scores: (objects,) float32, the IoU that the model predicts for each mask.
        mask_logits: (objects, mask, mask) float32, before the threshold of 0, at the size at which the model
            predicts; a `mask` prompt of a further question.
    """

    masks: NDArray[np.bool_]
    scores: NDArray[np.float32]
    mask_logits: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.masks)

    @cached_property
    def logits(self) -> NDArray[np.float32]:
        """(objects, height, width) float32 logits at the picture's own size."""
        logits = torch.from_numpy(self.mask_logits)
        return resize(logits, (self.masks.shape[1], self.masks.shape[2])).numpy()

    def instances(self) -> Instances:
        """Returns the masks as objects of the picture."""
        return Instances.of(self.masks, self.scores)


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """An encoded picture, which answers any number of prompts.

    Attributes:
        model: the model that encoded it.
        features: of one image, from `Segmenter.embed`, on the model's device.
        size: (height, width) of the picture.
    """

    model: Model
    features: Features
    size: tuple[int, int]

    def predict(
        self,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        boxes: ArrayLike | None = None,
        mask: ArrayLike | None = None,
    ) -> Masks:
        """Answers prompts; see `Model.predict`."""
        prompts = _Prompts.of(self, points, labels, boxes, mask)
        parts = []
        for part in prompts.parts(_at_once(self.size)):
            logits, scores = self.decode(part)
            parts.append((threshold(logits, self.size), scores, logits))
        masks, ious, low = (torch.cat(each).cpu().numpy() for each in zip(*parts, strict=True))
        return Masks(masks=masks, scores=ious, mask_logits=low)

    def decode(self, prompts: _Prompts) -> tuple[Tensor, Tensor]:
        """Returns mask logits (objects, mask, mask) and predicted IoU (objects,) on the model's device."""
        with torch.inference_mode():
            logits, scores = predict_masks(
                self.model.segmenter,
                self.features,
                prompts.coords,
                prompts.labels,
                prompts.boxes,
                prompts.masks,
                precision=self.model.precision,
            )
        return logits[:, 0], scores[:, 0]


class Model:
    """A promptable model of one sensor, with the rules that turn recordings into its inputs.

    `aims.load` makes it. Coordinates are (x, y) in pixels of the recording, where (0, 0) is the centre of the
    first pixel.

    Attributes:
        segmenter: the network, in evaluation mode on its device.
        rules: from recordings to inputs.
        name: name of the run, for messages and files.
        precision: "float32" or "bf16" (autocast).

    Examples:
        >>> import aims, numpy as np
        >>> model = aims.load("runs/shapes-thermal-simcmf-lora-strict-2-s0-02bd82f848")  # doctest: +SKIP
        >>> found = model.predict("thermal/0001.png", points=[[60, 40]])  # doctest: +SKIP
        >>> found.masks.shape, found.scores  # doctest: +SKIP
        ((1, 96, 128), array([0.87], dtype=float32))
    """

    def __init__(
        self, segmenter: Segmenter, rules: InputRules, *, name: str, precision: str = "float32"
    ) -> None:
        self.segmenter = segmenter.eval()
        self.rules = rules
        self.name = name
        self.precision = precision

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        return self.segmenter.device

    def embed(self, recording: Recording, *, channels: Sequence[int] | None = None) -> Embedding:
        """Encodes a recording once, for any number of prompts.

        Args:
            recording: an array (height, width) or (height, width, channels) of numbers as the sensor stores
                them, or a file; for models of several streams, a mapping from stream to these; or an image
                of `aims.open`.
            channels: channels to take from the array or file, counted from 0; None for all.

        Raises:
            InputError: the recording is none of the model's sensor (`InputRules.read`).
        """
        return self.embed_arrays(self.rules.read(recording, channels=channels))

    def embed_arrays(self, arrays: dict[str, NDArray[Any]]) -> Embedding:
        """Encodes what `InputRules.read` has returned, or a part of it."""
        inputs = self.rules.tensor(arrays, self.device)
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"),
        ):
            features = self.segmenter.embed(inputs)
        height, width = next(iter(arrays.values())).shape[:2]
        return Embedding(model=self, features=features, size=(height, width))

    def predict(
        self,
        recording: Recording | Embedding,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        boxes: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        *,
        channels: Sequence[int] | None = None,
    ) -> Masks:
        """Answers prompts, one object each, on a recording.

        Args:
            recording: see `embed`; or its result.
            points: (objects, 2) one click an object, or (objects, points, 2) several.
            labels: (objects,) or (objects, points): 1 for a click on the object, 0 for one beside it, -1 for
                padding, which is not without effect on SAM; by default 1.
            boxes: (objects, 4) left, top, right, bottom, in pixels that belong to the object; or (4,).
            mask: (objects, mask, mask) `mask_logits` of an earlier answer, or (objects, height, width) bool
                or logits.
            channels: see `embed`.

        Raises:
            InputError: there is no prompt, the numbers of prompts differ, or one lies outside the picture.
        """
        embedding = (
            recording if isinstance(recording, Embedding) else self.embed(recording, channels=channels)
        )
        return embedding.predict(points, labels, boxes, mask)

    def everything(
        self,
        recording: Recording | Embedding,
        options: Everything | None = None,
        *,
        channels: Sequence[int] | None = None,
    ) -> Instances:
        """Finds all objects of a recording from a grid of clicks; see `aims.prediction.everything`.

        Args:
            recording: see `embed`. An `Embedding` serves where `options.crop_layers` is 0.
            options: grid and thresholds; None for the defaults.
            channels: see `embed`.
        """
        from aims.prediction.everything import segment_everything
        from aims.prediction.options import Everything

        options = options or Everything()
        if isinstance(recording, Embedding):
            return segment_everything(recording, None, options)
        arrays = self.rules.read(recording, channels=channels)
        return segment_everything(self.embed_arrays(arrays), arrays, options)


@dataclass(frozen=True, kw_only=True)
class _Prompts:
    """Prompts in pixels of the model input, one object each."""

    coords: Float[Tensor, "objects points 2"]
    labels: Int[Tensor, "objects points"]
    boxes: Float[Tensor, "objects 4"] | None = None
    masks: Float[Tensor, "objects 1 mask mask"] | None = None

    def parts(self, size: int) -> Iterator[_Prompts]:
        """Splits the prompts into parts of at most `size`."""
        for first in range(0, len(self.coords), size):
            part = slice(first, first + size)
            yield _Prompts(
                coords=self.coords[part],
                labels=self.labels[part],
                boxes=None if self.boxes is None else self.boxes[part],
                masks=None if self.masks is None else self.masks[part],
            )

    @classmethod
    def of(
        cls,
        embedding: Embedding,
        points: ArrayLike | None,
        labels: ArrayLike | None,
        boxes: ArrayLike | None,
        mask: ArrayLike | None,
    ) -> _Prompts:
        """Checks prompts and maps them to the model's input."""
        size, side = embedding.size, embedding.model.rules.size
        clicks, signs = _clicks(points, labels, size)
        corners = None if boxes is None else _boxes(boxes, size)
        masks = None if mask is None else _masks(mask, size, embedding.model)
        counts = {len(each) for each in (clicks, corners, masks) if each is not None}
        if not counts:
            raise InputError("no prompt: give points, boxes or mask")
        if len(counts) > 1:
            text = ", ".join(map(str, sorted(counts)))
            raise InputError(f"points, boxes and mask are of {text} objects; give as many of each")
        (objects,) = counts
        if not objects:
            raise InputError("no prompt: points, boxes or mask are empty")
        if clicks is None:
            clicks, signs = np.zeros((objects, 0, 2)), np.zeros((objects, 0), np.int64)
        return cls(
            coords=_to_input(clicks, size, side),
            labels=torch.from_numpy(signs),
            boxes=None if corners is None else _to_input(corners, size, side).flatten(1),
            masks=masks,
        )


def _at_once(size: tuple[int, int]) -> int:
    """Number of prompts whose logits fit into memory at the size of the picture."""
    return max(1, min(PROMPTS, PIXELS // (size[0] * size[1])))


def _to_input(pixels: NDArray[np.float64], size: tuple[int, int], side: int) -> Tensor:
    return to_input_coords(pixels.reshape(-1, 2), size, side).reshape(pixels.shape)


def _clicks(
    points: ArrayLike | None, labels: ArrayLike | None, size: tuple[int, int]
) -> tuple[NDArray[np.float64] | None, NDArray[np.int64]]:
    if points is None:
        if labels is not None:
            raise InputError("labels without points; give both")
        return None, np.zeros((0, 0), np.int64)
    clicks = _numbers(points, "points")
    clicks = clicks[:, None] if clicks.ndim == 2 else clicks
    if clicks.ndim != 3 or clicks.shape[2] != 2 or not clicks.shape[1]:
        raise InputError(f"points of shape {np.shape(points)}; give (objects, 2) or (objects, points, 2)")
    signs = np.ones(clicks.shape[:2], np.int64)
    if labels is not None:
        given = _numbers(labels, "labels")
        given = given[:, None] if given.ndim == 1 else given
        if given.shape != signs.shape or not np.isin(given, (-1, 0, 1)).all():
            raise InputError(f"labels must be 1, 0 or -1 and of shape {signs.shape}, as the points")
        signs = given.astype(np.int64)
    _require_inside(clicks[signs >= 0], size, "point")
    return clicks, signs


def _boxes(boxes: ArrayLike, size: tuple[int, int]) -> NDArray[np.float64]:
    corners = np.atleast_2d(_numbers(boxes, "boxes"))
    if corners.ndim != 2 or corners.shape[1] != 4:
        raise InputError(f"boxes of shape {np.shape(boxes)}; give (objects, 4): left, top, right, bottom")
    corners = corners.reshape(-1, 2, 2)
    wrong = (corners[:, 0] > corners[:, 1]).any(1)
    if wrong.any():
        box = corners[wrong][0].ravel().tolist()
        raise InputError(f"box {box}: left and top must not exceed right and bottom")
    _require_inside(corners.reshape(-1, 2), size, "corner of a box")
    return corners


def _masks(mask: ArrayLike, size: tuple[int, int], model: Model) -> Tensor:
    array = as_array(mask, "mask")
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3 or array.dtype.kind not in "bf":
        raise InputError(
            f"mask of shape {np.shape(mask)} and {array.dtype}; give (objects, height, width) bool or logits"
        )
    if array.dtype.kind == "b":
        if array.shape[1:] != size:
            raise InputError(f"mask of {array.shape[1:]} pixels, the picture has {size}")
        logits = torch.from_numpy(np.where(array, _SURE, -_SURE).astype(np.float32))
        return F.interpolate(logits[:, None], model.segmenter.mask_prompt_size, mode="area")
    if array.shape[1:] != size and (array.shape[1] != array.shape[2] or not array.shape[1]):
        raise InputError(
            f"mask of {array.shape[1:]} logits; give the mask_logits of an answer, or logits of {size}"
        )
    if not np.isfinite(array).all():
        raise InputError("mask holds a value that is not finite")
    return torch.from_numpy(array.astype(np.float32))[:, None]


def _numbers(values: ArrayLike, what: str) -> NDArray[np.float64]:
    array = as_array(values, what)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{what} are no array of numbers, but one of {array.dtype}")
    if not np.isfinite(array).all():
        raise InputError(f"{what} hold a value that is not finite")
    return array.astype(np.float64)


def _require_inside(pixels: NDArray[np.float64], size: tuple[int, int], what: str) -> None:
    height, width = size
    outside = ((pixels < -0.5) | (pixels > np.array([width, height]) - 0.5)).any(-1)
    if outside.any():
        x, y = pixels[outside][0].tolist()
        raise InputError(
            f"{what} ({x:g}, {y:g}) lies outside the picture, which is {width} wide and {height} high"
        )
