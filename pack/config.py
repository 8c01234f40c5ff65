"""Settings of packing: everything that decides what the shards hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..config import setting

__all__ = ["PackConfig"]


@dataclass(frozen=True)
class PackConfig:
    """What shards are made with. The same renders and settings give the same rows."""

    points: int = setting(2048, "Points of each row, by farthest point sampling.", low=1, high=1_000_000)
    keep: Literal["best", "all"] = setting("best", "Views of a model to keep: the one with the most points, or all.")
    shard_rows: int = setting(
        1024,
        "Most rows of one shard, of whole models: more only where one model alone has more. A killed packing loses "
        "the shard it was at.",
        low=1,
    )
