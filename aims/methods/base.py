"""The base classes of methods, which adapt a plain SAM to C channels, and of floors, which have no model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from aims.core.config import NO_TUNING
from aims.core.registry import Registry
from aims.core.vocabulary import Modality
from aims.models.segmenter import Segmenter


class Baseline:
    """What `METHODS` holds: a `Method`, which has a model, or a `Floor`, which has none.

    Entries are frozen, keyword-only dataclasses; their fields are the options.

    Attributes:
        loads_weights: whether the method starts from pretrained weights.
        knows_rgb: whether the method knows which channels are RGB: where RGB is stacked with a sensor, they
            come first. For all other methods the order of the channels is shuffled.
        own_tuning: the name of the tuning that the method brings with it, if it does. It goes with no other,
            and nothing of that tuning's own is put in.
        preferred_tuning: the tuning with pretrained weights when none is asked for.
    """

    loads_weights: ClassVar[bool] = True
    knows_rgb: ClassVar[bool] = False
    own_tuning: ClassVar[str | None] = None
    preferred_tuning: ClassVar[str] = "lora"

    def tuning_objection(self, tuning: str) -> str | None:
        """Returns why the method makes no sense with a tuning; None if it does."""
        return None

    def modality_objection(self, modality: Modality) -> str | None:
        """Returns why the method makes no sense with a modality; None if it does."""
        return None


class Method(Baseline, ABC):
    """Base of all methods with a model."""

    @abstractmethod
    def adapt(self, model: Segmenter, channels: int) -> None:
        """Exchanges layers of a plain SAM so that it takes `channels` channels.

        New layers draw their weights from torch's generator. They declare what learns under every tuning
        (`aims.models.trainable`); the tuning adds its own.

        Raises:
            InputError: an option or the number of channels makes no sense.
        """


@dataclass(frozen=True, kw_only=True, eq=False)
class ClickedMap:
    """What a floor sees of an image: its instances and their clicks, no sensor data.

    Attributes:
        instances: (height, width) map on which the protocol counts its score.
        ids: (n,) instances in it, in rising order; `paper` may name some that vanish on its small grid.
        clicks: (n, 2) clicks (x, y) in pixels of the map, whole numbers at pixel centres.
    """

    instances: NDArray[np.integer[Any]]
    ids: NDArray[np.int64]
    clicks: NDArray[np.float64]


class Floor(Baseline, ABC):
    """Base of methods without sensor data, model and weights; every learned method is compared with them."""

    loads_weights: ClassVar[bool] = False
    own_tuning: ClassVar[str | None] = NO_TUNING

    def fit(self, images: Iterable[ClickedMap]) -> dict[str, float]:
        """Chooses parameters that all images share; nothing by default, without reading an image.

        Args:
            images: those on which the protocol lets one choose, read when asked for.

        Raises:
            InputError: there is nothing to choose on.
        """
        return {}

    @abstractmethod
    def predict(
        self, image: ClickedMap, sizes: Sequence[tuple[int, int]], chosen: Mapping[str, float]
    ) -> Iterator[tuple[NDArray[np.bool_], ...]]:
        """Predicts the mask of every instance, in the order of `ids`.

        Args:
            image: the image. Its instances are the ground truth: only an upper bound may use them.
            sizes: (height, width) of the maps to which the image is stretched.
            chosen: the result of `fit`.

        Yields:
            One instance's masks, one for each of `sizes`.
        """

    def tuning_objection(self, tuning: str) -> str | None:
        """None at all: nothing is trained."""
        return None if tuning == NO_TUNING else "it trains nothing; leave the tuning out"


METHODS = Registry[type[Baseline]]("method")


def has_model(method: str) -> bool:
    """Whether a method has a model; the floors have none.

    Raises:
        InputError: the method is unknown.
    """
    return not issubclass(METHODS[method], Floor)


def patch_convolution(model: Segmenter) -> nn.Conv2d:
    """The convolution of the patch embedding, whose kernel is as large as its stride."""
    convolution = model.image_encoder.patch_embed.get_submodule("proj")
    assert isinstance(convolution, nn.Conv2d)
    return convolution


def renew_patch_embedding(model: Segmenter, channels: int) -> None:
    """Puts a random patch embedding for `channels` channels in place of SAM's and declares that it learns."""
    old = patch_convolution(model)
    side, stride = (old.kernel_size[0], old.kernel_size[1]), (old.stride[0], old.stride[1])
    model.image_encoder.patch_embed.proj = nn.Conv2d(channels, old.out_channels, side, stride=stride)
    model.learn("image_encoder.patch_embed")
