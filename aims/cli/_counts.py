"""The counts of `aims info --all`: parameters and operations of every method and tuning, and the paper's."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Callable
from importlib import resources
from typing import Any

from aims.cli._options import summary
from aims.core.config import NO_TUNING
from aims.core.errors import InputError
from aims.core.vocabulary import MODALITIES
from aims.methods import (
    BACKBONES,
    METHODS,
    TUNINGS,
    Description,
    ParameterCounts,
    build_shapes,
    count_parameters,
    default_tuning,
    describe,
    has_model,
    known_options,
    require_modality,
    require_pair,
)
from aims.reports.paper.published import PAPER_BACKBONE

#: The method that the others are compared with; tunings and depths are counted with it.
REFERENCE = "simcmf"
#: Modalities with which the alignment modules are counted: one for each number of channels in the paper.
_ALIGNMENT_AT = ("depth", "hha", "rgb-depth", "rgb-hha", "polarization")
#: Modalities with which operations are counted: the first wide one that a method takes, and the narrow one.
_WIDE, _NARROW = ("polarization", "rgb-hha"), "depth"


def count_all(backbone: str) -> dict[str, Any]:
    """Counts every method with its default tuning, every tuning, and Figure 6's depths, as JSON.

    Raises:
        InputError: the backbone is unknown.
    """
    BACKBONES[backbone]  # raises for an unknown name, before the slow counting
    file = resources.files("aims.leaderboards").joinpath("published.toml")
    published = tomllib.loads(file.read_text(encoding="utf-8"))
    table4 = published["table4"] if backbone == PAPER_BACKBONE else {}
    depths = published["figure6"]["n"]
    return {
        "backbone": backbone,
        "methods": [_method(backbone, method) for method in METHODS],
        "tunings": [
            _tuning(backbone, tuning, table4.get(tuning)) for tuning in TUNINGS if _has(backbone, tuning)
        ],
        "depths": [
            {
                "depth": depth,
                "alignment": _parameters(backbone, REFERENCE, _WIDE[0], depth=depth).alignment,
                "published_thousands": thousands,
            }
            for depth, thousands in zip(depths["values"], depths["params_k"], strict=True)
        ],
    }


def _method(backbone: str, method: str) -> dict[str, Any]:
    """Counts one method, as JSON; counts with a modality that the method refuses are None.

    So are all counts of a method that refuses the backbone.
    """
    wide = next((modality for modality in _WIDE if _takes(backbone, method, modality)), None)
    found = _describe(backbone, method, wide).as_json() if wide else {}
    return {
        "name": method,
        "summary": summary(METHODS[method]),
        "options": known_options(method, NO_TUNING),
        "tunings": [name for name in (*TUNINGS, NO_TUNING) if _passes(require_pair, method, name)],
        "alignment": {
            str(_channels(modality)): (
                _parameters(backbone, method, modality).alignment
                if _takes(backbone, method, modality)
                else None
            )
            for modality in _ALIGNMENT_AT
        },
        "tuning": default_tuning(method, pretrained=True),
        "modality": wide,
        "channels": found.get("channels"),
        "parameters": found.get("parameters"),
        "flops": found.get("flops"),
        "ratio": {"same": _ratio(backbone, method, wide), "one_channel": _ratio(backbone, method, _NARROW)},
    }


def _tuning(backbone: str, tuning: str, published: float | None) -> dict[str, Any]:
    """Counts one tuning, as JSON, without the alignment module, as in the paper's Table 4."""
    counts = _parameters(backbone, REFERENCE, _WIDE[0], tuning=tuning)
    of_method = known_options(REFERENCE, NO_TUNING)
    options = known_options(REFERENCE, tuning)
    return {
        "name": tuning,
        "summary": summary(TUNINGS[tuning]),
        "options": {name: value for name, value in options.items() if name not in of_method},
        "encoder": counts.encoder,
        "decoder": counts.decoder,
        "total": counts.encoder + counts.decoder,
        "frozen": counts.total - counts.trainable,
        "published_millions": published,
    }


@functools.cache
def _describe(backbone: str, method: str, modality: str) -> Description:
    tuning = default_tuning(method, pretrained=True)
    return describe(method=method, tuning=tuning, backbone=backbone, channels=_channels(modality))


@functools.cache
def _parameters(
    backbone: str, method: str, modality: str, *, tuning: str | None = None, **options: int
) -> ParameterCounts:
    described = tuning is None and not options and modality in (_WIDE[0], _NARROW)
    # `_describe` is cached and has built this model already; floors have no model to build.
    if described or not has_model(method):
        return _describe(backbone, method, modality).parameters
    model = build_shapes(
        method=method,
        tuning=tuning or default_tuning(method, pretrained=True),
        backbone=backbone,
        channels=_channels(modality),
        options=options,
    )
    return count_parameters(model)


def _ratio(backbone: str, method: str, modality: str | None) -> float | None:
    """Returns the ratio of a method's operations to those of `REFERENCE`; None if it refuses the modality."""
    if modality is None or not _takes(backbone, method, modality):
        return None
    reference = _describe(backbone, REFERENCE, modality).flops.forward
    return round(_describe(backbone, method, modality).flops.forward / reference, 4)


@functools.cache
def _takes(backbone: str, method: str, modality: str) -> bool:
    return _passes(require_modality, method, MODALITIES[modality]) and _passes(
        _parameters, backbone, method, modality
    )


def _has(backbone: str, tuning: str) -> bool:
    """Whether the backbone has layers that a tuning can change."""
    return _passes(lambda: _parameters(backbone, REFERENCE, _WIDE[0], tuning=tuning))


def _passes(check: Callable[..., object], *arguments: object) -> bool:
    try:
        check(*arguments)
    except InputError:
        return False
    return True


def _channels(modality: str) -> int:
    channels = MODALITIES[modality].channels
    assert channels is not None  # of the modalities above
    return channels
