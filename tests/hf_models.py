"""Tiny models of transformers, with random weights, in folders as `save_pretrained` writes them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

SIZE = 64


def _sam(model: str, config: str, **decoder: Any) -> nn.Module:
    import transformers

    sizes = {"image_size": SIZE, "patch_size": 8}
    made: nn.Module = getattr(transformers, model)(
        getattr(transformers, config)(
            vision_config={
                **sizes,
                "hidden_size": 24,
                "output_channels": 16,
                "num_hidden_layers": 3,
                "num_attention_heads": 2,
                # Windows of 3 on a grid of 8 are padded; the middle block attends to the whole image.
                "window_size": 3,
                "global_attn_indexes": [1],
                "mlp_dim": 48,
                "num_pos_feats": 8,
            },
            prompt_encoder_config={**sizes, "hidden_size": 16},
            mask_decoder_config={
                "hidden_size": 16,
                "mlp_dim": 32,
                "iou_head_hidden_dim": 16,
                "num_attention_heads": 2,
                # segment-anything's; the default of transformers is 1e-6.
                "layer_norm_eps": 1e-5,
                **decoder,
            },
        )
    )
    return made


def _sam2() -> nn.Module:
    from transformers import Sam2Config, Sam2Model

    hiera = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "num_attention_heads": 1,
        "image_size": [SIZE, SIZE],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "blocks_per_stage": [1, 2, 2, 1],
        "num_attention_heads_per_stage": [1, 2, 4, 8],
        "window_size_per_stage": [4, 2, 4, 2],
        "global_attention_blocks": [4],
        "window_positional_embedding_background_size": [4, 4],
    }
    made: nn.Module = Sam2Model(
        Sam2Config(
            vision_config={
                "backbone_config": hiera,
                "backbone_channel_list": [64, 32, 16, 8],
                "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
                "fpn_hidden_size": 32,
            },
            prompt_encoder_config={"hidden_size": 32, "image_size": SIZE, "patch_size": 16},
            mask_decoder_config={
                "hidden_size": 32,
                "mlp_dim": 32,
                "iou_head_hidden_dim": 16,
                "num_attention_heads": 2,
            },
        )
    )
    return made


def _sam3() -> nn.Module:
    from transformers import Sam3TrackerConfig, Sam3TrackerModel

    vision = {
        "model_type": "sam3_vit_model",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "image_size": SIZE,
        "patch_size": 16,
        # Windows of 3 on a grid of 4 are padded; positions are of a grid of 2, repeated.
        "window_size": 3,
        "global_attn_indexes": [1],
        "pretrain_image_size": 32,
    }
    made: nn.Module = Sam3TrackerModel(
        Sam3TrackerConfig(
            vision_config={
                "model_type": "sam3_vision_model",
                "backbone_config": vision,
                "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
                "fpn_hidden_size": 32,
            },
            prompt_encoder_config={"hidden_size": 32, "image_size": SIZE, "patch_size": 16},
            mask_decoder_config={
                "hidden_size": 32,
                "mlp_dim": 32,
                "iou_head_hidden_dim": 16,
                "num_attention_heads": 2,
            },
        )
    )
    return made


#: By `model_type` of config.json.
MODELS: dict[str, Callable[[], nn.Module]] = {
    "sam": lambda: _sam("SamModel", "SamConfig"),
    "sam_hq": lambda: _sam("SamHQModel", "SamHQConfig", vit_dim=24),
    "sam2": _sam2,
    "sam3_tracker": _sam3,
}


@torch.no_grad()
def make_model(kind: str) -> Any:
    """Builds a model in which every parameter counts; transformers starts with positions of zero."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = MODELS[kind]()
        for parameter in model.parameters():
            parameter.copy_(parameter + 0.1 * torch.randn(parameter.shape))
    return model.eval()


def save_model(folder: Path, model: Any) -> str:
    """Saves a model into a folder; returns the name of its backbone."""
    # Not `save_pretrained` alone: it shows progress bars.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from transformers.utils import logging

    logging.disable_progress_bar()
    model.save_pretrained(folder)
    return f"hf:{folder}"
