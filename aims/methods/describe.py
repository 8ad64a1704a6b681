"""Counts of parameters and operations of a method with a tuning, from shapes alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from aims.core.config import NO_MODEL, Option
from aims.core.vocabulary import IOU_GRID
from aims.methods.base import has_model
from aims.methods.build import build_model
from aims.methods.options import changed_options, known_options, require_pair, require_size
from aims.models.backbone import BACKBONES
from aims.models.flops import Flops, count_flops
from aims.models.segmenter import Segmenter
from aims.models.trainable import ParameterCounts, count_parameters


@dataclass(frozen=True, kw_only=True)
class Description:
    """A method with a tuning on a backbone, with its numbers of parameters and operations.

    Attributes:
        method: name in `METHODS`.
        tuning: name in `TUNINGS`, or "none" for a method that trains nothing.
        backbone: name in `BACKBONES`, or "none" for a method that has no model; all its counts are 0.
        channels: channels of the images.
        options: all options of method and tuning, defaults filled in.
        parameters: numbers of all parameters, and of the trainable ones in each part.
        flops: for one image with one click; a multiplication with its addition counts as two.
        image_size: side of the square model input, in pixels; 0 without a model.
        mask_size: side of the square mask logits, in pixels; without a model the side of the IoU grid.
    """

    method: str
    tuning: str
    backbone: str
    channels: int
    options: Mapping[str, Option]
    parameters: ParameterCounts
    flops: Flops
    image_size: int
    mask_size: int

    def as_json(self) -> dict[str, Any]:
        """Returns the content of `aims info --json`; parameters and operations have the names of run.json."""
        return {
            "method": self.method,
            "tuning": self.tuning,
            "channels": self.channels,
            "backbone": self.backbone,
            "options": dict(self.options),
            "parameters": self.parameters.as_json(),
            "flops": asdict(self.flops),
            "image_size": self.image_size,
            "mask_size": self.mask_size,
        }


def describe(
    *,
    method: str,
    tuning: str,
    backbone: str,
    channels: int,
    options: Mapping[str, object] = MappingProxyType({}),
) -> Description:
    """Counts parameters and operations of the model that `build_model` would build.

    Args:
        method: name in `METHODS`.
        tuning: name in `TUNINGS`, or "none" for a method that trains nothing.
        backbone: name in `BACKBONES`.
        channels: channels of the images.
        options: options of the method and the tuning by name, where they differ from the defaults; strings
            are converted to the options' types.

    Raises:
        InputError: as in `build_model`, or a number is above `LARGEST`.
    """
    parameters = ParameterCounts(total=0, alignment=0, encoder=0, decoder=0)
    flops, image_size, mask_size = Flops(forward=0, alignment=0), 0, IOU_GRID
    if has_model(method):
        model = build_shapes(
            method=method, tuning=tuning, backbone=backbone, channels=channels, options=options
        )
        parameters, flops = count_parameters(model), count_flops(model)
        image_size, mask_size = model.image_size, BACKBONES[backbone].mask_size
    else:
        backbone = NO_MODEL
        require_pair(method, tuning)
        require_size("channels", channels)
    return Description(
        method=method,
        tuning=tuning,
        backbone=backbone,
        channels=channels,
        options=known_options(method, tuning) | changed_options(method, tuning, options),
        parameters=parameters,
        flops=flops,
        image_size=image_size,
        mask_size=mask_size,
    )


def build_shapes(
    *,
    method: str,
    tuning: str,
    backbone: str,
    channels: int,
    options: Mapping[str, object] = MappingProxyType({}),
    initial: Mapping[str, Tensor] | None = None,
) -> Segmenter:
    """Builds a model on torch's meta device: names, shapes and trainable parameters, without data.

    Arguments and errors are those of `describe`, and `initial` is that of `build_model`.
    """
    require_size("channels", channels)
    with torch.device("meta"):
        return build_model(
            method=method,
            tuning=tuning,
            backbone=backbone,
            channels=channels,
            weights=None,
            seed=0,
            options=options,
            initial=initial,
        )
