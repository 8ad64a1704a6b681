"""SAM's backbones, built from segment-anything's own modules."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from torch import nn

from aims.core.errors import InputError
from aims.models.backbone import BACKBONES, Backbone, Checkpoint, require_multiple, require_positive
from aims.models.encoder import PlainEncoder
from aims.models.initialization import initialize_random
from aims.models.sam_segmenter import SAMSegmenter
from aims.models.segment_anything import build_mask_decoder, build_prompt_encoder, sam_modeling
from aims.models.segmenter import Segmenter


@dataclass(frozen=True, kw_only=True)
class SAM(Backbone):
    """Hyper-parameters of one SAM; the defaults are those of `segment_anything/build_sam.py`.

    Attributes:
        width: channels of the image encoder's tokens.
        depth: transformer blocks of the image encoder.
        heads: attention heads of the image encoder.
        global_blocks: blocks that attend to the whole image; the others attend within windows.
        checkpoint: the authors' weights; None if there are none.
        image_size: side of the square model input, in pixels.
        patch_size: side of one patch, in pixels.
        window: side of an attention window, in patches.
        prompt_dim: channels of image and prompt embeddings and of the mask decoder.
        decoder_mlp_dim: hidden width of the mask decoder's MLPs.
        iou_hidden_dim: hidden width of the head that predicts the IoU.
        mask_scale: side of the mask logits of one patch, in pixels: a power of two, at least SAM's 4. Beyond
            it the decoder has further transposed convolutions, and the model is no longer plain SAM.
    """

    width: int
    depth: int
    heads: int
    global_blocks: tuple[int, ...]
    checkpoint: Checkpoint | None = None
    image_size: int = 1024
    patch_size: int = 16
    window: int = 14
    prompt_dim: int = 256
    decoder_mlp_dim: int = 2048
    iou_hidden_dim: int = 256
    mask_scale: int = 4

    def __post_init__(self) -> None:
        require_positive(self)
        require_multiple("width", self.width, self.heads, f"{self.heads} heads")
        require_multiple("image_size", self.image_size, self.patch_size, f"the patches' {self.patch_size}")
        require_multiple("prompt_dim", self.prompt_dim, 16)
        if not self.global_blocks or not all(0 <= block < self.depth for block in self.global_blocks):
            raise InputError(f"global_blocks {self.global_blocks} must be of the blocks 0..{self.depth - 1}")
        if self.mask_scale < 4 or self.mask_scale & (self.mask_scale - 1):
            raise InputError(f"mask_scale must be 4, 8, 16, ..., not {self.mask_scale}")

    @property
    def mask_size(self) -> int:
        """Side of the mask logits: by default a quarter of the input at SAM's patch size of 16."""
        return self.mask_scale * (self.image_size // self.patch_size)

    def build(self) -> Segmenter:
        """Builds a plain SAM with segment-anything's own initialisation.

        Its state-dict keys are those of the authors' checkpoints.
        """
        modeling = sam_modeling()
        grid = self.image_size // self.patch_size
        encoder = modeling.ImageEncoderViT(
            img_size=self.image_size,
            patch_size=self.patch_size,
            embed_dim=self.width,
            depth=self.depth,
            num_heads=self.heads,
            mlp_ratio=4,
            out_chans=self.prompt_dim,
            qkv_bias=True,
            norm_layer=functools.partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=self.window,
            global_attn_indexes=self.global_blocks,
        )
        return SAMSegmenter(
            alignment=nn.Identity(),
            image_encoder=PlainEncoder(
                patch_embed=encoder.patch_embed,
                pos_embed=encoder.pos_embed,
                blocks=encoder.blocks,
                neck=encoder.neck,
                stages=self.global_blocks,
            ),
            prompt_encoder=build_prompt_encoder(dim=self.prompt_dim, grid=grid, image_size=self.image_size),
            mask_decoder=self._build_decoder(),
            image_size=self.image_size,
            in_channels=3,
        )

    def _build_decoder(self) -> nn.Module:
        decoder = build_mask_decoder(
            dim=self.prompt_dim, mlp_dim=self.decoder_mlp_dim, iou_hidden_dim=self.iou_hidden_dim
        )
        upscaling = decoder.get_submodule("output_upscaling")
        assert isinstance(upscaling, nn.Sequential)
        channels = self.prompt_dim // 8
        for _ in range(int(math.log2(self.mask_scale)) - 2):
            upscaling.extend([nn.ConvTranspose2d(channels, channels, kernel_size=2, stride=2), nn.GELU()])
        return decoder

    def initialize(self, model: Segmenter) -> None:
        """Reinitialises the weights with `initialize_random`."""
        initialize_random(model)


def _checkpoint(file_name: str, size_bytes: int, sha256: str) -> Checkpoint:
    """One of the authors' files (README of https://github.com/facebookresearch/segment-anything)."""
    return Checkpoint(
        file_name=file_name,
        size_bytes=size_bytes,
        sha256=sha256,
        address="https://dl.fbaipublicfiles.com/segment_anything/",
        license="Apache-2.0",
        authors="the authors of Segment Anything (Meta AI)",
    )


BACKBONES.register("sam-vit-b")(
    SAM(
        width=768,
        depth=12,
        heads=12,
        global_blocks=(2, 5, 8, 11),
        checkpoint=_checkpoint(
            "sam_vit_b_01ec64.pth",
            375_042_383,
            "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        ),
    )
)
BACKBONES.register("sam-vit-l")(
    SAM(
        width=1024,
        depth=24,
        heads=16,
        global_blocks=(5, 11, 17, 23),
        checkpoint=_checkpoint(
            "sam_vit_l_0b3195.pth",
            1_249_524_607,
            "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        ),
    )
)
BACKBONES.register("sam-vit-h")(
    SAM(
        width=1280,
        depth=32,
        heads=16,
        global_blocks=(7, 15, 23, 31),
        checkpoint=_checkpoint(
            "sam_vit_h_4b8939.pth",
            2_564_550_879,
            "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        ),
    )
)
# Ours: SAM's architecture at a size that trains on a CPU. Decoder widths keep SAM's ratios to prompt_dim.
BACKBONES.register("sam-tiny")(
    SAM(
        width=192,
        depth=6,
        heads=6,
        global_blocks=(2, 5),
        image_size=128,
        patch_size=8,
        window=8,
        prompt_dim=128,
        decoder_mlp_dim=1024,
        iou_hidden_dim=128,
    )
)
