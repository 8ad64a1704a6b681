"""A structured-light depth camera, which sees a projector's dots, like the first Kinect used for NYUv2.

Axial and lateral noise: Nguyen, Izadi and Lovell, "Modeling Kinect sensor noise for improved 3D
reconstruction and tracking" (3DIMPVT 2012). Quantisation of disparity: Khoshelham and Elberink, "Accuracy and
resolution of Kinect depth data for indoor mapping applications" (Sensors 12, 2012). The shadow of the
projector follows from geometry. The dropout rates at edges and grazing angles are ours, without a source.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from aims.synth.exact import arccos, root, root_
from aims.synth.sensors._shading import by_material, dot, planes
from aims.synth.world.geometry import Geometry, kept_with_geometry
from aims.synth.world.random import normal, uniform

#: Range of the sensor in metres.
NEAREST_M, FARTHEST_M = 0.5, 10.0
#: Metres from the camera to the projector on its right; shadows lie on the left of objects.
BASELINE_M = 0.075
#: Step of 1 / depth, in 1 / m: one unit of the sensor's disparity (Khoshelham and Elberink).
DISPARITY_STEP = 2.85e-3
# Standard deviation of the lateral noise, in pixels of an image 640 pixels wide.
_LATERAL_SIGMA = 0.8
_FULL_WIDTH = 640
# Neighbours whose inverse depths differ by more than this fraction lie on different surfaces.
_JUMP = 0.1
_EDGE_DROPOUT = 0.3
# Cosines of the angles of incidence from which on pixels are lost, and from which on all are.
_GRAZING, _BLIND = math.cos(math.radians(80)), math.cos(math.radians(88))
# Width of a patch of dropout, as a fraction of the image's width.
_PATCH_PART = 1 / 32

_LATERAL, _DIRECTION, _AXIAL, _LOST, _PATCH, _RAGGED = range(400, 406)


def sense(geometry: Geometry, *, noise: bool = True) -> Float[Tensor, "batch height width"]:
    """Simulates the measurement of a structured-light depth sensor.

    Lateral noise shifts each pixel's sample (standard deviation 0.8 pixels at 640 x 480): on one surface the
    depth moves along the slope, at an edge it sometimes is the neighbour's. Axial noise, which grows with
    depth and angle (`axial_sigma_m`), is added, and disparity is rounded to whole steps. There is no
    measurement

    - where no surface is seen, or out of range (0.5 to 10 m);
    - in the shadow of the projector, at the left of objects in front of others;
    - in patches on dark, mirroring or transparent materials: a fraction `depth_dropout` of their pixels;
    - at grazing angles: a fraction that grows from 80 degrees on and reaches all at 88;
    - behind an edge: three of ten pixels beside a neighbour that is nearer by a tenth.

    Args:
        geometry: the scenes.
        noise: False returns the true depth without noise, quantisation, holes or limits of range.

    Returns:
        z in metres, float32; 0 = no measurement.
    """
    if not noise:
        return geometry.depth_m.clone()
    # The caller may change its result, the kept one is shared.
    return _measured(geometry).clone()


@kept_with_geometry
def _measured(geometry: Geometry) -> Tensor:
    inverse = torch.where(geometry.depth_m > 0, 1 / geometry.depth_m, 0)
    cosine = dot(planes(geometry.normals), planes(geometry.view_directions()[:1]))
    padded = functional.pad(inverse, (1, 1, 1, 1), mode="replicate")
    lost = shadowed(inverse, geometry.intrinsics[0]) | _unanswered(geometry, inverse, padded, cosine)
    depth = 1 / _beside(geometry, inverse, padded)
    sigma = axial_sigma_m(depth, cosine)
    # The published noise was measured after quantisation, so that variance (step^2 / 12) is taken off.
    rounding = (DISPARITY_STEP / math.sqrt(12)) * depth * depth
    sigma = root_((sigma * sigma - rounding * rounding).clamp_(min=0))
    depth = depth + sigma * normal(geometry.seeds, _AXIAL, depth.shape[1:])
    depth = 1 / ((1 / depth * (1 / DISPARITY_STEP)).round() * DISPARITY_STEP)
    lost |= ~((depth >= NEAREST_M) & (depth <= FARTHEST_M))
    return depth.masked_fill(lost, 0)


def axial_sigma_m(depth_m: Tensor, cosine: Tensor) -> Tensor:
    """Returns the standard deviation 0.0012 + 0.0019 (z - 0.4)^2 + 0.0001 / sqrt(z) (t / (pi/2 - t))^2.

    Nguyen, Izadi and Lovell (2012). Their angle t lies between normal and optical axis, ours between normal
    and ray. The last term, which they fitted beyond 60 degrees, is used at all angles, as it is small below;
    it is constant beyond 88 degrees. The result includes the quantisation of disparity, averaged over depths.

    Args:
        depth_m: z in metres.
        cosine: cosine of the angle between the surface's normal and the ray.

    Returns:
        Standard deviation in metres, of the arguments' common shape.
    """
    angle = arccos(cosine.clamp(min=_BLIND, max=1))
    steepness = angle / (math.pi / 2 - angle)
    return 0.0012 + 0.0019 * (depth_m - 0.4) ** 2 + 0.0001 / root(depth_m) * steepness * steepness


def shadowed(
    inverse_depth: Float[Tensor, "batch height width"], fx: float
) -> Bool[Tensor, "batch height width"]:
    """Finds the pixels that the camera sees but the projector does not reach.

    A point in the camera's column x lies in column x - fx * baseline / z of the projector. A point further
    right in the image whose pixel covers the same projector column blocks its light.

    Args:
        inverse_depth: 1 / z in 1 / m; 0 where no surface is seen, which neither casts nor receives a shadow.
        fx: focal length in pixels.
    """
    disparity = fx * BASELINE_M * inverse_depth
    columns = torch.arange(disparity.shape[-1], device=disparity.device)
    projected = torch.where(disparity > 0, columns - disparity, torch.inf)
    shadow = torch.zeros_like(disparity, dtype=torch.bool)
    farthest = min(math.ceil(disparity.max().item()), disparity.shape[-1] - 1)
    for step in range(1, farthest + 1):
        # NaN (inf - inf) where neither sees a surface; the comparison is then False.
        beyond = projected[..., :-step] - projected[..., step:]
        shadow[..., :-step] |= beyond.floor_() == 0
    return shadow


def _beside(geometry: Geometry, inverse: Tensor, padded: Tensor) -> Tensor:
    """Samples 1 / z with lateral noise; 1 / z rather than z, as it is linear in pixels on a plane."""
    _, height, width = inverse.shape
    # Each pixel is shifted along one axis; sqrt(2) gives each axis the variance of the published noise.
    sigma = math.sqrt(2) * _LATERAL_SIGMA * width / _FULL_WIDTH
    share = normal(geometry.seeds, _LATERAL, (height, width)).abs_().mul_(sigma).clamp_(max=1)
    direction, chance = _split(uniform(geometry.seeds, _DIRECTION, (height, width)), 4)
    offsets = torch.tensor([-1, 1, -(width + 2), width + 2], device=inverse.device)
    places = torch.arange(padded[0].numel(), device=inverse.device).view(height + 2, width + 2)[1:-1, 1:-1]
    indices = places + offsets.index_select(0, direction.flatten()).view_as(direction)
    step = padded.flatten(1).gather(1, indices.flatten(1)).view_as(inverse) - inverse
    # At an edge the sample is one of the two depths; a blend of both would lie on neither surface.
    across = (chance < share).to(share.dtype)
    return torch.where(step.abs() > _JUMP * inverse, across, share).mul_(step).add_(inverse)


def _unanswered(geometry: Geometry, inverse: Tensor, padded: Tensor, cosine: Tensor) -> Tensor:
    """Draws the pixels that are lost at edges, at grazing angles and on materials with dropout."""
    nearest = torch.maximum(padded[:, :-2, 1:-1], padded[:, 2:, 1:-1])
    nearest = torch.maximum(nearest, torch.maximum(padded[:, 1:-1, :-2], padded[:, 1:-1, 2:]))
    edge = (nearest.mul_(1 - _JUMP) > inverse) * _EDGE_DROPOUT
    grazing = (_GRAZING - cosine).mul_(1 / (_GRAZING - _BLIND))
    unmatched = uniform(geometry.seeds, _LOST, inverse.shape[1:]) < torch.maximum(edge, grazing)
    share = by_material(geometry, "depth_dropout")
    return unmatched.logical_or_(_patches(geometry) < share)


def _patches(geometry: Geometry) -> Tensor:
    """Draws one uniform number per patch; jitter of the pixels' coordinates makes the borders ragged."""
    _, height, width = geometry.depth_m.shape
    size = max(1, round(width * _PATCH_PART))
    rows, columns = height // size + 2, width // size + 2
    down, across = _split(uniform(geometry.seeds, _RAGGED, (height, width)), 4096)
    y = (torch.arange(height, device=down.device)[:, None] * (1 / size) + down / 4096).long()
    x = (torch.arange(width, device=down.device) * (1 / size) + across).long()
    patches = uniform(geometry.seeds, _PATCH, (rows * columns,))
    return patches.gather(1, (y * columns + x).flatten(1)).view(-1, height, width)


def _split(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Splits a uniform number into an integer below `count` and a remainder that is uniform in [0, 1)."""
    scaled = values * count
    whole = scaled.long()
    return whole, scaled.sub_(whole)
