from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shapenet3d_cma.core.camera import Camera
from shapenet3d_cma.reconstruct.backproject import back_project
from shapenet3d_cma.render.choose import choose_views, count_points

depths = hnp.arrays(
    np.float32,
    (9, 14),
    elements=st.one_of(st.just(np.float32(0)), st.floats(np.float32(0.5), 4, width=32)),
)


def camera(turn: float) -> Camera:
    eye = 2 * np.array([np.sin(turn), 0.4, np.cos(turn)])
    return Camera.from_fov(50, 14, 9).look_at(eye, (0.1, 0, 0))


@given(depths, st.floats(0, 6))
def test_every_pixel_with_depth_is_one_point_and_knows_it(depth: np.ndarray, turn: float) -> None:
    cloud = back_project(depth, camera(turn))
    seen = [(u, v) for v in range(9) for u in range(14) if depth[v, u] > 0]
    assert cloud.pixels.tolist() == [list(pixel) for pixel in seen]
    assert cloud.points.dtype == np.float32
    assert cloud.pixels.dtype == np.uint16


@given(depths, st.floats(0, 6))
def test_point_to_pixel_to_point_is_exact(depth: np.ndarray, turn: float) -> None:
    view = camera(turn)
    cloud = back_project(depth, view)
    uv, z = view.project(cloud.points)
    assert np.array_equal(np.floor(uv).astype(int), cloud.pixels)
    assert np.allclose(uv, cloud.pixels + 0.5, atol=1e-4)
    assert np.allclose(z, depth[cloud.pixels[:, 1], cloud.pixels[:, 0]], atol=1e-6)


def test_it_refuses_a_depth_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"\(9, 9\).*\(9, 14\)"):
        back_project(np.zeros((9, 9), np.float32), camera(0))
    for bad in (-1, np.nan, np.inf):
        with pytest.raises(ValueError, match="finite and not negative"):
            back_project(np.full((9, 14), bad, np.float32), camera(0))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=9))
def test_the_best_view_has_the_most_points_and_the_lowest_index(counts: list[int]) -> None:
    (best,) = choose_views(np.array(counts), "best")
    assert counts[best] == max(counts)
    assert best == counts.index(max(counts))
    assert choose_views(np.array(counts), "all") == list(range(len(counts)))


def test_points_are_counted_per_view() -> None:
    depth = np.zeros((3, 4, 5), np.float32)
    depth[1, :2] = 1
    depth[2, 0, 0] = 0.1
    assert count_points(depth).tolist() == [0, 10, 1]
