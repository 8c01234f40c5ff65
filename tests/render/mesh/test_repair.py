from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.render.mesh.obj import Mesh
from shapenet3d_cma.render.mesh.repair import Surface, repair


def mesh(vertices: np.ndarray, faces: list[list[int]], materials: list[int]) -> Mesh:
    """A mesh whose texture coordinates name vertex and material: u = vertex, v = material."""
    corners = [corner for face in faces for corner in face]
    owner = [materials[row] for row, face in enumerate(faces) for _ in face]
    return Mesh(
        vertices=np.asarray(vertices, dtype=np.float64),
        corners=np.array(corners, dtype=np.int64),
        uvs=np.stack([corners, owner], axis=1).astype(np.float64).reshape(-1, 2),
        starts=np.concatenate([[0], np.cumsum([len(face) for face in faces])]).astype(np.int64),
        materials=np.array(materials, dtype=np.int64),
        material_names=tuple("abcdef"),
    )


def triangles(surface: Surface) -> np.ndarray:
    return surface.vertices[surface.corners.reshape(-1, 3)]


def area(surface: Surface) -> float:
    first, second, third = np.moveaxis(triangles(surface), 1, 0)
    return float(np.linalg.norm(np.cross(second - first, third - first), axis=1).sum() / 2)


@st.composite
def soups(draw: st.DrawFn) -> tuple[np.ndarray, list[list[int]]]:
    """Distinct triangles with an area over random vertices."""
    count = draw(st.integers(3, 9))
    vertices = np.random.default_rng(draw(st.integers(0, 10**6))).random((count, 3))
    face = st.permutations(range(count)).map(lambda order: list(order[:3]))
    faces = draw(
        st.lists(face, min_size=1, max_size=12, unique_by=lambda corners: tuple(sorted(corners)))
    )
    return vertices, faces


@given(soups())
def test_sound_triangles_stay_as_they_are(soup: tuple[np.ndarray, list[list[int]]]) -> None:
    vertices, faces = soup
    surface = repair(mesh(vertices, faces, [0] * len(faces)))
    assert np.array_equal(triangles(surface), vertices[np.array(faces)])
    assert surface.repairs == {}


@given(soups(), st.randoms(use_true_random=False), st.booleans())
def test_a_doubled_mesh_becomes_single_and_keeps_both_sides(
    soup: tuple[np.ndarray, list[list[int]]], random: object, own_vertices: bool
) -> None:
    vertices, faces = soup
    shift = len(vertices) if own_vertices else 0
    backs = []
    for face in faces:
        turn = random.randrange(3)  # type: ignore[attr-defined]
        turned = face[::-1]
        backs.append([corner + shift for corner in turned[turn:] + turned[:turn]])
    doubled = mesh(
        np.concatenate([vertices, vertices]), faces + backs, [0] * len(faces) + [1] * len(faces)
    )
    surface = repair(doubled)
    assert np.array_equal(triangles(surface), vertices[np.array(faces)])
    assert (surface.front == 0).all()
    assert (surface.back == 1).all()
    # each side has its own texture coordinates at the very same corner
    assert np.array_equal(surface.front_uvs[:, 0], np.array(faces).ravel())
    assert np.array_equal(surface.back_uvs[:, 0], np.array(faces).ravel() + shift)
    assert (surface.back_uvs[:, 1] == 1).all()
    assert surface.repairs == {"opposite pairs merged": len(faces)}


@given(soups())
def test_copies_are_dropped(soup: tuple[np.ndarray, list[list[int]]]) -> None:
    vertices, faces = soup
    copies = [face[1:] + face[:1] for face in faces]
    surface = repair(mesh(vertices, faces + copies, [0] * len(faces) + [1] * len(faces)))
    assert np.array_equal(triangles(surface), vertices[np.array(faces)])
    assert (surface.back == 0).all()
    assert surface.repairs == {"duplicate faces dropped": len(faces)}


def test_faces_without_area_are_dropped() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [2, 0, 0], [0, 0, 0]])
    faces = [[0, 1, 2], [0, 1, 1], [0, 1, 3], [0, 4, 2], [1, 1, 1]]
    surface = repair(mesh(vertices, faces, [0] * 5))
    assert len(surface.front) == 1
    assert surface.repairs == {"faces without area dropped": 4}


def test_a_vertex_that_is_no_number_does_not_touch_its_neighbours() -> None:
    vertices = np.array([[np.nan, 0, -0.4], [0, 0, -0.4], [1, 0, 0], [0, 1, 0]])
    surface = repair(mesh(vertices, [[1, 2, 3]], [0]))
    assert np.array_equal(triangles(surface), vertices[[[1, 2, 3]]])


def test_repeated_corners_are_passed_over() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1e-7, 0]])
    surface = repair(mesh(vertices, [[0, 1, 2, 2], [0, 2, 3, 4, 0]], [0, 1]))
    assert np.diff(surface.starts).tolist() == [3, 3]
    assert np.isclose(area(surface), 1)
    assert surface.repairs == {}


