"""Builders of household things: lamps, mugs, bottles, guitars, laptops, clocks.

Each takes a random generator and the number of the model, which chooses the kind. Metres, +Y up,
front -Z.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from . import palette as materials
from . import textures
from .palette import Material, Part, Rng, between, chance, rgb
from .primitives import (
    Mesh,
    bar,
    box,
    extrude,
    fit_uv,
    join,
    lathe,
    loft,
    rounded_rectangle,
    sphere,
    spline,
    tube,
)

__all__ = ["bottle", "clock", "guitar", "lamp", "laptop", "mug"]

TO_FRONT = -90.0  # about x: what was built lying, its top up, then looks to the front


def shade(top: float, bottom: float, height: float, segments: int = 40) -> Mesh:
    """Return a lampshade: an open sheet between two rims, its lower one at the origin."""
    return lathe([[bottom, 0], [top, height]], segments)


def lamp(rng: Rng, number: int) -> list[Part]:
    """Table lamp, floor lamp, desk lamp with an arm, hanging lamp, tripod, arc."""
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
    """Return a desk lamp of two arms with a joint and a conical head."""
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


def mug(rng: Rng, number: int) -> list[Part]:
    """Straight, belly, cone, tall travel mug with a lid, and a cup on its saucer; five handles."""
    kind = ("straight", "belly", "cone", "travel", "cup")[number % 5]
    h = {"straight": 0.1, "belly": 0.1, "cone": 0.11, "travel": 0.17, "cup": 0.06}[kind] * between(
        rng, 0.92, 1.1
    )
    r = between(rng, 0.038, 0.045)
    control = {
        "straight": [[r, 0.003], [r, h * 0.5], [r, h]],
        "belly": [[r * 0.75, 0.003], [r * 1.12, h * 0.4], [r * 0.92, h * 0.8], [r * 1.02, h]],
        "cone": [[r * 0.7, 0.003], [r * 0.88, h * 0.5], [r * 1.08, h]],
        "travel": [[r * 0.78, 0.003], [r * 0.82, h * 0.45], [r * 1.02, h * 0.6], [r * 1.04, h]],
        "cup": [[r * 0.55, 0.003], [r * 0.95, h * 0.35], [r * 1.18, h]],
    }[kind]
    outside = spline(control, 18)
    wall, floor = 0.0035, 0.006
    inside = (outside - [wall, 0])[::-1]
    inside[:, 1] = np.maximum(inside[:, 1], floor)
    inside = inside[: int((inside[:, 1] > floor).sum()) + 1]
    lip = [[outside[-1, 0] - wall / 2, h + 0.0015]]
    shell = lathe(
        [[0, 0], [control[0][0] - 0.004, 0], *outside, *lip, *inside, [0, floor]],
        48,
        by_height=True,
    )
    printed = chance(rng, 0.65) and kind != "cup"
    glaze = materials.label(rng) if printed else materials.plastic(rng)
    if printed:
        shell = shell.with_uv(1, shift=(0.25, 0))  # a word in the middle of the front
    if not printed and chance(rng, 0.5):
        colours = [materials.draw(rng, materials.PLASTICS) for _ in range(3)]
        glaze, shell = (
            Material(colours[0], texture=textures.stripes(rng, colours)),
            shell.with_uv(2, 1),
        )
    parts = [Part("body", shell, glaze)]
    side = between(rng, 0.75, 1.0) if kind == "cup" else 1.0
    parts.append(
        Part(
            "handle",
            mug_handle(rng, outside, h, number).scaled(1, side, 1),
            glaze if not printed and glaze.texture is None else materials.plastic(rng),
        )
    )
    if kind == "travel":
        lid = lathe(
            [
                [0, h - 0.01],
                [r * 1.0, h - 0.01],
                [r * 1.09, h - 0.004],
                [r * 1.09, h + 0.008],
                [r * 0.9, h + 0.014],
                [0, h + 0.014],
            ],
            40,
        )
        parts.append(Part("lid", lid, materials.plastic(rng)))
    elif kind == "cup":
        dish = lathe(
            [
                [0, -0.006],
                [r * 0.9, -0.006],
                [r * 1.9, 0.004],
                [r * 1.92, 0.006],
                [r * 0.9, -0.002],
                [r * 0.7, 0.001],
                [0, 0.001],
            ],
            48,
        )
        parts.append(
            Part("saucer", dish, parts[0].material if not printed else materials.plastic(rng))
        )
    elif chance(rng, 0.5):
        level = h * between(rng, 0.7, 0.85)
        radius = float(np.interp(level, outside[:, 1], outside[:, 0])) - wall / 2
        coffee = lathe(
            [[0, level - 0.003], [radius, level - 0.003], [radius, level], [0, level]], 40
        )
        parts.append(Part("coffee", coffee, materials.plain("2a1509", 0.5)))
    return parts


def mug_handle(
    rng: Rng, outside: np.ndarray[tuple[int, ...], np.dtype[np.float64]], h: float, number: int
) -> Mesh:
    """Return a handle on the right, its ends inside the wall: round, ear, square, or a plain loop."""
    reach, low, high = (
        between(rng, 0.024, 0.034),
        h * between(rng, 0.14, 0.25),
        h * between(rng, 0.74, 0.86),
    )
    at_low, at_high = (
        float(np.interp(y, outside[:, 1], outside[:, 0])) - 0.002 for y in (low, high)
    )
    kind = ("round", "ear", "square")[number % 3]
    middle = {
        "round": [
            [at_high + reach * 0.7, high],
            [max(at_low, at_high) + reach, (low + high) / 2],
            [at_low + reach * 0.7, low],
        ],
        "ear": [
            [at_high + reach * 0.8, high + 0.008],
            [at_high + reach * 1.1, high * 0.75],
            [at_low + reach * 0.5, low * 1.3],
        ],
        "square": [
            [at_high + reach * 0.5, high],
            [at_high + reach * 0.9, high * 0.97],
            [at_high + reach, high * 0.85],
            [at_low + reach, low + high * 0.15],
            [at_low + reach * 0.9, low + high * 0.03],
            [at_low + reach * 0.5, low],
        ],
    }[kind]
    path = spline([[at_high, high], *middle, [at_low, low]], 40)
    handle = tube(np.c_[path, np.zeros(len(path))], between(rng, 0.0045, 0.006), 12).scaled(
        1, 1, 1.3
    )
    return handle.turned("y", 180 if chance(rng, 0.5) else 205)


def bottle(rng: Rng, number: int) -> list[Part]:
    """Wine, beer, square spirits, water of plastic, squat flask with a stopper, sprayer."""
    kind = ("wine", "water", "flask", "beer", "square", "sauce")[number % 6]
    if kind == "square":
        return square_bottle(rng)
    h, r = {
        "wine": (0.3, 0.038),
        "water": (0.24, 0.034),
        "flask": (0.18, 0.06),
        "beer": (0.23, 0.031),
        "sauce": (0.2, 0.03),
    }[kind]
    h, r = h * between(rng, 0.92, 1.08), r * between(rng, 0.92, 1.1)
    control = {
        "wine": [
            [r, 0.01],
            [r, h * 0.55],
            [r * 0.97, h * 0.62],
            [r * 0.42, h * 0.74],
            [r * 0.38, h * 0.95],
        ],
        "beer": [
            [r, 0.008],
            [r, h * 0.5],
            [r * 0.9, h * 0.6],
            [r * 0.48, h * 0.8],
            [r * 0.42, h * 0.96],
        ],
        "water": [
            [r, 0.008],
            [r * 0.94, h * 0.12],
            [r, h * 0.2],
            [r, h * 0.6],
            [r * 0.95, h * 0.72],
            [r * 0.42, h * 0.9],
            [r * 0.4, h * 0.95],
        ],
        "flask": [
            [r * 0.7, 0.004],
            [r, h * 0.22],
            [r * 0.85, h * 0.48],
            [r * 0.3, h * 0.64],
            [r * 0.27, h * 0.9],
        ],
        "sauce": [
            [r, 0.006],
            [r * 0.86, h * 0.35],
            [r, h * 0.62],
            [r * 0.55, h * 0.8],
            [r * 0.4, h * 0.86],
        ],
    }[kind]
    outside = spline(control, 40)
    neck = float(outside[-1, 0])
    rim = [
        [neck, outside[-1, 1]],
        [neck * 1.18, outside[-1, 1]],
        [neck * 1.18, outside[-1, 1] + 0.008],
        [0, outside[-1, 1] + 0.008],
    ]
    body = lathe([[0, 0], [control[0][0] - 0.004, 0], *outside[:-1], *rim], 48)
    glass = materials.plastic(rng) if kind == "sauce" else materials.glass(rng)
    parts = [Part("glass", body, glass)]
    low, high = {
        "wine": (0.14, 0.48),
        "beer": (0.15, 0.45),
        "water": (0.24, 0.58),
        "flask": (0.14, 0.34),
        "sauce": (0.16, 0.56),
    }[kind]
    band = outside[(outside[:, 1] > h * low) & (outside[:, 1] < h * high)] + [0.0006, 0]
    wrap = lathe(
        [
            [band[0, 0] - 0.003, band[0, 1]],
            *band,
            [band[-1, 0] - 0.003, band[-1, 1]],
            [band[0, 0] - 0.003, band[0, 1]],
        ],
        48,
        by_height=True,
    )
    parts.append(Part("label", wrap.with_uv(1, shift=(0.25, 0)), materials.label(rng)))
    top = float(outside[-1, 1]) + 0.008
    cap = {
        "wine": [[0, -0.05], [neck * 1.25, -0.05], [neck * 1.25, 0.002], [0, 0.002]],
        "beer": [[0, -0.004], [neck * 1.4, -0.004], [neck * 1.25, 0.004], [0, 0.005]],
        "water": [[0, -0.012], [neck * 1.3, -0.012], [neck * 1.3, 0.008], [0, 0.008]],
        "flask": [
            [0, -0.01],
            [neck * 0.8, -0.01],
            [neck * 0.9, 0.012],
            [neck * 1.6, 0.03],
            [neck, 0.045],
            [0, 0.048],
        ],
        "sauce": [
            [0, -0.012],
            [neck * 1.35, -0.012],
            [neck * 1.25, 0.008],
            [neck * 0.3, 0.045],
            [0, 0.046],
        ],
    }[kind]
    return [*parts, Part("cap", lathe(cap, 32).moved(y=top), materials.plastic(rng))]


def square_bottle(rng: Rng) -> list[Part]:
    """Return a spirits bottle of rounded square section with a label on its front."""
    w, d, h = between(rng, 0.07, 0.095), between(rng, 0.05, 0.07), between(rng, 0.17, 0.22)
    rings = []
    for y, fx in (
        (0, 0.9),
        (0.006, 1),
        (h * 0.66, 1),
        (h * 0.74, 0.86),
        (h * 0.79, 0.4),
        (h * 0.8, 0.28),
        (h, 0.26),
    ):
        wide, deep = w * fx, d * fx if fx > 0.5 else w * fx
        ring = rounded_rectangle(
            wide, deep, min(0.012, 0.48 * deep) if fx > 0.5 else 0.49 * wide, 5
        )
        rings.append(np.c_[ring[:, 0], np.full(len(ring), y), ring[:, 1]])
    paper = fit_uv(box((w * 0.8, h * 0.42, 0.004), (0, h * 0.33, -d / 2 + 0.001), 0))
    cap = lathe(
        [
            [0, h - 0.01],
            [w * 0.17, h - 0.01],
            [w * 0.19, h + 0.025],
            [w * 0.17, h + 0.03],
            [0, h + 0.03],
        ],
        28,
    )
    drawn = materials.label(rng)
    return [
        Part("glass", loft(rings), materials.glass(rng)),
        Part("label", paper.with_uv(0.5, 1), drawn),
        Part("cap", cap, materials.wood(rng)),
    ]


def polar_outline(
    control: Sequence[tuple[float, float]], samples: int = 64
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return a left-right symmetric outline from (degrees from the bottom, radius) of its right side."""
    right = [(a, r) for a, r in control if 0 < a < 180]
    ring = [*control] + [(360 - a, r) for a, r in reversed(right)]
    angle = np.radians([a - 90 for a, _ in ring])
    radius = np.array([r for _, r in ring])
    return spline(np.c_[radius * np.cos(angle), radius * np.sin(angle)], samples, closed=True)


