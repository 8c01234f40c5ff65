"""Indices that are evenly spread."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.core.arrays import spread_indices


@given(st.integers(1, 10**6), st.integers(1, 300))
def test_a_spread_takes_first_and_last_in_even_steps(count: int, most: int) -> None:
    chosen = spread_indices(count, most)
    assert len(chosen) == min(count, most)
    assert chosen[0] == 0
    if len(chosen) > 1:
        steps = np.diff(chosen)
        assert chosen[-1] == count - 1
        assert steps.min() >= 1
        assert steps.max() - steps.min() <= 1


@given(st.integers(0, 50))
def test_an_empty_range_or_request_gives_no_index(count: int) -> None:
    assert spread_indices(0, count) == spread_indices(count, 0) == []
