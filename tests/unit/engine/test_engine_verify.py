"""A run's scores, computed again from its masks and its dataset; whatever was tampered with is named."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toys

from aims.core.errors import InputError
from aims.core.records import INSTANCE_SCHEMA
from aims.engine.evaluate import _encode
from aims.engine.run import run
from aims.engine.verify import verify_run


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return toys.made_up_set(tmp_path_factory.mktemp("sets") / "made-up", rgb=True)


@pytest.fixture(scope="module", params=["strict", "paper"])
def finished(request, dataset, tmp_path_factory):
    job = toys.job(dataset, tmp_path_factory.mktemp(request.param), epochs=6, protocol=request.param)
    return run(job)[0].path


@pytest.fixture
def copied(finished, tmp_path):
    """A run that may be changed."""
    return shutil.copytree(finished, tmp_path / finished.name)


def change_rows(folder, change):
    """Rewrites the instances."""
    rows = pq.read_table(folder / "instances.parquet").to_pylist()
    rows = change(rows) or rows
    pq.write_table(pa.Table.from_pylist(rows, INSTANCE_SCHEMA), folder / "instances.parquet")


def change_record(folder, change):
    """Rewrites the record."""
    path = folder / "run.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_an_honest_run_follows(finished, dataset):
    seen = []
    assert verify_run(finished, dataset.folder, on_progress=seen.append) == []
    assert sum(seen) == len(dataset.index["test"])


def test_a_floors_run_follows(dataset, tmp_path):
    nothing = dict.fromkeys(("tuning", "weights", "backbone", "loss"), "none")
    job = toys.job(dataset, tmp_path, method="disc", epochs=0, lr=0.0, batch_size=1, **nothing)
    assert verify_run(run(job)[0].path, dataset.folder) == []


def test_a_better_score(copied, dataset):
    change_record(copied, lambda content: content["scores"].update(miou=0.99))
    (problem,) = verify_run(copied, dataset.folder)
    assert problem.startswith("run.json: miou is 0.99, recomputed 0.")


def test_a_better_instance_and_a_mean_to_match(copied, dataset):
    def better(rows):
        rows[1]["iou"] = rows[1]["iou_grid"] = 1.0

    change_rows(copied, better)
    rows = pq.read_table(copied / "instances.parquet").to_pylist()
    mean = sum(row["iou"] for row in rows) / len(rows)
    change_record(copied, lambda content: content["scores"].update(miou=mean, miou_grid=None))
    problems = verify_run(copied, dataset.folder)
    assert any(f"of '{rows[1]['image_id']}': iou is 1.0, recomputed 0." in problem for problem in problems)


def test_another_mask(copied, dataset):
    def painted(rows):
        name = "rle_native" if rows[0]["rle_native"] else "rle_grid"
        height, width = rows[0][name]["size"]
        rows[0][name] = _encode(np.eye(height, width, dtype=bool))

    change_rows(copied, painted)
    problems = verify_run(copied, dataset.folder)
    assert any(": iou is 0." in problem for problem in problems)


@pytest.mark.parametrize("counts", ["", "\x7f\x7f\x7f", "0", "é"])
def test_a_mask_that_cannot_be_read(copied, dataset, counts):
    def garbled(rows):
        rows[0]["rle_grid"]["counts"] = counts

    change_rows(copied, garbled)
    assert verify_run(copied, dataset.folder)


def test_fewer_more_and_doubled_instances(copied, dataset):
    def shuffled(rows):
        stranger = {**rows[-1], "image_id": "nobody", "instance_id": 1}
        return [*rows[1:], rows[2], stranger]

    change_rows(copied, shuffled)
    problems = verify_run(copied, dataset.folder)
    for part in ("is missing", "is there twice", "image 'nobody' (1 instances) is not of the test split"):
        assert any(part in problem for problem in problems)


def test_a_click_elsewhere(copied, dataset):
    def moved(rows):
        rows[0]["click"] = [0, 0]

    change_rows(copied, moved)
    (problem,) = verify_run(copied, dataset.folder)
    assert ": click is [0, 0], recomputed [" in problem


def test_another_epoch(copied, dataset):
    change_record(copied, lambda content: content["scores"].update(epoch=1))
    (problem,) = verify_run(copied, dataset.folder)
    assert problem.startswith("run.json: epoch is 1, the best of metrics.jsonl has ")


def test_a_damaged_dataset_is_named_first(copied, dataset, tmp_path):
    other = shutil.copytree(dataset.folder, tmp_path / "made-up")
    shard = next(other.glob("data/test-*.parquet"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(bytes(content))
    problems = verify_run(copied, other)
    assert problems
    assert all(problem.startswith(f"dataset {other}: ") for problem in problems)


def test_what_is_missing_is_said(copied, dataset, tmp_path):
    with pytest.raises(InputError, match=r"which is not in .* give its folder with --data"):
        verify_run(copied, toys.made_up_set(tmp_path / "other", rgb=False).folder)
    (copied / "instances.parquet").unlink()
    with pytest.raises(InputError, match="not readable as the instances of a run"):
        verify_run(copied, dataset.folder)
