"""Settings of packing, which decide the content of shards; formats of exports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..core.settings import setting

__all__ = ["ExportFormat", "PackConfig"]

ExportFormat = Literal["bop", "nerf", "ply", "png"]
"""Formats of others that shards are exported to."""


@dataclass(frozen=True)
class PackConfig:
    """The settings of shards. The same renders and settings give the same rows."""

    points: int = setting(
        2048, "Points of each row, by farthest point sampling.", low=1, high=1_000_000
    )
    keep: Literal["best", "all"] = setting(
        "best", "Views of a model to keep: the one with the most points, or all."
    )
    num_samples: int = setting(
        0,
        "Rows to draw from the renders, model by model; 0 takes all. The paper has 41928.",
        low=0,
    )
    seed: int = setting(0, "Seed of what is drawn: the split, the samples.", low=0, high=2**63 - 1)
    shard_rows: int = setting(
        1024,
        "Most rows of one shard. The views of a model stay together where they fit. A killed packing loses the shard "
        "it was at.",
        low=1,
    )
    shard_mib: int = setting(
        1024, "Most MiB of one shard; it is held in memory until it is written.", low=1
    )
