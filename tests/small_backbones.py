"""MobileSAM and EfficientSAM as variants so small that a training step takes milliseconds."""

from __future__ import annotations

_DECODER = "image_size=64,prompt_dim=16,decoder_mlp_dim=32,iou_hidden_dim=16"

#: Windows of 3 on grids of 8 and 4 are padded; one of 4 is the whole grid of the last stage.
SMALL = {
    "mobile-sam": f"mobile-sam:widths=8+12+16+20,depths=1+1+2+1,heads=2+2+5,windows=3+3+4,{_DECODER}",
    "efficient-sam": f"efficient-sam-ti:width=24,heads=2,depth=3,{_DECODER}",
}
