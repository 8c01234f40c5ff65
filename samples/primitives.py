"""Basic shapes of the samples: boxes, lathes, tubes, lofts, extrusions.

All solids are closed, wound counter-clockwise seen from outside, and may penetrate one another. The
frame is ShapeNet's: +Y up, -Z front, so somebody in front of an object has -X on their right. Units
are metres.

trimesh.creation has triangles without texture coordinates; these meshes keep flat polygons whole and
know the place of each corner in a picture. Another construction would also change every sample.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "TO_FRONT",
    "Mesh",
    "area_vectors",
    "bar",
    "box",
    "box_uv",
    "ellipse",
    "extrude",
    "fit_uv",
    "grid",
    "join",
    "lathe",
    "loft",
    "outward",
    "polygon",
    "rounded_rectangle",
    "signed_volume",
    "sphere",
    "spline",
    "tube",
    "weld",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
TO_FRONT = -90.0
"""Degrees about x that turn a shape built lying on its back to the front."""
Points = ArrayLike | Sequence[Any]
"""Nested sequences that mix int and float, which ArrayLike does not admit."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """Polygons with texture coordinates. Immutable.

    Attributes
    ----------
    vertices : (n, 3) float64, metres, object frame
    sizes : (f,) int64, the number of corners of each face, at least 3
    corners : (sum of sizes,) int64, the vertex of each corner, face after face
    uvs : (sum of sizes, 2) float64, OBJ's texture coordinates of each corner: v grows upward
    """

    vertices: FloatArray
    sizes: IntArray
    corners: IntArray
    uvs: FloatArray

    @property
    def starts(self) -> IntArray:
        """(f,) int64, the position of each face's first corner."""
        starts: IntArray = np.cumsum(self.sizes) - self.sizes
        return starts

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Mesh:
        """Translate by (x, y, z)."""
        return dataclasses.replace(self, vertices=self.vertices + np.array([x, y, z]))

    def turned(self, axis: str, degrees: float) -> Mesh:
        """Rotate about the axis "x", "y" or "z" through the origin, right-handed."""
        a, b = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        vertices = self.vertices.copy()
        vertices[:, a] = cos * self.vertices[:, a] - sin * self.vertices[:, b]
        vertices[:, b] = sin * self.vertices[:, a] + cos * self.vertices[:, b]
        return dataclasses.replace(self, vertices=vertices)

    def scaled(self, x: float, y: float, z: float) -> Mesh:
        """Scale about the origin; a negative factor mirrors and flips the winding."""
        mesh = dataclasses.replace(self, vertices=self.vertices * np.array([x, y, z]))
        return mesh.flipped() if x * y * z < 0 else mesh

    def mirrored(self) -> Mesh:
        """Reflect left to right, x to -x, with the texture."""
        return self.scaled(-1, 1, 1)

    def flipped(self) -> Mesh:
        """Turn every face over."""
        ends = self.starts + self.sizes - 1
        # (corners,) the face of each corner; then its corners in reverse order
        face = np.repeat(np.arange(len(self.sizes)), self.sizes)
        order = ends[face] - (np.arange(len(self.corners)) - self.starts[face])
        return dataclasses.replace(self, corners=self.corners[order], uvs=self.uvs[order])

    def with_uv(
        self, scale_u: float, scale_v: float | None = None, shift: tuple[float, float] = (0.0, 0.0)
    ) -> Mesh:
        """Scale and shift the texture coordinates.

        A scale above one repeats the texture more often.
        """
        scale = np.array([scale_u, scale_u if scale_v is None else scale_v])
        return dataclasses.replace(self, uvs=self.uvs * scale + np.array(shift))


def weld(mesh: Mesh) -> Mesh:
    """Merge vertices within 1e-7; drop corners and faces that collapse."""
    # + 0.0 turns -0.0 into 0.0
    keys = np.round(mesh.vertices, 7) + 0.0
    # first: (m,) old vertices that stay; inverse: (n,) new index of each old vertex.
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    corners = inverse.reshape(-1)[mesh.corners]
    # A corner that repeats the next one has become an edge of length zero.
    keep = corners != corners[next_corner(mesh)]
    face = np.repeat(np.arange(len(mesh.sizes)), mesh.sizes)
    sizes = np.bincount(face[keep], minlength=len(mesh.sizes))
    # A face needs three different corners.
    keep &= sizes[face] >= 3
    return Mesh(
        mesh.vertices[first], sizes[sizes >= 3].astype(np.int64), corners[keep], mesh.uvs[keep]
    )


