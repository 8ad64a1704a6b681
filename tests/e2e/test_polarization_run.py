"""From pictures behind polarizers to a score: streams that no file holds, under both protocols."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import toys  # noqa: F401 (the backbone sam-toy)

from aims.synth.layouts.zju_rgbp import ZJURGBPImage, write_authors


def picture(number: int) -> ZJURGBPImage:
    """A car and a bush that differ in the direction of polarization alone."""
    rng = np.random.default_rng(number)
    labels = np.zeros((48, 64), np.uint8)
    labels[5:25, 4:30], labels[20:44, 36:60] = 3, 5
    direction = np.radians(np.choose(np.minimum(labels, 4) // 2, (0, 45, 90)))
    planes = [
        100 + 60 * np.cos(2 * (direction - np.radians(angle))) + rng.normal(0, 2, labels.shape)
        for angle in (0, 45, 90, 135)
    ]
    colours = [np.stack([plane, plane * 0.9, plane * 0.8], axis=2).astype(np.uint8) for plane in planes]
    return ZJURGBPImage(i0=colours[0], i45=colours[1], i90=colours[2], i135=colours[3], labels=labels)


@pytest.mark.parametrize(
    ("protocol", "streams"),
    [("paper", ["intensity", "aolp_folded", "dolp"]), ("strict", ["intensity", "aolp", "dolp"])],
)
def test_polarization_is_trained_on_as_the_protocol_says(aims, tmp_path, protocol, streams):
    numbers = {"train": range(4), "test": range(4, 6)}
    write_authors(
        tmp_path / "raw",
        {split: {f"p{k}": picture(k) for k in part} for split, part in numbers.items()},
    )
    out = tmp_path / "data" / "zju"
    code, _, err = aims("convert", "zju-rgbp", "--raw", tmp_path / "raw", "--out", out)
    assert code == 0, err
    code, _, err = aims(
        *("run", "--method", "simcmf", "--modality", "polarization", "--protocol", protocol),
        *("--data", tmp_path / "data", "--runs", tmp_path / "runs"),
        *("--backbone", "sam-toy", "--weights", "none", "--epochs", "1"),
    )
    assert code == 0, err
    (record,) = Path(tmp_path / "runs").glob("*/run.json")
    run = json.loads(record.read_text())
    used = run["preprocessing"]
    assert used["streams"] == streams
    assert len(used["mean"]) == 9
    # The published constants are those of the folded angle, so only `paper` has them.
    assert used["source"] == ("published" if protocol == "paper" else "training part")
