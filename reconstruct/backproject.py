"""Depth to points, each with the pixel it came from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.camera import Camera

__all__ = ["Cloud", "back_project"]


@dataclass(frozen=True)
class Cloud:
    """Points that know their pixels: `pixels[i]` is the pixel of `points[i]`, exactly.

    Attributes
    ----------
    points : (M, 3) float32, object frame
    pixels : (M, 2) uint16, (u, v) = (column, row)
    """

    points: NDArray[np.float32]
    pixels: NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: NDArray[np.int64] | slice) -> Cloud:
        """Return some of the points, each with its pixel."""
        return Cloud(self.points[index], self.pixels[index])


def back_project(depth: NDArray[np.float32], camera: Camera) -> Cloud:
    """Return the point of every pixel with depth: equation 1, inverted.

    Parameters
    ----------
    depth : (H, W) float32, planar z, object units, 0 = background
    camera : of the same size

    Returns
    -------
    cloud : all points, in the order of their pixels, row after row

    Raises
    ------
    ValueError : depth and camera differ in size, or depth is negative or not finite
    """
    # lifted in float64, so that points are rounded to float32 only once: (M, 3), (M, 2)
    points, pixels = camera.unproject_image(depth)
    return Cloud(points.astype(np.float32), pixels.astype(np.uint16))
