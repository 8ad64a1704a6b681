"""The model class that all methods share: SAM with an alignment before its image encoder."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from aims.models.attention import AttentionPath, use_path
from aims.models.decoding import decode_masks, is_stock_decoder
from aims.models.encoder import ImageEncoder
from aims.models.prompting import embed_prompts, is_stock_prompt_encoder


class Segmenter(nn.Module):
    """A promptable segmentation model: alignment, then SAM's three parts, all injected.

    Methods replace its layers; this class does not depend on the method. With `nn.Identity` as alignment the
    state-dict keys are those of the authors' SAM checkpoints.

    Args:
        alignment: (batch, in_channels, size, size) -> (batch * views, 3, size, size), or another number of
            channels if `image_encoder` takes them. Usually views is 1; several views of an image are
            consecutive, and their embeddings are averaged.
        image_encoder: the backbone's, or a method's modification of it.
        prompt_encoder: segment-anything's `PromptEncoder`, which is always frozen.
        mask_decoder: segment-anything's `MaskDecoder`.
        image_size: side of the square model input, in pixels.
        in_channels: channels of the images that `embed` takes.
    """

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
        # Any: `get_dense_pe` is called beside `forward`, and nn.Module's attributes have no types.
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

    def embed(
        self, images: Float[Tensor, "batch channels size size"]
    ) -> Float[Tensor, "batch dim height width"]:
        """Encodes normalised images, for any number of prompts in `decode`; averages over views."""
        embeddings: Tensor = self.image_encoder(self.alignment(images))
        if len(embeddings) == len(images):
            return embeddings
        return embeddings.reshape(len(images), -1, *embeddings.shape[1:]).mean(1)

    def decode(
        self,
        image_embeddings: Float[Tensor, "images dim height width"],
        point_coords: Float[Tensor, "prompts points 2"],
        point_labels: Int[Tensor, "prompts points"],
        boxes: Float[Tensor, "prompts 4"] | None = None,
        masks: Float[Tensor, "prompts 1 prompt_height prompt_width"] | None = None,
        *,
        multimask: bool = False,
    ) -> tuple[Float[Tensor, "prompts masks mask_height mask_width"], Float[Tensor, "prompts masks"]]:
        """Predicts the mask of every prompt; all images must have the same number of prompts.

        Args:
            image_embeddings: from `embed`.
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
        with torch.autocast(image_embeddings.device.type, enabled=False):
            coords, corners = point_coords.float(), None if boxes is None else boxes.float()
            before = None if masks is None else self._prompt_masks(masks)
            if self.path != "stock" and is_stock_prompt_encoder(self.prompt_encoder):
                sparse, dense = embed_prompts(self.prompt_encoder, coords, point_labels, corners, before)
            else:
                sparse, dense = self.prompt_encoder(
                    points=(coords, point_labels), boxes=corners, masks=before
                )
            image_pe = self.prompt_encoder.get_dense_pe()
        if self.path != "stock" and is_stock_decoder(self.mask_decoder):
            return decode_masks(
                self.mask_decoder,
                image_embeddings=image_embeddings,
                image_pe=image_pe,
                sparse=sparse,
                # Without mask prompts the dense embedding is the same for all prompts.
                dense=dense[:1] if masks is None else dense,
                multimask=multimask,
            )
        each = len(point_coords) // len(image_embeddings)
        # The decoder takes the prompts of one image; on the stock path one at a time, as in
        # segment-anything's programs.
        step = 1 if self.path == "stock" else each
        outputs = [
            self.mask_decoder(
                image_embeddings=image_embeddings[first // each, None],
                image_pe=image_pe,
                sparse_prompt_embeddings=sparse[first : first + step],
                dense_prompt_embeddings=dense.expand(len(sparse), -1, -1, -1)[first : first + step],
                multimask_output=multimask,
            )
            for first in range(0, len(point_coords), step)
        ]
        mask_logits, iou_predictions = (torch.cat(parts) for parts in zip(*outputs, strict=True))
        return mask_logits, iou_predictions

    def _prompt_masks(
        self, masks: Float[Tensor, "prompts 1 mask_height mask_width"]
    ) -> Float[Tensor, "prompts 1 prompt_height prompt_width"]:
        """Brings masks to the size that the prompt encoder takes, also those of a finer mask decoder."""
        size = self.prompt_encoder.mask_input_size
        masks = masks.float()
        return masks if masks.shape[2:] == size else F.interpolate(masks, size, mode="area")

    def learn(self, name: str) -> None:
        """Declares that a parameter, or all parameters of a module, are trainable.

        Stock modules do not implement the declaration protocol (`aims.models.trainable`), so the model
        declares their parameters.

        Args:
            name: e.g. "image_encoder.patch_embed" or "image_encoder.pos_embed".

        Raises:
            AttributeError: the model has neither a module nor a parameter of that name.
        """
        if name not in dict(self.named_parameters()):
            self.get_submodule(name)
        self._learning.append(name)

    def trainable_params(self) -> list[str]:
        """Names of the parameters given to `learn`, and of all parameters of the modules given to it."""
        return [
            name
            for name, _ in self.named_parameters()
            if any(name == learning or name.startswith(f"{learning}.") for learning in self._learning)
        ]
