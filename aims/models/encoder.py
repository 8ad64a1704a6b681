"""The base of all image encoders: patch embedding, position embedding, blocks and neck."""

from __future__ import annotations

from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor, nn


class ImageEncoder(nn.Module):
    """A plain vision transformer, or anything else that turns an image into tokens, block by block.

    It reuses the modules of a backbone under segment-anything's names, so that its state-dict keys are those
    of the authors' checkpoints. Methods that insert layers between the blocks (`aims.models.rgbx`) reuse the
    modules in turn.

    Args:
        patch_embed: (batch, 3, size, size) -> (batch, height, width, dim); its convolution is `proj`.
        pos_embed: (1, height, width, dim), added to the tokens; None for no position embedding.
        blocks: each (batch, height, width, dim) -> the same shape.
        neck: (batch, dim, height, width) -> image embeddings.
        stages: indices of the blocks that end a stage: in SAM those that attend to the whole image.
    """

    def __init__(
        self,
        *,
        patch_embed: nn.Module,
        pos_embed: nn.Parameter | None,
        blocks: Iterable[nn.Module],
        neck: nn.Module,
        stages: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.patch_embed = patch_embed
        self.pos_embed = pos_embed
        self.blocks = nn.ModuleList(blocks)
        self.neck = neck
        self.stages = stages

    @property
    def dim(self) -> int:
        """Channels of the tokens."""
        convolution = self.patch_embed.get_submodule("proj")
        assert isinstance(convolution, nn.Conv2d)
        return convolution.out_channels

    def embed(
        self, images: Float[Tensor, "batch channels size size"]
    ) -> Float[Tensor, "batch height width dim"]:
        """Computes the tokens of images, with position embedding."""
        tokens: Tensor = self.patch_embed(images)
        return tokens if self.pos_embed is None else tokens + self.pos_embed

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
