"""Whole runs of the floors: what they choose and where, and what they leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import toys
from pycocotools import mask as coco_mask

from aims.core.errors import AimsError, InputError
from aims.core.records import INSTANCE_SCHEMA
from aims.core.vocabulary import DEFAULT_PROTOCOL, PROTOCOLS
from aims.data.read import Dataset
from aims.engine.export import export_model
from aims.engine.floors import read_targets, run_floor, score_floor
from aims.engine.plan import plan
from aims.engine.restore import load_model
from aims.engine.run import run
from aims.engine.samples import split_images
from aims.engine.train import RunObserver
from aims.methods.disc import RADII, Disc

NO_MODEL = {
    **dict.fromkeys(("tuning", "backbone", "weights", "loss"), "none"),
    "epochs": 0,
    "lr": 0.0,
    "batch_size": 1,
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return toys.made_up_set(tmp_path_factory.mktemp("sets") / "made-up", rgb=True, images=12)


@pytest.fixture(scope="module", params=["paper", "strict"])
def pair(request, dataset, tmp_path_factory):
    """A run of each floor."""
    runs = tmp_path_factory.mktemp("runs")
    return [
        run(toys.job(dataset, runs, method=method, protocol=request.param, **NO_MODEL))[0]
        for method in ("disc", "oracle-disc")
    ]


def rows(record) -> list[dict[str, Any]]:
    table = pq.read_table(record.path / "instances.parquet")
    assert table.schema.equals(INSTANCE_SCHEMA)
    return table.to_pylist()


def means_at(radii: list[float], dataset: Dataset, protocol: str, split: str) -> list[float]:
    """The mean IoU of the disc's own masks, radius by radius."""
    refs = split_images(dataset, PROTOCOLS[protocol], 0, None)[split]
    images = list(read_targets(dataset, refs, PROTOCOLS[protocol], lambda images: None))
    means = []
    for radius in radii:
        scored = score_floor(Disc(), images, PROTOCOLS[protocol], {"radius": radius}, masks=False)
        means.append(float(np.mean([row["iou"] for row in scored])))
    return means


def test_the_record(pair):
    for record in pair:
        content, config = record.content, record.config
        assert (config.backbone, config.weights, config.loss) == ("none", "none", "none")
        assert content.parameters.total == content.flops.forward == 0
        assert content.preprocessing is None
        assert content.micro_batch is None
        assert 0 < content.peak_memory_bytes < 64e9
        assert 0 < record.scores.instances_large <= record.scores.instances
        assert (record.scores.val_miou is not None) == (config.protocol == "strict")
        assert sorted(path.name for path in record.path.iterdir()) == [
            "instances.parquet",
            "run.json",
            "samples.png",
        ]
    disc, oracle = (record.content for record in pair)
    on = "test" if pair[0].config.protocol == "paper" else "train"
    assert (disc.selected_on, oracle.selected_on, oracle.chosen) == (on, None, {})


def test_the_radius_is_the_best_where_the_protocol_chooses(pair, dataset):
    record = pair[0]
    chosen, protocol = record.content.chosen["radius"], record.config.protocol
    split = record.content.selected_on
    others = [chosen - 0.5, chosen + 0.5, chosen + 1, *RADII[15:160:16].tolist()]
    here, *elsewhere = means_at([chosen, *others], dataset, protocol, split)
    assert here >= max(elsewhere)
    for name, scored in {"miou": "test", "val_miou": "val"}.items():
        if (found := getattr(record.scores, name)) is not None:
            assert [found] == pytest.approx(means_at([chosen], dataset, protocol, scored))


def test_masks_and_scores_agree(pair, dataset):
    record = pair[0]
    strict = record.config.protocol == "strict"
    maps = {ref.image_id: dataset.read(ref, ()).instances for ref in dataset.index["test"]}
    for row in rows(record):
        if strict:
            rle = row["rle_native"]
            truth = maps[row["image_id"]] == row["instance_id"]
            mask = coco_mask.decode({"size": rle["size"], "counts": rle["counts"].encode()}).astype(bool)
            assert row["iou"] == row["iou_native"] == (mask & truth).sum() / (mask | truth).sum()
        else:
            assert row["rle_native"] is None
            assert row["iou"] == row["iou_grid"]
        rle = row["rle_grid"]
        area = coco_mask.decode({"size": rle["size"], "counts": rle["counts"].encode()}).sum()
        # On both maps a disc covers at most its share, but for the pixels at its edge.
        radius = record.content.chosen["radius"]
        assert 0 < area <= np.pi * (radius + 1) ** 2


