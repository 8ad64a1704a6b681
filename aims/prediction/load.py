"""Finding a trained model: the folder of a run, an exported folder, or a submission."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import gettempdir

import msgspec

from aims.core.config import RunConfig
from aims.core.errors import InputError
from aims.core.files import temporary_folder
from aims.core.processes import interrupted_by_signals
from aims.core.records import RECORD, WEIGHTS, Preprocessing
from aims.core.schema import StreamSpec
from aims.core.submissions import SUFFIX, open_submission
from aims.core.vocabulary import find_protocol
from aims.data.hub import local_path
from aims.engine.export import DESCRIPTION
from aims.engine.export.reading import Configuration, load_exported
from aims.engine.plan import find_device
from aims.engine.restore import load_model, load_record, preprocessing_of
from aims.models.segmenter import Segmenter
from aims.prediction.inputs import InputRules
from aims.prediction.model import Model


def load(
    model: str | Path,
    *,
    weights: str | Path | None = None,
    device: str = "auto",
    precision: str | None = None,
) -> Model:
    """Loads a model as `aims.load` does, which says what the arguments are."""
    path, target = local_path(model), find_device(device)
    start = None if weights is None else Path(weights)
    if path.name.endswith(SUFFIX):
        loaded = _from_submission(path, start)
    elif (path / RECORD).is_file():
        loaded = _from_run(path, start)
    elif (path / DESCRIPTION).is_file():
        if start is not None:
            raise InputError(f"{path}: an exported model holds all of its weights; leave --weights out")
        loaded = _from_export(path)
    else:
        what = f"no model (no {RECORD}, no {DESCRIPTION})" if path.exists() else "no such folder"
        raise InputError(
            f"{path}: {what}; give the folder of a run, as `aims run` prints it, an exported one, or a "
            "submission"
        )
    loaded.segmenter.to(target)
    if precision not in (None, "float32", "bf16"):
        raise InputError(f"precision {precision!r}: use float32 or bf16")
    loaded.precision = precision or ("float32" if target.type == "cpu" else loaded.precision)
    return loaded


def _from_submission(path: Path, weights: Path | None) -> Model:
    submission = open_submission(path)
    if WEIGHTS not in submission.members:
        raise InputError(f"{path}: holds no weights; pack the run again with `aims submit --weights`")
    with interrupted_by_signals(), temporary_folder(Path(gettempdir()), "unpacked") as temporary:
        folder = temporary / submission.run
        if problems := submission.unpack(folder):
            raise InputError(f"{path}: {'; '.join(problems)}")
        try:
            return _from_run(folder, weights)
        except InputError as error:
            # The temporary folder means nothing to the user.
            raise InputError(str(error).replace(str(folder), str(path))) from None


def _from_run(folder: Path, weights: Path | None) -> Model:
    record = load_record(folder)
    facts = record.content.dataset
    stored = (facts.streams or {}) if facts else {}
    return _model(
        load_model(folder, weights),
        record.config,
        preprocessing_of(record),
        {name: StreamSpec(**msgspec.structs.asdict(each)) for name, each in stored.items()},
        name=record.config.run_name,
        where=record.path / RECORD,
    )


def _from_export(folder: Path) -> Model:
    segmenter, said = load_exported(folder)
    return _model(
        segmenter,
        said.config,
        said.input.preprocessing(),
        said.input.specs(),
        name=said.run,
        where=folder / DESCRIPTION,
    )


def _model(
    segmenter: Segmenter,
    config: RunConfig | Configuration,
    preprocessing: Preprocessing,
    specs: Mapping[str, StreamSpec],
    *,
    name: str,
    where: Path,
) -> Model:
    """Puts a network and the rules of its run's inputs together.

    Raises:
        InputError: `specs` lacks a stream, as records of early versions do.
    """
    missing = [stream for stream in preprocessing.streams if stream not in specs]
    if missing:
        raise InputError(
            f"{where}: says nothing of the range of {', '.join(missing)}, as in earlier versions; make the "
            "run again with `aims run ... --fresh`"
        )
    rules = InputRules(
        modality=config.modality,
        streams={stream: specs[stream] for stream in preprocessing.streams},
        preprocessing=preprocessing,
        protocol=find_protocol(config.protocol),
        size=segmenter.image_size,
    )
    return Model(segmenter, rules, name=name, precision=config.precision)
