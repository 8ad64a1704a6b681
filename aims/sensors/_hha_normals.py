"""Normals of planes fitted to inverse depth in a window around every pixel."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# Sums of squared pixel coordinates over a window fit into int32 if both sides are shorter than this.
INT32_SIZE = 4000


class PlaneFit:
    """Least squares planes 1/z = a u + b v + c, of which (a, b, c) are the normals, pixel by pixel.

    Covariances are taken in whole pixels about the middle of a window, not in u and v about the principal
    point as in the original: the same planes, without the cancellation that costs the original half its
    digits.

    Args:
        inverse: (h, w) inverse depth, 0 where missing.
        present: (h, w) where the depth is not missing; None: everywhere.
        focal: (fx, fy) in pixels.
        principal: (cx, cy) in pixels, counted from 0.
    """

    def __init__(
        self,
        inverse: FloatArray,
        present: BoolArray | None,
        focal: tuple[float, float],
        principal: tuple[float, float],
    ) -> None:
        height, width = inverse.shape
        # Coordinates count from the middle of the image, so that their sums stay small.
        self.x: FloatArray = np.arange(width, dtype=np.float64) - width // 2
        self.y: FloatArray = np.arange(height, dtype=np.float64)[:, None] - height // 2
        self.cx, self.cy = principal[0] - width // 2, principal[1] - height // 2
        self.fx, self.fy = focal
        self.present = np.ones(inverse.shape, np.bool_) if present is None else present
        # A single row or column of pixels spans no plane, which only `_solve_present` detects.
        self.full = present is None and min(height, width) > 1
        # One block of memory, because pages new from the system cost as much time as the arithmetic.
        memory = np.empty((6, height, width))
        self.normals = memory[:4]
        by_x, by_y = np.multiply(inverse, self.x, out=memory[4]), np.multiply(inverse, self.y, out=memory[5])
        self.targets = by_x, by_y, inverse
        self.radius = 0

    def start(self, radius: int) -> None:
        """Sums over windows of another radius, 2 radius + 1 pixels wide; overwrites `normals`."""
        self.radius = radius
        for values, sums in zip(self.targets, self.normals[:3], strict=True):
            _box(values, radius, sums)

    def solve(self, rows: slice) -> tuple[FloatArray, BoolArray | None]:
        """Completes `normals` for some rows; to be called once per row after `start`.

        Returns:
            (4, rows, w) x, y and z of normals of any length and either sign, and 1 / their squared length,
                which is 0 where the samples span no plane; a view of `normals`.
            (rows, w) False where the samples span no plane; None: nowhere.
        """
        normals = self.normals[:, rows]
        a, b, c, weight = normals
        exist = None
        if self.full:
            self._solve_full(normals[:3], rows)
        else:
            exist = self._solve_present(normals[:3], rows)
        np.multiply(a, a, out=weight)
        weight += b * b
        weight += c * c
        if exist is not None:
            # The reciprocal below becomes 0.
            np.copyto(weight, np.inf, where=~exist)
        np.divide(1, weight, out=weight)
        return normals, exist

    def edges(self, rows: slice) -> list[slice]:
        """Returns the columns whose windows lack pixels, where a plane may pass behind the camera."""
        height, width = self.present.shape
        cut = rows.start < self.radius or rows.stop > height - self.radius
        if cut or not self.full or width < 2 * self.radius:
            return [slice(0, width)]
        return [slice(0, self.radius), slice(width - self.radius, width)]

    def _solve_full(self, sums: FloatArray, rows: slice) -> None:
        """Solves without missing pixels: windows are rectangles, whose moments of x and y are known."""
        nx, x, xx = _span(self.x, self.radius)
        ny, y, yy = (moment[rows, None] for moment in _span(self.y[:, 0], self.radius))
        a, b, c = sums
        term = c * x
        a -= term
        a *= self.fx * nx / xx
        b -= np.multiply(c, y, out=term)
        b *= self.fy * ny / yy
        c += np.multiply(a, (self.cx - x) / self.fx, out=term)
        c += np.multiply(b, (self.cy - y) / self.fy, out=term)

    def _solve_present(self, sums: FloatArray, rows: slice) -> BoolArray:
        """Solves with missing pixels, where the moments of x and y are summed as well."""
        a, b, total = sums
        n, x, y, xx, xy, yy = self._count(rows)
        # Integers below 2**53 are exact, so the determinant is 0 if and only if the samples lie on a line.
        # (Sums of 1/z leave a residue in an empty window.)
        xx, xy, yy = n * xx, n * xy, n * yy
        xx -= x * x
        xy -= x * y
        yy -= y * y
        determinant = xx * yy
        determinant -= xy * xy
        by_x, by_y = n * a, n * b
        by_x -= x * total
        by_y -= y * total
        np.multiply(yy, by_x, out=a)
        a -= xy * by_y
        np.multiply(xx, by_y, out=b)
        b -= xy * by_x
        total *= determinant
        for slope, sums_of, centre in ((a, x, self.cx), (b, y, self.cy)):
            offset = n * centre
            offset -= sums_of
            offset *= slope
            total += offset
        total /= np.maximum(n, 1)
        a *= self.fx
        b *= self.fy
        return np.asarray(determinant > 0)

    def _count(self, rows: slice) -> list[FloatArray]:
        """Returns the sums of 1, x, y, xx, xy, yy over the present pixels of the windows of some rows."""
        top = max(rows.start - self.radius, 0)
        reach, inside = slice(top, rows.stop + self.radius), slice(rows.start - top, rows.stop - top)
        # Integer sums are twice as fast.
        kind: Any = np.int32 if max(self.present.shape) < INT32_SIZE else np.float64
        present, x, y = self.present[reach], self.x.astype(kind), self.y[reach].astype(kind)
        by_x, by_y = present * x, present * y
        powers = (present.view(np.uint8), by_x, by_y, by_x * x, by_x * y, by_y * y)
        return [_box(power, self.radius)[inside] for power in powers]


def _box(values: npt.NDArray[Any], radius: int, out: FloatArray | None = None) -> FloatArray:
    """Sums over windows of 2 radius + 1 pixels a side, with zeros beyond the image."""
    size = (2 * radius + 1, 2 * radius + 1)
    sums = cv2.boxFilter(values, cv2.CV_64F, size, out, normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(sums, np.float64)


def _span(position: FloatArray, radius: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Returns the size, mean and sum of squares about the mean of the window around each position."""
    first, last = np.maximum(position - radius, position[0]), np.minimum(position + radius, position[-1])
    n = last - first + 1
    return n, (first + last) / 2, n * (n * n - 1) / 12
