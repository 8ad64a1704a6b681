"""A stream as a picture to look at: windows, colour maps, and missing pixels that show as missing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from aims.core.schema import Array, StreamSpec
from aims.data.meters import show_number

Values = NDArray[np.floating[Any]]

#: A window leaves out this share of the values at either end, in percent, so that outliers do not flatten it.
WINDOW = (2.0, 98.0)
#: The two greys of the hatch over pixels without a measurement.
HATCH = (118, 138)
_HATCHES_A_SIDE = 48
_DISPLAY_GAMMA = 2.2


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What the colours of a picture mean.

    Attributes:
        low: value of the first colour.
        high: value of the last colour.
        unit: their unit.
        colours: (256, 3) uint8, from low to high.
    """

    low: float
    high: float
    unit: str
    colours: NDArray[np.uint8]

    @property
    def labels(self) -> tuple[str, str]:
        """Both ends as text; as many digits as tell them apart."""
        span = abs(self.high - self.low)
        largest = max(abs(self.low), abs(self.high), 1e-300)
        digits = 3 if span == 0 else min(9, max(3, 2 + math.ceil(math.log10(largest / span))))
        # Whole thousands would not tell ends apart that are a few units from each other.
        ends = (self.low, self.high)
        low, high = (show_number(end, digits) if span > 10 else f"{end:.{digits}g}" for end in ends)
        return low, f"{high} {self.unit}".strip() if self.unit != "°" else f"{high}°"


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A stream as a picture.

    Attributes:
        pixels: (height, width, 3) uint8, RGB; hatched in grey where there is no measurement.
        note: how values became colours, in a few words.
        scale: what the colours mean; None for colour pictures.
        missing: share of pixels without a measurement.
    """

    pixels: NDArray[np.uint8]
    note: str
    scale: Scale | None
    missing: float


def picture(array: Array, name: str, spec: StreamSpec) -> NDArray[np.uint8]:
    """A stream as a picture, (height, width, 3) uint8; see `draw`."""
    return draw(array, name, spec).pixels


def draw(array: Array, name: str, spec: StreamSpec) -> Drawing:
    """Draws a stream the way its quantity is usually looked at.

    Depth in viridis and temperature in inferno, within a window of the picture's own values; AoLP in a
    cyclic map over the whole half turn, DoLP in magma from 0 to 1; what a polarization camera records as
    linear light, with a display's gamma; RGB and HHA as they are; anything else in grey (one channel) or in
    false colours. Several channels of an angle or a degree of polarization are averaged, the angle as a
    direction.

    Args:
        array: (height, width, channels) as stored.
        name: name of the stream, e.g. "depth"; unknown names go by their unit, then by their channels.
        spec: the stream's description.
    """
    values = array.astype(np.float64)
    missing = ~np.isfinite(values)
    if spec.missing is not None:
        missing |= array == spec.missing
    gone: NDArray[np.bool_] = np.asarray(missing.any(axis=2))
    painted = _painter(name, spec)(values, gone, spec)
    pixels = np.where(gone[:, :, None], _hatch(gone.shape)[:, :, None], painted[0]).astype(np.uint8)
    return Drawing(pixels=pixels, note=painted[1], scale=painted[2], missing=float(gone.mean()))


_Painted = tuple[NDArray[np.uint8], str, Scale | None]
_Painter = Callable[[Values, NDArray[np.bool_], StreamSpec], _Painted]


def _painter(name: str, spec: StreamSpec) -> _Painter:
    if name in _BY_NAME:
        return _BY_NAME[name]
    if spec.channels == 1 and spec.unit in _BY_UNIT:
        return _BY_UNIT[spec.unit]
    return _generic


def _window(values: Values, *shares: float) -> tuple[float, ...]:
    """Percentiles of what was measured; 0 and 1 where nothing was."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return (0.0, 1.0)[-len(shares) :]
    return tuple(float(value) for value in np.percentile(finite, shares))


def _stretch(values: Values, low: float, high: float) -> Values:
    """Maps low..high to 0..1 and clips; a flat picture becomes 0.5, NaN stays."""
    if high <= low:
        return np.where(np.isfinite(values), 0.5, np.nan)
    scaled: Values = ((values - low) / (high - low)).clip(0, 1)
    return scaled


def _bytes(values: Values) -> NDArray[np.uint8]:
    """0..1 as 0..255, NaN as 0."""
    return np.rint(np.nan_to_num(values) * 255).astype(np.uint8)


def _colours(name: str) -> NDArray[np.uint8]:
    # By share, not by index: twilight has 510 colours.
    table: NDArray[np.uint8] = mpl.colormaps[name](np.linspace(0, 1, 256), bytes=True)[:, :3]
    return table


def _masked(values: Values, gone: NDArray[np.bool_]) -> Values:
    return np.where(gone[:, :, None], np.nan, values)


def _mapped(colour_map: str, what: str = "") -> _Painter:
    """One channel in a colour map, within its window; more channels are averaged."""

    def paint(values: Values, gone: NDArray[np.bool_], spec: StreamSpec) -> _Painted:
        plane = _masked(values, gone).mean(axis=2)
        low, high = _window(plane, *WINDOW)
        scale = Scale(low=low, high=high, unit=_unit(spec), colours=_colours(colour_map))
        note = _joined(what, f"window {WINDOW[0]:g} to {WINDOW[1]:g} %", _mean_of(values))
        return scale.colours[_bytes(_stretch(plane, low, high))], note, scale

    return paint


