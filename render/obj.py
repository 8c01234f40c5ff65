"""Read Wavefront OBJ as ShapeNet writes it: geometry as it stands in the text, faults counted, nothing guessed."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["Mesh", "decode", "parse_obj", "read_obj", "usable_mesh"]


@dataclass(frozen=True)
class Mesh:
    """Polygons with materials, as flat arrays. F faces, C corners in all, V vertices.

    Attributes
    ----------
    vertices : (V, 3) float64, object frame
    corners : (C,) int64, vertex of each corner, face after face
    uvs : (C, 2) float64, texture coordinates of each corner, v up; 0 where the file gives none
    starts : (F + 1,) int64; face f owns corners[starts[f]:starts[f + 1]]
    materials : (F,) int64, index into `material_names`
    material_names : names as `usemtl` gives them; "" stands for faces before any `usemtl`
    libraries : names as `mtllib` gives them
    faults : counts by name of what the reader had to leave out
    """

    vertices: NDArray[np.float64]
    corners: NDArray[np.int64]
    uvs: NDArray[np.float64]
    starts: NDArray[np.int64]
    materials: NDArray[np.int64]
    material_names: tuple[str, ...]
    libraries: tuple[str, ...] = ()
    faults: dict[str, int] = field(default_factory=dict)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(F,) int64, corners of each face."""
        return np.diff(self.starts)


def read_obj(path: Path) -> Mesh:
    """Read an OBJ file.

    Faces that use a vertex that is not finite or does not exist are left out and counted in `faults`,
    as are lines and points. Stored normals, groups and smoothing are not read.

    Raises
    ------
    OSError : the file cannot be read
    """
    return parse_obj(path.read_bytes())


def parse_obj(data: bytes) -> Mesh:
    """Read the bytes of an OBJ file, as `read_obj` does."""
    data = data.removeprefix(codecs.BOM_UTF8).replace(b"\\\n", b" ").replace(b"\\\r\n", b" ")
    vertex_lines: list[bytes] = []
    uv_lines: list[bytes] = []
    face_lines: list[bytes] = []
    before: list[tuple[int, int]] = []  # vertices and uvs known when a face is read: negative indices count from there
    face_materials: list[int] = []
    names: dict[str, int] = {}
    libraries: list[str] = []
    material, lines_and_points = -1, 0
    for line in data.splitlines():
        line = line.lstrip()  # noqa: PLW2901
        kind = line[:2]
        if kind in (b"v ", b"v\t"):
            vertex_lines.append(line[2:].partition(b"#")[0])
        elif kind == b"vn":
            continue
        elif kind in (b"f ", b"f\t"):
            face_lines.append(line[2:].partition(b"#")[0])
            face_materials.append(material)
            before.append((len(vertex_lines), len(uv_lines)))
        elif kind == b"vt":
            uv_lines.append(line[2:].partition(b"#")[0])
        elif kind in (b"l ", b"p "):
            lines_and_points += 1
        elif line.startswith(b"usemtl"):
            material = names.setdefault(decode(line[6:]), len(names))
        elif line.startswith(b"mtllib"):
            libraries.append(decode(line[6:]))
    if -1 in face_materials:
        unnamed = names.setdefault("", len(names))
        face_materials = [unnamed if index == -1 else index for index in face_materials]
    vertices = _numbers(vertex_lines, 3)
    uvs = np.nan_to_num(_numbers(uv_lines, 2), nan=0.0, posinf=0.0, neginf=0.0)
    corners, sizes = _corners(face_lines, np.array(before, dtype=np.int64).reshape(-1, 2))
    materials = np.array(face_materials, dtype=np.int64)
    return usable_mesh(vertices, uvs, corners, sizes, materials, tuple(names), tuple(libraries), lines_and_points)


def decode(raw: bytes) -> str:
    """Decode a name or a line: UTF-8, else Latin-1 (which cannot fail)."""
    raw = raw.strip()
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _numbers(lines: list[bytes], width: int) -> NDArray[np.float64]:
    """Parse the first `width` numbers of each line; what is no number becomes NaN."""
    try:
        table = np.array(b" ".join(lines).split(), dtype=np.float64)
        if len(table) == width * len(lines):
            return table.reshape(-1, width)
    except ValueError:
        pass
    table = np.full((len(lines), width), np.nan)
    for row, line in enumerate(lines):  # lines of unequal length, a fourth coordinate, colours, garbage
        for column, word in enumerate(line.split()[:width]):
            try:
                table[row, column] = float(word)
            except ValueError:
                break
    return table


