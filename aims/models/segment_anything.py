"""segment-anything's own modules, imported without its predictor, which needs torchvision.

segment-anything (Kirillov et al., ICCV 2023, https://github.com/facebookresearch/segment-anything) is used
as installed and never copied.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from torch import nn

from aims.core.errors import AimsError

#: Name in `sys.modules` under which its `modeling` package is imported.
PRIVATE_NAME = "aims.models._segment_anything"


@functools.cache
def sam_modeling() -> ModuleType:
    """Imports `segment_anything.modeling` as a private package, without `segment_anything/__init__.py`.

    That file imports the predictor, which needs torchvision; the modules need torch only. The entry
    `segment_anything` of `sys.modules` is neither read nor created.

    Raises:
        AimsError: segment-anything is not installed.
    """
    package = importlib.util.find_spec("segment_anything")
    folders = package.submodule_search_locations if package is not None else None
    if not folders:
        raise AimsError("segment-anything is not installed; run `pip install segment-anything==1.0`")
    folder = Path(folders[0]) / "modeling"
    spec = importlib.util.spec_from_file_location(
        PRIVATE_NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None or not (folder / "__init__.py").is_file():
        raise AimsError(f"{folder}: no modeling package; reinstall segment-anything==1.0")
    module = importlib.util.module_from_spec(spec)
    sys.modules[PRIVATE_NAME] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[PRIVATE_NAME]
        raise
    return module


def build_prompt_encoder(*, dim: int, grid: int, image_size: int) -> nn.Module:
    """Builds segment-anything's prompt encoder.

    Args:
        dim: channels of prompt and image embeddings.
        grid: side of the image embeddings.
        image_size: side of the square model input, in pixels.
    """
    encoder: nn.Module = sam_modeling().PromptEncoder(
        embed_dim=dim,
        image_embedding_size=(grid, grid),
        input_image_size=(image_size, image_size),
        mask_in_chans=16,
    )
    return encoder


def build_mask_decoder(*, dim: int, mlp_dim: int, iou_hidden_dim: int) -> nn.Module:
    """Builds segment-anything's mask decoder.

    Args:
        dim: channels of prompt and image embeddings.
        mlp_dim: hidden width of the MLPs.
        iou_hidden_dim: hidden width of the head that predicts the IoU.
    """
    modeling = sam_modeling()
    decoder: nn.Module = modeling.MaskDecoder(
        num_multimask_outputs=3,
        transformer=modeling.TwoWayTransformer(depth=2, embedding_dim=dim, mlp_dim=mlp_dim, num_heads=8),
        transformer_dim=dim,
        iou_head_depth=3,
        iou_head_hidden_dim=iou_hidden_dim,
    )
    return decoder


def build_neck(width: int, dim: int) -> nn.Sequential:
    """Builds the neck of segment-anything's image encoder: two convolutions, each with a norm."""
    norm = sam_modeling().common.LayerNorm2d
    return nn.Sequential(
        nn.Conv2d(width, dim, 1, bias=False),
        norm(dim),
        nn.Conv2d(dim, dim, 3, padding=1, bias=False),
        norm(dim),
    )
