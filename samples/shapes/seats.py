"""Seats: chairs, sofas, benches.

Each builder takes a random generator and the number of the model. The number chooses the kind, so
that a few models already show the breadth of a category; the generator draws everything else.
Metres, +Y up, front -Z.
"""

from __future__ import annotations

import math

import numpy as np

from .. import palette as materials
from ..palette import Part, Rng, between, chance
from ..primitives import Mesh, bar, box, box_uv, ellipse, join, lathe, loft, spline, tube
from .legs import corner_legs, pedestal

__all__ = ["bench", "chair", "sofa"]


def swivel_base(radius: float, top: float) -> Mesh:
    """Return an office chair's foot: five arms, castors, a gas spring."""
    parts = [
        lathe(
            [
                [0, 0.08],
                [0.035, 0.08],
                [0.035, top * 0.6],
                [0.022, top * 0.62],
                [0.022, top],
                [0, top],
            ],
            16,
        )
    ]
    for arm in range(5):
        angle = 2 * math.pi * arm / 5 + 0.3
        x, z = radius * math.sin(angle), radius * math.cos(angle)
        parts.append(bar([0, 0.11, 0], [x, 0.085, z], 0.05, 0.035))
        castor = lathe([[0, -0.02], [0.035, -0.02], [0.035, 0.02], [0, 0.02]], 14).turned("z", 90)
        parts.append(castor.turned("y", math.degrees(angle)).moved(x, 0.035, z))
    return join(parts)


def sled(width: float, depth: float, top: float) -> Mesh:
    """Return two bent steel tubes, a cantilever on which a chair swings."""
    x, front, rear, r = width / 2 - 0.03, -depth / 2 + 0.02, depth / 2 - 0.02, 0.016
    corners = [
        [-x, top, rear],
        [-x, top, front + 0.07],
        [-x, top - 0.07, front],
        [-x, 0.09, front],
        [-x, r, front + 0.07],
    ]
    side = np.array([*corners, [-x, r, rear]])
    # One side, (6, 3), and its mirror image backward make one path, (12, 3).
    loop = np.concatenate([side, (side * [-1, 1, 1])[::-1]])
    return tube(loop, r, 10)


def curved_back(width: float, low: float, high: float, z: float, bend: float, thick: float) -> Mesh:
    """Return a backrest bent around the sitter, seen from above an arc."""
    rings = []
    # Thirteen sections, (4, 3) each; the outer ones come forward on a parabola.
    for across in np.linspace(-1, 1, 13):
        x, curve = across * width / 2, z - bend * across**2
        corners = [(low, -thick / 2), (high, -thick / 2), (high, thick / 2), (low, thick / 2)]
        rings.append([[x, y, curve + dz] for y, dz in corners])
    return box_uv(loft(rings))


def backrest(rng: Rng, kind: str, width: float, seat: float, height: float, z: float) -> list[Mesh]:
    """Return the posts and the filling of a chair's back.

    `z` is the seat's rear edge.
    """
    # Two posts, which lean back.
    lean = between(rng, 0.03, 0.09)
    top, thick = seat + height, 0.035
    posts = [
        bar(
            [sx * (width / 2 - 0.03), seat - 0.05, z - 0.025],
            [sx * (width / 2 - 0.03), top, z - 0.025 + lean],
            thick,
            0.028,
        )
        for sx in (-1, 1)
    ]
    tilt = math.degrees(math.atan2(lean, height))
    if kind == "solid":
        panel = box((width - 0.01, height * 0.9, 0.05), (0, height * 0.55, 0), 0.02, 3)
        return [panel.turned("x", tilt).moved(0, seat, z - 0.04)]
    if kind == "curved":
        return [curved_back(width + 0.02, seat + height * 0.45, top, z, 0.13, 0.03), *posts]
    if kind == "ladder":
        bars = [
            box((width - 0.06, 0.06, 0.018), (0, height * f, 0))
            .turned("x", tilt)
            .moved(0, seat, z - 0.025)
            for f in (0.35, 0.62, 0.9)
        ]
        return [*posts, *bars]
    # Slats between two rails.
    rails = [
        box((width - 0.05, 0.05, 0.024), (0, height * f, 0))
        .turned("x", tilt)
        .moved(0, seat, z - 0.025)
        for f in (0.12, 0.95)
    ]
    slats = [
        bar(
            [x, seat + height * 0.1, z - 0.025 + lean * 0.1],
            [x, top - 0.03, z - 0.025 + lean * 0.95],
            0.014,
            0.014,
            8,
        )
        for x in np.linspace(-width / 2 + 0.09, width / 2 - 0.09, int(rng.integers(3, 7)))
    ]
    return [*posts, *rails, *slats]


