"""Format "sam": plain SAM weights under segment-anything's own keys, trained layers folded in.

model.safetensors       SAM's tensors
alignment.safetensors   the layers in front of SAM, where there are any with weights
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from aims.core.errors import InputError
from aims.engine.checkpoint import save_tensors
from aims.engine.export.formats import DIFFERENCES, FORMATS, Format, Origin
from aims.models.merging import (
    alignment_layers,
    count_views,
    largest_differences,
    layer_source,
    plain_model,
)
from aims.models.sam import SAM
from aims.models.segmenter import Segmenter
from aims.version import __version__

MODEL, ALIGNMENT = "model.safetensors", "alignment.safetensors"


class SAMFormat(Format):
    """Weights for segment-anything's modules; the alignment is a sequence of stock layers of torch."""

    # segment-anything's prompt encoder imports numpy, which neither of them requires.
    requires = ("torch", "numpy", "safetensors", "segment-anything==1.0")
    reader = "segment-anything"

    def objection(self, origin: Origin, shapes: Segmenter) -> str | None:
        """Refuses what is not plain SAM behind stock layers."""
        return plain_objection(origin, shapes)

    def write(self, folder: Path, origin: Origin, model: Segmenter) -> dict[str, Any]:
        """Writes both files of weights."""
        assert isinstance(origin.backbone, SAM)
        plain, layers = plain_model(model, origin.backbone), alignment_layers(model)
        differences = largest_differences(model, plain, layers)
        save_module(folder / MODEL, plain)
        if layers.state_dict():
            save_module(folder / ALIGNMENT, layers)
        return {
            "modules": _modules(origin.backbone, plain.in_channels),
            "patch_embedding": layer_source(plain.image_encoder.stem),
            "alignment": [layer_source(layer) for layer in layers],
            "views": count_views(layers, plain),
            DIFFERENCES: differences,
        }


def plain_objection(origin: Origin, shapes: Segmenter) -> str | None:
    """Returns why a model is not plain SAM behind stock layers; None if it is."""
    backbone = origin.backbone
    if not isinstance(backbone, SAM):
        return f"its backbone, {origin.record.config.backbone}, is none of segment-anything's"
    if backbone.mask_scale != 4:
        return f"its masks have {backbone.mask_scale} pixels a side of a patch, SAM's 4"
    try:
        plain_model(shapes, backbone)
        alignment_layers(shapes)
    except InputError as error:
        return str(error)
    return None


def save_module(path: Path, module: nn.Module) -> None:
    """Writes a module's tensors to a safetensors file."""
    # "format" is the convention of Hugging Face for files of PyTorch.
    save_tensors(path, module.state_dict(), {"format": "pt", "aims": __version__})


def _modules(backbone: SAM, channels: int) -> dict[str, dict[str, Any]]:
    """Arguments of segment-anything's classes, without the encoder's norm layer (LayerNorm, eps 1e-6)."""
    grid = backbone.image_size // backbone.patch_size
    return {
        "image_encoder": {
            "img_size": backbone.image_size,
            "patch_size": backbone.patch_size,
            "in_chans": channels,
            "embed_dim": backbone.width,
            "depth": backbone.depth,
            "num_heads": backbone.heads,
            "mlp_ratio": 4,
            "out_chans": backbone.prompt_dim,
            "qkv_bias": True,
            "use_rel_pos": True,
            "window_size": backbone.window,
            "global_attn_indexes": list(backbone.global_blocks),
        },
        "prompt_encoder": {
            "embed_dim": backbone.prompt_dim,
            "image_embedding_size": [grid, grid],
            "input_image_size": [backbone.image_size, backbone.image_size],
            # Fixed in segment-anything, as are the constants below.
            "mask_in_chans": 16,
        },
        "mask_decoder": {
            "transformer_dim": backbone.prompt_dim,
            "num_multimask_outputs": 3,
            "iou_head_depth": 3,
            "iou_head_hidden_dim": backbone.iou_hidden_dim,
        },
        "transformer": {
            "depth": 2,
            "embedding_dim": backbone.prompt_dim,
            "num_heads": 8,
            "mlp_dim": backbone.decoder_mlp_dim,
        },
    }


FORMATS.register("sam")(SAMFormat())
