from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shapenet3d_cma.render.mesh.obj import Mesh, parse_obj, read_obj


def read(folder: Path, text: str | bytes) -> Mesh:
    path = folder / "model.obj"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_obj(path)


SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nvn 0 0 1\n"


@pytest.mark.parametrize(
    "faces",
    [
        "f 1/1 2/2 3/3 4/4",
        "f 1/1/1 2/2/1 3/3/1 4/4/1",
        "f  1/1/1   2/2 3/3/1\t4/4",
        "f -4/-4/-1 -3/-3/-1 -2/-2/-1 -1/-1/-1",
        "f 1/1 2/2 \\\n3/3 4/4",
    ],
)
def test_every_way_of_writing_a_face_reads_alike(tmp_path: Path, faces: str) -> None:
    mesh = read(tmp_path, SQUARE + faces + "\n")
    assert mesh.corners.tolist() == [0, 1, 2, 3]
    assert mesh.starts.tolist() == [0, 4]
    assert mesh.uvs.tolist() == [[0, 0], [1, 0], [1, 1], [0, 1]]
    assert mesh.vertices[2].tolist() == [1, 1, 0]


@pytest.mark.parametrize("faces", ["f 1 2 3", "f 1//1 2//1 3//1"])
def test_uvs_are_zero_where_there_are_none(tmp_path: Path, faces: str) -> None:
    mesh = read(tmp_path, SQUARE + faces)
    assert mesh.corners.tolist() == [0, 1, 2]
    assert not mesh.uvs.any()


@st.composite
def polygons(draw: st.DrawFn) -> tuple[list[list[float]], list[list[int]]]:
    """Draw vertices and faces of any size."""
    coordinate = st.floats(-1e9, 1e9)
    vertices = draw(st.lists(st.lists(coordinate, min_size=3, max_size=3), min_size=3, max_size=9))
    corner = st.integers(0, len(vertices) - 1)
    return vertices, draw(st.lists(st.lists(corner, min_size=3, max_size=6), max_size=6))


@given(polygons(), st.data())
def test_what_was_written_is_read_back(
    drawn: tuple[list[list[float]], list[list[int]]], data: st.DataObject
) -> None:
    """Vertices stand anywhere before their first use; indices count from the front or backwards."""
    vertices, faces = drawn
    lines, count = [], 0
    for face in faces:
        further = data.draw(st.integers(max(face) + 1, len(vertices)))
        lines += ["v " + " ".join(map(repr, vertex)) for vertex in vertices[count:further]]
        count = max(count, further)
        backwards = [data.draw(st.booleans()) for _ in face]
        words = (
            corner - count if back else corner + 1
            for corner, back in zip(face, backwards, strict=True)
        )
        lines.append("f " + " ".join(map(str, words)))
    mesh = parse_obj("\n".join(lines).encode())
    assert mesh.vertices.tolist() == vertices[:count]
    assert mesh.corners.tolist() == [corner for face in faces for corner in face]
    assert mesh.sizes.tolist() == [len(face) for face in faces]
    assert mesh.faults == {}


def test_materials_follow_usemtl(tmp_path: Path) -> None:
    text = (
        SQUARE
        + "f 1 2 3\nusemtl red paint\nf 1 3 4\nusemtl b\nf 1 2 4\nusemtl red paint\nf 2 3 4\n"
    )
    mesh = read(tmp_path, "mtllib my file.mtl\r\n" + text.replace("\n", "\r\n"))
    assert [mesh.material_names[index] for index in mesh.materials] == [
        "",
        "red paint",
        "b",
        "red paint",
    ]
    assert mesh.libraries == ("my file.mtl",)


def test_faults_are_left_out_and_counted(tmp_path: Path) -> None:
    text = SQUARE + "v nan 0 0\nv 1e999 0 0\nv x 0 0\nl 1 2\np 1\n"
    text += "f 1 2 3\nf 1 2 5\nf 1 2 6\nf 1 2 7\nf 1 2 99\nf 0 1 2\nf -99 1 2\nf 1 2\nf 1 2 oops\nf 2 3 4\n"
    mesh = read(tmp_path, text)
    assert mesh.corners.tolist() == [0, 1, 2, 1, 2, 3]
    assert mesh.faults == {
        "faces with a vertex that is not finite": 3,
        "faces with an index out of range": 4,
        "faces with less than three corners": 1,
        "lines and points": 2,
    }


