"""HHA of the simulated depth measurement: disparity, height above ground, angle with gravity."""

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
    """Encodes the depth sensor's measurements as HHA images.

    Gravity is fitted to the depth, as for a real image; the fit starts from `down`, which an accelerometer
    would measure, so that a camera pitched beyond 45 degrees does not take a wall for the floor. Runs on the
    CPU, image by image. Source: `aims.sensors.hha`.

    Args:
        geometry: the scenes.
        noise: False uses the true depth, without noise and holes.

    Returns:
        uint8 on the geometry's device: disparity, height in cm, angle in degrees + 38.
    """
    depths = depth.sense(geometry, noise=noise).cpu().numpy()
    downs = geometry.down.cpu().numpy()
    pictures = [from_depth(*pair, geometry.intrinsics) for pair in zip(depths, downs, strict=True)]
    return torch.from_numpy(np.stack(pictures)).to(geometry.device)


def from_depth(
    depth_m: Float[np.ndarray, "height width"], down: Float[np.ndarray, " 3"], intrinsics: Intrinsics
) -> npt.NDArray[np.uint8]:
    """Encodes one depth image as HHA.

    Args:
        depth_m: metres, 0 = no measurement.
        down: initial estimate of gravity in the camera's axes.
        intrinsics: (fx, fy, cx, cy) in pixels of an image of this size, pixel centres counted from 0.

    Returns:
        (height, width, 3): disparity, height in cm, angle in degrees + 38.
    """
    fx, fy, cx, cy = intrinsics
    return encode_hha(depth_m, camera=Camera(fx=fx, fy=fy, cx=cx, cy=cy), gravity=down)
