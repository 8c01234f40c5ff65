"""Builders of what drives, flies and floats: cars, aeroplanes, watercraft.

Each takes a random generator and the number of the model, which chooses the kind. Metres, +Y up,
front -Z.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import palette as materials
from . import textures
from .palette import Material, Part, Rng, between, chance, rgb
from .primitives import (
    Mesh,
    bar,
    box,
    box_uv,
    ellipse,
    grid,
    join,
    lathe,
    loft,
    outward,
    rounded_rectangle,
    sphere,
    spline,
    tube,
    weld,
)

__all__ = ["airplane", "car", "vessel"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class CarPlan:
    """A car's side view, metres.

    Attributes
    ----------
    line : (z, y) along the top of the lower body, from nose to tail
    cabin : z of the windows' foot and of the roof, (foot, roof) in front and (foot, roof) behind
    roof : y of the roof
    floor : y of the sill
    wheel : radius
    """

    line: tuple[tuple[float, float], ...]
    cabin: tuple[tuple[float, float], tuple[float, float]]
    roof: float
    floor: float = 0.24
    wheel: float = 0.33


CARS = {
    "sedan": CarPlan(
        (
            (-2.25, 0.5),
            (-2.15, 0.68),
            (-1.0, 0.88),
            (0, 0.93),
            (1.2, 0.95),
            (2.1, 0.9),
            (2.28, 0.6),
        ),
        ((-1.05, -0.3), (1.65, 0.95)),
        1.42,
    ),
    "van": CarPlan(
        (
            (-2.2, 0.55),
            (-2.12, 0.8),
            (-1.6, 1.02),
            (0, 1.05),
            (1.2, 1.05),
            (2.2, 1.05),
            (2.28, 0.6),
        ),
        ((-1.75, -1.05), (2.22, 2.12)),
        1.92,
    ),
    "pickup": CarPlan(
        (
            (-2.4, 0.6),
            (-2.32, 0.9),
            (-1.2, 1.02),
            (0, 1.05),
            (1.2, 1.03),
            (2.4, 1.03),
            (2.46, 0.65),
        ),
        ((-1.2, -0.65), (0.62, 0.45)),
        1.68,
        floor=0.36,
        wheel=0.39,
    ),
    "hatch": CarPlan(
        (
            (-1.85, 0.5),
            (-1.78, 0.7),
            (-0.95, 0.9),
            (0, 0.95),
            (1.0, 0.97),
            (1.75, 0.95),
            (1.85, 0.55),
        ),
        ((-1.05, -0.35), (1.72, 1.3)),
        1.46,
    ),
    "sports": CarPlan(
        ((-2.2, 0.42), (-2.1, 0.55), (-0.8, 0.74), (0, 0.8), (1.0, 0.84), (2.05, 0.8), (2.2, 0.55)),
        ((-0.75, 0.15), (1.5, 0.7)),
        1.18,
        floor=0.17,
    ),
}


def car(rng: Rng, number: int) -> list[Part]:
    """Sedan, van, pickup, hatchback, sports car."""
    kind = ("sedan", "van", "pickup", "hatch", "sports")[number % 5]
    plan = CARS[kind]
    coat, trim = materials.paint(rng), materials.plain("2a2c2e", 0.3)
    width = between(rng, 1.72, 1.86) + (0.1 if kind in ("van", "pickup") else 0)
    floor = plan.floor
    line = np.array(plan.line) * [1, between(rng, 0.96, 1.04)]
    wheel = plan.wheel * between(rng, 0.97, 1.05)
    axles = (float(line[0, 0]) + 0.82, float(line[-1, 0]) - 0.85)
    parts = [Part("body", car_body(line, width, floor), coat)]
    roof = plan.roof * between(rng, 0.97, 1.04)
    parts += cabin(plan.cabin, width, float(np.interp(0.0, line[:, 0], line[:, 1])), roof, coat)
    parts += wheels(rng, axles, width, wheel, trim)
    parts += car_trim(rng, line, width, floor, trim)
    if kind == "pickup":
        parts += pickup_bed(line, width, trim)
    if kind == "van" or (kind == "hatch" and chance(rng, 0.5)):
        rails = [
            tube(
                [[s * width * 0.33, roof + 0.05, -0.5], [s * width * 0.33, roof + 0.05, 1.4]],
                0.025,
                8,
            )
            for s in (-1, 1)
        ]
        rails += [
            bar([s * width * 0.33, roof - 0.048, z], [s * width * 0.33, roof + 0.05, z], 0.04)
            for s in (-1, 1)
            for z in (-0.4, 1.3)
        ]
        parts.append(Part("rails", join(rails), materials.metal(rng)))
    if kind == "sports":
        wing = [box((width * 0.86, 0.03, 0.24), (0, 0.98, 2.02), 0.012, 2)] + [
            box((0.03, 0.32, 0.14), (s * width * 0.33, 0.83, 2.0)) for s in (-1, 1)
        ]
        parts.append(Part("wing", join(wing), coat if chance(rng, 0.5) else trim))
    return parts


def car_body(line: FloatArray, width: float, floor: float) -> Mesh:
    """Return a car's lower body: cross-sections along z that follow the bonnet line and narrow at both ends."""
    z = np.linspace(line[0, 0], line[-1, 0], 27)
    top = np.interp(z, line[:, 0], line[:, 1])
    top = np.convolve(np.pad(top, 1, mode="edge"), [0.2, 0.6, 0.2], mode="valid")
    end = np.clip(np.abs(z - z.mean()) / np.ptp(z) * 2, 0, 1)
    half = width / 2 * (1 - 0.11 * end**5)
    lift = 0.1 * np.clip((end - 0.85) / 0.15, 0, 1)
    sections = []
    for zi, ti, hi, li in zip(z, top, half, lift, strict=True):
        bottom = floor + li
        side = [(0.86, 0), (0.97, 0.15), (1.0, 0.45), (0.96, 0.84), (0.88, 0.965), (0.6, 1.0)]
        right = np.array([(x * hi, bottom + f * (ti - bottom), zi) for x, f in side])
        sections.append(np.concatenate([right, (right * [-1, 1, 1])[::-1]]))
    return box_uv(loft(sections), 0.5)