def next_corner(mesh: Mesh) -> IntArray:
    """Return the index of the next corner of the face, per corner."""
    following = np.arange(1, len(mesh.corners) + 1)
    # the last corner of a face is followed by its first
    following[mesh.starts + mesh.sizes - 1] = mesh.starts
    return following


def area_vectors(mesh: Mesh) -> FloatArray:
    """Compute normals of faces, (f, 3) float64, whose length is the area."""
    # cross product of each corner with the next one, (corners, 3); their sum is twice the area
    points = mesh.vertices[mesh.corners]
    crosses = np.cross(points, points[next_corner(mesh)])
    vectors: FloatArray = np.add.reduceat(crosses, mesh.starts, axis=0) / 2
    return vectors


def signed_volume(mesh: Mesh) -> float:
    """Return the enclosed volume; negative where the faces look inward."""
    # Each face is the base of a pyramid with its tip at the origin; their volumes add up.
    return float((area_vectors(mesh) * mesh.vertices[mesh.corners[mesh.starts]]).sum() / 3)


def outward(mesh: Mesh) -> Mesh:
    """Turn a closed mesh so that its faces look outward."""
    return mesh.flipped() if signed_volume(mesh) < 0 else mesh


def join(meshes: Sequence[Mesh]) -> Mesh:
    """Put meshes together as one, without merging anything."""
    shifts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.sizes for mesh in meshes]),
        np.concatenate([mesh.corners + shift for mesh, shift in zip(meshes, shifts, strict=False)]),
        np.concatenate([mesh.uvs for mesh in meshes]),
    )


def grid(points: Points, uvs: Points | None = None) -> Mesh:
    """Span quads over a grid of points.

    Rows that shrink to a point give triangles.

    Parameters
    ----------
    points : (m, n, 3) float, metres; the face normal is (along a row) x (from row to row)
    uvs : (m, n, 2) float; by default u grows along a row and v from row to row, both in [0, 1]
    """
    points = np.asarray(points, dtype=np.float64)
    m, n = points.shape[:2]
    if uvs is None:
        uvs = np.stack(np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, m)), axis=-1)
    index = np.arange(m * n).reshape(m, n)
    # Vertices of each quad, ((m - 1) (n - 1), 4), in the order of the winding.
    quads = np.stack(
        [index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]], axis=-1
    ).reshape(-1, 4)
    corner_uvs = np.asarray(uvs, dtype=np.float64).reshape(-1, 2)[quads.ravel()]
    # Welding makes triangles of quads with a repeated point, and closes seams.
    return weld(Mesh(points.reshape(-1, 3), np.full(len(quads), 4), quads.ravel(), corner_uvs))


def polygon(outline: Points) -> Mesh:
    """Fill a flat outline with one polygon, or triangles around its centre.

    Only a strictly convex outline becomes one polygon, since readers cut concave ones differently.

    Parameters
    ----------
    outline : (k, 3) float, metres, counter-clockwise seen from where the face looks

    Raises
    ------
    ValueError : an outline that cannot be seen whole from its centre
    """
    points: FloatArray = np.asarray(outline, dtype=np.float64)
    # Points that repeat the one before would give edges without a direction.
    points = points[np.linalg.norm(points - np.roll(points, 1, axis=0), axis=1) > 1e-9]
    following, centre, k = np.roll(points, -1, axis=0), points.mean(axis=0), len(points)
    normal = np.cross(points, following).sum(axis=0)
    normal /= np.linalg.norm(normal)
    # (k,) turn at each corner; all positive where the outline is strictly convex.
    turns = np.cross(following - points, np.roll(points, -2, axis=0) - following) @ normal
    if turns.min() > 1e-9:
        return Mesh(points, np.array([k]), np.arange(k), np.zeros((k, 2)))
    if (np.cross(points - centre, following - centre) @ normal).min() <= 0:
        raise ValueError(
            "the outline of a polygon must be visible from its centre: build it from several"
        )
    # Triangles (centre, corner, next corner); the centre becomes vertex k.
    corners = np.stack([np.full(k, k), np.arange(k), np.roll(np.arange(k), -1)], axis=-1).ravel()
    return Mesh(np.vstack([points, centre]), np.full(k, 3), corners, np.zeros((3 * k, 2)))


