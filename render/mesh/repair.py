"""Repair of a ShapeNet mesh for rendering, without moving a vertex.

Vertices are welded, doubled faces merged, faces without area dropped.

Nearly every ShapeNet model is two-sided by doubling: each face is there twice, with opposite winding
and often another material, as the modelling program had a front and a back. A renderer that sees
both shows one of them at random, in stripes, or speckles by self-shadow. Here each opposite pair
becomes one face that remembers both sides.

`row_keys` is like `trimesh.grouping.hashable_rows`, which is as fast, but its keys do not sort as
the rows do: the faces of polygons would come in another order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .obj import Mesh

__all__ = ["WELD_DISTANCE", "Surface", "repair", "row_keys"]

WELD_DISTANCE = 1e-6
"""Width of the grid on which vertices are welded, over the diagonal of the box (ShapeNet: object
units). The text of an OBJ holds six decimals, so what should be one vertex is one."""
_SHORT = 8  # corners up to which to compare each with each is faster than to sort them


@dataclass(frozen=True)
class Surface:
    """Faces with a front and a back.

    F faces, C corners in all, V vertices, all used.

    Attributes
    ----------
    vertices : (V, 3) float64, object frame; each one as some line of the file gives it
    corners : (C,) int64; starts : (F + 1,) int64, as in `Mesh`
    front_uvs, back_uvs : (C, 2) float64, texture coordinates of either side at each corner
    front, back : (F,) int64, material of either side; equal where the file gives only one
    repairs : counts by name
    """

    vertices: NDArray[np.float64]
    corners: NDArray[np.int64]
    starts: NDArray[np.int64]
    front_uvs: NDArray[np.float64]
    back_uvs: NDArray[np.float64]
    front: NDArray[np.int64]
    back: NDArray[np.int64]
    repairs: dict[str, int]

    @cached_property
    def faces_by_vertex(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The faces around each vertex, as (faces, starts).

        Those around v are `faces[starts[v]:starts[v + 1]]`.
        """
        owner = np.repeat(np.arange(len(self.front)), np.diff(self.starts))
        # Sorted by vertex, the corners of each vertex stand together.
        order = np.argsort(self.corners, kind="stable")
        return owner[order], np.searchsorted(self.corners[order], np.arange(len(self.vertices) + 1))

    @cached_property
    def triangular(self) -> NDArray[np.bool_]:
        """(F,) whether each face is a triangle."""
        return np.diff(self.starts) == 3

    @cached_property
    def edges(self) -> NDArray[np.float64]:
        """First corner and two edges of each triangle, (3, 3, F) float64; axes x, y, z.

        Of larger polygons the first three corners count.
        """
        # (3, F) vertices of the first three corners, then (3, 3, F): corner, axis, face.
        indices = self.corners[self.starts[:-1] + np.arange(3)[:, None]]
        corners = np.ascontiguousarray(self.vertices[indices].transpose(0, 2, 1))
        corners[1:] -= corners[0]
        return corners

    @cached_property
    def bounds(self) -> NDArray[np.float64]:
        """Lowest and highest corner of the box around all faces, (2, 3) float64."""
        return np.stack([self.vertices.min(axis=0), self.vertices.max(axis=0)])


