"""SAM's backbones, built from segment-anything's own modules.

segment-anything (Kirillov et al., ICCV 2023, https://github.com/facebookresearch/segment-anything) is used
as installed and never copied.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from torch import nn

from aims.core.errors import AimsError
from aims.core.registry import Registry
from aims.models.segmenter import Segmenter

_PRIVATE_NAME = "aims.models._segment_anything"


@functools.cache
def sam_modeling() -> ModuleType:
    """Imports `segment_anything.modeling` as a private package, without `segment_anything/__init__.py`.

    That file pulls in the predictor, which needs torchvision; the modules alone need torch only. The entry
    `segment_anything` in `sys.modules` is neither read nor made.

    Raises:
        AimsError: segment-anything is not installed.
    """
    package = importlib.util.find_spec("segment_anything")
    folders = package.submodule_search_locations if package is not None else None
    if not folders:
        raise AimsError("segment-anything is not installed; run `pip install segment-anything==1.0`")
    folder = Path(folders[0]) / "modeling"
    spec = importlib.util.spec_from_file_location(
        _PRIVATE_NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None or not (folder / "__init__.py").is_file():
        raise AimsError(f"{folder}: no modeling package; reinstall segment-anything==1.0")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_PRIVATE_NAME] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[_PRIVATE_NAME]
        raise
    return module


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The authors' file of pretrained weights.

    Attributes:
        file_name: its name on the authors' server.
        size_bytes: its size, for the message about a truncated file.
        sha256: what identifies it.
    """

    file_name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """Hyper-parameters of one SAM; those of `segment_anything/build_sam.py` stand as defaults.

    Attributes:
        width: channels of the image encoder's tokens.
        depth: transformer blocks of the image encoder.
        heads: attention heads of the image encoder.
        global_blocks: blocks that attend to the whole image; the others attend within windows.
        checkpoint: the authors' weights; None if there are none.
        image_size: side of the square model input, in pixels.
        patch_size: side of one patch, in pixels.
        window: side of an attention window, in patches.
        prompt_dim: channels of image and prompt embeddings and of the mask decoder.
        decoder_mlp_dim: hidden width of the mask decoder's MLPs.
        iou_hidden_dim: hidden width of the head that predicts the IoU.
    """

    width: int
    depth: int
    heads: int
    global_blocks: tuple[int, ...]
    checkpoint: Checkpoint | None
    image_size: int = 1024
    patch_size: int = 16
    window: int = 14
    prompt_dim: int = 256
    decoder_mlp_dim: int = 2048
    iou_hidden_dim: int = 256


BACKBONES = Registry[Backbone]("backbone")

BACKBONES.register("sam-vit-b")(
    Backbone(
        width=768,
        depth=12,
        heads=12,
        global_blocks=(2, 5, 8, 11),
        checkpoint=Checkpoint(
            file_name="sam_vit_b_01ec64.pth",
            size_bytes=375_042_383,
            sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        ),
    )
)
BACKBONES.register("sam-vit-l")(
    Backbone(
        width=1024,
        depth=24,
        heads=16,
        global_blocks=(5, 11, 17, 23),
        checkpoint=Checkpoint(
            file_name="sam_vit_l_0b3195.pth",
            size_bytes=1_249_524_607,
            sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        ),
    )
)
BACKBONES.register("sam-vit-h")(
    Backbone(
        width=1280,
        depth=32,
        heads=16,
        global_blocks=(7, 15, 23, 31),
        checkpoint=Checkpoint(
            file_name="sam_vit_h_4b8939.pth",
            size_bytes=2_564_550_879,
            sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        ),
    )
)
# Ours: SAM's architecture at a size that trains on a CPU. Decoder widths keep SAM's ratios to prompt_dim.
BACKBONES.register("sam-tiny")(
    Backbone(
        width=192,
        depth=6,
        heads=6,
        global_blocks=(2, 5),
        checkpoint=None,
        image_size=128,
        patch_size=8,
        window=8,
        prompt_dim=128,
        decoder_mlp_dim=1024,
        iou_hidden_dim=128,
    )
)


def build_sam(backbone: Backbone) -> Segmenter:
    """Builds a plain SAM with segment-anything's own initialisation, for three channels.

    Its state-dict keys are those of the authors' checkpoints. Build it below `torch.device("meta")` where
    only names and shapes are wanted.
    """
    modeling = sam_modeling()
    grid = backbone.image_size // backbone.patch_size
    return Segmenter(
        alignment=nn.Identity(),
        image_encoder=modeling.ImageEncoderViT(
            img_size=backbone.image_size,
            patch_size=backbone.patch_size,
            embed_dim=backbone.width,
            depth=backbone.depth,
            num_heads=backbone.heads,
            mlp_ratio=4,
            out_chans=backbone.prompt_dim,
            qkv_bias=True,
            norm_layer=functools.partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=backbone.window,
            global_attn_indexes=backbone.global_blocks,
        ),
        prompt_encoder=modeling.PromptEncoder(
            embed_dim=backbone.prompt_dim,
            image_embedding_size=(grid, grid),
            input_image_size=(backbone.image_size, backbone.image_size),
            mask_in_chans=16,
        ),
        mask_decoder=modeling.MaskDecoder(
            num_multimask_outputs=3,
            transformer=modeling.TwoWayTransformer(
                depth=2,
                embedding_dim=backbone.prompt_dim,
                mlp_dim=backbone.decoder_mlp_dim,
                num_heads=8,
            ),
            transformer_dim=backbone.prompt_dim,
            iou_head_depth=3,
            iou_head_hidden_dim=backbone.iou_hidden_dim,
        ),
        image_size=backbone.image_size,
        in_channels=3,
    )
