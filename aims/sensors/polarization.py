"""Linear polarization: Stokes parameters, degree and angle, and the raw frames of polarization sensors.

Polarizer angles are those that the camera states; the angle of polarization has the same sense of rotation.
All values have the same bits on every processor (`aims.sensors.exact`).
Reference: raw_layouts.md (ZJU-RGB-P); Xiang et al., Optics Express 2021.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import cv2
import numpy as np

from aims.core.errors import InputError
from aims.core.schema import Array
from aims.sensors.exact import Floats, arctan2, hypot

Interpolation = Literal["none", "bilinear"]

#: Angles of the four polarizers, in degrees.
ANGLES = (0, 45, 90, 135)
#: Polarizer angles of a 2 x 2 cell of Sony's sensors (IMX250MZR and its kin), row by row, in degrees.
SONY_LAYOUT = ((90, 45), (135, 0))

# Bilinear weights of the diagonal neighbours, of the horizontal and vertical ones, and of the pixel itself.
_BILINEAR = np.array([[0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 0.25]])


def stokes(i0: Array, i45: Array, i90: Array, i135: Array) -> tuple[Floats, Floats, Floats]:
    """The linear Stokes parameters of four pictures taken through polarizers.

    s0 is half the sum of all four, which uses every measurement; it equals i0 + i90 and i45 + i135 only
    without noise.

    Args:
        i0: intensity behind the polarizer at 0 degrees, any shape.
        i45: at 45 degrees, of the same shape.
        i90: at 90 degrees.
        i135: at 135 degrees.

    Returns:
        s0, s1 = i0 - i90 and s2 = i45 - i135, in the unit of the pictures. float32 for whole numbers of 8 and
        16 bits and for float32, else float64.

    Raises:
        InputError: the shapes differ.
    """
    shapes = [np.shape(picture) for picture in (i0, i45, i90, i135)]
    if len(set(shapes)) > 1:
        raise InputError(f"the four polarizer pictures differ in shape: {', '.join(map(str, shapes))}")
    dtype = np.result_type(i0, i45, i90, i135, np.float32)
    a, b, c, d = (np.asarray(picture, dtype) for picture in (i0, i45, i90, i135))
    return (a + b + c + d) / 2, a - c, b - d


def dolp(s0: Array, s1: Array, s2: Array) -> Floats:
    """The degree of linear polarization, sqrt(s1^2 + s2^2) / s0.

    Returns:
        0 (unpolarized) to 1 (fully polarized), clipped at 1; 0 where s0 is not positive.
    """
    total = np.asarray(s0)
    polarized = hypot(s1, s2)
    degree: Floats = np.divide(polarized, total, out=np.zeros_like(polarized), where=total > 0)
    return np.minimum(degree, 1)


def aolp(s1: Array, s2: Array) -> Floats:
    """The angle of linear polarization, atan2(s2, s1) / 2.

    Returns:
        Radians in (-pi/2, pi/2], cyclic with period pi; 0 where the light is not polarized.
    """
    angle: Floats = arctan2(s2, s1) / 2
    # A negative zero, or rounding, gives -pi/2, which is the same direction as pi/2.
    half = angle.dtype.type(np.pi / 2)
    return np.where(angle <= -half, half, angle)


def aolp_folded(s1: Array, s2: Array) -> Floats:
    """The paper's angle, arctan(s2 / s1) / 2, which is the same for two perpendicular directions.

    The published numbers used it (raw_layouts.md); the `paper` protocol keeps it, nothing else does.

    Returns:
        Radians in [-pi/4, pi/4]; 0 where s1 and s2 are both 0, which the source leaves open.
    """
    s1, s2 = np.asarray(s1), np.asarray(s2)
    # Both signs are flipped where s1 is negative: the quotient stays, and arctan2 handles s1 = 0.
    angle: Floats = arctan2(np.where(s1 < 0, -s2, s2), np.abs(s1)) / 2
    return angle


def split_mosaic(
    frame: Array,
    layout: Sequence[Sequence[int]] = SONY_LAYOUT,
    *,
    interpolation: Interpolation = "bilinear",
) -> dict[int, Array]:
    """Splits the raw frame of a polarization sensor into one image per polarizer angle.

    Args:
        frame: (height, width) or (height, width, 1), both even; one channel without a colour filter.
        layout: the angles of each 2 x 2 cell in degrees, row by row.
        interpolation: "none" gives the measured values alone, at half the height and width; the four images
            are then offset against each other by half a pixel. "bilinear" gives images of the frame's size:
            each missing value is the mean of its two or four nearest neighbours of the same angle, and the
            border mirrors the frame. Integers become float32, or float64 beyond 16 bits.

    Returns:
        Two-dimensional images by angle in degrees.

    Raises:
        InputError: the frame is no even, one-channel picture, or the layout does not name 0, 45, 90 and 135.
    """
    frame = np.asarray(frame)
    if frame.ndim == 3 and frame.shape[2] == 1:
        frame = frame[..., 0]
    if frame.ndim != 2 or frame.size == 0 or frame.shape[0] % 2 or frame.shape[1] % 2:
        raise InputError(
            f"a polarization mosaic has one channel and an even height and width, not shape {frame.shape}"
        )
    places = mosaic_places(layout)
    if interpolation == "none":
        return {angle: frame[y::2, x::2] for angle, (y, x) in places.items()}
    if interpolation != "bilinear":
        raise InputError(f'interpolation {interpolation!r}: use "none" or "bilinear"')
    dtype = np.result_type(frame, np.float32)
    pictures: dict[int, Array] = {}
    for angle, (y, x) in places.items():
        sparse = np.zeros(frame.shape, dtype)
        sparse[y::2, x::2] = frame[y::2, x::2]
        # Mirroring about the outermost pixel keeps the parity of rows and columns, hence the mosaic.
        pictures[angle] = cv2.filter2D(sparse, -1, _BILINEAR, borderType=cv2.BORDER_REFLECT_101)
    return pictures


def mosaic_places(layout: Sequence[Sequence[int]]) -> Mapping[int, tuple[int, int]]:
    """The (row, column) of each angle in a 2 x 2 cell, by angle in ascending order.

    Raises:
        InputError: the layout is not 2 x 2, or does not name each of 0, 45, 90 and 135 once.
    """
    places = {angle: (y, x) for y, row in enumerate(layout) for x, angle in enumerate(row)}
    if [len(row) for row in layout] != [2, 2] or sorted(places) != list(ANGLES):
        raise InputError(
            f"mosaic layout {[list(row) for row in layout]}: give the 2 x 2 angles of a cell, row by row, "
            "0, 45, 90 and 135 once each, e.g. [[90, 45], [135, 0]]"
        )
    return dict(sorted(places.items()))


def stokes_from_mosaic(
    frame: Array,
    layout: Sequence[Sequence[int]] = SONY_LAYOUT,
    *,
    interpolation: Interpolation = "bilinear",
) -> tuple[Floats, Floats, Floats]:
    """The linear Stokes parameters of a polarization sensor's raw frame; see `split_mosaic` and `stokes`."""
    pictures = split_mosaic(frame, layout, interpolation=interpolation)
    return stokes(*(pictures[angle] for angle in ANGLES))
