"""Draws streams as RGB images for display: intensity windows, colour maps, a hatch over missing pixels.

A window is that of a sample: the picture's own pixels, or those of a dataset (`aims.data.looks`), so that the
same value has the same colour in all its pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aims.core.schema import Array, StreamSpec
from aims.data.meters import show_number

Values = NDArray[np.floating[Any]]

#: Percentiles at which a window clips the values, so that outliers do not reduce the contrast.
WINDOW = (2.0, 98.0)
# Percentile of the last colour where the first is zero.
_BRIGHTEST = 99.5
#: The two greys of the hatch over pixels without a measurement.
HATCH = (118, 138)
_HATCHES_A_SIDE = 48
# Linear light is raised to 1 / gamma for display.
_DISPLAY_GAMMA = 2.2
# Principal components as luma and two chromas (ITU-R BT.601), these so weak that no colour is neon.
_CHROMA = 0.4
_TO_RGB = ((0.0, 1.402), (-0.344, -0.714), (1.772, 0.0))


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The colour scale of a picture.

    Attributes:
        low: value of the first colour.
        high: value of the last colour.
        unit: unit of both values.
        colours: (256, 3) uint8, from low to high.
    """

    low: float
    high: float
    unit: str
    colours: NDArray[np.uint8]

    @property
    def labels(self) -> tuple[str, str]:
        """Both ends as text, with enough digits to tell them apart."""
        span = abs(self.high - self.low)
        largest = max(abs(self.low), abs(self.high), 1e-300)
        digits = 3 if span == 0 else min(9, max(3, 2 + math.ceil(math.log10(largest / span))))
        # `show_number` rounds thousands to integers, which would hide a span of a few units.
        ends = (self.low, self.high)
        low, high = (show_number(end, digits) if span > 10 else f"{end:.{digits}g}" for end in ends)
        return low, f"{high} {self.unit}".strip() if self.unit != "°" else f"{high}°"


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A stream drawn as an RGB image.

    Attributes:
        pixels: (height, width, 3) uint8, RGB; hatched in grey where there is no measurement.
        note: short description of how values were mapped to colours.
        scale: the colour scale; None for images of several channels.
        missing: share of pixels without a measurement, 0 to 1.
    """

    pixels: NDArray[np.uint8]
    note: str
    scale: Scale | None
    missing: float


def picture(array: Array, name: str, spec: StreamSpec) -> NDArray[np.uint8]:
    """Draws a stream as a (height, width, 3) uint8 RGB image; see `draw`."""
    return draw(array, name, spec).pixels


def draw(
    array: Array,
    name: str,
    spec: StreamSpec,
    window: tuple[float, float] | None = None,
    sample: Callable[[], Values | None] = lambda: None,
) -> Drawing:
    """Draws a stream as its quantity is usually displayed.

    Depth is drawn in viridis and temperature in inferno, windowed to the sample's values; AoLP in a cyclic
    colour map over half a turn, DoLP in magma from 0; the linear intensities of a polarization camera
    with a display gamma; RGB and HHA unchanged; anything else in grey (one channel), in false colours
    (three), or as its principal components: the first as brightness, the second and third as muted colours.
    Several channels of AoLP or DoLP are averaged, AoLP as a direction.

    Args:
        array: (height, width, channels) as stored.
        name: name of the stream, e.g. "depth"; for an unknown name the unit decides, then the channels.
        spec: the stream's description.
        window: the values of the first and the last colour; None for those above. Angles have none.
        sample: returns the (n, channels) values that windows and components are of, NaN where there is no
            measurement (`measured_values`), or None for the image's own; called only where they are needed.
    """
    values = measured_values(array, spec)
    unknown: NDArray[np.bool_] = np.asarray(np.isnan(values).any(axis=2))
    by_unit = _BY_UNIT.get(spec.unit) if spec.channels == 1 else None
    painter = _BY_NAME.get(name) or by_unit or _paint_generic

    def windowed() -> Values:
        found = sample()
        return values.reshape(-1, values.shape[2]) if found is None else found

    colours, note, scale = painter(values, spec, window, windowed)
    pixels = np.where(unknown[:, :, None], _hatch(unknown.shape)[:, :, None], colours).astype(np.uint8)
    return Drawing(pixels=pixels, note=note, scale=scale, missing=float(unknown.mean()))


def measured_values(array: Array, spec: StreamSpec) -> Values:
    """Returns an image's (height, width, channels) values as float64, NaN where one was not measured."""
    values = array.astype(np.float64)
    values[~spec.measured(array).all(axis=2)] = np.nan
    return values


