"""What several sensors compute from the same geometry is computed once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from aims.synth.world.geometry import Geometry

_Result = TypeVar("_Result")


def once(compute: Callable[[Geometry], _Result]) -> Callable[[Geometry], _Result]:
    """Keeps what a function computes with its geometry. Callers share the result: they must not change it."""
    name = f"{compute.__module__}.{compute.__qualname__}"

    @wraps(compute)
    def computed(geometry: Geometry) -> _Result:
        if name not in geometry.kept:
            geometry.kept[name] = compute(geometry)
        result: _Result = geometry.kept[name]
        return result

    return computed
