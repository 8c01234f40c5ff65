"""Filters of clouds by Open3D; they return indices of points."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["drop_outliers", "one_a_voxel"]


def one_a_voxel(points: NDArray[np.float32], size: float) -> NDArray[np.int64]:
    """Choose one point per voxel: the point nearest to the voxel's mean.

    Parameters
    ----------
    points : (M, 3) float32
    size : edge of the cubes, in the points' units

    Returns
    -------
    kept : (N,) int64, rising indices into `points`
    """
    if not len(points):
        return np.zeros(0, dtype=np.int64)
    # corners of the grid, (3,) each; the upper one is a cube further, so that all points fit
    cloud, low = _open3d(points), points.min(axis=0).astype(np.float64)
    # Open3D's own result holds the means, which are no pixel's points; its trace lists the points
    # of each voxel
    *_, trace = cloud.voxel_down_sample_and_trace(
        size, low, points.max(axis=0).astype(np.float64) + size
    )
    # members: (M,) indices of points, voxel by voxel; cube: (M,) the voxel of each
    sizes = np.array([len(members) for members in trace])
    members = np.concatenate([np.asarray(members, dtype=np.int64) for members in trace])
    cube = np.repeat(np.arange(len(sizes)), sizes)
    # mean of each voxel, (N, 3), and squared distance of each member to it, (M,)
    inside = points[members].astype(np.float64)
    means = np.add.reduceat(inside, np.cumsum(sizes) - sizes) / sizes[:, None]
    gaps = ((inside - means[cube]) ** 2).sum(axis=1)
    # the first of each voxel by distance; ties go to the lower index
    order = np.lexsort([members, gaps, cube])
    first = np.flatnonzero(np.diff(cube[order], prepend=-1))
    return np.sort(members[order[first]])


def drop_outliers(points: NDArray[np.float32], neighbours: int, ratio: float) -> NDArray[np.int64]:
    """Choose the points whose distance to their neighbours is usual.

    Parameters
    ----------
    points : (M, 3) float32
    neighbours : number of neighbours over which the distance is averaged
    ratio : standard deviations by which the distance may exceed the mean over the cloud

    Returns
    -------
    kept : (N,) int64, rising indices into `points`
    """
    if not len(points):
        return np.zeros(0, dtype=np.int64)
    _, kept = _open3d(points).remove_statistical_outlier(neighbours, ratio)
    # rising, so that points stay in the order of their pixels: (N,)
    return np.sort(np.asarray(kept, dtype=np.int64))


def _open3d(points: NDArray[np.float32]) -> Any:
    import open3d as o3d

    return o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points.astype(np.float64)))
