"""Format "transformers": a folder that `from_pretrained` of `transformers.SamModel` loads.

For backbones of transformers it is the class of the backbone that loads it (`aims.engine.export.hf`).

model.safetensors, config.json   SAM under transformers' keys
preprocessor_config.json         for `SamProcessor`, which takes inputs as they are
alignment.safetensors            the layers in front of SAM, where its patch embedding cannot hold them
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from aims.core.files import naming, write_json
from aims.engine.export import probes
from aims.engine.export.formats import DIFFERENCES, FORMATS, Format, Origin
from aims.engine.export.hf import hf_objection, write_hf
from aims.engine.export.sam import ALIGNMENT, plain_objection, save_module
from aims.models.hf.backbone import HFBackbone
from aims.models.merging import (
    alignment_layers,
    count_views,
    fold_alignment,
    layer_source,
    plain_model,
)
from aims.models.sam import SAM
from aims.models.segmenter import Segmenter

if TYPE_CHECKING:
    from transformers import SamConfig, SamModel

#: Patterns of segment-anything's keys and what transformers has in their place, applied in this order.
_RENAMED = (
    (r"^image_encoder", "vision_encoder"),
    (r"patch_embed\.proj", "patch_embed.projection"),
    (r"^vision_encoder\.blocks", "vision_encoder.layers"),
    (r"\.neck\.0", ".neck.conv1"),
    (r"\.neck\.1", ".neck.layer_norm1"),
    (r"\.neck\.2", ".neck.conv2"),
    (r"\.neck\.3", ".neck.layer_norm2"),
    (r"\.norm", ".layer_norm"),
    (r"pe_layer\.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
    (r"point_embeddings", "point_embed"),
    (r"mask_downscaling\.0", "mask_embed.conv1"),
    (r"mask_downscaling\.1", "mask_embed.layer_norm1"),
    (r"mask_downscaling\.3", "mask_embed.conv2"),
    (r"mask_downscaling\.4", "mask_embed.layer_norm2"),
    (r"mask_downscaling\.6", "mask_embed.conv3"),
    (r"output_upscaling\.0", "upscale_conv1"),
    (r"output_upscaling\.1", "upscale_layer_norm"),
    (r"output_upscaling\.3", "upscale_conv2"),
    # Of the three layers of a decoder's head, transformers names the first and the last.
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d)\.layers\.0", r"\1.proj_in"),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d)\.layers\.2", r"\1.proj_out"),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d)\.layers\.1", r"\1.layers.0"),
)


class TransformersFormat(Format):
    """Weights and configuration of `transformers.SamModel`."""

    requires = ("torch", "transformers")
    reader = "transformers.SamModel.from_pretrained"
    extra = "transformers"
    packages = ("transformers",)

    def objection(self, origin: Origin, shapes: Segmenter) -> str | None:
        """Refuses what is not plain SAM, or a plain model of transformers, behind stock layers."""
        if isinstance(origin.backbone, HFBackbone):
            return hf_objection(origin.backbone, shapes)
        return plain_objection(origin, shapes)

    @torch.no_grad()
    def write(self, folder: Path, origin: Origin, model: Segmenter) -> dict[str, Any]:
        """Writes the folder, and compares the model that transformers loads from it."""
        from transformers import SamModel

        if isinstance(origin.backbone, HFBackbone):
            with _quiet():
                return write_hf(folder, origin, model)
        assert isinstance(origin.backbone, SAM)
        generator = torch.Generator().manual_seed(0)
        size, prompts = model.image_size, probes.random_prompts(model)
        images = torch.randn(1, model.in_channels, size, size, generator=generator)
        expected = probes.answers(model, images, prompts)
        plain, layers = plain_model(model, origin.backbone), alignment_layers(model)
        views = count_views(layers, plain)
        encoder = plain.image_encoder
        patches = encoder.stem
        if folded := fold_alignment(layers, patches):
            encoder.set_submodule(encoder.stem_name, folded)
            layers = nn.Sequential()
        channels = (folded or patches).in_channels
        with _quiet():
            sam = SamModel(_configuration(origin.backbone, channels))
            sam.load_state_dict(_renamed(plain.state_dict()))
            with naming(folder):
                sam.save_pretrained(folder)
            loaded = SamModel.from_pretrained(folder, local_files_only=True).eval()
        write_json(folder / "preprocessor_config.json", _preprocessor(origin.backbone))
        if layers.state_dict():
            save_module(folder / ALIGNMENT, layers)
        pictures = layers(images).reshape(-1, channels, size, size)
        embeddings = loaded.get_image_embeddings(pictures).mean(0, keepdim=True)
        decoded = [_decode(loaded, embeddings, each) for each in prompts]
        return {
            "class": "SamModel",
            "alignment": [layer_source(layer) for layer in layers],
            "views": views,
            DIFFERENCES: expected.differences(probes.collect(embeddings, decoded)),
        }


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns segment-anything's tensors under the keys of transformers."""
    renamed = {}
    for name, tensor in state.items():
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    # Prompts and image share the positional encoding; transformers has it twice.
    shared = "shared_embedding.positional_embedding"
    return renamed | {"shared_image_embedding.positional_embedding": renamed[f"prompt_encoder.{shared}"]}


