"""Depth to the last bit: where the ray through a pixel's centre meets the face that the renderer saw there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from .repair import Surface

__all__ = ["NO_MATERIAL", "refine_depth", "seen_material"]

NO_MATERIAL = 65535
"""Stands in the field material where nothing is seen."""

_SLACK = 1e-6  # share of the camera's distance by which the exact hit may miss the triangle that float32 hit


def refine_depth(
    depth: NDArray[np.float32], face: NDArray[np.int64], surface: Surface, camera: Camera
) -> NDArray[np.float32]:
    """Take the depth of each hit anew, in float64, on the face that was hit.

    A renderer intersects in float32 and may name a place up to 1e-4 beside its own ray where a face is a sliver. The
    face is right all the same. Where the exact ray misses that triangle (at its very edge), or the face is no
    triangle, the given depth stays.

    Parameters
    ----------
    depth : (H, W) float32, planar z, object units, 0 = background
    face : (H, W) int64, index of the face at each pixel that has depth
    surface : object frame

    Returns
    -------
    depth : (H, W) float32, rounded once from float64
    """
    rows, columns = np.nonzero(depth)
    faces = face[rows, columns]
    triangular = np.diff(surface.starts)[faces] == 3
    rows, columns, faces = rows[triangular], columns[triangular], faces[triangular]
    corners = surface.vertices[surface.corners[surface.starts[faces][:, None] + np.arange(3)]]  # (M, 3, 3)
    pixels = np.stack([columns, rows], axis=1)
    ray = camera.unproject(pixels + 0.5, np.ones(len(pixels))) - camera.eye  # (M, 3), planar length 1
    origin = corners[:, 0] - camera.eye
    along, across = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = np.cross(along, across)
    slope = np.einsum("mk,mk->m", normal, ray)
    with np.errstate(divide="ignore", invalid="ignore"):
        exact = np.einsum("mk,mk->m", normal, origin) / slope
        inside = _outside(exact[:, None] * ray - origin, along, across, normal) <= _SLACK * depth[rows, columns]
    refined = depth.copy()
    refined[rows[inside], columns[inside]] = exact[inside]
    return refined


def seen_material(
    depth: NDArray[np.float32], face: NDArray[np.int64], surface: Surface, camera: Camera
) -> NDArray[np.uint16]:
    """Tell which material each pixel shows: the front's or the back's of its face, by the side that is seen.

    Parameters
    ----------
    depth : (H, W) float32, 0 = background; face : (H, W) int64, as for `refine_depth`

    Returns
    -------
    material : (H, W) uint16, as in `surface.front` and `surface.back`; NO_MATERIAL = background
    """
    rows, columns = np.nonzero(depth)
    faces = face[rows, columns]
    ray = camera.unproject(np.stack([columns, rows], axis=1) + 0.5, np.ones(len(rows))) - camera.eye
    from_behind = np.einsum("mk,mk->m", _normals(surface)[faces], ray) > 0
    material = np.full(depth.shape, NO_MATERIAL, dtype=np.uint16)
    material[rows, columns] = np.where(from_behind, surface.back[faces], surface.front[faces])
    return material


def _normals(surface: Surface) -> NDArray[np.float64]:
    """(F, 3) normals of all faces, as long as twice their area."""
    if not len(surface.front):
        return np.zeros((0, 3))
    corners = surface.vertices[surface.corners]
    offset = corners - np.repeat(corners[surface.starts[:-1]], np.diff(surface.starts), axis=0)
    # the last corner's successor lies in the next face, but its own offset from the first corner makes up for it:
    # products with the first corner's offset, zero, vanish
    following = np.roll(offset, -1, axis=0)
    following[surface.starts[1:] - 1] = 0
    return np.add.reduceat(np.cross(offset, following), surface.starts[:-1], axis=0)


def _outside(
    hit: NDArray[np.float64], along: NDArray[np.float64], across: NDArray[np.float64], normal: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(M,) how far points of the triangles' planes lie outside their edges; not positive inside. Object units.

    Parameters
    ----------
    hit : (M, 3) relative to the first corner; along, across : (M, 3) the edges from there; normal : their product
    """
    unit = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    worst = np.full(len(hit), -np.inf)
    for start, edge in ((0 * along, along), (along, across - along), (across, -across)):
        outward = np.cross(edge, unit)
        distance = np.einsum("mk,mk->m", hit - start, outward) / np.linalg.norm(edge, axis=1)
        worst = np.fmax(worst, np.where(np.isfinite(distance), distance, np.inf))
    return worst
