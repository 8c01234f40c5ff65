"""Beds and bunk beds.

Each builder takes a random generator and the number of the model. The number chooses the kind, so
that a few models already show the breadth of a category; the generator draws everything else.
Metres, +Y up, front -Z.
"""

from __future__ import annotations

import itertools

import numpy as np

from .. import palette as materials
from ..palette import Part, Rng, between, chance
from ..primitives import Mesh, bar, box, join, spline, tube
from .legs import corner_legs

__all__ = ["bed"]


def bed(rng: Rng, number: int) -> list[Part]:
    """Build a bed: panel, canopy posts, bars, upholstered, or bunk."""
    kind = ("panel", "upholstered", "poster", "bars", "bunk")[number % 5]
    width, length = (
        (between(rng, 1.35, 1.85), between(rng, 1.95, 2.1)) if kind != "bunk" else (0.95, 2.0)
    )
    frame = (
        materials.metal(rng)
        if kind == "bars"
        else materials.cloth(rng)
        if kind == "upholstered"
        else materials.wood(rng)
    )
    levels = [0.0, 1.05] if kind == "bunk" else [0.0]
    parts = []
    for level, floor in enumerate(levels):
        parts += bedding(rng, width, length, floor, f"_{level}", two=width > 1.2)
    rails, head = [], length / 2 + 0.02
    for floor in levels:
        rails.append(box((width + 0.07, 0.18, length + 0.05), (0, floor + 0.24, 0), 0.02, 2))
    post, tall = (0.07, 2.0 if kind == "poster" else 1.75 if kind == "bunk" else 0.55)
    if kind in ("poster", "bunk"):
        for sx, sz in itertools.product((-1, 1), repeat=2):
            rails.append(
                bar(
                    [sx * (width / 2 + 0.035), 0, sz * head],
                    [sx * (width / 2 + 0.035), tall, sz * head],
                    post,
                )
            )
        for s in (-1, 1):
            if kind == "poster":
                rails.append(box((0.05, 0.05, length), (s * (width / 2 + 0.035), tall - 0.03, 0)))
            rails.append(box((width, 0.05, 0.04), (0, tall - 0.03, s * head)))
            rails.append(
                box(
                    (width, 0.3, 0.03),
                    (
                        0,
                        (1.45 if kind == "bunk" else 0.75),
                        s * head if s > 0 or kind == "bunk" else head + 0.005,
                    ),
                )
            )
    else:
        rails.append(corner_legs(width, length, 0.2, 0.08, 0.06, 0, 4))
        rails += headboard(rng, kind, width, head)
    if kind == "bunk":
        rails += ladder(-width / 2 - 0.09, length)
    return [Part("frame", join(rails), frame), *parts]


def bedding(
    rng: Rng, width: float, length: float, floor: float, tail: str, *, two: bool
) -> list[Part]:
    """Return a mattress, a blanket, and pillows at the rear end."""
    mattress = box((width, 0.22, length), (0, floor + 0.42, 0), 0.06, 4)
    blanket = box(
        (width + 0.05, 0.2, length * 0.66), (0, floor + 0.455, -length * 0.17 - 0.02), 0.06, 4
    )
    fold = box((width + 0.06, 0.06, 0.3), (0, floor + 0.555, length * 0.12), 0.029, 4)
    places = (-width / 4, width / 4) if two else (0.0,)
    pillows = [
        box((min(0.68, width * 0.46 if two else 0.6), 0.15, 0.42), (x, 0, 0), 0.07, 5)
        .turned("x", -14)
        .moved(0, floor + 0.6, length / 2 - 0.28)
        for x in places
    ]
    linen = materials.plain("efece4")
    return [
        Part("mattress" + tail, mattress, linen),
        Part("blanket" + tail, blanket, materials.cloth(rng)),
        Part("fold" + tail, fold, linen),
        Part("pillows" + tail, join(pillows), materials.cloth(rng) if chance(rng, 0.4) else linen),
    ]


def headboard(rng: Rng, kind: str, width: float, z: float) -> list[Mesh]:
    """Return the headboard; with bars, also the lower one at the feet."""
    high = between(rng, 0.95, 1.2)
    if kind == "panel":
        return [
            box((width + 0.12, high - 0.1, 0.06), (0, high / 2, z + 0.016), 0.015, 2),
            box((width + 0.2, 0.05, 0.1), (0, high - 0.05, z + 0.016)),
        ]
    if kind == "upholstered":
        columns = 5
        each = (width + 0.1) / columns
        return [
            box(
                (each + 0.01, high - 0.15, 0.13),
                ((i - 2) * each, high / 2 + 0.05, z + 0.02 + 0.001 * (i % 2)),
                0.05,
                4,
            )
            for i in range(columns)
        ]
    bars = []
    for end, top in ((z, high), (-z, high * 0.65)):
        arch = spline(
            [
                [-width / 2, 0.0, end],
                [-width / 2, top * 0.8, end],
                [-width / 4, top, end],
                [width / 4, top, end],
                [width / 2, top * 0.8, end],
                [width / 2, 0, end],
            ],
            40,
        )
        bars.append(tube(arch, 0.025, 10))
        bars.append(tube([[-width / 2, 0.33, end], [width / 2, 0.33, end]], 0.016, 8))
        bars += [
            tube([[x, 0.325, end], [x, top * 0.97 - 0.02, end]], 0.011, 8)
            for x in np.linspace(-width * 0.3, width * 0.3, 7)
        ]
    return bars


def ladder(x: float, length: float) -> list[Mesh]:
    """Return the ladder of a bunk bed."""
    sides = [bar([x, 0.0, z], [x + 0.02, 1.6, z], 0.04) for z in (-length * 0.28, -length * 0.08)]
    rungs = [
        tube([[x, y, -length * 0.285], [x, y, -length * 0.075]], 0.014, 8)
        for y in (0.3, 0.6, 0.9, 1.2)
    ]
    return sides + rungs