def guitar(rng: Rng, number: int) -> list[Part]:
    """Acoustic, double cut, ukulele, single cut, arrow."""
    kind = ("acoustic", "double", "single", "ukulele", "arrow")[number % 5]
    size = 0.62 if kind == "ukulele" else 1.0
    acoustic = kind in ("acoustic", "ukulele")
    wobble = between(rng, 0.94, 1.06)
    outline = {
        "acoustic": [
            (0, 0.23),
            (35, 0.235),
            (65, 0.2),
            (90, 0.145),
            (118, 0.165),
            (145, 0.225),
            (180, 0.235),
        ],
        "ukulele": [
            (0, 0.23),
            (35, 0.235),
            (65, 0.2),
            (90, 0.15),
            (118, 0.165),
            (145, 0.225),
            (180, 0.235),
        ],
        "double": [
            (0, 0.2),
            (35, 0.215),
            (65, 0.18),
            (90, 0.13),
            (120, 0.17),
            (146, 0.25),
            (158, 0.2),
            (180, 0.13),
        ],
        "single": [
            (0, 0.2),
            (35, 0.21),
            (65, 0.18),
            (90, 0.14),
            (120, 0.16),
            (148, 0.215),
            (180, 0.2),
        ],
        "arrow": [],
    }[kind]
    thick = between(rng, 0.09, 0.11) if acoustic else 0.045
    coat = materials.wood(rng) if acoustic or chance(rng, 0.3) else materials.paint(rng)
    if kind == "arrow":
        wing = np.array([[-0.05, 0.16], [-0.05, 0.0], [0.03, -0.26], [0.12, -0.3], [0.05, 0.16]])
        body = join(
            [
                extrude(wing, thick, 0.01).moved(0.045),
                extrude((wing * [-1, 1])[::-1], thick - 0.004, 0.01).moved(-0.045),
            ]
        )
        top = 0.16
    else:
        shape = polar_outline(outline) * [wobble, 1]
        if kind == "single":
            bite = np.clip((shape[:, 1] - 0.05) / 0.15, 0, 1) * (shape[:, 0] < -0.03)
            shape = shape * np.c_[np.ones(len(shape)), 1 - 0.3 * bite]
        body = extrude(shape, thick, 0.008)
        top = float(shape[:, 1].max()) if acoustic else 0.13
    face = -thick / 2
    hardware, dark = materials.metal(rng), materials.plain("2a1a12")
    parts = [Part("body", body.with_uv(3), coat), *guitar_neck(rng, top, face, dark, hardware)]
    if acoustic:
        hole = [
            lathe([[0, 0], [0.05, 0], [0.05, 0.004], [0, 0.004]], 36),
            lathe(
                [[0.047, -0.002], [0.062, -0.002], [0.062, 0.003], [0.047, 0.003], [0.047, -0.002]],
                36,
            ),
        ]
        placed = [mesh.turned("x", TO_FRONT).moved(0, 0.07, face + 0.0015) for mesh in hole]
        parts += [
            Part("hole", placed[0], materials.plain("120c08")),
            Part("rosette", placed[1], materials.plain("e8d6a8")),
        ]
        parts.append(Part("bridge", box((0.15, 0.03, 0.016), (0, -0.1, face - 0.003)), dark))
    else:
        pickups = [box((0.085, 0.034, 0.016), (0, y, face - 0.003)) for y in (0.055, -0.035)]
        knobs = [
            lathe([[0, 0], [0.014, 0], [0.012, 0.018], [0, 0.018]], 18)
            .turned("x", TO_FRONT)
            .moved(-0.09, y, face + 0.005)
            for y in (-0.06, -0.11)
        ]
        parts.append(Part("pickups", join(pickups), materials.plain("1d1d1f", 0.4)))
        parts.append(
            Part(
                "metal", join([*knobs, box((0.09, 0.02, 0.02), (0, -0.1, face - 0.002))]), hardware
            )
        )
    return [
        Part(part.name, part.mesh.scaled(size, size, size), part.material, part.sheet)
        for part in parts
    ]


