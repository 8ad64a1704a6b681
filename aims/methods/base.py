"""The base classes of methods, which adapt a plain SAM to C channels, and of floors, which have no model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from aims.core.config import NO_TUNING
from aims.core.normalisation import Constants
from aims.core.registry import Registry
from aims.core.vocabulary import Modality
from aims.models.segmenter import Segmenter


class Baseline:
    """Base of the entries of `METHODS`: a `Method`, which has a model, or a `Floor`, which has none.

    Entries are frozen, keyword-only dataclasses; their fields are the options.

    Attributes:
        loads_weights: whether the method starts from pretrained weights.
        knows_rgb: whether the method knows which channels are RGB: where RGB is stacked with a sensor, they
            come first. For all other methods the order of the channels is shuffled.
        own_tuning: name of the only tuning that the method goes with, whose layers the method replaces by its
            own; None if it goes with the tunings in general.
        preferred_tuning: the default tuning with pretrained weights.
    """

    loads_weights: ClassVar[bool] = True
    knows_rgb: ClassVar[bool] = False
    own_tuning: ClassVar[str | None] = None
    preferred_tuning: ClassVar[str] = "lora"

    def tuning_objection(self, tuning: str) -> str | None:
        """Returns why the method cannot be combined with a tuning; None if it can."""
        return None

    def modality_objection(self, modality: Modality) -> str | None:
        """Returns why the method cannot be combined with a modality; None if it can."""
        return None


class Method(Baseline, ABC):
    """Base of all methods with a model."""

    @abstractmethod
    def adapt(self, model: Segmenter, channels: int) -> None:
        """Replaces layers of a plain SAM so that it takes `channels` channels.

        New layers draw their weights from torch's generator. They declare the parameters that are trainable
        under every tuning (`aims.models.trainable`); the tuning adds its own.

        Raises:
            InputError: an option or the number of channels is invalid for the method.
        """

    def fit(self, model: Segmenter, images: Iterable[Tensor], rgb: Constants) -> None:
        """Sets initial weights by the training images; by default nothing is set, and no image is read.

        A run calls it before its first step, unless it starts from the weights of another run. The result
        must depend on the images alone. Only declared parameters and buffers may be set, since a checkpoint
        holds no others.

        Args:
            model: the model that `adapt` changed, with its tuning, on the CPU.
            images: model inputs of the training part, normalised, (channels, size, size) each, read lazily.
            rgb: the constants by which photographs are normalised for the backbone.
        """


@dataclass(frozen=True, kw_only=True, eq=False)
class ClickedMap:
    """The input of a floor: the instances of an image and their clicks, without sensor data.

    Attributes:
        instances: (height, width) instance ids, on the grid on which the protocol computes IoU.
        ids: (n,) ids of the instances in ascending order; under `paper` some may be absent on its small grid.
        clicks: (n, 2) clicks (x, y) in pixels of `instances`, integers at pixel centres.
    """

    instances: NDArray[np.integer[Any]]
    ids: NDArray[np.int64]
    clicks: NDArray[np.float64]


class Floor(Baseline, ABC):
    """Base of methods without sensor data, model and weights; every learned method is compared with them."""

    loads_weights: ClassVar[bool] = False
    own_tuning: ClassVar[str | None] = NO_TUNING

    def fit(self, images: Iterable[ClickedMap]) -> dict[str, float]:
        """Chooses parameters that all images share; by default there are none, and no image is read.

        Args:
            images: the images on which the protocol permits the choice, read lazily.

        Returns:
            The parameters by name.

        Raises:
            InputError: the images have no instance.
        """
        return {}

    @abstractmethod
    def predict(
        self, image: ClickedMap, sizes: Sequence[tuple[int, int]], chosen: Mapping[str, float]
    ) -> Iterator[tuple[NDArray[np.bool_], ...]]:
        """Predicts the mask of every instance, in the order of `ids`.

        Args:
            image: the image. Its instances are the ground truth: only an upper bound may use them.
            sizes: (height, width) of the masks, to which the image is stretched.
            chosen: the result of `fit`.

        Yields:
            The masks of one instance, one for each of `sizes`.
        """

    def tuning_objection(self, tuning: str) -> str | None:
        """Refuses every tuning, as nothing is trained."""
        return None if tuning == NO_TUNING else "it trains nothing; leave the tuning out"


METHODS = Registry[type[Baseline]]("method")


def has_model(method: str) -> bool:
    """Whether a method has a model; the floors have none.

    Raises:
        InputError: the method is unknown.
    """
    return not issubclass(METHODS[method], Floor)


def renew_patch_embedding(model: Segmenter, channels: int) -> None:
    """Replaces SAM's patch embedding by a random one for `channels` channels and declares it trainable."""
    model.image_encoder.renew_stem(channels)
    model.learn_stem()