def cabin(
    base: tuple[tuple[float, float], tuple[float, float]],
    width: float,
    belt: float,
    roof: float,
    coat: Material,
) -> list[Part]:
    """Return windows all around, a roof on top and pillars on the edges.

    Parameters
    ----------
    base : metres, z of the windows' foot and of the roof: (foot, roof) in front and (foot, roof)
        behind
    """
    (front, roof_front), (rear, roof_rear) = base
    low, high = belt - 0.14, roof - 0.04
    foot_half, top_half = width * 0.45, width * 0.36
    quads = {}
    for name, y, half, z0, z1 in (
        ("low", low, foot_half, front, rear),
        ("high", high, top_half, roof_front, roof_rear),
    ):
        ring = rounded_rectangle(2 * half, z1 - z0, 0.12, 3)
        quads[name] = np.c_[ring[:, 0], np.full(len(ring), y), ring[:, 1] + (z0 + z1) / 2]
    glass = loft([quads["low"], quads["high"]])
    roof_rings = []
    for y, shrink in (
        (high - 0.02, 0.02),
        (high + 0.005, 0.045),
        (roof - 0.012, 0.02),
        (roof, -0.1),
    ):
        ring = rounded_rectangle(
            2 * (top_half + shrink), roof_rear - roof_front + 2 * shrink, 0.14 + shrink, 4
        )
        roof_rings.append(
            np.c_[ring[:, 0], np.full(len(ring), y), ring[:, 1] + (roof_front + roof_rear) / 2]
        )
    bars = []
    stations = [(front + 0.04, roof_front + 0.04), (rear - 0.05, roof_rear - 0.05)]
    middle = [0.48] if rear - front < 3.2 else [0.3, 0.62]
    stations += [
        (front + (rear - front) * f, roof_front + (roof_rear - roof_front) * f) for f in middle
    ]
    for (z_low, z_high), s in itertools.product(stations, (-1, 1)):
        inset = 0.045 if z_low in (stations[0][0], stations[1][0]) else 0.0
        bars.append(
            bar(
                [s * (foot_half - inset), low, z_low],
                [s * (top_half - inset), high, z_high],
                0.085,
                0.07,
            )
        )
    return [
        Part("windows", glass, materials.dark_glass()),
        Part("roof", box_uv(loft(roof_rings)), coat),
        Part("pillars", join(bars), coat),
    ]


