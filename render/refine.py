"""Depth to the last bit: where the ray through a pixel's centre meets the face that the renderer saw there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from .repair import Surface

__all__ = ["NO_MATERIAL", "refine_depth", "seen_material"]

NO_MATERIAL = 65535
"""Stands in the field material where nothing is seen."""

_BESIDE = 1e-4  # share of the camera's distance by which float32 may take a ray that passes a triangle for a hit
_SLACK = 1e-6  # share of the camera's distance by which the exact hit may miss the triangle that float32 hit


def refine_depth(
    depth: NDArray[np.float32], face: NDArray[np.int64], surface: Surface, camera: Camera
) -> NDArray[np.float32]:
    """Take the depth of each hit anew, in float64, on the face that was hit.

    A renderer intersects in float32 and may name a place up to 1e-4 beside its own ray where a face is a sliver. The
    face is right all the same, but for rays that pass close to its edge: there the faces around it are looked at,
    too, and where the exact ray slips between all of them, the depth is that at which it comes closest to one. Where
    it is farther off, or the face is no triangle, the given depth stays.

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
    if not triangular.all():
        rows, columns, faces = rows[triangular], columns[triangular], faces[triangular]
    ray = camera.unproject(np.stack([columns, rows], axis=1) + 0.5, np.ones(len(rows))) - camera.eye  # planar length 1
    exact, hit = _meet_inside(ray, faces, surface, camera)
    given = depth[rows, columns].astype(np.float64)
    beside = np.flatnonzero(~hit)
    exact[beside], miss = _meet(ray[beside], faces[beside], surface, camera)
    hit[beside] = miss <= _SLACK * given[beside]
    for pixel in beside[~hit[beside]]:
        around = _triangles_around(surface, faces[pixel])
        here = np.broadcast_to(ray[pixel], (len(around), 3))
        found, missed = _meet(here, around, surface, camera)
        missed = np.where(np.abs(found - given[pixel]) < _BESIDE * given[pixel], missed, np.inf)
        if missed.min() > _SLACK * given[pixel]:
            found, missed = _closest_approach(here, around, surface, camera)
        best = missed.argmin()
        exact[pixel], hit[pixel] = found[best], missed[best] <= _BESIDE * given[pixel]
    refined = depth.copy()
    refined[rows[hit], columns[hit]] = exact[hit]
    return refined


def _meet_inside(
    ray: NDArray[np.float64], faces: NDArray[np.int64], surface: Surface, camera: Camera
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Meet triangles with rays, the fast way that does for nearly all pixels.

    Returns
    -------
    depth : (M,) planar z where ray and plane meet; inside : (M,) whether that lies inside the triangle
    """
    corner, normal, u_axis, v_axis = np.moveaxis(surface.planes[faces], 1, 0)
    away = corner - camera.eye
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = np.einsum("mk,mk->m", normal, away) / np.einsum("mk,mk->m", normal, ray)
        place = depth[:, None] * ray - away
        u, v = np.einsum("mk,mk->m", place, u_axis), np.einsum("mk,mk->m", place, v_axis)
        return depth, (u >= 0) & (v >= 0) & (u + v <= 1)


def _triangles_around(surface: Surface, face: int) -> NDArray[np.int64]:
    """Give a triangle and all triangles that share a vertex with it."""
    neighbours, starts = surface.faces_by_vertex
    vertices = surface.corners[surface.starts[face] : surface.starts[face + 1]]
    around = np.unique(np.concatenate([neighbours[starts[vertex] : starts[vertex + 1]] for vertex in vertices]))
    return around[np.diff(surface.starts)[around] == 3]


def _edges(
    faces: NDArray[np.int64], surface: Surface, camera: Camera
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Give triangles as first corner, seen from the camera, and the two edges from there, (M, 3) each."""
    corners = surface.vertices[surface.corners[surface.starts[faces][:, None] + np.arange(3)]]
    return corners[:, 0] - camera.eye, corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]


def _meet(
    ray: NDArray[np.float64], faces: NDArray[np.int64], surface: Surface, camera: Camera
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Meet the planes of triangles with rays.

    Returns
    -------
    depth : (M,) planar z where ray and plane meet; miss : (M,) how far that lies outside the triangle, object units,
        not positive inside
    """
    origin, along, across = _edges(faces, surface, camera)
    normal = np.cross(along, across)
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = np.einsum("mk,mk->m", normal, origin) / np.einsum("mk,mk->m", normal, ray)
        return depth, _outside(depth[:, None] * ray - origin, along, across, normal)


def _closest_approach(
    ray: NDArray[np.float64], faces: NDArray[np.int64], surface: Surface, camera: Camera
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find where rays that miss their triangles come closest to an edge of them.

    Returns
    -------
    depth : (M,) planar z; gap : (M,) the distance there, object units
    """
    origin, along, across = _edges(faces, surface, camera)
    square = np.einsum("mk,mk->m", ray, ray)
    best, gap = np.zeros(len(ray)), np.full(len(ray), np.inf)
    for start, edge in ((origin, along), (origin + along, across - along), (origin + across, -across)):
        slope, away = np.einsum("mk,mk->m", edge, ray), np.einsum("mk,mk->m", start, ray)
        spread = np.einsum("mk,mk->m", edge, edge) * square - slope**2
        with np.errstate(divide="ignore", invalid="ignore"):
            part = (slope * away - square * np.einsum("mk,mk->m", edge, start)) / spread
        place = start + np.clip(np.nan_to_num(part), 0, 1)[:, None] * edge  # the edge's point nearest to the ray
        step = np.einsum("mk,mk->m", place, ray) / square
        distance = np.linalg.norm(place - step[:, None] * ray, axis=1)
        best, gap = np.where(distance < gap, step, best), np.minimum(gap, distance)
    return best, gap


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
