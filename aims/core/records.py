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
from typing import Any

import pyarrow as pa

from aims.core.config import RunConfig
from aims.core.errors import InputError
from aims.core.files import read_json
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


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A finished run, as a report sees it.

    Attributes:
        path: the run's folder.
        config: the configuration.
        scores: `miou` (0..1), `instances`, `images`, `epoch`, and `val_miou` where a validation part chose;
            `miou_large` and `instances_large` of instances of at least 1 % of the picture
            (`aims.core.sizes.LARGE`), which records of earlier versions lack.
        content: the whole of run.json.
    """

    path: Path
    config: RunConfig
    scores: dict[str, Any]
    content: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> RunRecord:
        """Reads a run folder.

        Raises:
            InputError: run.json is missing, unreadable, of a newer version, or not of a finished run.
        """
        content = read_json(path / RECORD)
        try:
            if content["version"] > RUN_VERSION:
                raise InputError(f"{path / RECORD}: version {content['version']}; update AIMS to read it")
            if content["status"] != "finished":
                raise InputError(f"{path}: the run is {content['status']}, not finished")
            config = RunConfig.from_json(content["config"], where=str(path / RECORD))
            if content["version"] < 2 and config.protocol == PAPER.name:
                config = replace(config, protocol=PAPER_1.name)
            return cls(
                path=path,
                config=config,
                scores=content["scores"],
                content=content,
            )
        except (KeyError, TypeError) as error:
            raise InputError(f"{path / RECORD}: not a run record ({error!r})") from None


def run_folders(runs: Path) -> list[Path]:
    """The folders of runs, in order of name.

    Raises:
        InputError: `runs` does not exist.
    """
    if not runs.is_dir():
        raise InputError(f"{runs}: no such folder; `aims run` writes runs there, or give --runs")
    return sorted(path for path in runs.iterdir() if path.is_dir())
