"""What a method is: how a plain SAM is made to take images of C channels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import nn

from aims.core.registry import Registry
from aims.core.vocabulary import Modality
from aims.models.segmenter import Segmenter


class Method(ABC):
    """Base of all methods. Subclasses are frozen, keyword-only dataclasses; their fields are the options.

    Attributes:
        loads_weights: whether the method starts from pretrained weights.
        knows_rgb: whether it is told which channels are RGB: where RGB is stacked with a sensor, they come
            first. For all others the order is shuffled.
        own_tuning: the name of the tuning that the method brings with it, if it does. It goes with no other,
            and nothing of that tuning's own is put in.
        preferred_tuning: the tuning with pretrained weights when none is asked for.
    """

    loads_weights: ClassVar[bool] = True
    knows_rgb: ClassVar[bool] = False
    own_tuning: ClassVar[str | None] = None
    preferred_tuning: ClassVar[str] = "lora"

    @abstractmethod
    def adapt(self, model: Segmenter, channels: int) -> None:
        """Exchanges layers of a plain SAM so that it takes `channels` channels.

        New layers draw their weights from torch's generator. They declare what learns under every tuning
        (`aims.models.trainable`); the tuning adds its own.

        Raises:
            InputError: an option or the number of channels makes no sense.
        """

    def tuning_objection(self, tuning: str) -> str | None:
        """Why the method makes no sense with a tuning; None if it does."""
        return None

    def modality_objection(self, modality: Modality) -> str | None:
        """Why the method makes no sense with a modality; None if it does."""
        return None


METHODS = Registry[type[Method]]("method")


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
