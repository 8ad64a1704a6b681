"""SimCMF that starts as the linear map of the sensor onto the colours of photographs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aims.core.errors import InputError
from aims.core.normalisation import IMAGENET, Constants
from aims.methods.base import METHODS
from aims.methods.simcmf import SimCMF
from aims.models.alignment import ConvAlignment
from aims.models.segmenter import Segmenter

# Principal components of the pixels of ImageNet's photographs in 0..1: variances, and (R, G, B) in the rows.
# Source: datasets/imagenet.lua of https://github.com/facebookarchive/fb.resnet.torch (noise in colours).
_VARIANCES = (0.2175, 0.0188, 0.0045)
_COMPONENTS = ((-0.5675, -0.5808, -0.5836), (0.7192, -0.0045, -0.6948), (0.4009, -0.8140, 0.4203))

#: Added to the variance of every component of a sensor, as a share of the largest, so that its noise is not
#: amplified. The smallest component of photographs has 0.02.
REGULARISATION = 1e-3
#: Hidden channels that carry the linear map: the positive and the negative part of each of three colours.
_CARRIERS = 6


@METHODS.register("simcmf-plus")
@dataclass(frozen=True, kw_only=True)
class SimCMFPlus(SimCMF):
    """SimCMF that starts as the linear map of the sensor onto the colours of photographs.

    Layers and options are those of `simcmf`; only the initial weights differ. At the first step the module is
    the linear map of `match_colours`, and the rest of its hidden channels, its nonlinear branch, contributes
    nothing: pretrained SAM sees the sensor in the colours of photographs. Source: our own, chosen among
    others by scores on validation parts (`benchmarks/candidates`); the map is whitening and colouring, as in
    Reinhard et al., "Color Transfer between Images" (2001), and Li et al., "Universal Style Transfer via
    Feature Transforms" (NeurIPS 2017).
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.depth > 1 and self.width < _CARRIERS:
            raise InputError(f"--width must be at least {_CARRIERS} to carry three colours, not {self.width}")

    def fit(self, model: Segmenter, images: Iterable[Tensor], rgb: Constants) -> None:
        """Sets the alignment module to the linear map for these images."""
        assert isinstance(model.alignment, ConvAlignment)
        start_linear(model.alignment, *match_colours(*measure(images), rgb))


def measure(
    images: Iterable[Tensor],
) -> tuple[Float[Tensor, " channels"], Float[Tensor, "channels channels"]]:
    """Computes mean and covariance of the channels over all pixels, in float64.

    Args:
        images: at least one.
    """
    count, total, products = 0, torch.zeros(()), torch.zeros(())
    for image in images:
        pixels = image.double().flatten(1)
        count += pixels.shape[1]
        total = total + pixels.sum(1)
        products = products + pixels @ pixels.T
    mean = total / count
    return mean, products / count - torch.outer(mean, mean)


def match_colours(
    mean: Float[Tensor, " channels"],
    covariance: Float[Tensor, "channels channels"],
    rgb: Constants = IMAGENET,
) -> tuple[Float[Tensor, "3 channels"], Float[Tensor, " 3"]]:
    """Computes the linear map that gives a sensor the mean and the covariance of normalised photographs.

    The principal component of the sensor with the largest variance becomes that of photographs, which is
    brightness, and the two next ones their colours; more are dropped. The sign of a component is such that
    its weights have a positive sum. The order of the channels has no influence. A single channel becomes
    grey: three equal copies with the mean and the mean variance of the three colours.

    Args:
        mean: mean of the channels.
        covariance: their covariance.
        rgb: the constants by which photographs are normalised.

    Returns:
        Weight and bias of the map, in float64.
    """
    mean, covariance = mean.double(), covariance.double()
    values, vectors = (found.flip(-1)[..., :3] for found in torch.linalg.eigh(covariance))
    vectors = vectors * torch.where(vectors.sum(0) < 0, -1.0, 1.0)
    scale = torch.where(values > 0, (values + REGULARISATION * values[0]).rsqrt(), 0.0)
    middle, colours = _photographs(rgb)
    if len(mean) == 1:
        colours = colours.square().sum(1).mean().sqrt().expand(3, 1)
    weight = colours[:, : len(values)] * scale @ vectors.T
    return weight, middle - weight @ mean


def _photographs(rgb: Constants) -> tuple[Float[Tensor, " 3"], Float[Tensor, "3 3"]]:
    """Returns the mean and the principal components of photographs that were normalised, one a column.

    Each is as long as the standard deviation along it; brightness, the first, has a positive sum.
    """
    usual, mean, std = (
        torch.tensor(constants, dtype=torch.float64) for constants in (IMAGENET.mean, rgb.mean, rgb.std)
    )
    axes = torch.tensor(_COMPONENTS, dtype=torch.float64).T / std[:, None]
    covariance = axes * torch.tensor(_VARIANCES, dtype=torch.float64) @ axes.T
    values, vectors = (found.flip(-1) for found in torch.linalg.eigh(covariance))
    return (usual - mean) / std, vectors * torch.where(vectors.sum(0) < 0, -1.0, 1.0) * values.sqrt()


@torch.no_grad()
def start_linear(
    alignment: ConvAlignment, weight: Float[Tensor, "3 channels"], bias: Float[Tensor, " 3"]
) -> None:
    """Sets the weights of an alignment so that it computes a linear map, in the channels that carry it.

    ReLU(z) - ReLU(-z) = z: the first six hidden channels hold the three colours and their negatives, and the
    last convolution subtracts them. Its weights of all other hidden channels, which keep their random inputs,
    are zero; like the zero factor of LoRA they learn from the first step on.

    Args:
        alignment: at least six channels wide, if it has hidden channels at all.
        weight: weight of the map.
        bias: bias of the map.
    """
    *first, last = (layer for layer in alignment.layers if isinstance(layer, nn.Conv2d))
    signed, offset = torch.cat([weight, -weight]), torch.cat([bias, -bias])
    for layer in first:
        carriers, middle = layer.weight[:_CARRIERS], layer.kernel_size[0] // 2
        carriers.zero_()
        carriers[:, : signed.shape[1], middle, middle] = signed.to(carriers)
        _bias(layer)[:_CARRIERS] = offset.to(carriers)
        # What is positive passes the next ReLU as it is.
        signed, offset = torch.eye(_CARRIERS), torch.zeros(_CARRIERS)
    if first:
        weight, bias = torch.cat([torch.eye(3), -torch.eye(3)], 1), torch.zeros(3)
    last.weight.zero_()
    last.weight[:, : weight.shape[1], 0, 0] = weight.to(last.weight)
    _bias(last).copy_(bias)


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias
