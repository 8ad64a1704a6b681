"""HHA of what the depth sensor measures: disparity, height above ground, angle with gravity."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from aims.sensors.hha import Camera, encode_hha
from aims.synth.sensors import depth
from aims.synth.world.geometry import Geometry, Intrinsics


def sense(geometry: Geometry, *, noise: bool = True) -> UInt8[Tensor, "batch height width 3"]:
    """The HHA pictures of the depth sensor's measurements.

    Gravity is fitted to the picture, as for a real one; `down` is where the fit begins (an accelerometer
    would tell it), so that a camera pitched beyond 45 degrees does not take a wall for the floor. Computed on
    the CPU, picture by picture. Source: `aims.sensors.hha`.

    Args:
        geometry: the scenes.
        noise: False takes depth as it is, without noise and holes.

    Returns:
        uint8 on the geometry's device: disparity, height, angle + 38.
    """
    depths = depth.sense(geometry, noise=noise).cpu().numpy()
    downs = geometry.down.cpu().numpy()
    pictures = [from_depth(*pair, geometry.intrinsics) for pair in zip(depths, downs, strict=True)]
    return torch.from_numpy(np.stack(pictures)).to(geometry.device)


def from_depth(
    depth_m: Float[np.ndarray, "height width"], down: Float[np.ndarray, " 3"], intrinsics: Intrinsics
) -> npt.NDArray[np.uint8]:
    """The HHA picture of one depth picture.

    Args:
        depth_m: metres, 0 = no measurement.
        down: a first guess of gravity in the camera's axes.
        intrinsics: (fx, fy, cx, cy) of a picture of this size, from pixel centres that count from 0.
    """
    fx, fy, cx, cy = intrinsics
    return encode_hha(depth_m, camera=Camera(fx=fx, fy=fy, cx=cx, cy=cy), gravity=down)
