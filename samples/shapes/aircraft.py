"""Aeroplanes.

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
from ..primitives import (
    FloatArray,
    Mesh,
    bar,
    box,
    box_uv,
    ellipse,
    join,
    lathe,
    loft,
    sphere,
    spline,
)

__all__ = ["airfoil_wing", "airplane"]


def airfoil_wing(
    root: tuple[float, float, float],
    tip: tuple[float, float, float],
    chords: tuple[float, float],
    thick: float = 0.12,
) -> Mesh:
    """Return a wing along a leading edge; its chords go along +Z.

    Parameters
    ----------
    root, tip : metres, the leading edge's ends
    chords : metres, the depth of the wing at root and tip
    thick : thickness over chord
    """
    # The profile: (18, 2) of place along the chord and height, chord 1.
    s = np.linspace(0, 1, 9)
    half = thick / 2 * 2.6 * (np.sqrt(s) - s) + 0.004
    outline = np.concatenate([np.c_[s, half], np.c_[s[::-1], -half[::-1] * 0.6]])
    flat = np.array(tip) - np.array(root)
    upward = np.array([-flat[1], flat[0], 0.0]) / math.hypot(
        flat[0], flat[1]
    )  # thickness across the span
    rings = []
    # Five sections from root to tip.
    for f in np.linspace(0, 1, 5):
        start, chord = np.array(root) + f * flat, chords[0] + f * (chords[1] - chords[0])
        rings.append(
            start + outline[:, :1] * chord * np.array([0, 0, 1.0]) + outline[:, 1:] * chord * upward
        )
    return box_uv(loft(rings), 0.3)


def hull_of_revolution(stations: FloatArray, segments: int = 28) -> Mesh:
    """Return a body along z with elliptical sections.

    Rows, (k, 4), are z, half width, half height and y of the axis; u 0.5 is on top.
    """
    rings = []
    # The angle starts at the bottom, so that half way around is the top.
    angle = np.arange(segments) * (2 * math.pi / segments)
    for z, wide, tall, y in stations:
        rings.append(np.c_[-wide * np.sin(angle), y - tall * np.cos(angle), np.full(segments, z)])
    return loft(rings)


def airplane(rng: Rng, number: int) -> list[Part]:
    """Build an airliner, a T-tailed jet, a fighter or a propeller plane."""
    kind = ("airliner", "prop_high", "tail_jet", "fighter", "prop_low")[number % 5]
    ground, band = (
        rgb("f3f3f0")
        if kind in ("airliner", "tail_jet")
        else materials.draw(rng, materials.PAINTS),
        materials.draw(rng, materials.PAINTS),
    )
    skin = (
        Material(ground, specular=0.5, texture=textures.fuselage(rng, ground, band))
        if kind in ("airliner", "tail_jet")
        else Material(ground, specular=0.4)
    )
    accent, grey = Material(band, specular=0.4), materials.plain("c9ccd0", 0.5)
    length = between(rng, 9.4, 10.6)
    r = {"airliner": 0.52, "tail_jet": 0.5, "fighter": 0.5}.get(kind, 0.55) * between(
        rng, 0.92, 1.08
    )
    body = hull_of_revolution(fuselage_stations(kind, length, r))
    parts = [
        Part("fuselage", body, skin),
        *airplane_wings(
            rng, kind, length, r, grey if kind in ("airliner", "tail_jet") else skin, accent
        ),
    ]
    if kind in ("airliner", "tail_jet"):
        pane = (
            sphere(0.3, 20)
            .scaled(1.15, 0.34, 1.0)
            .turned("x", -20)
            .moved(0, r * 0.52, -length / 2 + 0.72)
        )
        parts += [
            Part("cockpit", pane, materials.dark_glass()),
            *jets(rng, kind, length, r, accent),
        ]
    elif kind == "fighter":
        canopy = sphere(1, 28).scaled(r * 0.62, r * 0.75, 1.05).moved(0, r * 0.62, -length * 0.2)
        nozzles = [
            lathe([[0, 0], [0.3, 0], [0.24, 0.55], [0.2, 0.55], [0.18, 0.1], [0, 0.1]], 24)
            .turned("x", 90)
            .moved(x, 0, length / 2 - 0.35)
            for x in (-0.24, 0.24)
        ]
        intakes = [box((0.42, 0.62, 2.6), (s * (r + 0.02), -0.05, 0.2), 0.15, 3) for s in (-1, 1)]
        parts += [
            Part("canopy", canopy, materials.dark_glass()),
            Part("nozzles", join(nozzles), materials.plain("2b2b2d", 0.5)),
            Part("intakes", join(intakes), skin),
        ]
    else:
        parts += propeller(rng, kind, length, r, accent)
    return parts


def fuselage_stations(kind: str, length: float, r: float) -> FloatArray:
    """Return the sections of a fuselage from nose to tail, (k, 4).

    Rows are z, half width, half height and y of the axis.
    """
    # Place from 0 to 1, then half width, half height and axis as multiples of r.
    if kind == "fighter":
        control = [
            (0, 0.02, 0.02, -0.05),
            (0.04, 0.16, 0.15, -0.03),
            (0.14, 0.5, 0.5, 0),
            (0.3, 0.85, 0.85, 0.05),
            (0.55, 1.1, 0.85, 0),
            (0.85, 1.05, 0.7, 0),
            (0.97, 0.95, 0.6, 0),
        ]
    elif kind in ("airliner", "tail_jet"):
        control = [
            (0, 0.02, 0.02, -0.25),
            (0.015, 0.38, 0.35, -0.2),
            (0.06, 0.8, 0.78, -0.07),
            (0.12, 1, 1, 0),
            (0.35, 1, 1, 0),
            (0.65, 1, 1, 0),
            (0.82, 0.72, 0.72, 0.2),
            (0.95, 0.26, 0.3, 0.52),
            (1, 0.08, 0.1, 0.6),
        ]
    else:
        control = [
            (0, 0.5, 0.5, 0),
            (0.02, 0.68, 0.66, 0),
            (0.16, 0.92, 0.95, 0),
            (0.3, 1, 1.12, 0.08),
            (0.5, 0.82, 0.9, 0.05),
            (0.75, 0.42, 0.5, 0.18),
            (0.97, 0.12, 0.2, 0.3),
            (1, 0.06, 0.1, 0.32),
        ]
    rows = spline(np.array(control), 56)
    rows[:, 1:3] = np.maximum(rows[:, 1:3], 0.015)
    return rows * [length, r, r, r] + [-length / 2, 0, 0, 0]


def airplane_wings(
    rng: Rng, kind: str, length: float, r: float, skin: Material, accent: Material
) -> list[Part]:
    """Return main wings, tailplanes and fin."""
    span = {"airliner": 4.9, "tail_jet": 4.4, "fighter": 3.0, "prop_high": 5.0, "prop_low": 4.6}[
        kind
    ] * between(rng, 0.92, 1.08)
    sweep = {"airliner": 2.2, "tail_jet": 1.7, "fighter": 2.9, "prop_high": 0.1, "prop_low": 0.35}[
        kind
    ] * between(rng, 0.85, 1.1)
    rise = {
        "airliner": 0.45,
        "tail_jet": 0.35,
        "fighter": -0.05,
        "prop_high": 0.15,
        "prop_low": 0.5,
    }[kind]
    y = {
        "airliner": -0.55 * r,
        "tail_jet": -0.6 * r,
        "fighter": -0.05,
        "prop_high": 1.12 * r,
        "prop_low": -0.7 * r,
    }[kind]
    chords = {
        "airliner": (2.1, 0.55),
        "tail_jet": (1.8, 0.55),
        "fighter": (3.2, 0.7),
        "prop_high": (1.5, 1.05),
        "prop_low": (1.7, 0.9),
    }[kind]
    z = {"airliner": -1.3, "tail_jet": -0.5, "fighter": -1.0}.get(kind, -length * 0.27)
    thin = 0.05 if kind == "fighter" else 0.11
    wing = airfoil_wing(
        (0.15 if kind != "prop_high" else 0.0, y, z), (span, y + rise, z + sweep), chords, thin
    )
    tee = kind == "tail_jet"
    base, high = length / 2 - 1.75, between(rng, 1.5, 1.9) * (0.8 if kind.startswith("prop") else 1)
    root = (0.3 if kind.startswith("prop") else 0.45) * r
    lean = 0.5 if kind.startswith("prop") else 1.2
    if kind == "fighter" and chance(rng, 0.6):
        fins = [
            airfoil_wing(
                (s * 0.4, 0.15, base - 0.2), (s * 0.95, high, base + 0.9), (1.6, 0.6), 0.05
            )
            for s in (-1, 1)
        ]
    else:
        fins = [airfoil_wing((0, root, base), (0.001, root + high, base + lean), (1.5, 0.85), 0.09)]
    level = root + high - 0.05 if tee else 0.0 if kind == "fighter" else root * 0.9
    start = base + lean - 0.1 if tee else base + 0.4
    tail = airfoil_wing(
        (0.02, level, start), (span * 0.38, level + 0.1, start + sweep * 0.35), (1.05, 0.5), thin
    )
    parts = [
        Part("wings", join([wing, wing.mirrored()]), skin),
        Part("tailplanes", join([tail, tail.mirrored()]), skin),
        Part("fin", join(fins), accent),
    ]
    if kind == "prop_high":
        struts = [
            bar(
                [s * r * 0.8, -0.5 * r, z + 0.5],
                [s * span * 0.5, y + rise * 0.5 + 0.02, z + 0.55],
                0.09,
            )
            for s in (-1, 1)
        ]
        parts.append(Part("struts", join(struts), accent))
    return parts


def jets(rng: Rng, kind: str, length: float, r: float, accent: Material) -> list[Part]:
    """Return two or four engines on pylons, at wings or tail."""
    outside = np.array([[0.24, 0.0], [0.3, 0.06], [0.33, 0.4], [0.29, 0.9], [0.2, 1.25]])
    inside = np.array([[0.17, 1.25], [0.2, 1.0], [0.25, 0.5], [0.22, 0.06], [0.24, 0.0]])
    # The axis is turned from y to z, so that the intake, at 0, is in front.
    nacelle = lathe(np.concatenate([outside, inside])[::-1] * [1, -1], 28).turned("x", -90)
    fan = (
        lathe([[0, 0.2], [0.06, 0.24], [0.25, 0.3], [0.25, 0.4], [0, 0.4]], 28)
        .scaled(1, -1, 1)
        .turned("x", -90)
    )
    if kind == "tail_jet":
        positions = [(s * (r + 0.4), 0.28, length * 0.2) for s in (-1, 1)]
        pylons = [
            box((0.5, 0.1, 0.8), (s * (r + 0.1), 0.28, length * 0.2 + 0.55), 0.03) for s in (-1, 1)
        ]
    else:
        spans = (1.65, 2.9) if chance(rng, 0.35) else (1.75,)
        positions = [
            (s * x, -0.55 * r - 0.36 + 0.09 * x, -1.75 + 0.45 * x) for x in spans for s in (-1, 1)
        ]
        pylons = [box((0.07, 0.34, 0.9), (x, y + 0.34, z + 0.75), 0.02) for x, y, z in positions]
    return [
        Part(
            "nacelles",
            join([nacelle.moved(*position) for position in positions]),
            accent if chance(rng, 0.6) else materials.plain("d9dadc", 0.6),
        ),
        Part(
            "fans",
            join([fan.moved(*position) for position in positions]),
            materials.plain("26282b", 0.6),
        ),
        Part("pylons", join(pylons), materials.plain("c9ccd0", 0.5)),
    ]


def propeller(rng: Rng, kind: str, length: float, r: float, accent: Material) -> list[Part]:
    """Return spinner and blades, a glazed cabin and a fixed undercarriage."""
    nose, count, turn = -length / 2, int(rng.integers(2, 5)), between(rng, 0, 90)
    spinner = (
        lathe([[0, 0], [0.26, 0], [0.22, 0.25], [0.1, 0.42], [0, 0.46]], 24)
        .turned("x", -90)
        .moved(z=nose + 0.05)
    )
    blade = loft(
        [
            np.c_[ring, np.full(12, 0.0)][:, [0, 2, 1]] + [0, y, 0]
            for y, ring in (
                (0.05, ellipse(0.16, 0.07, 12)),
                (0.6, ellipse(0.25, 0.05, 12)),
                (1.15, ellipse(0.2, 0.03, 12)),
                (1.25, ellipse(0.1, 0.02, 12)),
            )
        ]
    )
    blades = [
        blade.turned("y", 20).turned("z", turn + 360 * i / count).moved(z=nose - 0.1)
        for i in range(count)
    ]
    if kind == "prop_high":
        cabin_mesh = box((1.7 * r, 0.9 * r, 1.9), (0, 0.72 * r, -length * 0.185), 0.2, 4)
    else:
        cabin_mesh = (
            sphere(1, 28).scaled(r * 0.66, r * 0.72, 1.25).moved(0, r * 0.85, -length * 0.14)
        )
    track = [(s * 1.05, -1.25 * r - 0.25, -length * 0.2) for s in (-1, 1)] + [
        (0.0, -r * 1.25 - 0.25, -length * 0.42)
    ]
    tyres = [
        lathe([[0, -0.09], [0.2, -0.09], [0.26, -0.05], [0.26, 0.05], [0.2, 0.09], [0, 0.09]], 24)
        .turned("z", 90)
        .moved(*position)
        for position in track
    ]
    legs = [bar([x * 0.9, y, z], [x * 0.35, -r * 0.5, z + 0.05], 0.09, 0.13) for x, y, z in track]
    return [
        Part("spinner", spinner, accent),
        Part("blades", join(blades), materials.plain("2b2b2d", 0.4)),
        Part("cabin", cabin_mesh, materials.dark_glass()),
        Part("tyres", join(tyres), materials.rubber()),
        Part("legs", join(legs), accent),
    ]
