"""Exact depth: the float64 ray through a pixel's centre meets the object."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..core.camera import Camera
from .mesh.repair import Surface

__all__ = ["NO_MATERIAL", "refine_depth", "seen_material", "seen_normal", "seen_position"]

NO_MATERIAL = 65535
"""The material of background pixels."""

# All three are relative to the depth.
_BESIDE = 1e-4  # error of float32 on a face
_SLACK = 1e-9  # tolerance at edges, so that no ray slips between two triangles that share one
_STEP = 1e-4  # second difference of 1/z above which neighbouring pixels lie on different faces


def refine_depth(
    depth: NDArray[np.float32], face: NDArray[np.int64], surface: Surface, camera: Camera
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Recompute each hit in float64, on the face that was hit.

    A renderer intersects in float32. On a sliver it may return a point up to 1e-4 beside its ray,
    and at an edge it may report a hit where the ray misses, or a miss where it hits. So if the
    exact ray misses the face, it is cast again, first at the faces around, then at all faces. If a
    neighbouring pixel shows a nearer face, that face is tried, too. Polygons with more than three
    corners keep the given depth.

    Parameters
    ----------
    depth : (H, W) float32, planar z, object units, 0 = background
    face : (H, W) int64, index of the face at each pixel that has depth
    surface : object frame

    Returns
    -------
    depth : (H, W) float32, rounded once from float64; face : (H, W) int64, 0 where there is no
        depth
    """
    shape = depth.shape
    covered = depth > 0
    # Flat from here on, (H W,), so that one index names a pixel.
    depth, face = depth.ravel().copy(), np.where(covered, face, 0).ravel()
    triangular = surface.triangular
    pixels = np.flatnonzero(covered if triangular.all() else covered.ravel() & triangular[face])
    faces, planes = face[pixels], _Planes(face, surface, camera)
    # (M,) exact depth on the face that was seen, and whether the ray meets it.
    exact, hit = planes.meet(pixels, faces)
    # Where it misses the triangle, cast it at the triangles around.
    missed: list[int] = []
    for index in np.flatnonzero(~hit):
        coarse, ray = float(depth[pixels[index]]), _rays(pixels[index], camera)
        exact[index], nearest = _nearest(
            ray, _triangles_around(surface, faces[index]), surface, camera
        )
        # So far from the renderer's depth it is another surface than the one seen.
        if abs(exact[index] - coarse) > _BESIDE * coarse:
            missed.append(index)
        else:
            face[pixels[index]] = nearest
    # Where those are missed too, cast it at all faces around the pixel.
    for index, candidates in zip(missed, _reached(surface, camera, pixels[missed]), strict=True):
        if triangular[candidates].all():
            exact[index], face[pixels[index]] = _nearest(
                _rays(pixels[index], camera), candidates, surface, camera
            )
        else:
            exact[index] = depth[pixels[index]]
    depth[pixels] = exact
    # Float32 may have missed a nearer face at its edge.
    _try_neighbours(depth.reshape(shape), face.reshape(shape), triangular, planes)
    return depth.reshape(shape), face.reshape(shape)


