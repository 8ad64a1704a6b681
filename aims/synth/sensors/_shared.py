"""What several sensors compute from the same geometry is computed once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from aims.synth.world.geometry import Geometry

_Result = TypeVar("_Result")


def kept_with_geometry(compute: Callable[[Geometry], _Result]) -> Callable[[Geometry], _Result]:
    """Computes a function of a geometry the first time it is called with it, and keeps the result there.

    Callers share the result and must not change it.
    """
    name = f"{compute.__module__}.{compute.__qualname__}"

    @wraps(compute)
    def computed(geometry: Geometry) -> _Result:
        if name not in geometry.kept:
            geometry.kept[name] = compute(geometry)
        result: _Result = geometry.kept[name]
        return result

    return computed
