"""Lamps for tables, floors and ceilings.

Each builder takes a random generator and the number of the model. The number chooses the kind, so
that a few models already show the breadth of a category; the generator draws everything else.
Metres, +Y up, front -Z.
"""

from __future__ import annotations

import math

import numpy as np

from .. import palette as materials
from .. import textures
from ..palette import Material, Part, Rng, between, chance, rgb
from ..primitives import Mesh, bar, box, join, lathe, sphere, spline, tube

__all__ = ["lamp"]


def shade(top: float, bottom: float, height: float, segments: int = 40) -> Mesh:
    """Return a lampshade: an open sheet, lower rim at the origin."""
    return lathe([[bottom, 0], [top, height]], segments)


def lamp(rng: Rng, number: int) -> list[Part]:
    """Build a table, floor, desk, hanging, tripod or arc lamp."""
    kind = ("table", "floor", "arm", "hanging", "tripod", "arc")[number % 6]
    cloth = materials.cloth(rng) if chance(rng, 0.6) else materials.plain("efe3c8")
    steel, bulb = materials.metal(rng), materials.plain("fff2c9")
    if kind == "arm":
        return desk_lamp(rng, materials.paint(rng), steel, bulb)
    if kind == "hanging":
        return hanging_lamp(rng, steel, bulb)
    if kind == "arc":
        return arc_lamp(rng, steel, bulb)
    if kind == "table":
        r, h = between(rng, 0.08, 0.12), between(rng, 0.25, 0.38)
        steps = int(rng.integers(4, 7))
        belly = np.c_[r * rng.uniform(0.35, 1.0, steps), np.linspace(0.04, h, steps)]
        profile = spline([[r, 0.03], *belly, [0.02, h + 0.03]], 36)
        body = lathe(
            [[0, 0], [r * 0.95, 0], [r, 0.012], *profile, [0.012, h + 0.16], [0, h + 0.16]], 36
        )
        stand = [
            Part("body", body, materials.paint(rng) if chance(rng, 0.6) else materials.stone(rng))
        ]
        top, width = h + 0.05, between(rng, 0.15, 0.2)
    else:
        h, width = between(rng, 1.3, 1.55), between(rng, 0.18, 0.26)
        top = h - 0.05
        if kind == "tripod":
            legs = [
                bar(
                    [0.36 * math.sin(a), 0, 0.36 * math.cos(a)],
                    [0.02 * math.sin(a), h - 0.12, 0.02 * math.cos(a)],
                    0.026,
                    0.034,
                    10,
                )
                for a in (0.5, 2.6, 4.7)
            ]
            hub = lathe(
                [
                    [0, h - 0.16],
                    [0.05, h - 0.16],
                    [0.05, h - 0.09],
                    [0.012, h - 0.08],
                    [0.012, h + 0.1],
                    [0, h + 0.1],
                ],
                20,
            )
            stand = [Part("legs", join(legs), materials.wood(rng)), Part("hub", hub, steel)]
        else:
            pole = lathe(
                [
                    [0, 0],
                    [0.15, 0],
                    [0.15, 0.02],
                    [0.03, 0.04],
                    [0.014, 0.08],
                    [0.014, h + 0.1],
                    [0, h + 0.1],
                ],
                28,
            )
            stand = [Part("pole", pole, steel)]
    tall = between(rng, 0.18, 0.26)
    lit = sphere(0.035, 20).scaled(1, 1.3, 1).moved(y=top + 0.12)
    skin = shade(width * between(rng, 0.5, 0.95), width, tall).with_uv(2, 0.5).moved(y=top)
    return [*stand, Part("shade", skin, cloth, sheet=True), Part("bulb", lit, bulb)]