def test_vertices_with_colours_or_a_weight_keep_their_place(tmp_path: Path) -> None:
    mesh = read(tmp_path, "v 0 0 0 1 0 0\nv 1 0 0 1.0\nv 0 1 0\nf 1 2 3\n")
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "v 0 0 0\n"])
def test_a_file_without_faces_is_a_mesh_without_faces(tmp_path: Path, text: str) -> None:
    assert len(read(tmp_path, text).materials) == 0


def test_a_byte_order_mark_and_comments_are_ignored(tmp_path: Path) -> None:
    text = (
        "\ufeffv 0 0 0 # first\nv 1 0 0\nv 0 1 0\nvt 0 1 # uv\nusemtl a#b\nf 1/1 2/1 3/1 # a face\n"
    )
    mesh = read(tmp_path, text)
    assert mesh.corners.tolist() == [0, 1, 2]
    assert mesh.uvs[0].tolist() == [0, 1]
    assert mesh.material_names == ("a#b",)


@pytest.mark.parametrize("word", ["99999999999999999999999", "--5", "1e3", "0x1", "²"])
def test_an_invalid_index_costs_its_face_alone(tmp_path: Path, word: str) -> None:
    for faces in (f"f 1 2 {word}\nf 1 2 3\n", f"f 1 2 3\nf 1 2 {word}\n"):
        mesh = read(tmp_path, SQUARE + faces)
        assert mesh.corners.tolist() == [0, 1, 2]
        assert mesh.faults == {"faces with an index out of range": 1}


LINES = [
    "v 1 2 3",
    "v 0 1 0 # one",
    "v 4 4 4 1",
    "vt 0 1",
    "f 1 2 3",
    "f 1/1 2/1 3/1 -1/-1",
    "f -1 -2 -3",
    "f 1//2 3 2",
]
BETWEEN = ["", "\n", "vn 0 0 1\n", "# f 1 2 3\n", "g v\ns off\n", "\r", " \t"]


@given(
    st.lists(st.sampled_from([*LINES, "usemtl a", "usemtl b", "l 1 2", "mtllib m.mtl"])), st.data()
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_other_lines_in_between_change_nothing(
    tmp_path: Path, lines: list[str], data: st.DataObject
) -> None:
    """Runs of lines of one kind are parsed at once: wherever a run is cut, the mesh is the same."""
    plain = read(tmp_path, "\n".join(lines))
    between = st.sampled_from(BETWEEN)
    cut = read(
        tmp_path, "".join(data.draw(between) + line + "\n" for line in lines) + data.draw(between)
    )
    alone = read(tmp_path, "\n\n".join(lines))
    for name, value in vars(plain).items():
        assert np.array_equal(getattr(cut, name), value, equal_nan=name == "vertices")
        assert np.array_equal(getattr(alone, name), value, equal_nan=name == "vertices")


def test_names_need_no_encoding(tmp_path: Path) -> None:
    mesh = read(
        tmp_path,
        SQUARE.encode() + "usemtl écaille\nf 1 2 3\n".encode() + b"usemtl caf\xe9\nf 1 2 3\n",
    )
    assert mesh.material_names == ("écaille", "café")


@given(
    st.binary(max_size=300),
    st.lists(st.sampled_from(["f 1 2 3", "v 1 2 3", "f 1/2/3", "f //", "l 1", "usemtl"])),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_give_a_consistent_mesh(tmp_path: Path, noise: bytes, lines: list[str]) -> None:
    mesh = read(tmp_path, noise + b"\n" + "\n".join(lines).encode())
    assert mesh.starts[-1] == len(mesh.corners) == len(mesh.uvs)
    assert np.isfinite(mesh.vertices[mesh.corners]).all()
