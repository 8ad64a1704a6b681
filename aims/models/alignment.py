"""Layers that turn any number of channels into the three that a pretrained patch embedding takes."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from aims.core.errors import InputError


class ConvAlignment(nn.Module):
    """Convolutions from C channels to 3, with ReLU between them; height and width stay.

    SimCMF's cross-modal alignment module (Figures 2 and 6 of the paper): first convolution k x k, C -> d;
    middle ones k x k, d -> d; last one 1 x 1, d -> 3. The parameter counts of Figure 6 fix this form; the
    authors' released program has no ReLU at two layers, the paper's text has, and so has this.

    Args:
        channels: C, channels of the images.
        kernel: k, odd.
        width: d, channels between the convolutions.
        depth: number of convolutions; 1 is a single 1 x 1 convolution C -> 3, without `kernel` and `width`.

    Raises:
        InputError: a number is below 1, or the kernel is even.
    """

    def __init__(self, *, channels: int, kernel: int, width: int, depth: int) -> None:
        super().__init__()
        if min(channels, kernel, width, depth) < 1 or kernel % 2 == 0:
            raise InputError(
                "alignment module: channels, width and depth must be at least 1 and the kernel odd, got "
                f"channels={channels}, kernel={kernel}, width={width}, depth={depth}"
            )
        layers: list[nn.Module] = []
        for _ in range(depth - 1):
            layers += [nn.Conv2d(channels, width, kernel, padding=kernel // 2), nn.ReLU()]
            channels = width
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, 3, 1))

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Aligns a batch of normalised images."""
        aligned: Tensor = self.layers(images)
        return aligned

    def trainable_params(self) -> list[str]:
        """All parameters: an alignment module always learns."""
        return [name for name, _ in self.named_parameters()]
