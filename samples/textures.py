"""Procedural pictures for the samples' surfaces: wood, cloth, stone, labels, dials, screens.

All are (h, w, 3) uint8, sRGB, row 0 on top. Patterns that are repeated join at their edges.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "checks",
    "dial",
    "fuselage",
    "keyboard",
    "label",
    "marble",
    "screen",
    "speckle",
    "stripes",
    "weave",
    "wood",
]

Image = NDArray[np.uint8]
FloatArray = NDArray[np.float64]
Colour = Sequence[float]

GLYPHS = {
    "C": "01110 10001 10000 10000 10000 10001 01110",
    "M": "10001 11011 10101 10101 10001 10001 10001",
    "A": "01110 10001 10001 11111 10001 10001 10001",
    "3": "11110 00001 00001 01110 00001 00001 11110",
    "D": "11110 10001 10001 10001 10001 10001 11110",
    "F": "11111 10000 10000 11110 10000 10000 10000",
    "R": "11110 10001 10001 11110 10100 10010 10001",
    "E": "11111 10000 10000 11110 10000 10000 11111",
    "G": "01110 10001 10000 10111 10001 10001 01110",
    "P": "11110 10001 10001 11110 10000 10000 10000",
    "7": "11111 00001 00010 00100 01000 01000 01000",
}
"""Letters of 5 x 7 pixels. None looks the same mirrored and upside down, and no font file is needed."""

WORDS = ("CMA3D", "GRAPE", "CAFE", "FARM", "CREMA", "R7", "DEEP", "PAGE")


def to_image(values: FloatArray) -> Image:
    """Round colours in [0, 1] to eight bits."""
    image: Image = np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return image


def blend(a: Colour, b: Colour, amount: FloatArray) -> FloatArray:
    """Mix two colours; `amount` (h, w) goes from 0, `a`, to 1, `b`."""
    mixed: FloatArray = np.asarray(a) + amount[..., None] * (np.asarray(b) - np.asarray(a))
    return mixed


def noise(rng: np.random.Generator, size: int, rows: int, columns: int) -> FloatArray:
    """Return smooth tileable noise, (size, size) float64 in [0, 1]."""
    lattice = rng.random((rows, columns))
    # Each pass stretches one axis of the lattice: (rows, columns) to (size, size).
    for axis, cells in ((0, rows), (1, columns)):
        position = np.arange(size) * (cells / size)
        low = position.astype(int)
        weight = position - low
        # The slope is zero at the points of the lattice, so that no creases show.
        weight = weight * weight * (3 - 2 * weight)
        weight = weight[:, None] if axis == 0 else weight[None, :]
        # The modulo joins the last cell to the first: the noise can be repeated.
        near, far = lattice.take(low, axis=axis), lattice.take((low + 1) % cells, axis=axis)
        lattice = near + weight * (far - near)
    return lattice


def write_word(
    picture: FloatArray, word: str, row: int, column: int, scale: int, colour: Colour
) -> None:
    """Draw letters into a picture; what doesn't fit is cut off."""
    for index, letter in enumerate(word):
        # (7, 5) pixels of a letter; np.kron makes a square of each.
        bits = np.array([[bit == "1" for bit in line] for line in GLYPHS[letter].split()])
        mask = np.kron(bits, np.ones((scale, scale), dtype=bool))
        left = column + index * 6 * scale
        window = picture[row : row + 7 * scale, left : left + 5 * scale]
        window[mask[: window.shape[0], : window.shape[1]]] = colour


def wood(rng: np.random.Generator, light: Colour, dark: Colour, size: int = 192) -> Image:
    """Paint wood grain that runs along u."""
    v = np.arange(size)[:, None] / size
    warp = noise(rng, size, 3, 2) + 0.35 * noise(rng, size, 7, 3)
    # A whole number of rings from edge to edge, so that the picture can be repeated.
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * (int(rng.integers(4, 7)) * v + 1.6 * warp))
    fibres = noise(rng, size, 96, 5)
    return to_image(
        blend(light, dark, 0.55 * rings**2 + 0.4 * fibres)
        * (0.94 + 0.08 * noise(rng, size, 64, 24))[..., None]
    )


