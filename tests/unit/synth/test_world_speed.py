from __future__ import annotations

import pytest

from aims.benchmarks.speed.scenes import main, sensor_functions


def test_the_benchmark_times_geometry_and_every_sensor(capsys: pytest.CaptureFixture[str]):
    assert main(["--size", "24x32", "--batch", "2", "--repeats", "1"]) == 0
    lines = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    sensors = {"depth", "hha", "nir", "polarization", "rgb", "thermal"}
    assert sensor_functions().keys() == sensors
    for family in ("rooms", "wilds"):
        assert {name for first, name in lines if first == family} >= {"geometry", "all", *sensors}
