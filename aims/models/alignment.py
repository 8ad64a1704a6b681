"""Layers that turn any number of channels into the three that a pretrained patch embedding takes."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from aims.models.trainable import FullyTrainable


class Alignment(FullyTrainable):
    """Base of the layers in front of the image encoder."""


class ConvAlignment(Alignment):
    """Convolutions from C channels to 3, with ReLU between them; height and width are unchanged.

    SimCMF's cross-modal alignment module (Figures 2 and 6 of the paper): first convolution k x k, C -> d;
    middle ones k x k, d -> d; last one 1 x 1, d -> 3. The parameter counts of Figure 6 determine this form.
    At two layers the authors' released program has no ReLU; this module follows the paper's text, which has.

    Args:
        channels: C, channels of the images.
        kernel: k, odd.
        width: d, channels between the convolutions.
        depth: number of convolutions; 1 is a single 1 x 1 convolution C -> 3, without `kernel` and `width`.
    """

    def __init__(self, *, channels: int, kernel: int, width: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(depth - 1):
            layers += [nn.Conv2d(channels, width, kernel, padding=kernel // 2), nn.ReLU()]
            channels = width
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, 3, 1))

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Aligns a batch of normalised images."""
        *first, last = self.layers
        for layer in first:
            images = layer(images)
        # The 1 x 1 convolution as a matrix product, as its backward pass is four times slower on a CPU.
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        products = last.weight.flatten(1) @ images.flatten(2) + last.bias[:, None]
        return products.view(-1, 3, *images.shape[2:])


class TransformerAlignment(Alignment):
    """Transformer blocks over patches of C channels, projected to a 3-channel image of the same size.

    Section 4.3 of the SimCMF paper ("transformer blocks before the pretrained embedding layer") names it
    without details; the form is that of the released program (`preattn`): a convolution with kernel and
    stride p, C -> d; pre-norm blocks with attention among all patches (8 heads) and an MLP four times as
    wide (GELU); a linear layer d -> 3 p p. As in the program, no position embedding is added.

    Ours departs from it twice. The program's reshape from patches to an image does not permute the axes, so
    that the pixels of a row of patches are mixed up; here every patch returns to its place. The weights of
    the attention are initialised as in torch's `nn.MultiheadAttention` (Xavier).

    Args:
        channels: C, channels of the images.
        patch_size: p, side of a patch in pixels; divides height and width.
        width: d, channels of the tokens; a multiple of `HEADS`.
        depth: number of blocks.
    """

    HEADS = 8

    def __init__(self, *, channels: int, patch_size: int, width: int, depth: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.patch_embed = nn.Conv2d(channels, width, patch_size, stride=patch_size)
        # Not nn.TransformerEncoder: it copies one block, so all would start with the same weights.
        # Not batch_first: without gradients torch would take its fast path, which on a CPU holds the whole
        # attention map (half a gigabyte at 4,096 tokens) and rounds differently from training.
        self.blocks = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    d_model=width,
                    nhead=self.HEADS,
                    dim_feedforward=4 * width,
                    dropout=0.0,
                    activation="gelu",
                    norm_first=True,
                )
                for _ in range(depth)
            )
        )
        self.to_pixels = nn.Linear(width, 3 * patch_size**2)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Aligns a batch of normalised images."""
        grid: Tensor = self.patch_embed(images)
        tokens = self.blocks(grid.flatten(2).permute(2, 0, 1))
        pixels = self.to_pixels(tokens).permute(1, 2, 0).unflatten(2, grid.shape[2:])
        return functional.pixel_shuffle(pixels, self.patch_size)


class ChannelViews(Alignment):
    """Makes each of the C channels a grey image of its own: C views per image in the batch dimension.

    The views of an image are consecutive, as `Segmenter.embed` expects. There are no parameters.
    """

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch*channels 3 height width"]:
        """Repeats each channel three times."""
        return images.flatten(0, 1).unsqueeze(1).expand(-1, 3, -1, -1)


class FirstThreeChannels(Alignment):
    """Takes the first three channels, or repeats a single one three times. There are no parameters."""

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Selects the channels; images have one channel or at least three."""
        return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images[:, :3]
