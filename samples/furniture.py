"""Builders of furniture: what one sits, lies and writes on, and what one keeps things in.

Each takes a random generator and the number of the model; the number chooses the kind, so that a
few models already show the breadth of a category, and the generator draws everything else. Metres,
+Y up, front -Z.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from . import palette as materials
from .palette import Material, Part, Rng, between, chance
from .primitives import (
    Mesh,
    bar,
    box,
    box_uv,
    ellipse,
    extrude,
    join,
    lathe,
    loft,
    rounded_rectangle,
    spline,
    tube,
)

__all__ = ["bed", "bench", "bookshelf", "cabinet", "chair", "sofa", "table"]


def corner_legs(
    width: float, depth: float, top: float, thick: float, foot: float, splay: float, sides: int
) -> Mesh:
    """Return four legs under a seat or a top whose corners they reach, from `top` down to the floor."""
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


def swivel_base(radius: float, top: float) -> Mesh:
    """Return an office chair's foot: five arms with castors and a gas spring."""
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
    loop = np.concatenate([side, (side * [-1, 1, 1])[::-1]])
    return tube(loop, r, 10)


def curved_back(width: float, low: float, high: float, z: float, bend: float, thick: float) -> Mesh:
    """Return a backrest bent around the sitter, seen from above an arc."""
    rings = []
    for place in np.linspace(-1, 1, 13):
        x, curve = place * width / 2, z - bend * place**2
        corners = [(low, -thick / 2), (high, -thick / 2), (high, thick / 2), (low, thick / 2)]
        rings.append([[x, y, curve + dz] for y, dz in corners])
    return box_uv(loft(rings))


def backrest(rng: Rng, kind: str, width: float, seat: float, height: float, z: float) -> list[Mesh]:
    """Return the upright parts of a chair's back and what fills them; `z` is the seat's rear edge."""
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
    """Four legs, swivel, sled, splayed or pedestal; slats, ladder, panel or arc; with and without arms; a stool."""
    base = ("four", "swivel", "sled", "splayed", "stool", "pedestal")[number % 6]
    width, depth = between(rng, 0.42, 0.52), between(rng, 0.4, 0.5)
    seat, height = between(rng, 0.42, 0.48), between(rng, 0.36, 0.58)
    frame = materials.metal(rng) if base in ("swivel", "sled") else materials.wood(rng)
    cover = (
        materials.cloth(rng)
        if base in ("swivel", "sled") or chance(rng, 0.5)
        else materials.wood(rng)
    )
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


def table(rng: Rng, number: int) -> list[Part]:
    """Dining table, round pedestal, desk with drawers, coffee table of glass, trestle, oval with splayed legs."""
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
    """Return a desk's drawers on one side, a side panel on the other and a modesty panel behind."""
    side, front = (-1 if chance(rng, 0.5) else 1), -depth / 2 + 0.05
    x, w = side * (width / 2 - 0.23), 0.4
    body = [
        box((w, top - 0.02, depth - 0.08), (x, (top + 0.02) / 2, 0.01)),
        box((0.04, top + 0.01, depth - 0.1), (-side * (width / 2 - 0.05), (top + 0.01) / 2, 0)),
        box((width - 0.4, top * 0.5, 0.02), (-side * 0.1, top * 0.7, depth / 2 - 0.09)),
    ]
    fronts, knobs = [], []
    for y in np.array([0.2, 0.5, 0.8]) * (top - 0.02) + 0.02:
        fronts.append(box((w - 0.04, top * 0.27, 0.03), (x, float(y), front - 0.01)))
        knobs.append(box((0.12, 0.012, 0.03), (x, float(y) + 0.03, front - 0.035)))
    return [
        Part("body", join(body), frame),
        Part("drawers", join(fronts), materials.wood(rng)),
        Part("handles", join(knobs), materials.metal(rng)),
    ]


def sofa(rng: Rng, number: int) -> list[Part]:
    """Two to four seats, an L, rolled arms, or slim on wooden legs."""
    kind = ("box", "rolled", "slim", "corner")[number % 4]
    seats = (3, 2, 3, 3)[number % 4] if chance(rng, 0.6) else int(rng.integers(2, 5))
    each, depth, seat = between(rng, 0.55, 0.7), between(rng, 0.8, 0.95), between(rng, 0.38, 0.44)
    width, arm = seats * each, {"box": 0.2, "rolled": 0.2, "slim": 0.07, "corner": 0.16}[kind]
    cover = materials.cloth(rng)
    accent = materials.cloth(rng)
    low = 0.14 if kind == "slim" else 0.07
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


def bed(rng: Rng, number: int) -> list[Part]:
    """Panel, posts with a canopy, bars, upholstered, and a bunk."""
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
    """Return a mattress with a blanket and its pillows at the rear end."""
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
    """Return what stands behind the pillows, and for bars the lower one at the feet."""
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


