from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapenet3d_cma.reconstruct.sample import farthest_point_order, greedy_excess


def cloud(seed: int, count: int, *, on_a_grid: bool = False) -> np.ndarray:
    """Distinct points; those on a grid are full of ties."""
    rng = np.random.default_rng(seed)
    if on_a_grid:
        cells = np.stack(np.meshgrid(*[np.arange(12)] * 3), axis=-1).reshape(-1, 3)
        return rng.permutation(cells)[:count].astype(np.float32)
    return rng.normal(size=(count, 3)).astype(np.float32)


def by_the_book(points: np.ndarray, count: int, start: int) -> list[int]:
    """Farthest point sampling as its definition reads."""
    chosen = [start]
    while len(chosen) < count:
        gaps = [
            min(float(((point - points[other]) ** 2).sum()) for other in chosen) for point in points
        ]
        chosen.append(int(np.argmax(gaps)))
    return chosen


@given(st.integers(0, 10**6), st.integers(1, 400), st.data())
def test_each_point_is_the_farthest_from_those_before_it(
    seed: int, size: int, data: st.DataObject
) -> None:
    points = cloud(seed, size, on_a_grid=data.draw(st.booleans()))
    count = data.draw(st.integers(1, size))
    order = farthest_point_order(points, count)
    assert len(set(order.tolist())) == count
    assert greedy_excess(points, points[order]) < 1e-6


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(2, 60))
def test_the_order_is_that_of_the_definition(seed: int, size: int) -> None:
    points = cloud(seed, size)
    order = farthest_point_order(points, size // 2)
    assert order.tolist() == by_the_book(points.astype(np.float64), size // 2, int(order[0]))


@given(st.integers(0, 10**6), st.integers(1, 3000), st.data())
def test_any_prefix_is_the_smaller_sample(seed: int, size: int, data: st.DataObject) -> None:
    points = cloud(seed, size)
    whole = farthest_point_order(points, data.draw(st.integers(1, size)))
    count = data.draw(st.integers(1, len(whole)))
    assert np.array_equal(whole[:count], farthest_point_order(points, count))


@given(st.integers(0, 10**6), st.integers(1, 2000), st.booleans())
def test_the_same_cloud_gives_the_same_order(seed: int, size: int, on_a_grid: bool) -> None:
    points = cloud(seed, size, on_a_grid=on_a_grid)
    count = min(len(points), 500)
    assert np.array_equal(
        farthest_point_order(points, count), farthest_point_order(points.copy(), count)
    )


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_any_number_of_threads_gives_the_same_order(threads: int) -> None:
    clouds = [cloud(seed, 3000) for seed in range(12)]
    alone = [farthest_point_order(points, 300) for points in clouds]
    code = "import sys, numpy as np\nfrom shapenet3d_cma.reconstruct.sample import farthest_point_order\n"
    code += "points = np.random.default_rng(0).normal(size=(3000, 3)).astype(np.float32)\n"
    code += "print(*farthest_point_order(points, 300))"
    names = ("OMP_NUM_THREADS", "RAYON_NUM_THREADS")
    said = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | dict.fromkeys(names, str(threads)),
    )
    assert list(map(int, said.stdout.split())) == alone[0].tolist()
    with ThreadPoolExecutor(threads) as pool:
        together = list(pool.map(lambda points: farthest_point_order(points, 300), clouds))
    assert all(map(np.array_equal, alone, together))


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(300, 600))
def test_the_excess_of_a_wrong_order_is_large(seed: int, size: int) -> None:
    points = cloud(seed, size)
    sample = points[farthest_point_order(points, 100)]
    # the last point comes first and its neighbour second; the first points of the cloud as they are
    assert greedy_excess(points, np.roll(sample, 1, axis=0)) > 0.01
    assert greedy_excess(points, points[:100]) > 0.1


@given(st.integers(1, 20), st.integers(-21, 2))
def test_a_count_outside_of_the_cloud_is_refused(size: int, more: int) -> None:
    count = size + more
    if 1 <= count <= size:
        assert len(farthest_point_order(cloud(0, size), count)) == count
        return
    with pytest.raises(ValueError, match=f"{count} points .* a cloud of {size}"):
        farthest_point_order(cloud(0, size), count)
