"""MobileSAM: SAM's prompts and masks on the features of a small hierarchical image encoder.

Zhang et al., "Faster Segment Anything: Towards Lightweight SAM for Mobile Applications" (2023). The names of
the layers are those of the authors' file (https://github.com/ChaoningZhang/MobileSAM, Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from aims.core.errors import InputError
from aims.models.backbone import BACKBONES, Backbone, Checkpoint, require_multiple, require_positive
from aims.models.extension import MakeTokens
from aims.models.initialization import initialize_random
from aims.models.sam_segmenter import SAMSegmenter
from aims.models.segment_anything import build_mask_decoder, build_prompt_encoder
from aims.models.segmenter import Segmenter
from aims.models.tiny_vit import STRIDE, TinyViT, WindowAttention


class MobileSAMSegmenter(SAMSegmenter):
    """SAM's segmenter around a `TinyViT`."""

    def extend_attention(self, attention: nn.Module, make: MakeTokens) -> nn.Module:
        """Puts extra tokens into an attention of the encoder, and replaces those of the decoder."""
        if not isinstance(attention, WindowAttention):
            return super().extend_attention(attention, make)
        dim = attention.proj.in_features
        attention.extra = make(dim, dim)
        return attention


@dataclass(frozen=True, kw_only=True)
class MobileSAM(Backbone):
    """Hyper-parameters of MobileSAM; the defaults are those of `mobile_sam/build_sam.py`.

    Attributes:
        widths: channels of the image encoder's four stages.
        depths: blocks of these stages.
        heads: attention heads of the last three.
        windows: sides of their windows, in tokens.
        checkpoint: the authors' weights; None if there are none.
        image_size: side of the square model input, in pixels.
        prompt_dim: channels of image and prompt embeddings and of the mask decoder.
        decoder_mlp_dim: hidden width of the mask decoder's MLPs.
        iou_hidden_dim: hidden width of the head that predicts the IoU.
    """

    exports = ("torch",)

    widths: tuple[int, ...] = (64, 128, 160, 320)
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (4, 5, 10)
    windows: tuple[int, ...] = (7, 14, 7)
    checkpoint: Checkpoint | None = None
    image_size: int = 1024
    prompt_dim: int = 256
    decoder_mlp_dim: int = 2048
    iou_hidden_dim: int = 256

    def __post_init__(self) -> None:
        for name, count in (("widths", 4), ("depths", 4), ("heads", 3), ("windows", 3)):
            numbers: tuple[int, ...] = getattr(self, name)
            if len(numbers) != count or min(numbers) < 1:
                raise InputError(f"{name} must be {count} numbers of at least 1, not {numbers}")
        require_positive(self)
        for width, heads in zip(self.widths[1:], self.heads, strict=True):
            require_multiple("width", width, heads, f"{heads} heads")
        if self.widths[0] % 2:
            raise InputError(f"the first of the widths, {self.widths[0]}, is no even number")
        require_multiple("image_size", self.image_size, STRIDE)
        require_multiple("prompt_dim", self.prompt_dim, 16)

    @property
    def mask_size(self) -> int:
        """Side of the mask logits: a quarter of the input."""
        return self.image_size // 4

    def build(self) -> Segmenter:
        """Builds a plain MobileSAM with the initialisation of TinyViT and of segment-anything."""
        return MobileSAMSegmenter(
            alignment=nn.Identity(),
            image_encoder=TinyViT(
                widths=self.widths,
                depths=self.depths,
                heads=self.heads,
                windows=self.windows,
                dim=self.prompt_dim,
            ),
            prompt_encoder=build_prompt_encoder(
                dim=self.prompt_dim, grid=self.image_size // STRIDE, image_size=self.image_size
            ),
            mask_decoder=build_mask_decoder(
                dim=self.prompt_dim, mlp_dim=self.decoder_mlp_dim, iou_hidden_dim=self.iou_hidden_dim
            ),
            image_size=self.image_size,
            in_channels=3,
        )

    def initialize(self, model: Segmenter) -> None:
        """Reinitialises what SAM has as well with `initialize_random`."""
        initialize_random(model)

    def convert_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the tensors of the authors' file without those of the encoder's classifier."""
        classifier = ("image_encoder.norm_head.", "image_encoder.head.")
        return {name: tensor for name, tensor in state.items() if not name.startswith(classifier)}


# Size and checksum as several public programs give them; the file was not at hand (docs/backbones.md).
BACKBONES.register("mobile-sam")(
    MobileSAM(
        checkpoint=Checkpoint(
            file_name="mobile_sam.pt",
            size_bytes=40_728_226,
            sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
            address=(
                "https://raw.githubusercontent.com/ChaoningZhang/MobileSAM/"
                "f706ad9c4eb7f219c00d9050e46328518ffb65d2/weights/"
            ),
            license="Apache-2.0",
            authors="the authors of MobileSAM (Kyung Hee University)",
        ),
    )
)
