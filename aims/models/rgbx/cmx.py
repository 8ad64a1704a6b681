"""CMX: two encoders with mutual rectification after every block, and their fusion.

Zhang et al., "CMX: Cross-Modal Fusion for RGB-X Semantic Segmentation With Transformers" (IEEE Transactions
on Intelligent Transportation Systems, 2023). As in its authors' program, the reduction factor is 1, and so is
the initialisation.
"""

from __future__ import annotations

import copy
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from aims.models.encoder import ImageEncoder
from aims.models.extension import attention_heads
from aims.models.rgbx.common import RGBXEncoder
from aims.models.trainable import FullyTrainable


class FeatureRectification(FullyTrainable):
    """FRM: adds to each stream the other one, weighted by channel and by position.

    RGB' = RGB + lambda_channel w_c X + lambda_spatial w_s X; X' is computed likewise from RGB with its own
    weights. Channel weights come from the averages and maxima of both streams over positions, spatial weights
    from all channels of both; both pass a sigmoid.

    Args:
        dim: channels of the tokens.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.lambda_channel = self.lambda_spatial = 0.5
        self.channel_mlp = nn.Sequential(
            nn.Linear(4 * dim, 4 * dim), nn.ReLU(), nn.Linear(4 * dim, 2 * dim), nn.Sigmoid()
        )
        self.spatial_mlp = nn.Sequential(
            nn.Conv2d(2 * dim, dim, 1), nn.ReLU(), nn.Conv2d(dim, 2, 1), nn.Sigmoid()
        )
        initialize_as_cmx(self)

    def forward(
        self, rgb: Float[Tensor, "batch height width dim"], x: Float[Tensor, "batch height width dim"]
    ) -> tuple[Float[Tensor, "batch height width dim"], Float[Tensor, "batch height width dim"]]:
        """Rectifies both streams."""
        both = torch.cat((rgb, x), dim=-1)
        pooled = torch.cat((both.mean((1, 2)), both.amax((1, 2))), dim=-1)
        # The first half weights RGB (added to X), the second half X (added to RGB).
        of_rgb, of_x = self.channel_mlp(pooled)[:, None, None].chunk(2, dim=-1)
        at_rgb, at_x = self.spatial_mlp(both.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).chunk(2, dim=-1)
        return (
            rgb + self.lambda_channel * of_x * x + self.lambda_spatial * at_x * x,
            x + self.lambda_channel * of_rgb * rgb + self.lambda_spatial * at_rgb * rgb,
        )


class CrossPath(nn.Module):
    """The information exchange of one stream in an FFM: it attends to the other stream's context.

    Args:
        dim: channels of the tokens.
        heads: attention heads.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.split = nn.Linear(dim, 2 * dim)
        self.keys_values = nn.Linear(dim, 2 * dim, bias=False)
        self.merge = nn.Linear(2 * dim, dim)
        self.norm = nn.LayerNorm(dim)

    def divide(
        self, tokens: Float[Tensor, "batch tokens dim"]
    ) -> tuple[Float[Tensor, "batch tokens dim"], Float[Tensor, "batch tokens dim"]]:
        """Splits the projected tokens into a part that the stream keeps and one that it exchanges."""
        kept, exchanged = functional.relu(self.split(tokens)).chunk(2, dim=-1)
        return kept, exchanged

    def context(
        self, exchanged: Float[Tensor, "batch tokens dim"]
    ) -> Float[Tensor, "batch heads head_dim head_dim"]:
        """Sums keys times values over all tokens; softmax over the keys' channels."""
        keys, values = (self._heads(part) for part in self.keys_values(exchanged).chunk(2, dim=-1))
        products = keys.transpose(-2, -1) @ values
        return functional.softmax(products / math.sqrt(keys.shape[-1]), dim=-2)

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens dim"],
        kept: Float[Tensor, "batch tokens dim"],
        exchanged: Float[Tensor, "batch tokens dim"],
        context: Float[Tensor, "batch heads head_dim head_dim"],
    ) -> Float[Tensor, "batch tokens dim"]:
        """Multiplies this stream's exchanged part with the other stream's context and adds the result."""
        received = (self._heads(exchanged) @ context).transpose(1, 2).flatten(2)
        merged: Tensor = self.norm(tokens + self.merge(torch.cat((kept, received), dim=-1)))
        return merged

    def _heads(
        self, tokens: Float[Tensor, "batch tokens dim"]
    ) -> Float[Tensor, "batch heads tokens head_dim"]:
        return tokens.view(*tokens.shape[:2], self.heads, -1).transpose(1, 2)


