"""The registry of tunings: how a pretrained model is fine-tuned. Each file here registers one or two.

A new tuning is one new file with a class below `@TUNINGS.register`; nothing else lists it.
"""

import importlib
import pkgutil

from aims.models.tuning.base import TUNINGS, Tuning

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["TUNINGS", "Tuning"]
