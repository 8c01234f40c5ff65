"""Laptops.

Each builder takes a random generator and the number of the model. The number chooses the kind, so
that a few models already show the breadth of a category; the generator draws everything else.
Metres, +Y up, front -Z.
"""

from __future__ import annotations

from .. import palette as materials
from .. import textures
from ..palette import Material, Part, Rng, between, chance, rgb
from ..primitives import box, extrude, fit_uv, join, rounded_rectangle, tube

__all__ = ["laptop"]


def laptop(rng: Rng, number: int) -> list[Part]:
    """Build a slim, thick, flat or small laptop.

    The keys are shapes or a picture.
    """
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
    # The lid and all on it turn about the hinge.
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
    # Keys are seventy boxes, or a picture on a plate.
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
