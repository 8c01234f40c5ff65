"""Settings of packing, which decide the content of shards; export formats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..core.settings import setting

__all__ = ["ExportFormat", "PackConfig"]

ExportFormat = Literal["bop", "nerf", "ply", "png"]
"""Formats that shards are exported to."""


@dataclass(frozen=True)
class PackConfig:
    """The settings of shards.

    The same renders and settings give the same rows.
    """

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
    seed: int = setting(0, "Seed of the drawn split and of the drawn rows.", low=0, high=2**63 - 1)
    shard_rows: int = setting(
        1024,
        "Most rows of one shard. The views of a model stay together if they fit. "
        "A killed packing loses the shard that it was writing.",
        low=1,
    )
    shard_mib: int = setting(
        1024, "Most MiB of one shard; it is held in memory until it is written.", low=1
    )
