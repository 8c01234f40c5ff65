from __future__ import annotations

import numpy as np
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


@given(soups(), st.data())
def test_faces_without_area_are_dropped(
    soup: tuple[np.ndarray, list[list[int]]], data: st.DataObject
) -> None:
    """Faces with a corner twice, a vertex's twin, or three corners on a line, anywhere among sound ones."""
    vertices, faces = soup
    count = len(vertices)
    # a twin of each vertex, and the middle of each edge of the first face
    first = vertices[np.array(faces[0])]
    more = np.concatenate([vertices, vertices, (first + np.roll(first, 1, axis=0)) / 2])
    a, b, c = faces[0]
    flat = [[a, b, b], [a, a, a], [a, count + a, b], [c, a, 2 * count], [b, a, 2 * count + 1]]
    useless = data.draw(st.lists(st.sampled_from(flat), min_size=1, max_size=6))
    everything = list(faces)
    for face in useless:
        everything.insert(data.draw(st.integers(0, len(everything))), face)
    surface = repair(mesh(more, everything, [0] * len(everything)))
    assert np.array_equal(triangles(surface), vertices[np.array(faces)])
    assert surface.repairs == {"faces without area dropped": len(useless)}


@given(soups(), st.integers(0, 2), st.sampled_from([np.nan, np.inf, -np.inf, 1e308]))
def test_a_vertex_that_no_face_uses_changes_nothing(
    soup: tuple[np.ndarray, list[list[int]]], axis: int, value: float
) -> None:
    vertices, faces = soup
    more = np.concatenate([vertices, vertices[:1]])
    more[-1, axis] = value
    plain, surface = (repair(mesh(which, faces, [0] * len(faces))) for which in (vertices, more))
    for name, array in vars(plain).items():
        assert np.array_equal(getattr(surface, name), array), name


@given(soups(), st.data())
def test_repeated_corners_are_passed_over(
    soup: tuple[np.ndarray, list[list[int]]], data: st.DataObject
) -> None:
    """Each corner may come several times in a row, also as a vertex of its own at the same place."""
    vertices, faces = soup
    twins = np.concatenate([vertices, vertices])
    repeats = st.lists(st.sampled_from([0, len(vertices)]), min_size=1, max_size=3)
    longer = [[corner + shift for corner in face for shift in data.draw(repeats)] for face in faces]
    # the same faces without repeats are their copies
    surface = repair(mesh(twins, longer + faces, [0] * 2 * len(faces)))
    assert np.array_equal(triangles(surface), vertices[np.array(faces)])
    assert surface.repairs == {"duplicate faces dropped": len(faces)}


@st.composite
def convex_polygons(draw: st.DrawFn) -> np.ndarray:
    """Draw the corners of a convex polygon in a plane of any direction, (n, 3)."""
    steps = np.cumsum(draw(st.lists(st.floats(0.1, 1), min_size=3, max_size=14)))
    angle = 2 * np.pi * steps / (steps[-1] + draw(st.floats(0.1, 1)))
    flat = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    turn, _ = np.linalg.qr(np.random.default_rng(draw(st.integers(0, 999))).normal(size=(3, 3)))
    return flat @ turn


def polygon_area(polygon: np.ndarray) -> float:
    offset = polygon - polygon[0]
    return float(np.linalg.norm(np.cross(offset[:-1], offset[1:]).sum(axis=0)) / 2)


@given(convex_polygons(), st.data())
def test_convex_polygons_are_split_from_their_first_corner(
    polygon: np.ndarray, data: st.DataObject
) -> None:
    """The back, whose corners run the other way from any start, is split the same way."""
    count = len(polygon)
    begin = data.draw(st.integers(0, count - 1))
    back = [(begin - index) % count for index in range(count)]
    surface = repair(mesh(polygon, [list(range(count)), back], [0, 1]))
    assert np.diff(surface.starts).tolist() == [3] * (count - 2)
    assert np.array_equal(triangles(surface)[:, 0], np.tile(polygon[0], (count - 2, 1)))
    assert np.isclose(area(surface), polygon_area(polygon))
    assert (surface.back == 1).all()
    assert np.array_equal(surface.front_uvs[:, 0], surface.back_uvs[:, 0])


@given(convex_polygons(), st.lists(st.integers(0, 13), min_size=1, max_size=4))
def test_a_corner_on_a_straight_edge_changes_no_area(polygon: np.ndarray, edges: list[int]) -> None:
    corners: list[np.ndarray] = []
    for index, corner in enumerate(polygon):
        corners.append(corner)
        if index in edges:
            corners.append((corner + polygon[(index + 1) % len(polygon)]) / 2)
    surface = repair(mesh(np.array(corners), [list(range(len(corners)))], [0]))
    assert (np.diff(surface.starts) == 3).all()
    assert np.isclose(area(surface), polygon_area(polygon))
    assert surface.repairs == {}


