"""The content of model.json: preprocessing of raw values, hyper-parameters, scores, licences."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from aims.core.records import StreamFacts
from aims.core.vocabulary import find_protocol
from aims.engine.export.formats import Origin
from aims.engine.restore import preprocessing_of
from aims.methods import BACKBONES
from aims.models.weights import PACKAGED_LICENSE, packaged_name
from aims.sensors.scaling import paper_rule
from aims.version import __version__

VERSION = 1
#: The rules of `aims.sensors.scaling.scale` in words; x is a stored value.
_RULES = {
    "valid-range": "clip((x - low) / (high - low), 0, 1), with the valid range from low to high",
    "type": "whole numbers divided by the maximum of their type (uint8: 255), floats as they are",
    "min-max": "clip(floor((x - a) / (b - a) * 255), 0, 255) / 255, with a and b the least and the greatest "
    "finite value of the image in this stream; where they are equal, b - a is taken as 1",
}


def describe(origin: Origin) -> dict[str, Any]:
    """Returns the content of model.json that does not depend on the format."""
    record, config, content = origin.record, origin.record.config, origin.record.content
    # None in the records of earlier versions: ranges and licence are then unknown.
    facts = content.dataset
    return {
        "version": VERSION,
        "aims": __version__,
        "run": config.run_name,
        "code": msgspec.to_builtins(content.code),
        "method": config.method,
        "tuning": config.tuning,
        "options": dict(config.options) if content.options is None else content.options,
        "backbone": config.backbone,
        "input": describe_input(origin),
        "mask_size": origin.backbone.mask_size,
        "weights": {"start": config.weights, "seed": config.seed, **_origin(config.weights)},
        "dataset": {
            "name": config.dataset,
            "fingerprint": config.fingerprint,
            "modality": config.modality,
            "license": facts.license or None if facts else None,
            "citation": facts.citation or None if facts else None,
            "url": facts.url or None if facts else None,
        },
        "config": dataclasses.asdict(config),
        "scores": msgspec.to_builtins(record.scores),
        "selected_on": content.selected_on or None,
    }


def _origin(weights: str) -> dict[str, str | None]:
    """Origin and licence of the weights, given their SHA-256, that a run started from; None where unknown."""
    for name in BACKBONES:
        checkpoint = BACKBONES[name].checkpoint
        if checkpoint is not None and checkpoint.sha256 == weights:
            return {
                "origin": f"the weights {checkpoint.file_name} by {checkpoint.authors}",
                "license": checkpoint.license,
            }
    if packaged := packaged_name(weights):
        return {"origin": f"the weights {packaged} that come with AIMS", "license": PACKAGED_LICENSE}
    return {"origin": None, "license": None}


def describe_input(origin: Origin) -> dict[str, Any]:
    """Describes how `aims.engine.inputs` turned a raw recording into the model's input in the run."""
    record, facts = origin.record, origin.record.content.dataset
    preprocessing = preprocessing_of(record)
    stream_facts = (facts.streams or {}) if facts else {}
    streams = [
        _stream(name, record.config.protocol, stream_facts.get(name)) for name in preprocessing.streams
    ]
    used = sorted({stream["scaling"] for stream in streams} - {None})
    return {
        "size": origin.backbone.image_size,
        "channels": len(preprocessing.channel_order),
        "streams": streams,
        "rules": {name: _RULES[name] for name in used},
        "mean": preprocessing.mean,
        "std": preprocessing.std,
        "constants": preprocessing.source,
        "channel_order": preprocessing.channel_order,
    }


def _stream(name: str, protocol: str, spec: StreamFacts | None) -> dict[str, Any]:
    """Describes a stream and names its rule of `aims.sensors.scaling.scale`; None where unknown."""
    rules = find_protocol(protocol)
    stream: dict[str, Any] = {"name": name, "scaling": None}
    if spec is not None:
        stream |= {"channels": spec.channels, "unit": spec.unit, "valid_range": spec.valid_range}
        stream["missing"] = spec.missing if rules.masks_missing else None
    if rules.scaling == "published":
        stream["scaling"] = paper_rule(name)
    elif spec is not None:
        stream["scaling"] = "type" if spec.valid_range is None else "valid-range"
    return stream
