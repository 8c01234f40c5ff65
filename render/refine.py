"""Depth to the last bit: where the ray through a pixel's centre meets the object, in float64."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..reconstruct.backproject import back_project
from .repair import Surface

__all__ = ["NO_MATERIAL", "refine_depth", "seen_material", "seen_normal", "seen_position"]

NO_MATERIAL = 65535
"""Stands in the field material where nothing is seen."""

_BESIDE = 1e-4  # share of the depth by which float32 may stray on a face
_SLACK = 1e-9  # share of the depth by which a ray may miss a triangle and meet it: none slips between two with one edge
_STEP = 1e-4  # share of the depth by which it must leave the plane from pixel to pixel for another face to begin there


def refine_depth(
    depth: NDArray[np.float32], face: NDArray[np.int64], surface: Surface, camera: Camera
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Take each hit anew, in float64, on the face that was hit.

    A renderer intersects in float32: it may name a place up to 1e-4 beside its own ray where a face is a sliver, and
    take a ray that passes a face's edge, or a face seen edge-on, for a hit, or the other way round. So where the exact
    ray misses the face it is cast anew, first among the faces around, then among all; and where a pixel beside sees
    another face farther in front, that face is tried, too. Polygons that are no triangles keep the given depth.

    Parameters
    ----------
    depth : (H, W) float32, planar z, object units, 0 = background
    face : (H, W) int64, index of the face at each pixel that has depth
    surface : object frame

    Returns
    -------
    depth : (H, W) float32, rounded once from float64; face : (H, W) int64, 0 where there is no depth
    """
    depth, face = depth.copy(), np.where(depth > 0, face, 0)
    triangular = np.diff(surface.starts) == 3
    rows, columns = np.nonzero((depth > 0) & triangular[face])
    faces = face[rows, columns]
    ray = _rays(rows, columns, camera)
    exact, hit = _meet_inside(ray, faces, surface, camera)
    given = depth[rows, columns].astype(np.float64)
    lost = []
    for pixel in np.flatnonzero(~hit):
        around = _triangles_around(surface, faces[pixel])
        exact[pixel], found = _nearest(ray[pixel], around, surface, camera)
        if abs(exact[pixel] - given[pixel]) > _BESIDE * given[pixel]:
            lost.append(pixel)
        else:
            faces[pixel] = found
    for pixel, reached in zip(lost, _reached(surface, camera, columns[lost] + 0.5, rows[lost] + 0.5), strict=True):
        if triangular[reached].all():
            exact[pixel], faces[pixel] = _nearest(ray[pixel], reached, surface, camera)
        else:
            exact[pixel] = given[pixel]
    depth[rows, columns], face[rows, columns] = exact, faces
    _look_beside(depth, face, triangular, surface, camera)
    return depth, face


def _rays(rows: NDArray[np.int64], columns: NDArray[np.int64], camera: Camera) -> NDArray[np.float64]:
    """(M, 3) rays through pixel centres, object frame, of planar length 1."""
    return camera.unproject(np.stack([columns, rows], axis=1) + 0.5, np.ones(len(rows))) - camera.eye


def _look_beside(
    depth: NDArray[np.float32],
    face: NDArray[np.int64],
    triangular: NDArray[np.bool_],
    surface: Surface,
    camera: Camera,
) -> None:
    """Where a pixel beside sees a face in front of this one's, see whether the exact ray meets that face; in place."""
    near = np.divide(1, depth, out=np.zeros_like(depth), where=depth > 0)  # linear over the image of a plane
    here = near[1:-1, 1:-1]
    up, down, left, right = near[:-2, 1:-1], near[2:, 1:-1], near[1:-1, :-2], near[1:-1, 2:]
    limit = _STEP * here
    upright, level = np.abs(up + down - 2 * here) > limit, np.abs(left + right - 2 * here) > limit
    for step, beside, y, x in ((upright, up, -1, 0), (upright, down, 1, 0), (level, left, 0, -1), (level, right, 0, 1)):
        rows, columns = np.nonzero(step & (beside > here))
        rows, columns = rows + 1, columns + 1
        faces, now = face[rows + y, columns + x], depth[rows, columns]
        exact, met = _meet_inside(_rays(rows, columns, camera), faces, surface, camera)
        met &= triangular[faces] & (exact > 0) & ((now == 0) | (exact < now))
        depth[rows[met], columns[met]], face[rows[met], columns[met]] = exact[met], faces[met]


def _reached(
    surface: Surface, camera: Camera, columns: NDArray[np.float64], rows: NDArray[np.float64]
) -> Iterator[NDArray[np.int64]]:
    """Give, for each place in the image, the faces whose outline may hold it; all where one lies behind the camera."""
    if not len(rows):
        return
    uv, depth = camera.project(surface.vertices)
    low, high = (bound.reduceat(uv[surface.corners], surface.starts[:-1], axis=0) for bound in (np.minimum, np.maximum))
    if not (depth > 0).all():
        low[:], high[:] = -np.inf, np.inf
    for place in np.stack([columns, rows], axis=1):
        yield np.flatnonzero(((low - 1e-3 <= place) & (place <= high + 1e-3)).all(axis=1))


def _nearest(ray: NDArray[np.float64], faces: NDArray[np.int64], surface: Surface, camera: Camera) -> tuple[float, int]:
    """Cast one ray, (3,), at triangles; give planar z and face of the nearest hit, 0 and 0 where there is none."""
    depth, miss = _meet(np.broadcast_to(ray, (len(faces), 3)), faces, surface, camera)
    with np.errstate(invalid="ignore"):
        depth = np.where((miss <= _SLACK * depth) & (depth > 0), depth, np.inf)
    best = int(depth.argmin()) if len(depth) else 0
    return (float(depth[best]), int(faces[best])) if len(depth) and np.isfinite(depth[best]) else (0.0, 0)


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


def seen_position(depth: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    """(H, W, 3) float32, object frame: where each pixel meets the surface; 0 = background."""
    cloud = back_project(depth, camera)
    position = np.zeros((*depth.shape, 3), dtype=np.float32)
    position[cloud.pixels[:, 1], cloud.pixels[:, 0]] = cloud.points
    return position


def seen_normal(
    depth: NDArray[np.float32], face: NDArray[np.int64], surface: Surface, camera: Camera
) -> NDArray[np.float32]:
    """(H, W, 3) float32, object frame: unit normal of the face at each pixel, turned to the camera; 0 = background."""
    rows, columns = np.nonzero(depth)
    normal = _normals(surface)[face[rows, columns]]
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    away = np.einsum("mk,mk->m", normal, _rays(rows, columns, camera)) > 0
    image = np.zeros((*depth.shape, 3), dtype=np.float32)
    image[rows, columns] = np.where(away[:, None], -normal, normal)
    return image


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
    from_behind = np.einsum("mk,mk->m", _normals(surface)[faces], _rays(rows, columns, camera)) > 0
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
