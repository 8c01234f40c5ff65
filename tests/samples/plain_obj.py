"""Samples as files: hashes of a folder, and OBJ read as plainly as its definition says."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np

from shapenet3d_cma.core.outputs import HIDDEN

COUNT = 2


OBJ, MTL = "models/model_normalized.obj", "models/model_normalized.mtl"


def tree_hashes(root: Path, *parts: str) -> dict[str, str]:
    files = sorted(
        path
        for path in root.joinpath(*parts).rglob("*")
        if path.is_file() and HIDDEN not in path.parts
    )
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@dataclasses.dataclass
class Read:
    """An OBJ file, read as plainly as its definition says."""

    vertices: np.ndarray
    uvs: np.ndarray
    normals: np.ndarray
    faces: list[list[list[int]]]  # corners of (vertex, uv, normal), from 0, -1 where not given
    materials: list[str]
    lines: int
    groups: int


def read_obj(path: Path) -> Read:
    rows: dict[str, list[list[float]]] = {"v": [], "vt": [], "vn": []}
    faces, materials, count, material = [], [], Counter(), ""
    for line in path.read_text(encoding="utf-8").splitlines():
        key, _, rest = line.partition(" ")
        count[key] += 1
        if key in rows:
            rows[key].append([float(word) for word in rest.split()])
        elif key == "usemtl":
            material = rest
        elif key == "f":
            faces.append(
                [[int(n or 0) - 1 for n in (word + "//").split("/")[:3]] for word in rest.split()]
            )
            materials.append(material)
    v, vt, vn = (np.array(rows[key]) for key in rows)
    return Read(v, vt, vn, faces, materials, count["l"], count["g"] + count["o"])


def corner_points(read: Read, face: list[list[int]]) -> np.ndarray:
    return read.vertices[[corner[0] for corner in face]]


def face_area(points: np.ndarray) -> float:
    return float(np.linalg.norm(np.cross(points, np.roll(points, -1, axis=0)).sum(axis=0)) / 2)


def canonical(points: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """A face's corners in their order, from the least on: the same for the same face however it begins."""
    rows = [tuple(point) for point in (points + 0.0).tolist()]
    start = rows.index(min(rows))
    return tuple(rows[start:] + rows[:start])
