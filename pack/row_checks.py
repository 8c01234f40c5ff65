"""The laws of one row, measured: camera, points, pixels, image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.camera import Camera
from ..core.errors import InputError
from ..core.schema import Row, row_camera
from ..reconstruct.backproject import back_project
from ..reconstruct.sample import farthest_point_order, greedy_excess
from ..render.shapenet.selection import Layout
from .surface import distance_to_mesh, source_mesh

__all__ = ["check_row", "surface_distance"]

# pixels over which Blender's pixel filter spreads an edge
_FILTER_REACH = 2


def check_row(row: Row) -> dict[str, float]:
    """Measure the laws that need nothing but the row.

    Returns
    -------
    figures : by law; a law that another broken law makes unmeasurable is left out
    """
    depth, rgb = row["depth"], row["rgb"]
    numbers = (depth, row["points"], row["intrinsics"], row["cam_from_obj"])
    figures = {
        "finite": float(sum((~np.isfinite(array)).sum() for array in numbers) + (depth < 0).sum()),
        "image": float((rgb == rgb[0, 0]).all() and depth.any()),
        "outline": _stray_share(rgb, depth),
    }
    try:
        camera = row_camera(row)
    except ValueError:
        return figures | {"camera": 1.0}
    figures["camera"] = 0.0
    # without finite numbers no projection means anything
    return figures if figures["finite"] else figures | _check_points(row, camera)


def _check_points(row: Row, camera: Camera) -> dict[str, float]:
    """Measure the laws of points and pixels; the row's numbers are finite."""
    depth, points, pixels = row["depth"], row["points"], row["pixels"]
    height, width = depth.shape
    # each point, projected: uv (P, 2), planar depth (P,)
    uv, in_front = camera.project(points)
    # the worst point: by whole pixels, then from the centre of its pixel
    pixel_error = np.abs(np.floor(uv) - pixels).max()
    centre_error = np.abs(uv - (pixels + 0.5)).max()
    # a point behind the camera has a uv, too, but it means nothing
    visible = (in_front > 0).all()
    figures = {
        "pixel": float(pixel_error) if visible else np.inf,
        "pixel centre": float(centre_error) if visible else np.inf,
        "distinct pixels": float(len(pixels) - len(np.unique(pixels, axis=0))),
        "num_points": float(abs(int(row["num_points"]) - np.count_nonzero(depth))),
    }
    # each pixel's depth, back-projected: (P, 3) float64
    column, line = pixels[:, 0].astype(int), pixels[:, 1].astype(int)
    # a pixel outside the image, or without depth, gives no point: the law is broken
    if (column >= width).any() or (line >= height).any() or not depth[line, column].all():
        return figures | {"point": np.inf}
    derived = camera.unproject(pixels + 0.5, depth[line, column])
    rounding = np.spacing(np.abs(points)) / 2  # the rounding error of float32
    figures["point"] = float(np.maximum(np.abs(derived - points) - rounding, 0).max())
    figures["farthest point order"] = _order_excess(row, camera)
    return figures


def _stray_share(rgb: NDArray[np.uint8], depth: NDArray[np.float32]) -> float:
    """Compute the share of pixels that show something far from the object.

    A pixel counts if it is more than two pixels from any depth, which is the reach of the pixel
    filter, and differs from the background by more than one of 255. The law allows some: a wire
    much thinner than a pixel may slip between the rays of the depth.
    """
    # near: True within two pixels of a pixel with depth, (H, W) once both axes are done
    near = np.pad(depth != 0, _FILTER_REACH)
    for axis in (0, 1):
        windows = np.lib.stride_tricks.sliding_window_view(near, 2 * _FILTER_REACH + 1, axis=axis)
        near = windows.any(axis=-1)
    # colours far from the object, (n, 3); signed, so that differences do not wrap round
    away = rgb[~near].astype(np.int16)
    if not len(away):
        return 0.0
    # the median colour is the background's: (3,)
    return float((np.abs(away - np.median(away, axis=0)).max(axis=1) > 1).sum() / depth.size)


def _order_excess(row: Row, camera: Camera) -> float:
    """Measure how far the points deviate from farthest point order, object units.

    Usually the same sample comes out again, and the excess is 0. The slow greedy reference runs
    only if it does not, as after a tie.
    """
    cloud = back_project(row["depth"], camera)
    count = len(row["points"])
    # more points than pixels with depth cannot come from this depth
    if count > len(cloud):
        return np.inf
    again = cloud[farthest_point_order(cloud.points, count)]
    if np.array_equal(again.pixels, row["pixels"]):
        return 0.0
    return greedy_excess(cloud.points, row["points"])


def surface_distance(row: Row, source: Path, layout: Layout) -> tuple[float, str]:
    """Measure the largest distance of a row's points to the source mesh.

    Returns
    -------
    distance : object units; inf if it cannot be measured
    reason : why it cannot be measured; else empty
    """
    if not np.isfinite(row["points"]).all():
        return np.inf, "points that are not finite"
    try:
        mesh = source_mesh(source, str(row["synset"]), str(row["model_id"]), layout)
    except (InputError, OSError) as error:
        return np.inf, str(error)
    distances: NDArray[np.float64] = distance_to_mesh(row["points"], mesh, row["cam_from_obj"])
    return float(distances.max()), ""
