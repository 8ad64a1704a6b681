"""Conversion on a Ray cluster of two nodes, which are processes on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# In a process of its own: Ray leaves threads, handlers and warnings behind.
PROGRAM = """
import logging, sys
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
from aims.core.errors import AimsError
from aims.core.schema import SampleError
from aims.data.write import convert
from helpers import MadeUp

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
cluster.add_node(num_cpus=1)
ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
assert sum(node["Alive"] for node in ray.nodes()) == 2

raw, here, cluster_out, broken_out, dying_out = map(Path, sys.argv[1:])
# A relative path, which workers resolve from the command's own folder.
relative = raw.relative_to(Path.cwd())
options = dict(blank=("a005",), images=24)
dying = dict(die_at="a006", deaths=99, **options)
convert(MadeUp(raw=raw, **options), here, rows_per_shard=2)
(raw / "reads.log").unlink()
done = []
convert(
    MadeUp(raw=relative, die_at="a006", **options),
    cluster_out,
    engine="ray",
    rows_per_shard=2,
    on_progress=done.append,
)
assert sum(done) == 36, done
assert (raw / "died").read_text() == "x"

try:
    convert(MadeUp(raw=relative, broken=("b003",), **options), broken_out, engine="ray", rows_per_shard=2)
except SampleError as error:
    print("unreadable:", error)
try:
    convert(MadeUp(raw=relative, **dying), dying_out, engine="ray", rows_per_shard=2)
except AimsError as error:
    print("gave up:", error)
ray.shutdown()
cluster.shutdown()
"""


def test_a_two_node_cluster_gives_the_same_bytes(tmp_path):
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    from aims.data.verify import verify_dataset

    (tmp_path / "raw").mkdir()
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    outs = [str(tmp_path / name) for name in ("here", "cluster", "broken", "dying")]
    tests = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path / "raw"), *outs],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
        env={**os.environ, "PYTHONPATH": tests, "RAY_USAGE_STATS_ENABLED": "0"},
    )
    assert done.returncode == 0, done.stderr
    assert "unreadable: raw/b003: truncated\n" in done.stdout
    assert "gave up: worker processes were killed 4 times in a row" in done.stdout
    assert "train-00003-of-00012.parquet (images 'a006' to 'a007')" in done.stdout
    here, cluster = tmp_path / "here", tmp_path / "cluster"
    names = sorted(path.relative_to(here) for path in here.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(cluster) for path in cluster.rglob("*") if path.is_file())
    for name in names:
        assert (here / name).read_bytes() == (cluster / name).read_bytes(), name
    assert verify_dataset(cluster) == []
    # Stopped at the unreadable image, but with what was done kept for the next call.
    assert not (tmp_path / "broken").exists()
