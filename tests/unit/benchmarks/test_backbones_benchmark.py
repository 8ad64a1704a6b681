"""The measurement of backbones, on one that takes no time."""

from __future__ import annotations

import torch
import toys

from aims.benchmarks.speed import backbones
from aims.methods import describe

assert toys  # registers sam-toy


def test_what_is_measured() -> None:
    found = backbones.measure("sam-toy", torch.device("cpu"), step=True)
    counted = describe(method="simcmf", tuning="lora", backbone="sam-toy", channels=1)
    assert found["parameters"] == counted.parameters.total
    assert found["flops"] == counted.flops.forward
    assert all(value is not None and value > 0 for value in found.values())
    assert len(backbones._row("sam-toy", found)) == 8
    without = backbones.measure("sam-toy", torch.device("cpu"), step=False)
    assert without["step"] is None
    assert backbones._row("sam-toy", without)[6:] == ["", ""]