def wheels(
    rng: Rng, axles: tuple[float, float], width: float, radius: float, trim: Material
) -> list[Part]:
    """Return four tyres, spoked rims and dark arches over them."""
    r, w = radius, 0.2
    tyre = lathe(
        [
            [0, -w / 2],
            [r * 0.62, -w / 2],
            [r * 0.68, -w / 2 - 0.012],
            [r * 0.93, -w / 2],
            [r, -w / 3],
            [r, w / 3],
            [r * 0.93, w / 2],
            [r * 0.68, w / 2 + 0.012],
            [r * 0.62, w / 2],
            [0, w / 2],
        ],
        36,
    )
    hub = [lathe([[0, 0], [r * 0.12, 0], [r * 0.12, 0.03], [0, 0.035]], 16)]
    spokes = int(rng.integers(5, 9))
    for i in range(spokes):
        hub.append(
            box((r * 0.13, 0.022, r * 0.6), (0, 0.01, r * 0.32)).turned("y", 360 * i / spokes)
        )
    ring = np.array(
        [[r * 0.56, 0.0], [r * 0.66, 0], [r * 0.66, 0.022], [r * 0.6, 0.022], [r * 0.56, 0]]
    )
    hub.append(lathe(ring, 36))
    arch = lathe(
        [
            [r * 1.02, -w * 0.3],
            [r * 1.22, -w * 0.3],
            [r * 1.2, w * 0.48],
            [r * 1.05, w * 0.52],
            [r * 1.02, -w * 0.3],
        ],
        36,
    )
    tyres, rims, arches = [], [], []
    for z, s in itertools.product(axles, (-1, 1)):
        x = s * (width / 2 - w / 2)
        tyres.append(tyre.turned("z", -90 * s).moved(x, r, z))
        rims.append(join(hub).turned("z", -90 * s).moved(x + s * (w / 2 - 0.003), r, z))
        arches.append(arch.turned("z", -90 * s).moved(x - s * 0.005, r, z))
    return [
        Part("tyres", join(tyres), materials.rubber()),
        Part("rims", join(rims), materials.metal(rng)),
        Part("arches", join(arches), trim),
    ]


def car_trim(rng: Rng, line: FloatArray, width: float, floor: float, trim: Material) -> list[Part]:
    """Return lamps, bumpers, grille, plates, door handles and mirrors."""
    nose, tail = float(line[0, 0]), float(line[-1, 0])
    mirror = nose + 1.62  # metres along z
    lamp_y, rear_y = float(line[1, 1]) - 0.06, float(line[-2, 1]) - 0.16
    lamps = [
        sphere(0.1, 16).scaled(1.3, 0.7, 0.9).moved(s * width * 0.31, lamp_y, nose + 0.09)
        for s in (-1, 1)
    ]
    tails = [
        box((0.26, 0.13, 0.1), (s * width * 0.33, rear_y, tail - 0.05), 0.03, 3) for s in (-1, 1)
    ]
    dark = [
        box((width * 0.8, 0.14, 0.16), (0, floor + 0.16, nose + 0.03), 0.05, 3),
        box((width * 0.8, 0.14, 0.16), (0, floor + 0.16, tail - 0.03), 0.05, 3),
        box((width * 0.36, 0.1, 0.06), (0, lamp_y - 0.02, nose + 0.02), 0.02, 2),
    ]
    dark += [
        box((0.03, 0.025, 0.16), (s * width * 0.495, float(line[3, 1]) - 0.16, z))
        for s in (-1, 1)
        for z in (0.1, 1.0)
    ]
    dark += [
        box(
            (0.16, 0.12, 0.1),
            (s * (width * 0.47 + 0.05), float(line[3, 1]) + 0.03, mirror),
            0.03,
            2,
        )
        for s in (-1, 1)
    ]
    plates = [
        box((0.46, 0.11, 0.02), (0, floor + 0.17, z), 0) for z in (nose - 0.047, tail + 0.047)
    ]
    return [
        Part("headlamps", join(lamps), materials.plain("f4f1dc", 0.8)),
        Part("tail_lamps", join(tails), materials.plain("a31621", 0.6)),
        Part("trim", join(dark), trim),
        Part("plates", join(plates), materials.plain("f2f0e6")),
    ]


