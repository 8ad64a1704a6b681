"""The gate and the patch embedding of SimCMF's released program, which differ from the paper's module."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from aims.models.alignment import Alignment
from aims.models.segment_anything import sam_modeling


class GatedAlignment(Alignment):
    """Splits an image x by a gate g in (0, 1) per channel: a 1 x 1 convolution of g x, and (1 - g) x.

    The gate is a convolution 3 x 3 C -> 4C, LayerNorm over channels, ReLU, a convolution 3 x 3 4C -> C, the
    mean over the image, sigmoid. Source: `simmat` in the authors' released program.

    Args:
        channels: C, channels of the images.
    """

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Conv2d(channels, 4 * channels, 3, padding=1),
            sam_modeling().common.LayerNorm2d(4 * channels),
            nn.ReLU(),
            nn.Conv2d(4 * channels, channels, 3, padding=1),
        )
        self.to_rgb = nn.Conv2d(channels, 3, 1)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch 3+channels height width"]:
        """Splits normalised images: three channels of g x, then (1 - g) x, for `ExtendedPatchEmbed`."""
        gate = self.gate(images).mean((2, 3), keepdim=True).sigmoid()
        return torch.cat([self.to_rgb(gate * images), (1 - gate) * images], dim=1)


class ExtendedPatchEmbed(nn.Module):
    """A patch embedding of three channels, with copies of it that embed C further channels one by one.

    The kernel of a copy is the embedding's summed over RGB, its bias is the embedding's. A weighted sum over
    the copies, with weights that start at zero, is added to the tokens. Copies and weights are trained; the
    embedding keeps its name and its `requires_grad`. Source: `simmat` in the authors' released
    program, which embeds every channel and then sums; here the sum is folded into one convolution, which is
    equivalent and takes 1 / C of the memory.

    Args:
        proj: the patch embedding's convolution; it is reused, not copied.
        channels: C, number of channels after the first three.
        name: the name that the convolution keeps.
    """

    def __init__(self, proj: nn.Conv2d, *, channels: int, name: str = "proj") -> None:
        super().__init__()
        self.add_module(name, proj)
        self.name = name
        kernel = proj.weight.detach().sum(1)
        bias = kernel.new_zeros(len(kernel)) if proj.bias is None else proj.bias.detach()
        self.kernels = nn.Parameter(kernel.repeat(channels, 1, 1, 1))
        self.biases = nn.Parameter(bias.repeat(channels, 1))
        self.mix = nn.Parameter(kernel.new_zeros(channels))

    def forward(
        self, images: Float[Tensor, "batch planes height width"]
    ) -> Float[Tensor, "batch rows columns dim"]:
        """Embeds the 3 + C planes of `GatedAlignment`."""
        proj = self.get_submodule(self.name)
        assert isinstance(proj, nn.Conv2d)
        folded = functional.conv2d(
            images[:, 3:],
            (self.mix[:, None, None, None] * self.kernels).transpose(0, 1),
            self.mix @ self.biases,
            stride=proj.stride,
            padding=proj.padding,
        )
        tokens: Tensor = proj(images[:, :3]) + folded
        return tokens.permute(0, 2, 3, 1)

    def trainable_params(self) -> list[str]:
        """Names of the copies' kernels and biases and of their weights in the sum."""
        return ["kernels", "biases", "mix"]