def guitar_neck(
    rng: Rng, top: float, face: float, dark: Material, hardware: Material
) -> list[Part]:
    """Return neck, fretboard, frets, head with its pegs, and six strings down to the bridge."""
    nut = top + between(rng, 0.33, 0.38)
    neck = box((0.05, nut - top + 0.12, 0.03), (0, (nut + top) / 2 - 0.06, face + 0.008), 0.012, 3)
    board = box((0.056, nut - top + 0.09, 0.012), (0, (nut + top) / 2 - 0.045, face - 0.011), 0.002)
    head = (
        box((0.075, 0.17, 0.018), (0, 0.085, 0), 0.004)
        .turned("x", 12)
        .moved(0, nut - 0.012, face + 0.004)
    )
    frets = [
        box((0.057, 0.002, 0.004), (0, nut - (nut + 0.1) * (1 - 2 ** (-i / 12)), face - 0.017), 0)
        for i in range(1, 13)
    ]
    pegs = [
        tube(
            [
                [s * 0.025, nut + y, face + 0.01 + 0.2 * y],
                [s * 0.058, nut + y, face + 0.01 + 0.2 * y],
            ],
            0.007,
            10,
        )
        for s in (-1, 1)
        for y in (0.03, 0.075, 0.12)
    ]
    strings = [
        bar([x * 1.25, -0.1, face - 0.018], [x, nut, face - 0.021], 0.0016, sides=3)
        for x in np.linspace(-0.02, 0.02, 6)
    ]
    strings += [
        bar(
            [x, nut, face - 0.021],
            [x * 1.1, nut + 0.05 + abs(x) * 4, face - 0.001],
            0.0016,
            sides=3,
        )
        for x in np.linspace(-0.02, 0.02, 6)
    ]
    light = materials.wood(rng)
    return [
        Part("neck", join([neck, head]), light),
        Part("fretboard", board, dark),
        Part("frets", join([*frets, *pegs]), hardware),
        Part("strings", join(strings), materials.plain("d8d8d0", 0.8)),
    ]


