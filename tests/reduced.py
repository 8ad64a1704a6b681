"""The backbones at a size for tests: widths and heads as they are, fewer blocks, a smaller picture."""

from __future__ import annotations

import dataclasses

from aims.methods import BACKBONES
from aims.models.sam import SAM

#: Windows of 14 on a grid of 16: padded windows and global blocks both occur.
REDUCED: dict[str, SAM] = {
    name: dataclasses.replace(BACKBONES[name], image_size=256, depth=2, global_blocks=(1,))
    for name in ("sam-vit-b", "sam-vit-l", "sam-vit-h")
} | {"sam-tiny": BACKBONES["sam-tiny"]}