def repair(
    mesh: Mesh,
    *,
    weld: float = WELD_DISTANCE,
    merge_doubled: bool = True,
    drop_duplicates: bool = True,
    drop_degenerate: bool = True,
) -> Surface:
    """Weld vertices, drop useless faces, merge opposite pairs, split polygons.

    Useless are faces without area and further copies of a face.

    Each can be left out but the last; lines and points go in any case. Of each set of faces with
    the same vertices in the same cyclic order, either way round, the first in the file stays; the
    first of the opposite winding becomes its back. Polygons that a fan from their first corner
    covers (all convex ones) are split so, as OBJ readers do; other polygons stay whole, for Blender
    to split.
    """
    # Weld: vertices (V, 3), each once; corners (C,) count among them.
    used, corners = _used(mesh.corners, len(mesh.vertices))
    vertices, index, scale = _weld(mesh.vertices[used], weld)
    corners = index[corners]
    # Welding may have closed edges: corners that repeat the one before fall out.
    keep = _not_repeated(corners, mesh.starts)
    corners, uvs = corners[keep], mesh.uvs[keep]
    # (F,) number of corners that each face still has.
    sizes = np.add.reduceat(keep, mesh.starts[:-1]) if len(mesh.sizes) else mesh.sizes
    starts = np.concatenate([[0], np.cumsum(sizes)])
    # Faces are grouped by size n, so that each group is a table (F, n).
    groups: list[_Faces] = []
    merged = duplicates = degenerate = 0
    for size in np.unique(sizes):
        rows = np.flatnonzero(sizes == size)
        positions = starts[rows][:, None] + np.arange(size)
        # Faces without an area show nothing, and would spoil the shading.
        solid = _has_area(vertices, corners[positions], scale) | (not drop_degenerate and size >= 3)
        rows, positions = rows[solid], positions[solid]
        degenerate += int((~solid).sum())
        if not len(rows):
            continue
        # One face stays of each set; its back is the first of opposite winding.
        front, back = _pair(corners[positions], merge_doubled, drop_duplicates)
        paired = back >= 0
        merged += int(paired.sum())
        duplicates += len(rows) - len(front) - int(paired.sum())
        groups += _split(vertices, corners, uvs, mesh.materials[rows], rows, positions, front, back)
    # The groups are put back into the order of the file.
    order = np.argsort(
        np.concatenate([faces.row for faces in groups]) if groups else [], kind="stable"
    )
    return _assemble(
        vertices,
        groups,
        order,
        {
            "opposite pairs merged": merged,
            "duplicate faces dropped": duplicates,
            "faces without area dropped": degenerate,
            **mesh.faults,
        },
    )


def _weld(
    vertices: NDArray[np.float64], distance: float
) -> tuple[NDArray[np.float64], NDArray[np.int64], float]:
    """Return the distinct vertices, the index of each vertex, the box's diagonal.

    Nothing is moved.
    """
    if not len(vertices):
        return vertices, np.zeros(0, dtype=np.int64), 1.0
    scale = float(np.linalg.norm(np.ptp(vertices, axis=0))) or 1.0
    if (
        distance * scale < np.finfo(np.float64).tiny
    ):  # no welding, or of a model too small to divide by
        return vertices, np.arange(len(vertices)), scale
    # Whole numbers (V, 3): vertices in the same cell are one.
    grid = np.round((vertices - vertices.min(axis=0)) / (distance * scale))
    _, first, index = np.unique(row_keys(grid), return_index=True, return_inverse=True)
    return vertices[first], index.ravel(), scale


