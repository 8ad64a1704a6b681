"""Checks that what a run's record and curve say follows from each other, from the dataset and from AIMS."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import UNSET

from aims.core.checks import MEASURED, RECOUNTED, SELECTION, Check
from aims.core.config import NO_TUNING
from aims.core.curve import EpochLine, best_epoch, largest_curve
from aims.core.errors import InputError
from aims.core.files import own_file
from aims.core.records import METRICS, RECORD, SAMPLES, DatasetFacts, RunRecord, StreamFacts
from aims.core.structs import read_lines
from aims.core.vocabulary import PROTOCOLS
from aims.data.format import decode_rgb
from aims.data.modalities import choose_dataset
from aims.data.read import Dataset
from aims.data.refs import ImageRef
from aims.engine.losses import LOSSES
from aims.engine.train import learning_rate
from aims.methods import BACKBONES, METHODS, TUNINGS, describe, has_model
from aims.models.weights import packaged_weights

#: Scores are sums and quotients of integers, so they differ by the order of summation of a mean at most.
TOLERANCE = 1e-9

#: Difference of the scores of one model on one split, computed twice: a GPU fixes no order of summation.
TWICE = 1e-3
# Larger numbers are no measurement: a lifetime in seconds, an exbibyte.
_LONGEST, _MOST_BYTES = 3e9, 1 << 60
_PNG = b"\x89PNG\r\n\x1a\n"
_LARGEST_SHEET = 1 << 26  # bytes and pixels


def check_claims(
    record: RunRecord, dataset: Dataset, splits: Mapping[str, Sequence[ImageRef]]
) -> Iterator[str]:
    """Checks all that a run says and that can be checked without its model.

    Args:
        record: record of the run.
        dataset: its dataset.
        splits: the images of train, test and, where the protocol has one, val.

    Yields:
        Claims that do not follow, one line each.
    """
    yield from _check_curve(record)
    yield from _check_rates(record)
    yield from _check_images(record, splits)
    yield from _check_dataset(record, dataset)
    yield from _check_start(record)
    yield from _check_model(record, dataset)
    yield from _check_measurements(record)
    yield from _check_samples(record.path / SAMPLES)


def passed(record: RunRecord, *, again: bool) -> Check:
    """Returns the check of a run in which nothing was found.

    Args:
        record: record of the run.
        again: whether its masks were predicted again.
    """
    names = (*(() if _is_known(record) else RECOUNTED), *MEASURED, *(() if again else (SELECTION,)))
    return Check(level="rerun" if again else "dataset", not_checked=names)


def _is_known(record: RunRecord) -> bool:
    """Returns whether method, tuning and backbone are installed, so that parameters can be recounted.

    What a record names is not opened: neither a folder of this machine nor a repository of the Hub.
    """
    config = record.config
    if config.method not in METHODS or config.tuning not in (*TUNINGS, NO_TUNING):
        return False
    backbone = config.backbone
    return not has_model(config.method) or (backbone in BACKBONES and not BACKBONES.is_opened(backbone))


def _check_curve(record: RunRecord) -> Iterator[str]:
    """Checks the lines of metrics.jsonl, and that the selected epoch is its best, the earlier of equals."""
    path, config, scores = record.path / METRICS, record.config, record.scores
    if not config.epochs:
        if path.exists():
            yield f"{METRICS}: is there, though nothing was trained"
        if scores.epoch:
            yield f"{RECORD}: epoch is {scores.epoch}, though nothing was trained"
        if scores.val_miou is not None and not config.is_floor:
            yield f"{RECORD}: val_miou is {scores.val_miou}, though nothing was selected"
        return
    if not path.is_file():
        yield f"{METRICS}: is missing"
        return
    try:
        lines = read_lines(path, EpochLine, largest=largest_curve(config.epochs))
    except InputError as error:
        yield str(error)
        return
    epochs = [line.epoch for line in lines]
    # Earlier versions did not score the start.
    if epochs[:1] == [0]:
        epochs = epochs[1:]
    if epochs != [*range(1, config.epochs + 1)]:
        yield f"{METRICS}: its {len(epochs)} epochs are not 1 to {config.epochs}, once each"
        return
    for line in lines:
        for problem in _line_problems(record, line):
            yield f"{METRICS}: epoch {line.epoch} {problem}"
    yield from _check_selection(record, lines)


def _line_problems(record: RunRecord, line: EpochLine) -> Iterator[str]:
    config, split = record.config, PROTOCOLS[record.config.protocol].select_on
    if line.epoch == 0:
        if split != "val":
            yield "is there, its protocol scores no start"
        if (line.loss, line.lr) != (None, None):
            yield f"has the loss {line.loss} and the learning rate {line.lr}, though nothing was trained yet"
    else:
        rate = learning_rate(config.lr, line.epoch)
        if line.lr is None or not math.isclose(line.lr, rate, rel_tol=TOLERANCE):
            yield f"has the learning rate {line.lr}, the configuration gives {rate:g}"
        if line.loss is None or line.loss < 0:
            yield f"has the loss {line.loss}"
    other = "val" if split == "test" else "test"
    if line.miou(other) is not None:
        yield f"has a score on {other}, its protocol selects on {split}"
    scored = line.epoch % config.score_every == 0 or line.epoch == config.epochs
    if scored != (line.miou(split) is not None):
        yield f"has {'no' if scored else 'a'} score on {split}"


def _check_selection(record: RunRecord, lines: Sequence[EpochLine]) -> Iterator[str]:
    scores, split = record.scores, PROTOCOLS[record.config.protocol].select_on
    if record.content.selected_on not in (UNSET, split):
        yield f"{RECORD}: selected_on is {record.content.selected_on!r}, its protocol selects on {split}"
    best = best_epoch(lines, split)
    if best is None:
        return
    epoch, miou = best
    if scores.epoch != epoch:
        yield f"{RECORD}: epoch is {scores.epoch}, the best of {METRICS} has {epoch}"
    expected = miou if split == "val" else None
    if scores.val_miou is not None and not same(scores.val_miou, expected):
        yield f"{RECORD}: val_miou is {scores.val_miou}, the best of {METRICS} has {expected}"
    if split == "test" and abs(scores.miou - miou) > TWICE:
        yield f"{METRICS}: epoch {epoch} scores {miou} on test, its masks {scores.miou}"


def _check_rates(record: RunRecord) -> Iterator[str]:
    """Checks that the learning rates that were tried contain the run's own, with its score."""
    tried, config, scores = record.content.learning_rates, record.config, record.scores
    if tried is None:
        return
    split = PROTOCOLS[config.protocol].select_on
    expected = scores.val_miou if split == "val" else scores.miou
    said = tried.scores.get(f"{config.lr:g}")
    if expected is not None and not same(said, expected):
        yield f"{RECORD}: learning_rates has {said} for the run's own {config.lr:g}, its score is {expected}"