def bookshelf(rng: Rng, number: int) -> list[Part]:
    """Tall with a back, open grid, ladder with shelves that grow, and stepped; filled with books and things."""
    kind = ("tall", "grid", "leaning", "stepped", "low")[number % 5]
    columns, rows = {
        "tall": (1, 5),
        "grid": (3, 3),
        "leaning": (1, 4),
        "stepped": (3, 4),
        "low": (2, 2),
    }[kind]
    if kind in ("tall", "leaning"):
        rows = int(rng.integers(4, 7))
    cell_w, cell_h, depth, t = (
        between(rng, 0.34, 0.42) * (2 if columns == 1 else 1),
        between(rng, 0.3, 0.38),
        between(rng, 0.26, 0.34),
        0.024,
    )
    frame, boards, things = materials.wood(rng), [], []
    width, feet = columns * cell_w, 0.06
    for row in range(rows + 1):
        reach = (columns - max(0, row - 1)) * cell_w if kind == "stepped" and row > 1 else width
        y = feet + row * cell_h
        d = depth * (1.25 - 0.6 * row / rows) if kind == "leaning" else depth
        boards.append(
            box(
                (reach + (0.03 if kind == "leaning" else -0.3 * t), t, d),
                ((reach - width) / 2, y, depth / 2 - d / 2),
                0.003,
            )
        )
        if row < rows:
            here = (
                max(1, round(reach / cell_w))
                if kind != "stepped"
                else columns - row
                if row
                else columns
            )
            for column in range(max(1, here)):
                low = -width / 2 + column * cell_w + t
                things += shelf_load(
                    rng,
                    low,
                    low + cell_w - 2 * t,
                    y + t / 2,
                    cell_h - t,
                    d * 0.8,
                    depth / 2 - d / 2,
                )
    boards += shelf_uprights(kind, columns, rows, cell_w, cell_h, depth, t, feet)
    parts = [Part("shelves", join(boards), frame)]
    if kind in ("tall", "low"):
        parts.append(
            Part(
                "back",
                box(
                    (width, rows * cell_h + 0.01, 0.01),
                    (0, feet + rows * cell_h / 2, depth / 2 - 0.012),
                    0,
                ),
                frame if chance(rng, 0.5) else materials.paint(rng),
            )
        )
    return parts + things


def shelf_uprights(
    kind: str,
    columns: int,
    rows: int,
    cell_w: float,
    cell_h: float,
    depth: float,
    t: float,
    feet: float,
) -> list[Mesh]:
    """Return a shelf's sides and partitions, standing from the floor."""
    width, uprights = columns * cell_w, []
    for column in range(columns + 1):
        x = -width / 2 + column * cell_w
        count = rows if kind != "stepped" else rows if column < 2 else rows - column + 1
        top = feet + count * cell_h + (0.05 if kind == "leaning" else 0.006)
        if kind == "leaning":
            for z0, z1 in ((-depth * 0.78, depth * 0.24), (depth / 2 - 0.03, depth / 2 - 0.03)):
                uprights.append(bar([x, 0, z0], [x, top, z1], 0.035))
        else:
            uprights.append(
                box((t, top, depth + 0.006), (x, top / 2, 0), 0.002)
            )  # proud of the boards all around
    return uprights


def shelf_load(
    rng: Rng, low: float, high: float, y: float, height: float, depth: float, z: float
) -> list[Part]:
    """Return books, upright with a leaning last one, or a box or a vase, between `low` and `high` on a board at `y`."""
    what = rng.random()
    if what < 0.12:
        return []
    if what < 0.25:
        r, x = min(0.07, (high - low) / 4), between(rng, low + 0.1, high - 0.1)
        vase = lathe(
            [
                [0, 0],
                [r * 0.6, 0],
                [r, height * 0.25],
                [r * 0.4, height * 0.55],
                [r * 0.6, height * 0.65],
                [0, height * 0.65],
            ],
            20,
        )
        return [Part("vase", vase.moved(x, y - 0.003, z), materials.paint(rng))]
    books: list[list[Mesh]] = [[], [], []]
    x, end = low + 0.006, low + (high - low) * between(rng, 0.5, 0.95)
    while x < end - 0.06:
        thick, tall = between(rng, 0.02, 0.05), height * between(rng, 0.6, 0.9)
        deep = depth * between(rng, 0.6, 0.85)
        book = box(
            (thick - 0.003, tall, deep),
            (x + thick / 2, y + tall / 2 - 0.003, z + depth * 0.42 - deep / 2),
            0.003,
        )
        books[int(rng.integers(3))].append(book)
        x += thick
    lean = height * 0.66
    if x + lean * 0.3 + 0.03 < high:
        books[0].append(
            box((0.028, lean, depth * 0.7), (-0.014, lean / 2, 0), 0.003)
            .turned("z", 16)
            .moved(x + lean * 0.28 + 0.034, y - 0.002, z)
        )
    return [Part("books", join(group), materials.paint(rng)) for group in books if group]


