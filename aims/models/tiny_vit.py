"""TinyViT as MobileSAM's image encoder: four stages, of convolutions and of attention in windows.

Wu et al., "TinyViT: Fast Pretraining Distillation for Small Vision Transformers" (ECCV 2022). The names of
the layers are those of MobileSAM's file (`aims.models.mobile_sam`), whose program needs timm; here they are
written anew, on torch and segment-anything alone, and without the classifier that MobileSAM never calls.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from aims.models.attention import ExtraTokens, append_tokens, merge_heads, split_heads
from aims.models.encoder import ImageEncoder
from aims.models.segment_anything import build_neck, sam_modeling

#: Width inside a convolutional block, and of an MLP, as a multiple of the block's width.
EXPANSION = 4
#: Pixels a side of one place of the features: the resolution is halved twice in the stem and by two stages.
STRIDE = 16


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that keeps its running statistics, and normalises by them, while it is frozen.

    Where its weight is trained it is torch's: batches are normalised by their own statistics in training, and
    the running ones are declared as trained buffers.
    """

    def forward(
        self, input: Float[Tensor, "batch dim height width"]
    ) -> Float[Tensor, "batch dim height width"]:
        """Normalises maps."""
        if self.training and self.weight.requires_grad:
            return super().forward(input)
        return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)

    def trained_buffers(self) -> list[str]:
        """The running statistics, where they change."""
        return [name for name, _ in self.named_buffers()] if self.weight.requires_grad else []


class NormedConv(nn.Sequential):
    """A convolution without bias, `c`, and its batch normalisation, `bn`.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
        kernel: side of the kernel.
        stride: of the convolution, whose input is padded so that stride 1 keeps its size.
        groups: groups of channels.
        scale: initial weight of the normalisation.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        scale: float = 1,
    ) -> None:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        norm = BatchNorm(outputs)
        nn.init.constant_(norm.weight, scale)
        super().__init__(OrderedDict(c=convolution, bn=norm))


class ConvBlock(nn.Module):
    """A residual block of a wide depthwise convolution between two 1 x 1 convolutions."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        hidden = EXPANSION * dim
        self.conv1 = NormedConv(dim, hidden)
        self.conv2 = NormedConv(hidden, hidden, 3, groups=hidden)
        self.conv3 = NormedConv(hidden, dim, scale=0)

    def forward(
        self, maps: Float[Tensor, "batch dim height width"]
    ) -> Float[Tensor, "batch dim height width"]:
        """Computes the block."""
        update = self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(maps)))))
        return F.gelu(maps + update)


