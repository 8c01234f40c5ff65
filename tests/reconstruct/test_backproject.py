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


@given(st.integers(1, 20), st.integers(1, 20))
def test_a_depth_of_another_size_is_refused(rows: int, columns: int) -> None:
    depth = np.zeros((rows, columns), np.float32)
    if depth.shape == (9, 14):
        assert len(back_project(depth, camera(0))) == 0
        return
    with pytest.raises(ValueError, match=rf"\({rows}, {columns}\).*\(9, 14\)"):
        back_project(depth, camera(0))


@given(
    depths,
    st.tuples(st.integers(0, 8), st.integers(0, 13)),
    st.sampled_from([np.nan, np.inf, -np.inf, -1e-6, -0.5])
    | st.floats(-np.inf, np.float32(-1e-6), width=32),
)
def test_one_negative_or_infinite_depth_is_refused(
    depth: np.ndarray, pixel: tuple[int, int], bad: float
) -> None:
    depth[pixel] = bad
    with pytest.raises(ValueError, match="finite and not negative"):
        back_project(depth, camera(0))


@given(depths, st.lists(st.integers(0, 9 * 14), max_size=20), st.integers(0, 9 * 14))
def test_a_selection_of_points_keeps_their_pixels(
    depth: np.ndarray, picks: list[int], end: int
) -> None:
    cloud = back_project(depth, camera(1))
    index = np.array([pick for pick in picks if pick < len(cloud)], dtype=np.int64)
    for chosen, selection in ((index, cloud[index]), (slice(0, end), cloud[:end])):
        assert np.array_equal(selection.points, cloud.points[chosen])
        assert np.array_equal(selection.pixels, cloud.pixels[chosen])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=9))
def test_the_best_view_has_the_most_points_and_the_lowest_index(counts: list[int]) -> None:
    (best,) = choose_views(np.array(counts), "best")
    assert counts[best] == max(counts)
    assert best == counts.index(max(counts))
    assert choose_views(np.array(counts), "all") == list(range(len(counts)))


@given(st.lists(depths, min_size=1, max_size=4))
def test_the_count_of_a_view_is_the_length_of_its_cloud(views: list[np.ndarray]) -> None:
    lengths = [len(back_project(depth, camera(0))) for depth in views]
    assert count_points(np.stack(views)).tolist() == lengths
    assert count_points(iter(views)).tolist() == lengths
