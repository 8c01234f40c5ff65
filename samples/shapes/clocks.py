"""Clocks for walls, shelves and floors.

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
from ..primitives import TO_FRONT, Mesh, bar, box, extrude, join, lathe, spline, tube

__all__ = ["clock"]


def clock(rng: Rng, number: int) -> list[Part]:
    """Build a wall, alarm, mantel, grandfather, square or sunburst clock."""
    kind = ("alarm", "wall", "grandfather", "mantel", "sunburst", "square")[number % 6]
    # The ink is dark on a light dial and light on a dark one.
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
    # Round cases are turned about their axis.
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
        # The mantel clock's outline: an arch on a flat foot.
        angles = np.linspace(0, math.pi, 21)
        arch = np.c_[1.25 * r * np.cos(angles), 1.25 * r * np.sin(angles)]
        outline = np.concatenate([[[1.25 * r, -0.09]], arch, [[-1.25 * r, -0.09]]])
        body = [extrude(outline, 0.07, 0.006), box((3.6 * r, 0.025, 0.1), (0, -0.095, 0), 0.006)]
        body += [box((0.5 * r, 0.08, 0.06), (s * 1.4 * r, -0.055, 0), 0.006) for s in (-1, 1)]
        return [Part("body", join(body), coat), *clock_face(face, hands, r, -0.0375, hour, 0)]
    # The square clock.
    plate = [box((2.5 * r, 2.5 * r, 0.04), (0, 0, 0), 0.012, 3)]
    return [Part("plate", join(plate), coat), *clock_face(face, hands, r, -0.0225, hour, 0)]


def clock_face(
    face: Material, hands: Material, r: float, z: float, hour: float, y: float
) -> list[Part]:
    """Return a dial, its hands and their pin.

    The front of the dial lies at `z` - 0.002. Seen from the front the hands turn to the right.
    """
    disc = (
        lathe([[0, 0], [r, 0], [r, 0.008], [0, 0.008]], 56)
        .turned("x", TO_FRONT)
        .moved(0, 0, z + 0.006)
    )
    # The picture lies flat on the dial, upright.
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
    """Return a tall case with a glass door and a pendulum."""
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