def pickup_bed(line: FloatArray, width: float, trim: Material) -> list[Part]:
    """Return the open bed: a dark floor on the body and walls of the body's height around it."""
    z0, z1 = 0.8, float(line[-1, 0]) - 0.06
    y = float(line[4, 1])
    floor = box((width * 0.84, 0.02, z1 - z0), (0, y + 0.02, (z0 + z1) / 2), 0)
    walls = [
        box((0.07, 0.18, z1 - z0 + 0.06), (s * width * 0.43, y + 0.06, (z0 + z1) / 2), 0.02, 2)
        for s in (-1, 1)
    ]
    walls += [box((width * 0.86, 0.175, 0.06), (0, y + 0.058, z), 0.02, 2) for z in (z0, z1)]
    return [Part("bed", join([floor, *walls]), trim)]


def airfoil_wing(
    root: tuple[float, float, float],
    tip: tuple[float, float, float],
    chords: tuple[float, float],
    thick: float = 0.12,
) -> Mesh:
    """Return a wing between two points of its leading edge, with chords along +Z.

    Parameters
    ----------
    root, tip : metres, the leading edge's ends
    chords : metres, the depth of the wing at root and tip
    thick : thickness over chord
    """
    s = np.linspace(0, 1, 9)
    half = thick / 2 * 2.6 * (np.sqrt(s) - s) + 0.004
    outline = np.concatenate([np.c_[s, half], np.c_[s[::-1], -half[::-1] * 0.6]])
    flat = np.array(tip) - np.array(root)
    upward = np.array([-flat[1], flat[0], 0.0]) / math.hypot(
        flat[0], flat[1]
    )  # thickness across the span
    rings = []
    for f in np.linspace(0, 1, 5):
        start, chord = np.array(root) + f * flat, chords[0] + f * (chords[1] - chords[0])
        rings.append(
            start + outline[:, :1] * chord * np.array([0, 0, 1.0]) + outline[:, 1:] * chord * upward
        )
    return box_uv(loft(rings), 0.3)


def hull_of_revolution(stations: FloatArray, segments: int = 28) -> Mesh:
    """Return a body along z from (k, 4) rows of z, half width, half height and y of the axis; u 0.5 is on top."""
    rings = []
    angle = np.arange(segments) * (2 * math.pi / segments)
    for z, wide, tall, y in stations:
        rings.append(np.c_[-wide * np.sin(angle), y - tall * np.cos(angle), np.full(segments, z)])
    return loft(rings)


def airplane(rng: Rng, number: int) -> list[Part]:
    """Airliner, propeller with a high wing, jet with engines at a T-tail, fighter, biplane or low-wing trainer."""
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
    """Return rows of z, half width, half height and y of the axis, from the nose to the tail."""
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
    """Return two or four engines on pylons, under the wings or at the tail."""
    outside = np.array([[0.24, 0.0], [0.3, 0.06], [0.33, 0.4], [0.29, 0.9], [0.2, 1.25]])
    inside = np.array([[0.17, 1.25], [0.2, 1.0], [0.25, 0.5], [0.22, 0.06], [0.24, 0.0]])
    nacelle = lathe(np.concatenate([outside, inside])[::-1] * [1, -1], 28).turned("x", -90)
    fan = (
        lathe([[0, 0.2], [0.06, 0.24], [0.25, 0.3], [0.25, 0.4], [0, 0.4]], 28)
        .scaled(1, -1, 1)
        .turned("x", -90)
    )
    if kind == "tail_jet":
        places = [(s * (r + 0.4), 0.28, length * 0.2) for s in (-1, 1)]
        pylons = [
            box((0.5, 0.1, 0.8), (s * (r + 0.1), 0.28, length * 0.2 + 0.55), 0.03) for s in (-1, 1)
        ]
    else:
        spans = (1.65, 2.9) if chance(rng, 0.35) else (1.75,)
        places = [
            (s * x, -0.55 * r - 0.36 + 0.09 * x, -1.75 + 0.45 * x) for x in spans for s in (-1, 1)
        ]
        pylons = [box((0.07, 0.34, 0.9), (x, y + 0.34, z + 0.75), 0.02) for x, y, z in places]
    return [
        Part(
            "nacelles",
            join([nacelle.moved(*place) for place in places]),
            accent if chance(rng, 0.6) else materials.plain("d9dadc", 0.6),
        ),
        Part("fans", join([fan.moved(*place) for place in places]), materials.plain("26282b", 0.6)),
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
        .moved(*place)
        for place in track
    ]
    legs = [bar([x * 0.9, y, z], [x * 0.35, -r * 0.5, z + 0.05], 0.09, 0.13) for x, y, z in track]
    return [
        Part("spinner", spinner, accent),
        Part("blades", join(blades), materials.plain("2b2b2d", 0.4)),
        Part("cabin", cabin_mesh, materials.dark_glass()),
        Part("tyres", join(tyres), materials.rubber()),
        Part("legs", join(legs), accent),
    ]


