from __future__ import annotations

import json

import pytest

from aims.benchmarks.speed import engine


@pytest.mark.thorough
def test_every_part_is_measured_on_both_paths(tmp_path, capsys, monkeypatch):
    parts = ["encoder", "decode", "lora", "full", "evaluation"]
    monkeypatch.setattr(engine, "matrix_peak", lambda precision, device: 1e11)
    sizes = ["--backbone", "sam-tiny", "--prompts", "3", "5", "--repeats", "1", "--device", "cpu"]
    assert engine.main([*sizes, "--out", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "engine.json").read_text())
    assert [row["part"] for row in record["rows"]] == parts * 2
    assert [row["setting"]["prompts"] for row in record["rows"]] == [3] * 5 + [5] * 5
    assert [row["varied"] for row in record["rows"]] == ["base"] * 5 + ["prompts"] * 5
    for row in record["rows"]:
        assert row["flops"] > 0
        for path in ("stock", "fast"):
            assert row[path]["seconds"] > 0
            assert row[path]["share_of_peak"] > 0
    # More prompts are more operations where prompts are decoded, and nowhere else.
    flops = {(row["part"], row["setting"]["prompts"]): row["flops"] for row in record["rows"]}
    assert flops["decode", 5] > 1.5 * flops["decode", 3]
    assert flops["encoder", 5] == flops["encoder", 3]
    assert (tmp_path / "engine.md").read_text().count("\n") == 12
    assert "| decode |" in capsys.readouterr().out
