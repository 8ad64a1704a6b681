"""The direction of gravity from the normals of floors and walls."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# Degrees within which a normal counts as floor or wall, each for so many iterations.
SCHEDULE = (45.0, 15.0)
ITERATIONS = 5
# Degrees that the direction may turn before normals are classified again; this affects only the speed.
SLACKS = {45.0: (5.0, 1.0), 15.0: (2.0, 0.5)}
# Eigenvalues closer than this part of the largest one count as equal: a plane stored in millimetres seen
# from 2 m has normals that scatter by 6e-4 rad, 4e-7 of the sum of their squares.
EQUAL_EIGENVALUES = 1e-6
# Normals per chunk: they stay in the cache, and OpenBLAS computes so small a product in one thread.
CHUNK = 28000


def fit_gravity(normals: FloatArray, down: FloatArray) -> FloatArray:
    """Refines a first guess of gravity to the direction normal to floors and parallel to walls, of length 1.

    Args:
        normals: (4, n) x, y and z of any length and either sign, and 1 / their squared length, or 0 for none.
        down: (3,) the first guess, of length 1.
    """
    for degrees in SCHEDULE:
        scatter = _Scatter(normals, degrees, SLACKS[degrees])
        for _ in range(ITERATIONS):
            down = _smallest(scatter(down), down)
    return down


class _Scatter:
    """Computes the (3, 3) sum of w w^T over walls w minus that of f f^T over floors f, given a direction.

    When the direction turns by little, few normals change between floor, wall and neither. Those far enough
    from the limits are summed once; only the others are classified again, in the same way with the next
    smaller slack.
    """

    def __init__(self, normals: FloatArray, degrees: float, slacks: tuple[float, ...]) -> None:
        self.normals, self.degrees = normals, degrees
        self.slack, self.slacks = (slacks[0], slacks[1:]) if slacks else (0.0, ())
        self.sorted_at: FloatArray | None = None

    def __call__(self, down: FloatArray) -> FloatArray:
        if not self.slack:
            return self._sort(down)[0]
        if self.sorted_at is None or self.sorted_at @ down < math.cos(math.radians(self.slack)):
            self.sorted_at = down
            self.settled, doubtful = self._sort(down)
            self.rest = _Scatter(doubtful, self.degrees, self.slacks)
        return self.settled + self.rest(down)

    def _sort(self, down: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Returns the sum over normals that keep their class within the slack, and all that may change."""
        sure, possible = math.radians(self.degrees - self.slack), math.radians(self.degrees + self.slack)
        settled, doubtful = np.zeros((3, 3)), [np.empty((4, 0))]
        for start in range(0, self.normals.shape[1], CHUNK):
            chunk = self.normals[:, start : start + CHUNK]
            square = project(chunk, down)
            square *= square
            square *= chunk[3]
            floor, wall = square > math.cos(sure) ** 2, square < math.sin(sure) ** 2
            weight = chunk[3] * (wall.view(np.int8) - floor.view(np.int8))
            settled += chunk[:3] * weight @ chunk[:3].T
            if self.slack:
                near = (square > math.cos(possible) ** 2) | (square < math.sin(possible) ** 2)
                doubtful.append(chunk[:, np.flatnonzero(near & ~(floor | wall))])
        return settled, np.concatenate(doubtful, axis=1)


def project(vectors: FloatArray, direction: FloatArray) -> FloatArray:
    """Returns the dot product of (3 or 4, ...) vectors with a direction; `@` would start BLAS threads."""
    product = vectors[0] * direction[0]
    product += vectors[1] * direction[1]
    product += vectors[2] * direction[2]
    return np.asarray(product)


def _smallest(matrix: FloatArray, previous: FloatArray) -> FloatArray:
    """Returns the eigenvector of the smallest eigenvalue; of several, the one nearest to `previous`."""
    values, vectors = np.linalg.eigh(matrix)
    space = vectors[:, values - values[0] <= EQUAL_EIGENVALUES * np.abs(values).max()]
    projection = space @ (space.T @ previous)
    length = np.linalg.norm(projection)
    return np.asarray(projection / length) if length > 1e-9 else previous