def hull(
    length: float, beam: float, depth: float, *, fullness: float, stern: float, sheer: float
) -> tuple[Mesh, FloatArray]:
    """Return a boat's hull, closed by its deck, and its deck line.

    Parameters
    ----------
    length, beam, depth : metres
    fullness : 1 is a barge's square section, 0 a V
    stern : breadth of the stern over the beam
    sheer : metres by which the bow rises over the middle

    Returns
    -------
    mesh, deck : deck is (k, 3) float64 of z, half breadth and height
    """
    f = np.linspace(0, 1, 25)  # 0 is the bow
    half = (
        beam
        / 2
        * np.where(
            f < 0.5,
            np.sin(np.pi * f) ** 0.75,
            1 - (1 - stern) * np.clip((f - 0.5) / 0.5, 0, 1) ** 2,
        )
    )
    half = np.maximum(half, 0.015 * beam)
    z = (f - 0.5) * length
    top = (
        depth
        + sheer * (np.clip(0.5 - f, 0, 1) * 2) ** 2
        + 0.25 * sheer * (np.clip(f - 0.6, 0, 1) * 2.5) ** 2
    )
    keel = (
        depth * 0.75 * np.clip(0.18 - f, 0, 1) / 0.18 * (1 - 0.4 * fullness)
        + 0.12 * depth * np.clip(f - 0.85, 0, 1) / 0.15
    )
    sections = []
    for zi, hi, ti, ki in zip(z, half, top, keel, strict=True):
        levels = np.array([0.0, 0.12, 0.45, 1.0])
        breadth = np.array(
            [0.04 + 0.66 * fullness, 0.3 + 0.6 * fullness, 0.78 + 0.2 * fullness, 1.0]
        )
        right = np.c_[breadth * hi, ki + levels * (ti - ki), np.full(4, zi)]
        sections.append(np.concatenate([right, (right * [-1, 1, 1])[::-1]]))
    return box_uv(loft(sections), 0.5), np.c_[z, half, top]


def deck_plate(deck: FloatArray, thick: float, inset: float) -> Mesh:
    """Return a deck that follows the sheer, a little above the hull's own top and inside its edge."""
    z, half, top = deck[1:].T
    z = 0.994 * z  # its ends must not lie in the hull's
    half = np.maximum(half * inset, 0.01)
    rings = [
        np.array([[h, t - thick, zi], [h, t + thick, zi], [-h, t + thick, zi], [-h, t - thick, zi]])
        for zi, h, t in zip(z, half, top, strict=True)
    ]
    return box_uv(loft(rings), 0.6)


def vessel(rng: Rng, number: int) -> list[Part]:
    """Sailing boat, container ship, motor yacht, tug, rowing boat."""
    kind = ("sail", "cargo", "yacht", "tug", "rowing")[number % 5]
    if kind == "rowing":
        return rowing_boat(rng)
    length, beam, depth, fullness, stern, sheer = {
        "sail": (9.0, 2.8, 1.3, 0.25, 0.55, 0.35),
        "cargo": (24.0, 4.0, 2.4, 0.95, 0.85, 0.9),
        "yacht": (12.0, 3.4, 1.7, 0.45, 0.85, 0.6),
        "tug": (9.0, 3.4, 1.8, 0.75, 0.8, 0.8),
    }[kind]
    length *= between(rng, 0.92, 1.08)
    shape, deck = hull(length, beam, depth, fullness=fullness, stern=stern, sheer=sheer)
    coat = (
        Material(rgb("f4f3ee"), 0.5)
        if kind == "yacht" and chance(rng, 0.6)
        else materials.paint(rng)
    )
    planks = materials.wood(rng) if kind in ("sail", "yacht") else materials.plain("7a3b32")
    parts = [Part("hull", shape, coat), Part("deck", deck_plate(deck, 0.03 * depth, 0.94), planks)]
    builder = {"sail": sailing_rig, "cargo": cargo_load, "yacht": yacht_cabin, "tug": tug_house}[
        kind
    ]
    return parts + builder(rng, length, beam, depth)


