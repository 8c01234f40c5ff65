"""Sample models as written: finite, flat, convex faces, materials that exist, varied style."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from shapenet3d_cma.samples.obj_writer import Style, model_files
from shapenet3d_cma.samples.shapenet_folder import build_parts, random_stream
from shapenet3d_cma.tests.samples.plain_obj import (
    MTL,
    OBJ,
    Read,
    canonical,
    corner_points,
    face_area,
)


def test_box_has_unit_diagonal_and_is_mostly_off_the_origin(regular: dict[Path, Read]) -> None:
    offsets = []
    for read in regular.values():
        low, high = read.vertices.min(axis=0), read.vertices.max(axis=0)
        assert np.linalg.norm(high - low) == pytest.approx(1, abs=3e-6)
        offsets.append(np.linalg.norm((low + high) / 2))
    assert np.mean(np.array(offsets) > 0.05) > 0.4
    assert np.mean(np.array(offsets) < 1e-5) > 0.05
    assert max(offsets) <= 0.2 + 1e-5


def test_numbers_are_finite_and_indices_valid(regular: dict[Path, Read]) -> None:
    for path, read in regular.items():
        assert 50 < len(read.faces) < 60_000, path
        for rows, width in ((read.vertices, 3), (read.uvs, 2), (read.normals, 3)):
            assert not rows.size or rows.shape[1] == width
            assert np.isfinite(rows).all()
        corners = np.array([corner for face in read.faces for corner in face])
        assert corners[:, :2].min() >= 0
        assert (
            corners.max(axis=0) < [len(read.vertices), len(read.uvs), max(len(read.normals), 1)]
        ).all()
        assert np.abs(read.uvs).max() < 200


def polygons(read: Read) -> list[np.ndarray]:
    """The corners' positions, (n, size, 3) for each size of face."""
    sizes = sorted({len(face) for face in read.faces})
    return [
        read.vertices[
            np.array([[corner[0] for corner in face] for face in read.faces if len(face) == size])
        ]
        for size in sizes
    ]


def test_no_face_is_degenerate_and_polygons_are_flat_and_convex(regular: dict[Path, Read]) -> None:
    whole = 0
    for path, read in regular.items():
        for points in polygons(read):
            spokes = points - points[:, :1]
            normals = np.cross(spokes, np.roll(spokes, -1, axis=1)).sum(axis=1, keepdims=True)
            lengths = np.linalg.norm(normals, axis=2, keepdims=True)
            assert lengths.min() > 1e-10, path
            if points.shape[1] > 3:
                whole += len(points)
                edges = np.roll(points, -1, axis=1) - points
                turns = (np.cross(edges, np.roll(edges, -1, axis=1)) * normals / lengths).sum(
                    axis=2
                )
                assert turns.min() > -1e-8, path
                assert np.abs((spokes * normals / lengths).sum(axis=2)).max() < 1e-5, path
    assert whole > 200


def test_another_reader_sees_the_same(regular: dict[Path, Read]) -> None:
    for path in list(regular)[::7]:
        mesh = trimesh.load(path / OBJ, force="mesh", process=False)
        read = regular[path]
        assert len(mesh.faces) == sum(len(face) - 2 for face in read.faces)
        assert mesh.area == pytest.approx(
            sum(face_area(corner_points(read, face)) for face in read.faces), rel=1e-4
        )


def test_textures_and_materials_are_there(samples: Path, regular: dict[Path, Read]) -> None:
    textured = 0
    for path, read in regular.items():
        mtl = (path / MTL).read_text(encoding="utf-8")
        assert set(read.materials) == set(re.findall(r"^newmtl (.+)$", mtl, flags=re.MULTILINE))
        pictures = re.findall(r"^map_Kd (.+)$", mtl, flags=re.MULTILINE)
        assert {Path(name).name for name in pictures} == {
            file.name for file in path.glob("images/*")
        }
        for name in pictures:
            assert name.startswith("../images/")
            with Image.open(path / "models" / name) as picture:
                assert picture.mode == "RGB"
                assert 64 <= min(picture.size) <= max(picture.size) <= 256
        textured += bool(pictures)
    assert textured > len(regular) / 3


def test_doubled_models_hold_exact_opposites_with_other_materials(
    regular: dict[Path, Read],
) -> None:
    doubled = 0
    for path, read in regular.items():
        faces = [canonical(corner_points(read, face)) for face in read.faces]
        turned = [canonical(corner_points(read, face)[::-1]) for face in read.faces]
        material_of = dict(zip(faces, read.materials, strict=True))
        opposite = [material_of.get(face) for face in turned]
        assert len(material_of) == len(faces), (
            f"{path}: a face is there twice with the same winding"
        )
        if any(opposite):
            doubled += 1
            assert all(opposite), path
            assert all(a != b for a, b in zip(opposite, read.materials, strict=True)), path
    assert doubled >= 0.4 * len(regular)


def test_styles_of_writing_vary(regular: dict[Path, Read]) -> None:
    reads = regular.values()
    for share in (
        np.mean([read.normals.size > 0 for read in reads]),
        np.mean([read.lines > 0 for read in reads]),
        np.mean([read.groups > 0 for read in reads]),
        np.mean([max(len(face) for face in read.faces) > 3 for read in reads]),
    ):
        assert 0.1 < share < 0.95


def test_the_style_does_not_change_the_surface() -> None:
    """Front faces are the same triangles whatever the manner, so one surface is what every reader finds."""
    parts, _ = build_parts("chair", 0, 1)
    plain, rich = (
        model_files(parts, style, random_stream("x"))
        for style in (
            Style(),
            Style(doubled=True, repeated=True, normals=True, grouping="o", lines=True),
        )
    )
    vertices = [line for line in plain.obj.splitlines() if line.startswith("v ")]
    assert set(vertices) == {line for line in rich.obj.splitlines() if line.startswith("v ")}
    assert rich.obj.count("\nf ") == 2 * plain.obj.count("\nf ")
