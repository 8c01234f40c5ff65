"""Cars.

Each builder takes a random generator and the number of the model. The number chooses the kind, so
that a few models already show the breadth of a category; the generator draws everything else.
Metres, +Y up, front -Z.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from .. import palette as materials
from ..palette import Material, Part, Rng, between, chance
from ..primitives import (
    FloatArray,
    Mesh,
    bar,
    box,
    box_uv,
    join,
    lathe,
    loft,
    rounded_rectangle,
    sphere,
    tube,
)

__all__ = ["car"]


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
    """Build a sedan, van, pickup, hatchback or sports car."""
    kind = ("sedan", "van", "pickup", "hatch", "sports")[number % 5]
    plan = CARS[kind]
    coat, trim = materials.paint(rng), materials.plain("2a2c2e", 0.3)
    width = between(rng, 1.72, 1.86) + (0.1 if kind in ("van", "pickup") else 0)
    floor = plan.floor
    line = np.array(plan.line) * [1, between(rng, 0.96, 1.04)]
    wheel = plan.wheel * between(rng, 0.97, 1.05)
    axles = (float(line[0, 0]) + 0.82, float(line[-1, 0]) - 0.85)
    # What all cars have, and then what their kind adds.
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
    """Return a car's lower body.

    Cross-sections along z follow the bonnet line and narrow at both ends.
    """
    # Stations along the car: height of the body, smoothed.
    z = np.linspace(line[0, 0], line[-1, 0], 27)
    top = np.interp(z, line[:, 0], line[:, 1])
    # Padded at both ends, so that the smoothed line keeps its 27 stations.
    top = np.convolve(np.pad(top, 1, mode="edge"), [0.2, 0.6, 0.2], mode="valid")
    # 0 in the middle, 1 at both ends, where the body narrows and rises.
    end = np.clip(np.abs(z - z.mean()) / np.ptp(z) * 2, 0, 1)
    half = width / 2 * (1 - 0.11 * end**5)
    lift = 0.1 * np.clip((end - 0.85) / 0.15, 0, 1)
    sections = []
    # The right half of each section, and its mirror image.
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
    """Return windows all around, a roof and pillars.

    Parameters
    ----------
    base : metres, z of the windows' foot and of the roof: (foot, roof) in front and (foot, roof)
        behind
    """
    (front, roof_front), (rear, roof_rear) = base
    # Windows: a ring below the belt and one under the roof.
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
    # Roof: four rings that bulge over the windows and close on top.
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
    # Pillars at the corners and between the doors.
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
    # One rim: hub, spokes and ring.
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
    # The same wheel on both axles, left and right.
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
    # Metres along z
    mirror = nose + 1.62
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
    """Return the open bed: a dark floor and walls around it."""
    # The bed reaches from behind the cabin to the tail.
    z0, z1 = 0.8, float(line[-1, 0]) - 0.06
    y = float(line[4, 1])
    floor = box((width * 0.84, 0.02, z1 - z0), (0, y + 0.02, (z0 + z1) / 2), 0)
    walls = [
        box((0.07, 0.18, z1 - z0 + 0.06), (s * width * 0.43, y + 0.06, (z0 + z1) / 2), 0.02, 2)
        for s in (-1, 1)
    ]
    walls += [box((width * 0.86, 0.175, 0.06), (0, y + 0.058, z), 0.02, 2) for z in (z0, z1)]
    return [Part("bed", join([floor, *walls]), trim)]
