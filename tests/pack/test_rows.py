"""The rows of one model: the chosen views that have enough points, each with its sample."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shapenet3d_cma.core.settings import config_hash
from shapenet3d_cma.pack.config import PackConfig
from shapenet3d_cma.pack.rows import model_rows, plan_views
from shapenet3d_cma.render.choose import choose_views, count_points
from shapenet3d_cma.render.render_file import open_render
from shapenet3d_cma.tests.fuzz.made import MODELS, RENDER

HASH = config_hash(RENDER)
POINTS = st.integers(1, 100)  # a view of the tiny renders has 81 points
KEEP = st.sampled_from(["best", "all"])


@settings(max_examples=30)
@given(POINTS, KEEP, st.sets(st.integers(0, 3)))
def test_each_chosen_view_is_a_row_or_left_out(
    made: Path, points: int, keep: Literal["best", "all"], drawn: set[int]
) -> None:
    path, config = made / "renders" / f"{MODELS[0]}.h5", PackConfig(points=points, keep=keep)
    with open_render(path) as render:
        counts = count_points(render.view_depths())
    chosen = choose_views(counts, keep)
    kept = [view for view in chosen if counts[view] >= points]
    rows, summary = model_rows(path, config, HASH)
    assert [int(row["view"]) for row in rows] == kept
    assert [entry["view"] for entry in summary.left_out] == sorted({*chosen} - {*kept})
    assert (summary.rows, summary.failures) == (len(kept), [])
    assert plan_views(path, config, HASH)[0] == tuple(kept)
    some, _ = model_rows(path, config, HASH, sorted(drawn))
    assert [int(row["view"]) for row in some] == [view for view in kept if view in drawn]


@settings(max_examples=30)
@given(POINTS, POINTS)
def test_a_smaller_sample_is_the_beginning_of_a_larger_one(made: Path, one: int, two: int) -> None:
    few, many = (
        model_rows(made / "renders" / f"{MODELS[1]}.h5", PackConfig(points=count), HASH)[0]
        for count in sorted((one, two))
    )
    for small, large in zip(few, many, strict=False):
        count = len(small["points"])
        assert np.array_equal(small["points"], large["points"][:count])
        assert np.array_equal(small["pixels"], large["pixels"][:count])
    for row in (*few, *many):
        u, v = row["pixels"].T
        assert (row["depth"][v, u] > 0).all()
        assert len(np.unique(row["pixels"], axis=0)) == len(row["points"])
