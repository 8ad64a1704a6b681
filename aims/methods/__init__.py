"""The registry of methods: each file here composes layers of `aims.models` and registers one.

A new method is one new file with a class below `@METHODS.register`; nothing else lists it.
"""

import importlib
import pkgutil

from aims.methods.base import METHODS, Method
from aims.methods.build import build_model, default_tuning, require_pair
from aims.models.sam import BACKBONES
from aims.models.trainable import ParameterCounts, count_parameters
from aims.models.tuning import TUNINGS

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "BACKBONES",
    "METHODS",
    "TUNINGS",
    "Method",
    "ParameterCounts",
    "build_model",
    "count_parameters",
    "default_tuning",
    "require_pair",
]
