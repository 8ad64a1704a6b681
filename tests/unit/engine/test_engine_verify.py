"""A run's scores, computed again from its masks and its dataset; whatever was tampered with is named."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toys

from aims.core.errors import InputError
from aims.core.records import INSTANCE_SCHEMA
from aims.data.read import Dataset
from aims.data.write import convert
from aims.engine.masks import encode_mask
from aims.engine.run import run
from aims.engine.verify import verify_run
from helpers import MadeUp


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
    problem, *others = verify_run(copied, dataset.folder)
    assert problem.startswith("run.json: miou is 0.99, recomputed 0.")
    # Under `paper` the curve has scores on the test split, too.
    assert all("on test, its masks 0.99" in other for other in others)


def test_a_better_instance_and_a_mean_to_match(copied, dataset):
    def better(rows):
        rows[1]["iou"] = rows[1]["iou_grid"] = 1.0

    change_rows(copied, better)
    rows = pq.read_table(copied / "instances.parquet").to_pylist()
    mean = sum(row["iou"] for row in rows) / len(rows)
    change_record(copied, lambda content: content["scores"].update(miou=mean, miou_grid=None))
    problems = verify_run(copied, dataset.folder)
    assert any(f"of '{rows[1]['image_id']}': iou is 1.0, recomputed 0." in problem for problem in problems)


def test_large_instances_are_scored_and_checked(copied, dataset):
    rows = pq.read_table(copied / "instances.parquet").to_pylist()
    assert {row["pixels"] for row in rows} == {
        dataset.read(ref, ()).instances.size for ref in dataset.index["test"]
    }
    large = [row["iou"] for row in rows if row["area"] >= 0.01 * row["pixels"]]
    scores = json.loads((copied / "run.json").read_text())["scores"]
    assert 0 < len(large) == scores["instances_large"]
    assert scores["miou_large"] == pytest.approx(sum(large) / len(large))
    change_record(copied, lambda content: content["scores"].update(miou_large=0.99, instances_large=1))
    problems = verify_run(copied, dataset.folder)
    assert [problem.partition(" is ")[0] for problem in problems] == [
        "run.json: miou_large",
        "run.json: instances_large",
    ]


def test_a_run_of_an_earlier_version_follows_too(copied, dataset):
    """It says nothing of large instances, of the pictures' pixels and of what was computed at once."""
    path = copied / "instances.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["pixels"]), path)

    def older(content):
        del content["micro_batch"], content["scores"]["miou_large"], content["scores"]["instances_large"]

    change_record(copied, older)
    assert verify_run(copied, dataset.folder) == []


def test_pixels_of_another_picture(copied, dataset):
    def more(rows):
        rows[0]["pixels"] += 1

    change_rows(copied, more)
    (problem, *_) = verify_run(copied, dataset.folder)
    assert ": pixels is " in problem


def test_another_mask(copied, dataset):
    def painted(rows):
        name = "rle_native" if rows[0]["rle_native"] else "rle_grid"
        height, width = rows[0][name]["size"]
        rows[0][name] = encode_mask(np.eye(height, width, dtype=bool))

    change_rows(copied, painted)
    problems = verify_run(copied, dataset.folder)
    assert any(": iou is 0." in problem for problem in problems)


# Of those in the middle the decoder leaves the rest of the mask as it finds the memory.
@pytest.mark.parametrize("counts", ["", "\x7f\x7f\x7f", "0", "P2", "018", "PPPP", "oooooooo1", "é"])
def test_a_mask_that_cannot_be_read(copied, dataset, counts):
    def garbled(rows):
        rows[0]["rle_grid"]["counts"] = counts

    change_rows(copied, garbled)
    (problem,) = verify_run(copied, dataset.folder)
    assert problem.endswith("its masks are not readable, or of another size")


def test_a_mask_where_the_protocol_scores_none(copied, dataset):
    """Under `paper` there is none at the picture's own size, and reports would draw it."""
    change_rows(copied, lambda rows: rows[0].update(rle_native={"size": [9, 9], "counts": "PPPP"}))
    (problem,) = verify_run(copied, dataset.folder)
    scored = "its masks are not readable, or of another size"
    assert problem.endswith(scored if "strict" in copied.name else "at which its protocol scores none")


def test_fewer_more_and_doubled_instances(copied, dataset):
    def shuffled(rows):
        stranger = {**rows[-1], "image_id": "nobody", "instance_id": 1}
        return [*rows[2:], rows[2], stranger]

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


