"""Runs that start from the trained weights of another run (`--init`)."""

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
    """The trained weights of another run.

    Attributes:
        run: name of that run's folder.
        sha256: SHA-256 of its file of trained weights.
        state: state dict of its model: unchanged if the new run has the same tuning and options, else with
            the tuning's layers folded into the weights.
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
        folder: folder of the finished run.
        weights: pretrained weights that the finished run started from; None for the cache folder.
        method: method of the new run.
        tuning: tuning of the new run; may differ if the finished run's layers fold into the weights.
        backbone: backbone of the new run.
        channels: number of input channels of the new run.
        options: options of the new run's method and tuning that differ from their defaults.

    Raises:
        InputError: the folder holds no finished run with trained weights; its method or backbone differs; or
            its tensors do not fit, because of other channels, other options, or a tuning whose layers do not
            fold into the weights.
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
    # Folding leaves the layers of the tuning out, so a new tuning starts with its own initial values.
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
    """Writes the tensors that a run takes from another one and does not train.

    With them the run's model can be rebuilt without the other run.

    Args:
        folder: folder of the run.
        model: model of the run before training.
        plain: the same model built without the other run's weights.
        initial: weights of the other run, whose name goes into the metadata of the file.
    """
    trained, before = declared_parameters(model), plain.state_dict()
    kept = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if name not in trained and not torch.equal(tensor.cpu(), before[name])
    }
    save_tensors(folder / INITIAL, kept, {"init": initial.run})
