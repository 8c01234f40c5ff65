"""Pictures of rows: one row with its reprojection and laws, or many side by side."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ...core.arrays import spread_indices
from ...core.camera import Camera
from ...core.errors import InputError
from ...core.outputs import check_file, stamp_text, write_file
from ...core.schema import Row, row_camera
from ..laws import LAWS
from ..reader import Shards
from ..row_checks import check_row

__all__ = [
    "PICTURE",
    "contact_png",
    "draw_overview",
    "draw_row",
    "draw_sheet",
    "overview_png",
    "write_row",
]

PICTURE = "picture"
"""Of single files, see `outputs`."""

_PAPER, _INK, _FAINT = "#ffffff", "#1c2530", "#667080"
_PANEL = "#eef1f4"  # behind clouds, so that white points show


def draw_sheet(
    folder: Path, out: Path, *, row: int | None = None, model: str | None = None
) -> Path:
    """Draw a row of a folder of shards to a PNG.

    Parameters
    ----------
    row : index of the row; model : id (or synset/id) of the model, its first row is drawn. One of
        the two.

    Raises
    ------
    InputError : no such row or model, no shards, or `out` is no PNG or cannot be written
    """
    if out.suffix.lower() != ".png":
        raise InputError(f"{out}: the sheet is a picture, give a name that ends in .png")
    shards = Shards(folder)
    if model is not None:
        row = shards.find(model)[0]
    if row is None or not 0 <= row < len(shards):
        has = f"it has rows 0 to {len(shards) - 1}" if len(shards) else "it is empty; pack again"
        raise InputError(f"{folder} has no row {row}: {has}")
    return write_row(shards[row], f"row {row}", out, inputs=[folder])


def write_row(row: Row, title: str, out: Path, *, inputs: Sequence[Path | None] = ()) -> Path:
    """Draw a row to a PNG, see `draw_row`.

    Raises
    ------
    InputError : `out` cannot be written
    """
    check_file(out, PICTURE, inputs)
    content = io.BytesIO()
    draw_row(row, title).savefig(
        content, format="png", dpi=100, metadata={"Software": stamp_text(PICTURE)}
    )
    return write_file(out, PICTURE, content.getvalue(), inputs=inputs)


def contact_png(rows: Iterable[Row], shows: Sequence[str], *, columns: int | None = None) -> bytes:
    """Draw many rows to one PNG, pixel by pixel: a contact sheet.

    Parameters
    ----------
    rows : of one image size, at least one
    shows : what is drawn of each, side by side: rgb, depth (viridis, near is light), points (in the
        colours of their pixels, from 45 degrees to the left)
    columns : rows side by side; if None the sheet is about as wide as high

    Raises
    ------
    InputError : images of several sizes
    """
    # the pictures of a row side by side: (H, shows * W, 3)
    tiles = [np.concatenate([_TILES[name](row) for name in shows], axis=1) for row in rows]
    height, width = tiles[0].shape[:2]
    if any(tile.shape != tiles[0].shape for tile in tiles):
        raise InputError(
            "a contact sheet needs images of one size; draw the others on another sheet"
        )
    columns = min(columns or max(1, round((len(tiles) * height / width) ** 0.5)), len(tiles))
    lines = -(-len(tiles) // columns)
    page = np.full((lines * height, columns * width, 3), 255, dtype=np.uint8)
    for place, tile in enumerate(tiles):
        top, left = place // columns * height, place % columns * width
        page[top : top + height, left : left + width] = tile
    content, about = io.BytesIO(), PngInfo()
    about.add_text("Software", stamp_text(PICTURE))
    Image.fromarray(page).save(content, format="PNG", optimize=True, pnginfo=about)
    return content.getvalue()


def draw_overview(folder: Path, out: Path, *, columns: int = 8, most: int = 64) -> Path:
    """Draw an overview of shards to a PNG, see `overview_png`.

    Raises
    ------
    InputError : no shards, or `out` cannot be written
    """
    check_file(out, PICTURE, [folder])
    return write_file(
        out, PICTURE, overview_png(folder, columns=columns, most=most), inputs=[folder]
    )


def overview_png(folder: Path, *, columns: int = 8, most: int = 64) -> bytes:
    """Draw the images of rows, evenly spread over the shards, as PNG.

    Raises
    ------
    InputError : no shards
    """
    shards = Shards(folder, most_open=1)
    rows = spread_indices(len(shards), most)
    images = shards.read(rows, ["rgb"])["rgb"]
    return contact_png(({"rgb": image} for image in images), ["rgb"], columns=columns)


def _depth_tile(row: Row) -> NDArray[np.uint8]:
    """Paint depth on white: (H, W, 3)."""
    depth = row["depth"]
    seen = depth > 0
    tile = np.full((*depth.shape, 3), 255, dtype=np.uint8)
    if seen.any():
        near, far = depth[seen].min(), depth[seen].max()
        # 0 = farthest, 1 = nearest; the tiny number avoids 0 / 0 on flat depth
        share = (far - depth[seen]) / max(far - near, np.finfo(np.float32).tiny)
        tile[seen] = np.round(mpl.colormaps["viridis"](share)[:, :3] * 255)
    return tile


def _points_tile(row: Row) -> NDArray[np.uint8]:
    """Paint the points from 45 degrees left of the camera: (H, W, 3)."""
    height, width = row["depth"].shape
    camera = row_camera(row)
    seen, reach = _seen_from(row["points"], camera, turn=-45)
    # pixels an object unit, so that all points fit in the shorter side
    scale = min(height, width) / 2 / reach
    # pixel of each point in the tile, far points first: (P,)
    far_first = np.argsort(-seen[:, 2])
    column = np.floor(width / 2 + seen[far_first, 0] * scale).astype(int)
    line = np.floor(height / 2 + seen[far_first, 1] * scale).astype(int)
    pixels = row["pixels"][far_first]
    colours = row["rgb"][pixels[:, 1], pixels[:, 0]]
    tile = np.full((height, width, 3), 255, dtype=np.uint8)
    radius = max(1, round(min(height, width) / 160))
    # offsets of the small disc that stands for a point
    reached = [(x, y) for y in range(-radius, radius + 1) for x in range(-radius, radius + 1)]
    discs = [(x, y) for x, y in reached if x * x + y * y <= (radius + 0.5) ** 2]
    # index of the nearest point that covers each pixel, (H, W); far points come first
    nearest = np.full((height, width), -1)
    for x, y in discs:
        inside = (0 <= column + x) & (column + x < width) & (0 <= line + y) & (line + y < height)
        np.maximum.at(nearest, (line[inside] + y, column[inside] + x), np.flatnonzero(inside))
    tile[nearest >= 0] = colours[nearest[nearest >= 0]]
    return tile


_TILES = {"rgb": lambda row: row["rgb"], "depth": _depth_tile, "points": _points_tile}


def draw_row(row: Row, title: str) -> Figure:
    """Draw a row: image, depth, reprojection, cloud from two sides, laws."""
    camera = row_camera(row)
    figure = Figure(figsize=(12.8, 8.6), facecolor=_PAPER)
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3)
    figure.subplots_adjust(left=0.03, right=0.97, top=0.89, bottom=0.03, wspace=0.1, hspace=0.16)
    figure.suptitle(
        f"{title}   {row['synset']}/{row['model_id']}   view {row['view']}",
        color=_INK,
        fontsize=13,
        y=0.965,
    )
    _image(axes[0, 0], row["rgb"], "RGB")
    _depth(figure, axes[0, 1], row["depth"])
    _reprojection(axes[0, 2], row, camera)
    # (P, 3) from 0 to 1, as matplotlib takes colours
    colours = row["rgb"][row["pixels"][:, 1], row["pixels"][:, 0]] / 255
    _cloud(
        axes[1, 0],
        row["points"],
        colours,
        camera,
        turn=-45,
        name="points, from 45 degrees to the left",
    )
    _cloud(
        axes[1, 1],
        row["points"],
        colours,
        camera,
        turn=45,
        name="points, from 45 degrees to the right",
    )
    _verdict(axes[1, 2], row)
    return figure


def _heading(axis: Any, text: str, colour: str = _INK) -> None:
    axis.set_title(text, color=colour, fontsize=11, loc="left")
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_color("#c9d0d8")


def _image(axis: Any, rgb: NDArray[np.uint8], text: str, **style: Any) -> None:
    height, width = rgb.shape[:2]
    # the extent puts the centre of pixel (u, v) at (u + 0.5, v + 0.5), as the conventions have it
    axis.imshow(rgb, extent=(0, width, height, 0), interpolation="nearest", **style)
    _heading(axis, text)


def _depth(figure: Figure, axis: Any, depth: NDArray[np.float32]) -> None:
    height, width = depth.shape
    seen = np.where(depth > 0, depth, np.nan)
    image = axis.imshow(
        seen, cmap="viridis_r", extent=(0, width, height, 0), interpolation="nearest"
    )
    _heading(axis, "depth (planar z, object units)")
    bar = figure.colorbar(image, ax=axis, fraction=0.046, pad=0.02)
    bar.ax.tick_params(labelsize=8, colors=_FAINT)
    bar.ax.invert_yaxis()


def _reprojection(axis: Any, row: Row, camera: Camera) -> None:
    """Draw the projected points over the pale image, coloured by depth."""
    uv, depth = camera.project(row["points"])
    _image(axis, row["rgb"], f"{len(uv):,} points projected onto the image", alpha=0.35)
    axis.scatter(uv[:, 0], uv[:, 1], c=depth, cmap="viridis_r", s=3, linewidths=0)


def _cloud(
    axis: Any,
    points: NDArray[np.float32],
    colours: NDArray[np.float64],
    camera: Camera,
    *,
    turn: float,
    name: str,
) -> None:
    """Draw the points without perspective, from the camera turned about the up axis."""
    seen, reach = _seen_from(points, camera, turn=turn)
    far_first = np.argsort(-seen[:, 2])
    axis.scatter(
        seen[far_first, 0],
        seen[far_first, 1],
        c=colours[far_first],
        s=9,
        linewidths=0.25,
        edgecolors=_FAINT,
    )
    axis.set_xlim(-reach, reach)
    # y points down, as in the image
    axis.set_ylim(reach, -reach)
    axis.set_aspect("equal")
    axis.set_facecolor(_PANEL)
    _heading(axis, name)


def _seen_from(
    points: NDArray[np.float32], camera: Camera, *, turn: float
) -> tuple[NDArray[np.float64], float]:
    """Return points in the axes of a turned camera, and their reach.

    (P, 3) float64 from their middle: right, down, away; object units.
    """
    # turn the camera about the up axis through the middle of the points
    middle = (points.min(axis=0) + points.max(axis=0)).astype(np.float64) / 2
    angle = np.radians(turn)
    about_up = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    turned = camera.look_at(middle + about_up @ (camera.eye - middle), middle)
    seen = (points - middle) @ turned.rotation.T
    return seen, 1.08 * float(np.abs(seen[:, :2]).max())


def _verdict(axis: Any, row: Row) -> None:
    """Write the figures of the laws on this row."""
    figures, limits = check_row(row), {law.name: law for law in LAWS}
    # `not ... <=`, so that NaN counts as broken
    broken = [name for name, figure in figures.items() if not figure <= limits[name].limit]
    if broken:
        _heading(axis, f"BROKEN: {', '.join(broken)}", colour="#b3261e")
    else:
        _heading(axis, "every law holds", colour="#12703a")
    lines = [f"{len(row['points']):,} points of {int(row['num_points']):,} in this view", ""]
    for name, figure in figures.items():
        mark = "ok" if figure <= limits[name].limit else "BROKEN"
        lines.append(f"{name:<22}{figure:>9.2g} {limits[name].unit:<14}{mark}")
    eye = row_camera(row).eye
    lines += ["", f"camera at ({eye[0]:.3f}, {eye[1]:.3f}, {eye[2]:.3f})"]
    column, line = row["pixels"][0]
    x, y, z = row["points"][0]
    lines += [f"point 0 = ({x:.4f}, {y:.4f}, {z:.4f})", f"        is pixel ({column}, {line})"]
    axis.text(0.03, 0.95, "\n".join(lines), va="top", family="monospace", fontsize=8.5, color=_INK)
