"""ViPT: a frozen encoder that is prompted by a second modality before every block."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aims.models.encoder import ImageEncoder
from aims.models.rgbx.common import RGBXEncoder
from aims.models.trainable import FullyTrainable

#: Channels inside a prompter, and the initial value of its fovea's scale s (both from the ViPT program).
HIDDEN, SMOOTHING = 8, 10.0


class Prompter(FullyTrainable):
    """Modality-complementary prompter: makes a prompt for a block from RGB tokens and the previous prompt.

    Zhu et al., "Visual Prompt Multi-Modal Tracking" (CVPR 2023): P' = W3 (fovea(W1 norm(RGB)) + W2 norm(P)).
    The fovea weights each channel by a softmax over its positions, fovea(f) = f softmax(s f), with a learned
    s. W1, W2 and W3 are 1 x 1 convolutions, here linear layers of the tokens, which is the same.

    In ViPT's program, the norm of RGB before block i > 0 is that of prompter i - 1, with a remark that this
    is to do. Here one norm serves both inputs of a prompter, as in the SimCMF program, which gave the
    published numbers; the number of parameters is the same. The norm's epsilon is that of ViPT and of SAM.

    Args:
        dim: channels of the tokens.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.rgb_down = nn.Linear(dim, HIDDEN)
        self.prompt_down = nn.Linear(dim, HIDDEN)
        self.up = nn.Linear(HIDDEN, dim)
        self.smoothing = nn.Parameter(torch.full((1,), SMOOTHING))
        for linear in (self.rgb_down, self.prompt_down, self.up):
            nn.init.xavier_uniform_(linear.weight)

    def forward(
        self, rgb: Float[Tensor, "batch height width dim"], prompt: Float[Tensor, "batch height width dim"]
    ) -> Float[Tensor, "batch height width dim"]:
        """Computes the prompt of the next block from that block's input tokens and the previous prompt."""
        features: Tensor = self.rgb_down(self.norm(rgb))
        weights = (self.smoothing * features).flatten(1, 2).softmax(dim=1).view_as(features)
        complemented: Tensor = self.up(features * weights + self.prompt_down(self.norm(prompt)))
        return complemented


class ViPTEncoder(RGBXEncoder):
    """An image encoder with a prompter before every block ("ViPT-deep").

    A prompter's output is added to the input tokens of its block and is the second input of the next
    prompter; that of the first one are the tokens of X. As in the SimCMF program, RGB has its position
    embedding before the first prompter (ViPT adds it after), and X has none. That program also scales the
    tokens of X by one weight per channel, which starts at zero; like ViPT, this encoder has no such layer.

    Args:
        encoder: the backbone's; its modules are reused.
        channels: number of channels of the images, RGB included.

    Raises:
        InputError: there is no channel beside RGB, or the encoder is no plain vision transformer.
    """

    def __init__(self, encoder: ImageEncoder, *, channels: int) -> None:
        super().__init__(encoder, channels=channels)
        self.prompters = nn.ModuleList(Prompter(self.dim) for _ in self.blocks)

    def forward(
        self, images: Float[Tensor, "batch channels size size"]
    ) -> Float[Tensor, "batch out height width"]:
        """Encodes normalised images, RGB first."""
        tokens, prompt = self.embed_rgb(images), self.embed_x(images)
        for prompter, block in zip(self.prompters, self.blocks, strict=True):
            prompt = prompter(tokens, prompt)
            tokens = block(tokens + prompt)
        return self.finish(tokens)
