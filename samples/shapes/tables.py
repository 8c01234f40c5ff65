"""Tables and desks.

Each builder takes a random generator and the number of the model. The number chooses the kind, so
that a few models already show the breadth of a category; the generator draws everything else.
Metres, +Y up, front -Z.
"""

from __future__ import annotations

import numpy as np

from .. import palette as materials
from ..palette import Material, Part, Rng, between, chance
from ..primitives import Mesh, bar, box, ellipse, extrude, join, rounded_rectangle
from .legs import corner_legs, pedestal

__all__ = ["table"]


def table(rng: Rng, number: int) -> list[Part]:
    """Build a dining, round, glass, trestle or oval table, or a desk."""
    kind = ("dining", "round", "desk", "glass", "trestle", "oval")[number % 6]
    height, thick = between(rng, 0.7, 0.76), between(rng, 0.025, 0.05)
    width, depth = between(rng, 1.2, 2.0), between(rng, 0.7, 0.95)
    top, frame = (
        (materials.wood(rng) if chance(rng, 0.7) else materials.stone(rng)),
        materials.wood(rng),
    )
    if kind == "round":
        radius = between(rng, 0.4, 0.65)
        plate = (
            extrude(ellipse(2 * radius, 2 * radius, 48), thick, 0.008)
            .turned("x", 90)
            .moved(y=height)
        )
        return [
            Part("top", plate, top),
            Part("foot", pedestal(radius * 0.6, height - thick * 0.4, 0.05), frame),
        ]
    if kind == "oval":
        plate = extrude(ellipse(width, depth, 48), thick, 0.01).turned("x", 90).moved(y=height)
        legs = corner_legs(width * 0.55, depth * 0.55, height - thick * 0.3, 0.06, 0.03, 0.1, 12)
        return [Part("top", plate, top), Part("legs", legs, frame)]
    if kind == "glass":
        height = between(rng, 0.36, 0.45)
        plate = (
            extrude(rounded_rectangle(width * 0.7, depth * 0.9, 0.06), 0.014, 0.003)
            .turned("x", 90)
            .moved(y=height)
        )
        legs = corner_legs(width * 0.66, depth * 0.84, height - 0.002, 0.04, 0.04, 0, 4)
        shelf = box((width * 0.66 - 0.07, 0.02, depth * 0.84 - 0.07), (0, height * 0.35, 0))
        return [
            Part("top", plate, materials.glass(rng)),
            Part("legs", legs, materials.metal(rng)),
            Part("shelf", shelf, frame),
        ]
    parts = [Part("top", box((width, thick, depth), (0, height - thick / 2, 0), 0.008, 2), top)]
    if kind == "trestle":
        parts.append(Part("trestles", trestles(width, depth, height - thick * 0.6), frame))
    elif kind == "desk":
        parts += desk_parts(rng, width, depth, height - thick + 0.006, frame)
    else:
        # A dining table has four legs and an apron under the top.
        foot = between(rng, 0.035, 0.075)
        parts.append(
            Part(
                "legs",
                corner_legs(width - 0.03, depth - 0.03, height - thick * 0.5, 0.075, foot, 0, 4),
                frame,
            )
        )
        apron = [
            box((width - 0.17, 0.09, 0.022), (0, height - thick - 0.03, s * (depth / 2 - 0.09)))
            for s in (-1, 1)
        ]
        apron += [
            box((0.022, 0.09, depth - 0.17), (s * (width / 2 - 0.09), height - thick - 0.03, 0))
            for s in (-1, 1)
        ]
        parts.append(Part("apron", join(apron), frame))
    return parts


def trestles(width: float, depth: float, top: float) -> Mesh:
    """Return crossed legs at both ends and a beam between them."""
    parts = []
    for x in (-width * 0.36, width * 0.36):
        for shift, s in ((-0.02, -1), (0.02, 1)):
            parts.append(
                bar([x + shift, 0, -s * depth * 0.4], [x + shift, top, s * depth * 0.36], 0.05)
            )
    parts.append(box((width * 0.72 + 0.12, 0.05, 0.05), (0, top * 0.5, 0)))
    return join(parts)


def desk_parts(rng: Rng, width: float, depth: float, top: float, frame: Material) -> list[Part]:
    """Return a desk's drawers, side panel and modesty panel."""
    # The drawers are on the left or on the right.
    side, front = (-1 if chance(rng, 0.5) else 1), -depth / 2 + 0.05
    x, w = side * (width / 2 - 0.23), 0.4
    body = [
        box((w, top - 0.02, depth - 0.08), (x, (top + 0.02) / 2, 0.01)),
        box((0.04, top + 0.01, depth - 0.1), (-side * (width / 2 - 0.05), (top + 0.01) / 2, 0)),
        box((width - 0.4, top * 0.5, 0.02), (-side * 0.1, top * 0.7, depth / 2 - 0.09)),
    ]
    # Three drawers, one above the other.
    fronts, knobs = [], []
    for y in np.array([0.2, 0.5, 0.8]) * (top - 0.02) + 0.02:
        fronts.append(box((w - 0.04, top * 0.27, 0.03), (x, float(y), front - 0.01)))
        knobs.append(box((0.12, 0.012, 0.03), (x, float(y) + 0.03, front - 0.035)))
    return [
        Part("body", join(body), frame),
        Part("drawers", join(fronts), materials.wood(rng)),
        Part("handles", join(knobs), materials.metal(rng)),
    ]
