"""The model class that all methods and backbones share: a promptable model behind an alignment."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from aims.core.errors import InputError
from aims.models.attention import AttentionPath, use_path
from aims.models.encoder import ImageEncoder
from aims.models.extension import MakeTokens, extend_attention
from aims.models.features import Features, average_views, maps_of


@dataclass(frozen=True, kw_only=True)
class PromptEmbeddings:
    """Embedded prompts.

    Attributes:
        sparse: the tokens of each prompt.
        dense: what is added to the image: one for all prompts, or one for each.
        image_pe: positional encoding of the image.
    """

    sparse: Float[Tensor, "prompts tokens dim"]
    dense: Float[Tensor, "dense dim height width"]
    image_pe: Float[Tensor, "1 dim height width"]


class Segmenter(nn.Module, ABC):
    """A promptable segmentation model: alignment, image encoder, prompt encoder, mask decoder, all injected.

    Methods and tunings replace its layers; a backbone's family is a subclass, which says how prompts are
    embedded and masks are predicted.

    Args:
        alignment: (batch, in_channels, size, size) -> (batch * views, 3, size, size), or another number of
            channels if `image_encoder` takes them. Usually views is 1; several views of an image are
            consecutive, and their features are averaged.
        image_encoder: the backbone's, or a method's modification of it.
        prompt_encoder: the backbone's, which is always frozen.
        mask_decoder: the backbone's.
        image_size: side of the square model input, in pixels.
        in_channels: channels of the images that `embed` takes.

    Attributes:
        takes_masks: whether masks can be prompts; otherwise `decode` refuses them.
    """

    takes_masks: ClassVar[bool] = True

    def __init__(
        self,
        *,
        alignment: nn.Module,
        image_encoder: ImageEncoder,
        prompt_encoder: nn.Module,
        mask_decoder: nn.Module,
        image_size: int,
        in_channels: int,
    ) -> None:
        super().__init__()
        self.alignment = alignment
        self.image_encoder = image_encoder
        # Any: families call more than `forward`, and nn.Module's attributes have no types.
        self.prompt_encoder: Any = prompt_encoder
        self.mask_decoder = mask_decoder
        self.image_size = image_size
        self.in_channels = in_channels
        self._path: AttentionPath = "stock"
        self._learning: list[str] = []

    @property
    def path(self) -> AttentionPath:
        """How the model is computed: "stock" at first; `build_model` sets "fast".

        Both give the same results up to rounding. It has to be set again after layers were replaced.
        """
        return self._path

    @path.setter
    def path(self, path: AttentionPath) -> None:
        self._path = path
        use_path(self.image_encoder, path)

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return next(self.parameters()).device

    @property
    def mask_prompt_size(self) -> tuple[int, int]:
        """Height and width of the mask logits that the prompt encoder takes: four a side for every token."""
        height, width = self.prompt_encoder.image_embedding_size
        return 4 * int(height), 4 * int(width)

    @abstractmethod
    def embed_prompts(
        self,
        point_coords: Float[Tensor, "prompts points 2"],
        point_labels: Int[Tensor, "prompts points"],
        boxes: Float[Tensor, "prompts 4"] | None,
        masks: Float[Tensor, "prompts 1 prompt_height prompt_width"] | None,
    ) -> PromptEmbeddings:
        """Embeds prompts in float32; arguments are those of `decode`, masks at `mask_prompt_size`."""

    @abstractmethod
    def predict(
        self, features: Features, prompts: PromptEmbeddings, *, multimask: bool = False
    ) -> tuple[Float[Tensor, "prompts masks mask_height mask_width"], Float[Tensor, "prompts masks"]]:
        """Predicts the masks of embedded prompts, image by image; see `decode`."""

    def encode(self, images: Float[Tensor, "batch channels size size"]) -> Features:
        """Encodes aligned images; a view is an image of its own."""
        features: Features = self.image_encoder(images)
        return features

    def embed(self, images: Float[Tensor, "batch channels size size"]) -> Features:
        """Encodes normalised images, for any number of prompts in `decode`; averages over views."""
        return average_views(self.encode(self.alignment(images)), len(images))

    def decode(
        self,
        features: Features,
        point_coords: Float[Tensor, "prompts points 2"],
        point_labels: Int[Tensor, "prompts points"],
        boxes: Float[Tensor, "prompts 4"] | None = None,
        masks: Float[Tensor, "prompts 1 prompt_height prompt_width"] | None = None,
        *,
        multimask: bool = False,
    ) -> tuple[Float[Tensor, "prompts masks mask_height mask_width"], Float[Tensor, "prompts masks"]]:
        """Predicts the mask of every prompt; all images must have the same number of prompts.

        Args:
            features: from `embed`.
            point_coords: (x, y) in pixels of the model input, image by image; the centre of the first pixel
                is (0, 0).
            point_labels: 1 for object, 0 for background, -1 for padding.
            boxes: (left, top, right, bottom) in pixels of the model input; with boxes, point_coords may be
                empty, (prompts, 0, 2).
            masks: mask logits of an earlier answer, as prompts.
            multimask: predict the decoder's other three masks, SAM's whole, part and subpart, instead of the
                one that AIMS trains.

        Returns:
            Mask logits, in SAM 4 pixels a side for every patch (an object is where they are > 0), and the
            IoU that the model predicts for each mask.
        """
        # Not in bfloat16: the positional encoding has frequencies of tens of periods, so that its rounding
        # would move clicks by pixels.
        with torch.autocast(maps_of(features)[0].device.type, enabled=False):
            prompts = self.embed_prompts(
                point_coords.float(),
                point_labels,
                None if boxes is None else boxes.float(),
                None if masks is None else self._prompt_masks(masks),
            )
        return self.predict(features, prompts, multimask=multimask)

    def _prompt_masks(
        self, masks: Float[Tensor, "prompts 1 mask_height mask_width"]
    ) -> Float[Tensor, "prompts 1 prompt_height prompt_width"]:
        """Brings masks to the size that the prompt encoder takes, also those of a finer mask decoder."""
        size = self.mask_prompt_size
        masks = masks.float()
        return masks if masks.shape[2:] == size else F.interpolate(masks, size, mode="area")

    def extend_attention(self, attention: nn.Module, make: MakeTokens) -> nn.Module:
        """Returns an attention that appends learned tokens to its keys and values, around the same layers.

        Raises:
            InputError: the attention is of an unknown kind.
        """
        return extend_attention(attention, make)

    def adapt_two_way_block(self, block: nn.Module, adapter: nn.Module) -> None:
        """Puts an adapter beside the MLP of a two-way block, reading the queries before the norm of the MLP.

        Raises:
            InputError: the blocks of the mask decoder are of an unknown kind.
        """
        raise InputError(
            f"an adapter cannot be put into this backbone's {type(block).__name__}: choose another tuning"
        )

    def learn(self, name: str) -> None:
        """Declares that a parameter, or all parameters of a module, are trainable.

        Stock modules do not implement the declaration protocol (`aims.models.trainable`), so the model
        declares their parameters.

        Args:
            name: e.g. "image_encoder.neck" or "image_encoder.pos_embed".

        Raises:
            AttributeError: the model has neither a module nor a parameter of that name.
        """
        if name not in dict(self.named_parameters()):
            self.get_submodule(name)
        self._learning.append(name)

    def learn_stem(self) -> None:
        """Declares that the convolution through which the channels enter is trainable."""
        self.learn(f"image_encoder.{self.image_encoder.stem_name}")

    def trainable_params(self) -> list[str]:
        """Names of the parameters given to `learn`, and of all parameters of the modules given to it."""
        return [
            name
            for name, _ in self.named_parameters()
            if any(name == learning or name.startswith(f"{learning}.") for learning in self._learning)
        ]
