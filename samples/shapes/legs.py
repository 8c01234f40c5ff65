"""Legs and feet of furniture: metres, +Y up, front -Z."""

from __future__ import annotations

import itertools

from ..primitives import Mesh, bar, join, lathe

__all__ = ["corner_legs", "pedestal"]


def corner_legs(
    width: float, depth: float, top: float, thick: float, foot: float, splay: float, sides: int
) -> Mesh:
    """Return four legs to the corners of a seat or top.

    They go from `top` down to the floor.
    """
    legs = []
    for sx, sz in itertools.product((-1, 1), repeat=2):
        x, z = sx * (width / 2 - thick), sz * (depth / 2 - thick)
        legs.append(bar([x + sx * splay, 0, z + sz * splay], [x, top, z], foot, thick, sides))
    return join(legs)


def pedestal(radius: float, top: float, post: float) -> Mesh:
    """Return a turned foot with a post, up to `top`."""
    profile = [
        [0, 0],
        [radius, 0],
        [radius, 0.02],
        [radius * 0.55, 0.045],
        [post, 0.1],
        [post * 0.8, top * 0.6],
    ]
    return lathe([*profile, [post, top - 0.05], [post * 2.2, top], [0, top]], 28)