def laptop(rng: Rng, number: int) -> list[Part]:
    """Slim, thick with a number pad, convertible opened flat, small; keys as shapes or as a picture."""
    kind = ("slim", "thick", "flat", "small")[number % 4]
    width, depth = {
        "slim": (0.32, 0.22),
        "thick": (0.37, 0.26),
        "flat": (0.3, 0.21),
        "small": (0.26, 0.18),
    }[kind]
    base, lid = {"slim": 0.013, "thick": 0.026, "flat": 0.012, "small": 0.017}[kind], 0.008
    opening = {
        "slim": between(rng, 100, 118),
        "thick": between(rng, 95, 110),
        "flat": between(rng, 140, 165),
        "small": between(rng, 105, 125),
    }[kind]
    shell = Material(
        materials.draw(rng, "c5c8cc 2f3136 d8cfc4 8fa3b5 e6e6e4 b5838d 4b5a52"),
        specular=0.5,
        shininess=200,
    )
    black = materials.plain("17181a", 0.3)
    body = (
        extrude(rounded_rectangle(width, depth, 0.012), base, 0.002)
        .turned("x", 90)
        .moved(y=base / 2)
    )
    cover = extrude(rounded_rectangle(width, depth, 0.012), lid, 0.002).moved(
        y=depth / 2, z=lid / 2
    )
    bezel = box((width - 0.01, depth - 0.012, 0.002), (0, depth / 2, 0), 0.0005)
    pane = box((width - 0.03, depth - 0.042, 0.002), (0, depth / 2 + 0.006, -0.0012), 0)
    tilt, hinge = opening - 90, (0, base + 0.004, depth / 2 - 0.004)
    display = textures.screen(
        rng, rgb("1d2b45"), rgb("f2f2ee"), materials.draw(rng, materials.PAINTS)
    )
    parts = [
        Part("base", body, shell),
        Part("lid", cover.turned("x", tilt).moved(*hinge), shell),
        Part("bezel", bezel.turned("x", tilt).moved(*hinge), black),
        Part(
            "screen",
            fit_uv(pane).turned("x", tilt).moved(*hinge),
            Material((0.1, 0.2, 0.3), specular=0.4, texture=display),
        ),
        Part(
            "hinge",
            tube(
                [[-width * 0.38, base, depth / 2 - 0.002], [width * 0.38, base, depth / 2 - 0.002]],
                0.006,
                12,
            ),
            black,
        ),
        Part(
            "touchpad",
            box((width * 0.34, 0.002, depth * 0.3), (0, base, -depth * 0.28), 0),
            materials.plain("9a9ca0", 0.3),
        ),
    ]
    key_width, key_depth = width * 0.86, depth * 0.4
    if chance(rng, 0.5):
        pitch_x, pitch_z = key_width / 14, key_depth / 5
        keys = [
            box(
                (pitch_x - 0.003, 0.005, pitch_z - 0.003),
                ((c - 6.5) * pitch_x, base + 0.0012, (r - 2) * pitch_z + depth * 0.17),
                0.0008,
            )
            for c in range(14)
            for r in range(5)
        ]
        return [*parts, Part("keys", join(keys), black)]
    picture = textures.keyboard(shell.colour, (0.1, 0.1, 0.11))
    plate = fit_uv(box((key_width, 0.002, key_depth), (0, base, depth * 0.17), 0))
    return [*parts, Part("keys", plate, Material((0.2, 0.2, 0.2), texture=picture))]