def weave(rng: np.random.Generator, warp: Colour, weft: Colour, size: int = 128) -> Image:
    """Paint threads that go over and under, in two colours."""
    pitch = 8
    row, column = np.indices((size, size))
    over = (row // pitch + column // pitch) % 2 == 0
    # (size, size) position across the thread on top, 0 and 1 at its edges, which are darker.
    across = np.where(over, row % pitch, column % pitch) / (pitch - 1)
    shade = 0.8 + 0.2 * np.sin(np.pi * across) + 0.12 * (rng.random((size, size)) - 0.5)
    return to_image(blend(warp, weft, over.astype(float)) * shade[..., None])


def checks(rng: np.random.Generator, ground: Colour, band: Colour, size: int = 128) -> Image:
    """Paint tartan: wide and narrow bands that cross on a ground."""
    position = np.arange(size) / size
    wide, narrow = (
        ((position > 0.1) & (position < 0.45)).astype(float),
        ((position > 0.66) & (position < 0.74)).astype(float),
    )
    line = 0.5 * wide + 0.4 * narrow
    amount = (line[:, None] + line[None, :]) * (0.94 + 0.12 * rng.random((size, size)))
    return to_image(blend(ground, band, np.clip(amount, 0, 1)))


def stripes(rng: np.random.Generator, colours: Sequence[Colour], size: int = 128) -> Image:
    """Paint upright stripes of unequal widths."""
    # (5,) edges on a raster of sixteenths, so that no stripe is thinner than that.
    edges = np.sort(rng.choice(np.arange(1, 16), size=5, replace=False)) * (size // 16)
    band = np.searchsorted(edges, np.arange(size), side="right") % len(colours)
    picture = np.asarray(colours)[band][None].repeat(size, axis=0)
    return to_image(picture * (0.95 + 0.05 * rng.random((size, size, 1))))


def marble(rng: np.random.Generator, ground: Colour, vein: Colour, size: int = 192) -> Image:
    """Paint veins that wander through a pale ground."""
    row, column = np.indices((size, size)) / size
    warp = noise(rng, size, 4, 4) + 0.5 * noise(rng, size, 9, 9) + 0.25 * noise(rng, size, 19, 19)
    # Whole factors of row and column make the veins meet at the picture's edges.
    veins = 1 - np.abs(np.sin(np.pi * (2 * row + column + 2.2 * warp)))
    return to_image(blend(ground, vein, 0.75 * veins**5 + 0.18 * noise(rng, size, 6, 6)))


def speckle(
    rng: np.random.Generator, ground: Colour, chips: Sequence[Colour], size: int = 128
) -> Image:
    """Paint terrazzo: chips of stone in a ground."""
    picture = np.tile(np.asarray(ground, dtype=np.float64), (size, size, 1))
    rows, columns = np.indices((size, size))
    for _ in range(70):
        y, x, radius, squash = *rng.integers(0, size, 2), rng.uniform(2, 6), rng.uniform(0.5, 1.6)
        # Distances wrap around, so that a chip at one edge goes on at the other.
        dy, dx = (
            (rows - y + size // 2) % size - size // 2,
            (columns - x + size // 2) % size - size // 2,
        )
        picture[dy**2 * squash + dx**2 / squash < radius**2] = chips[int(rng.integers(len(chips)))]
    return to_image(picture)


def label(
    rng: np.random.Generator, paper: Colour, ink: Colour, accent: Colour, size: int = 128
) -> Image:
    """Paint two square fields, each with word, sun and wedge.

    The sun stands above the word's left; the wedge rises to the left.

    It looks like neither its mirror image nor itself upside down.
    """
    picture = np.tile(np.asarray(paper, dtype=np.float64), (size, 2 * size, 1))
    row, column = np.indices((size, size))
    word = WORDS[int(rng.integers(len(WORDS)))]
    scale = min(5, (size - 16) // (6 * len(word)))
    for left in (0, size):
        field = picture[:, left : left + size]
        field[(row - 0.22 * size) ** 2 + (column - 0.2 * size) ** 2 < (0.09 * size) ** 2] = accent
        field[(row > 0.7 * size + 0.14 * column) & (row < 0.87 * size)] = accent
        start = (size - (6 * len(word) - 1) * scale) // 2
        write_word(field, word, int(0.38 * size), start, scale, ink)
    picture[: size // 24], picture[-size // 24 :] = ink, ink
    return to_image(picture)


def dial(
    rng: np.random.Generator, paper: Colour, ink: Colour, accent: Colour, size: int = 256
) -> Image:
    """Paint a clock's face: twelve strokes and a word.

    The stroke at twelve o'clock is double, and the word stands below it.
    """
    # x and y in [-1, 1] at pixel centres; the hour grows clockwise from the top.
    y, x = (np.indices((size, size)) + 0.5) / size * 2 - 1
    radius, hour = np.hypot(x, y), (np.arctan2(x, -y) / (2 * np.pi) * 12) % 12
    picture = np.tile(np.asarray(paper, dtype=np.float64), (size, size, 1))
    # Distance along the circle to the nearest full hour, in units of x and y.
    offset = (hour - np.round(hour)) / 12 * 2 * np.pi * radius
    nearest = np.round(hour).astype(int) % 12
    width = np.where(nearest % 3 == 0, 0.035, 0.018)
    stroke = (
        (np.abs(offset) < width)
        & (radius > np.where(nearest % 3 == 0, 0.62, 0.7))
        & (radius < 0.84)
    )
    picture[stroke] = ink
    picture[stroke & (nearest == 0)] = accent
    minute = hour * 5
    picture[(np.abs(minute - np.round(minute)) < 0.12) & (radius > 0.87) & (radius < 0.91)] = ink
    word = WORDS[int(rng.integers(len(WORDS)))]
    write_word(picture, word, int(0.3 * size), size // 2 - 3 * 3 * len(word), 3, ink)
    return to_image(picture)


def screen(
    rng: np.random.Generator, dark: Colour, light: Colour, accent: Colour, size: int = 256
) -> Image:
    """Paint a desktop: a bar, a window with a chart, a word."""
    picture = blend(dark, accent, 0.55 * noise(rng, size, 2, 2))
    picture[: size // 16] = 0.12
    picture[size // 5 : 4 * size // 5, size // 10 : size // 2] = light
    for line in range(8):
        top = size // 4 + line * size // 16
        picture[
            top : top + size // 40, size // 8 : size // 8 + int(size * rng.uniform(0.15, 0.33))
        ] = dark
    for column in range(5):
        left, height = int(size * (0.57 + 0.075 * column)), int(size * rng.uniform(0.1, 0.4))
        picture[int(0.8 * size) - height : int(0.8 * size), left : left + size // 20] = accent
    write_word(picture, "CMA3D", size // 5, int(0.58 * size), 3, light)
    return to_image(picture)


def keyboard(ground: Colour, key: Colour, size: int = 256) -> Image:
    """Paint five shifted rows of keys, the lowest with a space bar."""
    picture = np.tile(np.asarray(ground, dtype=np.float64), (size, size, 1))
    pitch_x, pitch_y = size / 14, size / 5
    for row in range(5):
        top, bottom = int(row * pitch_y) + 4, int((row + 1) * pitch_y) - 4
        for column in range(14):
            left = int((column + 0.2 * (row % 3)) * pitch_x) + 2
            picture[top:bottom, left : min(left + int(pitch_x) - 4, size - 2)] = key
    picture[int(4 * pitch_y) + 4 : -4, int(4 * pitch_x) : int(9 * pitch_x)] = key
    return to_image(picture)


def fuselage(rng: np.random.Generator, ground: Colour, band: Colour, size: int = 256) -> Image:
    """Paint an airliner's skin: windows, band and word on each side.

    u goes around, 0.5 on top; v from nose to tail.
    """
    picture = np.tile(np.asarray(ground, dtype=np.float64), (size, size, 1))
    word = WORDS[int(rng.integers(len(WORDS)))]
    rows = np.arange(size)
    for side in (0.27, 0.73):
        line = int(side * size)
        picture[:, line - 3 : line + 3] = np.where(
            (rows[:, None, None] // 5 % 2 == 0), 0.12, ground
        )
        low = line + (-12 if side < 0.5 else 7)
        picture[:, low : low + 5] = band
    letters = np.tile(np.asarray(ground, dtype=np.float64), (24, size // 2, 1))
    write_word(letters, word, 2, 4, 2, band)
    # On the other side the word runs from tail to nose
    sideways = letters.transpose(1, 0, 2)
    top, left, right = size // 6, int(0.33 * size), int(0.58 * size)
    picture[top : top + size // 2, left : left + 24] = sideways[::-1, ::-1]
    picture[top : top + size // 2, right : right + 24] = sideways
    picture[: size // 24] = band
    return to_image(picture)