def test_a_corner_on_a_straight_edge_does_no_harm() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [2, 1, 0], [0, 1, 0.5]])
    surface = repair(mesh(vertices, [[0, 1, 2, 3, 4]], [0]))
    assert np.diff(surface.starts).tolist() == [3, 3]
    assert np.isclose(area(surface), 1 + np.linalg.norm(np.cross([2, 1, 0], [0, 1, 0.5])) / 2)


@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e4])
def test_size_and_place_do_not_matter(scale: float) -> None:
    rng = np.random.default_rng(0)
    vertices, faces = rng.random((30, 3)), rng.permutation(30).reshape(-1, 3).tolist()
    doubled = faces + [face[::-1] for face in faces]
    surface = repair(mesh(vertices * scale + 3 * scale, doubled, [0] * 20))
    assert surface.repairs == {"opposite pairs merged": 10}
    assert len(surface.front) == 10


def test_the_first_face_of_either_winding_counts() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    front, back = [0, 1, 2], [2, 1, 0]
    surface = repair(mesh(vertices, [front, back, back, front, back], [3, 4, 5, 0, 1]))
    assert (surface.front.tolist(), surface.back.tolist()) == ([3], [4])
    assert surface.repairs == {"opposite pairs merged": 1, "duplicate faces dropped": 3}


def test_small_faces_are_not_faces_without_area() -> None:
    vertices = np.array([[0.3, 0, 0], [0.3001, 0, 0], [0.3, 0.0001, 0]])
    assert len(repair(mesh(vertices, [[0, 1, 2]], [0])).front) == 1


def test_vertices_are_welded_but_never_moved() -> None:
    vertices = np.array(
        [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1 + 2e-7, 0, 0], [0, 1, -3e-7], [1, 1, 0]]
    )
    surface = repair(mesh(vertices, [[0, 1, 2], [3, 5, 4]], [0, 0]))
    assert len(surface.vertices) == 4
    for vertex in surface.vertices:
        assert (vertex == vertices).all(axis=1).any()
    assert np.abs(triangles(surface) - vertices[[[0, 1, 2], [3, 5, 4]]]).max() <= 1e-6


def test_polygons_are_split_from_their_first_corner() -> None:
    angle = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    vertices = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    surface = repair(mesh(vertices, [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0]], [0, 1]))
    assert np.diff(surface.starts).tolist() == [3] * 4
    assert np.isclose(area(surface), 1.5 * np.sqrt(3))
    assert (surface.back == 1).all()


def test_other_polygons_stay_whole() -> None:
    arrow = np.array([[0, 0, 0], [2, 1, 0], [0, 2, 0], [0.5, 1, 0]])
    surface = repair(mesh(arrow, [[0, 1, 2, 3], [3, 0, 1, 2]], [0, 0]))
    assert np.diff(surface.starts).tolist() == [4]
    assert surface.repairs == {"duplicate faces dropped": 1}


def test_faces_stay_in_the_order_of_the_file_whatever_their_size() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]])
    surface = repair(mesh(vertices, [[0, 1, 4], [0, 1, 2, 3], [1, 2, 4]], [0, 1, 2]))
    assert surface.front.tolist() == [0, 1, 1, 2]


def test_unused_vertices_do_not_count() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [99, 99, 99]])
    assert repair(mesh(vertices, [[0, 1, 2]], [0])).bounds.tolist() == [[0, 0, 0], [1, 1, 0]]


@given(soups(), st.booleans(), st.booleans())
def test_doubled_and_further_faces_stay_where_asked(
    soup: tuple[np.ndarray, list[list[int]]], merge: bool, drop: bool
) -> None:
    vertices, faces = soup
    count = len(faces)
    turned = [face[::-1] for face in faces]
    everything = faces + turned + faces
    surface = repair(
        mesh(vertices, everything, [0] * count + [1] * count + [2] * count),
        merge_doubled=merge,
        drop_duplicates=drop,
    )
    stays = faces + ([] if merge else turned) + ([] if drop else faces)
    assert np.array_equal(triangles(surface), vertices[np.array(stays)])
    assert np.array_equal(surface.back[:count], np.full(count, 1 if merge else 0))
    assert np.array_equal(surface.front[count:], surface.back[count:])
    counts = {"opposite pairs merged": count * merge, "duplicate faces dropped": count * drop}
    assert surface.repairs == {name: number for name, number in counts.items() if number}


def test_vertices_stay_apart_and_faces_without_area_stay_where_asked() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [2, 0, 0], [0, 0, 0]])
    surface = repair(
        mesh(vertices, [[0, 1, 2], [0, 1, 3], [4, 1, 2]], [0] * 3), weld=0, drop_degenerate=False
    )
    assert np.array_equal(triangles(surface), vertices[[[0, 1, 2], [0, 1, 3], [4, 1, 2]]])
    assert len(surface.vertices) == 5
    assert surface.repairs == {}


def test_an_empty_mesh_is_an_empty_surface() -> None:
    surface = repair(mesh(np.zeros((0, 3)), [], []))
    assert (len(surface.vertices), len(surface.front), surface.starts.tolist()) == (0, 0, [0])