def desk_lamp(rng: Rng, coat: Material, steel: Material, bulb: Material) -> list[Part]:
    """Return a desk lamp with two jointed arms and a conical head."""
    base = lathe(
        [[0, 0], [0.1, 0], [0.1, 0.012], [0.085, 0.025], [0.02, 0.03], [0.015, 0.07], [0, 0.07]], 32
    )
    elbow = np.array([0.0, between(rng, 0.3, 0.4), between(rng, 0.1, 0.2)])
    head = elbow + np.array([0, between(rng, 0.1, 0.25), -between(rng, 0.32, 0.4)])
    aside = np.array([1.0, 0, 0])
    arms = [
        bar(x * aside + [0, 0.05, 0], elbow + x * aside, 0.011, sides=8) for x in (-0.012, 0.012)
    ]
    arms += [bar(elbow + x * aside, head + x * aside, 0.011, sides=8) for x in (-0.018, 0.018)]
    joint = tube([elbow - 0.03 * aside, elbow + 0.03 * aside], 0.02, 16)
    r, wall = 0.075, 0.003
    outside = [[0, 0.12], [0.022, 0.12], [0.026, 0.06], [r * 0.6, 0.03], [r, -0.06]][::-1]
    inside = [
        [radius - wall if radius else 0, y - wall if y > -0.05 else y]
        for radius, y in outside[::-1]
    ]
    cone = lathe([*outside, *inside, outside[0]], 32)
    lit = sphere(0.028, 16).moved(y=-0.01)
    tilt = between(rng, 10, 35)
    placed = [mesh.turned("x", tilt).moved(*head) for mesh in (cone, lit)]
    return [
        Part("base", base, coat),
        Part("arms", join([*arms, joint]), steel),
        Part("head", placed[0], coat),
        Part("bulb", placed[1], bulb),
    ]


def hanging_lamp(rng: Rng, steel: Material, bulb: Material) -> list[Part]:
    """Return one pendant, or a ring of them under one canopy."""
    drop, count = between(rng, 0.5, 0.9), (1 if chance(rng, 0.5) else int(rng.integers(3, 6)))
    r = between(rng, 0.2, 0.3) if count == 1 else 0.11
    outside = spline([[r, 0], [r * 0.95, r * 0.35], [r * 0.6, r * 0.75], [0.03, r * 0.95]], 20)
    # The inside, 4 mm smaller and read backward, closes the profile.
    inside = (outside - [0.004, 0.004])[::-1]
    dome = lathe(
        [*outside, [0, r * 0.95], [0, r * 0.95 - 0.01], *inside, outside[0]], 40, by_height=True
    )
    lit, canopy = (
        sphere(0.04, 16).moved(y=0.03),
        lathe([[0, -0.03], [0.07, -0.03], [0.08, 0], [0, 0]], 28).moved(y=drop + r),
    )
    spread = 0.0 if count == 1 else 0.25
    domes, bulbs, cords = [], [], [canopy]
    for i in range(count):
        x, z = (
            spread * math.sin(2 * math.pi * i / count),
            spread * math.cos(2 * math.pi * i / count),
        )
        y = 0.0 if count == 1 else 0.07 * (i % 3)
        domes.append(dome.moved(x, y, z))
        bulbs.append(lit.moved(x, y, z))
        cords.append(bar([x, y + r * 0.92, z], [x * 0.2, drop + r - 0.02, z * 0.2], 0.008, sides=8))
    coat = (
        materials.paint(rng)
        if chance(rng, 0.6)
        else Material(rgb("d9c9a0"), texture=textures.weave(rng, rgb("d9c9a0"), rgb("b08d57")))
    )
    return [
        Part("domes", join(domes).with_uv(8, 3), coat),
        Part("cords", join(cords), steel),
        Part("bulbs", join(bulbs), bulb),
    ]


def arc_lamp(rng: Rng, steel: Material, bulb: Material) -> list[Part]:
    """Return a lamp on a long bow over a block of marble."""
    reach, high = between(rng, 0.8, 1.1), between(rng, 1.6, 1.9)
    bow = spline(
        [
            [0, 0.05, 0.3],
            [0, high * 0.6, 0.3],
            [0, high, -0.05],
            [0, high * 0.93, 0.3 - reach],
            [0, high * 0.8, 0.25 - reach],
        ],
        48,
    )
    r = between(rng, 0.13, 0.18)
    angles = np.linspace(0, math.pi / 2, 14)
    outside = np.c_[r * np.cos(angles), r * np.sin(angles)]
    outside[-1, 0] = 0
    dome = lathe([*outside, *(outside[::-1] * 0.96), outside[0]], 36).moved(
        0, high * 0.8 - r * 0.9, 0.25 - reach
    )
    lit = sphere(0.05, 18).moved(0, high * 0.8 - r * 0.7, 0.25 - reach)
    block = box((0.28, 0.12, 0.28), (0, 0.06, 0.3), 0.012, 2)
    return [
        Part("bow", tube(bow, 0.013, 10), steel),
        Part("dome", dome, steel if chance(rng, 0.5) else materials.paint(rng)),
        Part("bulb", lit, bulb),
        Part("block", block, materials.stone(rng)),
    ]
