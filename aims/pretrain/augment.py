"""Changes of the colours of pretraining images: as photographs differ, and as other sensors see.

All random numbers come from the seeds of the images (`aims.synth.world.random`), so that an image is changed
in the same way in every batch.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from aims.synth.world.random import normal, uniform

# Streams of random numbers, distinct from those of `aims.pretrain.step`.
_COLOUR, _GREY = 901, 902
_SENSOR, _MIX, _CHANGES, _STRENGTHS, _NOISE = 905, 906, 907, 908, 909
_GREY_SHARE = 0.15
# Shares of the images that become those of another sensor, and of these that have one channel.
_SENSOR_SHARE, _ONE_CHANNEL_SHARE = 0.7, 0.5
# Each of the changes of `sensor_like` is made on this share of its images.
_CHANGE_SHARE = 0.5
_GAMMA_STD = 0.4  # of the logarithm of the exponent
_BLUR_SIDES = (0.002, 0.012)  # standard deviations in sides of the image: 0.25 to 1.5 pixels of 128
_NOISE_STD = (0.01, 0.10)  # of the range of an image
_STEP_BITS = (2.0, 7.0)  # binary logarithm of the number of steps


def recolour(
    images: Float[Tensor, "batch 3 size size"], seeds: Int[Tensor, " batch"]
) -> Float[Tensor, "batch 3 size size"]:
    """Changes contrast, brightness and colour balance at random; 15 % of the images become grey."""
    drawn = normal(seeds, _COLOUR, (5, 1, 1))
    images = images * torch.exp(0.2 * drawn[:, :1] + 0.1 * drawn[:, 2:]) + 0.2 * drawn[:, 1:2]
    grey = uniform(seeds, _GREY, (1, 1, 1)) < _GREY_SHARE
    return torch.where(grey, images.mean(1, keepdim=True), images)


def augment(
    images: Float[Tensor, "batch 3 size size"], seeds: Int[Tensor, " batch"], kind: str
) -> Float[Tensor, "batch 3 size size"]:
    """Changes normalised images at random.

    Args:
        images: normalised images.
        seeds: one seed per image.
        kind: "none" for `recolour` alone; "sensor" for `sensor_like` on 70 % of the images, and `recolour` on
            the others.
    """
    recoloured = recolour(images, seeds)
    if kind == "none":
        return recoloured
    chosen = uniform(seeds, _SENSOR, (1, 1, 1)) < _SENSOR_SHARE
    # Computed for every image: choosing some would synchronise with the GPU.
    return torch.where(chosen, sensor_like(images, seeds), recoloured)


def sensor_like(
    images: Float[Tensor, "batch 3 size size"], seeds: Int[Tensor, " batch"]
) -> Float[Tensor, "batch 3 size size"]:
    """Makes images as another sensor might: three channels mixed at random, or one channel shown thrice.

    The mixed channels are brought to 0..1 by their extremes. Then each of four changes is made on half of the
    images: a power ("gamma"), Gaussian blur, noise, and rounding to 4 to 128 steps. At last the channels are
    standardised, as the engine does with those of a sensor.
    """
    mixed = torch.einsum("bij,bjhw->bihw", normal(seeds, _MIX, (3, 3)), images)
    draws = uniform(seeds, _CHANGES, (5, 1, 1, 1))
    one = draws[:, 4] < _ONE_CHANNEL_SHARE
    power, blurs, noisy, coarse = (draws[:, :4] < _CHANGE_SHARE).unbind(1)
    strengths = uniform(seeds, _STRENGTHS, (4, 1, 1, 1)).unbind(1)
    low, high = mixed.amin((2, 3), keepdim=True), mixed.amax((2, 3), keepdim=True)
    values = (mixed - low) / (high - low).clamp_min(1e-6)
    # Uniform numbers scaled to the standard deviation of the logarithm.
    exponent = torch.exp(_GAMMA_STD * math.sqrt(12) * (strengths[0] - 0.5))
    values = torch.where(power, values**exponent, values)
    values = torch.where(blurs, _blur(values, _between(_BLUR_SIDES, strengths[1]) * images.shape[-1]), values)
    noise = normal(seeds, _NOISE, tuple(images.shape[1:])) * _between(_NOISE_STD, strengths[2])
    values = torch.where(noisy, values + noise, values)
    steps = torch.exp2(_between(_STEP_BITS, strengths[3])).round() - 1
    values = torch.where(coarse, (values * steps).round() / steps, values)
    values = torch.where(one, values[:, :1], values)
    return _standardised(values)


def _between(limits: tuple[float, float], share: Tensor) -> Tensor:
    return limits[0] + (limits[1] - limits[0]) * share


def _standardised(values: Float[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch 3 size size"]:
    centred = values - values.mean((2, 3), keepdim=True)
    return centred / centred.square().mean((2, 3), keepdim=True).sqrt().clamp_min(1e-3)


def _blur(
    values: Float[Tensor, "batch 3 size size"], deviations: Float[Tensor, "batch 1 1 1"]
) -> Float[Tensor, "batch 3 size size"]:
    """Blurs each image with a Gaussian of its own standard deviation, in pixels; borders are repeated."""
    batch, channels, height, width = values.shape
    radius = math.ceil(3 * _BLUR_SIDES[1] * width)
    offsets = torch.arange(-radius, radius + 1, device=values.device, dtype=values.dtype)
    weights = torch.exp(-0.5 * (offsets / deviations.view(batch, 1)).square())
    weights = (weights / weights.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    # All channels of all images are the channels of one image, each convolved with a kernel of its own.
    rows = F.pad(values.reshape(1, -1, height, width), (radius,) * 4, mode="replicate")
    rows = F.conv2d(rows, weights[:, None, None, :], groups=batch * channels)
    blurred = F.conv2d(rows, weights[:, None, :, None], groups=batch * channels)
    return blurred.view(values.shape)
