"""One run by several processes: the same curve as by one, and every instance scored once."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from aims.converters.folder import FolderConverter
from aims.data.write import convert
from aims.synth.shapes import write_shapes

#: Batches of three over two processes: shares of two and one; of the last batch, of one, one has nothing.
OPTIONS = ("--method", "simcmf", "--modality", "thermal", "--backbone", "sam-tiny", "--weights", "none")
OPTIONS += ("--epochs", "2", "--batch-size", "3", "--device", "cpu")


def made(folder, name, launcher):
    command = [sys.executable, "-m", *launcher, "aims", "run", *OPTIONS]
    command += ["--data", str(folder / "set"), "--runs", str(folder / name)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (path,) = (folder / name).glob("shapes-*")
    return path, done


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The run of one process and that of two."""
    folder = tmp_path_factory.mktemp("distributed")
    toml = write_shapes(folder / "raw", scenes=7, size=(48, 64), seed=0, rgb=False)
    convert(FolderConverter(config=toml), folder / "set")
    launcher = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")
    return made(folder, "one", ()), made(folder, "two", launcher)


def test_the_curve_is_the_same(both):
    curves = [
        [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()] for path, _ in both
    ]
    records = [json.loads((path / "run.json").read_text()) for path, _ in both]
    assert [record["processes"] for record in records] == [1, 2]
    assert records[0]["images"]["train"] % 3 == 1
    for one, two in zip(*curves, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-6)
        assert two.get("val_miou") == pytest.approx(one.get("val_miou"), abs=1e-6)


def test_every_instance_counts_once(both):
    tables = [pq.read_table(path / "instances.parquet").to_pylist() for path, _ in both]
    names = [[(row["image_id"], row["instance_id"]) for row in table] for table in tables]
    assert names[0] == names[1]
    assert len(set(names[0])) == len(names[0])
    for one, two in zip(*tables, strict=True):
        assert two["iou"] == pytest.approx(one["iou"], abs=1e-3)


def test_one_process_talks_for_all(both):
    (path, done) = both[1]
    assert done.stdout.count(str(path)) == 2
    assert done.stderr.count("epoch   1 ") == 1
    assert sorted(file.name for file in path.iterdir()) == sorted(file.name for file in both[0][0].iterdir())