def loft(sections: Points) -> Mesh:
    """Skin a row of closed cross-sections and cap both ends.

    Parameters
    ----------
    sections : (m, k, 3) float, metres; an end section that is a single point needs no cap

    Returns
    -------
    mesh : u in [0, 1] along a section, v in [0, 1] from the first to the last
    """
    rings = np.asarray(sections, dtype=np.float64)
    # (m, k + 1, 3): the seam stands twice, once for u = 0 and once for u = 1.
    closed = np.concatenate([rings, rings[:, :1]], axis=1)
    # u follows the mean length of each step around, (k,): pictures are not squeezed.
    steps = np.linalg.norm(np.diff(closed, axis=1), axis=2).mean(axis=0)
    u = np.concatenate([[0.0], np.cumsum(steps)]) / max(float(steps.sum()), 1e-12)
    lengths = np.linalg.norm(np.diff(rings.mean(axis=1), axis=0), axis=1)
    v = np.concatenate([[0.0], np.cumsum(lengths)]) / max(float(lengths.sum()), 1e-12)
    uvs = np.stack(np.broadcast_arrays(u[None, :], v[:, None]), axis=-1)
    parts = [grid(closed, uvs)]
    # The first cap looks the other way than the last: its ring is read backward.
    for ring in (rings[0, ::-1], rings[-1]):
        if np.ptp(ring, axis=0).max() > 1e-7:
            cap = polygon(ring)
            parts.append(cap)
    return outward(weld(join(parts)))


def lathe(profile: Points, segments: int = 32, *, by_height: bool = False) -> Mesh:
    """Turn a profile about the y axis.

    Parameters
    ----------
    profile : (k, 2) float, metres, (radius, y); upward on an outside. Solid where it begins and
        ends on the axis or in the same point, else an open sheet
    segments : number of flat faces around
    by_height : v follows the height, so that a picture on the outside keeps its proportions; else
        the profile's length

    Returns
    -------
    mesh : u in [0, 1] with 0.5 at the front, growing to the right of somebody who faces it; v in
        [0, 1]
    """
    profile = np.asarray(profile, dtype=np.float64)
    angle = np.arange(segments) * (2 * math.pi / segments)
    # (segments + 1, 2) sine and cosine; the first direction stands again at the seam.
    around = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    around = np.concatenate([around, around[:1]])
    radius, height = profile[:, 0, None], profile[:, 1, None]
    # (k, segments + 1, 3): one row for each point of the profile.
    points = np.stack(
        np.broadcast_arrays(radius * around[:, 0], height, radius * around[:, 1]), axis=-1
    )
    along = (
        profile[:, 1]
        if by_height
        else np.cumsum(np.r_[0, np.linalg.norm(np.diff(profile, axis=0), axis=1)])
    )
    v = (along - along.min()) / np.ptp(along)
    uvs = np.stack(np.broadcast_arrays(np.linspace(0, 1, segments + 1)[None], v[:, None]), axis=-1)
    return grid(points, uvs)


