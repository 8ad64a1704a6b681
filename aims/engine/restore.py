"""Rebuilding the model of a finished run, and finding its dataset."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from aims.core.config import NO_MODEL, RANDOM_WEIGHTS
from aims.core.errors import AimsError, InputError
from aims.core.records import INITIAL, RECORD, WEIGHTS, Preprocessing, RunRecord
from aims.core.vocabulary import PROTOCOLS
from aims.data.modalities import choose_dataset
from aims.data.read import Dataset, find_datasets
from aims.engine.checkpoint import load_tensors, load_trained
from aims.engine.samples import Source
from aims.methods import BACKBONES, build_model
from aims.models.segmenter import Segmenter
from aims.models.trainable import declared_parameters, require_finite, require_match
from aims.models.weights import find_packaged, load_weights, packaged_weights, weights_folder

log = logging.getLogger(__name__)

_AGAIN = "make the run again with `aims run ... --fresh`"


def load_model(run_folder: Path, weights: Path | None = None) -> Segmenter:
    """Rebuilds the model that a run scored, on the CPU, ready for `embed` and `decode`.

    Args:
        run_folder: folder of a finished run.
        weights: the pretrained weights that the run started from; None for the authors' file in the cache
            folder. Random weights are drawn again from the run's seed.

    Raises:
        InputError: the folder holds no finished run, a file is missing or damaged, or the pretrained weights
            are not those that the run started from.
    """
    record = load_record(run_folder)
    model = build_untrained(record, base_weights(record, weights))
    if record.config.init is not None:
        _load_initial(record, model)
    if declared_parameters(model):
        _load_trained(record, model)
    return model.eval()


def load_record(run_folder: Path) -> RunRecord:
    """Reads the record of a finished run that has a model.

    Raises:
        InputError: the folder holds no finished run, or one of a method without a model.
    """
    if not run_folder.is_dir():
        raise InputError(f"{run_folder}: no such folder; give the folder of a run, as `aims run` prints it")
    if not (run_folder / RECORD).is_file():
        raise InputError(f"{run_folder}: not a run (no {RECORD}); give a folder that `aims run` made")
    record = RunRecord.load(run_folder)
    if record.config.backbone == NO_MODEL:
        raise InputError(f"{run_folder}: method {record.config.method!r} has no model; there is none to load")
    return record


def dataset_of(record: RunRecord, data: Path) -> Dataset:
    """Finds the dataset of a run by its name and its fingerprint.

    Args:
        record: record of the run.
        data: a converted dataset or a folder of several.

    Raises:
        InputError: `data` does not hold the dataset with the same content.
    """
    config = record.config
    for dataset in find_datasets(data):
        if (dataset.name, dataset.fingerprint) == (config.dataset, config.fingerprint):
            return dataset
    raise InputError(
        f"{record.path}: scored {config.dataset} with the content {config.fingerprint[:8]}, which is not in "
        f"{data}; give its folder with --data"
    )


def preprocessing_of(record: RunRecord) -> Preprocessing:
    """Returns the preprocessing of a run's images.

    Raises:
        InputError: the record does not contain it.
    """
    if not record.content.preprocessing:
        raise InputError(f"{record.path / RECORD}: says nothing of the preprocessing; {_AGAIN}")
    return record.content.preprocessing


def source_of(record: RunRecord, dataset: Dataset) -> Source:
    """Returns the source of a run's images, from its dataset, as the run saw them.

    Raises:
        InputError: the record does not contain the preprocessing, or the dataset lacks a stream.
    """
    config, protocol = record.config, PROTOCOLS[record.config.protocol]
    _, modality = choose_dataset([dataset], config.modality, protocol)
    return Source(
        dataset=dataset,
        modality=modality,
        protocol=protocol,
        preprocessing=preprocessing_of(record),
        input_size=BACKBONES[config.backbone].image_size,
    )


def build_untrained(record: RunRecord, weights: Mapping[str, Tensor] | None) -> Segmenter:
    """Builds a run's model as it was before training; under `torch.device("meta")`, shapes only.

    Args:
        record: record of the run.
        weights: result of `base_weights`.

    Raises:
        InputError: the record names an unknown method, tuning, backbone or option.
    """
    config = record.config
    return build_model(
        method=config.method,
        tuning=config.tuning,
        backbone=config.backbone,
        channels=len(preprocessing_of(record).channel_order),
        weights=weights,
        seed=config.seed,
        options=config.options,
    )


def base_weights(record: RunRecord, path: Path | None) -> Mapping[str, Tensor] | None:
    """Loads the pretrained weights that a run started from.

    Args:
        record: record of the run.
        path: checkpoint file, or the name of weights that come with AIMS; None for the file in the cache
            folder or the edition that comes with AIMS and has the run's checksum.

    Returns:
        State dict of plain SAM; None if the run started from random weights.

    Raises:
        InputError: there is no such file, or its SHA-256 is not the one in the record.
    """
    config = record.config
    if config.weights == RANDOM_WEIGHTS:
        if path is not None:
            raise InputError(f"{record.path}: the run started from random weights; leave --weights out")
        _warn_of_other_numbers(record)
        return None
    if path is None:
        path = next((each.path for each in packaged_weights() if each.sha256 == config.weights), None)
    elif named := find_packaged(str(path)):
        path = named.path
    ways_on = "give the file that the run started from"
    if path is None:
        path = BACKBONES[config.backbone].find_weights()
    if path is None:
        checkpoint = BACKBONES[config.backbone].checkpoint
        if checkpoint is None or checkpoint.sha256 != config.weights:
            raise InputError(
                f"{record.path}: the run started from weights of its own, SHA-256 {config.weights}; "
                "give that file with --weights PATH"
            )
        path = weights_folder() / checkpoint.file_name
        ways_on = f"fetch it with `aims weights {config.backbone}`, or give it with --weights PATH"
    if not path.is_file():
        raise InputError(f"{path}: no such file of weights; {ways_on}")
    loaded = load_weights(config.backbone, path)
    if loaded.sha256 != config.weights:
        raise InputError(
            f"{path}: not the weights that {record.path} started from: SHA-256 {loaded.sha256}, "
            f"the run's {config.weights}; with them it would be another model"
        )
    return loaded.state


@torch.no_grad()
def _load_initial(record: RunRecord, model: Segmenter) -> None:
    """Loads the tensors that the run took from another run and did not train."""
    path = record.path / INITIAL
    if not path.is_file():
        raise InputError(f"{path}: missing, and with it what the run started from; {_AGAIN}")
    tensors = model.state_dict()
    try:
        initial = load_tensors(path)[0]
    except (OSError, SafetensorError):
        raise InputError(f"{path}: damaged; {_AGAIN}") from None
    expected = {name: tensors[name] for name in initial if name in tensors}
    require_match({name: tensor.shape for name, tensor in expected.items()}, initial, source=str(path))
    require_finite(expected, initial, source=str(path))
    for name, tensor in initial.items():
        # `state_dict` shares memory with the model, so this changes the model.
        expected[name].copy_(tensor)


def _load_trained(record: RunRecord, model: Segmenter) -> None:
    path, ways_on = record.path / WEIGHTS, _AGAIN
    if record.config.tuning == "adapter" and record.content.version < 2:
        raise InputError(
            f"{path}: trained with the adapter of an earlier version, which read the mask decoder's queries "
            f"after their norm; its scores stay readable, for its model {ways_on}"
        )
    if not path.is_file():
        raise InputError(f"{path}: missing, and with it what was trained; {ways_on}")
    try:
        owner = load_trained(path, model).get("run")
    except InputError:
        raise
    except AimsError:
        raise InputError(f"{path}: damaged; {ways_on}") from None
    if owner != record.config.run_name:
        raise InputError(
            f"{path}: holds what the run {owner} trained, not {record.config.run_name}; {ways_on}"
        )


def _warn_of_other_numbers(record: RunRecord) -> None:
    """Warns if the run used another version of PyTorch: a seed fixes random weights for one version only."""
    there = record.content.code.torch or None if record.content.code else None
    if there != torch.__version__:
        log.warning(
            "%s started from random weights under torch %s; they are drawn again by torch %s, and those that "
            "were not trained may differ",
            record.path,
            there,
            torch.__version__,
        )