def test_other_counts_of_images(copied, dataset):
    change_record(copied, lambda content: content["images"].update(test=5, train=1000))
    assert verify_run(copied, dataset.folder) == [
        f"run.json: {count} images of {split}, the dataset has {there}"
        for split, count, there in (("train", 1000, 8 if "paper" in copied.name else 6), ("test", 5, 4))
    ]


def test_fewer_parameters(copied, dataset):
    change_record(copied, lambda content: content["parameters"]["trainable"].update(total=7))
    (problem,) = verify_run(copied, dataset.folder)
    assert problem.startswith("run.json: parameters are {")


def test_a_sensor_that_the_dataset_lacks(copied, dataset):
    change_record(copied, lambda content: content["config"].update(modality="sonar"))
    (problem,) = verify_run(copied, dataset.folder)
    assert problem.startswith("run.json: its configuration cannot be built (unknown modality 'sonar'")


class Broken(MadeUp):
    """As NYUv2: one picture stands in for two that are broken."""

    def spec(self):
        return replace(super().spec(), name="nyuv2")

    def splits(self):
        return {"train": ("a001", "a002"), "test": ("1134", "398", "b001", "1133")}


@pytest.fixture(scope="module")
def thrice(tmp_path_factory):
    """A run under `paper` that scored one image three times, and its dataset."""
    folder = tmp_path_factory.mktemp("nyuv2")
    (folder / "raw").mkdir()
    convert(Broken(raw=folder / "raw", size=(40, 52)), folder / "nyuv2")
    dataset = Dataset.open(folder / "nyuv2")
    return run(toys.job(dataset, folder / "runs", epochs=1, protocol="paper"))[0].path, dataset


def test_an_image_that_stands_in_for_broken_ones(thrice, tmp_path):
    path, dataset = thrice
    rows = pq.read_table(path / "instances.parquet").to_pylist()
    mine = [row for row in rows if row["image_id"] == "1134"]
    assert len(mine) == 3 * len({row["instance_id"] for row in mine})
    assert verify_run(path, dataset.folder) == []
    changed = shutil.copytree(path, tmp_path / "changed")

    def scored_again(rows):
        first, second, *_ = (row for row in rows if row["image_id"] == "b001")
        return [*(row for row in rows[1:] if row is not second), first, rows[1]]

    assert rows[0]["image_id"] == rows[1]["image_id"] == "1134"
    change_rows(changed, scored_again)
    problems = "; ".join(verify_run(changed, dataset.folder))
    assert f"instance {rows[0]['instance_id']} of '1134' is missing" in problems
    assert f"instance {rows[1]['instance_id']} of '1134' is there 4 times" in problems
    assert "of 'b001' is there twice" in problems


def test_more_than_any_run_holds(copied, dataset, monkeypatch):
    monkeypatch.setattr("aims.core.instance_files.LARGEST", 100)
    (problem,) = verify_run(copied, dataset.folder)
    assert problem.endswith("no run's instances do")


def test_more_rows_than_the_test_split_has_instances_are_not_read(copied, dataset):
    """A row of nulls takes no space in the file, and a kilobyte in memory."""
    nulls = {field.name: pa.nulls(1_000_000, field.type) for field in INSTANCE_SCHEMA}
    pq.write_table(pa.table(nulls, INSTANCE_SCHEMA), copied / "instances.parquet", compression="zstd")
    assert (copied / "instances.parquet").stat().st_size < 100_000
    (problem,) = verify_run(copied, dataset.folder)
    there = sum(ref.instances for ref in dataset.index["test"])
    assert f"holds 1,000,000 rows, more than the {there} instances that there can be" in problem


@pytest.mark.parametrize("name", ["iou", "image_id", "rle_grid"])
def test_nulls(copied, dataset, name):
    change_rows(copied, lambda rows: rows[0].update({name: None}))
    problems = verify_run(copied, dataset.folder)
    assert problems
    assert all("instances.parquet" in problem for problem in problems)


def test_a_curve_of_more_epochs_than_can_be_is_not_read(copied, dataset):
    (copied / "metrics.jsonl").write_text('{"epoch":1}\n' * 1000)
    (problem,) = verify_run(copied, dataset.folder)
    assert "metrics.jsonl: larger than the 7,168 bytes that it can have" in problem


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
    (problem,) = verify_run(copied, dataset.folder)
    assert "instances.parquet: no such file; the run is not complete" in problem