def clock(rng: Rng, number: int) -> list[Part]:
    """Wall clock, alarm clock with bells, mantel clock, grandfather clock, square wall clock, sunburst."""
    kind = ("alarm", "wall", "grandfather", "mantel", "sunburst", "square")[number % 6]
    paper = rgb("f7f3e8") if chance(rng, 0.7) else rgb("22282f")
    ink = rgb("1c1c1e") if sum(paper) > 1.5 else rgb("efe7d2")
    face = Material(
        paper, texture=textures.dial(rng, paper, ink, materials.draw(rng, "c0392b 1f5fa8 c98a1b"))
    )
    hands = Material(ink, specular=0.3)
    coat = materials.paint(rng) if kind in ("alarm", "wall") else materials.wood(rng)
    r = {
        "alarm": 0.06,
        "wall": 0.15,
        "grandfather": 0.15,
        "mantel": 0.07,
        "sunburst": 0.1,
        "square": 0.13,
    }[kind]
    steel, hour = materials.metal(rng), between(rng, 0, 12)
    if kind in ("alarm", "wall", "sunburst"):
        depth = {"alarm": 0.055, "wall": 0.045, "sunburst": 0.04}[kind]
        rim = [
            [0, 0],
            [r * 1.02, 0],
            [r * 1.1, 0.01],
            [r * 1.1, depth],
            [r * 1.04, depth + 0.006],
            [r * 0.99, depth],
            [r * 0.985, depth - 0.008],
            [0, depth - 0.008],
        ]
        case = lathe(rim, 56).turned("x", TO_FRONT)
        parts = [Part("case", case, coat), *clock_face(face, hands, r, -depth + 0.004, hour, 0)]
        if kind == "alarm":
            parts += bells(r, steel)
        if kind == "sunburst":
            rays = [
                bar(
                    [0, r * 0.9, -0.012], [0, r * (2.6 if i % 2 else 1.9), -0.012], 0.018, 0.005
                ).turned("z", i * 15)
                for i in range(24)
            ]
            parts.append(
                Part("rays", join(rays), materials.wood(rng) if chance(rng, 0.5) else steel)
            )
        return parts
    if kind == "grandfather":
        return grandfather(rng, coat, [*clock_face(face, hands, r, -0.155, hour, 1.75)], steel)
    if kind == "mantel":
        angles = np.linspace(0, math.pi, 21)
        arch = np.c_[1.25 * r * np.cos(angles), 1.25 * r * np.sin(angles)]
        outline = np.concatenate([[[1.25 * r, -0.09]], arch, [[-1.25 * r, -0.09]]])
        body = [extrude(outline, 0.07, 0.006), box((3.6 * r, 0.025, 0.1), (0, -0.095, 0), 0.006)]
        body += [box((0.5 * r, 0.08, 0.06), (s * 1.4 * r, -0.055, 0), 0.006) for s in (-1, 1)]
        return [Part("body", join(body), coat), *clock_face(face, hands, r, -0.0375, hour, 0)]
    plate = [box((2.5 * r, 2.5 * r, 0.04), (0, 0, 0), 0.012, 3)]
    return [Part("plate", join(plate), coat), *clock_face(face, hands, r, -0.0225, hour, 0)]


