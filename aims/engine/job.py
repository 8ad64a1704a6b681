"""A run's configuration together with the objects that computing it needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from aims.core.config import RunConfig
from aims.core.vocabulary import PROTOCOLS, Modality, Protocol
from aims.data.read import Dataset
from aims.data.refs import ImageRef
from aims.engine.distributed import ProcessGroup
from aims.engine.initial import Initial
from aims.engine.samples import split_images
from aims.models.attention import AttentionPath


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A configuration and everything needed to compute its run.

    Attributes:
        config: settings that determine the results.
        dataset: the dataset of the configuration.
        modality: its modality, with the number of channels filled in.
        weights: state dict of plain SAM; None for random weights.
        initial: trained weights of another run to start from; None for none.
        device: device to compute on.
        runs: folder of all runs.
        workers: number of processes that read ahead.
        checkpoint_every: number of steps between checkpoints within an epoch; None saves at the end of every
            epoch only.
        path: implementation of attention, "fast" or "stock"; both agree up to rounding.
        trust: whether the dataset is taken as it is, without being verified.
        track: name of the experiment tracker that is told of the progress; None for none.
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
    trust: bool = False
    track: str | None = None
    distributed: ProcessGroup = dataclasses.field(default_factory=ProcessGroup)

    @property
    def folder(self) -> Path:
        """Folder of the run, below `runs`."""
        return self.runs / self.config.run_name

    @property
    def protocol(self) -> Protocol:
        """The protocol of the configuration."""
        return PROTOCOLS[self.config.protocol]

    @cached_property
    def splits(self) -> dict[str, tuple[ImageRef, ...]]:
        """The images of train, test and, where the protocol has one, val."""
        config = self.config
        return split_images(self.dataset, self.protocol, config.seed, config.limit, config.train_images)
