from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.core.camera import Camera
from shapenet3d_cma.render.depth import refine_depth, seen_normal, seen_position
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
def test_a_strayed_depth_is_put_right(tilt: float, seed: int) -> None:
    exact = true_depth(tilt)
    strayed = (exact + np.random.default_rng(seed).normal(scale=1e-3, size=exact.shape)).astype(
        np.float32
    )
    strayed[0, :3] = 0
    refined, _ = refine_depth(strayed, FIRST, repair(plane(tilt, 3)), VIEW)
    middle = np.s_[4:12, 4:12]  # inside the triangle for every tilt
    assert np.array_equal(refined[middle], exact[middle].astype(np.float32))
    assert refined.dtype == np.float32


@given(st.integers(0, 10**6))
def test_whatever_the_renderer_takes_for_hits_at_edges_the_exact_ray_decides(seed: int) -> None:
    """Each pixel may name any face at its true depth, or none where a pixel beside it is right."""
    rng = np.random.default_rng(seed)
    near, far = rng.uniform(-0.6, 0.6, (2, 3, 3)) * [1, 1, 0.1] + [[[0, 0, 0.5]], [[0, 0, -0.5]]]
    mesh = mesh_of(near, far * [3, 3, 1])
    surface = repair(mesh)
    truth = brute_force(mesh, VIEW)
    face = np.where(truth < 2, 0, 1)
    given_depth = truth.astype(np.float32)
    wrong = rng.random((16, 16)) < 0.2
    face = np.where(
        wrong & (truth > 0), 1 - face, face
    )  # the other face, which lies elsewhere or is missed
    given_depth[wrong & (truth == 0)] = 1.5  # beside an edge
    refined, seen = refine_depth(given_depth, face, surface, VIEW)
    farther = brute_force(mesh_of(far * [3, 3, 1]), VIEW)
    behind = (
        wrong & (face == 1) & (farther > truth)
    )  # a face behind is really met: only a neighbour tells of the nearer
    assert np.allclose(refined[~behind], truth[~behind], atol=1e-6)
    assert np.array_equal(
        seen[~behind & (truth > 0)], np.where(truth < 2, 0, 1)[~behind & (truth > 0)]
    )


def test_a_ray_that_misses_its_face_sees_what_is_behind() -> None:
    """A face seen all but edge-on, 1e-5 under the ray, was taken for a hit; a wall stands behind."""
    u, v = 8, 8
    way = VIEW.unproject([u + 0.5, v + 0.5], 1.0) - VIEW.eye
    edge = VIEW.eye + 2 * way + [0, -1e-5, 0]
    shelf = edge + np.array([[-3, 0, 0], [3, 0, 0], [0, -0.02, 3]])
    wall = [(-9, -9, -1), (9, -9, -1), (0, 9, -1)]
    given_depth = np.zeros((16, 16), np.float32)
    given_depth[v, u] = 2.0003
    refined, face = refine_depth(given_depth, FIRST, repair(mesh_of(shelf.tolist(), wall)), VIEW)
    assert (refined[v, u], face[v, u]) == (3, 1)
    refined, _ = refine_depth(given_depth, FIRST, repair(mesh_of(shelf.tolist())), VIEW)
    assert refined[v, u] == 0  # and nothing where nothing is behind


def test_no_ray_slips_between_triangles_that_share_an_edge() -> None:
    """The diagonal of a square passes through pixel centres."""
    square = mesh_of([(-2, -2, 0), (2, -2, 0), (2, 2, 0)], [(-2, -2, 0), (2, 2, 0), (-2, 2, 0)])
    for face in (0, 1):
        refined, _ = refine_depth(
            np.full((16, 16), 2, np.float32), np.full((16, 16), face), repair(square), VIEW
        )
        assert (refined == 2).all()


def test_a_nearer_face_that_a_pixel_beside_sees_is_found() -> None:
    flap, wall = [(-1, -1, 0.5), (1, -1, 0.5), (0, 1, 0.5)], [(-9, -9, -1), (9, -9, -1), (0, 9, -1)]
    mesh = mesh_of(flap, wall)
    truth = brute_force(mesh, VIEW)
    missed = truth.copy()
    missed[8, 8] = 3  # the renderer saw the wall through the flap's edge
    refined, face = refine_depth(
        missed.astype(np.float32), np.where(missed < 2, 0, 1), repair(mesh), VIEW
    )
    assert np.array_equal(refined, truth.astype(np.float32))
    assert face[8, 8] == 0


def test_polygons_keep_the_given_depth() -> None:
    given_depth = np.full((16, 16), 2.5, np.float32)
    surface = repair(plane(0.0, 4))
    assert np.diff(surface.starts).tolist() == [4]
    refined, _ = refine_depth(given_depth, FIRST, surface, VIEW)
    assert (refined == 2.5).all()


def test_fields_of_the_surface_follow_its_depth() -> None:
    surface = repair(plane(0.4, 3))
    depth = np.where(true_depth(0.4) < 9, true_depth(0.4), 0).astype(np.float32)
    normal, position = seen_normal(depth, FIRST, surface, VIEW), seen_position(depth, VIEW)
    assert np.allclose(normal, [0, -np.sin(0.4), np.cos(0.4)], atol=1e-6)
    assert np.allclose(position @ [0, -np.sin(0.4), np.cos(0.4)], 0, atol=1e-6)
