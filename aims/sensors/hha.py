"""HHA: metric depth as horizontal disparity, height above ground and angle with gravity.

Source: Gupta et al., "Learning rich features from RGB-D images for object detection and segmentation"
(ECCV 2014), and the MATLAB code released with it, which this module reproduces value by value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aims.core.errors import InputError
from aims.sensors._hha_gravity import fit_gravity, project
from aims.sensors._hha_normals import BoolArray, FloatArray, PlaneFit

# Radius r of the windows over which planes are fitted, 2 r + 1 pixels wide: for the angle and for gravity.
ANGLE_RADIUS, GRAVITY_RADIUS = 3, 10
# Pixels per band of rows, see `_Scene.bands`.
BAND = 40000
# Gravity of a level camera; x points to the right, y down, z ahead.
DOWN = (0.0, 1.0, 0.0)
# Metres; values outside are not measurements, and would swamp all others in the sums over windows.
NEAREST_M, FARTHEST_M = 1e-6, 1e6
# Pixels; a larger intrinsic is a mistake, and its square might overflow.
FARTHEST_PIXEL = 1e6
# Metres; a median beyond it means that the depth is in another unit.
MEDIAN_LIMIT_M = 100.0


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A pinhole camera: u = (x - cx) / fx, v = (y - cy) / fy.

    Intrinsics from OpenCV, and from most tools in Python, are given as they are. Published numbers that count
    pixels from 1, as MATLAB does, need `first_pixel=1`; nothing has to be added or subtracted by hand.

    Args:
        fx, fy: focal lengths in pixels.
        cx, cy: principal point in pixels, x to the right and y down. In a picture cut out of a larger one,
            `left` and `top` pixels from its edges, it is (cx - left, cy - top).
        first_pixel: the coordinate that cx and cy give to the centre of the top left pixel: 0 (OpenCV),
            1 (MATLAB) or 0.5 (COLMAP).

    Raises:
        InputError: a focal length below 1 (not in pixels?), a number that is not finite, or another
            `first_pixel`.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    first_pixel: float = 0.0

    def __post_init__(self) -> None:
        for name in ("fx", "fy"):
            value = getattr(self, name)
            if not 1 <= value <= FARTHEST_PIXEL:
                raise InputError(
                    f"camera: {name} is {value}; a focal length in pixels is 1 or more, and finite"
                )
        for name in ("cx", "cy"):
            value = getattr(self, name)
            if not abs(value) <= FARTHEST_PIXEL:
                raise InputError(f"camera: {name} is {value}; it must be a finite number of pixels")
        if self.first_pixel not in (0, 0.5, 1):
            raise InputError(
                f"camera: first_pixel is {self.first_pixel}; it must be 0 (OpenCV), 0.5 or 1 (MATLAB)"
            )


NYUV2_COLOR = Camera(
    fx=518.85790117450188,
    fy=519.46961112127485,
    cx=325.58244941119034,
    cy=253.73616633400465,
    first_pixel=1,
)
"""The colour camera of NYUv2, which its depth is aligned to (camera_params.m of the data set's toolbox)."""


def encode_hha(
    depth_m: npt.ArrayLike,
    *,
    missing: npt.ArrayLike | None = None,
    camera: Camera = NYUV2_COLOR,
    gravity: npt.ArrayLike | None = None,
) -> npt.NDArray[np.uint8]:
    """Encodes depth as HHA.

    The channels are, in this order (that of an RGB picture):

    0. disparity: 31000 / depth in cm, where the depth counts as 100 cm at least;
    1. height in cm above the lowest point of the picture, or, where no point lies more than 90 cm below the
       camera, above a ground 130 cm below it;
    2. angle in degrees between gravity and the normal of the surface, seen from its back, plus 38: a floor
       has 38, a wall 128, a ceiling or a surface without a normal 218.

    Each is rounded (halves up) and clipped at 255; the computation is in float64 throughout. Depth given as
    float32 is rounded already: 8 of the 921,600 values of the original's reference image then differ by one,
    with float64 none does. Rounding to integers hides the last digits, in which BLAS and `np.arccos` depend
    on the processor: that image has the same bytes with the kernels of every vendor, vector unit and number
    of threads that was tried.

    A pixel is missing where `missing` says so and where the depth is 0, negative, NaN, infinite, below a
    micrometre or above 1000 km. It takes no part in any fit. Its angle comes from the other pixels of its
    window (7 x 7), as in the original. Its disparity and height come from its own depth if that is valid (a
    completed depth); otherwise both are 0, a disparity that nothing nearer than 620 m has, where the
    original had disparity 255 and the height of the camera. Without any valid depth the whole picture is
    (0, 0, 218).

    A window whose samples are two or fewer, or all on one line, has no normal; the original had rounding
    noise there. Windows end at the edges of the picture, which may be smaller than a window.

    Args:
        depth_m: (h, w), floating point, in metres, along the optical axis. Masked arrays are missing where
            they are masked. Integers are refused: they are hardly ever metres.
        missing: (h, w), bool, True where the sensor measured nothing, e.g. `raw_depth == 0` beside a
            completed depth.
        camera: the intrinsics for pictures of exactly this size.
        gravity: (3,) a first guess of the direction of gravity, pointing down; see `estimate_gravity`.

    Returns:
        (h, w, 3) uint8.

    Raises:
        InputError: see `estimate_gravity`.
    """
    scene = _Scene(depth_m, missing, camera)
    down = scene.gravity(_direction(gravity))
    height = scene.height(down)
    lowest = height.min() if scene.valid is None else height.min(where=scene.valid, initial=np.inf)
    # Unless a point lies 90 cm below the camera, the original assumes the ground 130 cm below it.
    height -= lowest if lowest <= -90 else -130.0
    picture = np.empty((*height.shape, 3), np.uint8)
    scene.fit.start(ANGLE_RADIUS)
    for rows in scene.bands():
        capped = np.maximum(scene.z[rows], 100.0)
        picture[rows, :, 0] = _rounded(np.divide(31000.0, capped, out=capped))
        picture[rows, :, 1] = _rounded(height[rows])
        picture[rows, :, 2] = _rounded(scene.angle(down, rows))
    if scene.valid is not None:
        picture[~scene.valid, :2] = 0
    return picture


def estimate_gravity(
    depth_m: npt.ArrayLike,
    *,
    missing: npt.ArrayLike | None = None,
    camera: Camera = NYUV2_COLOR,
    gravity: npt.ArrayLike | None = None,
) -> FloatArray:
    """Estimates the direction of gravity from the floors and walls of a scene.

    Axes are those of the camera: x to the right, y down, z ahead. The result points down: (0, 1, 0) for a
    level camera. Given a direction, surfaces within 45 degrees of level count as floor and those within 45
    degrees of upright as wall, and the direction is fitted to both, five times; then five times within 15
    degrees. So the first guess has to be nearer than 45 degrees: a camera pitched or rolled by more needs to
    be given one, or a wall is taken for the floor.

    Where the surfaces leave the direction open, the one nearest to the direction before is taken: one wall
    alone gives the first guess turned into the plane of the wall, and no surface at all the first guess. The
    original took an arbitrary direction there.

    Args:
        depth_m: (h, w), floating point, in metres, along the optical axis.
        missing: (h, w), bool, True where the sensor measured nothing; see `encode_hha`.
        camera: the intrinsics for pictures of exactly this size.
        gravity: (3,) the first guess, pointing down, of any length; (0, 1, 0) where None.

    Returns:
        (3,) float64, of length 1.

    Raises:
        InputError: depth that is not a two-dimensional array of floating point numbers, is empty or has a
            median beyond 100 m (millimetres?); a mask that is not bool or of another shape; a gravity that is
            zero, not finite, or not three numbers.
    """
    return _Scene(depth_m, missing, camera).gravity(_direction(gravity))


class _Scene:
    """The validated input, in the form that all steps share."""

    def __init__(self, depth_m: npt.ArrayLike, missing: npt.ArrayLike | None, camera: Camera) -> None:
        depth = _checked_depth(depth_m)
        valid = (depth >= NEAREST_M) & (depth <= FARTHEST_M)
        present = valid if missing is None else valid & ~_checked_mask(missing, depth.shape)
        self.valid = None if valid.all() else valid
        # Centimetres; 1 m where the depth is not valid.
        self.z = 100.0 * (depth if self.valid is None else np.where(valid, depth, 1.0))
        cx, cy = camera.cx - camera.first_pixel, camera.cy - camera.first_pixel
        height, width = depth.shape
        self.u = (np.arange(width) - cx) / camera.fx
        self.v = (np.arange(height)[:, None] - cy) / camera.fy
        complete = bool(present.all())
        inverse = 1.0 / self.z
        if not complete:
            inverse *= present
        self.fit = PlaneFit(inverse, None if complete else present, (camera.fx, camera.fy), (cx, cy))

    def bands(self) -> Iterator[slice]:
        """Yields bands of rows, small enough that their intermediate results stay in the cache."""
        height, width = self.z.shape
        step = max(BAND // width, 1)
        return (slice(top, min(top + step, height)) for top in range(0, height, step))

    def gravity(self, down: FloatArray) -> FloatArray:
        """Returns the direction of gravity, (3,) pointing down, refined from a first guess."""
        self.fit.start(GRAVITY_RADIUS)
        for rows in self.bands():
            self.fit.solve(rows)
        return fit_gravity(self.fit.normals.reshape(4, -1), down)

    def height(self, down: FloatArray) -> FloatArray:
        """Returns the (h, w) height above the camera in centimetres."""
        # Within 0.1 degrees of a level camera the original does not rotate the points.
        if down[1] >= math.cos(math.radians(0.1)):
            down = np.array(DOWN)
        height = -(down[1] * self.v + down[2]) - down[0] * self.u
        height *= self.z
        return np.asarray(height, np.float64)

    def angle(self, down: FloatArray, rows: slice) -> FloatArray:
        """Returns the angle in degrees between gravity and the normals, seen from their back, plus 38."""
        normals, exist = self.fit.solve(rows)
        cosine = project(normals, down)
        cosine *= np.sqrt(normals[3])
        for columns in self.fit.edges(rows):
            a, b, c, _ = normals[..., columns]
            behind = a * self.u[columns] + b * self.v[rows] + c < 0
            np.negative(cosine[:, columns], out=cosine[:, columns], where=behind)
        if exist is not None:
            # As in the original, a pixel without a normal has an angle of 180 degrees.
            np.copyto(cosine, -1, where=~exist)
        np.clip(cosine, -1, 1, out=cosine)
        degrees: FloatArray = np.arccos(cosine, out=cosine)
        degrees *= 180 / math.pi
        degrees += 38.0
        return degrees


def _rounded(values: FloatArray) -> npt.NDArray[np.uint8]:
    """Rounds to uint8 as MATLAB does: halves away from zero, clipped. Overwrites the values."""
    values += 0.5
    return np.clip(values, 0, 255, out=values).astype(np.uint8)


def _checked_depth(depth_m: npt.ArrayLike) -> FloatArray:
    if isinstance(depth_m, np.ma.MaskedArray):
        depth_m = depth_m.filled(np.nan) if depth_m.dtype.kind == "f" else depth_m.data
    depth = np.asarray(depth_m)
    if depth.dtype.kind != "f":
        raise InputError(
            f"depth_m has dtype {depth.dtype}; give metres as floating point numbers "
            "(stored integers are divided by their unit first, e.g. millimetres by 1000.0)"
        )
    if depth.ndim != 2 or not depth.size:
        raise InputError(f"depth_m has shape {depth.shape}; it must be (height, width), with pixels in it")
    with np.errstate(over="ignore"):
        depth = depth.astype(np.float64, copy=False)
    # The median costs a tenth of the encoding, so it is computed only if any depth exceeds the limit.
    if (depth > MEDIAN_LIMIT_M).any():
        measured = depth[(depth > 0) & (depth < np.inf)]
        if 2 * np.count_nonzero(measured > MEDIAN_LIMIT_M) > measured.size:
            raise InputError(
                f"depth_m has a median of {np.median(measured):g}, beyond {MEDIAN_LIMIT_M:g} m; is it in "
                "millimetres? Give metres: divide by 1000"
            )
    return depth


def _checked_mask(missing: npt.ArrayLike, shape: tuple[int, ...]) -> BoolArray:
    mask = np.asarray(missing)
    if mask.dtype != np.bool_:
        raise InputError(f"missing has dtype {mask.dtype}; it must be bool, e.g. raw_depth == 0")
    if mask.shape != shape:
        raise InputError(f"missing has shape {mask.shape}, the depth {shape}; they must be equal")
    return mask


def _direction(gravity: npt.ArrayLike | None) -> FloatArray:
    """Validates the first guess of gravity and scales it to length 1."""
    try:
        direction = np.asarray(DOWN if gravity is None else gravity, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"gravity is {gravity!r}; it must be three finite numbers (x, y, z)") from None
    if direction.shape != (3,) or not np.isfinite(direction).all() or not direction.any():
        raise InputError(
            f"gravity is {gravity!r}; it must be three finite numbers (x, y, z), not all of them 0"
        )
    # First by the largest component, as the norm would overflow for huge ones and be 0 for tiny ones.
    direction = direction / np.abs(direction).max()
    return np.asarray(direction / np.linalg.norm(direction))