def _corners(lines: list[bytes], before: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Parse face lines.

    Parameters
    ----------
    lines : the words of each face: `v`, `v/vt`, `v//vn` or `v/vt/vn`, one-based or negative
    before : (F, 2) int, vertices and uvs known before each face

    Returns
    -------
    corners : (C, 2) int64, zero-based vertex and uv; -1 where absent or no number
    sizes : (F,) int64, corners of each face
    """
    words = [line.split() for line in lines]
    sizes = np.array([len(face) for face in words], dtype=np.int64)
    flat = [word for face in words for word in face]
    text = b" ".join(flat)
    slashes, doubles = text.count(b"/"), text.count(b"//")
    table = None
    for per_word, double, replaced, width in (
        (2, 0, text.replace(b"/", b" "), 3),
        (2, len(flat), text.replace(b"//", b" 0 "), 3),
        (1, 0, text.replace(b"/", b" "), 2),
        (0, 0, text, 1),
    ):
        if slashes == per_word * len(flat) and doubles == double:
            table = _integers(replaced, len(flat), width)
            break
    if table is None:
        table = np.array([_corner(word) for word in flat], dtype=np.int64).reshape(-1, 2)
    corners = np.zeros((len(flat), 2), dtype=np.int64)
    corners[:, : min(2, table.shape[1])] = table[:, :2]
    known = np.repeat(before, sizes, axis=0)
    return np.where(corners < 0, known + corners, corners - 1), sizes


def _integers(text: bytes, rows: int, width: int) -> NDArray[np.int64] | None:
    try:
        table = np.array(text.split(), dtype=np.int64)
    except (ValueError, OverflowError):
        return None
    return table.reshape(rows, width) if len(table) == rows * width else None


def _corner(word: bytes) -> tuple[int, int]:
    """Parse one corner of any form; 0, which no index may be, stands for absent or no number."""
    vertex, _, rest = word.partition(b"/")
    return _index(vertex), _index(rest.partition(b"/")[0])


def _index(word: bytes) -> int:
    try:
        index = int(word)
    except ValueError:
        return 0
    return index if abs(index) < 2**62 else 0


def usable_mesh(
    vertices: NDArray[np.float64],
    uvs: NDArray[np.float64],
    corners: NDArray[np.int64],
    sizes: NDArray[np.int64],
    materials: NDArray[np.int64],
    names: tuple[str, ...],
    libraries: tuple[str, ...] = (),
    lines_and_points: int = 0,
) -> Mesh:
    """Leave out faces with a vertex that does not exist or is not finite, or with less than three corners.

    Parameters
    ----------
    vertices : (V, 3) float64, object frame
    uvs : (U, 2) float64
    corners : (C, 2) int64, vertex and uv of each corner; -1 stands for none
    sizes : (F,) int64, corners of each face
    materials : (F,) int64, index into `names`
    lines_and_points : to be counted as faults
    """
    face = np.repeat(np.arange(len(sizes)), sizes)
    vertex, uv = corners[:, 0], corners[:, 1]
    exists = (vertex >= 0) & (vertex < len(vertices))
    finite = np.isfinite(vertices).all(axis=1)
    usable = exists.copy()
    usable[exists] = finite[vertex[exists]]
    out_of_range = np.bincount(face[~exists], minlength=len(sizes)) > 0
    not_finite = (np.bincount(face[~usable], minlength=len(sizes)) > 0) & ~out_of_range
    too_small = (sizes < 3) & ~out_of_range & ~not_finite
    keep = ~(out_of_range | not_finite | too_small)
    kept = keep[face]
    has_uv = (uv >= 0) & (uv < len(uvs))
    corner_uvs = np.zeros((len(uv), 2))
    corner_uvs[has_uv] = uvs[uv[has_uv]]
    faults = {
        "faces with an index out of range": int(out_of_range.sum()),
        "faces with a vertex that is not finite": int(not_finite.sum()),
        "faces with less than three corners": int(too_small.sum()),
        "lines and points": lines_and_points,
    }
    return Mesh(
        vertices=vertices,
        corners=vertex[kept],
        uvs=corner_uvs[kept],
        starts=np.concatenate([[0], np.cumsum(sizes[keep])]),
        materials=materials[keep],
        material_names=names,
        libraries=libraries,
        faults={name: count for name, count in faults.items() if count},
    )
