"""Augmentation of a shape: other points of it, another scale, another place.

Every draw follows from a sample's seed (see `noise`), so a resumed run repeats it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...noise import uniform
from ..config import TrainConfig

__all__ = ["augment", "choose_points"]

_POINTS, _SCALE, _SHIFT = 32, 33, 34  # streams


def choose_points(seeds: Tensor, spare: int, points: int) -> Tensor:
    """Choose some of each shape's points at random, in their order.

    Farthest point order of a random subset stays nearly that: each chosen point is among the next
    few farthest.

    Parameters
    ----------
    seeds : (B,) int64
    spare : how many there are

    Returns
    -------
    index : (B, points) int64, ascending
    """
    # a shape with no point to spare is taken whole
    if spare <= points:
        return torch.arange(spare, device=seeds.device).expand(len(seeds), -1)
    # the places of the smallest random numbers are a random subset: (B, points)
    chosen = uniform(seeds, _POINTS, spare).argsort(dim=1)[:, :points]
    return chosen.sort(dim=1).values


def augment(points: Tensor, seeds: Tensor, config: TrainConfig, *, alike: bool = False) -> Tensor:
    """Scale and shift shapes.

    Parameters
    ----------
    points : (B, P, 3) float32
    seeds : (B,) int64
    config : scale_low, scale_high and shift
    alike : scale all axes by one factor; else each by its own

    Returns
    -------
    points : (B, P, 3) float32
    """
    # one factor for each axis, or one for all: (B, 3) or (B, 1)
    scale = (
        uniform(seeds, _SCALE, 1 if alike else 3) * (config.scale_high - config.scale_low)
        + config.scale_low
    )
    # (B, 3), within plus or minus the largest shift
    shift = (uniform(seeds, _SHIFT, 3) * 2 - 1) * config.shift
    # the same for all points of a shape: (B, P, 3)
    return points * scale[:, None] + shift[:, None]
