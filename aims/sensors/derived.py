"""Streams that are computed when a dataset is read, so that conversion stores only measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import pi

from aims.core.schema import Array, StreamSpec
from aims.sensors.polarization import ANGLES, aolp, aolp_folded, dolp, stokes

#: Streams of the images behind the four polarizers, in the argument order of `stokes`.
POLARIZERS = tuple(f"i{angle}" for angle in ANGLES)


_Range = tuple[float, float]
#: By derived stream: the function of the four images, in the order of `POLARIZERS`; the unit, None for that
#: of the images; and the valid range, None for twice that of the images.
_DERIVED: Mapping[str, tuple[Callable[..., Array], str | None, _Range | None]] = {
    "intensity": (lambda *pictures: stokes(*pictures)[0], None, None),
    "aolp": (lambda *pictures: aolp(*stokes(*pictures)[1:]), "rad", (-pi / 2, pi / 2)),
    "dolp": (lambda *pictures: dolp(*stokes(*pictures)), "1", (0.0, 1.0)),
    "aolp_folded": (lambda *pictures: aolp_folded(*stokes(*pictures)[1:]), "rad", (-pi / 4, pi / 4)),
}


def derived_streams(stored: Mapping[str, StreamSpec]) -> dict[str, StreamSpec]:
    """Returns the streams that can be computed from the stored ones and are not stored themselves.

    From `i0`, `i45`, `i90` and `i135`, of equally many channels: `intensity` (the Stokes parameter s0),
    `aolp` (atan2), `dolp`, and `aolp_folded`, the paper's angle.
    """
    pictures = [stored[name] for name in POLARIZERS if name in stored]
    if len(pictures) < len(POLARIZERS) or len({picture.channels for picture in pictures}) > 1:
        return {}
    first = pictures[0]
    # s0 is half the sum of the four images, so its range is twice theirs.
    double = first.valid_range and (2 * first.valid_range[0], 2 * first.valid_range[1])
    return {
        name: StreamSpec(
            channels=first.channels,
            unit=unit or first.unit,
            valid_range=valid_range or double,
            wavelength_nm=first.wavelength_nm,
        )
        for name, (_, unit, valid_range) in _DERIVED.items()
        if name not in stored
    }


def derive(name: str, streams: Mapping[str, Array]) -> Array:
    """Computes a derived stream.

    Args:
        name: one of `derived_streams`.
        streams: (height, width, channels) arrays, among them all of `POLARIZERS`.

    Returns:
        (height, width, channels) floats.
    """
    compute, _, _ = _DERIVED[name]
    return compute(*(streams[source] for source in POLARIZERS))
