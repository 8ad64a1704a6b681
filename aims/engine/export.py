"""A finished run as plain SAM weights that need no AIMS.

model.safetensors       SAM's tensors under segment-anything's own keys, trained layers folded in
alignment.safetensors   the layers in front of SAM, where there are any with weights
model.json              everything else: preprocessing of raw values, hyper-parameters, scores, licences
README.md               a model card with a loading example
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from aims.core.errors import InputError
from aims.core.files import sync, write_json, write_text
from aims.core.records import RunRecord
from aims.engine.checkpoint import save_tensors
from aims.engine.export_card import model_card
from aims.engine.export_description import describe
from aims.engine.restore import build_untrained, load_model, load_record, preprocessing_of
from aims.methods import BACKBONES
from aims.models.backbone import Backbone
from aims.models.merging import alignment_layers, largest_differences, plain_model
from aims.models.sam import SAM
from aims.version import __version__

MODEL, ALIGNMENT, DESCRIPTION, CARD = "model.safetensors", "alignment.safetensors", "model.json", "README.md"
#: Largest difference between the model and its export that counts as rounding (`largest_differences`).
TOLERANCE = 1e-4


@dataclass(frozen=True, kw_only=True)
class ModelExport:
    """The result of `export_model`.

    Attributes:
        folder: folder of the exported files.
        description: the content of model.json.
    """

    folder: Path
    description: dict[str, Any]


def export_model(run_folder: Path, out: Path | None = None, weights: Path | None = None) -> ModelExport:
    """Folds a run's trained layers into plain SAM weights, and writes them with all that their use needs.

    A model can be exported if its folded tensors are those of plain SAM, its alignment consists of stock
    PyTorch layers, and the export's outputs equal the model's within `TOLERANCE`.

    Args:
        run_folder: folder of a finished run.
        out: folder to create; None for `exported/` plus the run's name.
        weights: the pretrained weights that the run started from; None for the cache folder.

    Raises:
        InputError: the run cannot be read or exported, or `out` exists and is not empty.
    """
    record = load_record(run_folder)
    preprocessing_of(record)
    backbone = BACKBONES[record.config.backbone]
    out = out or Path("exported") / record.config.run_name
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"{out}: exists already; give another --out, or remove it")
    _require_exportable(record, backbone)
    assert isinstance(backbone, SAM)
    model = load_model(run_folder, weights)
    plain, layers = plain_model(model, backbone), alignment_layers(model)
    differences = largest_differences(model, plain, layers)
    if not all(difference <= TOLERANCE for difference in differences.values()):  # NaN is no equality
        raise _refusal(record, f"its output is not that of its folded weights (they differ by {differences})")
    description = describe(record, backbone, plain, layers) | {"largest_differences": differences}
    with _staged(out) as folder:
        _save(folder / MODEL, plain)
        if layers.state_dict():
            _save(folder / ALIGNMENT, layers)
        write_json(folder / DESCRIPTION, description)
        write_text(folder / CARD, model_card(description))
    return ModelExport(folder=out, description=description)


def _require_exportable(record: RunRecord, backbone: Backbone) -> None:
    """Raises if the model is not plain SAM behind stock layers, before any weights are read."""
    if not isinstance(backbone, SAM):
        raise _refusal(record, f"its backbone, {record.config.backbone}, is none of segment-anything's")
    if backbone.mask_scale != 4:
        raise _refusal(record, f"its masks have {backbone.mask_scale} pixels a side of a patch, SAM's 4")
    with torch.device("meta"):
        model = build_untrained(record, None)
    try:
        plain_model(model, backbone)
        alignment_layers(model)
    except InputError as error:
        raise _refusal(record, str(error)) from None


def _refusal(record: RunRecord, reason: str) -> InputError:
    config = record.config
    return InputError(
        f"{record.path}: {config.method} x {config.tuning} cannot leave AIMS as plain SAM weights: {reason}; "
        "keep the run and load it with aims.engine.restore.load_model"
    )


def _save(path: Path, module: nn.Module) -> None:
    # "format" is the convention of Hugging Face for files of PyTorch.
    save_tensors(path, module.state_dict(), {"format": "pt", "aims": __version__})


@contextmanager
def _staged(out: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `out`, renamed to `out` at the end and deleted after an error."""
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    try:
        yield partial
        # Empty: `export_model` refuses any other folder.
        if out.is_dir():
            out.rmdir()
        os.replace(partial, out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync(out.parent)