def sailing_rig(rng: Rng, length: float, beam: float, depth: float) -> list[Part]:
    """Return keel and rudder, cabin, mast, boom, main sail and jib: the sails are sheets that belly to one side."""
    high, mast_z = length * between(rng, 1.05, 1.3), -length * 0.08
    belly = between(rng, 0.25, 0.45) * (1 if chance(rng, 0.5) else -1)
    mast = [
        bar([0, depth * 0.6, mast_z], [0, high + depth, mast_z], 0.13, 0.07, 10),
        bar([0, depth + 0.9, mast_z], [0, depth + 0.85, length * 0.4], 0.1, 0.08, 10),
    ]
    cloth_colour = materials.draw(rng, "f6f2e6 f6f2e6 e9dcc0 c0392b 1f5fa8")
    canvas = Material(
        cloth_colour,
        texture=textures.label(
            rng,
            cloth_colour,
            rgb("24344d") if sum(cloth_colour) > 1.5 else rgb("f4efe2"),
            materials.draw(rng, materials.PAINTS),
        ),
    )
    main = sail_sheet(
        (0, depth + 1.0, mast_z + 0.09),
        (0, depth + 0.95, length * 0.38),
        (0, high + depth - 0.1, mast_z + 0.12),
        belly,
    )
    jib = sail_sheet(
        (0, depth + 0.5, -length * 0.46),
        (belly * 0.8, depth + 0.6, mast_z - 0.15),
        (0, high * 0.85 + depth, mast_z - 0.12),
        belly * 0.8,
    )
    house = box((beam * 0.5, 0.55, length * 0.28), (0, depth + 0.22, length * 0.03), 0.12, 3)
    panes = [
        box((beam * 0.52, 0.16, 0.45), (0, depth + 0.3, length * 0.03 + dz), 0.05, 2)
        for dz in (-0.75, 0, 0.75)
    ]
    foil = [
        airfoil_wing(
            (0.0, 0.25, -length * 0.1), (0.001, -depth * 0.95, -length * 0.02), (1.9, 1.3), 0.1
        ),
        airfoil_wing(
            (0, 0.45, length * 0.42), (0.001, -depth * 0.6, length * 0.44), (0.5, 0.4), 0.1
        ),
    ]
    return [
        Part("mast", join(mast), materials.metal(rng) if chance(rng, 0.5) else materials.wood(rng)),
        Part("main_sail", main, canvas, sheet=True),
        Part("jib", jib, Material(cloth_colour), sheet=True),
        Part("cabin", house, materials.plain("f1efe8")),
        Part("windows", join(panes), materials.dark_glass()),
        Part("keel", join(foil), materials.paint(rng)),
    ]


def sail_sheet(
    tack: tuple[float, float, float],
    clew: tuple[float, float, float],
    head: tuple[float, float, float],
    belly: float,
) -> Mesh:
    """Return a three-cornered sheet, u from tack to clew, v up to the head, bellied along x."""
    a, b, c = (np.array(point, dtype=np.float64) for point in (tack, clew, head))
    points = []
    for v in np.linspace(0, 1, 13):
        start, end = a + v * (c - a), b + v * (c - b)
        u = np.linspace(0, 1, 9)[:, None]
        bulge = belly * 4 * u * (1 - u) * (1 - v) * (0.35 + v * 1.3)
        points.append(start + u * (end - start) + bulge * np.array([1.0, 0, 0]))
    width = np.linspace(0, 1, 9)
    uvs = [np.c_[width * (1 - v), np.full(9, v)] for v in np.linspace(0, 1, 13)]
    return grid(np.array(points), np.array(uvs))


