"""The HHA stream of NYUv2, computed from its depth by the frame's own camera."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aims.core.errors import InputError
from aims.core.schema import Array, SampleError
from aims.sensors.hha import NYUV2_COLOR, Camera, encode_hha

#: Meaning of the three channels, for the manifest.
COMPUTED = (
    "disparity 31000 / max(depth in cm, 100), height above ground in cm, angle with gravity in degrees + 38"
)
STORED = "disparity, height, angle as HHA/N.jpg has them (order of channels as in the file, unconfirmed)"

_WIDTH, _HEIGHT = 640, 480


def compute_hha(source: Path, depth_m: Array, missing: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
    """Computes HHA from a depth map of the full frame.

    The intrinsics are those of the 640 x 480 colour frame. An image of another size but the same 4:3 shape is
    assumed to be the resized full frame, and the camera is scaled with it; any other shape is a crop at an
    unknown position, for which the intrinsics are unknown.

    Args:
        source: file of the depth, for messages.
        depth_m: (height, width) floats, in metres.
        missing: (height, width) bool, True where the sensor measured nothing; None derives it from the depth.

    Returns:
        (height, width, 3) uint8: disparity, height, angle.

    Raises:
        SampleError: the shape is not 4:3, or the depth cannot be in metres.
    """
    try:
        return encode_hha(depth_m, missing=missing, camera=_camera(source, depth_m.shape))
    except SampleError:
        raise
    except InputError as error:
        raise SampleError(f"{source}: no HHA can be computed ({error})") from error


def _camera(source: Path, size: tuple[int, ...]) -> Camera:
    height, width = size
    if (height, width) == (_HEIGHT, _WIDTH):
        return NYUV2_COLOR
    if height * _WIDTH != width * _HEIGHT:
        raise SampleError(
            f"{source}: {height} x {width} (height x width) is not the full 4:3 frame, and HHA needs to know "
            "its camera; convert the full pictures, or leave out --hha"
        )
    camera, scale = NYUV2_COLOR, width / _WIDTH
    # Scaled about the frame's edge, half a pixel before the centre of the first pixel.
    edge = camera.first_pixel - 0.5
    return replace(
        camera,
        fx=camera.fx * scale,
        fy=camera.fy * scale,
        cx=(camera.cx - edge) * scale + edge,
        cy=(camera.cy - edge) * scale + edge,
    )
