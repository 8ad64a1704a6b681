"""One run by several processes: the same curve as by one, and every instance scored once."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from aims.cli import main
from aims.converters.folder import FolderConverter
from aims.data.write import convert
from aims.synth.shapes import write_shapes

pytestmark = pytest.mark.thorough

#: Batches of three over two processes: shares of two and one; of the last batch, of one, one has nothing.
OPTIONS = ("--method", "simcmf", "--modality", "thermal", "--backbone", "sam-tiny", "--weights", "none")
OPTIONS += ("--epochs", "2", "--batch-size", "3", "--device", "cpu")
LAUNCHER = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The folders of the run of one process and of that of two, and what the latter said."""
    folder = tmp_path_factory.mktemp("distributed")
    toml = write_shapes(folder / "raw", scenes=7, size=(48, 64), seed=0, rgb=False)
    convert(FolderConverter(config=toml), folder / "set")
    commands = {
        name: ["run", *OPTIONS, "--data", str(folder / "set"), "--runs", str(folder / name)]
        for name in ("one", "two")
    }
    with pytest.raises(SystemExit) as stop:
        main(commands["one"])
    assert not stop.value.code
    done = subprocess.run(
        [sys.executable, "-m", *LAUNCHER, "aims", *commands["two"]],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    one, two = (next((folder / name).glob("shapes-*")) for name in commands)
    return one, two, done


def test_the_curve_is_the_same(both):
    curves = [
        [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()] for path in both[:2]
    ]
    records = [json.loads((path / "run.json").read_text()) for path in both[:2]]
    assert [record["processes"] for record in records] == [1, 2]
    assert records[0]["images"]["train"] % 3 == 1
    for one, two in zip(*curves, strict=True):
        assert two.get("loss") == pytest.approx(one.get("loss"), abs=1e-6)
        assert two.get("val_miou") == pytest.approx(one.get("val_miou"), abs=1e-6)


def test_every_instance_counts_once(both):
    tables = [pq.read_table(path / "instances.parquet").to_pylist() for path in both[:2]]
    names = [[(row["image_id"], row["instance_id"]) for row in table] for table in tables]
    assert names[0] == names[1]
    assert len(set(names[0])) == len(names[0])
    for one, two in zip(*tables, strict=True):
        assert two["iou"] == pytest.approx(one["iou"], abs=1e-3)


def test_one_process_talks_for_all(both):
    one, two, done = both
    assert done.stdout.count(str(two)) == 2
    assert done.stderr.count("epoch   1 ") == 1
    assert sorted(file.name for file in two.iterdir()) == sorted(file.name for file in one.iterdir())
