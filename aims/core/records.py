"""Run folders, which `aims run` writes and `aims report` reads.

runs/<name>-<hash>/
    run.json            configuration, status, provenance, scores
    metrics.jsonl       one line per epoch: loss, learning rate, scores where evaluated
    instances.parquet   one row per test instance: click, IoU, predicted mask as COCO RLE
    weights.safetensors trained parameters at the selected epoch
    initial.safetensors only after --init: tensors taken from the other run and not trained
    resume.safetensors  only while unfinished: the state to resume from
    samples.png         contact sheet of a few test images
    prompts.parquet, prompts.json  only after `aims evaluate`: scores under further prompts
    everything.json                only after `aims evaluate --everything`: scores of all found objects
    tracking.json       only after --track: identifiers of the run in experiment trackers
    failed_batch.safetensors  only after a loss that was not finite: the batch that caused it
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec
import pyarrow as pa
from msgspec import UNSET, UnsetType

from aims.core.config import Option, RunConfig
from aims.core.errors import InputError
from aims.core.files import write_json
from aims.core.schema import STREAM_PATTERN
from aims.core.structs import Count, Share, read_struct
from aims.core.vocabulary import PAPER, PAPER_1

#: Since 2, `paper` reduces masks as the released program does, and images count as often as they are scored.
RUN_VERSION = 2
RECORD = "run.json"
METRICS = "metrics.jsonl"
INSTANCES = "instances.parquet"
WEIGHTS = "weights.safetensors"
INITIAL = "initial.safetensors"
RESUME = "resume.safetensors"
SAMPLES = "samples.png"
TRACKING = "tracking.json"
FAILED_BATCH = "failed_batch.safetensors"

#: Largest size of run.json in bytes: JSON is parsed as a whole and takes many times its length in memory.
LARGEST_RECORD = 1 << 20

_POINT = pa.list_(pa.int32(), 2)
_RLE = pa.struct([("size", pa.list_(pa.int32(), 2)), ("counts", pa.string())])

#: One row per test instance. `iou` is the protocol's score; `iou_grid` is at 256 x 256 (null if the instance
#: has no pixel there and the protocol does not smooth); `iou_native` is at the image's resolution (null under
#: `paper`). `click` is (x, y) in pixels of a map of `click_size` (height, width): 1024 x 1024 under `paper`,
#: else the image. `area` and `pixels` are the numbers of pixels of the instance and of the image; files of
#: earlier versions lack `pixels`.
INSTANCE_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("group", pa.string()),
        ("instance_id", pa.int32()),
        ("class_id", pa.int32()),
        ("area", pa.int64()),
        ("pixels", pa.int64()),
        ("click", _POINT),
        ("click_size", _POINT),
        ("iou", pa.float64()),
        ("iou_grid", pa.float64()),
        ("iou_native", pa.float64()),
        ("rle_grid", _RLE),
        ("rle_native", _RLE),
    ]
)


class Rle(TypedDict):
    """A mask as COCO RLE: `size` is (height, width)."""

    size: list[int]
    counts: str


class InstanceRow(TypedDict):
    """A row of `INSTANCE_SCHEMA`; `loss` exists during validation in training only, and is not written."""

    image_id: str
    group: str
    instance_id: int
    class_id: int
    area: int
    pixels: int | None
    click: list[int]
    click_size: list[int]
    iou: float
    iou_grid: float | None
    iou_native: float | None
    rle_grid: Rle | None
    rle_native: Rle | None
    loss: NotRequired[float]


class _Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of the parts of a record; fields that have their default are left out of the file.

    Descriptive fields are `UNSET` if a record of an earlier version, or of another program, lacks them.
    """


class Scores(_Part, frozen=True, kw_only=True):
    """The scores of a run.

    Attributes:
        miou: mean IoU over the test instances by the protocol's rule, 0..1.
        instances: number of test instances.
        images: number of test images with such instances.
        epoch: number of the selected epoch; 0 if nothing was trained.
        val_miou: mean IoU on the validation part, 0..1; None if nothing was selected on it.
        miou_large: mean IoU over instances of at least 1 % of the image (`aims.core.sizes.LARGE`); None if
            there are none; UNSET in records of earlier versions.
        instances_large: number of these instances; None in records of earlier versions.
        miou_grid: mean IoU at 256 x 256; None if no instance has a pixel there.
    """

    miou: Share
    instances: Count
    images: Count
    epoch: Count
    val_miou: Share | None = None
    miou_large: Share | UnsetType | None = UNSET
    instances_large: Count | None = None
    miou_grid: Share | UnsetType | None = UNSET


