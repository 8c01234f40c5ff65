"""The figures of a report on a folder of shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.arrays import spread_indices
from ...core.progress import track
from ...core.schema import Row, row_camera
from ..reader import Shards

__all__ = ["DEPTHS", "Survey", "count_right", "survey_shards"]

DEPTHS = 4096
"""Most rows whose arrays are read, evenly spread; tens of thousands would take a minute."""
_BATCH = 4096


@dataclass(frozen=True)
class Survey:
    """Figures of a dataset of N rows.

    All arrays were read of M rows, evenly spread.

    Attributes
    ----------
    rows, models : counts
    synsets : rows by synset
    num_points : (N,) uint32, points of each view before sampling
    directions : (N, 3) float64, from the object towards each camera, object frame, length 1
    views : (N,) uint16
    near, far : (M,) float32, least and greatest depth; NaN of a row without depth
    checked, right : points of those M rows, and how many of them re-project to their pixel
    image : (H, W)
    points : points a row
    """

    rows: int
    models: int
    synsets: Counter[str]
    num_points: NDArray[np.uint32]
    directions: NDArray[np.float64]
    views: NDArray[np.uint16]
    near: NDArray[np.float32]
    far: NDArray[np.float32]
    checked: int
    right: int
    image: tuple[int, int]
    points: int


def survey_shards(shards: Shards, *, depths: int = DEPTHS) -> Survey:
    """Measure the figures of a report.

    Parameters
    ----------
    depths : most rows whose depth and points are read

    Raises
    ------
    InputError : a shard that cannot be read
    """
    # names, numbers and poses of all rows, batch by batch
    parts: dict[str, list[NDArray[Any]]] = {}
    for begin in range(0, len(shards), _BATCH):
        rows = range(begin, min(begin + _BATCH, len(shards)))
        for name, values in shards.read(
            rows, ["synset", "model_id", "view", "num_points", "cam_from_obj"]
        ).items():
            parts.setdefault(name, []).append(values)
    # batches joined: (N, ...) for each name
    columns = {name: np.concatenate(values) for name, values in parts.items()}
    # depth and points of some rows
    near, far, checked, right = _depths(shards, spread_indices(len(shards), depths))
    first = shards.read([0], ["depth", "points"])
    return Survey(
        rows=len(shards),
        models=len(set(zip(columns["synset"], columns["model_id"], strict=True))),
        synsets=Counter(str(synset) for synset in columns["synset"]),
        num_points=columns["num_points"],
        directions=-columns["cam_from_obj"][:, 2, :3],  # the optical axis, turned round
        views=columns["view"],
        near=near,
        far=far,
        checked=checked,
        right=right,
        image=(first["depth"].shape[1], first["depth"].shape[2]),
        points=first["points"].shape[1],
    )


def _depths(
    shards: Shards, rows: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32], int, int]:
    """Measure the depth range and re-projection of some rows."""
    # (M,) each; NaN stays where a row has no depth
    near, far = (np.full(len(rows), np.nan, dtype=np.float32) for _ in range(2))
    checked = right = 0
    for position, index in enumerate(track(rows, len(rows), "rows")):
        row = shards[index]
        seen = row["depth"][row["depth"] > 0]
        if seen.size:
            near[position], far[position] = seen.min(), seen.max()
        checked += len(row["points"])
        right += count_right(row)
    return near, far, checked, right


def count_right(row: Row) -> int:
    """Count the points that re-project to their stored pixel."""
    try:
        camera = row_camera(row)
    except ValueError:  # without a valid camera nothing projects
        return 0
    uv, depth = camera.project(row["points"])
    return int(((np.floor(uv) == row["pixels"]).all(axis=1) & (depth > 0)).sum())
