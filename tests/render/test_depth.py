from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shapenet3d_cma.core.camera import Camera
from shapenet3d_cma.render.depth import (
    NO_MATERIAL,
    refine_depth,
    seen_material,
    seen_normal,
    seen_position,
)
from shapenet3d_cma.render.mesh.obj import Mesh
from shapenet3d_cma.render.mesh.repair import repair

VIEW = Camera.from_fov(50, 16, 16).look_at((0, 0, 2), (0, 0, 0))


def plane(tilt: float, corners: int) -> Mesh:
    """One large polygon through the origin, tilted about x."""
    outline = {3: [(-9, -9), (9, -9), (0, 9)], 4: [(9, -9), (0, 9), (-9, -9), (0, -3)]}[corners]
    vertices = np.array([(x, y * np.cos(tilt), y * np.sin(tilt)) for x, y in outline])
    return Mesh(
        vertices,
        np.arange(corners),
        np.zeros((corners, 2)),
        np.array([0, corners]),
        np.zeros(1, dtype=int),
        ("a",),
    )


def true_depth(tilt: float) -> np.ndarray:
    """Depth of the plane y sin(tilt) = z cos(tilt), solved by hand for each pixel's ray."""
    v, u = np.mgrid[:16, :16] + 0.5
    direction = VIEW.unproject(np.stack([u, v], axis=-1), np.ones((16, 16))) - VIEW.eye
    normal = np.array([0, -np.sin(tilt), np.cos(tilt)])
    return (normal @ -VIEW.eye) / (direction @ normal)


FIRST = np.zeros((16, 16), dtype=np.int64)


def mesh_of(*triangles: list[tuple[float, float, float]]) -> Mesh:
    vertices = np.array(triangles, dtype=float).reshape(-1, 3)
    starts, count = np.arange(0, len(vertices) + 1, 3), len(triangles)
    return Mesh(
        vertices,
        np.arange(len(vertices)),
        np.zeros((len(vertices), 2)),
        starts,
        np.zeros(count, int),
        ("a",),
    )


def brute_force(mesh: Mesh, camera: Camera) -> np.ndarray:
    """Cast every pixel's ray at every triangle by Cramer's rule, float64; depth 0 where nothing is met."""
    v, u = np.mgrid[: camera.height, : camera.width] + 0.5
    ray = camera.unproject(np.stack([u, v], axis=-1), np.ones(u.shape)) - camera.eye
    nearest = np.full(u.shape, np.inf)
    for corner in mesh.vertices[mesh.corners].reshape(-1, 3, 3):
        along, across, away = corner[1] - corner[0], corner[2] - corner[0], camera.eye - corner[0]
        volume = np.cross(ray, across) @ along
        a = np.cross(ray, across) @ away / volume
        b = ray @ np.cross(away, along) / volume
        t = np.cross(away, along) @ across / volume
        nearest = np.where((a >= 0) & (b >= 0) & (a + b <= 1) & (t > 0) & (t < nearest), t, nearest)
    return np.where(np.isfinite(nearest), nearest, 0)


@given(st.floats(-1, 1), st.integers(0, 1000))
def test_an_inexact_depth_becomes_exact(tilt: float, seed: int) -> None:
    exact = true_depth(tilt)
    inexact = (exact + np.random.default_rng(seed).normal(scale=1e-3, size=exact.shape)).astype(
        np.float32
    )
    inexact[0, :3] = 0
    refined, _ = refine_depth(inexact, FIRST, repair(plane(tilt, 3)), VIEW)
    middle = np.s_[4:12, 4:12]  # inside the triangle for every tilt
    assert np.array_equal(refined[middle], exact[middle].astype(np.float32))
    assert refined.dtype == np.float32


@given(st.integers(0, 10**6))
def test_at_edges_the_exact_ray_decides_whatever_the_renderer_hit(seed: int) -> None:
    """Each pixel may name any face at its true depth, or none where a pixel beside it is right."""
    rng = np.random.default_rng(seed)
    near, far = rng.uniform(-0.6, 0.6, (2, 3, 3)) * [1, 1, 0.1] + [[[0, 0, 0.5]], [[0, 0, -0.5]]]
    mesh = mesh_of(near, far * [3, 3, 1])
    surface = repair(mesh)
    truth = brute_force(mesh, VIEW)
    face = np.where(truth < 2, 0, 1)
    coarse = truth.astype(np.float32)
    wrong = rng.random((16, 16)) < 0.2
    face = np.where(
        wrong & (truth > 0), 1 - face, face
    )  # the other face, which lies elsewhere or is missed
    coarse[wrong & (truth == 0)] = 1.5  # beside an edge
    refined, seen = refine_depth(coarse, face, surface, VIEW)
    farther = brute_force(mesh_of(far * [3, 3, 1]), VIEW)
    behind = (
        wrong & (face == 1) & (farther > truth)
    )  # a face behind is really met: only a neighbour tells of the nearer
    assert np.allclose(refined[~behind], truth[~behind], atol=1e-6)
    assert np.array_equal(
        seen[~behind & (truth > 0)], np.where(truth < 2, 0, 1)[~behind & (truth > 0)]
    )


inner_pixels = st.tuples(st.integers(0, 15), st.integers(8, 15))
"""A pixel (u, v) of the lower half of the image, whose ray points downwards."""


