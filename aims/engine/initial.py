"""A run that starts from what another run trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from aims.core.config import NO_TUNING, Option
from aims.core.errors import InputError
from aims.core.files import sha256_file
from aims.core.records import INITIAL, WEIGHTS
from aims.engine.checkpoint import save_tensors
from aims.engine.restore import load_model, load_record
from aims.methods import build_shapes
from aims.models.merging import folded_state
from aims.models.segmenter import Segmenter
from aims.models.trainable import declared_parameters


@dataclass(frozen=True, kw_only=True)
class Initial:
    """What another run trained.

    Attributes:
        run: name of its folder.
        sha256: of its file of trained weights.
        state: all tensors of its model: as they are if the new run has the same tuning, else with the
            tuning's layers folded into the weights.
    """

    run: str
    sha256: str
    state: Mapping[str, Tensor]


def load_initial(
    folder: Path,
    weights: Path | None,
    *,
    method: str,
    tuning: str,
    backbone: str,
    channels: int,
    options: Mapping[str, Option],
) -> Initial:
    """Loads the model of a finished run for another run to start from.

    Args:
        folder: of the finished run.
        weights: the pretrained weights that it started from; None for the cache folder.
        method: of the new run.
        tuning: of the new run; any if the finished run's layers fold into the weights.
        backbone: of the new run.
        channels: of the new run's images.
        options: of the new run's method and tuning, those that differ from their defaults.

    Raises:
        InputError: the folder is of no finished run with trained weights, or of another method or backbone,
            or its tensors do not fit: other channels, other options of the method, or another tuning whose
            layers cannot be folded.
    """
    record = load_record(folder)
    config = record.config
    if NO_TUNING in (tuning, config.tuning):
        which = "this run" if tuning == NO_TUNING else str(folder)
        raise InputError(f"--init {folder}: {which} trains nothing; leave --init out")
    for name, theirs, ours in (("method", config.method, method), ("backbone", config.backbone, backbone)):
        if theirs != ours:
            raise InputError(
                f"--init {folder}: its {name} is {theirs}, this run's {ours}; they must be the same"
            )
    model = load_model(folder, weights)
    same = config.tuning == tuning and dict(config.options) == dict(options)
    state = model.state_dict()
    if not same:
        state = folded_state(model) | {n: t for n, t in state.items() if n.startswith("alignment.")}
    try:
        build_shapes(
            method=method, tuning=tuning, backbone=backbone, channels=channels, options=options, initial=state
        )
    except InputError as error:
        reason = ""
        if config.tuning != tuning:
            reason = (
                f"; layers of {config.tuning} may not fold into the weights: try --tuning {config.tuning}"
            )
        raise InputError(f"--init {folder}: {error}{reason}") from None
    return Initial(run=config.run_name, sha256=sha256_file(folder / WEIGHTS), state=state)


def save_initial(folder: Path, model: Segmenter, plain: Segmenter, initial: Initial) -> None:
    """Writes what a run starts with and does not train, so that its model can be built without the other run.

    Args:
        folder: of the run.
        model: before its training.
        plain: the same without what the other run trained.
        initial: names the other run in the file.
    """
    trained, before = declared_parameters(model), plain.state_dict()
    kept = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if name not in trained and not torch.equal(tensor.cpu(), before[name])
    }
    save_tensors(folder / INITIAL, kept, {"init": initial.run})
