"""Farthest point sampling that keeps the order in which points were taken."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["farthest_point_order", "greedy_excess"]

_BUCKET_HEIGHT = 7  # fpsample's advice for clouds of ten thousands of points


def farthest_point_order(points: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the farthest point order: each point farthest from all before it.

    So any prefix of the result is itself a farthest point sample. The first point is the
    sampler's own choice, the same for the same cloud. Of several points that are equally far, any
    may come first.

    Parameters
    ----------
    points : (M, 3) float32, distinct
    count : how many to choose, 1 to M

    Returns
    -------
    order : (count,) int64, distinct indices into `points`

    Raises
    ------
    ValueError : `count` is not between 1 and M
    """
    import fpsample

    if not 1 <= count <= len(points):
        raise ValueError(f"{count} points requested from a cloud of {len(points)}")
    if len(points) == 1:
        return np.zeros(1, dtype=np.int64)
    # the bucket tree may not be taller than the cloud allows
    height = min(_BUCKET_HEIGHT, len(points).bit_length() - 1)
    order = fpsample.bucket_fps_kdline_sampling(points, count, h=height, start_idx=0)
    return order.astype(np.int64)


def greedy_excess(cloud: NDArray[np.float32], sample: NDArray[np.float32]) -> float:
    """Measure how far a sequence is from farthest point order.

    At each step the next point of the sample should be as far from the points before it as any
    point of the cloud is. The excess is the largest amount by which some point of the cloud was
    farther.

    Parameters
    ----------
    cloud : (M, 3) float32
    sample : (P, 3) float32, points of the cloud

    Returns
    -------
    excess : object units; 0 up to rounding if the law holds
    """
    distance = np.full(len(cloud), np.inf)  # (M,) squared, to the nearest point so far
    nearest = np.full(len(sample), np.inf)  # (P,) the same for the sample's points
    everything, chosen = cloud.astype(np.float64), sample.astype(np.float64)
    excess = 0.0
    for step in range(len(sample) - 1):
        # distances to the nearest chosen point, once this one is chosen
        np.minimum(distance, ((everything - chosen[step]) ** 2).sum(axis=1), out=distance)
        np.minimum(nearest, ((chosen - chosen[step]) ** 2).sum(axis=1), out=nearest)
        excess = max(excess, float(np.sqrt(distance.max()) - np.sqrt(nearest[step + 1])))
    return excess
