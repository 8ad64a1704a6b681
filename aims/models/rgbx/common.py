"""The base of the encoders of ViPT and CMX: images with RGB first, and a second patch embedding."""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aims.core.errors import InputError
from aims.core.vocabulary import Modality
from aims.models.encoder import ImageEncoder, PlainEncoder

#: Number of RGB channels, the first of an image; all channels after them, X, are the sensor's.
RGB = 3


def rgb_objection(modality: Modality) -> str | None:
    """Returns why images of a modality are not RGB followed by a sensor's channels; None if they are."""
    if modality.mixes_rgb and modality.streams[0] == "rgb":
        return None
    return (
        "it fuses RGB with a sensor, and takes RGB first and the sensor's channels after it, as rgb-depth has"
    )


class RGBXEncoder(PlainEncoder):
    """A backbone's image encoder with a second patch embedding for X; subclasses combine the streams.

    The second patch embedding starts as a copy of the backbone's, which takes three channels. As in ViPT and
    CMX, a single channel is repeated three times and three are used unchanged. For other numbers n of
    channels, which neither paper has, each gets the copy's kernel averaged over RGB, times 3 / n, so that an
    image with n equal channels gives the same tokens as a grey RGB image.

    Args:
        encoder: the backbone's; its modules are reused, not copied.
        channels: number of channels of the images, RGB included.

    Raises:
        InputError: there is no channel beside RGB, or the encoder is no plain vision transformer.
    """

    def __init__(self, encoder: ImageEncoder, *, channels: int) -> None:
        if not isinstance(encoder, PlainEncoder) or type(encoder).forward is not PlainEncoder.forward:
            raise InputError(
                "RGB and a sensor are fused between blocks of one width and resolution, of which the last "
                f"alone is decoded; this backbone's {type(encoder).__name__} has no such blocks"
            )
        if channels <= RGB:
            raise InputError(
                f"the first {RGB} channels have to be RGB, and a sensor's come after them: "
                f"at least {RGB + 1} in all, got {channels}"
            )
        super().__init__(
            patch_embed=encoder.patch_embed,
            pos_embed=encoder.pos_embed,
            blocks=encoder.blocks,
            neck=encoder.neck,
            stages=encoder.stages,
            stem=encoder.stem_name.removeprefix("patch_embed."),
        )
        self.x_patch_embed = copy.deepcopy(encoder.patch_embed)
        x_channels = channels - RGB
        if x_channels not in (1, 3):
            _spread_kernel(_stem(self, self.x_patch_embed), x_channels)

    def embed_rgb(
        self, images: Float[Tensor, "batch channels size size"]
    ) -> Float[Tensor, "batch height width dim"]:
        """Computes the tokens of the first three channels, with position embedding."""
        return self.embed(images[:, :RGB])

    def embed_x(
        self, images: Float[Tensor, "batch channels size size"]
    ) -> Float[Tensor, "batch height width dim"]:
        """Computes the tokens of the channels after RGB, without position embedding."""
        x = images[:, RGB:]
        if x.shape[1] == 1:
            x = x.expand(-1, 3, -1, -1)
        tokens: Tensor = self.x_patch_embed(x)
        return tokens


def _stem(encoder: PlainEncoder, patch_embed: nn.Module) -> nn.Conv2d:
    """Returns the convolution of a copy of an encoder's patch embedding."""
    convolution = patch_embed.get_submodule(encoder.stem_name.removeprefix("patch_embed."))
    assert isinstance(convolution, nn.Conv2d)
    return convolution


def _spread_kernel(convolution: nn.Conv2d, channels: int) -> None:
    with torch.no_grad():
        each = convolution.weight.sum(1, keepdim=True) / channels
        convolution.weight = nn.Parameter(each.repeat(1, channels, 1, 1))
    convolution.in_channels = channels
