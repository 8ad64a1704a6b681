"""SimCMF that also sees every channel in the tones of a photograph, and its edges."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from aims.core.normalisation import Constants
from aims.methods.base import METHODS
from aims.methods.simcmf_plus import SimCMFPlus, match_colours, measure, start_linear
from aims.models.alignment import Alignment, ConvAlignment
from aims.models.segmenter import Segmenter

#: Shares of the pixels below the black point and below the white point.
WINDOW = (0.01, 0.99)
#: Tone of the median pixel: the mean brightness of ImageNet's photographs.
MIDDLE = 0.45
#: Limits of the exponent, so that a picture of one bright spot does not become noise.
GAMMAS = (0.4, 2.5)
#: Percentiles are taken from every k-th row and column, so that about so many of each are left.
_SAMPLED = 64


@METHODS.register("simcmf-toned")
@dataclass(frozen=True, kw_only=True)
class TonedSimCMF(SimCMFPlus):
    """`simcmf-plus` whose module also sees every channel toned as a photograph, and its edges.

    The tone is a window between two percentiles of the picture and a gamma that puts its median in the
    middle (`tone`); edges are the slope of the tone. Tone and edges go into the linear map that the module
    starts with; the channels themselves reach its nonlinear branch, so that absolute values are not lost.
    Source: our own; window and gamma as in displays of medical and thermal pictures.

    Attributes:
        edges: whether the edges are there, beside the tones.
    """

    edges: bool = True

    def adapt(self, model: Segmenter, channels: int) -> None:
        """Sets the alignment module."""
        model.alignment = TonedAlignment(
            channels=channels, kernel=self.kernel, width=self.width, depth=self.depth, edges=self.edges
        )

    def fit(self, model: Segmenter, images: Iterable[Tensor], rgb: Constants) -> None:
        """Sets the alignment module to the linear map for the tones and edges of these images."""
        alignment = model.alignment
        assert isinstance(alignment, TonedAlignment)
        shown = (alignment.show(image[None])[0] for image in images)
        start_linear(alignment.convolutions, *match_colours(*measure(shown), rgb))


class TonedAlignment(Alignment):
    """Convolutions over tones, edges and the channels themselves, in this order.

    Args:
        channels: C, channels of the images.
        kernel: as in `ConvAlignment`, as are width and depth.
        width: channels between the convolutions.
        depth: number of convolutions.
        edges: whether there are edges, beside the tones.
    """

    def __init__(self, *, channels: int, kernel: int, width: int, depth: int, edges: bool) -> None:
        super().__init__()
        self.edges = edges
        self.convolutions = ConvAlignment(
            channels=channels * (2 + edges), kernel=kernel, width=width, depth=depth
        )

    @torch.no_grad()
    def show(self, images: Float[Tensor, "batch channels height width"]) -> Tensor:
        """Computes the tones and, behind them, the edges: (batch, C or 2 C, height, width)."""
        tones = tone(images)
        return torch.cat([tones, slope(tones)], 1) if self.edges else tones

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Aligns a batch of normalised images."""
        aligned: Tensor = self.convolutions(torch.cat([self.show(images), images], 1))
        return aligned


def tone(images: Float[Tensor, "batch channels height width"]) -> Tensor:
    """Tones every channel of every picture on its own, to 0..1.

    The result does not depend on gain and offset of a channel. A channel that is constant becomes 0.

    Args:
        images: floating-point numbers.
    """
    step = max(1, min(images.shape[-2:]) // _SAMPLED)
    # Sorted rather than `torch.quantile`, which refuses large tensors.
    ordered = images[..., ::step, ::step].flatten(2).float().sort(2).values
    low, middle, high = (
        ordered[..., round(share * (ordered.shape[2] - 1)), None, None]
        for share in (WINDOW[0], 0.5, WINDOW[1])
    )
    span = torch.where(high > low, high - low, torch.inf)
    # Where the median is at either end of the window, the logarithm's limits give the exponent's.
    median = ((middle - low) / span).clamp(1e-3, 1 - 1e-3)
    gamma = (math.log(MIDDLE) / median.log()).clamp(*GAMMAS)
    return ((images.float() - low) / span).clamp(0, 1) ** gamma


def slope(images: Float[Tensor, "batch channels height width"]) -> Tensor:
    """Computes the length of the gradient of every channel, per pixel, over means of 3 x 3 pixels."""
    smooth = functional.avg_pool2d(functional.pad(images, (2, 2, 2, 2), mode="replicate"), 3, stride=1)
    across = smooth[..., 1:-1, 2:] - smooth[..., 1:-1, :-2]
    down = smooth[..., 2:, 1:-1] - smooth[..., :-2, 1:-1]
    return (across.square() + down.square()).sqrt() / 2
