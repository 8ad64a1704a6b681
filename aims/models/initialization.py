"""Random initialisation from which a promptable model learns within a few hundred steps."""

from __future__ import annotations

import torch
from torch import nn

from aims.models.segment_anything import sam_modeling
from aims.models.segmenter import Segmenter

POSITION_STD = 0.02  # of absolute positions, as in ViT (timm, ViTDet)
ATTENTION_GAIN = 2.0  # of query and of key projections
EMBEDDING_STD = 0.5  # of point types, mask tokens and "no mask"; segment-anything has 1
CONTENT_SCALE = 0.5  # of the image embeddings against the positions added to them


@torch.no_grad()
def initialize_random(model: Segmenter) -> None:
    """Changes segment-anything's initialisation of a plain model so that training can start from it.

    With segment-anything's, mask logits stay at the background for hundreds of steps: a click influences the
    masks only where the attentions of the mask decoder compare its position with those of the pixels, and
    independent random projections of queries and keys are unrelated. Here every attention of the decoder
    starts as a weighted mean over similar tokens:

    - the query projection equals the key projection (orthogonal, times `ATTENTION_GAIN`), so that
      products of queries and keys are large where positions agree;
    - the output projection is the transposed value projection (orthogonal), so that attended values return
      to the coordinates of their tokens;
    - image content, point types and tokens are scaled down, since they are noise in those products.

    The image encoder's position embedding, zero in segment-anything, is drawn from a truncated normal. The
    other weights are unchanged. The values were chosen by training on synthetic discs and boxes (sam-tiny,
    clicks anywhere inside, Dice + cross-entropy, Adam at 3e-4, 200 steps of batch 4): mIoU 0.31 (one seed),
    against 0.00 and 0.01 (two seeds) with segment-anything's. Source: our own; the tied projections are those
    of the project's first prototype. Pretrained weights are never initialised by it.
    """
    encoder, prompts, decoder = model.image_encoder, model.prompt_encoder, model.mask_decoder
    for name in encoder.position_names:
        nn.init.trunc_normal_(encoder.get_parameter(name), std=POSITION_STD)
    nn.init.constant_(encoder.get_parameter("neck.3.weight"), CONTENT_SCALE)
    for module in [*prompts.modules(), *decoder.modules()]:
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=EMBEDDING_STD)
    for attention in decoder.modules():
        if isinstance(attention, sam_modeling().transformer.Attention):
            _initialize_attention(attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj)


def _initialize_attention(
    q_proj: nn.Linear, k_proj: nn.Linear, v_proj: nn.Linear, out_proj: nn.Linear
) -> None:
    nn.init.orthogonal_(q_proj.weight, gain=ATTENTION_GAIN)
    k_proj.weight.copy_(q_proj.weight)
    nn.init.orthogonal_(v_proj.weight)
    out_proj.weight.copy_(v_proj.weight.T)
    for linear in (q_proj, k_proj, v_proj, out_proj):
        nn.init.zeros_(linear.bias)
