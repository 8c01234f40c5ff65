"""The parts of sample models: closed solids that face outwards and share no surface."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapenet3d_cma.samples.categories import CATEGORIES
from shapenet3d_cma.samples.obj_writer import normalised, triangulated
from shapenet3d_cma.samples.primitives import area_vectors, next_corner, signed_volume
from shapenet3d_cma.samples.shapenet_folder import build_parts


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(CATEGORIES)), st.integers(0, 2**32), st.integers(0, 5000))
def test_parts_are_closed_solids_that_face_outward(name: str, seed: int, number: int) -> None:
    for part in build_parts(name, seed, number)[0]:
        mesh = part.mesh
        assert np.isfinite(mesh.vertices).all()
        assert np.isfinite(mesh.uvs).all()
        edges = list(
            zip(mesh.corners.tolist(), mesh.corners[next_corner(mesh)].tolist(), strict=True)
        )
        assert len(set(edges)) == len(edges), part.name
        if not part.sheet:
            assert {(b, a) for a, b in edges} == set(edges), part.name
            assert signed_volume(mesh) > 0, part.name


@pytest.mark.parametrize("name", sorted(CATEGORIES))
def test_no_two_parts_share_a_surface(name: str) -> None:
    for number in (0, 1, 2):
        assert shared_surfaces(name, number) == set()


def shared_surfaces(name: str, number: int) -> set[tuple[str, str]]:
    """Pairs of parts of which a face of one lies in a face of the other: either may show when rendered."""
    parts = normalised(build_parts(name, 0, number)[0], (0, 0, 0))
    meshes = [triangulated(part.mesh, keep_flat=False) for part in parts]
    corners = np.concatenate([mesh.vertices[mesh.corners].reshape(-1, 3, 3) for mesh in meshes])
    owner = np.repeat(np.arange(len(meshes)), [len(mesh.sizes) for mesh in meshes])
    areas = np.concatenate([area_vectors(mesh) for mesh in meshes])
    large = np.linalg.norm(areas, axis=1) > 1e-6
    corners, owner, normals = corners[large], owner[large], areas[large]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    normals *= np.sign(np.take_along_axis(normals, np.abs(normals).argmax(axis=1)[:, None], axis=1))
    planes = np.floor(np.c_[500 * normals, 5000 * (normals * corners[:, 0]).sum(axis=1)] + 0.25)
    pairs = set()
    _, group = np.unique(planes, axis=0, return_inverse=True)
    order = np.argsort(group.reshape(-1), kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(group.reshape(-1)[order])) + 1):
        if len(set(owner[members])) < 2:
            continue
        for position, i in enumerate(members):
            for j in members[:position]:
                if owner[i] != owner[j] and overlap(corners[i], corners[j], normals[i]) > 1e-3:
                    pairs.add((parts[owner[j]].name, parts[owner[i]].name))
    return pairs


def overlap(a: np.ndarray, b: np.ndarray, normal: np.ndarray) -> float:
    """How deep two triangles of one plane reach into one another (separating axes)."""
    keep = [axis for axis in range(3) if axis != np.abs(normal).argmax()]
    depth = np.inf
    for triangle in (a[:, keep], b[:, keep]):
        for edge in np.roll(triangle, -1, axis=0) - triangle:
            across = np.array([-edge[1], edge[0]]) / np.linalg.norm(edge)
            p, q = a[:, keep] @ across, b[:, keep] @ across
            depth = min(depth, p.max() - q.min(), q.max() - p.min())
    return float(depth)


def test_pictures_on_the_front_are_upright_and_unmirrored() -> None:
    """Seen from the front, -X is on the right: there u must grow toward -X, and v upward."""
    for name, part_name in (
        ("mug", "body"),
        ("clock", "dial"),
        ("laptop", "screen"),
        ("bottle", "label"),
    ):
        parts, _ = build_parts(name, 0, 0)
        mesh = next(part.mesh for part in parts if part.name == part_name)
        face = np.repeat(np.arange(len(mesh.sizes)), mesh.sizes)
        fronts = area_vectors(mesh)
        seen = fronts[:, 2] < -0.6 * np.linalg.norm(fronts, axis=1)
        points, uvs = mesh.vertices[mesh.corners][seen[face]], mesh.uvs[seen[face]]
        points, uvs = points - points.mean(axis=0), uvs - uvs.mean(axis=0)
        assert (points[:, 0] * uvs[:, 0]).sum() < 0, name
        assert (points[:, 1] * uvs[:, 1]).sum() > 0, name
