"""Speed of the embedded world: scenes per second of geometry and of every sensor.

    python -m aims.benchmarks.speed.scenes [--size 128x128] [--batch 32] [--repeats 7] [--device cpu]

Renders scenes of each family in one thread with every sensor in `aims.synth.sensors`. Prints milliseconds per
scene, as median and minimum of the repeats (each with other scenes), and the scenes per second of all sensors
together. On a CPU it measures processor time, which other programs do not change, else wall-clock time. The
exit code is 1 if the median of a family is below 100 per second at 128 x 128 on a CPU.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from aims.synth import sensors
from aims.synth.world.render import FAMILIES, render

from . import harness

LIMIT_PER_SECOND = 100.0


def sensor_functions() -> dict[str, Callable[..., Any]]:
    """Returns the function `sense` of every public module in `aims.synth.sensors`, by the module's name."""
    names = [
        module.name for module in pkgutil.iter_modules(sensors.__path__) if not module.name.startswith("_")
    ]
    modules = {name: importlib.import_module(f"{sensors.__name__}.{name}") for name in sorted(names)}
    return {name: module.sense for name, module in modules.items() if hasattr(module, "sense")}


def measure(
    family: str, size: tuple[int, int], batch: int, repeats: int, device: torch.device
) -> dict[str, np.ndarray[Any, Any]]:
    """Measures geometry and every sensor.

    Returns:
        Milliseconds per scene by stage, (repeats,) each; a warm-up run is not counted.
    """
    clock = partial(harness.clock, device=device, processor_time=device.type == "cpu")
    stages: dict[str, list[float]] = {}
    for repeat in range(repeats + 1):
        numbers = range(repeat * batch, (repeat + 1) * batch)
        geometry, elapsed = clock(partial(render, family, 0, numbers, size, device))
        stages.setdefault("geometry", []).append(1e3 * elapsed / batch)
        for name, sense in sensor_functions().items():
            _, elapsed = clock(partial(sense, geometry))
            stages.setdefault(name, []).append(1e3 * elapsed / batch)
    return {name: np.array(times[1:]) for name, times in stages.items()}


def main(arguments: list[str] | None = None) -> int:
    parser = harness.parser(__doc__)
    parser.add_argument("--size", type=harness.size_of, default=(128, 128), help="HEIGHTxWIDTH")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    device = torch.device(options.device)
    slow = False
    for family in FAMILIES:
        stages = measure(family, options.size, options.batch, options.repeats, device)
        together = np.sum(list(stages.values()), axis=0)
        for name, times in {**stages, "all": together}.items():
            print(f"{family:6} {name:13} {np.median(times):7.2f} ms  fastest {times.min():7.2f} ms")
        rate = 1e3 / float(np.median(together))
        print(f"{family:6} {rate:.0f} scenes a second (fastest {1e3 / together.min():.0f})")
        slow |= options.size == (128, 128) and device.type == "cpu" and rate < LIMIT_PER_SECOND
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
