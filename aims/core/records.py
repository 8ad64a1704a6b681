"""Run folders: what `aims run` leaves and `aims report` reads.

runs/<name>-<hash>/
    run.json            configuration, status, provenance, scores
    metrics.jsonl       one line an epoch: loss, learning rate, scores where evaluated
    instances.parquet   one row a test instance: click, IoU, predicted mask as COCO RLE
    weights.safetensors what was trained, at the selected epoch
    initial.safetensors only after --init: what the run started with and did not train
    resume.safetensors  only while unfinished
    samples.png         contact sheet of a few test images
    prompts.parquet, prompts.json  only after `aims evaluate`: other prompts than the one click
    failed_batch.safetensors  only after a loss that was not finite: the batch that did it
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
from aims.core.structs import Count, Share, read_struct
from aims.core.vocabulary import PAPER, PAPER_1

#: 2: `paper` reduces the grid as the released program does, and images count as often as they are scored.
RUN_VERSION = 2
RECORD = "run.json"
METRICS = "metrics.jsonl"
INSTANCES = "instances.parquet"
WEIGHTS = "weights.safetensors"
INITIAL = "initial.safetensors"
RESUME = "resume.safetensors"
SAMPLES = "samples.png"
FAILED_BATCH = "failed_batch.safetensors"

_POINT = pa.list_(pa.int32(), 2)
_RLE = pa.struct([("size", pa.list_(pa.int32(), 2)), ("counts", pa.string())])

#: One row a test instance. `iou` is the protocol's score, `iou_grid` at 256 x 256 (null where the instance
#: vanishes there and nothing is smoothed), `iou_native` at the picture's own size (null under `paper`).
#: `click` is (x, y) in pixels of `click_size` (height, width): the 1024 grid under `paper`, else the picture.
#: `area` and `pixels` are the instance's and the picture's, at the picture's own size; files of earlier
#: versions have no `pixels`.
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
    """A row of `INSTANCE_SCHEMA`; `loss` is of the training's validation alone, and not written."""

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
    """Base of the parts of a record: a field that has its default is left out of the file.

    What only describes a run is `UNSET` where the record of an earlier version, or of another program, does
    not say it.
    """


class Scores(_Part, frozen=True, kw_only=True):
    """The scores of a run.

    Attributes:
        miou: mean IoU over the test instances by the protocol's rule, 0..1.
        instances: number of test instances.
        images: number of test images that hold them.
        epoch: the selected epoch; 0 where nothing was trained.
        val_miou: mean IoU on the validation part, where one chose.
        miou_large: mean IoU over instances of at least 1 % of the picture (`aims.core.sizes.LARGE`); None
            where there is none. Records of earlier versions lack it.
        instances_large: their number; likewise.
        miou_grid: mean IoU at 256 x 256; None where every instance vanishes there.
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
    """The versions that made a run; `commit` is None outside a checkout."""

    aims: str | UnsetType = UNSET
    commit: str | UnsetType | None = UNSET
    torch: str | UnsetType = UNSET


class Hardware(_Part, frozen=True, kw_only=True):
    """What a run was made on; `device` is the kind, "cpu" or "cuda"."""

    device: str
    name: str | UnsetType = UNSET
    threads: Count | UnsetType = UNSET
    cpus: Count | UnsetType | None = UNSET
    platform: str | UnsetType = UNSET
    python: str | UnsetType = UNSET


_Number = int | float  # as it is written


class StreamFacts(_Part, frozen=True, kw_only=True):
    """What a record keeps of a stream: the fields of `aims.core.schema.StreamSpec`."""

    channels: Count
    unit: str
    valid_range: tuple[_Number, _Number] | None
    missing: _Number | None
    wavelength_nm: tuple[_Number, _Number] | None


class DatasetFacts(_Part, frozen=True, kw_only=True):
    """What a record keeps of its dataset: licence, source, and how its streams were stored."""

    license: str | UnsetType = UNSET
    citation: str | UnsetType | None = UNSET
    url: str | UnsetType | None = UNSET
    streams: dict[str, StreamFacts] | UnsetType = UNSET


class Trainable(_Part, frozen=True, kw_only=True):
    """Numbers of parameters that learn, in each part of a model."""

    alignment: Count
    encoder: Count
    decoder: Count
    total: Count


class Parameters(_Part, frozen=True, kw_only=True):
    """Numbers of parameters of a model."""

    total: Count | UnsetType = UNSET
    trainable: Trainable


class Operations(_Part, frozen=True, kw_only=True):
    """Floating-point operations for one image with one click, and those before the encoder alone."""

    forward: Count | UnsetType = UNSET
    alignment: Count | UnsetType = UNSET


class InitialRun(_Part, frozen=True, kw_only=True):
    """The run from which another started: its name, and the SHA-256 of what it trained."""

    run: str
    weights: str


class TriedRates(_Part, frozen=True, kw_only=True):
    """The learning rates that a sweep tried.

    Attributes:
        scores: by rate, the score on the split that the protocol selects on; None where training failed.
        stopped_early: the rates that were left after a fifth of the epochs.
    """

    scores: dict[str, Share | None]
    stopped_early: list[float]

    def __post_init__(self) -> None:
        for rate in self.scores:
            float(rate)


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How images of one modality become model inputs.

    Attributes:
        streams: streams in stacking order.
        mean: mean of every stacked channel after scaling.
        std: standard deviation of every stacked channel after scaling.
        source: where mean and std come from: "published" or "training part", with exceptions named.
        channel_order: the stacked channels in the order in which the model sees them.
    """

    streams: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str
    channel_order: tuple[int, ...]

    def __post_init__(self) -> None:
        channels = list(range(len(self.mean)))
        if len(self.std) != len(channels) or sorted(self.channel_order) != channels:
            raise InputError("preprocessing: mean, std and channel_order are not of the same channels")


