"""Materials and parts of the samples, and palettes to draw from."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import textures
from .primitives import Mesh

__all__ = ["Material", "Part", "Rng", "between", "chance", "pick"]

Rng = np.random.Generator
Rgb = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Material:
    """A surface as an MTL file describes it.

    Two materials are equal only if they are the same object.

    Attributes
    ----------
    colour : sRGB in [0, 1]; a texture takes its place
    specular : strength of highlights in [0, 1]
    shininess : MTL's Ns, 0 to 1000
    alpha : MTL's d, 1 is opaque
    texture : (h, w, 3) uint8, sRGB, or None
    repeat : times that the texture fits into one unit of the mesh's texture coordinates (a metre on
        furniture)
    """

    colour: Rgb
    specular: float = 0.15
    shininess: float = 60.0
    alpha: float = 1.0
    texture: NDArray[np.uint8] | None = None
    repeat: float = 1.0


@dataclass(frozen=True, eq=False)
class Part:
    """A mesh of one material.

    A sheet is open; every other part is a closed solid with faces outward.
    """

    name: str
    mesh: Mesh
    material: Material
    sheet: bool = False


def between(rng: Rng, low: float, high: float) -> float:
    """Draw a number."""
    return float(rng.uniform(low, high))


def chance(rng: Rng, share: float) -> bool:
    """Draw yes or no."""
    return bool(rng.random() < share)


def pick(rng: Rng, *names: str) -> str:
    """Draw one of the names."""
    return names[int(rng.integers(len(names)))]


@functools.cache
def rgb(digits: str) -> Rgb:
    """Read a colour of six hexadecimal digits."""
    red, green, blue = (int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))
    return red, green, blue


def draw(rng: Rng, palette: str) -> Rgb:
    """Draw one of a palette's colours."""
    colours = palette.split()
    return rgb(colours[int(rng.integers(len(colours)))])


WOODS = "c89b6a:8a5a33 d9b98c:a67c4e 9c6b43:5b3720 7a4a2c:3f2415 e0c9a2:b8946a 6b4a38:3a251c b5713c:6f3f1e"
PAINTS = "c0392b 1f5fa8 2e8b57 e3a51b f0ece2 2d3138 6c3f8f e26d3f 3fa7b5 8d1f2d 9bb23a 47586b d9d4c7 17365d"
CLOTHS = "4b6584 8e5a4b 6a8a6f c9b79c 7a6a86 b5533c 34495e d8c9a8 95a3a6 5e7d6a a34a5e e0d6c3 3d4f4a c58f3d"
PLASTICS = "f2f2ee 2b2b2e d94f3d 2f7fc1 f2b632 3fae7c e98cae 6d7680 f2e3c6 1e3f66"
METALS = "b9bcc0 8c8f94 3a3c40 c9a24e 9b6b43 d4d6d8"
LEATHERS = "4a2c1d 6d3b22 22201f 8a5632 d8c6a8 5a1f1f 37413a"
GLASSES = "2f5d3a 6b4a1f 7fb3c8 c9dfe3 31506b b5523b"
PAPERS = "f4efe2 f7e7b7 e8f0ea fdfdfb 24344d 8a1f2b"


def paint(rng: Rng) -> Material:
    """Draw a glossy coat."""
    return Material(draw(rng, PAINTS), specular=0.5, shininess=250)


def plastic(rng: Rng) -> Material:
    """Draw a plain plastic."""
    return Material(draw(rng, PLASTICS), specular=0.3, shininess=120)


def metal(rng: Rng) -> Material:
    """Draw a metal, as MTL knows it: a colour with strong highlights."""
    return Material(draw(rng, METALS), specular=0.8, shininess=400)


def rubber() -> Material:
    """Return the black of tyres."""
    return Material(rgb("1b1b1d"), specular=0.05, shininess=20)


def dark_glass() -> Material:
    """Return the dark glass of closed windows."""
    return Material(rgb("1a2229"), specular=0.9, shininess=600)


def plain(digits: str, specular: float = 0.15) -> Material:
    """Return a plain colour of six hexadecimal digits."""
    return Material(rgb(digits), specular=specular)


def glass(rng: Rng) -> Material:
    """Draw a coloured glass; two of three are half transparent."""
    alpha = 1.0 if chance(rng, 1 / 3) else round(between(rng, 0.3, 0.7), 2)
    return Material(draw(rng, GLASSES), specular=0.9, shininess=700, alpha=alpha)


def wood(rng: Rng) -> Material:
    """Draw a wood: mostly with grain, else stained or painted plain."""
    light, dark = (rgb(digits) for digits in WOODS.split()[int(rng.integers(7))].split(":"))
    if chance(rng, 0.2):
        return Material(light, specular=0.2)
    return Material(light, specular=0.2, texture=textures.wood(rng, light, dark))


def cloth(rng: Rng) -> Material:
    """Draw an upholstery: weave, tartan, stripes, plain cloth or leather."""
    a, b = draw(rng, CLOTHS), draw(rng, CLOTHS)
    kind = pick(rng, "weave", "checks", "stripes", "plain", "leather", "weave")
    if kind == "leather":
        return Material(draw(rng, LEATHERS), specular=0.4, shininess=150)
    if kind == "plain" or a == b:
        return Material(a, specular=0.02)
    if kind == "stripes":
        return Material(
            a, specular=0.02, texture=textures.stripes(rng, [a, b, rgb("efe7d6")]), repeat=2.5
        )
    if kind == "weave":
        b = (
            0.5 * (a[0] + b[0]),
            0.5 * (a[1] + b[1]),
            0.5 * (a[2] + b[2]),
        )  # near one another, as threads mostly are
        return Material(a, specular=0.02, texture=textures.weave(rng, a, b), repeat=3.0)
    return Material(a, specular=0.02, texture=textures.checks(rng, a, b), repeat=3.0)


def stone(rng: Rng) -> Material:
    """Draw marble or terrazzo."""
    if chance(rng, 0.6):
        ground, vein = (
            rgb(c) for c in (("efece6", "8d8a88") if chance(rng, 0.6) else ("2f3a36", "b9c2b4"))
        )
        return Material(
            ground, specular=0.6, shininess=300, texture=textures.marble(rng, ground, vein)
        )
    chips = [draw(rng, PAINTS) for _ in range(4)]
    return Material(
        rgb("e6e1d8"), specular=0.4, texture=textures.speckle(rng, rgb("e6e1d8"), chips), repeat=2.0
    )


def label(rng: Rng) -> Material:
    """Draw a printed paper with a word and marks.

    The marks tell left from right and up from down.
    """
    paper = draw(rng, PAPERS)
    ink = rgb("f4efe2") if sum(paper) < 1.5 else draw(rng, "1d2430 5a1a20 1f4a3a 2b2b6b")
    return Material(paper, texture=textures.label(rng, paper, ink, draw(rng, PAINTS)))


def back(rng: Rng, front: Material) -> Material:
    """Draw the back material of a doubled face, unlike its front."""
    if chance(rng, 0.25):
        a, b = rgb("ff00c8"), draw(rng, PAINTS)
        return Material(a, texture=textures.checks(rng, a, b, 64), alpha=front.alpha)
    colours = [
        c for c in (rgb("9fb4c0"), rgb("d8d8d8"), rgb("3cb371"), rgb("c2527a")) if c != front.colour
    ]
    return Material(colours[int(rng.integers(len(colours)))], specular=0.05)
