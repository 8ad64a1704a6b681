"""EfficientSAM: a small plain vision transformer, and a prompt encoder and a mask decoder of its own.

Xiong et al., "EfficientSAM: Leveraged Masked Image Pretraining for Efficient Segment Anything" (CVPR 2024).
The names of the layers are those of the authors' files (https://github.com/yformer/EfficientSAM, Apache-2.0).
It departs from SAM in its prompts (no mask, no embedding for clicks on the background, always six points or
more), in the self-attention of the decoder's blocks, and in the decoder's norms and activations. What is the
same is segment-anything's.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from aims.core.errors import InputError
from aims.models.backbone import BACKBONES, Backbone, Checkpoint, require_multiple, require_positive
from aims.models.decoding import finish_two_way
from aims.models.encoder import PlainEncoder
from aims.models.initialization import initialize_random
from aims.models.sam_segmenter import SAMSegmenter
from aims.models.segment_anything import build_neck, sam_modeling
from aims.models.segmenter import PromptEmbeddings, Segmenter

#: Points that the decoder always gets; a prompt of fewer is padded, as in the authors' program.
POINTS = 6
#: Labels of the corners of a box, and of padding.
CORNERS, PADDING = (2, 3), -1
#: Side of the grid of the position embedding, which is interpolated: 224 pixels at 16 pixels a patch.
POSITIONS = 14


class PromptEncoder(nn.Module):
    """Points and corners of boxes to tokens; a click on the background is its position alone.

    Args:
        dim: channels of the tokens.
        grid: side of the image embeddings.
        image_size: side of the square model input, in pixels.
    """

    def __init__(self, *, dim: int, grid: int, image_size: int) -> None:
        super().__init__()
        self.embed_dim = dim
        self.image_embedding_size = (grid, grid)
        self.input_image_size = (image_size, image_size)
        self.pe_layer: Any = sam_modeling().prompt_encoder.PositionEmbeddingRandom(dim // 2)
        self.invalid_points = nn.Embedding(1, dim)
        self.point_embeddings = nn.Embedding(1, dim)
        self.bbox_top_left_embeddings = nn.Embedding(1, dim)
        self.bbox_bottom_right_embeddings = nn.Embedding(1, dim)

    def forward(
        self, point_coords: Float[Tensor, "prompts points 2"], point_labels: Int[Tensor, "prompts points"]
    ) -> Float[Tensor, "prompts points dim"]:
        """Embeds points; labels are 1 (object), 0 (background), 2 and 3 (corners of a box), -1 (padding)."""
        # The authors place padding at (-1, -1).
        coords = torch.where(point_labels[..., None] == PADDING, -1.0, point_coords)
        # Coordinates count from pixel centres; the encoder's from the corner of the first pixel.
        tokens: Tensor = self.pe_layer.forward_with_coords(coords + 0.5, self.input_image_size)
        corners = zip(
            CORNERS, (self.bbox_top_left_embeddings, self.bbox_bottom_right_embeddings), strict=True
        )
        for label, embedding in ((PADDING, self.invalid_points), (1, self.point_embeddings), *corners):
            tokens = torch.where(point_labels[..., None] == label, tokens + embedding.weight, tokens)
        return tokens

    def get_dense_pe(self) -> Float[Tensor, "1 dim height width"]:
        """Returns the positional encoding of the image."""
        encoding: Tensor = self.pe_layer(self.image_embedding_size)
        return encoding[None]


class MLP(nn.Module):
    """Linear layers with GELU between them: `depth` hidden ones, and `fc`."""

    def __init__(self, inputs: int, hidden: int, outputs: int, *, depth: int) -> None:
        super().__init__()
        widths = (inputs, *[hidden] * depth)
        self.layers = nn.Sequential(
            *(nn.Sequential(nn.Linear(*pair), nn.GELU()) for pair in pairwise(widths))
        )
        self.fc = nn.Linear(hidden, outputs)

    def forward(self, tokens: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """Computes the layers."""
        result: Tensor = self.fc(self.layers(tokens))
        return result


# Any, as mypy does not know the classes of a module that is loaded at run time.
_TwoWayBlock: Any = sam_modeling().transformer.TwoWayAttentionBlock


class TwoWayBlock(_TwoWayBlock):  # type: ignore[misc]
    """segment-anything's two-way block with another self-attention.

    It is residual in the first block, too, and positions, where they are added, are in its values and stay.
    """

    def __init__(self, dim: int, mlp_dim: int, *, first: bool) -> None:
        super().__init__(dim, num_heads=8, skip_first_layer_pe=first)
        self.mlp = MLP(dim, mlp_dim, dim, depth=1)

    def forward(
        self, queries: Tensor, keys: Tensor, query_pe: Tensor, key_pe: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Computes the block, with its `adapter` if it has one; the argument names are segment-anything's."""
        placed = queries if self.skip_first_layer_pe else queries + query_pe
        attended = self.norm1(placed + self.self_attn(q=placed, k=placed, v=placed))
        return finish_two_way(self, attended, keys, query_pe, key_pe, folded=False)


