"""`aims report` draws the paper's pictures of masks: the same instances for all methods, by a stated rule."""

from __future__ import annotations

import csv
from dataclasses import replace

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import toys

from aims.data.read import Dataset
from aims.data.write import convert
from aims.engine.run import run
from aims.reports.report import write_report
from helpers import MadeUp

pytestmark = pytest.mark.thorough

NOTHING = {"tuning": "none", "epochs": 0, "lr": 0.0}


class Thermal(MadeUp):
    """Made-up pictures under the name of the paper's thermal set."""

    def spec(self):
        return replace(super().spec(), name="thermal-glass")


def make(folder, kind, stream, **options):
    """A dataset with one channel and RGB, and the runs that a picture shows."""
    (folder / "raw").mkdir(parents=True)
    convert(
        kind(raw=folder / "raw", images=6, size=(40, 52), channels=1, rgb=True, stream=stream), folder / "set"
    )
    dataset = Dataset.open(folder / "set")
    runs = folder.parent / "runs"
    for modality in stream:
        for changes in ({"method": "simcmf"}, {"method": "scratch"}, {"method": "zero-shot", **NOTHING}):
            run(toys.job(dataset, runs, modality=modality, **{"epochs": 1, **changes, **options}))
    return dataset, runs


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    """Runs on the paper's thermal set under both protocols; under `paper`, zero-shot has seen RGB too."""
    folder = tmp_path_factory.mktemp("papers")
    dataset, runs = make(folder / "data", Thermal, ("thermal",), protocol="paper")
    run(toys.job(dataset, runs, modality="rgb", protocol="paper", method="zero-shot", **NOTHING))
    for method in ("simcmf", "scratch"):
        run(toys.job(dataset, runs, modality="thermal", epochs=1, method=method))
    return folder, report(folder, folder / "out")


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Runs on two sensors of another set."""
    folder = tmp_path_factory.mktemp("others")
    make(folder / "data", MadeUp, ("left", "right"))
    return folder, report(folder, folder / "out")


def report(folder, out):
    """The pictures, by their path in the report."""
    written = write_report(folder / "runs", out, data=folder / "data").written
    assert all(path.is_file() for path in written)
    return {
        str(path.relative_to(out)): path
        for path in written
        if path.parent.name == "panels" or path.stem.split("_")[0] in ("figure3", "figure8", "figure10")
    }


def lines(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def both(*names):
    return {f"{name}.{ending}" for name in names for ending in ("csv", "png")}


def test_of_the_papers_dataset_they_have_its_numbers(papers):
    _, files = papers
    # The paper's protocol has the plain names, the other says what it is.
    other = "_strict_sam-toy_random"
    names = ("figure3", "figure8", "figure10_thermal", f"figure3{other}", f"figure10_thermal{other}")
    assert set(files) == both(*(f"paper/{name}" for name in names))
    shown = lines(files["paper/figure10_thermal.csv"])
    assert {line["protocol"] for line in shown} == {"paper"}
    assert {(line["method"], line["seen"]) for line in shown} == {
        ("zero-shot", "rgb"),
        ("scratch", "thermal"),
        ("simcmf", "thermal"),
    }
    # Without a run of it under `strict` there is no such column.
    strict = lines(files[f"paper/figure10_thermal{other}.csv"])
    assert {line["method"] for line in strict} == {"scratch", "simcmf"}
    wide, narrow = (
        cv2.imread(str(files[f"paper/figure10_thermal{end}.png"])).shape[1] for end in ("", other)
    )
    assert wide - narrow == 256
    (line, *_) = lines(files["paper/figure3.csv"])
    middle = [each for each in shown if each["row"] == "median"]
    assert (line["row"], line["image_id"]) == ("thermal", middle[0]["image_id"])


def test_the_instances_are_those_of_the_rule(papers):
    folder, files = papers
    shown = lines(files["paper/figure10_thermal.csv"])
    assert [line["row"] for line in shown] == [name for name in ("worst", "median", "best") for _ in range(3)]
    scored = {}
    for line in shown:
        rows = pq.read_table(folder / "runs" / line["run"] / "instances.parquet").to_pylist()
        scored[line["method"]] = {(row["image_id"], str(row["instance_id"])): row for row in rows}
    for line in shown:
        row = scored[line["method"]][line["image_id"], line["instance_id"]]
        assert (float(line["iou"]), int(line["area_px"])) == (row["iou"], row["area"])
        assert [int(line["click_x"]), int(line["click_y"])] == row["click"]
        assert "the larger half" in line["rule"]
    ours = list(scored["simcmf"].values())
    areas = sorted((row["area"] for row in ours), reverse=True)
    smallest = areas[(len(areas) + 1) // 2 - 1]
    larger = [row["iou"] for row in ours if row["area"] >= smallest]
    mine = [float(line["iou"]) for line in shown if line["method"] == "simcmf"]
    # Of equal areas at the limit either may be in.
    assert areas.count(smallest) == 1
    assert mine == [min(larger), sorted(larger)[round((len(larger) - 1) / 2)], max(larger)]


def test_other_datasets_have_names_of_their_own(others):
    _, files = others
    names = ("panels_made-up", "panels_made-up_left", "panels_made-up_right", "figure8")
    assert set(files) == both(*(f"panels/{name}" for name in names))
    overview = lines(files["panels/panels_made-up.csv"])
    assert [line["row"] for line in overview] == ["left"] * 3 + ["right"] * 3
    assert {line["seen"] for line in overview} == {"left", "right"}


def test_the_split_is_the_datasets(others):
    folder, files = others
    found = lines(files["panels/figure8.csv"])
    dataset = Dataset.open(folder / "data" / "set")
    counts = {}
    for ref in dataset.index["test"]:
        classes = [item["class_id"] for item in dataset.read(ref, ()).objects]
        if len(set(classes)) < len(classes):
            counts[ref.image_id] = classes
    order = sorted(counts, key=lambda image_id: (len(counts[image_id]), image_id))
    chosen = order[(len(order) - 1) // 2]
    assert {line["image_id"] for line in found} == {chosen}
    assert {int(line["class_id"]): int(line["instances"]) for line in found} == {
        class_id: counts[chosen].count(class_id) for class_id in set(counts[chosen])
    }
    assert {line["class"] for line in found} <= {"box", "can"}
    # Every class and every instance has a flat colour of its own (tab20: its strong ones first).
    picture = cv2.imread(str(files["panels/figure8.png"]))[30:220, :, ::-1]
    width = picture.shape[1]
    for left, count in ((38 + 256, len(found)), (38 + 512, len(counts[chosen]))):
        part = picture[:, left : min(width, left + 256)].reshape(-1, 3)
        colours, often = np.unique(part, axis=0, return_counts=True)
        strong = colours[(often > 20) & (np.ptp(colours.astype(int), axis=1) > 60)]
        assert len(strong) == count


def test_the_same_runs_give_the_same_pictures(others, tmp_path):
    folder, first = others
    again = report(folder, tmp_path)
    assert {name: path.read_bytes() for name, path in first.items()} == {
        name: path.read_bytes() for name, path in again.items()
    }


def test_without_the_datasets_there_are_none(aims, others, tmp_path):
    code, _, err = aims("report", "--runs", others[0] / "runs", "--data", tmp_path, "--out", tmp_path / "out")
    assert code == 0, err
    assert not (tmp_path / "out" / "panels").exists()


def test_damaged_masks_are_named(aims, others, tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    for folder in (others[0] / "runs").iterdir():
        if folder.is_dir():
            (runs / folder.name).symlink_to(folder)
    (path,) = runs.glob("*-left-simcmf-*")
    copy = pq.read_table(path / "instances.parquet").drop_columns(["rle_native"])
    record = (path / "run.json").read_bytes()
    path.unlink()
    path.mkdir()
    (path / "run.json").write_bytes(record)
    pq.write_table(copy, path / "instances.parquet")
    code, _, err = aims("report", "--runs", runs, "--data", others[0] / "data", "--out", tmp_path / "out")
    assert code == 1
    assert err.startswith("error: instance ")
    assert "its mask cannot be read" in err
