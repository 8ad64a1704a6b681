"""A stream as a picture to look at: windows, colour maps, and missing pixels that show as missing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
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
_WINDOWED = f"window {WINDOW[0]:g} to {WINDOW[1]:g} %"
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
    unknown: NDArray[np.bool_] = np.asarray(missing.any(axis=2))
    values[unknown] = np.nan
    by_unit = _BY_UNIT.get(spec.unit) if spec.channels == 1 else None
    painter = _BY_NAME.get(name) or by_unit or _paint_generic
    colours, note, scale = painter(values, spec)
    pixels = np.where(unknown[:, :, None], _hatch(unknown.shape)[:, :, None], colours).astype(np.uint8)
    return Drawing(pixels=pixels, note=note, scale=scale, missing=float(unknown.mean()))


# From (height, width, channels) values, NaN where unknown: colours, a note on how they came about, the scale.
_Painted = tuple[NDArray[np.uint8], str, Scale | None]
_Painter = Callable[[Values, StreamSpec], _Painted]


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


def _note(values: Values, how: str) -> str:
    """How values became colours; says so where channels were averaged."""
    return f"{how}, mean of {values.shape[2]} channels" if values.shape[2] > 1 else how


def _paint_mapped(colour_map: str) -> _Painter:
    """One channel in a colour map, within its window; more channels are averaged."""

    def paint(values: Values, spec: StreamSpec) -> _Painted:
        plane = values.mean(axis=2)
        low, high = _window(plane, *WINDOW)
        unit = "°C" if spec.unit in _CELSIUS else spec.unit
        scale = Scale(low=low, high=high, unit=unit, colours=_colours(colour_map))
        return scale.colours[_bytes(_stretch(plane, low, high))], _note(values, _WINDOWED), scale

    return paint


def _paint_angle(values: Values, spec: StreamSpec) -> _Painted:
    # An angle of polarization repeats after half a turn: 0 and 180 degrees must get one colour.
    half_turn = 180.0 if spec.unit.startswith(("deg", "°")) else _top(spec)
    if spec.unit.startswith("rad"):
        half_turn = math.pi
    doubled = np.exp(2j * np.pi / half_turn * values).mean(axis=2)
    phase = np.angle(doubled) / (2 * np.pi) % 1
    scale = Scale(low=0, high=180, unit="°", colours=_colours("twilight"))
    return scale.colours[_bytes(phase)], _note(values, "angle, cyclic"), scale


def _top(spec: StreamSpec) -> float:
    """What stands for 1, or for half a turn: the top of the range, such as 255 for shares in 8 bits."""
    return spec.valid_range[1] if spec.valid_range and spec.valid_range[1] > 0 else 1.0


def _paint_degree(values: Values, spec: StreamSpec) -> _Painted:
    scale = Scale(low=0, high=1, unit="", colours=_colours("magma"))
    shown = _stretch(values.mean(axis=2), 0, _top(spec))
    return scale.colours[_bytes(shown)], _note(values, "degree"), scale


def _paint_linear_light(values: Values, spec: StreamSpec) -> _Painted:
    if values.shape[2] not in (1, 3):
        return _paint_generic(values, spec)
    (white,) = _window(values, 99.5)
    shown = _stretch(values, 0, white) ** (1 / _DISPLAY_GAMMA)
    note = f"linear light, 0 to {white:.3g}, gamma {_DISPLAY_GAMMA}"
    return np.broadcast_to(_bytes(shown), (*values.shape[:2], 3)), note, None


def _paint_unchanged(values: Values, spec: StreamSpec) -> _Painted:
    if values.shape[2] != 3 or spec.valid_range != (0, 255):
        return _paint_generic(values, spec)
    return _bytes(_stretch(values, 0, 255)), "as stored", None


def _paint_generic(values: Values, spec: StreamSpec) -> _Painted:
    channels = values.shape[2]
    if channels == 1:
        return _paint_mapped("gray")(values, spec)
    if channels == 3:
        # One window for all three keeps the balance between them.
        return _bytes(_stretch(values, *_window(values, *WINDOW))), _WINDOWED, None
    chosen = {2: (0, 1, 1), 4: (0, 1, 2)}.get(channels, (0, channels // 2, channels - 1))
    planes = [_stretch(values[:, :, k], *_window(values[:, :, k], *WINDOW)) for k in chosen]
    names = "1 red, 2 cyan" if channels == 2 else "{}, {} and {} as RGB".format(*(k + 1 for k in chosen))
    return _bytes(np.stack(planes, axis=2)), f"channels {names} (of {channels}), each in its window", None


def _hatch(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Diagonal stripes, wide enough to be seen when the picture is made smaller."""
    width = max(1, round(max(shape) / _HATCHES_A_SIDE / 2))
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    stripes: NDArray[np.uint8] = np.array(HATCH, np.uint8)[(rows + columns) // width % 2]
    return stripes


_CELSIUS = frozenset(
    {"°C", "degC", "C", "celsius", "Celsius", "degree Celsius", "degrees Celsius", "degrees"}
)
_DEPTH, _HEAT = _paint_mapped("viridis"), _paint_mapped("inferno")

_BY_NAME: Mapping[str, _Painter] = MappingProxyType(
    {
        "rgb": _paint_unchanged,
        "hha": _paint_unchanged,
        **dict.fromkeys(("depth", "raw_depth"), _DEPTH),
        "thermal": _HEAT,
        "nir": _paint_generic,
        "aolp": _paint_angle,
        "aolp_folded": _paint_angle,
        "dolp": _paint_degree,
        **dict.fromkeys(("intensity", "i0", "i45", "i90", "i135"), _paint_linear_light),
    }
)
_BY_UNIT: Mapping[str, _Painter] = MappingProxyType(
    {**dict.fromkeys(("m", "mm", "metre", "metres"), _DEPTH), **dict.fromkeys((*_CELSIUS, "K"), _HEAT)}
)