class RunContent(_Part, frozen=True, kw_only=True):
    """The content of run.json, in order of writing.

    Of a run that is not finished, and of one of an earlier version, some of it is missing.

    Attributes:
        version: edition of the format.
        status: "running", "failed" or "finished".
        config: everything that decides the numbers.
        dataset: facts of the dataset.
        images: number of images by split.
        selected_on: split on which the epoch, or what a floor has to choose, was chosen; None for nothing.
        options: all options of method and tuning, defaults filled in.
        code: versions of the program.
        hardware: what it was made on.
        init: the run whose weights it started from.
        path: "fast" or "stock" attention.
        processes: number of processes that computed it together.
        command: the words of the command line.
        started: ISO time.
        preprocessing: scaling constants; None without a model.
        parameters: of the model.
        flops: of the model.
        chosen: what a floor chose, by name.
        reason: why it failed.
        scores: of the test split.
        seconds: time of training and evaluation.
        peak_memory_bytes: the most memory that the first process held; None where that is not known.
        micro_batch: images that a process computed at once; None where nothing is trained.
        finished: ISO time.
        learning_rates: what `--lr sweep` tried beside it.
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
    init: InitialRun | None = None
    path: str | None = None
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
        """The JSON object, in order of writing."""
        value: dict[str, Any] = msgspec.to_builtins(self)
        return value

    def write(self, run: Path) -> None:
        """Writes run.json of a run's folder."""
        write_json(run / RECORD, self.as_json())


def read_content(run: Path) -> RunContent:
    """Reads run.json of a run's folder, whatever its status.

    Raises:
        InputError: it is missing, does not fit, or is of a newer version.
    """
    return read_struct(run / RECORD, RunContent, what="a run record", newest=RUN_VERSION)


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A finished run.

    Attributes:
        path: the run's folder.
        config: the configuration; its protocol is the one whose rules the run followed.
        scores: its scores.
        content: the whole of run.json.
    """

    path: Path
    config: RunConfig
    scores: Scores
    content: RunContent

    @classmethod
    def load(cls, path: Path) -> RunRecord:
        """Reads a run folder.

        Raises:
            InputError: run.json is missing, does not fit, is of a newer version, or not of a finished run.
        """
        content = read_content(path)
        if content.status != "finished":
            raise InputError(f"{path}: the run is {content.status}, not finished")
        if content.scores is None:
            raise InputError(f"{path / RECORD}: not a run record: no 'scores'")
        config = content.config
        if content.version < 2 and config.protocol == PAPER.name:
            config = replace(config, protocol=PAPER_1.name)
        return cls(path=path, config=config, scores=content.scores, content=content)


def is_finished(run: Path) -> bool:
    """Whether a folder holds a finished run.

    Raises:
        InputError: run.json is there, but cannot be read.
    """
    return (run / RECORD).is_file() and read_content(run).status == "finished"


def run_folders(runs: Path) -> list[Path]:
    """The folders of runs, in order of name.

    Raises:
        InputError: `runs` does not exist.
    """
    if not runs.is_dir():
        raise InputError(f"{runs}: no such folder; `aims run` writes runs there, or give --runs")
    return sorted(path for path in runs.iterdir() if path.is_dir())
