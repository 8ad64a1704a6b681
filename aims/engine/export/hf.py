"""Format "transformers" for backbones of transformers: a folder that the class of the backbone loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from aims.core.errors import InputError
from aims.core.files import naming
from aims.engine.export import probes
from aims.engine.export.formats import DIFFERENCES, Origin
from aims.engine.export.sam import ALIGNMENT, save_module
from aims.models.hf.backbone import HFBackbone
from aims.models.merging import alignment_layers, count_views, layer_source, plain_model
from aims.models.segmenter import Segmenter


def hf_objection(backbone: HFBackbone, shapes: Segmenter) -> str | None:
    """Returns why a model is not a plain one of transformers behind stock layers; None if it is."""
    try:
        plain, layers = plain_model(shapes, backbone), alignment_layers(shapes)
    except InputError as error:
        return str(error)
    if count_views(layers, plain) > 1:
        return f"it averages features of several pictures of an image, which {backbone.kind.model} cannot"
    return None


@torch.no_grad()
def write_hf(folder: Path, origin: Origin, model: Segmenter) -> dict[str, Any]:
    """Writes the folder, and compares the model that transformers loads from it."""
    import transformers

    backbone = origin.backbone
    assert isinstance(backbone, HFBackbone)
    prompts, size = probes.random_prompts(model), model.image_size
    images = torch.randn(1, model.in_channels, size, size, generator=torch.Generator().manual_seed(0))
    expected = probes.answers(model, images, prompts)
    plain, layers = plain_model(model, backbone), alignment_layers(model)
    with naming(folder):
        backbone.put_together(plain).save_pretrained(folder)
    if layers.state_dict():
        save_module(folder / ALIGNMENT, layers)
    kind = getattr(transformers, backbone.kind.model)
    loaded = backbone.take_apart(kind.from_pretrained(folder, local_files_only=True).eval())
    loaded.alignment = layers
    return {
        "class": backbone.kind.model,
        "alignment": [layer_source(layer) for layer in layers],
        "views": 1,
        DIFFERENCES: expected.differences(probes.answers(loaded, images, prompts)),
    }
