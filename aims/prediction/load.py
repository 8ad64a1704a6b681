"""Finding a trained model: the folder of a run, or a submission."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from aims.core.errors import InputError
from aims.core.records import RECORD, WEIGHTS, RunRecord
from aims.core.schema import StreamSpec
from aims.core.submissions import SUFFIX, open_submission
from aims.core.vocabulary import find_protocol
from aims.data.hub import local_path
from aims.engine.plan import find_device
from aims.engine.restore import load_model, load_record, preprocessing_of
from aims.methods import BACKBONES
from aims.prediction.inputs import InputRules
from aims.prediction.model import Model


def load(
    model: str | Path,
    *,
    weights: str | Path | None = None,
    device: str = "auto",
    precision: str | None = None,
) -> Model:
    """Loads a trained model, ready to answer prompts.

    Args:
        model: the folder of a finished run, a submission that holds its weights, or either on the Hub as
            hf://OWNER/NAME.
        weights: the pretrained weights that the run started from; None to find them by their checksum, among
            those that come with AIMS and in the cache folder.
        device: "auto" (CUDA if available), "cpu", "cuda" or "cuda:N".
        precision: "float32" or "bf16"; None for that of the run on a GPU, float32 on a CPU.

    Raises:
        InputError: there is no model, it has no weights, or a file of it is damaged.
    """
    path, target = local_path(model), find_device(device)
    start = None if weights is None else Path(weights)
    if path.name.endswith(SUFFIX):
        loaded = _from_submission(path, start)
    elif (path / RECORD).is_file():
        loaded = _from_run(path, start)
    else:
        what = "no such folder" if not path.exists() else f"no model (no {RECORD})"
        raise InputError(
            f"{path}: {what}; give the folder of a run, as `aims run` prints it, or a submission"
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
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / submission.run
        if problems := submission.unpack(folder):
            raise InputError(f"{path}: {'; '.join(problems)}")
        try:
            return _from_run(folder, weights)
        except InputError as error:
            # The temporary folder means nothing to the user.
            raise InputError(str(error).replace(str(folder), str(path))) from None


def _from_run(folder: Path, weights: Path | None) -> Model:
    record = load_record(folder)
    return Model(
        load_model(folder, weights),
        input_rules(record),
        name=record.config.run_name,
        precision=record.config.precision,
    )


def input_rules(record: RunRecord) -> InputRules:
    """Returns the rules by which a run turned recordings into inputs.

    Raises:
        InputError: the record is of an earlier version and does not hold them.
    """
    preprocessing, facts = preprocessing_of(record), record.content.dataset
    stored = (facts.streams or {}) if facts else {}
    missing = [name for name in preprocessing.streams if name not in stored]
    if missing:
        raise InputError(
            f"{record.path / RECORD}: says nothing of the range of {', '.join(missing)}, as in earlier "
            "versions; make the run again with `aims run ... --fresh`"
        )
    return InputRules(
        modality=record.config.modality,
        streams={
            name: StreamSpec(
                channels=stored[name].channels,
                unit=stored[name].unit,
                valid_range=stored[name].valid_range,
                missing=stored[name].missing,
                wavelength_nm=stored[name].wavelength_nm,
            )
            for name in preprocessing.streams
        },
        preprocessing=preprocessing,
        protocol=find_protocol(record.config.protocol),
        size=BACKBONES[record.config.backbone].image_size,
    )
