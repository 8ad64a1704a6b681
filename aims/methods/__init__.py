"""The registry of methods: each file here composes layers of `aims.models` and registers one.

A new method is one new file with a class below `@METHODS.register`; nothing else lists it. A method of
another package is found through the entry-point group `aims.methods`: each entry names a module that
registers methods, tunings or backbones when it is imported.
"""

import importlib
import logging
import pkgutil
from importlib.metadata import entry_points

from aims.methods.base import METHODS, Baseline, ClickedMap, Floor, Method, has_model
from aims.methods.build import build_model
from aims.methods.describe import Description, build_shapes, describe
from aims.methods.options import (
    all_options,
    changed_options,
    default_tuning,
    known_options,
    option_defaults,
    read_any_option,
    read_option,
    require_free_names,
    require_modality,
    require_pair,
)
from aims.models.backbone import BACKBONES
from aims.models.trainable import ParameterCounts, count_parameters
from aims.models.tuning import TUNINGS

_GROUP = "aims.methods"

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

for _entry in sorted(entry_points(group=_GROUP), key=lambda entry: entry.name):
    try:
        _entry.load()
    except Exception as _error:
        # Any error: a broken package of somebody else must not prevent the import of this one.
        logging.getLogger(__name__).warning(
            "%s of the entry-point group %s cannot be imported and is left out: %s",
            _entry.value,
            _GROUP,
            _error,
        )

__all__ = [
    "BACKBONES",
    "METHODS",
    "TUNINGS",
    "Baseline",
    "ClickedMap",
    "Description",
    "Floor",
    "Method",
    "ParameterCounts",
    "all_options",
    "build_model",
    "build_shapes",
    "changed_options",
    "count_parameters",
    "default_tuning",
    "describe",
    "has_model",
    "known_options",
    "option_defaults",
    "read_any_option",
    "read_option",
    "require_free_names",
    "require_modality",
    "require_pair",
]