def armrests(width: float, depth: float, seat: float, thick: float) -> Mesh:
    """Return a pair of armrests on posts."""
    parts = []
    for sx in (-1, 1):
        x = sx * (width / 2 + 0.012)
        parts.append(box((0.055, 0.03, depth * 0.8), (x, seat + 0.21, 0.02), 0.012, 2))
        parts.append(bar([x, seat - 0.03, -depth * 0.28], [x, seat + 0.205, -depth * 0.28], thick))
        parts.append(bar([x, seat - 0.03, depth * 0.3], [x, seat + 0.205, depth * 0.3], thick))
    return join(parts)


def chair(rng: Rng, number: int) -> list[Part]:
    """Build a chair or stool: six bases, five backs, arms or none."""
    base = ("four", "swivel", "sled", "splayed", "stool", "pedestal")[number % 6]
    width, depth = between(rng, 0.42, 0.52), between(rng, 0.4, 0.5)
    seat, height = between(rng, 0.42, 0.48), between(rng, 0.36, 0.58)
    frame = materials.metal(rng) if base in ("swivel", "sled") else materials.wood(rng)
    cover = (
        materials.cloth(rng)
        if base in ("swivel", "sled") or chance(rng, 0.5)
        else materials.wood(rng)
    )
    # A stool is higher, and has neither back nor arms.
    if base == "stool":
        seat = between(rng, 0.6, 0.75)
        cushion = lathe(
            [[0, -0.05], [0.16, -0.05], [0.18, -0.03], [0.18, 0], [0.16, 0.02], [0, 0.025]], 28
        ).moved(y=seat)
        ring = tube(
            np.c_[ellipse(0.34, 0.34, 24)[:, 0], np.full(24, 0.22), ellipse(0.34, 0.34, 24)[:, 1]],
            0.011,
            8,
            closed=True,
        )
        legs = corner_legs(0.26, 0.26, seat - 0.03, 0.035, 0.026, 0.09, 8)
        return [
            Part("seat", cushion, cover),
            Part("legs", legs, frame),
            Part("ring", ring, materials.metal(rng)),
        ]
    legs = {
        "four": lambda: corner_legs(width, depth, seat - 0.008, 0.045, 0.032, 0, 4),
        "splayed": lambda: corner_legs(
            width * 0.8, depth * 0.8, seat - 0.008, 0.04, 0.022, 0.07, 12
        ),
        "swivel": lambda: swivel_base(0.28, seat - 0.02),
        "sled": lambda: sled(width, depth, seat - 0.02),
        "pedestal": lambda: pedestal(0.21, seat - 0.008, 0.028),
    }[base]()
    # The backs shift by one each time the bases have gone round: all pairs occur.
    back_kind = ("slats", "solid", "solid", "curved", "slats", "ladder")[(number + number // 6) % 6]
    soft = base in ("swivel", "sled") or chance(rng, 0.3)
    parts = [
        Part("legs", legs, frame),
        Part(
            "seat",
            box((width, 0.075 if soft else 0.04, depth), (0, seat, 0), 0.03 if soft else 0.012, 4),
            cover,
        ),
    ]
    # The filling of a soft back is covered as the seat is.
    uprights = backrest(rng, back_kind, width, seat, height, depth / 2)
    parts.append(
        Part(
            "back",
            uprights[0] if back_kind in ("solid", "curved") else join(uprights),
            cover if back_kind in ("solid", "curved") else frame,
        )
    )
    if back_kind == "curved":
        parts.append(Part("posts", join(uprights[1:]), frame))
    if back_kind == "solid":
        stay = bar(
            [0, seat - 0.06, depth / 2 - 0.06], [0, seat + height * 0.4, depth / 2 + 0.01], 0.05
        )
        parts.append(Part("stay", stay, frame))
    if chance(rng, 0.45):
        parts.append(Part("arms", armrests(width, depth, seat, 0.026), frame))
    return parts


def sofa(rng: Rng, number: int) -> list[Part]:
    """Build a sofa: straight, L-shaped, with rolled arms, or slim."""
    kind = ("box", "rolled", "slim", "corner")[number % 4]
    seats = (3, 2, 3, 3)[number % 4] if chance(rng, 0.6) else int(rng.integers(2, 5))
    each, depth, seat = between(rng, 0.55, 0.7), between(rng, 0.8, 0.95), between(rng, 0.38, 0.44)
    width, arm = seats * each, {"box": 0.2, "rolled": 0.2, "slim": 0.07, "corner": 0.16}[kind]
    cover = materials.cloth(rng)
    accent = materials.cloth(rng)
    low = 0.14 if kind == "slim" else 0.07
    # Base and back, then a seat and a back cushion for each place.
    base = box(
        (width + arm, seat - low - 0.1, depth - 0.04), (0, (seat - 0.1 + low) / 2, 0.01), 0.02, 2
    )
    high = between(rng, 0.76, 0.9)
    rest = box(
        (width + arm, high - low - 0.06, 0.2),
        (0, (high + low) / 2 + 0.02, depth / 2 - 0.09),
        0.07,
        4,
    ).turned("x", 4)
    body, cushions, pillows = [base, rest], [], []
    for i in range(seats):
        x = (i - (seats - 1) / 2) * each
        cushions.append(box((each - 0.012, 0.17, depth - 0.24), (x, seat - 0.04, -0.1), 0.05, 4))
        cushions.append(
            box((each - 0.02, 0.4, 0.17), (0, 0, 0), 0.07, 4)
            .turned("x", 12)
            .moved(x, seat + 0.2, depth / 2 - 0.24)
        )
    for s in (-1, 1):
        body.append(sofa_arm(kind, s * (width / 2 + arm / 2), arm, depth, low, seat))
        if chance(rng, 0.6):
            pillow = box((0.4, 0.4, 0.14), (0, 0, 0), 0.069, 5).turned("x", 22).turned("y", -s * 12)
            pillows.append(pillow.moved(s * (width / 2 - 0.22), seat + 0.22, depth / 2 - 0.42))
    # The L: one more seat in front, on either side.
    if kind == "corner":
        s = -1 if chance(rng, 0.5) else 1
        x = s * (width / 2 - each / 2)
        body.append(
            box(
                (each + 0.05, seat - low - 0.1, 0.75),
                (x, (seat - 0.1 + low) / 2, -depth / 2 - 0.3),
                0.02,
                2,
            )
        )
        cushions.append(
            box((each - 0.012, 0.17, 0.72), (x, seat - 0.036, -depth / 2 - 0.33), 0.05, 4)
        )
    legs = corner_legs(width + arm * 0.6, depth - 0.1, low + 0.03, 0.05, 0.032, 0.0, 10)
    parts = [
        Part("body", join(body), cover),
        Part("cushions", join(cushions), cover if chance(rng, 0.6) else accent),
    ]
    if pillows:
        parts.append(Part("pillows", join(pillows), materials.cloth(rng)))
    return [*parts, Part("legs", legs, materials.wood(rng))]


def sofa_arm(kind: str, x: float, arm: float, depth: float, low: float, seat: float) -> Mesh:
    """Return one arm of a sofa, rolled or straight."""
    top = seat + (0.2 if kind != "slim" else 0.14)
    panel = box(
        (arm, top - low + 0.01, depth), (x, (top + low - 0.01) / 2, 0), min(0.06, arm * 0.3), 4
    )
    if kind != "rolled":
        return panel
    roll = tube([[x, top, -depth / 2 - 0.02], [x, top, depth / 2 - 0.02]], 0.14, 24)
    return join([panel, box_uv(roll)])


def bench(rng: Rng, number: int) -> list[Part]:
    """Build a bench: park, plank on trestles, upholstered, or stone."""
    kind = ("park", "plank", "padded", "stone")[number % 4]
    width, depth, seat = between(rng, 1.2, 1.8), between(rng, 0.36, 0.46), between(rng, 0.42, 0.47)
    planks = materials.wood(rng)
    if kind == "park":
        slats = [
            box((width, 0.028, depth / 5), (0, seat, -depth / 2 + (i + 0.5) * depth / 4), 0.008)
            for i in range(4)
        ]
        rows = int(rng.integers(3, 5))
        slats += [
            box((width, 0.08, 0.024), (0, 0.14 + 0.105 * i, 0.01))
            .turned("x", 14)
            .moved(0, seat, depth / 2 + 0.02)
            for i in range(rows)
        ]
        return [
            Part("slats", join(slats), planks),
            Part("irons", park_irons(width, depth, seat, rows), materials.metal(rng)),
        ]
    if kind == "plank":
        legs = []
        for s in (-1, 1):
            x = s * width * 0.36
            legs += [
                bar([x + s * 0.06, 0, z * 1.15], [x, seat, z * 0.75], 0.045, 0.045, 10)
                for z in (-depth / 2, depth / 2)
            ]
        beam = box((width * 0.76, 0.04, 0.04), (0, seat * 0.45, 0))
        return [
            Part("seat", box((width, 0.05, depth), (0, seat, 0), 0.012, 3), planks),
            Part("legs", join([*legs, beam]), materials.wood(rng)),
        ]
    if kind == "padded":
        tufts = int(rng.integers(3, 5))
        each = width / tufts
        pads = [
            box((each - 0.006, 0.12, depth), ((i - (tufts - 1) / 2) * each, seat, 0), 0.045, 4)
            for i in range(tufts)
        ]
        plate = box((width - 0.04, 0.06, depth - 0.04), (0, seat - 0.07, 0))
        feet = corner_legs(width - 0.06, depth - 0.06, seat - 0.06, 0.05, 0.025, 0.02, 12)
        return [
            Part("pads", join(pads), materials.cloth(rng)),
            Part("frame", join([plate, feet]), planks),
        ]
    rock = materials.stone(rng)
    slab = box((width, 0.09, depth), (0, seat, 0), 0.02, 3)
    blocks = [
        box((0.12, seat, depth * 0.8), (s * width * 0.34, seat / 2, 0), 0.02, 3) for s in (-1, 1)
    ]
    return [
        Part("slab", slab, rock),
        Part("blocks", join(blocks), rock if chance(rng, 0.5) else planks),
    ]


def park_irons(width: float, depth: float, seat: float, rows: int) -> Mesh:
    """Return a park bench's cast sides: legs, back curve, armrest."""
    irons = []
    for x in (-width * 0.42, width * 0.42):
        top = seat + 0.16 + 0.105 * rows
        z = depth / 2 + 0.04
        rear = spline(
            [
                [x, 0.01, z + 0.08],
                [x, seat * 0.6, z - 0.03],
                [x, seat, z],
                [x, top, z + (top - seat) * 0.25],
            ],
            24,
        )
        front = spline(
            [
                [x, 0.01, -depth / 2 - 0.02],
                [x, seat * 0.5, -depth / 2 + 0.05],
                [x, seat - 0.02, -depth / 2 + 0.03],
            ],
            12,
        )
        arm = spline(
            [
                [x, seat - 0.01, -depth / 2 + 0.04],
                [x, seat + 0.19, -depth / 2],
                [x, seat + 0.22, 0],
                [x, seat + 0.2, z + 0.03],
            ],
            24,
        )
        rail = [[x, seat - 0.028, -depth / 2 + 0.02], [x, seat - 0.028, z]]
        irons += [tube(path, 0.02, 10) for path in (rear, front, arm, rail)]
    return join(irons)