class MaskDecoder(nn.Module):
    """Masks from tokens and image embeddings, called as segment-anything's decoder.

    Args:
        dim: channels of prompt and image embeddings.
        mlp_dim: hidden width of the blocks' MLPs.
        iou_hidden_dim: hidden width of the head that predicts the IoU.
    """

    def __init__(self, *, dim: int, mlp_dim: int, iou_hidden_dim: int) -> None:
        super().__init__()
        self.transformer = sam_modeling().TwoWayTransformer(
            depth=2, embedding_dim=dim, num_heads=8, mlp_dim=1
        )
        self.transformer.layers = nn.ModuleList(TwoWayBlock(dim, mlp_dim, first=k == 0) for k in range(2))
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(4, dim)
        half, quarter = dim // 4, dim // 8
        self.final_output_upscaling_layers = nn.Sequential(
            nn.Sequential(nn.ConvTranspose2d(dim, half, 2, stride=2), nn.GroupNorm(1, half), nn.GELU()),
            nn.Sequential(nn.ConvTranspose2d(half, quarter, 2, stride=2), nn.Identity(), nn.GELU()),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(MLP(dim, dim, quarter, depth=2) for _ in range(4))
        self.iou_prediction_head = MLP(dim, iou_hidden_dim, 4, depth=2)

    def forward(
        self,
        image_embeddings: Float[Tensor, "1 dim height width"],
        image_pe: Float[Tensor, "1 dim height width"],
        sparse_prompt_embeddings: Float[Tensor, "prompts tokens dim"],
        dense_prompt_embeddings: Float[Tensor, "prompts dim height width"],
        multimask_output: bool,
    ) -> tuple[Float[Tensor, "prompts masks rows columns"], Float[Tensor, "prompts masks"]]:
        """Predicts the masks of several prompts on one image."""
        output = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat(
            [output.expand(len(sparse_prompt_embeddings), -1, -1), sparse_prompt_embeddings], 1
        )
        image = image_embeddings + dense_prompt_embeddings
        queries, pixels = self.transformer(image, image_pe, tokens)
        fine = self.final_output_upscaling_layers(pixels.transpose(1, 2).unflatten(2, image.shape[2:]))
        chosen = slice(1, None) if multimask_output else slice(0, 1)
        networks = [*enumerate(self.output_hypernetworks_mlps)][chosen]
        hyper = torch.stack([network(queries[:, 1 + k]) for k, network in networks], 1)
        logits = torch.einsum("pmc,pchw->pmhw", hyper, fine)
        return logits, self.iou_prediction_head(queries[:, 0])[:, chosen]


class EfficientSAMSegmenter(SAMSegmenter):
    """EfficientSAM's prompts and masks.

    Its authors' program drops further points where a prompt has more than six; here all of them count.
    """

    takes_masks = False

    def embed_prompts(
        self,
        point_coords: Float[Tensor, "prompts points 2"],
        point_labels: Int[Tensor, "prompts points"],
        boxes: Float[Tensor, "prompts 4"] | None,
        masks: Float[Tensor, "prompts 1 prompt_height prompt_width"] | None,
    ) -> PromptEmbeddings:
        """Embeds prompts; a box is two more points.

        Raises:
            InputError: a mask is among the prompts.
        """
        if masks is not None:
            raise InputError("EfficientSAM takes no mask as a prompt; give points or boxes")
        if boxes is not None:
            corners = point_labels.new_tensor(CORNERS).expand(len(boxes), -1)
            point_coords = torch.cat([point_coords, boxes.view(-1, 2, 2)], 1)
            point_labels = torch.cat([point_labels, corners], 1)
        lacking = max(0, POINTS - point_labels.shape[1])
        sparse = self.prompt_encoder(
            F.pad(point_coords, (0, 0, 0, lacking)), F.pad(point_labels, (0, lacking), value=PADDING)
        )
        image_pe = self.prompt_encoder.get_dense_pe()
        return PromptEmbeddings(sparse=sparse, dense=torch.zeros_like(image_pe), image_pe=image_pe)

    def adapt_two_way_block(self, block: nn.Module, adapter: nn.Module) -> None:
        """Puts an adapter into a `TwoWayBlock`."""
        block.adapter = adapter


@dataclass(frozen=True, kw_only=True)
class EfficientSAM(Backbone):
    """Hyper-parameters of one EfficientSAM; the defaults are those of `efficient_sam/efficient_sam.py`.

    Attributes:
        width: channels of the image encoder's tokens.
        heads: attention heads of the image encoder.
        depth: transformer blocks of the image encoder, each of which attends to the whole image.
        checkpoint: the authors' weights; None if there are none.
        image_size: side of the square model input, in pixels.
        patch_size: side of one patch, in pixels.
        prompt_dim: channels of image and prompt embeddings and of the mask decoder.
        decoder_mlp_dim: hidden width of the mask decoder's MLPs.
        iou_hidden_dim: hidden width of the head that predicts the IoU.
    """

    exports = ("torch",)

    width: int
    heads: int
    depth: int = 12
    checkpoint: Checkpoint | None = None
    image_size: int = 1024
    patch_size: int = 16
    prompt_dim: int = 256
    decoder_mlp_dim: int = 2048
    iou_hidden_dim: int = 256

    def __post_init__(self) -> None:
        require_positive(self)
        require_multiple("width", self.width, self.heads, f"{self.heads} heads")
        require_multiple("image_size", self.image_size, self.patch_size, f"the patches' {self.patch_size}")
        require_multiple("prompt_dim", self.prompt_dim, 16)

    @property
    def mask_size(self) -> int:
        """Side of the mask logits: four pixels a side for every patch."""
        return 4 * (self.image_size // self.patch_size)

    def build(self) -> Segmenter:
        """Builds a plain EfficientSAM with torch's and segment-anything's initialisation."""
        dim, grid = self.prompt_dim, self.image_size // self.patch_size
        return EfficientSAMSegmenter(
            alignment=nn.Identity(),
            image_encoder=PlainEncoder(
                patch_embed=sam_modeling().image_encoder.PatchEmbed(
                    (self.patch_size, self.patch_size),
                    (self.patch_size, self.patch_size),
                    embed_dim=self.width,
                ),
                pos_embed=nn.Parameter(torch.zeros(1, 1 + POSITIONS**2, self.width)),
                blocks=[self._build_block() for _ in range(self.depth)],
                neck=build_neck(self.width, dim),
                # All blocks attend to the whole image. Four stages, as in SAM and in CMX's own networks.
                stages=tuple(sorted({max(0, (k + 1) * self.depth // 4 - 1) for k in range(4)})),
            ),
            prompt_encoder=PromptEncoder(dim=dim, grid=grid, image_size=self.image_size),
            mask_decoder=MaskDecoder(
                dim=dim, mlp_dim=self.decoder_mlp_dim, iou_hidden_dim=self.iou_hidden_dim
            ),
            image_size=self.image_size,
            in_channels=3,
        )

    def _build_block(self) -> nn.Module:
        """Builds segment-anything's block without windows and relative positions."""
        block: nn.Module = sam_modeling().image_encoder.Block(
            self.width, self.heads, norm_layer=functools.partial(nn.LayerNorm, eps=1e-6)
        )
        hidden = 4 * self.width
        layers = {
            "fc1": nn.Linear(self.width, hidden),
            "act": nn.GELU(),
            "fc2": nn.Linear(hidden, self.width),
        }
        block.mlp = nn.Sequential(OrderedDict(layers))
        return block

    def initialize(self, model: Segmenter) -> None:
        """Reinitialises the weights with `initialize_random`."""
        initialize_random(model)


# Size and checksum as several public programs give them; the file was not at hand (docs/backbones.md).
BACKBONES.register("efficient-sam-ti")(
    EfficientSAM(
        width=192,
        heads=3,
        checkpoint=Checkpoint(
            file_name="efficient_sam_vitt.pt",
            size_bytes=40_982_470,
            sha256="dff858b19600a46461cbb7de98f796b23a7a888d9f5e34c0b033f7d6eb9e4e6a",
            address=(
                "https://raw.githubusercontent.com/yformer/EfficientSAM/"
                "d525f622e6f640acf5a0fc37c7ca1f243da5bde0/weights/"
            ),
            license="Apache-2.0",
            authors="the authors of EfficientSAM (Meta AI)",
        ),
    )
)
# Its authors offer a zip file with efficient_sam_vits.pt in it, which `--weights` takes once it is unpacked.
BACKBONES.register("efficient-sam-s")(EfficientSAM(width=384, heads=6))
