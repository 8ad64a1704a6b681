"""The command for a card at hand: nothing stops the next stage, everything is on disk at once, time holds."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from aims.benchmarks import gpu, gpu_pretrain

FILES, FILE_BYTES, ALL_BYTES = 8, 16_000_000, 64_000_000


def python(name, code, share=1.0):
    return gpu.Stage(name, share, lambda seconds: (sys.executable, "-c", code))


def running(pid):
    """Whether a process is there and no zombie."""
    status = Path(f"/proc/{pid}/stat")
    return status.is_file() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_hanging_and_a_failing_stage_do_not_stop_the_next(tmp_path):
    # It ignores the request to end, and has started a process of its own.
    hangs = "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    hangs += "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True);"
    hangs += "time.sleep(60)"
    # What the results say while the last stage runs.
    reads = f"print(open({str(tmp_path / 'results.json')!r}).read())"
    stages = [
        python("hangs", hangs),
        python("fails", "print('about to fail'); raise SystemExit(3)"),
        gpu.Stage("absent", 1.0, lambda seconds: (str(tmp_path / "no such program"),)),
        python("last", reads),
    ]
    record, began = gpu.Record(tmp_path, {"date": "today"}), time.monotonic()
    gpu.run_stages(stages, record, 12.0)
    assert time.monotonic() - began < 12.0
    hung, failed, absent, last = record.results
    assert (hung.status, failed.status) == ("stopped at its limit", "failed: exit code 3")
    assert "no such program" in absent.status
    assert failed.tail == ["about to fail"]
    assert hung.limit == pytest.approx(3.0, abs=0.1)
    assert hung.seconds < hung.limit + 1
    assert not running(int(hung.tail[0]))
    assert last.status == "passed"
    told = json.loads("\n".join(last.tail))
    known = [(stage["name"], stage["status"]) for stage in told["stages"]]
    assert known[:2] == [("hangs", "stopped at its limit"), ("fails", "failed: exit code 3")]
    assert known[3] == ("last", "running")
    assert "| fails | failed: exit code 3 |" in (tmp_path / "results.md").read_text()
    assert "about to fail" in (tmp_path / "log.txt").read_text()


def test_what_a_stage_leaves_is_the_next_ones(tmp_path):
    limits = []

    def quick(seconds):
        limits.append(seconds)
        return (sys.executable, "-c", "pass")

    gpu.run_stages([gpu.Stage(name, 1.0, quick) for name in "abc"], gpu.Record(tmp_path, {}), 30.0)
    # A tenth of each limit is for ending.
    assert limits[0] == pytest.approx(0.9 * 10, abs=0.2)
    assert limits[0] < limits[1] < limits[2] <= 0.9 * 30


def test_outcomes_of_tests_are_counted_as_they_come(tmp_path):
    code = "import time; print('tests/a.py::b PASSED [ 1%]'); print('[gw0] [ 2%] FAILED tests/a.py::c');"
    code += "print('PASSED, in words'); time.sleep(60)"
    record = gpu.Record(tmp_path, {})
    gpu.run_stages([gpu.Stage("tests", 1.0, lambda seconds: (sys.executable, "-u", "-c", code))], record, 3)
    assert record.results[0].counts == {"passed": 1, "failed": 1}


def pretraining(folder):
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    names = ("model.w", "average.w", "optimizer.exp_avg.w", "optimizer.exp_avg_sq.w", "optimizer.step.w")
    tensors = {name: torch.randn(1000, 50, generator=generator) for name in names}
    for number, part in enumerate((names[:2], names[2:]), start=1):
        save_file(
            {name: tensors[name] for name in part}, folder / f"checkpoint-000000007-0{number}.safetensors"
        )
    (folder / "checkpoint.safetensors.index.json").write_text("{}")
    (folder / "card.json").write_text("{}")
    (folder / ".lock").touch()
    (folder / "weights.safetensors").write_bytes(os.urandom(90_000))
    return tensors


def test_a_pretraining_comes_back_in_parts(tmp_path):
    tensors = pretraining(tmp_path / "before")
    out = tmp_path / "out"
    out.mkdir()
    (out / "pretrain.tar.9").touch()
    assert "left out" not in gpu_pretrain.pack(tmp_path / "before", out, part_bytes=400_000)
    parts = sorted(out.iterdir())
    assert [part.name for part in parts] == ["pretrain.tar.0", "pretrain.tar.1", "pretrain.tar.2"]
    assert max(part.stat().st_size for part in parts) <= 400_000
    gpu_pretrain.unpack(out, tmp_path / "after")
    state = [f"checkpoint-000000007-0{number}.safetensors" for number in (1, 2)]
    names = ["card.json", *state, "checkpoint.safetensors.index.json", "weights.safetensors"]
    assert sorted(path.name for path in (tmp_path / "after").iterdir()) == names
    back = load_file(tmp_path / "after" / state[0]) | load_file(tmp_path / "after" / state[1])
    for name, tensor in tensors.items():
        rounded = "exp_avg" in name
        expected = tensor.bfloat16().float() if rounded else tensor
        assert torch.equal(back[name], expected)


def test_what_would_be_too_much_is_left_out_and_named(tmp_path):
    pretraining(tmp_path / "before")
    out = tmp_path / "out"
    out.mkdir()
    note = gpu_pretrain.pack(tmp_path / "before", out, all_bytes=890_000)
    assert note.endswith("left out for their size: weights.safetensors")
    assert "checkpoint-000000007-02.safetensors" in note


def test_a_rehearsal_on_a_cpu(tmp_path, monkeypatch):
    """The command itself, with the quickest stage, and a pretraining that goes on in the next call."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    out = tmp_path / "out"
    arguments = ["--out", str(out), "--device", "cpu", "--stages", "world", "--seconds", "40"]
    began = time.monotonic()
    assert gpu.main(arguments) == 0
    assert time.monotonic() - began < 40
    content = json.loads((out / "results.json").read_text())
    assert [stage["status"] for stage in content["stages"]] == ["passed"]
    assert any("scenes a second" in line for line in content["stages"][0]["tail"])
    assert {"date", "card, driver, memory", "torch", "commit"} <= content.keys()
    files = list(out.iterdir())
    assert len(files) <= FILES
    assert max(file.stat().st_size for file in files) < FILE_BYTES
    # Three files of results, and pretraining's parts.
    parts = -(-gpu_pretrain.ALL_BYTES // gpu_pretrain.PART_BYTES)
    assert 3 + 1 + parts <= FILES
    assert gpu_pretrain.PART_BYTES < FILE_BYTES
    assert gpu_pretrain.ALL_BYTES + 3_000_000 < ALL_BYTES


def test_an_unknown_stage_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        gpu.main(["--out", str(tmp_path), "--stages", "tests,speed"])
    assert stop.value.code == 2
    assert "'speed' is none of tests, engine, loading, world, pretrain" in capsys.readouterr().err