class Code(_Part, frozen=True, kw_only=True):
    """Versions of the software of a run; `commit` is None outside a checkout."""

    aims: str | UnsetType = UNSET
    commit: str | UnsetType | None = UNSET
    torch: str | UnsetType = UNSET


class Hardware(_Part, frozen=True, kw_only=True):
    """Hardware and platform of a run; `device` is its type, "cpu" or "cuda"."""

    device: str
    name: str | UnsetType = UNSET
    threads: Count | UnsetType = UNSET
    cpus: Count | UnsetType | None = UNSET
    platform: str | UnsetType = UNSET
    python: str | UnsetType = UNSET


_Number = int | float  # integers are not converted: they are written back as they were read


class StreamFacts(_Part, frozen=True, kw_only=True):
    """Facts of a stream in a record: the fields of `aims.core.schema.StreamSpec`."""

    channels: Count
    unit: str
    valid_range: tuple[_Number, _Number] | None
    missing: _Number | None
    wavelength_nm: tuple[_Number, _Number] | None


class DatasetFacts(_Part, frozen=True, kw_only=True):
    """Facts of the dataset in a record: licence, source, and how its streams are stored."""

    license: str | UnsetType = UNSET
    citation: str | UnsetType | None = UNSET
    url: str | UnsetType | None = UNSET
    streams: dict[str, StreamFacts] | UnsetType = UNSET


class Trainable(_Part, frozen=True, kw_only=True):
    """Numbers of trainable parameters in each part of a model."""

    alignment: Count
    encoder: Count
    decoder: Count
    total: Count


class Parameters(_Part, frozen=True, kw_only=True):
    """Numbers of parameters of a model."""

    total: Count | UnsetType = UNSET
    trainable: Trainable


class Operations(_Part, frozen=True, kw_only=True):
    """Floating-point operations for one image and one click: of the model, and of its alignment only."""

    forward: Count | UnsetType = UNSET
    alignment: Count | UnsetType = UNSET


class InitialRun(_Part, frozen=True, kw_only=True):
    """The run from which another one started: its name, and the SHA-256 of its trained weights."""

    run: str
    weights: str