def _used(corners: NDArray[np.int64], vertices: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the used vertices, sorted, and the index of each corner among them."""
    uses = np.zeros(vertices, dtype=bool)
    uses[corners] = True
    return np.flatnonzero(uses), (np.cumsum(uses) - 1)[corners]


def row_keys(rows: NDArray[Any]) -> NDArray[Any]:
    """Return one key a row that sorts as the rows do.

    np.unique over rows is far slower than over such keys.

    Parameters
    ----------
    rows : (N, n) int64 or float64, whole numbers from 0

    Returns
    -------
    keys : (N,) int64, or structured where int64 does not hold them
    """
    # Rows as digits of one number, if int64 holds it.
    base = int(rows.max(initial=0)) + 1
    width = rows.shape[1]
    if width < 63 and base**width < 2**63:
        return rows.astype(np.int64) @ np.array([base**power for power in reversed(range(width))])
    if width <= _SHORT:
        return np.ascontiguousarray(rows).view([("", rows.dtype)] * width).ravel()
    # a field for each of 100,000 corners takes seconds to make; as bytes, whole numbers sort the
    # same
    return np.ascontiguousarray(rows.astype(">i8")).view(np.dtype((np.void, 8 * width))).ravel()


def _not_repeated(corners: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which corners, (C,), differ from the next corner of their face.

    The first corner follows the last.
    """
    if not len(corners):
        return np.zeros(0, dtype=bool)
    following = np.roll(corners, -1)
    following[starts[1:] - 1] = corners[starts[:-1]]
    return following != corners


def _has_area(
    vertices: NDArray[np.float64], faces: NDArray[np.int64], scale: float
) -> NDArray[np.bool_]:
    """(F,) whether each face of (F, n) vertex indices has an area."""
    if faces.shape[1] < 3:
        return np.zeros(len(faces), dtype=bool)
    result: NDArray[np.bool_] = np.linalg.norm(_newell(vertices[faces]), axis=1) > 1e-14 * scale**2
    return result


def _newell(polygons: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute normals, (F, 3), of polygons, (F, n, 3); length is twice the area."""
    offset = (
        polygons - polygons[:, :1]
    )  # near the origin, so that far away small faces keep their area
    result: NDArray[np.float64] = np.cross(offset, np.roll(offset, -1, axis=1)).sum(axis=1)
    return result


def _pair(
    faces: NDArray[np.int64], merge: bool, drop: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair faces with the same vertices in the same cyclic order, either way round.

    Parameters
    ----------
    faces : (F, n) int64
    merge : whether a face of the opposite winding becomes the back of the first; else the two are
        sets of their own
    drop : whether further faces of a set go

    Returns
    -------
    front : (G,) int64, rows that stay: the first of each set, and without `drop` all but the backs
    back : (G,) int64, the first row of the same set with opposite winding, or -1
    """
    # Each cycle, (F, n), begins at its lowest vertex, read both ways round.
    lowest = faces.argmin(axis=1)[:, None]
    count = np.arange(faces.shape[1])
    forward = np.take_along_axis(faces, (lowest + count) % len(count), axis=1)
    backward = np.take_along_axis(faces, (lowest - count) % len(count), axis=1)
    # Of the two readings the one with the lower second vertex names the set.
    turned = forward[:, 1] > forward[:, -1]
    cycle = np.where(turned[:, None], backward, forward)
    if not merge:
        cycle = np.column_stack([cycle, turned])
    # Equal readings are a set; its first face is the front.
    _, front, group = np.unique(row_keys(cycle), return_index=True, return_inverse=True)
    group = group.ravel()
    # The first face of the other winding becomes the back; -1 without one.
    opposite = np.flatnonzero(turned != turned[front[group]])
    # len(faces) is larger than any row, so that np.minimum replaces it.
    back = np.full(len(front), len(faces))
    np.minimum.at(back, group[opposite], opposite)
    back = np.where(back == len(faces), -1, back)
    if not drop:
        # Copies stay as faces of their own.
        further = np.setdiff1d(np.arange(len(faces)), np.concatenate([front, back]))
        front, back = (
            np.concatenate([front, further]),
            np.concatenate([back, np.full(len(further), -1)]),
        )
    return front, back


@dataclass(frozen=True)
class _Faces:
    """Faces of one size n: vertices and uvs (F, n[, 2]), materials and rows (F,).

    A row is the position of the face in the file.
    """

    corners: NDArray[np.int64]
    front_uvs: NDArray[np.float64]
    back_uvs: NDArray[np.float64]
    front: NDArray[np.int64]
    back: NDArray[np.int64]
    row: NDArray[np.int64]

    def take(self, faces: NDArray[np.int64], corners: NDArray[np.int64]) -> _Faces:
        """Return some faces, (M,), each reduced to some of its corners, (M, m)."""
        rows = faces[:, None]
        return _Faces(
            self.corners[rows, corners],
            self.front_uvs[rows, corners],
            self.back_uvs[rows, corners],
            self.front[faces],
            self.back[faces],
            self.row[faces],
        )


def _split(
    vertices: NDArray[np.float64],
    corners: NDArray[np.int64],
    uvs: NDArray[np.float64],
    materials: NDArray[np.int64],
    rows: NDArray[np.int64],
    positions: NDArray[np.int64],
    front: NDArray[np.int64],
    back: NDArray[np.int64],
) -> list[_Faces]:
    """Collect both sides of the remaining faces; split polygons into fans.

    A polygon that its fan does not cover stays whole.
    """
    # A face without a partner looks the same from behind.
    behind = np.where(back >= 0, back, front)
    ours, theirs = corners[positions[front]], corners[positions[behind]]
    # The back's corners run the other way: match them to the front's.
    match = _places(ours, theirs)
    faces = _Faces(
        corners=ours,
        front_uvs=uvs[positions[front]],
        back_uvs=uvs[np.take_along_axis(positions[behind], match, axis=1)],
        front=materials[front],
        back=materials[behind],
        row=rows[front],
    )
    size = ours.shape[1]
    if size == 3:
        return [faces]
    polygons = vertices[ours]
    # A fan covers a polygon whose triangles all turn the same way.
    normal = _newell(polygons)
    # (F, n - 1, 3) from the first corner to the others, and (F, n - 2) turns between them.
    spokes = polygons[:, 1:] - polygons[:, :1]
    turns = np.einsum("fnk,fk->fn", np.cross(spokes[:, :-1], spokes[:, 1:]), normal)
    tiny = 1e-12 * np.abs(turns).max(axis=1, keepdims=True, initial=0)
    covered = (turns >= -tiny).all(axis=1)
    # corners on a straight line give triangles without area: they are left out
    rows, first = np.nonzero(covered[:, None] & (turns > tiny))
    fan = faces.take(rows, np.stack([np.zeros_like(first), first + 1, first + 2], axis=1))
    # The others stay whole.
    concave = np.flatnonzero(~covered)
    return [fan, faces.take(concave, np.broadcast_to(np.arange(size), (len(concave), size)))]


def _places(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find the place of each vertex, (F, n), in the other table's same face.

    Of several places the first counts.
    """
    if ours.shape[1] <= _SHORT:
        result: NDArray[np.int64] = (ours[:, :, None] == theirs[:, None, :]).argmax(axis=2)
        return result
    order, other = (
        np.argsort(ours, axis=1, kind="stable"),
        np.argsort(theirs, axis=1, kind="stable"),
    )
    # Both tables sorted by vertex: equal vertices stand at equal ranks.
    ranked = np.take_along_axis(ours, order, axis=1)
    # (F, n) rank at which a run of equal vertices begins, 0 at its other members.
    begins = np.where(np.diff(ranked, axis=1, prepend=-1) != 0, np.arange(ours.shape[1]), 0)
    match = np.empty_like(ours)
    # Of the vertices that are the same
    first = np.maximum.accumulate(begins, axis=1)
    np.put_along_axis(match, order, np.take_along_axis(other, first, axis=1), axis=1)
    return match


def _assemble(
    vertices: NDArray[np.float64],
    groups: list[_Faces],
    order: NDArray[np.int64],
    repairs: dict[str, int],
) -> Surface:
    """Join faces of several sizes in the order of the file."""

    def per_face(name: str) -> NDArray[np.int64]:
        parts = [getattr(faces, name) for faces in groups]
        return np.concatenate(parts)[order] if parts else np.zeros(0, dtype=np.int64)

    # Size of each face and its begin among the corners of all parts.
    sizes = np.concatenate(
        [np.full(len(faces.row), faces.corners.shape[1]) for faces in groups] or [np.zeros(0, int)]
    )
    begins = np.concatenate([[0], np.cumsum(sizes)])[:-1]
    sizes, begins = sizes[order], begins[order]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    # (C,) index of each corner in the concatenation of all parts
    source = np.repeat(begins - starts[:-1], sizes) + np.arange(starts[-1])

    def per_corner(name: str, width: tuple[int, ...]) -> NDArray[np.float64]:
        parts = [getattr(faces, name).reshape(-1, *width) for faces in groups]
        return np.concatenate(parts)[source] if parts else np.zeros((0, *width))

    # Vertices that no face uses any more are dropped.
    used, corners = _used(per_corner("corners", ()).astype(np.int64), len(vertices))
    return Surface(
        vertices=vertices[used],
        corners=corners,
        starts=starts,
        front_uvs=per_corner("front_uvs", (2,)),
        back_uvs=per_corner("back_uvs", (2,)),
        front=per_face("front"),
        back=per_face("back"),
        repairs={name: count for name, count in repairs.items() if count},
    )