@given(inner_pixels, st.floats(0.5, 3))
def test_a_ray_that_misses_its_face_shows_the_wall_behind(
    pixel: tuple[int, int], behind: float
) -> None:
    """The renderer hit a shelf that is seen all but edge-on, 1e-5 below the exact ray."""
    u, v = pixel
    way = VIEW.unproject([u + 0.5, v + 0.5], 1.0) - VIEW.eye
    edge = VIEW.eye + 2 * way + [0, -1e-5, 0]
    shelf = edge + np.array([[-3, 0, 0], [3, 0, 0], [0, -0.02, 3]])
    wall = [(-9, -9, -behind), (9, -9, -behind), (0, 9, -behind)]
    coarse = np.zeros((16, 16), np.float32)
    coarse[v, u] = 2.0003
    refined, face = refine_depth(coarse, FIRST, repair(mesh_of(shelf.tolist(), wall)), VIEW)
    assert np.isclose(refined[v, u], 2 + behind, rtol=1e-6)
    assert face[v, u] == 1
    refined, _ = refine_depth(coarse, FIRST, repair(mesh_of(shelf.tolist())), VIEW)
    assert refined[v, u] == 0  # without the wall the ray hits nothing


@settings(max_examples=15)
@given(
    st.integers(3, 12),
    st.floats(0, 6),
    st.floats(-0.9, 0.9),
    st.tuples(st.integers(0, 15), st.integers(0, 15)),
    st.integers(0, 10**6),
)
def test_no_ray_slips_between_triangles_that_share_an_edge(
    count: int, turn: float, tilt: float, pixel: tuple[int, int], seed: int
) -> None:
    """A plane of triangles around a pixel's centre; the renderer may name any of them."""
    depth = true_depth(tilt)
    u, v = pixel
    middle = VIEW.unproject([u + 0.5, v + 0.5], depth[v, u])
    angle = turn + 2 * np.pi * np.arange(count) / count
    circle = np.stack(
        [np.cos(angle), np.sin(angle) * np.cos(tilt), np.sin(angle) * np.sin(tilt)], axis=1
    )
    rim = middle + 90 * circle
    fan = [[middle, rim[index - 1], rim[index]] for index in range(count)]
    named = np.random.default_rng(seed).integers(count, size=(16, 16))
    refined, _ = refine_depth(depth.astype(np.float32), named, repair(mesh_of(*fan)), VIEW)
    assert np.allclose(refined, depth, rtol=1e-6)


@given(st.integers(0, 10**6), st.floats(-0.9, 0.9))
def test_a_nearer_face_that_a_neighbouring_pixel_shows_is_found(seed: int, high: float) -> None:
    """Single pixels show the wall where the exact ray meets the flap before it."""
    flap, wall = (
        [(-1, -1, high), (1, -1, high), (0, 1, high)],
        [(-9, -9, -1), (9, -9, -1), (0, 9, -1)],
    )
    mesh = mesh_of(flap, wall)
    truth = brute_force(mesh, VIEW)
    # no two missed pixels are neighbours: one of each 3 x 3 block at most, its middle
    blocks = np.random.default_rng(seed).random((16, 16)) < 0.5
    row, column = np.mgrid[:16, :16]
    missed = blocks & (row % 3 == 1) & (column % 3 == 1)
    coarse = np.where(missed, 3, truth).astype(np.float32)
    # a missed pixel at the flap's tip may have no neighbour that shows the flap
    shown = np.pad((coarse < 2.99), 1)
    beside = shown[:-2, 1:-1] | shown[2:, 1:-1] | shown[1:-1, :-2] | shown[1:-1, 2:]
    refined, face = refine_depth(coarse, np.where(coarse < 2.99, 0, 1), repair(mesh), VIEW)
    sure = beside | ~missed
    assert np.allclose(refined[sure], truth[sure], rtol=1e-6)
    assert np.array_equal(face[sure], np.where(truth < 2.99, 0, 1)[sure])


@given(hnp.arrays(np.float32, (16, 16), elements=st.floats(0.5, 9, width=32)), st.floats(-1, 1))
def test_polygons_keep_the_given_depth(coarse: np.ndarray, tilt: float) -> None:
    surface = repair(plane(tilt, 4))
    assert np.diff(surface.starts).tolist() == [4]
    refined, _ = refine_depth(coarse, FIRST, surface, VIEW)
    assert np.array_equal(refined, coarse)


@given(st.floats(-1, 1), st.booleans())
def test_fields_of_the_surface_follow_its_depth(tilt: float, backwards: bool) -> None:
    surface = repair(plane(tilt, 3))
    if backwards:
        surface = dataclasses.replace(surface, corners=surface.corners[::-1].copy())
    surface = dataclasses.replace(surface, front=np.array([7]), back=np.array([8]))
    depth = np.where((true_depth(tilt) > 0) & (true_depth(tilt) < 9), true_depth(tilt), 0)
    depth = depth.astype(np.float32)
    seen, plane_normal = depth > 0, np.array([0, -np.sin(tilt), np.cos(tilt)])
    normal, position = seen_normal(depth, FIRST, surface, VIEW), seen_position(depth, VIEW)
    # the camera lies on the side of +z, whichever way the triangle winds
    assert np.allclose(normal[seen], plane_normal, atol=1e-6)
    assert np.allclose(position[seen] @ plane_normal, 0, atol=1e-5)
    assert not normal[~seen].any()
    assert not position[~seen].any()
    material = seen_material(depth, FIRST, surface, VIEW)
    assert (material[seen] == (8 if backwards else 7)).all()
    assert (material[~seen] == NO_MATERIAL).all()