def sphere(radius: float, segments: int = 24) -> Mesh:
    """Return a ball around the origin."""
    angle = np.linspace(-math.pi / 2, math.pi / 2, segments // 2 + 1)
    profile = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    # cos(pi / 2) is not exactly 0 in floating point, and the poles must be on the axis.
    profile[[0, -1], 0] = 0
    return lathe(profile, segments)


def tube(
    path: Points, radius: float | Sequence[float], sides: int = 12, *, closed: bool = False
) -> Mesh:
    """Sweep a circle along a path.

    Parameters
    ----------
    path : (k, 3) float, metres; a closed one lies in a plane and doesn't repeat its first point
    radius : metres, one for all or one a point
    sides : number of flat faces around
    """
    path = np.asarray(path, dtype=np.float64)
    if closed:
        before, after = np.roll(path, 1, axis=0), np.roll(path, -1, axis=0)
    else:
        # At the ends of an open path the end itself stands in for the missing neighbour.
        before, after = path[np.r_[0, : len(path) - 1]], path[np.r_[1 : len(path), len(path) - 1]]
    tangents = (after - before) / np.linalg.norm(after - before, axis=1, keepdims=True)
    # Any start across the path will do; the least aligned axis is the safest.
    normal = np.cross(tangents[0], np.eye(3)[np.abs(tangents[0]).argmin()])
    angle = np.arange(sides)[:, None] * (2 * math.pi / sides) + math.pi / sides
    rings = []
    for point, tangent, r in zip(path, tangents, np.broadcast_to(radius, len(path)), strict=True):
        # Carried along without twist
        normal = normal - tangent * (tangent @ normal)
        normal /= np.linalg.norm(normal)
        rings.append(
            point + r * (np.cos(angle) * normal + np.sin(angle) * np.cross(tangent, normal))
        )
    if not closed:
        return loft(rings)
    # (k + 1, sides + 1, 3): closed along the path and around it.
    ring_points = np.concatenate([np.array(rings), np.array(rings[:1])])
    return outward(grid(np.concatenate([ring_points, ring_points[:, :1]], axis=1)))


def bar(
    start: Points, end: Points, width: float, end_width: float | None = None, sides: int = 4
) -> Mesh:
    """Return a straight bar between two points; with `end_width` it tapers."""
    scale = 0.5 / math.cos(
        math.pi / sides
    )  # from the width across flats to the radius of the corners
    return box_uv(
        tube(
            [start, end],
            [width * scale, (width if end_width is None else end_width) * scale],
            sides,
        )
    )


def extrude(outline: Points, depth: float, bevel: float = 0.0) -> Mesh:
    """Extrude a flat outline to a solid.

    Parameters
    ----------
    outline : (k, 2) float, metres, in the x-y plane, counter-clockwise seen from +Z; visible from
        its centre
    depth : metres, from z = -depth / 2 to depth / 2
    bevel : metres by which both rims are cut off
    """
    outline = np.asarray(outline, dtype=np.float64)
    edges = np.roll(outline, -1, axis=0) - outline
    # Outward normals of the edges, (k, 2).
    normals = np.stack([edges[:, 1], -edges[:, 0]], axis=-1) / np.linalg.norm(
        edges, axis=1, keepdims=True
    )
    vertex_normals = normals + np.roll(normals, 1, axis=0)
    # Scaled so that both edges move in by the bevel; 0.3 limits this at sharp corners.
    vertex_normals /= np.maximum((vertex_normals**2).sum(axis=1, keepdims=True) / 2, 0.3)
    inset = outline - bevel * vertex_normals
    rings = [(outline, -depth / 2), (outline, depth / 2)]
    if bevel > 0:
        rings = [
            (inset, -depth / 2),
            (outline, bevel - depth / 2),
            (outline, depth / 2 - bevel),
            (inset, depth / 2),
        ]
    return box_uv(loft([np.c_[ring, np.full(len(ring), z)] for ring, z in rings]))


def box(
    size: Sequence[float],
    centre: Sequence[float] = (0, 0, 0),
    bevel: float | None = None,
    steps: int = 1,
) -> Mesh:
    """Return a box with rounded edges.

    Parameters
    ----------
    size, centre : (3,) float, metres
    bevel : metres; by default 6 % of the shortest side, 0 for sharp edges
    steps : facets of each rounding; 1 is a chamfer, 4 a cushion
    """
    w, h, d = size
    bevel = 0.06 * min(size) if bevel is None else min(bevel, 0.499 * min(size))
    rings = []
    # Rings from the face at -Z to the sides, on a quarter of a circle.
    for angle in np.linspace(0, math.pi / 2, steps + 1) if bevel > 0 else [math.pi / 2]:
        inset = bevel * (1 - math.sin(angle))
        ring = rounded_rectangle(w - 2 * inset, h - 2 * inset, bevel * math.sin(angle), steps)
        rings.append(np.c_[ring, np.full(len(ring), bevel * (1 - math.cos(angle)) - d / 2)])
    rings += [ring * [1, 1, -1] for ring in reversed(rings)]
    return box_uv(loft(rings).moved(*centre))


def rounded_rectangle(width: float, height: float, radius: float, steps: int = 4) -> FloatArray:
    """Return a rounded outline, (4 (steps + 1), 2) float64, counter-clockwise.

    Its centre is the origin.
    """
    quarter = np.linspace(0, math.pi / 2, steps + 1)
    arc = radius * np.stack([np.cos(quarter), np.sin(quarter)], axis=-1)
    corners = []
    for turn, (sx, sy) in enumerate([(1, 1), (-1, 1), (-1, -1), (1, -1)]):
        cos, sin = [1, 0, -1, 0][turn], [0, 1, 0, -1][turn]
        corner = np.array([sx * (width / 2 - radius), sy * (height / 2 - radius)])
        corners.append(corner + arc @ np.array([[cos, sin], [-sin, cos]]))
    return np.concatenate(corners)


def ellipse(width: float, height: float, segments: int = 24) -> FloatArray:
    """Return (segments, 2) float64: an outline around the origin, counter-clockwise."""
    angle = np.arange(segments) * (2 * math.pi / segments)
    return np.stack([width / 2 * np.cos(angle), height / 2 * np.sin(angle)], axis=-1)


def spline(control: Points, samples: int, *, closed: bool = False) -> FloatArray:
    """Return a smooth curve (Catmull-Rom), (samples, d), through control points.

    The control points are (k, d); the ends are included.
    """
    points: FloatArray = np.asarray(control, dtype=np.float64)
    if closed:
        points = np.concatenate([points, points[:1]])
        padded = np.concatenate([points[-2:-1], points, points[1:2]])
        t = np.linspace(0, len(points) - 1, samples, endpoint=False)
    else:
        padded = np.concatenate(
            # The missing neighbours of the ends are mirror images of the points inside.
            [2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]]
        )
        t = np.linspace(0, len(points) - 1, samples)
    # Each sample lies between control points i and i + 1, at the share s, (samples, 1).
    i = np.minimum(t.astype(int), len(points) - 2)
    s = (t - i)[:, None]
    a, b, c, d = padded[i], padded[i + 1], padded[i + 2], padded[i + 3]
    curve: FloatArray = b + 0.5 * s * (
        c - a + s * (2 * a - 5 * b + 4 * c - d + s * (3 * (b - c) + d - a))
    )
    return curve


def box_uv(mesh: Mesh, per_metre: float = 1.0) -> Mesh:
    """Project the texture on each face along its main axis.

    It is upright and not mirrored, seen from outside.
    """
    # (corners, 3): texture coordinates stand at corners, so normals are needed there.
    normals = np.repeat(area_vectors(mesh), mesh.sizes, axis=0)
    axis = (np.abs(normals) * [1, 1.001, 1.002]).argmax(
        axis=1
    )  # a tie must not be left to rounding
    sign = np.sign(normals[np.arange(len(axis)), axis])
    x, y, z = mesh.vertices[mesh.corners].T
    # On an upright face u runs to the viewer's right and v upward.
    u = np.choose(axis, [-sign * z, -x, sign * x])
    v = np.choose(axis, [y, sign * z, y])
    return dataclasses.replace(mesh, uvs=per_metre * np.stack([u, v], axis=-1))


def fit_uv(mesh: Mesh) -> Mesh:
    """Scale the texture coordinates to fill [0, 1] in both directions."""
    low, high = mesh.uvs.min(axis=0), mesh.uvs.max(axis=0)
    return dataclasses.replace(mesh, uvs=(mesh.uvs - low) / np.maximum(high - low, 1e-12))