@given(
    st.integers(0, 10**6),
    st.floats(-7, 4).map(lambda power: 10**power),
    st.tuples(*[st.floats(-5, 5)] * 3),
)
def test_size_and_place_do_not_matter(
    seed: int, scale: float, place: tuple[float, float, float]
) -> None:
    rng = np.random.default_rng(seed)
    vertices, faces = rng.random((30, 3)), rng.permutation(30).reshape(-1, 3).tolist()
    doubled = faces + [face[::-1] for face in faces]
    moved = (vertices + place) * scale
    surface = repair(mesh(moved, doubled, [0] * 20))
    assert np.array_equal(triangles(surface), moved[np.array(faces)])
    assert surface.repairs == {"opposite pairs merged": 10}


@given(st.lists(st.booleans(), min_size=1, max_size=6))
def test_the_first_face_of_either_winding_counts(windings: list[bool]) -> None:
    """One triangle several times; True stands for the winding of the first."""
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    windings = [True, *windings]
    faces = [[0, 1, 2] if winding else [2, 1, 0] for winding in windings]
    surface = repair(mesh(vertices, faces, list(range(len(faces)))))
    back = windings.index(False) if False in windings else 0
    assert (surface.front.tolist(), surface.back.tolist()) == ([0], [back])
    counts = {
        "opposite pairs merged": int(back > 0),
        "duplicate faces dropped": len(faces) - 1 - (back > 0),
    }
    assert surface.repairs == {name: count for name, count in counts.items() if count}


@given(st.floats(1e-6, 1e-2), st.floats(0.2, 2.9))
def test_a_small_face_of_a_large_model_is_kept(size: float, angle: float) -> None:
    large = [[0, 0, 0], [1, 0, 0], [0, 0, 1]]
    small = size * np.array([[0, 0, 0], [1, 0, 0], [np.cos(angle), np.sin(angle), 0]])
    vertices = np.concatenate([large, small + np.array([0.3, 0.2, 0.1])])
    surface = repair(mesh(vertices, [[0, 1, 2], [3, 4, 5]], [0, 0]), weld=1e-8)
    assert np.array_equal(triangles(surface), vertices.reshape(2, 3, 3))


@given(soups(), st.integers(0, 10**6))
def test_vertices_are_welded_but_never_moved(
    soup: tuple[np.ndarray, list[list[int]]], seed: int
) -> None:
    """Each face has vertices of its own, up to 1e-12 beside those of the others."""
    vertices, faces = soup
    corners = vertices[np.array(faces).ravel()]
    apart = corners + np.random.default_rng(seed).uniform(-1e-12, 1e-12, corners.shape)
    surface = repair(mesh(apart, np.arange(len(apart)).reshape(-1, 3).tolist(), [0] * len(faces)))
    given_rows = {row.tobytes() for row in apart}
    assert all(vertex.tobytes() in given_rows for vertex in surface.vertices)
    assert np.abs(triangles(surface).reshape(-1, 3) - corners).max() <= 2e-12
    assert len(surface.vertices) == len(np.unique(np.array(faces)))


ARROW = np.array([[0, 0, 0], [2, 1, 0], [0, 2, 0], [0.5, 1, 0]])


@given(st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_a_concave_polygon_that_no_fan_covers_stays_whole(
    first: int, begin: int, turned: bool
) -> None:
    """An arrow's fan covers it from its tip and its notch alone."""
    one = [(first + index) % 4 for index in range(4)]
    other = [(begin + index) % 4 for index in range(4)]
    surface = repair(mesh(ARROW, [one, other[::-1] if turned else other], [0, 1]))
    assert np.diff(surface.starts).tolist() == ([4] if first in (0, 2) else [3, 3])
    assert set(surface.back.tolist()) == {1 if turned else 0}
    name = "opposite pairs merged" if turned else "duplicate faces dropped"
    assert surface.repairs == {name: 1}


@given(st.permutations(range(4)))
def test_faces_stay_in_the_order_of_the_file_whatever_their_size(order: list[int]) -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [0.5, 2, 0]])
    faces = [[0, 1, 4], [0, 1, 2, 3], [1, 2, 4], [0, 1, 2, 5, 3]]
    pieces = {0: 1, 1: 2, 2: 1, 3: 3}  # triangles that each becomes
    surface = repair(mesh(vertices, [faces[index] for index in order], order))
    assert surface.front.tolist() == [index for index in order for _ in range(pieces[index])]


@given(soups(), st.integers(1, 5))
def test_unused_vertices_do_not_count(
    soup: tuple[np.ndarray, list[list[int]]], further: int
) -> None:
    """Neither those that no face uses, nor those of faces that are dropped."""
    vertices, faces = soup
    more = np.concatenate([vertices, np.full((further, 3), 9.0), [[9.5, 9.5, 9.5]]])
    used = vertices[np.unique(np.array(faces))]
    flat = [len(vertices), len(more) - 1, len(vertices)]
    bounds = repair(mesh(more, [*faces, flat], [0] * (len(faces) + 1))).bounds
    assert np.array_equal(bounds, [used.min(axis=0), used.max(axis=0)])


@given(soups(), st.booleans(), st.booleans())
def test_doubled_and_further_faces_stay_if_the_settings_say_so(
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


def test_vertices_stay_apart_and_flat_faces_stay_if_the_settings_say_so() -> None:
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
