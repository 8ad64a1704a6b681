"""transformers' SAM, SAM-HQ, SAM 2 and SAM 3 as segmenters, around their own modules."""

from __future__ import annotations

from abc import abstractmethod
from collections import OrderedDict
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from aims.core.errors import InputError
from aims.models.encoder import ImageEncoder, PlainEncoder
from aims.models.extension import MakeTokens
from aims.models.features import Features, maps_of
from aims.models.hf.attention import adapt_block, extend
from aims.models.segmenter import PromptEmbeddings, Segmenter

# Prompts that are decoded at once without gradients: transformers repeats an image for each of them.
_AT_ONCE = 16


class PatchEmbedding(nn.Module):
    """transformers' patch embedding without its checks of size and channels."""

    def __init__(self, projection: nn.Conv2d) -> None:
        super().__init__()
        self.projection = projection

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch rows columns dim"]:
        """Computes the tokens of images."""
        tokens: Tensor = self.projection(images)
        return tokens.permute(0, 2, 3, 1)


class SamEncoder(PlainEncoder):
    """The vision encoder of `SamModel`, taken apart into its blocks."""

    def __init__(self, vision: Any) -> None:
        super().__init__(
            patch_embed=PatchEmbedding(vision.patch_embed.projection),
            pos_embed=vision.pos_embed,
            blocks=vision.layers,
            neck=nn.Sequential(OrderedDict(vision.neck.named_children())),
            stages=tuple(index for index, layer in enumerate(vision.layers) if not layer.window_size),
            stem="projection",
        )


class SamHQEncoder(SamEncoder):
    """The vision encoder of `SamHQModel`, whose decoder also takes tokens of an inner block."""

    def forward(  # type: ignore[override]
        self, images: Float[Tensor, "batch channels size size"]
    ) -> tuple[Float[Tensor, "batch rows columns dim"], Float[Tensor, "batch out height width"]]:
        """Encodes images: the tokens of the first block that attends to the whole image, the embeddings."""
        tokens = inner = self.embed(images)
        for index, block in enumerate(self.blocks):
            tokens = block(tokens)
            if index == self.stages[0]:
                inner = tokens
        return inner, self.finish(tokens)


class Sam2Encoder(ImageEncoder):
    """The vision encoder of `Sam2Model`: Hiera, whose width and resolution change, and its pyramid."""

    def __init__(self, vision: nn.Module, no_memory_embedding: nn.Parameter) -> None:
        super().__init__(
            stem="vision.backbone.patch_embed.projection",
            positions=("vision.backbone.pos_embed", "vision.backbone.pos_embed_window"),
        )
        self.vision = vision
        self.no_memory_embedding = no_memory_embedding

    def forward(
        self, images: Float[Tensor, "batch channels size size"]
    ) -> tuple[Float[Tensor, "batch out height width"], ...]:
        """Encodes images: three maps from fine to coarse, as of an image without a past."""
        *maps, last = self.vision(images).fpn_hidden_states
        # As transformers: where SAM 3 has a fourth map, it is that one which the embedding is added to, and
        # which the decoder does not take.
        return (*maps, last + self.no_memory_embedding.view(1, -1, 1, 1))[:3]


class Sam3Encoder(ImageEncoder):
    """The vision encoder of `Sam3TrackerModel`: a vision transformer, its last tokens at three sizes."""

    def __init__(self, vision: nn.Module, no_memory_embedding: nn.Parameter) -> None:
        super().__init__(
            stem="vision.backbone.embeddings.patch_embeddings.projection",
            positions=("vision.backbone.embeddings.position_embeddings",),
        )
        self.vision = vision
        self.no_memory_embedding = no_memory_embedding

    forward = Sam2Encoder.forward

    def patch_embedding(self) -> str:
        """Raises InputError: its tokens have no rows and columns."""
        raise InputError("the patch embedding of SAM 3 gives a list of tokens, and cannot be extended")


