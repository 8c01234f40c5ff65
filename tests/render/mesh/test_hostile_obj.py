"""Hostile OBJ files: each is refused with a reason, or read without its broken parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shapenet3d_cma.core.errors import InputError, ModelError
from shapenet3d_cma.pack.surface import source_mesh
from shapenet3d_cma.render.mesh import bounds
from shapenet3d_cma.render.mesh.obj import parse_obj
from shapenet3d_cma.render.mesh.repair import repair
from shapenet3d_cma.render.shapenet.doctor import diagnose
from shapenet3d_cma.render.shapenet.listing import (
    list_models,
)
from shapenet3d_cma.tests.fuzz.bounds import bounded
from shapenet3d_cma.tests.render.mesh.broken_models import (
    TRIANGLE,
    V2,
    put_model,
    reading_error,
)


@pytest.mark.parametrize("radius", [(1.0, 1.0), (1.0, 0.5)], ids=["convex", "star"])
def test_a_polygon_of_100_000_corners_takes_linear_memory(
    tmp_path: Path, radius: tuple[float, float]
) -> None:
    number = 100_000
    angle = np.linspace(0, 2 * np.pi, number, endpoint=False)
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1) * np.resize(radius, number)[:, None]
    lines = [f"v {x:.9f} {y:.9f} 0\n" for x, y in points.tolist()]
    data = ("".join(lines) + "f " + " ".join(map(str, range(1, number + 1))) + "\n").encode()
    with bounded("obj", inside=tmp_path, mib=400):
        surface = repair(parse_obj(data))
    assert len(surface.front) == (number - 2 if radius[0] == radius[1] else 1)


def test_polygons_of_many_sizes_are_split_as_those_of_few(tmp_path: Path) -> None:
    """The two ways to find a back's corners give the same, also where a vertex comes twice."""
    angle = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    vertices = "".join(
        f"v {np.cos(a):.6f} {np.sin(a):.6f} 0\nvt {a:.3f} 0\n" for a in angle.tolist()
    )
    for size in (4, 8, 9, 12, 30):
        front = " ".join(f"{corner}/{corner}" for corner in range(1, size + 1))
        back = " ".join(f"{corner}/{size + 1 - corner}" for corner in range(size, 0, -1))
        surface = repair(parse_obj((vertices + f"f {front}\nf {back}\n").encode()))
        assert len(surface.front) == size - 2
        assert np.allclose(surface.front_uvs[0], [0, 0])
        corner = np.round(surface.front_uvs[:, 0] / (2 * np.pi / 30))
        assert np.allclose(
            surface.back_uvs[:, 0], np.round((size - 1 - corner) * 2 * np.pi / 30, 3), atol=2e-3
        )


@pytest.mark.parametrize(
    ("vertex", "says"),
    [
        ("v 0 1e308 0", "coordinates too large for a render: 1e308 in line 3"),
        ("v 0 -1e999 0", "coordinates too large for a render: -1e999 in line 3"),
        ("v 0 1e10 0", "coordinates too large for a render: 1e10 in line 3"),
        ("v 0 nan 0", "coordinates that are not finite: nan in line 3"),
        ("v 0 -inf 0", "coordinates that are not finite: -inf in line 3"),
        ("v 0 1", "a vertex of 2 numbers in line 3"),
        ("v 0 one 0", "'one' is not a number in line 3"),
    ],
)
def test_unusable_coordinates_are_reported_with_their_line(
    tmp_path: Path, vertex: str, says: str
) -> None:
    text = f"v 0 0 0\nv 1 0 0\n{vertex}\nf 1 2 3\n"
    folder = put_model(tmp_path, text)
    assert reading_error(folder) == f"its OBJ has no usable face: {says}"
    (found,) = diagnose(list_models(tmp_path), jobs=1).models
    assert found.fatal
    # beside sound faces they are left out, and both count them alike
    more = (text + "v 0 1 0\nf 1 2 4\n").encode()
    surface = repair(parse_obj(more))
    assert (len(surface.front), surface.repairs) == (
        1,
        {"faces with a vertex that is not finite": 1},
    )


def test_a_vertex_of_two_numbers_beside_one_of_four_shifts_no_other() -> None:
    data = b"v 0 0\nv 1 0 0 9\nv 0 1 0\nv 0 0 1\nf 2 3 4\nf 1 2 3\n"
    mesh = parse_obj(data)
    assert np.array_equal(mesh.vertices[1:], [[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert len(mesh.sizes) == 1


@pytest.mark.parametrize("size", [1e-150, 1e-200, 1e-308, 5e-324])
def test_a_model_too_small_for_float64_has_no_face(size: float) -> None:
    data = f"v 0 0 0\nv {size} 0 0\nv 0 {size} 0\nf 1 2 3\n".encode()
    assert not len(repair(parse_obj(data)).front)


@pytest.mark.parametrize(
    "index", ["0", "4", "-4", "1" + "0" * 30, "-1" + "0" * 30, "1.5", "x", "9" * 5000]
)
def test_invalid_indices_cost_one_face(tmp_path: Path, index: str) -> None:
    mesh = parse_obj((TRIANGLE + f"f 1 2 {index}\n").encode())
    assert len(mesh.sizes) == 1
    assert sum(mesh.faults.values()) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"f " + b"1 " * 20_000_000,
        b"v 0 0 0" + b" 0" * 20_000_000,
        b"usemtl " + b"a" * 50_000_000,
        b"#" * 50_000_000,
        b"\n" * 20_000_000,
        b" " * 50_000_000,
    ],
    ids=["face", "vertex", "name", "comment", "newlines", "blanks"],
)
def test_lines_and_runs_without_end(tmp_path: Path, data: bytes) -> None:
    with bounded("obj", inside=tmp_path, mib=2048, seconds=120):
        repair(parse_obj(data))


@pytest.mark.parametrize(
    "data", [b"\x7fELF\0\0\0", TRIANGLE.encode() + b"\0", TRIANGLE.encode("utf-16")]
)
def test_binary_files_are_refused_with_a_line_number(tmp_path: Path, data: bytes) -> None:
    folder = put_model(tmp_path, data)
    assert "its OBJ is not text: there is a null character in line" in reading_error(folder)
    (found,) = diagnose(list_models(tmp_path), jobs=1).models
    assert found.counts == {"unreadable": 1}


def test_more_than_any_model_has_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = put_model(tmp_path)
    with (folder / V2).open("ab") as file:
        file.truncate(bounds.MOST_BYTES + 1)  # a hole: it takes no room
    assert "more than 1,073,741,824, which is too large for a mesh" in reading_error(folder)
    with pytest.raises(InputError, match="which is too large for a mesh"):
        source_mesh(tmp_path, "03001627", "abc")
    names = "".join(f"usemtl {number}\n" for number in range(bounds.MOST_MATERIALS + 1))
    assert "more than 65,535 materials" in reading_error(
        put_model(tmp_path, names + TRIANGLE, "materials")
    )
    monkeypatch.setattr("shapenet3d_cma.render.mesh.obj.MOST_RUNS", 10)
    with pytest.raises(ModelError, match="changes between kinds of lines more than 10 times"):
        parse_obj(b"v 0 0 0\nvn 0 0 1\n" * 20)
