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


def test_of_a_cube_the_point_next_to_the_mean_remains() -> None:
    points = np.array([[0, 0, 0], [0.4, 0, 0], [0.1, 0, 0], [9, 9, 9]], dtype=np.float32)
    assert one_a_voxel(points, 1).tolist() == [2, 3]


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


def test_nothing_comes_of_nothing() -> None:
    none = np.zeros((0, 3), dtype=np.float32)
    assert one_a_voxel(none, 1).tolist() == drop_outliers(none, 20, 2).tolist() == []