# A painter maps (height, width, channels) values, NaN where missing, to colours, a note and the scale, within
# the window of (n, channels) values that it asks for if it needs one.
_Painted = tuple[NDArray[np.uint8], str, Scale | None]
_Window = tuple[float, float] | None
_Sample = Callable[[], Values]
_Painter = Callable[[Values, StreamSpec, _Window, _Sample], _Painted]


def _window(values: Values, *shares: float) -> tuple[float, ...]:
    """Returns percentiles of the finite values; without any, 0 and 1, or 1 for a single percentile."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return (0.0, 1.0)[-len(shares) :]
    return tuple(float(value) for value in np.percentile(finite, shares))


def _stretch(values: Values, low: float, high: float) -> Values:
    """Maps low..high to 0..1 and clips; 0.5 if `high` is not above `low`; NaN stays NaN."""
    if high <= low:
        return np.where(np.isfinite(values), 0.5, np.nan)
    scaled: Values = ((values - low) / (high - low)).clip(0, 1)
    return scaled


def _bytes(values: Values) -> NDArray[np.uint8]:
    """Converts 0..1 to uint8 0..255, NaN to 0."""
    return np.rint(np.nan_to_num(values) * 255).astype(np.uint8)


def _colours(name: str) -> NDArray[np.uint8]:
    # Sampled by position, not by index: twilight has 510 colours.
    # Not imported by who draws no measurement.
    import matplotlib as mpl

    table: NDArray[np.uint8] = mpl.colormaps[name](np.linspace(0, 1, 256), bytes=True)[:, :3]
    return table


def _note(values: Values, how: str) -> str:
    """Returns the note of a drawing, which mentions averaged channels."""
    return f"{how}, mean of {values.shape[2]} channels" if values.shape[2] > 1 else how


def _shown(low: float, high: float) -> str:
    return f"window {low:.4g} to {high:.4g}"


def _paint_mapped(colour_map: str) -> _Painter:
    """Returns a painter that draws the mean of the channels in a colour map, within its window."""

    def paint(values: Values, spec: StreamSpec, window: _Window, sample: _Sample) -> _Painted:
        low, high = window or _window(sample().mean(axis=1), *WINDOW)
        unit = "°C" if spec.unit in _CELSIUS else spec.unit
        scale = Scale(low=low, high=high, unit=unit, colours=_colours(colour_map))
        shown = _bytes(_stretch(values.mean(axis=2), low, high))
        return scale.colours[shown], _note(values, _shown(low, high)), scale

    return paint


def _paint_angle(values: Values, spec: StreamSpec, window: _Window, sample: _Sample) -> _Painted:
    # An angle of polarization repeats after half a turn: 0 and 180 degrees must get one colour.
    half_turn = 180.0 if spec.unit.startswith(("deg", "°")) else _top(spec)
    if spec.unit.startswith("rad"):
        half_turn = math.pi
    # Averaged as unit vectors of the doubled angle, in which half a turn is a full circle.
    doubled = np.exp(2j * np.pi / half_turn * values).mean(axis=2)
    phase = np.angle(doubled) / (2 * np.pi) % 1
    scale = Scale(low=0, high=180, unit="°", colours=_colours("twilight"))
    return scale.colours[_bytes(phase)], _note(values, "angle, cyclic"), scale


def _top(spec: StreamSpec) -> float:
    """Returns the value that means 1, or half a turn: the top of the range, e.g. 255 for 8-bit fractions."""
    return spec.valid_range[1] if spec.valid_range and spec.valid_range[1] > 0 else 1.0


def _paint_degree(values: Values, spec: StreamSpec, window: _Window, sample: _Sample) -> _Painted:
    top = _top(spec)
    # Most of the world polarizes little.
    low, high = window or (0.0, _window(sample().mean(axis=1), _BRIGHTEST)[0] or top)
    scale = Scale(low=low / top, high=high / top, unit="", colours=_colours("magma"))
    shown = _stretch(values.mean(axis=2), low, high)
    return scale.colours[_bytes(shown)], _note(values, "degree"), scale


def _paint_linear_light(values: Values, spec: StreamSpec, window: _Window, sample: _Sample) -> _Painted:
    if values.shape[2] not in (1, 3):
        return _paint_generic(values, spec, window, sample)
    black, white = window or (0.0, *_window(sample(), _BRIGHTEST))
    shown = _stretch(values, black, white) ** (1 / _DISPLAY_GAMMA)
    note = f"linear light, {black:.3g} to {white:.3g}, gamma {_DISPLAY_GAMMA}"
    return np.broadcast_to(_bytes(shown), (*values.shape[:2], 3)), note, None


def _paint_unchanged(values: Values, spec: StreamSpec, window: _Window, sample: _Sample) -> _Painted:
    if values.shape[2] != 3 or spec.valid_range != (0, 255) or window is not None:
        return _paint_generic(values, spec, window, sample)
    return _bytes(_stretch(values, 0, 255)), "as stored", None


def _paint_generic(values: Values, spec: StreamSpec, window: _Window, sample: _Sample) -> _Painted:
    channels = values.shape[2]
    if channels == 3:
        # One window for all three channels keeps the colour balance.
        low, high = window or _window(sample(), *WINDOW)
        return _bytes(_stretch(values, low, high)), _shown(low, high), None
    if channels == 1 or window is not None:
        return _paint_mapped("gray")(values, spec, window, sample)
    return _paint_components(values, sample())


def _paint_components(values: Values, sample: Values) -> _Painted:
    """Draws principal components of the standardised channels: brightness, blue to yellow, red to green."""
    known = sample[np.isfinite(sample).all(axis=1)]
    if not len(known):
        known = np.zeros((1, values.shape[2]))
    mean, deviation = known.mean(axis=0), known.std(axis=0)
    spread = np.where(deviation > 0, deviation, 1.0)
    known = (known - mean) / spread
    axes = np.linalg.eigh(known.T @ known)[1][:, ::-1][:, :3]
    # Eigenvectors have no sign: the first of the largest weights is positive.
    largest = np.abs(axes).round(6).argmax(axis=0)
    axes = axes * np.sign(axes[largest, np.arange(axes.shape[1])])
    parts = (values - mean) / spread @ axes
    shown = [
        _stretch(part, *_window(reference, *WINDOW))
        for part, reference in zip(np.moveaxis(parts, 2, 0), (known @ axes).T, strict=True)
    ]
    luma, *chromas = shown
    planes = [
        luma + _CHROMA * sum(weight * (part - 0.5) for weight, part in zip(weights, chromas, strict=False))
        for weights in _TO_RGB
    ]
    note = f"principal components of {values.shape[2]} channels: brightness, then muted colours"
    return _bytes(np.clip(np.stack(planes, axis=2), 0, 1)), note, None


def _hatch(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Returns (height, width) diagonal stripes, wide enough to remain visible when the image is reduced."""
    width = max(1, round(max(shape) / _HATCHES_A_SIDE / 2))
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    stripes: NDArray[np.uint8] = np.array(HATCH, np.uint8)[(rows + columns) // width % 2]
    return stripes


_CELSIUS = frozenset({"°C", "degC", "C", "celsius", "Celsius", "degree Celsius", "degrees Celsius"})
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