def _check_images(record: RunRecord, splits: Mapping[str, Sequence[ImageRef]]) -> Iterator[str]:
    said = record.content.images or {}
    for split, refs in splits.items():
        count = said.get(split)
        # Training images without an instance of sufficient size are not counted.
        possible = range(1, len(refs) + 1) if split == "train" else (len(refs),)
        if count not in possible:
            yield f"{RECORD}: {count} images of {split}, the dataset has {len(refs)}"


def _check_dataset(record: RunRecord, dataset: Dataset) -> Iterator[str]:
    """Checks licence, citation, source and streams, which the dataset's fingerprint covers."""
    facts = record.content.dataset or DatasetFacts()
    for name in ("license", "citation", "url"):
        said, there = getattr(facts, name), getattr(dataset.spec, name)
        if said not in (UNSET, there):
            yield f"{RECORD}: the dataset's {name} is {said!r}, in the dataset {there!r}"
    # Predictions scale recordings by them. Of derived streams the dataset says nothing.
    for name, stream in (facts.streams or {}).items():
        for key in StreamFacts.__struct_fields__ if name in dataset.spec.streams else ():
            said, there = getattr(stream, key), getattr(dataset.spec.streams[name], key)
            if said != there:
                yield f"{RECORD}: the {key} of {name} is {said}, in the dataset {there}"


