"""Normals from depth alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.camera import Camera

__all__ = ["depth_normals"]

_NOISE = 1e-6  # relative: differences below this are float32's rounding, not the surface's shape


def depth_normals(depth: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    """Return the surface's normal at every pixel that hit something.

    On a plane, 1 / z is linear in (u, v): q . (u, v, 1), and the plane's normal is K^T q. So q is
    taken from the slopes of 1 / z, each from the three pixels in a row that are closest to a line:
    steps and edges are not mixed in. Planes come out exact, up to float32's rounding of depth.

    Parameters
    ----------
    depth : (H, W) float32, planar z, object units, 0 = background
    camera : of the same size

    Returns
    -------
    normals : (H, W, 3) float32, object frame, unit length, towards the camera; 0 at the background,
        and where a pixel has no neighbour with depth in its row, or none in its column
    """
    # 1 / z, (H, W); NaN at the background
    with np.errstate(divide="ignore"):
        inverse = np.where(depth > 0, 1 / depth.astype(np.float64), np.nan)
    # slopes of 1 / z, (H, W) each; the rows of the transpose are the columns
    along_u, along_v = _slope(inverse), _slope(inverse.T).T
    # q of each pixel, (H, W, 3)
    v, u = np.mgrid[: camera.height, : camera.width] + 0.5
    q = np.stack([along_u, along_v, inverse - u * along_u - v * along_v], axis=-1)
    # K^T q in the camera frame, then R^T into the object frame, written for rows
    # (K^T q) . X = 1 on the plane, so K^T q points away from the camera: hence the minus
    normals = -q @ camera.intrinsics @ camera.rotation
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    # the length is NaN at the background and where a slope is missing: the normal is 0 there
    return np.where(np.isfinite(length), normals / length, 0).astype(np.float32)


def _slope(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the slope along each row: (H, W), NaN where no pixel is.

    Of the left, centred and right stencils of three pixels, it takes the one with the smallest
    second difference, so that no slope crosses an edge.
    """
    # each pixel's neighbours along the row, two to each side: five arrays (H, W)
    padded = np.pad(values, ((0, 0), (2, 2)), constant_values=np.nan)
    two_left, left, centre, right, two_right = (
        padded[:, shift : shift + values.shape[1]] for shift in range(5)
    )
    # candidates: centred, right and left stencil of three pixels, then right and left pair
    slopes = [
        (right - left) / 2,
        (4 * right - 3 * centre - two_right) / 2,
        (3 * centre - 4 * left + two_left) / 2,
        right - centre,
        centre - left,
    ]
    # second difference of each stencil: how far its three pixels are from a line
    bends = [
        np.abs(left - 2 * centre + right),
        np.abs(centre - 2 * right + two_right),
        np.abs(centre - 2 * left + two_left),
    ]
    # the centred stencil averages more noise away, so it wins unless it is clearly bent
    middle = np.where(bends[0] <= 2 * np.fmin(bends[1], bends[2]) + _NOISE * centre, 0, bends[0])
    middle = np.where(np.isnan(bends[1]) & np.isnan(bends[2]), bends[0], middle)
    # pairs come after every stencil; of two pairs the flatter wins
    last = 1e9 + np.abs([right - centre, centre - left])
    # the five candidates in the order of `slopes`: (5, H, W)
    worth = np.stack([middle, bends[1], bends[2], *last])
    # the slope of the least bent candidate, (H, W)
    best = np.argmin(np.where(np.isnan(worth), np.inf, worth), axis=0)
    return np.take_along_axis(np.stack(slopes), best[None], axis=0)[0]
