"""Mugs and bottles.

Each builder takes a random generator and the number of the model. The number chooses the kind, so
that a few models already show the breadth of a category; the generator draws everything else.
Metres, +Y up, front -Z.
"""

from __future__ import annotations

import numpy as np

from .. import palette as materials
from .. import textures
from ..palette import Material, Part, Rng, between, chance
from ..primitives import Mesh, box, fit_uv, lathe, loft, rounded_rectangle, spline, tube

__all__ = ["bottle", "mug"]


def mug(rng: Rng, number: int) -> list[Part]:
    """Build a straight, bellied, conical or travel mug, or a cup.

    Five handles.
    """
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
    # The inside is the outside moved in by the wall, from the rim down to the floor.
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
        # a word in the middle of the front
        shell = shell.with_uv(1, shift=(0.25, 0))
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
    """Return a handle on the right, its ends inside the wall."""
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
    """Build a wine, beer, spirits, water or spray bottle, or a flask."""
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
    # The label follows the wall, 0.6 mm outside of it.
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
    """Return a spirits bottle of rounded square section with a label."""
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