class FeatureFusion(FullyTrainable):
    """FFM: the streams exchange information globally, then a channel embedding merges them into one.

    The batch normalisations are CMX's. Evaluation needs their running statistics, which no gradient trains,
    so they are declared as trained buffers. In training the first of them cancels the bias of the convolution
    before it, whose gradient is therefore rounding noise.

    Args:
        dim: channels of the tokens.
        heads: attention heads; they divide `dim`.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.rgb_path = CrossPath(dim, heads)
        self.x_path = CrossPath(dim, heads)
        self.residual = nn.Conv2d(2 * dim, dim, 1, bias=False)
        self.channel_embed = nn.Sequential(
            nn.Conv2d(2 * dim, dim, 1),
            nn.Conv2d(dim, dim, 3, padding=1, groups=dim),
            nn.ReLU(),
            nn.Conv2d(dim, dim, 1),
            nn.BatchNorm2d(dim),
        )
        self.norm = nn.BatchNorm2d(dim)
        initialize_as_cmx(self)

    def forward(
        self, rgb: Float[Tensor, "batch height width dim"], x: Float[Tensor, "batch height width dim"]
    ) -> Float[Tensor, "batch height width dim"]:
        """Fuses both streams."""
        _, height, width, _ = rgb.shape
        rgb, x = rgb.flatten(1, 2), x.flatten(1, 2)
        rgb_kept, rgb_exchanged = self.rgb_path.divide(rgb)
        x_kept, x_exchanged = self.x_path.divide(x)
        rgb_context, x_context = self.rgb_path.context(rgb_exchanged), self.x_path.context(x_exchanged)
        both = torch.cat(
            (
                self.rgb_path(rgb, rgb_kept, rgb_exchanged, x_context),
                self.x_path(x, x_kept, x_exchanged, rgb_context),
            ),
            dim=-1,
        )
        maps = both.permute(0, 2, 1).reshape(*both.shape[::2], height, width)
        fused: Tensor = self.norm(self.residual(maps) + self.channel_embed(maps))
        return fused.permute(0, 2, 3, 1)

    def trained_buffers(self) -> list[str]:
        """The running statistics of the batch normalisations."""
        return [name for name, _ in self.named_buffers()]


class CMXEncoder(RGBXEncoder):
    """Two image encoders with rectification after every block and fusion at the end of every stage.

    The second encoder starts as a copy of the backbone's. CMX has four stages of different resolution and a
    decoder that takes them all; SAM has one resolution and its own decoder, so the fused maps are mixed by
    one linear layer over stages and go into SAM's neck, as in the SimCMF program. Ours departs from it:

    - Rectification follows each block, as in the SimCMF paper's text. The program rectifies RGB before
      block i with X after it.
    - X gets SAM's position embedding like RGB, as the copied blocks were trained with it. In the program X
      has none; CMX's own encoders use no positions at all.

    The inputs of the fusion are the rectified streams, as in CMX.

    Args:
        encoder: the backbone's; its modules are reused.
        channels: number of channels of the images, RGB included.

    Raises:
        InputError: there is no channel beside RGB, or the encoder is no plain vision transformer.
    """

    def __init__(self, encoder: ImageEncoder, *, channels: int) -> None:
        super().__init__(encoder, channels=channels)
        # The last block always ends a stage: blocks after the last fusion would not affect the output.
        self.stages = tuple(sorted({*self.stages, len(self.blocks) - 1}))
        self.x_blocks = copy.deepcopy(self.blocks)
        heads = _attention_heads(self.blocks[-1])
        self.rectifications = nn.ModuleList(FeatureRectification(self.dim) for _ in self.blocks)
        self.fusions = nn.ModuleList(FeatureFusion(self.dim, heads) for _ in self.stages)
        self.mix = nn.Linear(len(self.stages), 1)
        initialize_as_cmx(self.mix)

    def embed_x(
        self, images: Float[Tensor, "batch channels size size"]
    ) -> Float[Tensor, "batch height width dim"]:
        """Computes the tokens of the channels after RGB, with the position embedding of RGB."""
        return self.place(super().embed_x(images))

    def forward(
        self, images: Float[Tensor, "batch channels size size"]
    ) -> Float[Tensor, "batch out height width"]:
        """Encodes normalised images, RGB first."""
        rgb, x = self.embed_rgb(images), self.embed_x(images)
        fused: list[Tensor] = []
        layers = zip(self.blocks, self.x_blocks, self.rectifications, strict=True)
        for index, (block, x_block, rectify) in enumerate(layers):
            rgb, x = rectify(block(rgb), x_block(x))
            if index in self.stages:
                fused.append(self.fusions[len(fused)](rgb, x))
        mixed: Tensor = self.mix(torch.stack(fused, dim=-1))
        return self.finish(mixed.squeeze(-1))


@torch.no_grad()
def initialize_as_cmx(module: nn.Module) -> None:
    """Initialises linear layers (truncated normal, 0.02), convolutions (He normal, fan-out), zero biases."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02)
        elif isinstance(layer, nn.Conv2d):
            # Not kaiming_normal_: it does not divide the fan-out of a depthwise convolution by its groups.
            fan_out = layer.weight[0, 0].numel() * layer.out_channels // layer.groups
            layer.weight.normal_(std=math.sqrt(2 / fan_out))
        if isinstance(layer, nn.Linear | nn.Conv2d) and layer.bias is not None:
            layer.bias.zero_()


def _attention_heads(block: nn.Module) -> int:
    """Returns the number of heads of a block's attention; 1 if no module tells it."""
    found = map(attention_heads, block.modules())
    return next((heads for heads in found if heads), 1)