def clock_face(
    face: Material, hands: Material, r: float, z: float, hour: float, y: float
) -> list[Part]:
    """Return dial whose front lies at `z` - 0.002, hands and their pin; seen from the front they turn to the right."""
    disc = (
        lathe([[0, 0], [r, 0], [r, 0.008], [0, 0.008]], 56)
        .turned("x", TO_FRONT)
        .moved(0, 0, z + 0.006)
    )
    x, v = disc.vertices[disc.corners, 0], disc.vertices[disc.corners, 1]
    uvs = np.stack(
        [0.5 - x / (2 * r), 0.5 + v / (2 * r)], axis=-1
    )  # seen from the front, -X is on the right
    disc = Mesh(disc.vertices, disc.sizes, disc.corners, uvs).moved(y=y)
    minute = (hour % 1) * 360
    pointers = [
        bar([0, -0.12 * r, z - 0.004], [0, 0.52 * r, z - 0.004], 0.075 * r, 0.03 * r).turned(
            "z", hour * 30
        ),
        bar([0, -0.15 * r, z - 0.0075], [0, 0.78 * r, z - 0.0075], 0.05 * r, 0.02 * r).turned(
            "z", minute
        ),
        lathe([[0, 0], [0.05 * r, 0], [0.05 * r, 0.014], [0, 0.014]], 16)
        .turned("x", TO_FRONT)
        .moved(0, 0, z),
    ]
    return [Part("dial", disc, face), Part("hands", join(pointers).moved(y=y), hands)]


