"""The configuration of a run: frozen, validated on construction, hashed to name the run's folder."""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aims.core.errors import InputError, unknown_name
from aims.core.files import sha256_json
from aims.core.settings import UNSET, declared_settings, setting
from aims.core.vocabulary import (
    DEFAULT_PROMPTS,
    DEFAULT_PROTOCOL,
    PROTOCOLS,
    TRAINING_PROMPTS,
    find_protocol,
)

PRECISIONS = ("float32", "bf16")
RANDOM_WEIGHTS = "random"
#: Tuning of methods that train nothing.
NO_TUNING = "none"
#: Backbone, weights and loss of methods without a model (the floors).
NO_MODEL = "none"
#: Value of an option of a method or a tuning.
Option = bool | int | float | str | None


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that determines a run's results, and nothing else.

    The settings of a run are declared here only: a field with `setting` is an option of `aims run`, a keyword
    of `aims.engine.plan.plan` and a field of a suite, and distinguishes runs in reports. `tuning` is "none"
    for a method that trains nothing; `backbone`, `weights` and `loss` are "none" for a method without a
    model; `weights` and `init` are SHA-256 checksums of files, or `weights` is "random".

    Attributes:
        fingerprint: fingerprint of the dataset's content.
        options: options of method and tuning by name, without those that have their default.
    """

    method: str = setting("How SAM is made to take the sensor; below.", required=True, registered=True)
    tuning: str = setting(
        "How it is tuned; below.  [default: lora; full with random weights]", registered=True
    )
    modality: str = setting("depth, nir, thermal, ... or a stream of your own set.", required=True)
    dataset: str = setting("Name of the dataset, where several carry the modality.")
    fingerprint: str
    backbone: str = setting(
        "sam-vit-b, -l, -h, sam-tiny, mobile-sam, efficient-sam-ti or -s, hf:PATH_OR_ID.",
        default="sam-vit-b",
        modelless=NO_MODEL,
        registered=True,
    )
    weights: str = setting("Checkpoint; none = random.  [default: cache folder]", metavar="PATH|NAME|none")
    epochs: int = setting(
        "Passes over the training part.", default=50, least=1, untrained=0, label="epochs {:g}", place=2
    )
    # Records may hold either, and are not converted: the hash is computed from JSON, where 1 and 1.0 differ.
    lr: int | float = setting(
        "Peak learning rate; sweep tries the paper's seven.  [default: by tuning and weights]",
        metavar="RATE|sweep",
        untrained=0.0,
        label="lr {:g}",
        place=1,
    )
    batch_size: int = setting(
        "Images in a step.", default=4, least=1, untrained=1, label="batch {:g}", place=3
    )
    seed: int = setting("Seed of everything that is drawn.", default=0, least=0)
    protocol: str = setting(
        "strict-2, paper, or strict, the first edition: docs/protocols.md.",
        default=DEFAULT_PROTOCOL,
        choices=tuple(PROTOCOLS),
    )
    precision: str = setting(
        " or ".join(PRECISIONS) + ".",
        default="float32",
        choices=PRECISIONS,
        modelless="float32",
        label="{}",
        place=7,
    )
    loss: str = setting(
        "dice-ce (the released program's) or sam.",
        default="dice-ce",
        modelless=NO_MODEL,
        registered=True,
        label="{}",
        place=6,
    )
    limit: int | None = setting(
        "Only the first so many images of each split; marked in reports.", since=None, in_hash=True, least=1
    )
    clicks: int = setting(
        "Instances of each image in a step; the paper's 1.",
        since=1,
        least=1,
        untrained=1,
        label="clicks {:g}",
        place=4,
    )
    train_images: int | None = setting(
        "Train on so many images, drawn by the seed.  [default: all]",
        since=None,
        metavar="N",
        least=1,
        untrained=None,
        label="{} images",
        absent="all images",
    )
    score_every: int = setting(
        "Score after so many epochs, and after the last; the paper's 5.",
        since=5,
        metavar="EPOCHS",
        least=1,
        untrained=5,
        label="scored every {:g}",
    )
    init: str | None = setting(
        "Start from what a finished run of the same method trained.",
        since=None,
        metavar="RUN",
        label="from run's weights {:.8}",
    )
    prompts: str = setting(
        "Trained on: click, clicks, box or mixed; the paper's click.",
        since=DEFAULT_PROMPTS,
        choices=tuple(TRAINING_PROMPTS),
        untrained=DEFAULT_PROMPTS,
        label="prompts {}",
        place=4,
    )
    options: Mapping[str, Option] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        protocol = find_protocol(self.protocol)
        for name in ("precision", "prompts"):
            if (value := getattr(self, name)) not in SETTINGS[name].choices:
                raise unknown_name(name, value, SETTINGS[name].choices)
        if protocol.single_clicks and self.prompts != DEFAULT_PROMPTS:
            raise InputError(
                f"protocol {self.protocol!r} trains on single clicks, as its published runs were: leave "
                f"--prompts {self.prompts} out, or take --protocol {DEFAULT_PROTOCOL}"
            )
        trains = self.tuning != NO_TUNING
        for name, item in SETTINGS.items():
            value = getattr(self, name)
            if item.least is None or value is None or (not trains and name == "epochs"):
                continue
            if value < item.least:
                raise InputError(f"{item.option} must be at least {item.least}, not {value}")
        if trains and not 0 < self.lr < float("inf"):
            raise InputError(f"lr must be a positive number, not {self.lr}")
        if not trains and (self.epochs, self.lr) != (0, 0):
            raise InputError(f"nothing is trained: epochs and lr must be 0, not {self.epochs} and {self.lr}")
        if (self.backbone == NO_MODEL) != (self.weights == NO_MODEL):
            raise InputError(
                f"without a model backbone and weights are both {NO_MODEL!r}, not {self.backbone!r} and "
                f"{self.weights!r}"
            )
        self._require_words()

    def _require_words(self) -> None:
        """Raises for unprintable text and infinite numbers, which names of folders and JSON cannot hold."""
        if not all(name and name.isprintable() for name in self.options):
            raise InputError(f"options {[*self.options]} are not printable names")
        for name, value in (*vars(self).items(), *self.options.items()):
            if isinstance(value, str):
                if not value.isprintable() or not (value or name in self.options):
                    raise InputError(f"{name} is {value!r}, not a printable name")
            elif isinstance(value, (int, float)) and not abs(value) <= sys.float_info.max:
                raise InputError(f"{name} is not finite, or too large for a number")

    @property
    def is_floor(self) -> bool:
        """Whether the method is a floor: a baseline without a model that reads no stream."""
        return self.backbone == NO_MODEL

    @property
    def data(self) -> str:
        """The modality and its dataset in words, e.g. "thermal of shapes"."""
        return f"{self.modality} of {self.dataset}"

    @property
    def trained_on(self) -> str | None:
        """The prompts of its training; None if nothing is trained."""
        return None if self.tuning == NO_TUNING else self.prompts

    @property
    def telling(self) -> tuple[Any, ...]:
        """Options and settings that distinguish runs of one method and tuning, as a sorting key."""
        # None becomes the empty value of its type, so that keys can be compared.
        settings = (getattr(self, item.name) or item.kind() for item in TELLING_SETTINGS)
        return self.options_text, *settings

    def apart_from(self, *names: str) -> Hashable:
        """Returns what configurations share that differ in the named settings alone, to group them by."""
        others = (value for name, value in vars(self).items() if name not in (*names, "options"))
        return *others, *sorted(self.options.items())

    @property
    def hash(self) -> str:
        """First ten hexadecimal digits of the SHA-256 of the configuration."""
        fields = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        fields["options"] = dict(self.options)
        for item in dataclasses.fields(self):
            # Settings newer than some runs are left out at their defaults, so that those keep their names.
            if not item.metadata.get("hashed", True) and fields[item.name] == item.default:
                del fields[item.name]
        fields["protocol"] = self._protocol_then
        return sha256_json(fields)[:10]

    @property
    def options_text(self) -> str:
        """The changed options as text, e.g. "kernel 5, rank 8"; empty if all have their defaults."""
        return ", ".join(f"{name} {value}" for name, value in sorted(self.options.items()))

    @property
    def run_name(self) -> str:
        """Name of the run's folder: dataset, modality, method, tuning, protocol, seed and hash."""
        parts = (self.dataset, self.modality, self.method, self.tuning, self._protocol_then, f"s{self.seed}")
        return "-".join((*parts, self.hash))

    @property
    def _protocol_then(self) -> str:
        """Name of the protocol at the time of the run, which names and hashes keep."""
        return find_protocol(self.protocol).recorded_as or self.protocol


