"""The configuration of one run: frozen, validated when made, hashed to name the run's folder."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aims.core.errors import InputError, unknown_name
from aims.core.files import sha256_json
from aims.core.vocabulary import PAPER, PAPER_1, find_protocol

PRECISIONS = ("float32", "bf16")
RANDOM_WEIGHTS = "random"
#: In place of a tuning, for methods that train nothing.
NO_TUNING = "none"
#: In place of backbone, weights and loss, for methods that have no model (the floors).
NO_MODEL = "none"
#: Fields that came later, with what held before.
_LATER = {"clicks": 1, "train_images": None, "score_every": 5, "init": None}
_TYPES: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float)}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that decides a run's numbers, and nothing else.

    Attributes:
        method: name in the registry of methods.
        tuning: name in the registry of tunings, or "none" for a method that trains nothing.
        modality: name of a listed modality or of a stream of the dataset.
        dataset: name of the dataset.
        fingerprint: fingerprint of the dataset's content.
        backbone: name in the registry of backbones, or "none" for a method that has no model.
        weights: "random", the SHA-256 of the checkpoint file, or "none" where there is no model.
        epochs: passes over the training part; 0 where nothing is trained.
        lr: peak learning rate; 0 where nothing is trained.
        batch_size: images in a step.
        seed: seed of weights, clicks, order and validation part.
        protocol: name in `PROTOCOLS`.
        precision: "float32", or "bf16" (autocast; losses and metrics stay float32).
        loss: name in the registry of losses, or "none" where there is no model.
        limit: only the first so many images of each split; None for all. Limited runs are marked in reports.
        clicks: instances of each image in a training step, with a click each; the paper has one.
        train_images: so many images of the training part, drawn by the seed; None for all.
        score_every: epochs after which a model is scored, beside the last; the paper has five.
        init: SHA-256 of the trained weights of another run from which it starts; None for none.
        options: options of method and tuning by name, those that differ from their defaults.
    """

    method: str
    tuning: str
    modality: str
    dataset: str
    fingerprint: str
    backbone: str
    weights: str
    epochs: int
    lr: float
    batch_size: int
    seed: int
    protocol: str
    precision: str
    loss: str
    limit: int | None = None
    clicks: int = 1
    train_images: int | None = None
    score_every: int = 5
    init: str | None = None
    options: Mapping[str, int | float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        find_protocol(self.protocol)
        if self.precision not in PRECISIONS:
            raise unknown_name("precision", self.precision, PRECISIONS)
        trains = self.tuning != NO_TUNING
        for name in ("epochs", "batch_size", "limit", "clicks", "train_images", "score_every"):
            value = getattr(self, name)
            if value is not None and value < 1 and (trains or name != "epochs"):
                raise InputError(f"{name.replace('_', '-')} must be at least 1, not {value}")
        if trains and not 0 < self.lr < float("inf"):
            raise InputError(f"lr must be a positive number, not {self.lr}")
        if not trains and (self.epochs, self.lr) != (0, 0):
            raise InputError(f"nothing is trained: epochs and lr must be 0, not {self.epochs} and {self.lr}")
        if (self.backbone == NO_MODEL) != (self.weights == NO_MODEL):
            raise InputError(
                f"without a model backbone and weights are both {NO_MODEL!r}, not {self.backbone!r} and "
                f"{self.weights!r}"
            )
        if self.seed < 0:
            raise InputError(f"seed must not be negative, is {self.seed}")

    @property
    def hash(self) -> str:
        """Ten hexadecimal digits that tell configurations apart."""
        fields = dataclasses.asdict(self)
        for name, default in _LATER.items():
            # As runs were named before there was a choice.
            if fields[name] == default:
                del fields[name]
        fields["protocol"] = self._protocol_then
        return sha256_json(fields)[:10]

    @property
    def options_text(self) -> str:
        """The changed options for people, e.g. "kernel 5, rank 8"; empty with the defaults."""
        return ", ".join(f"{name} {value}" for name, value in sorted(self.options.items()))

    @property
    def run_name(self) -> str:
        """Name of the run's folder: readable parts, then the hash."""
        parts = (self.dataset, self.modality, self.method, self.tuning, self._protocol_then, f"s{self.seed}")
        return "-".join((*parts, self.hash))

    @property
    def _protocol_then(self) -> str:
        """The protocol as the run's command said it."""
        return PAPER.name if self.protocol == PAPER_1.name else self.protocol

    @classmethod
    def from_json(cls, value: Mapping[str, Any], *, where: str) -> RunConfig:
        """Rebuilds a configuration from a run record.

        Args:
            value: the record's `config`.
            where: the file it stands in, for messages.

        Raises:
            InputError: a field is unknown, missing, of the wrong type, or not a printable name.
        """
        fields = {item.name: str(item.type) for item in dataclasses.fields(cls)}
        for name in value:
            if name not in fields:
                raise unknown_name("configuration field", name, fields, where=where)
        options = _options(value.get("options", {}), where)
        for name, kind in fields.items():
            if name == "options" or (name in _LATER and name not in value):
                continue
            if name not in value:
                raise InputError(f"{where}: configuration field {name!r} is missing")
            if value[name] is None and kind.endswith(" | None"):
                continue
            expected = _TYPES[kind.removesuffix(" | None")]
            # JSON's integers have no bound, and True is an integer to Python.
            if not isinstance(value[name], expected) or isinstance(value[name], bool):
                raise InputError(f"{where}: {name} is {value[name]!r}, not of type {kind}")
            if isinstance(value[name], str) and not (value[name] and value[name].isprintable()):
                raise InputError(f"{where}: {name} is {value[name]!r}, not a printable name")
            if not isinstance(value[name], str) and abs(value[name]) > sys.float_info.max:
                raise InputError(f"{where}: {name} is too large for a number")
        return cls(**{**value, "options": options})


def _options(value: Any, where: str) -> dict[str, int | float]:
    """Options of a run record; runs from before there were any have none."""
    numbers = isinstance(value, Mapping) and all(
        isinstance(option, int | float) and not isinstance(option, bool) and abs(option) <= sys.float_info.max
        for option in value.values()
    )
    if not numbers or not all(name and name.isprintable() for name in value):
        raise InputError(f"{where}: options is {value!r}, not numbers by name")
    return dict(value)