def test_the_oracle_is_above_for_every_instance(pair):
    disc, oracle = (rows(record) for record in pair)
    keys = [[(row["image_id"], row["instance_id"]) for row in found] for found in (disc, oracle)]
    assert keys[0] == keys[1]
    assert all(high["iou"] >= low["iou"] for low, high in zip(disc, oracle, strict=True))
    assert pair[1].scores.miou > pair[0].scores.miou


def test_a_floor_scores_the_instances_and_clicks_of_a_model(pair, dataset, tmp_path):
    settings = {**NO_MODEL, "backbone": "sam-toy", "weights": "random"}
    settings |= {"modality": "rgb", "protocol": pair[0].config.protocol}
    job = toys.job(dataset, tmp_path, method="zero-shot", **settings)
    told = ("image_id", "group", "instance_id", "class_id", "area", "click", "click_size")
    model, floor = (
        [{name: row[name] for name in told} for row in rows(record)] for record in (run(job)[0], pair[0])
    )
    assert model == floor


def test_no_sensor_is_read_and_the_test_split_is_not_chosen_on(dataset, monkeypatch):
    seen = []
    original = Dataset.read

    def read(self, ref, streams):
        assert streams == ()
        seen.append(ref.split)
        return original(self, ref, streams)

    monkeypatch.setattr(Dataset, "read", read)
    stages = []

    class Stages(RunObserver):
        def stage(self, name, total, done=0):
            stages.append((name, total, sorted(set(seen))))
            seen.clear()

    job = toys.job(dataset, Path("runs"), method="disc", **NO_MODEL)
    refs = split_images(dataset, PROTOCOLS["strict"], 0, None)
    run_floor(job.config, dataset, refs, Stages())
    assert [name for name, *_ in stages] == ["fit", "score val", "test"]
    assert [total for _, total, _ in stages] == [len(refs[split]) for split in ("train", "val", "test")]
    # Each entry tells what was read before it: the validation part is cut from train.
    assert [before for *_, before in stages] == [[], ["train"], ["train"]]
    assert set(seen) == {"test"}


def test_a_finished_floor_answers(dataset, tmp_path):
    job = toys.job(dataset, tmp_path, method="oracle-disc", **NO_MODEL)
    assert [run(job)[1] for _ in range(2)] == [False, True]


def test_whatever_was_asked_it_is_the_same_run(dataset, tmp_path):
    asked = {"method": "disc", "modality": "signal", "data": dataset.folder, "runs": tmp_path}
    jobs = [
        plan(**asked),
        plan(**asked, backbone="sam-tiny", weights="none", lr=1e-3, epochs=3, precision="bf16", loss="sam"),
        plan(**asked, backbone="none", loss="none"),
    ]
    assert len({job.config for job in jobs}) == 1
    made = toys.job(dataset, tmp_path, method="disc", protocol=DEFAULT_PROTOCOL, **NO_MODEL)
    assert jobs[0].config == made.config
    with pytest.raises(InputError, match="method 'disc' has no model; leave --weights out"):
        plan(**asked, weights="sam.pth")
    with pytest.raises(InputError, match="it trains nothing; leave the tuning out"):
        plan(**asked, tuning="lora")


def test_half_a_model_is_no_configuration(dataset, tmp_path):
    with pytest.raises(InputError, match="backbone and weights are both 'none', not 'sam-toy' and 'none'"):
        toys.job(dataset, tmp_path, weights="none")


def test_there_is_no_model_to_load_or_export(pair, tmp_path):
    for call in (load_model, lambda folder: export_model(folder, tmp_path / "out")):
        with pytest.raises(InputError, match="method 'disc' has no model; there is none to load"):
            call(pair[0].path)


def test_nothing_to_choose_on_is_a_failed_run(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("aims.engine.samples.usable_instances", lambda *_, **__: np.zeros(0, np.int64))
    disc, oracle = (
        toys.job(dataset, tmp_path, method=method, **NO_MODEL) for method in ("disc", "oracle-disc")
    )
    with pytest.raises(InputError, match="train: there is no instance of sufficient size"):
        run(disc)
    assert json.loads((disc.folder / "run.json").read_text())["status"] == "failed"
    with pytest.raises(AimsError, match="no test instance has 100 pixels at 1024 x 1024 or more"):
        run(oracle)