class TriedRates(_Part, frozen=True, kw_only=True):
    """The learning rates that a sweep tried.

    Attributes:
        scores: mIoU by rate on the split that the protocol selects on, 0..1; None where training failed.
        stopped_early: rates that were dropped after a fifth of the epochs.
    """

    scores: dict[str, Share | None]
    stopped_early: list[float]

    def __post_init__(self) -> None:
        # Refuses keys that are no learning rates while a record is read.
        for rate in self.scores:
            if not 0 < float(rate) < float("inf"):
                raise ValueError(f"{rate!r} is no learning rate")


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How images of one modality become model inputs.

    Attributes:
        streams: streams in stacking order.
        mean: mean of every stacked channel after scaling.
        std: standard deviation of every stacked channel after scaling.
        source: source of mean and std, "published" or "training part", followed by exceptions.
        channel_order: indices of the stacked channels in the order in which the model sees them.
    """

    streams: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str
    channel_order: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in self.streams:
            # They become Python names in the example of an exported model.
            if not STREAM_PATTERN.fullmatch(name):
                raise InputError(f"preprocessing: {name!r} is no name of a stream")
        channels = list(range(len(self.mean)))
        if len(self.std) != len(channels) or sorted(self.channel_order) != channels:
            raise InputError("preprocessing: mean, std and channel_order are not of the same channels")


class RunContent(_Part, frozen=True, kw_only=True):
    """The content of run.json, in the order of the file.

    Fields are missing while a run is not finished, and in records of earlier versions.

    Attributes:
        version: version of the format.
        status: "running", "failed" or "finished".
        config: configuration, which determines the results.
        dataset: facts of the dataset.
        images: number of images by split.
        selected_on: split on which the epoch was selected, or a floor fitted; None if neither happened.
        options: all options of method and tuning, including defaults.
        code: versions of the software.
        hardware: hardware and platform.
        weights_name: name and edition of the pretrained weights if they come with AIMS, e.g. "sam-tiny@1";
            also missing in records of earlier versions. `config.weights` is their checksum.
        init: run whose weights this run started from.
        path: implementation of attention, "fast" or "stock".
        trusted: whether the dataset was not verified before the run (`--trust`).
        processes: number of processes that computed the run together.
        command: words of the command line.
        started: start of the run, ISO 8601 in UTC.
        preprocessing: mean, standard deviation and order of the channels; None without a model.
        parameters: numbers of parameters of the model.
        flops: floating-point operations of the model.
        chosen: fitted values of a floor by name.
        reason: message of the error, if the run failed.
        scores: scores on the test split.
        seconds: duration of training and evaluation.
        peak_memory_bytes: peak memory of the first process; None if unknown.
        micro_batch: number of images that a process computed at once; None if nothing was trained.
        finished: end of the run, ISO 8601 in UTC.
        learning_rates: learning rates that `--lr sweep` tried.
    """

    version: Count
    status: Literal["running", "failed", "finished"]
    config: RunConfig
    dataset: DatasetFacts | None = None
    images: dict[str, Count] | None = None
    selected_on: str | UnsetType | None = UNSET
    options: dict[str, Option] | None = None
    code: Code | None = None
    hardware: Hardware | None = None
    weights_name: str | None = None
    init: InitialRun | None = None
    path: str | None = None
    trusted: bool = False
    processes: Annotated[int, msgspec.Meta(ge=1)] | None = None
    command: list[str] | None = None
    started: str | None = None
    preprocessing: Preprocessing | UnsetType | None = UNSET
    parameters: Parameters | None = None
    flops: Operations | None = None
    chosen: dict[str, float] | None = None
    reason: str | None = None
    scores: Scores | None = None
    seconds: Annotated[float, msgspec.Meta(ge=0)] | None = None
    peak_memory_bytes: Count | UnsetType | None = UNSET
    micro_batch: Count | UnsetType | None = UNSET
    finished: str | None = None
    learning_rates: TriedRates | None = None

    def as_json(self) -> dict[str, Any]:
        """Returns the JSON object with its keys in the order of the file."""
        value: dict[str, Any] = msgspec.to_builtins(self)
        return value

    def write(self, run: Path) -> None:
        """Writes run.json into a run's folder."""
        write_json(run / RECORD, self.as_json())


def read_content(run: Path) -> RunContent:
    """Reads run.json of a run's folder, whatever its status.

    Raises:
        InputError: the file is missing, does not have the form of a record, or has a newer version.
    """
    return read_struct(
        run / RECORD, RunContent, what="a run record", newest=RUN_VERSION, largest=LARGEST_RECORD
    )


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A finished run.

    Attributes:
        path: folder of the run.
        config: configuration; `protocol` names the rules that the run followed, also for earlier versions.
        scores: scores on the test split.
        content: complete content of run.json.
    """

    path: Path
    config: RunConfig
    scores: Scores
    content: RunContent

    @classmethod
    def load(cls, path: Path) -> RunRecord:
        """Reads a run folder.

        Raises:
            InputError: run.json is missing, has another form or a newer version, or the run is not finished.
        """
        content = read_content(path)
        if content.status != "finished":
            raise InputError(f"{path}: the run is {content.status}, not finished")
        if content.scores is None:
            raise InputError(f"{path / RECORD}: not a run record: no 'scores'")
        config = content.config
        # Version 1 reduced masks by PIL's rule under the name `paper`.
        if content.version < 2 and config.protocol == PAPER.name:
            config = replace(config, protocol=PAPER_1.name)
        return cls(path=path, config=config, scores=content.scores, content=content)


def is_finished(run: Path) -> bool:
    """Returns whether a folder holds a finished run.

    Raises:
        InputError: run.json exists, but cannot be read.
    """
    return (run / RECORD).is_file() and read_content(run).status == "finished"


def run_folders(runs: Path) -> list[Path]:
    """Returns all folders in a folder of runs, sorted by name; trackers keep hidden ones beside them.

    Raises:
        InputError: `runs` does not exist.
    """
    if not runs.is_dir():
        raise InputError(f"{runs}: no such folder; `aims run` writes runs there, or give --runs")
    return sorted(path for path in runs.iterdir() if path.is_dir() and path.name[0] != ".")