#: The settings of a run, in the order of `RunConfig`.
SETTINGS = declared_settings(RunConfig)
#: Settings that distinguish runs of one method and tuning, in the order in which reports show them.
TELLING_SETTINGS = tuple(
    sorted((item for item in SETTINGS.values() if item.label), key=lambda item: item.place)
)


def told_apart(
    configs: Sequence[RunConfig], kind: Callable[[RunConfig], Hashable], *, without: Collection[str] = ()
) -> list[list[str]]:
    """Returns for each configuration, in words, the settings that tell it from others of its kind.

    An optional setting is named wherever it is set, even if all of a kind share it.

    Args:
        configs: the configurations.
        kind: what those have in common whose settings are compared.
        without: names of settings that are never named.
    """
    found: list[list[str]] = [[] for _ in configs]
    kinds = [kind(config) for config in configs]
    for item in TELLING_SETTINGS:
        values = [getattr(config, item.name) for config in configs]
        # Pairs, each once: a kind that is there twice has more than one value.
        several = Counter(of for of, _ in set(zip(kinds, values, strict=True)))
        for told, of, value in zip(found, kinds, values, strict=True):
            named = several[of] > 1 or (item.optional and value is not None)
            if named and item.name not in without and (words := item.words(value)):
                told.append(words)
    return found


def fill_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Checks the types of the settings that are given, and adds the defaults of the others.

    Raises:
        InputError: a name is unknown, a value is not of the setting's type, or a required setting is missing.
    """
    for name in given:
        if name not in SETTINGS:
            raise unknown_name("setting", name, SETTINGS)
    for name, item in SETTINGS.items():
        if item.required and given.get(name) is None:
            raise InputError(f"a run needs a {name}")
    filled = {name: given.get(name, item.default) for name, item in SETTINGS.items()}
    # None is the default that `aims.engine.plan.plan` determines, where there is one.
    return {
        name: value if value is None is SETTINGS[name].default else SETTINGS[name].read(value)
        for name, value in filled.items()
    }


def replaced_settings(*, trains: bool, has_model: bool) -> dict[str, Any]:
    """Returns the fixed values of settings that have no effect without training or without a model."""
    replaced = {}
    for name, item in SETTINGS.items():
        if not trains and item.untrained is not UNSET:
            replaced[name] = item.untrained
        if not has_model and item.modelless is not UNSET:
            replaced[name] = item.modelless
    return replaced
