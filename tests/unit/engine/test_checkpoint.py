from __future__ import annotations

import torch

from aims.engine.checkpoint import load_tensors, save_tensors


def test_equal_tensors_and_metadata_give_equal_bytes(tmp_path):
    tensors = {"b": torch.arange(3.0), "a": torch.ones(2, 2, dtype=torch.float16)}
    metadata = {name: f'{name} "é\n\x7f叶' for name in ("run", "epoch", "state", "é", "z", "y", "x", "w")}
    contents = set()
    for k in range(8):
        save_tensors(tmp_path / f"{k}", tensors, dict(sorted(metadata.items(), reverse=bool(k % 2))))
        contents.add((tmp_path / f"{k}").read_bytes())
    assert len(contents) == 1
    found, said = load_tensors(tmp_path / "0")
    assert said == metadata
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_tensors_without_metadata(tmp_path):
    save_tensors(tmp_path / "a", {"b": torch.arange(3.0)}, {})
    assert load_tensors(tmp_path / "a")[1] == {}
