"""The floors in the tables: baselines that use neither the sensor nor a model."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from aims.core.vocabulary import PROTOCOLS

#: The floors that have a column in Table 1, and the one that no learned method should score below. Test for
#: a floor with `RunConfig.is_floor`: other packages may register floors that are not listed here.
FLOORS = ("disc", "oracle-disc")
DISC = "disc"

#: Identifies a set of test instances: protocol, limit, dataset, fingerprint, number of instances, of images.
TestKey = tuple[str, int | None, str, str, int, int]


def load_floor_notes() -> Mapping[str, str]:
    """Reads the floors' scores on real label maps from `aims.leaderboards`, as one note per protocol."""
    text = resources.files("aims.leaderboards").joinpath("floors.toml").read_text(encoding="utf-8")
    found = tomllib.loads(text)["nyuv2-test-class13"]
    return {protocol: _note(protocol, found) for protocol in PROTOCOLS}


def _note(protocol: str, found: Mapping[str, Any]) -> str:
    if protocol not in found:
        return f"Floors: not measured on real label maps under protocol {protocol}."
    measured = found[protocol]
    radii = " and ".join(f"{radius:g}" for radius in dict.fromkeys(measured["radius_by_half"]))
    return (
        f"Floors: without seeing anything, one disc around every click scores {measured['disc']:.2f} on "
        f"{found['what']}, the best disc for each {measured['oracle_disc']:.2f} (protocol {protocol}, "
        f"{measured['instances']:,} instances; radius {radii} in 256ths of the side, each half of the maps "
        f"scored with the radius of the other). Measured by this project with `{found['command']}` on "
        f"{found['date']}. The published depth and hha are of the same set with 40 classes."
    )