def bells(r: float, steel: Material) -> list[Part]:
    """Return an alarm clock's two bells, hammer and feet."""
    angles = np.linspace(0, math.pi / 2, 9)
    cup = np.c_[0.45 * r * np.cos(angles), 0.45 * r * np.sin(angles)]
    cup[-1, 0] = 0
    meshes = []
    for s in (-1, 1):
        bell = lathe([[0, 0], *cup], 28).moved(y=1.18 * r).turned("z", -s * 32)
        stem = bar([0, 0.9 * r, 0], [0, 1.3 * r, 0], 0.008, sides=8).turned("z", -s * 32)
        foot = bar([0, -0.9 * r, 0], [0, -1.5 * r, 0], 0.016, 0.01, 10).turned("z", s * 30)
        meshes += [mesh.moved(z=-0.028) for mesh in (bell, stem, foot)]
    loop = spline(
        [
            [-0.3 * r, 1.0 * r, -0.028],
            [-0.3 * r, 1.75 * r, -0.028],
            [0.3 * r, 1.75 * r, -0.028],
            [0.3 * r, 1.0 * r, -0.028],
        ],
        28,
    )
    return [Part("bells", join([*meshes, tube(loop, 0.003, 8)]), steel)]


def grandfather(rng: Rng, coat: Material, face: list[Part], steel: Material) -> list[Part]:
    """Return a tall case with a door of glass, in which a pendulum hangs."""
    body = [
        box((0.5, 0.28, 0.32), (0, 0.14, 0), 0.012),
        box((0.38, 1.2, 0.24), (0, 0.86, 0.02), 0.006),
        box((0.48, 0.5, 0.3), (0, 1.73, 0), 0.01),
        box((0.56, 0.06, 0.36), (0, 2.0, 0), 0.02, 3),
    ]
    frame = [box((0.03, 1.06, 0.04), (s * 0.13, 0.87, -0.1)) for s in (-1, 1)] + [
        box((0.28, 0.03, 0.036), (0, y, -0.1)) for y in (0.35, 1.39)
    ]
    bob = (
        lathe([[0, 0], [0.06, 0], [0.05, 0.012], [0, 0.016]], 32)
        .turned("x", TO_FRONT)
        .moved(0, 0.62, -0.106)
    )
    rod = box((0.012, 0.72, 0.008), (0, 0.98, -0.11))
    pane = box((0.24, 1.04, 0.012), (0, 0.87, -0.101), 0)
    return [
        Part("case", join(body + frame), coat),
        Part("pane", pane, materials.dark_glass()),
        Part("pendulum", join([bob, rod]), steel),
        *face,
    ]
