"""What made-up scenes come to: the bits of every sensor, and the fingerprints of small sets of every layout.

As a program it prints them as JSON; the argument is the number of torch's threads.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

import torch

from aims.core.converters import load_converter
from aims.data.read import Dataset
from aims.data.write import convert
from aims.synth.datasets import FOLDER, LAYOUTS, write
from aims.synth.sensors import depth, hha, nir, polarization, rgb, thermal
from aims.synth.world.render import FAMILIES, render

SENSORS = (rgb, nir, thermal, depth, hha, polarization)


def digests(folder: Path) -> dict[str, str]:
    """Family and sensor, or family and layout -> the first digits of a hash."""
    return {
        f"{family} {name}": value
        for family in FAMILIES
        for name, value in {**_bits(family), **_fingerprints(family, folder)}.items()
    }


def _bits(family: str) -> dict[str, str]:
    geometry = render(family, 7, range(8), (72, 96))
    values = [getattr(geometry, field.name) for field in fields(geometry)]
    seen = {"geometry": [value for value in values if isinstance(value, torch.Tensor)]}
    for sensor in SENSORS:
        name = sensor.__name__.split(".")[-1]
        seen[name] = [sensor.sense(geometry, noise=noise) for noise in (True, False)]
    return {name: _digest(tensors) for name, tensors in seen.items()}


def _digest(tensors: list[torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]


def _fingerprints(family: str, folder: Path) -> dict[str, str]:
    found = {}
    for name, layout in LAYOUTS.items():
        raw = write(name, folder / family / name / "raw", scenes=4, size=(48, 64), seed=3, family=family)
        options = {option.removeprefix("--").replace("-", "_"): True for option in layout.options}
        source = {"config": raw / f"{family}.toml"} if name == FOLDER else {"raw": raw}
        if name == "nyuv2":
            options["hha"] = True
        convert(load_converter(name)(**source, **options), folder / family / name / "set")
        found[name] = Dataset.open(folder / family / name / "set").fingerprint[:8]
    return found


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    with tempfile.TemporaryDirectory() as made:
        print(json.dumps(digests(Path(made))))
