"""The base of all image encoders, and that of plain vision transformers, whose blocks can be taken apart."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from aims.core.errors import InputError
from aims.models.features import Features


class ImageEncoder(nn.Module, ABC):
    """Images to features, with a convolution through which their channels enter.

    Args:
        stem: name of that convolution. The module that holds it is a patch embedding if it holds nothing
            else: (batch, channels, size, size) -> (batch, height, width, dim).
        positions: names of the parameters of the position embedding, if there is one.
    """

    def __init__(self, *, stem: str, positions: tuple[str, ...]) -> None:
        super().__init__()
        self.stem_name = stem
        self.position_names = positions

    @property
    def stem(self) -> nn.Conv2d:
        """The convolution through which the channels of images enter."""
        convolution = self.get_submodule(self.stem_name)
        assert isinstance(convolution, nn.Conv2d)
        return convolution

    def renew_stem(self, channels: int) -> None:
        """Replaces the stem by a new one for images of `channels` channels, with random weights."""
        old = self.stem
        new = nn.Conv2d(
            channels,
            old.out_channels,
            (old.kernel_size[0], old.kernel_size[1]),
            stride=(old.stride[0], old.stride[1]),
            padding=old.padding if isinstance(old.padding, str) else (old.padding[0], old.padding[1]),
            bias=old.bias is not None,
        )
        self.set_submodule(self.stem_name, new)

    def patch_embedding(self) -> str:
        """Returns the name of the module that holds the stem and nothing else.

        Raises:
            InputError: it holds other layers.
        """
        holder, _, name = self.stem_name.rpartition(".")
        module = self.get_submodule(holder)
        if not holder or dict(module.named_children()).keys() != {name}:
            raise InputError(
                f"the channels of this backbone enter through {self.stem_name} of {type(module).__name__}, "
                "which is no patch embedding of one convolution"
            )
        return holder

    @abstractmethod
    def forward(self, images: Float[Tensor, "batch channels size size"]) -> Features:
        """Encodes images, aligned and normalised."""


class PlainEncoder(ImageEncoder):
    """A plain vision transformer, or anything else that turns an image into tokens, block by block.

    It reuses the modules of a backbone under segment-anything's names, so that its state-dict keys are those
    of the authors' checkpoints. Methods that insert layers between the blocks (`aims.models.rgbx`) reuse the
    modules in turn.

    Args:
        patch_embed: (batch, 3, size, size) -> (batch, height, width, dim).
        pos_embed: (1, height, width, dim), added to the tokens; (1, 1 + places, dim) of a class token, which
            is left out, and of the places of a square grid, from which it is interpolated; None for no
            position embedding.
        blocks: each (batch, height, width, dim) -> the same shape.
        neck: (batch, dim, height, width) -> image embeddings.
        stages: indices of the blocks that end a stage: in SAM those that attend to the whole image.
        stem: name of the convolution in `patch_embed`.
    """

    def __init__(
        self,
        *,
        patch_embed: nn.Module,
        pos_embed: nn.Parameter | None,
        blocks: Iterable[nn.Module],
        neck: nn.Module,
        stages: tuple[int, ...],
        stem: str = "proj",
    ) -> None:
        super().__init__(stem=f"patch_embed.{stem}", positions=() if pos_embed is None else ("pos_embed",))
        self.patch_embed = patch_embed
        self.pos_embed = pos_embed
        self.blocks = nn.ModuleList(blocks)
        self.neck = neck
        self.stages = stages

    @property
    def dim(self) -> int:
        """Channels of the tokens."""
        return self.stem.out_channels

    def embed(
        self, images: Float[Tensor, "batch channels size size"]
    ) -> Float[Tensor, "batch height width dim"]:
        """Computes the tokens of images, with position embedding."""
        return self.place(self.patch_embed(images))

    def place(
        self, tokens: Float[Tensor, "batch height width dim"]
    ) -> Float[Tensor, "batch height width dim"]:
        """Adds the position embedding, if there is one, to tokens."""
        if self.pos_embed is None:
            return tokens
        height, width = tokens.shape[1:3]
        return tokens + _positions(self.pos_embed, height, width)

    def finish(
        self, tokens: Float[Tensor, "batch height width dim"]
    ) -> Float[Tensor, "batch out height width"]:
        """Computes image embeddings from the last block's tokens."""
        embeddings: Tensor = self.neck(tokens.permute(0, 3, 1, 2))
        return embeddings

    def forward(
        self, images: Float[Tensor, "batch channels size size"]
    ) -> Float[Tensor, "batch out height width"]:
        """Encodes images, aligned and normalised."""
        tokens = self.embed(images)
        for block in self.blocks:
            tokens = block(tokens)
        return self.finish(tokens)


def _positions(table: Tensor, height: int, width: int) -> Float[Tensor, "1 height width dim"]:
    """Returns a position embedding for a grid, which is interpolated from a list with a class token."""
    if table.ndim == 4:
        return table
    side = math.isqrt(table.shape[1] - 1)
    grid = table[:, 1:].view(1, side, side, -1).permute(0, 3, 1, 2)
    # As in EfficientSAM's program.
    return F.interpolate(grid, (height, width), mode="bicubic").permute(0, 2, 3, 1)
