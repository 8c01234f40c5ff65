"""Sample models with a fault: each holds exactly the fault that its entry names."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from shapenet3d_cma.samples.pathologies import PATHOLOGIES, Pathology
from shapenet3d_cma.tests.samples.plain_obj import (
    MTL,
    OBJ,
    Read,
    canonical,
    corner_points,
    face_area,
    read_obj,
)


def pathology(fault: str) -> Pathology:
    return next(entry for entry in PATHOLOGIES if entry.fault == fault)


def test_pathologies_json_lists_the_folders(samples: Path) -> None:
    records = json.loads((samples / "pathologies.json").read_text(encoding="utf-8"))
    listed = {(record["synset"], record["model_id"]) for record in records}
    assert listed == {(path.parent.name, path.name) for path in samples.glob("*/pathology-*")}
    assert len(listed) == len(records) == len(PATHOLOGIES)
    assert {r["fault"] for r in records if r["outcome"] == "failed"} == {
        "empty-obj",
        "no-obj",
        "no-faces",
    }
    assert all(
        record["expected"] and record["outcome"] in ("rendered", "failed") for record in records
    )


def fault_text(samples: Path, fault: str, file: str = OBJ) -> str:
    entry = pathology(fault)
    return (samples / entry.synset / entry.model_id / file).read_bytes().decode()


def fault_read(samples: Path, fault: str) -> Read:
    entry = pathology(fault)
    return read_obj(samples / entry.synset / entry.model_id / OBJ)


@pytest.mark.parametrize(
    "fault", [entry.fault for entry in PATHOLOGIES if "faces" in entry.properties]
)
def test_faces_are_as_many_as_stated(samples: Path, fault: str) -> None:
    assert fault_text(samples, fault).count("\nf ") == pathology(fault).properties["faces"]


@pytest.mark.parametrize("fault", ["doubled-faces", "doubled-shared-vertices"])
def test_fault_doubled(samples: Path, fault: str) -> None:
    read = fault_read(samples, fault)
    faces = {
        canonical(corner_points(read, face)): m
        for face, m in zip(read.faces, read.materials, strict=True)
    }
    assert all(
        faces[canonical(corner_points(read, face)[::-1])] != m
        for face, m in zip(read.faces, read.materials, strict=True)
    )
    assert (len(set(map(tuple, read.vertices.tolist()))) < len(read.vertices) * 0.6) == (
        fault == "doubled-faces"
    )


def test_fault_normals(samples: Path) -> None:
    read = fault_read(samples, "wrong-normals")
    points = [corner_points(read, face) for face in read.faces]
    normals = np.array([np.cross(p[1] - p[0], p[2] - p[0]) for p in points])
    stored = np.array([read.normals[face[0][2]] for face in read.faces])
    assert np.mean((normals * stored).sum(axis=1) < 0) > 0.3


def test_fault_duplicates(samples: Path) -> None:
    read = fault_read(samples, "duplicate-faces")
    assert set(Counter(canonical(corner_points(read, face)) for face in read.faces).values()) == {2}


@pytest.mark.parametrize(
    ("fault", "named", "exists"),
    [
        ("missing-texture", "../images/nowhere.png", False),
        ("parent-path", "../images/texture0.png", True),
        ("backslash-path", "..\\images\\texture0.png", False),
        ("letter-case", "../Images/Texture0.PNG", False),
        ("spaces-in-name", "../images/my texture 0.png", True),
        ("non-ascii", "../images/tëxtüre_纹理.png", True),
        ("path-outside", "../../../../etc/hostname", False),
        ("path-absolute", "/etc/hostname", None),
    ],
)
def test_fault_texture(samples: Path, fault: str, named: str, exists: bool | None) -> None:
    entry = pathology(fault)
    folder = samples / entry.synset / entry.model_id
    assert re.findall(r"^map_Kd (.+)$", fault_text(samples, fault, MTL), flags=re.MULTILINE) == [
        named
    ]
    if exists is not None:
        assert (folder / "models" / named).is_file() == exists or fault == "letter-case"
    assert bool(list(folder.glob("images/*.png"))) == entry.properties["texture_shown"]


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("alpha-half", "d 0.500000"),
        ("alpha-zero", "d 0.000000"),
        ("tr-instead-of-d", "Tr 0.700000"),
        ("map-d", "map_d ../images/mask.png"),
        ("illum-7", "illum 7"),
    ],
)
def test_fault_material(samples: Path, fault: str, line: str) -> None:
    assert f"\n{line}\n" in fault_text(samples, fault, MTL)


def test_fault_files(samples: Path) -> None:
    def exists_in(fault: str, file: str) -> bool:
        return (samples / pathology(fault).synset / pathology(fault).model_id / file).exists()

    assert not exists_in("missing-mtl", MTL)
    assert not exists_in("missing-json", "models/model_normalized.json")
    assert not exists_in("no-obj", OBJ)
    assert exists_in("no-obj", "images/texture0.png")
    assert fault_text(samples, "empty-obj") == ""
    assert "usemtl nowhere\n" in fault_text(samples, "undefined-material")
    assert "nowhere" not in fault_text(samples, "undefined-material", MTL)


def test_fault_geometry(samples: Path) -> None:
    assert np.isnan(fault_read(samples, "nan-vertex").vertices).any(axis=1).sum() == 1
    zero = fault_read(samples, "zero-area")
    assert sum(face_area(corner_points(zero, face)) == 0 for face in zero.faces) == 3
    assert max(c[0] for f in fault_read(samples, "index-out-of-range").faces for c in f) == 999_999
    assert "\nf -" in fault_text(samples, "relative-indices")
    assert "\r\nusemtl" in fault_text(samples, "crlf")
    assert fault_read(samples, "line-elements").lines > 20
    assert fault_read(samples, "not-normalised").vertices.min() > 50
    wire = fault_read(samples, "no-faces")
    assert (len(wire.faces), wire.lines > 0, len(wire.vertices) > 0) == (0, True, True)
    entry = pathology("non-ascii")
    assert not entry.model_id.isascii()
    assert "usemtl matière_é_木" in fault_text(samples, "non-ascii")
    assert "newmtl matière_é_木" in fault_text(samples, "non-ascii", MTL)


def test_relative_indices_mean_the_same(samples: Path) -> None:
    plain, relative = fault_read(samples, "parent-path"), fault_read(samples, "relative-indices")
    n = len(plain.vertices)
    assert [[c[0] for c in f] for f in plain.faces] == [
        [c[0] + 1 + n for c in f] for f in relative.faces
    ]
