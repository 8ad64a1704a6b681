"""Chooses a format, has its files written and compared, and puts description and card beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from aims.core.errors import InputError
from aims.core.files import write_json, write_text
from aims.core.staging import new_folder, require_new
from aims.engine.export.card import model_card
from aims.engine.export.description import describe
from aims.engine.export.formats import DIFFERENCES, FORMATS, Format, Origin, require_packages
from aims.engine.restore import build_untrained, load_model, load_record, preprocessing_of
from aims.methods import BACKBONES

DESCRIPTION, CARD = "model.json", "README.md"


@dataclass(frozen=True, kw_only=True)
class ModelExport:
    """The result of `export_model`.

    Attributes:
        folder: folder of the exported files.
        description: the content of model.json.
    """

    folder: Path
    description: dict[str, Any]


def export_model(
    run_folder: Path,
    out: Path | None = None,
    weights: Path | None = None,
    *,
    format: str | None = None,
    half: bool = False,
) -> ModelExport:
    """Writes a run's model with all that its use needs, if its outputs in the format equal the run's.

    Args:
        run_folder: folder of a finished run.
        out: folder to create; None for `exported/` plus the run's name.
        weights: the pretrained weights that the run started from; None for the cache folder.
        format: a name of `FORMATS`; None for the first of `Backbone.exports` that can hold the model: "sam"
            where it is plain SAM behind stock layers, else "torch".
        half: write float16, for formats that can.

    Raises:
        InputError: the run cannot be read or exported, `out` exists and is not empty, or an extra of the
            format is not installed.
    """
    record = load_record(run_folder)
    preprocessing_of(record)
    out = out or Path("exported") / record.config.run_name
    require_new(out)
    origin = Origin(record=record, backbone=BACKBONES[record.config.backbone], half=half)
    name, chosen = _choose(origin, format)
    model = load_model(run_folder, weights)
    with new_folder(out) as folder:
        part = chosen.write(folder, origin, model)
        # NaN is no equality.
        if not all(difference <= chosen.tolerance(origin) for difference in part[DIFFERENCES].values()):
            raise _refusal(origin, name, f"its outputs there are not the run's ({part[DIFFERENCES]})")
        description = describe(origin) | {"format": name, "requires": list(chosen.requires)} | part
        write_json(folder / DESCRIPTION, description)
        write_text(folder / CARD, model_card(description))
    return ModelExport(folder=out, description=description)


def _choose(origin: Origin, name: str | None) -> tuple[str, Format]:
    """Returns the wanted format, or the first default that has no objection, before any weights are read."""
    if origin.half and not (name and FORMATS[name].halves):
        halves = " or ".join(each for each in FORMATS if FORMATS[each].halves)
        raise InputError(f"--half goes with --format {halves}; leave it out, or name that format")
    names = [name] if name else [*origin.backbone.exports]
    if name:
        require_packages(name, FORMATS[name])
    with torch.device("meta"):
        shapes = build_untrained(origin.record, None)
    objections = {
        each: FORMATS[each].objection(origin, shapes) for each in {*names, *origin.backbone.exports}
    }
    for each in names:
        if objections[each] is None:
            require_packages(each, FORMATS[each])
            return each, FORMATS[each]
    other = next((each for each in origin.backbone.exports if objections[each] is None), None)
    raise _refusal(origin, names[-1], str(objections[names[-1]]), other)


def _refusal(origin: Origin, name: str, reason: str, other: str | None = None) -> InputError:
    config = origin.record.config
    way = f"--format {other} can" if other else "keep the run and load it with aims.engine.restore.load_model"
    return InputError(
        f"{origin.record.path}: {config.method} x {config.tuning} cannot leave AIMS as --format {name}: "
        f"{reason}; {way}"
    )
