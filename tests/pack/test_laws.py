"""The verdict on a law: the worst figure, its row, and the number of rows over the limit."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.pack.laws import Law, Verdict

FIGURES = st.floats(0, allow_nan=False) | st.just(math.nan)


@given(st.lists(FIGURES, min_size=1, max_size=20), st.floats(0, 10))
def test_a_verdict_counts_rows_over_the_limit_and_names_the_worst(
    figures: list[float], limit: float
) -> None:
    """NaN, a figure that could not be measured, counts as infinite."""
    verdict = Verdict(Law("x", limit, "", ""))
    for row, figure in enumerate(figures):
        verdict.add(figure, f"row {row}")
    measured = [math.inf if math.isnan(figure) else figure for figure in figures]
    assert verdict.checked == len(figures)
    assert verdict.broken == sum(not figure <= limit for figure in measured)
    assert verdict.worst == max(measured)
    assert verdict.location == f"row {measured.index(max(measured))}"
    json.dumps(verdict.as_json(), allow_nan=False)
