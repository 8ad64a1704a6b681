"""What a run needs beside its configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from aims.core.config import RunConfig
from aims.core.vocabulary import PROTOCOLS, Modality, Protocol
from aims.data.read import Dataset
from aims.engine.distributed import ProcessGroup
from aims.engine.initial import Initial
from aims.models.attention import AttentionPath


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A configuration with everything that computing it takes.

    Attributes:
        config: everything that decides the numbers.
        dataset: the dataset of the configuration.
        modality: its modality, with the channel count filled in.
        weights: tensors of the plain SAM; None for random weights.
        initial: what another run trained, to start from; None for none.
        device: where to run.
        runs: folder of all runs.
        workers: processes that read ahead.
        checkpoint_every: steps after which a training is saved, beside the end of every epoch; None: only
            there.
        path: how the model is computed; it changes no number beyond rounding.
        distributed: the processes that compute the run together.
    """

    config: RunConfig
    dataset: Dataset
    modality: Modality
    weights: Mapping[str, Tensor] | None
    initial: Initial | None = None
    device: torch.device
    runs: Path
    workers: int = 0
    checkpoint_every: int | None = None
    path: AttentionPath = "fast"
    distributed: ProcessGroup = dataclasses.field(default_factory=ProcessGroup)

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.runs / self.config.run_name

    @property
    def protocol(self) -> Protocol:
        """The protocol of the configuration."""
        return PROTOCOLS[self.config.protocol]
