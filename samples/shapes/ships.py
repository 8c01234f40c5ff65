"""Watercraft: cargo ships, yachts, tugs, sailing and rowing boats.

Each builder takes a random generator and the number of the model. The number chooses the kind, so
that a few models already show the breadth of a category; the generator draws everything else.
Metres, +Y up, front -Z.
"""

from __future__ import annotations

import itertools
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
    grid,
    join,
    lathe,
    loft,
    outward,
    rounded_rectangle,
    tube,
    weld,
)
from .aircraft import airfoil_wing

__all__ = ["vessel"]


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
    # 0 is the bow
    f = np.linspace(0, 1, 25)
    half = (
        beam
        / 2
        * np.where(
            f < 0.5,
            np.sin(np.pi * f) ** 0.75,
            1 - (1 - stern) * np.clip((f - 0.5) / 0.5, 0, 1) ** 2,
        )
    )
    # The bow keeps some breadth, so that no section shrinks to a line.
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
        # The right side of a section from keel to deck, (4, 3); its mirror image closes it.
        levels = np.array([0.0, 0.12, 0.45, 1.0])
        breadth = np.array(
            [0.04 + 0.66 * fullness, 0.3 + 0.6 * fullness, 0.78 + 0.2 * fullness, 1.0]
        )
        right = np.c_[breadth * hi, ki + levels * (ti - ki), np.full(4, zi)]
        sections.append(np.concatenate([right, (right * [-1, 1, 1])[::-1]]))
    return box_uv(loft(sections), 0.5), np.c_[z, half, top]


def deck_plate(deck: FloatArray, thick: float, inset: float) -> Mesh:
    """Return a deck along the sheer, just above the hull."""
    z, half, top = deck[1:].T
    # Its ends must not lie in the hull's
    z = 0.994 * z
    half = np.maximum(half * inset, 0.01)
    rings = [
        np.array([[h, t - thick, zi], [h, t + thick, zi], [-h, t + thick, zi], [-h, t - thick, zi]])
        for zi, h, t in zip(z, half, top, strict=True)
    ]
    return box_uv(loft(rings), 0.6)


def vessel(rng: Rng, number: int) -> list[Part]:
    """Build a sailing boat, container ship, motor yacht, tug or rowing boat."""
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
    """Return keel, rudder, cabin, mast, boom, main sail and jib.

    The sails are sheets that belly to one side.
    """
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
    """Return a three-cornered sheet, bellied along x.

    u goes from tack to clew, v up to the head.
    """
    a, b, c = (np.array(point, dtype=np.float64) for point in (tack, clew, head))
    points = []
    # Rows from the foot to the head, (13, 9, 3) in all.
    for v in np.linspace(0, 1, 13):
        start, end = a + v * (c - a), b + v * (c - b)
        u = np.linspace(0, 1, 9)[:, None]
        # No belly along the front edge, along the rear edge and at the head.
        bulge = belly * 4 * u * (1 - u) * (1 - v) * (0.35 + v * 1.3)
        points.append(start + u * (end - start) + bulge * np.array([1.0, 0, 0]))
    width = np.linspace(0, 1, 9)
    uvs = [np.c_[width * (1 - v), np.full(9, v)] for v in np.linspace(0, 1, 13)]
    return grid(np.array(points), np.array(uvs))


def cargo_load(rng: Rng, length: float, beam: float, depth: float) -> list[Part]:
    """Return stacked containers, and a bridge and a funnel behind."""
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
    """Return two decks of windows under roofs, a rail and an arch."""
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
    """Return a wheelhouse on a deckhouse, a funnel, tyres and a mast."""
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
    """Return an open boat: a hollow shell, thwarts, a pair of oars."""
    length, beam, depth, wall = between(rng, 3.4, 4.2), between(rng, 1.2, 1.4), 0.55, 0.03
    f = np.linspace(0, 1, 25)
    half = np.maximum(beam / 2 * np.sin(np.pi * np.clip(f * 0.86 + 0.02, 0, 1)) ** 0.8, 0.05)
    top = depth + 0.22 * (1 - f) ** 2
    keel = 0.4 * np.clip(0.2 - f, 0, 1) / 0.2 * depth + 0.1 * np.clip(f - 0.85, 0, 1)
    sections = []
    for fi, h, t, k in zip(f, half, top, keel, strict=True):
        z, inner = (fi - 0.5) * length, max(h - wall, 0.02)
        # Up the outside and down the inside, (8, 3); its mirror image makes it (16, 3).
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
    """Skin U-shaped sections, outside and inside, and close both ends.

    Parameters
    ----------
    sections : (m, 16, 3) float, metres; up the outside, down the inside, then the same mirrored,
        backward
    """
    closed = np.concatenate([sections, sections[:, :1]], axis=1)
    # At each end a strip, (2, 8, 3), fills the gap between outside and inside.
    bow, stern = (
        grid(np.stack([ring[[3, 2, 1, 0, 15, 14, 13, 12]], ring[[4, 5, 6, 7, 8, 9, 10, 11]]]))
        for ring in (sections[0], sections[-1])
    )
    return box_uv(outward(weld(join([grid(closed), bow, stern.flipped()]))), 0.6)
