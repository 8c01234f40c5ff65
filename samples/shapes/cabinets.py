"""Cabinets and bookshelves.

Each builder takes a random generator and the number of the model. The number chooses the kind, so
that a few models already show the breadth of a category; the generator draws everything else.
Metres, +Y up, front -Z.
"""

from __future__ import annotations

import itertools

import numpy as np

from .. import palette as materials
from ..palette import Part, Rng, between, chance
from ..primitives import Mesh, bar, box, join, lathe
from .legs import corner_legs

__all__ = ["bookshelf", "cabinet"]


def bookshelf(rng: Rng, number: int) -> list[Part]:
    """Build a bookshelf: tall, open grid, ladder or stepped; filled with things."""
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
            cells = (
                max(1, round(reach / cell_w))
                if kind != "stepped"
                else columns - row
                if row
                else columns
            )
            for column in range(max(1, cells)):
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
    """Return the books, box or vase on one board."""
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
    """Build a sideboard, chest of drawers, wardrobe, display cabinet or kitchen base."""
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
    """Return a framed front at the origin; glazed, with pane and bars."""
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
