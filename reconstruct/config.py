"""Settings of `cma3d reconstruct`: everything that decides what the clouds hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..core.settings import setting

__all__ = ["CloudConfig"]


@dataclass(frozen=True)
class CloudConfig:
    """The settings of full clouds. The same renders and settings give the same files."""

    format: Literal["ply", "npz"] = setting(
        "ply", "Files to write: PLY for viewers, or NPZ for NumPy."
    )
    keep: Literal["best", "all"] = setting(
        "best", "Views of a model: the one with the most points, or all."
    )
    normals: bool = setting(
        False, "Add normals, from the depth's own geometry, towards the camera."
    )
    voxel: float = setting(
        0.0,
        "Keep one point of each cube of this edge (object units), the one nearest to the mean; "
        "0 keeps all.",
        low=0,
    )
    outliers: float = setting(
        0.0,
        "Drop points whose mean distance to their neighbours exceeds the cloud's mean by so many "
        "standard deviations; 0 keeps all.",
        low=0,
    )
    neighbours: int = setting(20, "Neighbours that --outliers looks at.", low=1, high=1000)
