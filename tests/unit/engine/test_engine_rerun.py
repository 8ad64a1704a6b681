"""A rerun predicts every mask again from the weights of a run, and names those that are others."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import toys
from safetensors.torch import load_file, save_file

from aims.core.errors import InputError
from aims.core.records import INSTANCE_SCHEMA
from aims.core.vocabulary import STRICT
from aims.engine.evaluate import large_iou, mean_grid_iou, mean_iou, score_instance
from aims.engine.masks import encode_mask
from aims.engine.rerun import Rerun, _difference
from aims.engine.run import run
from aims.engine.samples import find_targets
from aims.engine.verify import verify_run

AGAIN = Rerun(device=torch.device("cpu"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return toys.made_up_set(tmp_path_factory.mktemp("sets") / "made-up", rgb=True)


@pytest.fixture(scope="module")
def made(dataset, tmp_path_factory):
    """A run of each kind."""
    kinds = {
        "trained": {"epochs": 2},
        "paper": {"epochs": 1, "protocol": "paper"},
        "zero-shot": {"method": "zero-shot", "modality": "rgb-signal", **toys.UNTRAINED},
        "disc": toys.FLOOR,
    }
    folder = tmp_path_factory.mktemp("runs")
    return {name: run(toys.job(dataset, folder, **changes))[0].path for name, changes in kinds.items()}


@pytest.fixture
def copied(made, tmp_path):
    return lambda kind: shutil.copytree(made[kind], tmp_path / made[kind].name)


@pytest.mark.parametrize("kind", ["trained", "paper", "zero-shot", "disc"])
def test_an_honest_run_of_every_kind(made, dataset, kind):
    seen = []
    assert verify_run(made[kind], dataset.folder, again=AGAIN, on_progress=seen.append) == []
    assert sum(seen) == 2 * len(dataset.index["test"])


def repaint(folder, dataset):
    """Replaces one mask by the truth, with every score to match: nothing but a rerun can tell."""
    rows = pq.read_table(folder / "instances.parquet").to_pylist()
    (ref,) = (ref for ref in dataset.index["test"] if ref.image_id == rows[0]["image_id"])
    image = dataset.read(ref, ())
    targets = find_targets(ref, image.instances, image.objects, dataset.name, STRICT)
    truth = rows[0]["instance_id"]
    rows[0] = score_instance(targets, 0, targets.grid == truth, targets.native == truth, STRICT, True)
    pq.write_table(pa.Table.from_pylist(rows, INSTANCE_SCHEMA), folder / "instances.parquet")
    content = json.loads((folder / "run.json").read_text())
    large, number = large_iou(rows)
    content["scores"].update(
        miou=mean_iou(rows), miou_grid=mean_grid_iou(rows), miou_large=large, instances_large=number
    )
    (folder / "run.json").write_text(json.dumps(content))
    return rows[0]


@pytest.mark.parametrize("kind", ["trained", "disc"])
def test_a_mask_that_its_model_did_not_predict(copied, dataset, kind):
    folder = copied(kind)
    row = repaint(folder, dataset)
    assert verify_run(folder, dataset.folder) == []
    problems = verify_run(folder, dataset.folder, again=AGAIN)
    name = f"instance {row['instance_id']} of '{row['image_id']}'"
    assert len(problems) in (1, 2)
    assert all(
        f"{name}: " in each and "differ from what its model predicts here" in each for each in problems
    )


def test_other_weights(copied, dataset):
    folder = copied("trained")
    path = folder / "weights.safetensors"
    tensors = {name: torch.zeros_like(tensor) for name, tensor in load_file(path).items()}
    save_file(tensors, path, {"run": folder.name, "epoch": "2"})
    assert verify_run(folder, dataset.folder) == []
    assert any("differ from" in problem for problem in verify_run(folder, dataset.folder, again=AGAIN))


@pytest.mark.parametrize(
    ("kind", "change", "problem"),
    [
        ("disc", lambda content: content["chosen"].update(radius=3.0), "the rerun chose {'radius': "),
        (
            "disc",
            lambda content: content["scores"].update(val_miou=0.99),
            "val_miou is 0.99, the rerun scores",
        ),
    ],
)
def test_what_a_floor_says_of_its_fit(copied, dataset, kind, change, problem):
    folder = copied(kind)
    content = json.loads((folder / "run.json").read_text())
    change(content)
    (folder / "run.json").write_text(json.dumps(content))
    assert verify_run(folder, dataset.folder) == []
    (found,) = verify_run(folder, dataset.folder, again=AGAIN)
    assert problem in found


def test_a_validation_score_and_a_curve_to_match(copied, dataset):
    folder = copied("trained")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    lines[-1]["val_miou"] = 0.99
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    content = json.loads((folder / "run.json").read_text())
    content["scores"].update(val_miou=0.99, epoch=2)
    (folder / "run.json").write_text(json.dumps(content))
    assert verify_run(folder, dataset.folder) == []
    (found,) = verify_run(folder, dataset.folder, again=AGAIN)
    assert "val_miou is 0.99, the rerun scores 0." in found


def test_without_its_weights_nothing_is_verified(copied, dataset):
    folder = copied("trained")
    (folder / "weights.safetensors").unlink()
    with pytest.raises(InputError, match="holds no weights, so that its masks cannot be predicted again"):
        verify_run(folder, dataset.folder, again=AGAIN)


def test_few_pixels_may_differ():
    """Another processor rounds otherwise."""
    mask = np.zeros((40, 52), bool)
    mask[5:25, 5:25] = True
    other = mask.copy()
    other[5, 5:9] = False
    assert _difference(encode_mask(mask), encode_mask(other)) == 0
    other[6, 5:9] = False
    assert _difference(encode_mask(mask), encode_mask(other)) == pytest.approx(8 / 400)
    assert _difference(encode_mask(mask), None) == 1
