"""Guitars and ukuleles.

Each builder takes a random generator and the number of the model. The number chooses the kind, so
that a few models already show the breadth of a category; the generator draws everything else.
Metres, +Y up, front -Z.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import palette as materials
from ..palette import Material, Part, Rng, between, chance
from ..primitives import TO_FRONT, bar, box, extrude, join, lathe, spline, tube

__all__ = ["guitar"]


def polar_outline(
    control: Sequence[tuple[float, float]], samples: int = 64
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return a symmetric outline from the polar coordinates of its right side.

    These are (degrees from the bottom, radius).
    """
    right = [(a, r) for a, r in control if 0 < a < 180]
    ring = [*control] + [(360 - a, r) for a, r in reversed(right)]
    angle = np.radians([a - 90 for a, _ in ring])
    radius = np.array([r for _, r in ring])
    return spline(np.c_[radius * np.cos(angle), radius * np.sin(angle)], samples, closed=True)


def guitar(rng: Rng, number: int) -> list[Part]:
    """Build an acoustic, double-cut, single-cut or arrow guitar, or ukulele."""
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
    # The arrow is two wings; all others have a round outline.
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
            # One shoulder is cut away: its points move down by up to 30 %.
            bite = np.clip((shape[:, 1] - 0.05) / 0.15, 0, 1) * (shape[:, 0] < -0.03)
            shape = shape * np.c_[np.ones(len(shape)), 1 - 0.3 * bite]
        body = extrude(shape, thick, 0.008)
        top = float(shape[:, 1].max()) if acoustic else 0.13
    # All that lies on the front is placed from here.
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
    """Return neck, fretboard, frets, head with pegs, and six strings."""
    # The neck ends at the nut, where the head begins.
    nut = top + between(rng, 0.33, 0.38)
    neck = box((0.05, nut - top + 0.12, 0.03), (0, (nut + top) / 2 - 0.06, face + 0.008), 0.012, 3)
    board = box((0.056, nut - top + 0.09, 0.012), (0, (nut + top) / 2 - 0.045, face - 0.011), 0.002)
    head = (
        box((0.075, 0.17, 0.018), (0, 0.085, 0), 0.004)
        .turned("x", 12)
        .moved(0, nut - 0.012, face + 0.004)
    )
    # Each fret shortens the string by a twelfth root of two.
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
    # Six strings from bridge to nut, and on to the pegs.
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