class HFSegmenter(Segmenter):
    """What the segmenters of transformers' models share; subclasses make features and call the decoder.

    Args:
        model: a model of transformers, which is taken apart.
        image_encoder: the encoder around its vision encoder.
        image_size: side of the square model input, in pixels.
    """

    #: Prefixes of the names of tensors in transformers' model, and those in this one.
    NAMES: ClassVar[tuple[tuple[str, str], ...]]

    def __init__(self, model: Any, image_encoder: ImageEncoder, *, image_size: int) -> None:
        super().__init__(
            alignment=nn.Identity(),
            image_encoder=image_encoder,
            prompt_encoder=model.prompt_encoder,
            mask_decoder=model.mask_decoder,
            image_size=image_size,
            in_channels=3,
        )

    @classmethod
    @abstractmethod
    def of(cls, model: Any, image_size: int) -> HFSegmenter:
        """Takes a model of transformers apart."""

    def _image_positions(self) -> nn.Module:
        """Returns the positional encoding of the image."""
        positions: nn.Module = self.prompt_encoder.shared_embedding
        return positions

    @abstractmethod
    def _call_decoder(self, features: tuple[Tensor, ...], **prompts: Any) -> tuple[Tensor, Tensor]:
        """Returns mask logits and predicted IoU, (images, prompts, masks, ...) each."""

    def embed_prompts(
        self,
        point_coords: Float[Tensor, "prompts points 2"],
        point_labels: Int[Tensor, "prompts points"],
        boxes: Float[Tensor, "prompts 4"] | None,
        masks: Float[Tensor, "prompts 1 prompt_height prompt_width"] | None,
    ) -> PromptEmbeddings:
        """Embeds prompts as those of one image each; without masks, with one dense embedding for all."""
        clicked = point_coords.shape[1] > 0
        sparse, dense = self.prompt_encoder(
            input_points=point_coords[:, None] if clicked else None,
            input_labels=point_labels[:, None] if clicked else None,
            input_boxes=None if boxes is None else boxes[:, None],
            input_masks=masks,
        )
        return PromptEmbeddings(
            sparse=sparse[:, 0], dense=dense[:1] if masks is None else dense, image_pe=self._image_pe()
        )

    def _image_pe(self) -> Float[Tensor, "1 dim height width"]:
        height, width = self.prompt_encoder.image_embedding_size
        rows, columns = ((torch.arange(n, device=self.device) + 0.5) / n for n in (height, width))
        grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
        encoded: Tensor = self._image_positions()(grid)
        return encoded.permute(2, 0, 1)[None]

    def predict(
        self, features: Features, prompts: PromptEmbeddings, *, multimask: bool = False
    ) -> tuple[Float[Tensor, "prompts masks mask_height mask_width"], Float[Tensor, "prompts masks"]]:
        """Predicts masks; a mask prompt gets an image of its own, as transformers takes one for each."""
        maps, sparse, dense = maps_of(features), prompts.sparse, prompts.dense
        images = len(maps[0])
        if len(dense) > 1:
            maps = tuple(each.repeat_interleave(len(sparse) // images, 0) for each in maps)
            images = len(sparse)
        tokens = sparse.view(images, -1, *sparse.shape[1:])
        step = tokens.shape[1] if torch.is_grad_enabled() else max(1, _AT_ONCE // images)
        outputs = [
            self._call_decoder(
                maps,
                image_positional_embeddings=prompts.image_pe.expand(images, -1, -1, -1),
                sparse_prompt_embeddings=tokens[:, first : first + step],
                dense_prompt_embeddings=dense.expand(images, *maps[-1].shape[1:]),
                multimask_output=multimask,
            )
            for first in range(0, tokens.shape[1], step)
        ]
        logits, iou = (torch.cat(parts, 1).flatten(0, 1) for parts in zip(*outputs, strict=True))
        return logits, iou

    def extend_attention(self, attention: nn.Module, make: MakeTokens) -> nn.Module:
        """Returns an attention with extra tokens that is called as transformers'."""
        return extend(attention, make)

    def adapt_two_way_block(self, block: nn.Module, adapter: nn.Module) -> None:
        """Puts an adapter into a block of transformers' decoders."""
        adapt_block(block, adapter)


class SamSegmenter(HFSegmenter):
    """`SamModel`."""

    NAMES = (("vision_encoder.layers.", "image_encoder.blocks."), ("vision_encoder.", "image_encoder."))

    @classmethod
    def of(cls, model: Any, image_size: int) -> SamSegmenter:
        """Takes a `SamModel` apart."""
        return cls(model, SamEncoder(model.vision_encoder), image_size=image_size)

    def _call_decoder(self, features: tuple[Tensor, ...], **prompts: Any) -> tuple[Tensor, Tensor]:
        logits, iou = self.mask_decoder(image_embeddings=features[-1], **prompts)
        return logits, iou


class SamHQSegmenter(HFSegmenter):
    """`SamHQModel`; a mask is the sum of SAM's and of the high-quality one, transformers' default."""

    NAMES = SamSegmenter.NAMES

    @classmethod
    def of(cls, model: Any, image_size: int) -> SamHQSegmenter:
        """Takes a `SamHQModel` apart."""
        return cls(model, SamHQEncoder(model.vision_encoder), image_size=image_size)

    def _call_decoder(self, features: tuple[Tensor, ...], **prompts: Any) -> tuple[Tensor, Tensor]:
        inner, embeddings = features
        logits, iou = self.mask_decoder(
            image_embeddings=embeddings, intermediate_embeddings=[inner], hq_token_only=False, **prompts
        )
        return logits, iou


class Sam2Segmenter(HFSegmenter):
    """`Sam2Model` of SAM 2 and 2.1.

    The answer to a prompt is always the decoder's first mask, which is the one that is trained, also in
    evaluation: SAM 2's own choice of another mask where the first is not stable is left out.
    """

    NAMES = (
        ("vision_encoder.", "image_encoder.vision."),
        ("no_memory_embedding", "image_encoder.no_memory_embedding"),
        ("shared_image_embedding.", "image_positions."),
    )

    ENCODER: ClassVar[type[Sam2Encoder | Sam3Encoder]] = Sam2Encoder

    @classmethod
    def of(cls, model: Any, image_size: int) -> Sam2Segmenter:
        """Takes a `Sam2Model` apart."""
        encoder = cls.ENCODER(model.vision_encoder, model.no_memory_embedding)
        made = cls(model, encoder, image_size=image_size)
        made.image_positions = model.shared_image_embedding
        model.mask_decoder.dynamic_multimask_via_stability = False
        return made

    def _image_positions(self) -> nn.Module:
        return self.get_submodule("image_positions")

    def encode(self, images: Float[Tensor, "batch channels size size"]) -> Features:
        """Encodes aligned images; the decoder's convolutions of the fine maps are computed once for all."""
        fine, middle, coarse = maps_of(super().encode(images))
        decoder: Any = self.mask_decoder
        return decoder.conv_s0(fine), decoder.conv_s1(middle), coarse

    def _call_decoder(self, features: tuple[Tensor, ...], **prompts: Any) -> tuple[Tensor, Tensor]:
        *fine, coarse = features
        logits, iou, *_ = self.mask_decoder(image_embeddings=coarse, high_resolution_features=fine, **prompts)
        return logits, iou


class Sam3Segmenter(Sam2Segmenter):
    """`Sam3TrackerModel`, the promptable part of SAM 3, whose decoder is SAM 2's."""

    ENCODER = Sam3Encoder