def _configuration(backbone: SAM, channels: int) -> SamConfig:
    from transformers import SamConfig

    sizes = {"image_size": backbone.image_size, "patch_size": backbone.patch_size}
    return SamConfig(
        vision_config={
            **sizes,
            "hidden_size": backbone.width,
            "output_channels": backbone.prompt_dim,
            "num_hidden_layers": backbone.depth,
            "num_attention_heads": backbone.heads,
            "num_channels": channels,
            "window_size": backbone.window,
            "global_attn_indexes": list(backbone.global_blocks),
            "num_pos_feats": backbone.prompt_dim // 2,
        },
        prompt_encoder_config={**sizes, "hidden_size": backbone.prompt_dim},
        mask_decoder_config={
            "hidden_size": backbone.prompt_dim,
            "mlp_dim": backbone.decoder_mlp_dim,
            "iou_head_hidden_dim": backbone.iou_hidden_dim,
            # segment-anything's; the default of transformers is 1e-6.
            "layer_norm_eps": 1e-5,
        },
    )


def _preprocessor(backbone: SAM) -> dict[str, Any]:
    """Returns the configuration of a `SamProcessor` that leaves images and prompts as they are.

    It cannot say how raw numbers are scaled, nor that aspect is not kept: the card does.
    """
    square = {"height": backbone.image_size, "width": backbone.image_size}
    steps = ("resize", "rescale", "normalize", "pad", "convert_rgb")
    return {
        "image_processor_type": "SamImageProcessor",
        "processor_class": "SamProcessor",
        **{f"do_{step}": False for step in steps},
        "size": {"longest_edge": backbone.image_size},
        "pad_size": square,
        "mask_size": {"longest_edge": backbone.mask_size},
        "mask_pad_size": {"height": backbone.mask_size, "width": backbone.mask_size},
    }


def _decode(sam: SamModel, embeddings: Tensor, prompts: probes.Prompts) -> tuple[Tensor, Tensor]:
    """Decodes prompts one by one, as transformers takes one mask for each image."""
    logits, iou = [], []
    for index in range(len(prompts.point_coords)):
        coords, labels, boxes, masks = (
            None if each is None else each[index, None, None]
            for each in (prompts.point_coords, prompts.point_labels, prompts.boxes, prompts.masks)
        )
        clicked = prompts.point_coords.shape[1] > 0
        answer = sam(
            image_embeddings=embeddings,
            input_points=coords if clicked else None,
            input_labels=labels if clicked else None,
            input_boxes=boxes,
            input_masks=None if masks is None else masks[0],
            multimask_output=False,
        )
        logits.append(answer.pred_masks[0])
        iou.append(answer.iou_scores[0])
    return torch.cat(logits), torch.cat(iou)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides the progress bars of transformers."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


FORMATS.register("transformers")(TransformersFormat())