def _check_start(record: RunRecord) -> Iterator[str]:
    """Checks what is said of the pretrained weights, as far as their checksum is one that AIMS knows."""
    config, content = record.config, record.content
    packaged = {each.full_name: each.sha256 for each in packaged_weights()}
    owners = {each.sha256: each.backbone for each in packaged_weights()}
    owners |= {each.checkpoint.sha256: name for name, each in BACKBONES.items() if each.checkpoint}
    owner = owners.get(config.weights, config.backbone)
    if owner != config.backbone:
        yield f"{RECORD}: backbone is {config.backbone!r}, its weights are those of {owner}"
    name = content.weights_name
    known = name in packaged or config.weights in packaged.values()
    if name is not None and known and packaged.get(name) != config.weights:
        yield f"{RECORD}: weights_name is {name!r}, its weights {config.weights[:8]} are others"
    if (content.init.weights if content.init else None) != config.init:
        yield f"{RECORD}: init is of other weights than its configuration's"


def _check_model(record: RunRecord, dataset: Dataset) -> Iterator[str]:
    """Checks the loss, and parameters, operations and options of what is installed (`_is_known`)."""
    config, content = record.config, record.content
    if not config.is_floor and config.loss not in LOSSES:
        yield f"{RECORD}: loss is {config.loss!r}, which is none of {', '.join(LOSSES)}"
    if not _is_known(record):
        return
    try:
        _, modality = choose_dataset([dataset], config.modality, PROTOCOLS[config.protocol])
        found = describe(
            method=config.method,
            tuning=config.tuning,
            backbone=config.backbone,
            channels=modality.channels or 0,
            options=config.options,
        )
    except InputError as error:
        yield f"{RECORD}: its configuration cannot be built ({error})"
        return
    counts = found.as_json()
    if (said := msgspec.to_builtins(content.parameters)) != counts["parameters"]:
        yield f"{RECORD}: parameters are {said}, recomputed {counts['parameters']}"
    for name, value in (msgspec.to_builtins(content.flops) or {}).items():
        if value != counts["flops"][name]:
            yield f"{RECORD}: flops.{name} is {value}, recomputed {counts['flops'][name]}"
    for name, option in (content.options or {}).items():
        if option != found.options.get(name, option):
            yield f"{RECORD}: option {name} is {option}, its configuration has {found.options[name]}"


def _check_measurements(record: RunRecord) -> Iterator[str]:
    """Checks that times and sizes are ones; whether they are true cannot be seen."""
    content = record.content
    times = {}
    for name in ("started", "finished"):
        if (text := getattr(content, name)) is None:
            continue
        try:
            times[name] = datetime.fromisoformat(text)
        except ValueError:
            yield f"{RECORD}: {name} is {text!r}, no time"
            continue
        if times[name].tzinfo is None:
            yield f"{RECORD}: {name} is {text!r}, a time of no zone"
            return
    if len(times) == 2 and times["finished"] < times["started"]:
        yield f"{RECORD}: it was finished at {content.finished}, before it started"
    if content.seconds is not None and content.seconds > _LONGEST:
        yield f"{RECORD}: seconds are {content.seconds:g}, longer than anything runs"
    if (content.peak_memory_bytes or 0) > _MOST_BYTES:
        yield f"{RECORD}: peak_memory_bytes is more than any memory has"


def _check_samples(path: Path) -> Iterator[str]:
    """Checks that the contact sheet, if there is one, is a PNG of a size that can be drawn."""
    try:
        with own_file(path).open("rb") as file:
            data = file.read(_LARGEST_SHEET + 1)
    except FileNotFoundError:
        return
    # Width and height follow the head of the first chunk.
    pixels = int.from_bytes(data[16:20]) * int.from_bytes(data[20:24])
    try:
        if not data.startswith(_PNG) or max(len(data), pixels) > _LARGEST_SHEET:
            raise ValueError
        decode_rgb(data)
    except ValueError:
        yield f"{SAMPLES}: no PNG, or too large a one"


def same(stored: object, found: object) -> bool:
    """Returns whether two scores are equal up to `TOLERANCE`, or two other values are equal."""
    if isinstance(stored, float) and isinstance(found, float):
        return abs(stored - found) <= TOLERANCE
    return bool(stored == found)