def cargo_load(rng: Rng, length: float, beam: float, depth: float) -> list[Part]:
    """Return stacked containers of all colours, and a bridge and a funnel behind."""
    boxes: list[list[Mesh]] = [[] for _ in range(5)]
    for i in range(int(length * 0.58 / 2.05)):
        z = -length * 0.33 + i * 2.05
        for j in (-1, 0, 1):
            for level in range(int(rng.integers(1, 4))):
                mesh = box((1.1, 1.0, 1.95), (j * 1.15, depth + 0.55 + level * 1.02, z + 0.9), 0.03)
                boxes[int(rng.integers(5))].append(mesh)
    parts = [
        Part("containers", join(group), Material(materials.draw(rng, materials.PAINTS)))
        for group in boxes
        if group
    ]
    rear = length * 0.4
    house = [
        box((beam * 0.8, 3.6, 2.2), (0, depth + 1.7, rear), 0.08),
        box((beam * 1.05, 0.8, 1.6), (0, depth + 3.7, rear - 0.3), 0.08),
    ]
    glazing = [box((beam * 0.95, 0.35, 0.1), (0, depth + 3.8, rear - 1.09), 0.03)] + [
        box((beam * 0.7, 0.22, 0.1), (0, depth + y, rear - 1.09), 0.03) for y in (1.4, 2.1, 2.8)
    ]
    funnel = lathe([[0, 0], [0.5, 0], [0.45, 1.5], [0.38, 1.5], [0.36, 1.3], [0, 1.3]], 24).moved(
        0, depth + 3.2, rear + 0.6
    )
    mast = bar([0, depth + 4.0, rear - 0.3], [0, depth + 5.6, rear - 0.3], 0.14, 0.08, 8)
    return [
        *parts,
        Part("house", join(house), materials.plain("f0eee6")),
        Part("windows", join(glazing), materials.dark_glass()),
        Part("funnel", join([funnel, mast]), materials.paint(rng)),
    ]


def yacht_cabin(rng: Rng, length: float, beam: float, depth: float) -> list[Part]:
    """Return two raked decks of windows under roofs, a rail at the bow and an arch."""
    white, tiers, roofs = materials.plain("f6f5f0", 0.5), [], []
    y, wide, start, end = depth - 0.12, beam * 0.74, -length * 0.22, length * 0.3
    for _ in range(int(rng.integers(1, 3))):
        rings = []
        for dy, shrink, rake in ((0, 0, 0), (0.35, 0.03, 0.35), (0.85, 0.12, 0.9)):
            ring = rounded_rectangle(wide - 2 * shrink, end - start - rake, 0.3, 4)
            rings.append(
                np.c_[ring[:, 0], np.full(len(ring), y + dy), ring[:, 1] + (start + rake + end) / 2]
            )
        tiers.append(loft(rings))
        roofs.append(
            box(
                (wide - 0.05, 0.12, end - start - 0.55),
                (0, y + 0.85, (start + 0.6 + end) / 2),
                0.05,
                3,
            )
        )
        roofs.append(
            box((wide + 0.02, 0.32, end - start), (0, y + 0.14, (start + end) / 2 + 0.02), 0.13, 3)
        )
        y, wide, start, end = y + 0.88, wide * 0.78, start + 1.4, end - 0.9
    s = np.linspace(-1, 1, 25)
    rail_path = np.c_[
        s * beam * 0.36, np.full(25, depth + 0.75), -length * 0.46 + np.abs(s) ** 1.6 * length * 0.3
    ]
    posts = [bar([*(p - [0, 0.46, 0])], [*p], 0.04, sides=6) for p in rail_path[::4]]
    return [
        Part("windows", join(tiers), materials.dark_glass()),
        Part("roofs", join(roofs), white),
        Part("rail", join([tube(rail_path, 0.03, 8), *posts]), materials.metal(rng)),
    ]


def tug_house(rng: Rng, length: float, beam: float, depth: float) -> list[Part]:
    """Return a wheelhouse on a deckhouse, a funnel, fenders of tyres and a mast."""
    house = [
        box((beam * 0.6, 1.1, length * 0.36), (0, depth + 0.5, -length * 0.02), 0.08, 2),
        box((beam * 0.5, 1.15, length * 0.18), (0, depth + 1.55, -length * 0.08), 0.06, 2),
    ]
    roof = box((beam * 0.58, 0.12, length * 0.22), (0, depth + 2.15, -length * 0.08), 0.04, 2)
    panes = box(
        (beam * 0.5 + 0.03, 0.42, length * 0.18 + 0.03), (0, depth + 1.75, -length * 0.08), 0.05
    )
    ports = [
        tube([[s * beam * 0.27, depth + 0.65, z], [s * beam * 0.31, depth + 0.65, z]], 0.17, 18)
        for s in (-1, 1)
        for z in (-1.0, 0.0, 1.0)
    ]
    funnel = lathe([[0, 0], [0.36, 0], [0.33, 1.6], [0.26, 1.6], [0.24, 1.4], [0, 1.4]], 24).moved(
        0, depth + 0.9, length * 0.11
    )
    mast = [
        bar([0, depth + 2.1, -length * 0.08], [0, depth + 3.5, -length * 0.06], 0.1, 0.06, 8),
        bar(
            [-0.5, depth + 2.9, -length * 0.069], [0.5, depth + 2.9, -length * 0.069], 0.06, sides=8
        ),
    ]
    ring = ellipse(0.56, 0.56, 20)
    fenders = []
    for s, z in itertools.product((-1, 1), (-0.1, 0.08, 0.26)):
        tyre = tube(np.c_[np.zeros(20), ring], 0.12, 10, closed=True)
        fenders.append(tyre.moved(s * (beam * 0.495), depth * 0.72, z * length))
    return [
        Part("house", join(house), materials.plain("f0ead8")),
        Part("windows", join([panes, *ports]), materials.dark_glass()),
        Part("funnel", join([funnel, roof]), materials.paint(rng)),
        Part("mast", join(mast), materials.metal(rng)),
        Part("fenders", join(fenders), materials.rubber()),
    ]