class Merging(nn.Module):
    """The end of a stage: another width, and half the resolution if `stride` is 2."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = NormedConv(inputs, outputs)
        self.conv2 = NormedConv(outputs, outputs, 3, stride=stride, groups=outputs)
        self.conv3 = NormedConv(outputs, outputs)

    def forward(
        self, maps: Float[Tensor, "batch dim height width"]
    ) -> Float[Tensor, "batch out rows columns"]:
        """Merges places of the maps."""
        merged: Tensor = self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(maps)))))
        return merged


class WindowAttention(nn.Module):
    """Attention in a window, behind its norm, with a learned bias for each distance of rows and columns.

    Extra tokens have no position, and get no bias; they are appended behind the norm.

    Args:
        dim: channels of the tokens.
        heads: number of heads; divides `dim`.
        window: side of the window, in tokens.

    Attributes:
        qkv_groups: number of heads: the rows of `qkv` are queries, keys and values of each head in turn.
    """

    attention_bias_idxs: Tensor

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.num_heads = self.qkv_groups = heads
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window**2))
        places = torch.arange(window**2)
        rows, columns = (
            (along[:, None] - along).abs() for along in (places // window, places.remainder(window))
        )
        self.register_buffer("attention_bias_idxs", window * rows + columns, persistent=False)
        self.extra: ExtraTokens | None = None

    def forward(self, windows: Float[Tensor, "batch side side dim"]) -> Float[Tensor, "batch side side dim"]:
        """Attends within each window."""
        queries, keys, values = self._project(self.norm(windows.flatten(1, 2)))
        bias = self.attention_biases[:, self.attention_bias_idxs]
        if self.extra is not None:
            more = self.extra.keys_and_values(len(windows), self._project)
            keys, values = (append_tokens(*each) for each in zip((keys, values), more, strict=True))
            bias = F.pad(bias, (0, more[0].shape[1]))
        q, k, v = (split_heads(each, self.num_heads) for each in (queries, keys, values))
        logits = (q * q.shape[-1] ** -0.5) @ k.transpose(2, 3) + bias
        attended = merge_heads(logits.softmax(-1) @ v)
        projected: Tensor = self.proj(attended.view(windows.shape))
        return projected

    def _project(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        parts = self.qkv(tokens).unflatten(-1, (self.num_heads, 3, -1)).unbind(-2)
        queries, keys, values = (part.flatten(-2) for part in parts)
        return queries, keys, values


class Block(nn.Module):
    """A transformer block: attention in windows, a depthwise convolution, an MLP behind its norm."""

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = WindowAttention(dim, heads, window)
        self.local_conv = NormedConv(dim, dim, 3, groups=dim)
        layers = {
            "fc1": nn.Linear(dim, EXPANSION * dim),
            "act": nn.GELU(),
            "fc2": nn.Linear(EXPANSION * dim, dim),
        }
        self.mlp: nn.Module = nn.Sequential(OrderedDict(norm=nn.LayerNorm(dim), **layers))

    def forward(
        self, maps: Float[Tensor, "batch dim height width"]
    ) -> Float[Tensor, "batch dim height width"]:
        """Computes the block; windows at the edge are padded with zeros."""
        modeling = sam_modeling().image_encoder
        tokens = maps.permute(0, 2, 3, 1)
        windows, padded = modeling.window_partition(tokens, self.window)
        update = modeling.window_unpartition(self.attn(windows), self.window, padded, tokens.shape[1:3])
        tokens = self.local_conv((tokens + update).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        result: Tensor = tokens + self.mlp(tokens)
        return result.permute(0, 3, 1, 2)


class TinyViT(ImageEncoder):
    """MobileSAM's image encoder: four stages, the first of convolutions, the others of windowed attention.

    The last stage keeps the resolution of the one before it. Channels enter through a convolution of 3 x 3
    pixels, which is followed by its batch normalisation and another such convolution.

    Args:
        widths: channels of each stage.
        depths: blocks of each stage.
        heads: attention heads of each stage but the first.
        windows: sides of the windows of each stage but the first, in tokens.
        dim: channels of the features.
    """

    def __init__(
        self,
        *,
        widths: tuple[int, ...],
        depths: tuple[int, ...],
        heads: tuple[int, ...],
        windows: tuple[int, ...],
        dim: int,
    ) -> None:
        super().__init__(stem="patch_embed.seq.0.c", positions=())
        first, *_, last = widths
        stem = (NormedConv(3, first // 2, 3, stride=2), nn.GELU(), NormedConv(first // 2, first, 3, stride=2))
        self.patch_embed = nn.Sequential(OrderedDict(seq=nn.Sequential(*stem)))
        stages = [nn.Sequential(*(ConvBlock(first) for _ in range(depths[0])))]
        for width, depth, *attention in zip(widths[1:], depths[1:], heads, windows, strict=True):
            stages.append(nn.Sequential(*(Block(width, *attention) for _ in range(depth))))
        self.layers = nn.Sequential(*(nn.Sequential(OrderedDict(blocks=blocks)) for blocks in stages))
        for stage, inputs, outputs, stride in zip(self.layers, widths, widths[1:], (2, 2, 1), strict=False):
            stage.add_module("downsample", Merging(inputs, outputs, stride))
        for module in self.layers.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        self.neck = build_neck(last, dim)

    def forward(
        self, images: Float[Tensor, "batch channels size size"]
    ) -> Float[Tensor, "batch dim height width"]:
        """Encodes images, aligned and normalised."""
        features: Tensor = self.neck(self.layers(self.patch_embed(images)))
        return features
