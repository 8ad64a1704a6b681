"""Backbones of transformers' own classes, `hf:PATH_OR_ID`: SAM, SAM-HQ and SAM 2, from a folder or the Hub.

transformers is imported when such a backbone is built, not before.
"""

from aims.models.backbone import BACKBONES
from aims.models.hf.backbone import HFBackbone

BACKBONES.open_with("hf", HFBackbone.open)