def rowing_boat(rng: Rng) -> list[Part]:
    """Return an open boat: a hollow shell with thwarts and a pair of oars."""
    length, beam, depth, wall = between(rng, 3.4, 4.2), between(rng, 1.2, 1.4), 0.55, 0.03
    f = np.linspace(0, 1, 25)
    half = np.maximum(beam / 2 * np.sin(np.pi * np.clip(f * 0.86 + 0.02, 0, 1)) ** 0.8, 0.05)
    top = depth + 0.22 * (1 - f) ** 2
    keel = 0.4 * np.clip(0.2 - f, 0, 1) / 0.2 * depth + 0.1 * np.clip(f - 0.85, 0, 1)
    sections = []
    for fi, h, t, k in zip(f, half, top, keel, strict=True):
        z, inner = (fi - 0.5) * length, max(h - wall, 0.02)
        right = [(0.25 * h, k), (0.75 * h, k + 0.14), (0.95 * h, k + 0.32), (h, t)]
        left_in = [
            (inner, t),
            (0.95 * inner, k + 0.33),
            (0.74 * inner, k + 0.16),
            (0.24 * inner, k + 0.03),
        ]
        half_ring = np.array([(x, y, z) for x, y in right + left_in])
        sections.append(np.concatenate([half_ring, (half_ring * [-1, 1, 1])[::-1]]))
    shell = boat_shell(np.array(sections))
    seats = [
        box(
            (2 * float(np.interp(g, f, half)) * 0.93, 0.035, 0.24),
            (0, depth * 0.68, (g - 0.5) * length),
            0.01,
        )
        for g in (0.3, 0.52, 0.78)
    ]
    oars = []
    for s in (-1, 1):
        grip, tip = (
            np.array([s * 0.2, depth + 0.22, 0.35]),
            np.array([s * 1.75, depth * 0.55, -0.2]),
        )
        oars.append(bar(grip, tip, 0.045, 0.04, 10))
        blade = loft(
            [
                np.c_[ring[:, 0], ring[:, 1], np.full(12, z)]
                for z, ring in (
                    (0, ellipse(0.05, 0.04, 12)),
                    (0.15, ellipse(0.16, 0.025, 12)),
                    (0.5, ellipse(0.18, 0.02, 12)),
                )
            ]
        )
        heading = math.degrees(math.atan2(tip[0] - grip[0], tip[2] - grip[2]))
        drop = math.degrees(
            math.atan2(grip[1] - tip[1], math.hypot(tip[0] - grip[0], tip[2] - grip[2]))
        )
        oars.append(
            blade.turned("x", drop).turned("y", heading).moved(*(tip - 0.02 * (tip - grip)))
        )
    timber = materials.wood(rng)
    return [
        Part("shell", shell, materials.paint(rng) if chance(rng, 0.6) else timber),
        Part("thwarts", join(seats), timber),
        Part("oars", join(oars), materials.wood(rng)),
    ]


def boat_shell(sections: FloatArray) -> Mesh:
    """Skin U-shaped sections and close both ends with strips between the outside and the inside.

    Parameters
    ----------
    sections : (m, 16, 3) float, metres; up the outside, down the inside, then the same mirrored,
        backward
    """
    closed = np.concatenate([sections, sections[:, :1]], axis=1)
    bow, stern = (
        grid(np.stack([ring[[3, 2, 1, 0, 15, 14, 13, 12]], ring[[4, 5, 6, 7, 8, 9, 10, 11]]]))
        for ring in (sections[0], sections[-1])
    )
    return box_uv(outward(weld(join([grid(closed), bow, stern.flipped()]))), 0.6)