def cabinet(rng: Rng, number: int) -> list[Part]:
    """Sideboard on legs, chest of drawers, wardrobe, display cabinet with glass, and kitchen base."""
    kind = ("sideboard", "drawers", "wardrobe", "display", "kitchen")[number % 5]
    width, height, depth = {
        "sideboard": (between(rng, 1.3, 1.8), between(rng, 0.5, 0.65), 0.42),
        "drawers": (between(rng, 0.7, 1.1), between(rng, 0.8, 1.15), 0.45),
        "wardrobe": (between(rng, 0.9, 1.5), between(rng, 1.8, 2.1), 0.55),
        "display": (between(rng, 0.8, 1.0), between(rng, 1.5, 1.8), 0.4),
        "kitchen": (between(rng, 0.8, 1.2), 0.85, 0.55),
    }[kind]
    feet = between(rng, 0.14, 0.22) if kind == "sideboard" else 0.07
    body, doors, steel = (
        materials.wood(rng),
        materials.wood(rng) if chance(rng, 0.5) else materials.paint(rng),
        materials.metal(rng),
    )
    carcass = [box((width, height, depth), (0, feet + height / 2, 0), 0.008)]
    if kind in ("wardrobe", "display"):
        carcass.append(
            box((width + 0.07, 0.06, depth + 0.07), (0, feet + height + 0.01, 0), 0.02, 3)
        )
    parts = [Part("carcass", join(carcass), body)]
    if kind == "kitchen":
        parts.append(
            Part(
                "worktop",
                box(
                    (width + 0.05, 0.04, depth + 0.06), (0, feet + height + 0.015, -0.01), 0.008, 2
                ),
                materials.stone(rng),
            )
        )
    columns, rows = {
        "sideboard": (3, 1),
        "drawers": (1 if width < 0.85 else 2, 4),
        "wardrobe": (2 if width < 1.2 else 3, 1),
        "display": (2, 2),
        "kitchen": (2, 2),
    }[kind]
    fronts, handles, panes = [], [], []
    splits = np.linspace(0, 1, rows + 1) if kind != "kitchen" else np.array([0, 0.74, 1])
    for column, row in itertools.product(range(columns), range(rows)):
        w, h = width / columns, float(splits[row + 1] - splits[row]) * height
        x, y = (column + 0.5) * w - width / 2, feet + float(splits[row]) * height + h / 2
        leaf, pane = door(w - 0.02, h - 0.02, glazed=kind == "display" and row == 1)
        fronts += [mesh.moved(x, y, -depth / 2 - 0.006) for mesh in leaf]
        panes += [mesh.moved(x, y, -depth / 2 - 0.006) for mesh in pane]
        wide = kind == "drawers" or (kind == "kitchen" and row == 1)
        side = 1 if column % 2 == 0 else -1
        handle = (
            bar([-0.06, 0, 0], [0.06, 0, 0], 0.014, sides=8)
            if wide
            else bar(
                [side * (w / 2 - 0.05), -0.07, 0], [side * (w / 2 - 0.05), 0.07, 0], 0.014, sides=8
            )
        )
        handles.append(handle.moved(x, y, -depth / 2 - 0.03))
    parts += [Part("fronts", join(fronts), doors), Part("handles", join(handles), steel)]
    if panes:
        parts.append(Part("panes", join(panes), materials.dark_glass()))
    sides = 12 if kind == "sideboard" else 4
    return [
        *parts,
        Part(
            "feet",
            corner_legs(width - 0.06, depth - 0.04, feet + 0.02, 0.05, 0.03, 0, sides),
            body if chance(rng, 0.5) else steel,
        ),
    ]


def door(width: float, height: float, *, glazed: bool) -> tuple[list[Mesh], list[Mesh]]:
    """Return a framed front around the origin and, where glazed, its pane and bars."""
    stile = min(0.05, 0.2 * width, 0.2 * height)
    frame = [box((stile, height, 0.03), (s * (width - stile) / 2, 0, 0)) for s in (-1, 1)]
    frame += [
        box((width - 0.8 * stile, stile, 0.026), (0, s * (height - stile) / 2 * 0.999, 0))
        for s in (-1, 1)
    ]
    panel = box((width - stile, height - stile, 0.014), (0, 0, 0.002), 0)
    if not glazed:
        return [*frame, panel], []
    return [*frame, box((0.016, height - 0.8 * stile, 0.024))], [panel]


def bench(rng: Rng, number: int) -> list[Part]:
    """Park bench with a back, plank on trestles, upholstered, and a slab of stone."""
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
    """Return a park bench's cast sides: legs, a curve up the back and an armrest."""
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
