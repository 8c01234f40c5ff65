"""Segmented shapes to look at: coloured PLY files, and a page that needs nothing but itself."""

from __future__ import annotations

import base64
import colorsys
import html
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from ...reconstruct.ply import encode_ply
from .benchmarks.shapenetpart import PARTS
from .benchmarks.shapes import FloatArray, IntArray
from .metrics import shape_iou

__all__ = ["draw_cloud", "page_text", "part_colours", "ply_bytes"]

Segmented = tuple[str, str, FloatArray, IntArray, IntArray]
"""Category, name, points (P, 3), true and predicted parts (P,)."""
_SIZE, _MARGIN = 260, 6  # pixels
_WRONG, _RIGHT = (214, 39, 40), (205, 205, 205)
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:860px;color:#222;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin:2rem 0 .3rem}figure{margin:.6rem 0 1rem}img{max-width:100%;display:block}
figcaption{color:#555;font-size:.9rem;overflow-wrap:anywhere}table{border-collapse:collapse;width:100%;max-width:780px;table-layout:fixed}
th{font-weight:600;text-align:center;color:#555}
.swatch{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 .9em}"""


def part_colours(parts: IntArray) -> NDArray[np.uint8]:
    """Return each part's colour, (..., 3) sRGB.

    Parts of one category are far apart on the circle of hues.
    """
    table = np.zeros((50, 3), dtype=np.uint8)
    for labels in PARTS.values():
        for place, label in enumerate(labels):
            hue, light = (0.58 + place / max(len(labels), 4)) % 1, 0.5 if place % 2 == 0 else 0.42
            table[label] = [
                round(255 * channel) for channel in colorsys.hls_to_rgb(hue, light, 0.7)
            ]
    colours: NDArray[np.uint8] = table[parts]
    return colours


def ply_bytes(points: FloatArray, parts: IntArray) -> bytes:
    """Make a binary PLY file of points with the colours and labels of their parts."""
    vertices: dict[str, NDArray[Any]] = dict(zip("xyz", points.astype(np.float32).T, strict=True))
    colours = part_colours(parts).T
    vertices |= dict(zip(("red", "green", "blue"), colours, strict=True))
    vertices["part"] = parts.astype(np.uint8)
    return encode_ply(vertices)


def draw_cloud(points: FloatArray, colours: NDArray[np.uint8], size: int = _SIZE) -> Image.Image:
    """Draw a cloud from its upper left front, near points over far ones.

    Parameters
    ----------
    points : (P, 3) float32, normalised, +Y up
    colours : (P, 3) uint8
    """
    turn, tilt = np.radians(35), np.radians(20)
    around = np.array(
        [[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]
    )
    down = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    # turned about the y axis, then tilted: (P, 3)
    seen = points @ around.T @ down.T
    # one scale for both axes; the least value is for a cloud that is a point
    spread = max(np.ptp(seen[:, 0]), np.ptp(seen[:, 1]), 1e-6)
    middle = (seen.max(axis=0) + seen.min(axis=0)) / 2
    place = (seen[:, :2] - middle[:2]) * [1, -1] * (
        0.86 * 2 * size / spread
    ) + size  # drawn at twice the size
    depth = (seen[:, 2] - seen[:, 2].min()) / max(np.ptp(seen[:, 2]), 1e-6)
    shade = (0.62 + 0.38 * depth)[:, None]
    tones = (colours * shade).astype(np.uint8)
    image = Image.new("RGB", (2 * size, 2 * size), "white")
    pen, radius = ImageDraw.Draw(image), max(2.0, 190 / np.sqrt(len(points)))
    # far points first, so that near ones lie over them
    for i in np.argsort(depth):
        (x, y), tone = place[i], tones[i]
        pen.ellipse(
            (x - radius, y - radius, x + radius, y + radius),
            fill=(int(tone[0]), int(tone[1]), int(tone[2])),
        )
    return image.resize((size, size), Image.Resampling.LANCZOS)


def draw_row(points: FloatArray, true: IntArray, predicted: IntArray) -> Image.Image:
    """Draw truth, prediction, and where they differ, side by side."""
    wrong = np.where((true != predicted)[:, None], _WRONG, _RIGHT).astype(np.uint8)
    row = Image.new("RGB", (3 * _SIZE, _SIZE), "white")
    for place, colours in enumerate((part_colours(true), part_colours(predicted), wrong)):
        row.paste(draw_cloud(points, colours), (place * _SIZE, 0))
    # the background is white, so the inverse is nonzero where something is drawn
    box = ImageOps.invert(row).getbbox() or (0, 0, 1, _SIZE)
    return row.crop((0, max(box[1] - _MARGIN, 0), 3 * _SIZE, min(box[3] + _MARGIN, _SIZE)))


def page_text(shapes: Sequence[Segmented]) -> str:
    """Make a self-contained page, HTML: truth, prediction and differences of each shape."""
    blocks, category = [], None
    for name, model, points, true, predicted in shapes:
        if name != category:
            category = name
            tones = [tuple(part_colours(np.array(part)).tolist()) for part in PARTS[name]]
            keys = "".join(
                f'<span class="swatch" style="background:rgb{tone}"></span>{part}'
                for part, tone in zip(PARTS[name], tones, strict=True)
            )
            blocks.append(f"<h2>{name}</h2><div>part{keys}</div>")
            blocks.append(
                "<table><tr><th>truth</th><th>prediction</th><th>differences</th></tr></table>"
            )
        buffer = io.BytesIO()
        draw_row(points, true, predicted).save(buffer, "PNG", optimize=True)
        picture = base64.b64encode(buffer.getvalue()).decode()
        words = f"{html.escape(model)}: IoU {100 * shape_iou(predicted, true, PARTS[name]):.1f} %"
        words += f", {100 * float((predicted == true).mean()):.1f} % of points right"
        blocks.append(
            f'<figure><img width="{3 * _SIZE}" alt="{words}" src="data:image/png;base64,{picture}">'
            f"<figcaption>{words}</figcaption></figure>"
        )
    title = "Part segmentation: truth beside prediction"
    text = "<p>The first test shapes of each category, the final epoch's weights. Differences are red.</p>"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1>{text}{''.join(blocks)}</html>\n"
    )