class _Planes:
    """The planes of the faces that an image shows, tabulated for many pixels.

    With c a triangle's first corner seen from the camera, a and b its edges from there, and r the
    ray through a pixel, of planar length 1: it meets the plane at the planar z (a x b) c / (a x b)
    r, at the barycentric coordinates (b x c) r / (a x b) r and (c x a) r / (a x b) r (Moller and
    Trumbore). r is linear in column and row; so are they.
    """

    def __init__(self, face: NDArray[np.int64], surface: Surface, camera: Camera) -> None:
        # Only faces that the image shows get a column in the table.
        shown = np.zeros(len(surface.front), dtype=bool)
        shown[face] = True
        faces = np.flatnonzero(shown)
        # (F,) column of each face in the table
        self._slot = np.zeros(len(shown), dtype=np.int64)
        self._slot[faces] = np.arange(len(faces))
        corner, along, across = surface.edges.take(faces, axis=2)
        away = corner - camera.eye[:, None]
        normal = _cross(along, across)
        # (10, faces): the height, then three linear forms of column, row and 1.
        self._table = np.empty((10, len(faces)))
        self._table[0] = _dot(normal, away)
        for row, axis in ((1, normal), (4, _cross(across, away)), (7, _cross(away, along))):
            self._table[row : row + 3] = camera.ray_from_pixel.T @ axis
        self._width = camera.width

    def meet(
        self, pixels: NDArray[np.int64], faces: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Intersect triangles with the rays through pixels.

        Parameters
        ----------
        pixels : (M,) row * width + column; faces : (M,) of the image

        Returns
        -------
        depth : (M,) planar z where ray and plane meet; inside : (M,) whether that lies inside the
            triangle
        """
        # Pixel centres, (M,), and the table's columns of their faces, (10, M).
        row = pixels // self._width
        x, y = (pixels - row * self._width) + 0.5, row + 0.5
        height, n_x, n_y, n_1, a_x, a_y, a_1, b_x, b_y, b_1 = self._table.take(
            self._slot[faces], axis=1
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = 1 / (n_x * x + n_y * y + n_1)
            a, b = (a_x * x + a_y * y + a_1) * scale, (b_x * x + b_y * y + b_1) * scale
            return height * scale, (a >= 0) & (b >= 0) & (a + b <= 1)


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute cross products of column vectors: (3, M).

    This takes a third of the time of `np.cross`.
    """
    return np.stack(
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    )


def _dot(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute inner products of column vectors, (3, M): (M,)."""
    product: NDArray[np.float64] = (a * b).sum(axis=0)
    return product


def _rays(pixels: NDArray[np.int64], camera: Camera) -> NDArray[np.float64]:
    """Return rays, (M, 3), through pixel centres: object frame, planar length 1.

    A pixel is numbered row * width + column.
    """
    row, column = np.divmod(pixels, camera.width)
    centre = np.stack([column + 0.5, row + 0.5, np.ones(np.shape(pixels))], axis=-1)
    ray: NDArray[np.float64] = centre @ camera.ray_from_pixel.T
    return ray


def _try_neighbours(
    depth: NDArray[np.float32],
    face: NDArray[np.int64],
    triangular: NDArray[np.bool_],
    planes: _Planes,
) -> None:
    """Try the nearer faces of neighbouring pixels at each pixel; in place.

    The renderer's float32 ray may miss a face by its edge that the exact ray meets. Such a pixel
    shows depth that leaves the plane of its neighbour, and lies behind it.

    Parameters
    ----------
    depth : (H, W) object units, 0 = background; face : (H, W) of the surface
    triangular : (F,) whether each face is a triangle
    """
    pixels, faces = _neighbour_faces(face, *_slopes(depth))
    exact, hit = planes.meet(pixels, faces)
    current = depth.ravel()[pixels]
    # (M,) the ray meets a triangle before the camera, in front of what the pixel shows
    nearer = hit & triangular[faces] & (exact > 0) & ((current == 0) | (exact < current))
    _keep_nearest(depth, face, pixels[nearer], faces[nearer], exact[nearer])


def _slopes(
    depth: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Compute differences of 1/z between neighbouring pixels.

    1/z is linear over the image of a plane.

    Returns
    -------
    down : (H + 1, W), right : (H, W + 1), from each pixel to the next, background around the image
    limit : (H, W) change of slope above which two pixels lie on different faces
    """
    height, width = depth.shape
    # 1/z of an image with a border of background, (H + 2, W + 2)
    inverse = np.zeros((height + 2, width + 2), dtype=np.float32)
    inverse[1:-1, 1:-1] = 1 / np.where(depth > 0, depth, np.float32(np.inf))
    down = inverse[1:, 1:-1] - inverse[:-1, 1:-1]
    right = inverse[1:-1, 1:] - inverse[1:-1, :-1]
    return down, right, _STEP * inverse[1:-1, 1:-1]


def _neighbour_faces(
    face: NDArray[np.int64],
    down: NDArray[np.float32],
    right: NDArray[np.float32],
    limit: NDArray[np.float32],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pixels and the nearer face of a neighbour, (M,) each.

    A pixel comes once for each of its four neighbours that is nearer and on another face.
    """
    width, flat_face = face.shape[1], face.ravel()
    pixels, neighbours = [], []
    for before, after, step in ((down[:-1], down[1:], width), (right[:, :-1], right[:, 1:], 1)):
        # (K,) pixels where 1/z bends: the second difference of a plane is zero
        bent = np.flatnonzero(np.abs(after - before) > limit)
        # 1/z falls towards this pixel: the one before is nearer; it rises: the one after is
        for chosen, offset in (
            (bent[before.take(bent) < 0], -step),
            (bent[after.take(bent) > 0], step),
        ):
            pixels.append(chosen)
            neighbours.append(chosen + offset)
    centre, faces = np.concatenate(pixels), flat_face[np.concatenate(neighbours)]
    other = faces != flat_face[centre]
    return centre[other], faces[other]


def _keep_nearest(
    depth: NDArray[np.float32],
    face: NDArray[np.int64],
    pixels: NDArray[np.int64],
    faces: NDArray[np.int64],
    exact: NDArray[np.float64],
) -> None:
    """Write hits, (M,) each, into depth and face, (H, W).

    Of several hits at a pixel the nearest stays.
    """
    # The nearest is written last
    order = np.argsort(-exact)
    depth.ravel()[pixels[order]] = exact[order]
    face.ravel()[pixels[order]] = faces[order]


def _reached(
    surface: Surface, camera: Camera, pixels: NDArray[np.int64]
) -> Iterator[NDArray[np.int64]]:
    """Yield, for each pixel, the faces whose outline may hold its centre.

    All faces, if any vertex lies behind the camera.
    """
    if not len(pixels):
        return
    uv, depth = camera.project(surface.vertices)
    # (F, 2) box of each face in the image.
    low, high = (
        bound.reduceat(uv[surface.corners], surface.starts[:-1], axis=0)
        for bound in (np.minimum, np.maximum)
    )
    # A vertex behind the camera has no place in the image.
    if not (depth > 0).all():
        low[:], high[:] = -np.inf, np.inf
    # A thousandth of a pixel of slack, against rounding.
    for centre in np.stack([pixels % camera.width, pixels // camera.width], axis=1) + 0.5:
        yield np.flatnonzero(((low - 1e-3 <= centre) & (centre <= high + 1e-3)).all(axis=1))


def _nearest(
    ray: NDArray[np.float64], faces: NDArray[np.int64], surface: Surface, camera: Camera
) -> tuple[float, int]:
    """Cast one ray, (3,), at triangles; return the nearest hit.

    Depth is planar z. Both are 0 if the ray hits nothing.
    """
    if not len(faces):
        return 0.0, 0
    corner, along, across = surface.edges.take(faces, axis=2)
    away, normal = corner - camera.eye[:, None], _cross(along, across)
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = _dot(normal, away) / (ray @ normal)
        # (M,) distance outside of each triangle, object units.
        miss = _outside(depth * ray[:, None] - away, along, across, normal)
        depth = np.where((miss <= _SLACK * depth) & (depth > 0), depth, np.inf)
    best = int(depth.argmin())
    return (float(depth[best]), int(faces[best])) if np.isfinite(depth[best]) else (0.0, 0)


def _triangles_around(surface: Surface, face: int) -> NDArray[np.int64]:
    """Return a triangle and all triangles that share a vertex with it."""
    neighbours, starts = surface.faces_by_vertex
    vertices = surface.corners[surface.starts[face] : surface.starts[face + 1]]
    around = np.unique(
        np.concatenate([neighbours[starts[vertex] : starts[vertex + 1]] for vertex in vertices])
    )
    return around[surface.triangular[around]]


def seen_position(depth: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    """Return the surface point of each pixel, (H, W, 3) float32, object frame.

    0 = background.
    """
    points, pixels = camera.unproject_image(depth)
    position = np.zeros((*depth.shape, 3), dtype=np.float32)
    position[pixels[:, 1], pixels[:, 0]] = points
    return position


def seen_normal(
    depth: NDArray[np.float32], face: NDArray[np.int64], surface: Surface, camera: Camera
) -> NDArray[np.float32]:
    """Return the face normal of each pixel, (H, W, 3) float32, object frame.

    Unit length, turned to the camera; 0 = background.
    """
    rows, columns = np.nonzero(depth)
    normal = _normals(surface)[face[rows, columns]]
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    away = np.einsum("mk,mk->m", normal, _rays(rows * camera.width + columns, camera)) > 0
    image = np.zeros((*depth.shape, 3), dtype=np.float32)
    image[rows, columns] = np.where(away[:, None], -normal, normal)
    return image


def seen_material(
    depth: NDArray[np.float32], face: NDArray[np.int64], surface: Surface, camera: Camera
) -> NDArray[np.uint16]:
    """Return the material of each pixel, of its face's visible side.

    Parameters
    ----------
    depth : (H, W) float32, 0 = background; face : (H, W) int64, as for `refine_depth`

    Returns
    -------
    material : (H, W) uint16, as in `surface.front` and `surface.back`; NO_MATERIAL = background
    """
    rows, columns = np.nonzero(depth)
    faces = face[rows, columns]
    from_behind = (
        np.einsum(
            "mk,mk->m", _normals(surface)[faces], _rays(rows * camera.width + columns, camera)
        )
        > 0
    )
    material = np.full(depth.shape, NO_MATERIAL, dtype=np.uint16)
    material[rows, columns] = np.where(from_behind, surface.back[faces], surface.front[faces])
    return material


def _normals(surface: Surface) -> NDArray[np.float64]:
    """Compute normals of all faces, (F, 3); their length is twice the area."""
    if not len(surface.front):
        return np.zeros((0, 3))
    corners = surface.vertices[surface.corners]
    offset = corners - np.repeat(corners[surface.starts[:-1]], np.diff(surface.starts), axis=0)
    # the last corner's successor lies in the next face, but its own offset from the first corner
    # makes up for it: products with the first corner's offset, zero, vanish
    following = np.roll(offset, -1, axis=0)
    following[surface.starts[1:] - 1] = 0
    return np.add.reduceat(np.cross(offset, following), surface.starts[:-1], axis=0)


def _outside(
    hit: NDArray[np.float64],
    along: NDArray[np.float64],
    across: NDArray[np.float64],
    normal: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Compute how far points lie outside their triangles, (M,), object units.

    Not positive inside.

    Parameters
    ----------
    hit : (3, M) relative to the first corner; along, across : (3, M) the edges from there; normal :
        their product
    """
    unit = normal / np.sqrt(_dot(normal, normal))
    worst = np.full(hit.shape[1], -np.inf)
    # (M,) distance beyond each of the three edges; the largest one counts.
    for start, edge in ((0 * along, along), (along, across - along), (across, -across)):
        distance = _dot(hit - start, _cross(edge, unit)) / np.sqrt(_dot(edge, edge))
        worst = np.fmax(worst, np.where(np.isfinite(distance), distance, np.inf))
    return worst
