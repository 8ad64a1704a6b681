"""What a method is: how a plain SAM is made to take images of C channels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import nn

from aims.core.registry import Registry
from aims.models.segmenter import Segmenter


class Method(ABC):
    """Base of all methods. Subclasses are frozen, keyword-only dataclasses; their fields are the options.

    Attributes:
        loads_weights: whether the method starts from pretrained weights.
    """

    loads_weights: ClassVar[bool] = True

    @abstractmethod
    def adapt(self, model: Segmenter, channels: int) -> None:
        """Exchanges layers of a plain SAM so that it takes `channels` channels.

        New layers draw their weights from torch's generator. They declare what learns under every tuning
        (`aims.models.trainable`); the tuning adds its own.
        """

    def objection(self, tuning: str) -> str | None:
        """Why the method makes no sense with a tuning; None if it does."""
        return None


METHODS = Registry[type[Method]]("method")


def renew_patch_embedding(model: Segmenter, channels: int) -> None:
    """Puts a random patch embedding for `channels` channels in place of SAM's and declares that it learns."""
    patch_embed: Any = model.get_submodule("image_encoder.patch_embed")
    old = patch_embed.proj
    patch_embed.proj = nn.Conv2d(channels, old.out_channels, old.kernel_size, stride=old.stride)
    model.learn("image_encoder.patch_embed")