def _angle(values: Values, gone: NDArray[np.bool_], spec: StreamSpec) -> _Painted:
    # An angle of polarization repeats after half a turn: 0 and 180 degrees must get one colour.
    period = _half_turn(spec)
    doubled = np.exp(2j * np.pi / period * _masked(values, gone)).mean(axis=2)
    phase = np.angle(doubled) / (2 * np.pi) % 1
    scale = Scale(low=0, high=180, unit="°", colours=_colours("twilight"))
    return scale.colours[_bytes(phase)], _joined("angle, cyclic", _mean_of(values)), scale


def _half_turn(spec: StreamSpec) -> float:
    """What 180 degrees are in the stream's unit; some sets store the angle as a share of them."""
    if spec.unit.startswith("rad"):
        return math.pi
    return 180.0 if spec.unit.startswith(("deg", "°")) else _whole(spec)


def _whole(spec: StreamSpec) -> float:
    """What stands for 1: the top of the declared range, 255 for shares that are stored in 8 bits."""
    return spec.valid_range[1] if spec.valid_range and spec.valid_range[1] > 0 else 1.0


def _degree(values: Values, gone: NDArray[np.bool_], spec: StreamSpec) -> _Painted:
    plane = _masked(values, gone).mean(axis=2)
    scale = Scale(low=0, high=1, unit="", colours=_colours("magma"))
    return scale.colours[_bytes(_stretch(plane, 0, _whole(spec)))], _joined("degree", _mean_of(values)), scale


def _linear_light(values: Values, gone: NDArray[np.bool_], spec: StreamSpec) -> _Painted:
    if values.shape[2] not in (1, 3):
        return _generic(values, gone, spec)
    (white,) = _window(_masked(values, gone), 99.5)
    shown = _stretch(np.where(gone[:, :, None], np.nan, values), 0, white) ** (1 / _DISPLAY_GAMMA)
    note = f"linear light, 0 to {white:.3g}, gamma {_DISPLAY_GAMMA}"
    return np.broadcast_to(_bytes(shown), (*gone.shape, 3)), note, None


def _as_it_is(values: Values, gone: NDArray[np.bool_], spec: StreamSpec) -> _Painted:
    if values.shape[2] != 3 or spec.valid_range != (0, 255):
        return _generic(values, gone, spec)
    return _bytes(_stretch(values, 0, 255)), "as stored", None


def _generic(values: Values, gone: NDArray[np.bool_], spec: StreamSpec) -> _Painted:
    channels = values.shape[2]
    if channels == 1:
        return _mapped("gray")(values, gone, spec)
    known = _masked(values, gone)
    if channels == 3:
        # One window for all three keeps the balance between them.
        shown = _stretch(known, *_window(known, *WINDOW))
        return _bytes(shown), f"window {WINDOW[0]:g} to {WINDOW[1]:g} %", None
    chosen = {2: (0, 1, 1), 4: (0, 1, 2)}.get(channels, (0, channels // 2, channels - 1))
    planes = [_stretch(known[:, :, k], *_window(known[:, :, k], *WINDOW)) for k in chosen]
    names = "1 red, 2 cyan" if channels == 2 else "{}, {} and {} as RGB".format(*(k + 1 for k in chosen))
    return _bytes(np.stack(planes, axis=2)), f"channels {names} (of {channels}), each in its window", None


def _hatch(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Diagonal stripes, wide enough to be seen when the picture is made smaller."""
    width = max(1, round(max(shape) / _HATCHES_A_SIDE / 2))
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    stripes: NDArray[np.uint8] = np.array(HATCH, np.uint8)[(rows + columns) // width % 2]
    return stripes


def _unit(spec: StreamSpec) -> str:
    return "°C" if spec.unit in _CELSIUS else spec.unit


def _mean_of(values: Values) -> str:
    return f"mean of {values.shape[2]} channels" if values.shape[2] > 1 else ""


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


_CELSIUS = frozenset(
    {"°C", "degC", "C", "celsius", "Celsius", "degree Celsius", "degrees Celsius", "degrees"}
)
_DEPTH, _HEAT, _GREY = _mapped("viridis"), _mapped("inferno"), _mapped("gray")

_BY_NAME = MappingProxyType(
    {
        "rgb": _as_it_is,
        "hha": _as_it_is,
        **dict.fromkeys(("depth", "raw_depth"), _DEPTH),
        "thermal": _HEAT,
        "nir": _generic,
        "aolp": _angle,
        "aolp_folded": _angle,
        "dolp": _degree,
        **dict.fromkeys(("intensity", "i0", "i45", "i90", "i135"), _linear_light),
    }
)
_BY_UNIT = MappingProxyType(
    {**dict.fromkeys(("m", "mm", "metre", "metres"), _DEPTH), **dict.fromkeys((*_CELSIUS, "K"), _HEAT)}
)
