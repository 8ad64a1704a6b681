"""SAM around segment-anything's modules: its prompts, its masks, and the places of tunings in its decoder."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from aims.models.decoding import adapt_two_way_block, decode_masks, is_stock_decoder
from aims.models.features import Features
from aims.models.prompting import embed_prompts, is_stock_prompt_encoder
from aims.models.segmenter import PromptEmbeddings, Segmenter


class SAMSegmenter(Segmenter):
    """A model whose prompt encoder and mask decoder are called as segment-anything's.

    With `nn.Identity` as alignment the state-dict keys are those of the authors' SAM checkpoints. The prompt
    encoder is segment-anything's `PromptEncoder`, or one with its methods; the mask decoder is its
    `MaskDecoder`, or one with the same arguments.
    """

    def embed_prompts(
        self,
        point_coords: Float[Tensor, "prompts points 2"],
        point_labels: Int[Tensor, "prompts points"],
        boxes: Float[Tensor, "prompts 4"] | None,
        masks: Float[Tensor, "prompts 1 prompt_height prompt_width"] | None,
    ) -> PromptEmbeddings:
        """Embeds prompts; without masks, with one dense embedding for all."""
        if self.path != "stock" and is_stock_prompt_encoder(self.prompt_encoder):
            sparse, dense = embed_prompts(self.prompt_encoder, point_coords, point_labels, boxes, masks)
        else:
            sparse, dense = self.prompt_encoder(points=(point_coords, point_labels), boxes=boxes, masks=masks)
        return PromptEmbeddings(
            sparse=sparse,
            # Without mask prompts the dense embedding is the same for all prompts.
            dense=dense[:1] if masks is None else dense,
            image_pe=self.prompt_encoder.get_dense_pe(),
        )

    def predict(
        self, features: Features, prompts: PromptEmbeddings, *, multimask: bool = False
    ) -> tuple[Float[Tensor, "prompts masks mask_height mask_width"], Float[Tensor, "prompts masks"]]:
        """Predicts masks; on the stock path prompt by prompt, as in segment-anything's programs."""
        assert isinstance(features, Tensor)
        sparse, dense = prompts.sparse, prompts.dense
        if self.path != "stock" and is_stock_decoder(self.mask_decoder):
            return decode_masks(
                self.mask_decoder,
                image_embeddings=features,
                image_pe=prompts.image_pe,
                sparse=sparse,
                dense=dense,
                multimask=multimask,
            )
        each = len(sparse) // len(features)
        # The decoder takes the prompts of one image.
        step = 1 if self.path == "stock" else each
        outputs = [
            self.mask_decoder(
                image_embeddings=features[first // each, None],
                image_pe=prompts.image_pe,
                sparse_prompt_embeddings=sparse[first : first + step],
                dense_prompt_embeddings=dense.expand(len(sparse), -1, -1, -1)[first : first + step],
                multimask_output=multimask,
            )
            for first in range(0, len(sparse), step)
        ]
        mask_logits, iou_predictions = (torch.cat(parts) for parts in zip(*outputs, strict=True))
        return mask_logits, iou_predictions

    def adapt_two_way_block(self, block: nn.Module, adapter: nn.Module) -> None:
        """Makes a block of segment-anything's decoder an `AdaptedBlock`."""
        adapt_two_way_block(block, adapter)
