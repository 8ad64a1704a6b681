"""Backbones of transformers' own classes, `hf:PATH_OR_ID`, from a folder or the Hub.

They are SAM, SAM-HQ, SAM 2, and the promptable part of SAM 3.

transformers is imported when such a backbone is built, not before.
"""

from aims.models.backbone import BACKBONES
from aims.models.hf.backbone import HFBackbone

BACKBONES.open_with("hf", HFBackbone.open)
