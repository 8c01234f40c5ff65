from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapenet3d_cma.reconstruct.filters import drop_outliers, one_a_voxel

pytestmark = pytest.mark.needs("open3d")


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 500), st.floats(0.05, 5))
def test_one_point_of_each_cube_remains(seed: int, count: int, size: float) -> None:
    points = np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)
    kept = one_a_voxel(points, size)
    assert (np.diff(kept) > 0).all()
    reach = np.abs(points[:, None] - points[kept][None]).max(axis=-1).min(axis=1)
    assert reach.max() <= size, "every point has a remaining one in its cube"
    low = points.min(axis=0).astype(np.float64)
    cubes = {tuple(cube) for cube in np.floor((points - low) / size + 0.5).astype(int).tolist()}
    assert len(kept) <= len(points)
    assert len(cubes) / 8 <= len(kept) <= 8 * len(cubes)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 12))
def test_of_each_cube_the_point_nearest_to_the_mean_remains(
    seed: int, cubes: int, count: int
) -> None:
    """Groups of points that lie far apart, each within a cube of the grid."""
    rng = np.random.default_rng(seed)
    groups = rng.uniform(0, 0.4, (cubes, count, 3)) + 10 * np.arange(cubes)[:, None, None]
    groups[0, 0] = 0  # the grid begins at the lowest point, half a cube before it
    groups = groups.astype(np.float32).astype(np.float64)
    gaps = ((groups - groups.mean(axis=1, keepdims=True)) ** 2).sum(axis=-1)
    kept = one_a_voxel(groups.reshape(-1, 3).astype(np.float32), 1)
    assert (kept // count).tolist() == list(range(cubes))
    # two points may be equally near, up to rounding
    assert np.allclose(gaps.ravel()[kept], gaps.min(axis=1), rtol=1e-9)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(0, 299))
def test_a_far_point_is_dropped_and_the_rest_keeps_its_indices(seed: int, far: int) -> None:
    points = np.random.default_rng(seed).normal(size=(300, 3)).astype(np.float32)
    points[far] = 50
    kept = drop_outliers(points, 20, 3.0)
    assert far not in kept
    assert len(kept) > 280
    assert (np.diff(kept) > 0).all()
    assert kept.max() < 300


@given(st.floats(0.01, 9), st.integers(1, 100))
def test_an_empty_cloud_stays_empty(size: float, neighbours: int) -> None:
    empty = np.zeros((0, 3), dtype=np.float32)
    assert one_a_voxel(empty, size).tolist() == drop_outliers(empty, neighbours, 2).tolist() == []
