"""The choice among the views of a model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["choose_views", "count_points"]


def count_points(depths: Iterable[NDArray[np.float32]]) -> NDArray[np.int64]:
    """Count the points that each view's depth reconstructs to.

    Parameters
    ----------
    depths : (V, H, W) float32, 0 = background; or one (H, W) after the other

    Returns
    -------
    num_points : (V,) int64
    """
    return np.array([np.count_nonzero(view > 0) for view in depths], dtype=np.int64)


def choose_views(num_points: NDArray[np.int64], keep: Literal["best", "all"]) -> list[int]:
    """Choose among a model's views: the one with the most points, or all.

    Of equal counts the lower index wins. The paper takes the view with the most points.

    Parameters
    ----------
    num_points : (V,) int64
    """
    return list(range(len(num_points))) if keep == "all" else [int(np.argmax(num_points))]
