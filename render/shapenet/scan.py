"""Look over an OBJ's text for faults, some four times faster than reading and repairing it.

What is counted is what `obj.read_obj` and `repair.repair` would leave out or merge, under the same
names. Text in the form that nearly all of ShapeNet has is taken apart by a few passes of NumPy; any
other is left to those two.
"""

from __future__ import annotations

import codecs
import warnings
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..mesh.obj import Mesh, check_materials, check_runs, in_reach, is_table, name_in, parse_obj
from ..mesh.repair import WELD_DISTANCE, repair

__all__ = ["Scan", "scan_obj"]

Number = TypeVar("Number", np.float64, np.int64)
_SAMPLED = 300  # faces whose stored normals are looked at
_BLANK_V, _BLANK_F = bytes.maketrans(b"v", b" "), bytes.maketrans(b"f/", b"  ")
_STRAY = np.cos(np.radians(30))


@dataclass
class Scan:
    """What an OBJ holds.

    Attributes
    ----------
    vertices, faces : counts of lines
    usable : faces that can be rendered, before pairs are merged
    counts : faults by name, as `Surface.repairs` has them
    materials, libraries : names of `usemtl` and `mtllib`, each once
    low, high : (3,) float64, the box around all finite vertices; zero where there are none
    stray_normals : share of the stored normals, of a sample, that are 30 degrees or more off their
        face
    fast : whether NumPy's passes sufficed
    """

    vertices: int = 0
    faces: int = 0
    usable: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    materials: list[str] = field(default_factory=list)
    libraries: list[str] = field(default_factory=list)
    low: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    high: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    stray_normals: float = 0.0
    fast: bool = True


def scan_obj(data: bytes) -> Scan:
    """Look over the bytes of an OBJ file.

    Raises
    ------
    ModelError : they hold more than any model
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    scan = _scan_fast(data.replace(b"\r\n", b"\n") if b"\r" in data else data)
    return _scan_slowly(data) if scan is None else scan


def _scan_slowly(data: bytes) -> Scan:
    """Count by reading and repairing."""
    mesh: Mesh = parse_obj(data)
    surface = repair(mesh)
    dropped = sum(count for name, count in mesh.faults.items() if name != "lines and points")
    flat = surface.repairs.get("faces without area dropped", 0)
    names = [name for name in mesh.material_names if name]
    scan = Scan(
        len(mesh.vertices),
        len(mesh.sizes) + dropped,
        len(mesh.sizes) - flat,
        surface.repairs,
        names,
        fast=False,
    )
    scan.libraries = [name for name in dict.fromkeys(mesh.libraries) if name]
    _measure_box(scan, mesh.vertices)
    return scan


def _scan_fast(data: bytes) -> Scan | None:
    """Count by passes over the whole text; None where it is not in the common form."""
    text = np.frombuffer(data + b"\n\n\n", dtype=np.uint8)
    begins = np.concatenate([[0], np.flatnonzero(text[:-2] == 10) + 1])  # of each line
    first, second = text[begins], text[begins + 1]
    if b"\\\n" in data or b"\r" in data or np.isin(first, (32, 9)).any() or (second == 9).any():
        return None
    space = second == 32
    is_vertex, is_face = (first == ord("v")) & space, (first == ord("f")) & space
    lines = _lines(data, begins, is_vertex)
    if not is_table(lines, int(is_vertex.sum()), 4):  # the keyword is a word, too
        return None
    vertices = _parse(lines.translate(_BLANK_V), np.float64)
    found = _parse_faces(_lines(data, begins, is_face))
    if (
        found is None
        or len(vertices) != 3 * is_vertex.sum()
        or not np.array_equal(is_face, first == ord("f"))
    ):
        return None
    vertices = vertices.reshape(-1, 3)
    corners, sizes = found
    scan = Scan(len(vertices), len(sizes))
    scan.materials = _names(data, begins[first == ord("u")], b"usemtl")
    check_materials(len(scan.materials))
    scan.libraries = _names(data, begins[first == ord("m")], b"mtllib")
    counts = _count_faults(vertices, corners[:, 0], sizes)
    if counts is None:
        return None
    scan.counts, scan.usable = counts, counts.pop("usable")
    scan.counts["lines and points"] = int(
        (((first == ord("l")) | (first == ord("p"))) & space).sum()
    )
    scan.counts = {name: count for name, count in scan.counts.items() if count}
    _measure_box(scan, vertices)
    normals = begins[(first == ord("v")) & (second == ord("n"))]
    if corners.shape[1] == 3 and len(normals):
        scan.stray_normals = _stray_normals(data, normals, vertices, corners, sizes)
    return scan


def _lines(data: bytes, begins: NDArray[np.int64], chosen: NDArray[np.bool_]) -> bytes:
    """Return the chosen lines, as they stand in runs."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], chosen.astype(np.int8), [0]])))
    check_runs(len(edges))
    ends = np.append(begins, len(data) + 1)
    runs = zip(begins[edges[::2]].tolist(), ends[edges[1::2]].tolist(), strict=True)
    block = b"".join([data[begin:end] for begin, end in runs])
    return block if block.endswith(b"\n") or not block else block + b"\n"


def _parse(text: bytes, kind: type[Number]) -> NDArray[Number]:
    """Parse numbers up to the first word that is none."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # of what could not be read: the count tells
        return np.fromstring(text, dtype=kind, sep=" ") if text.strip() else np.zeros(0, dtype=kind)


def _parse_faces(block: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Parse lines `f …` of one form and positive indices.

    Returns
    -------
    corners : (C, 1 to 3) int64, zero-based vertex and whatever follows it
    sizes : (F,) int64, corners of each face
    """
    if b" \n" in block:
        block = block.replace(b" \n", b"\n")
    text = np.frombuffer(block, dtype=np.uint8)
    if b"-" in block or b"  " in block or b"#" in block:
        return None
    spaces, ends = np.flatnonzero(text == 32), np.flatnonzero(text == 10)
    sizes = np.diff(np.searchsorted(spaces, ends), prepend=0)
    slashes, doubles, total = block.count(b"/"), block.count(b"//"), len(spaces)
    for per_word, double, width in ((2, 0, 3), (2, total, 2), (1, 0, 2), (0, 0, 1)):
        if slashes == per_word * total and doubles == double:
            table = _parse(block.translate(_BLANK_F), np.int64)
            if len(table) != width * total:
                return None
            corners = table.reshape(-1, width) - 1
            return (np.insert(corners, 1, -1, axis=1) if double else corners), sizes
    return None


def _names(data: bytes, begins: NDArray[np.int64], keyword: bytes) -> list[str]:
    """Return what follows a keyword, each once, in the order of the file."""
    names: dict[str, None] = {}
    for begin in begins.tolist():
        end = data.find(b"\n", begin)
        line = data[begin : end if end >= 0 else len(data)]
        if line.startswith(keyword):
            names[name_in(line)] = None
    return [name for name in names if name]


def _count_faults(
    vertices: NDArray[np.float64], corners: NDArray[np.int64], sizes: NDArray[np.int64]
) -> dict[str, int] | None:
    """Count what reading and repairing would drop or merge; `usable` faces are left then, pairs not yet merged.

    None where a polygon has the same corner twice: only `repair` itself knows what is left of it.
    """
    starts = np.cumsum(sizes) - sizes
    exists = (corners >= 0) & (corners < len(vertices))
    finite = in_reach(vertices)
    usable = exists & finite[np.where(exists, corners, 0)] if len(vertices) else exists
    faces = np.repeat(np.arange(len(sizes)), sizes)
    outside = np.bincount(faces[~exists], minlength=len(sizes)) > 0
    broken = (np.bincount(faces[~usable], minlength=len(sizes)) > 0) & ~outside
    small = (sizes < 3) & ~outside & ~broken
    good = ~(outside | broken | small)
    used = np.unique(corners[good[faces]])
    low = vertices[used].min(axis=0) if len(used) else np.zeros(3)
    scale = (float(np.linalg.norm(np.ptp(vertices[used], axis=0))) if len(used) else 0.0) or 1.0
    with np.errstate(all="ignore"):  # of vertices out of reach
        hashes = _hash_positions((vertices - low) / (WELD_DISTANCE * scale))
    solid = merged = copies = 0
    for size in np.unique(sizes[good]):
        rows = np.flatnonzero(good & (sizes == size))
        index = corners[starts[rows][:, None] + np.arange(size)]
        if size > 3 and (np.diff(np.sort(hashes[index], axis=1), axis=1) == 0).any():
            return None
        keys = _face_keys(hashes[index], vertices[index], scale)
        solid += len(keys)
        if len(keys):
            keys = np.sort(keys)
            distinct = 1 + int(np.count_nonzero(keys[1:] != keys[:-1]))
            groups = 1 + int(np.count_nonzero(keys[1:] >> 1 != keys[:-1] >> 1))
            merged, copies = merged + distinct - groups, copies + len(keys) - distinct
    return {
        "usable": solid,
        "opposite pairs merged": merged,
        "duplicate faces dropped": copies,
        "faces without area dropped": int(good.sum()) - solid,
        "faces with an index out of range": int(outside.sum()),
        "faces with a vertex that is not finite": int(broken.sum()),
        "faces with less than three corners": int(small.sum()),
    }


def _hash_positions(places: NDArray[np.float64]) -> NDArray[np.uint64]:
    """(V,) 64-bit hash of each vertex's place on the welding grid, equal where `repair` would weld."""
    grid = np.round(np.nan_to_num(places, nan=0.0, posinf=0.0, neginf=0.0))
    bits = (grid + 0.0).view(np.uint64) if len(grid) else np.zeros((0, 3), np.uint64)
    value = np.zeros(len(bits), dtype=np.uint64)
    for axis, odd in enumerate((0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)):
        value = (value ^ (bits[:, axis] >> np.uint64(29)) ^ bits[:, axis]) * np.uint64(odd)
        value ^= value >> np.uint64(32)
    return value


def _face_keys(
    hashes: NDArray[np.uint64], polygons: NDArray[np.float64], scale: float
) -> NDArray[np.uint64]:
    """Return a key of each face with distinct vertices and an area: its cycle in the upper 63 bits, then its winding.

    Parameters
    ----------
    hashes : (F, n) of the vertices
    polygons : (F, n, 3)
    scale : diagonal of the model's box
    """
    following = np.roll(hashes, -1, axis=1)
    count = hashes.shape[1]
    distinct = (hashes != following).all(axis=1)
    if count == 3:
        edges = polygons[:, 1:] - polygons[:, :1]
        normal = np.cross(edges[:, 0], edges[:, 1])
    else:
        offset = polygons - polygons[:, :1]
        normal = np.cross(offset, np.roll(offset, -1, axis=1)).sum(axis=1)
    solid = distinct & (np.einsum("fk,fk->f", normal, normal) > (1e-14 * scale**2) ** 2)
    hashes, following = hashes[solid], following[solid]
    edge = (hashes + following) * np.uint64(0x9E3779B97F4A7C15)  # a cycle is told by its edges
    key = (edge ^ (edge >> np.uint64(31))).sum(axis=1, dtype=np.uint64)
    lowest = hashes.argmin(axis=1)
    rows = np.arange(len(hashes))
    turned = hashes[rows, (lowest + 1) % count] > hashes[rows, (lowest - 1) % count]
    return (key << np.uint64(1)) | turned.astype(np.uint64)


def _measure_box(scan: Scan, vertices: NDArray[np.float64]) -> None:
    finite = vertices[in_reach(vertices)]
    if len(finite):
        scan.low, scan.high = finite.min(axis=0), finite.max(axis=0)


def _stray_normals(
    data: bytes,
    normals: NDArray[np.int64],
    vertices: NDArray[np.float64],
    corners: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> float:
    """Measure on a sample of triangles how many stored normals are far off their face, whichever way it is seen."""
    starts = (np.cumsum(sizes) - sizes)[sizes == 3]
    starts = starts[:: max(1, len(starts) // _SAMPLED)][:_SAMPLED]
    triangles = corners[starts[:, None] + np.arange(3)]  # (S, 3, 3)
    inside = (triangles[..., 0] >= 0) & (triangles[..., 0] < len(vertices))
    inside &= (triangles[..., 2] >= 0) & (triangles[..., 2] < len(normals))
    triangles = triangles[inside.all(axis=1)]
    places = normals[triangles[..., 2].ravel()].tolist()
    lines = [data[place + 2 : data.find(b"\n", place) % (len(data) + 1)] for place in places]
    stored = _parse(b" ".join(lines), np.float64)
    if not lines or len(stored) != 3 * len(lines):
        return 0.0
    points = vertices[triangles[..., 0]]
    stored = stored.reshape(-1, 3, 3)
    with np.errstate(all="ignore"):
        true = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])[:, None]
        cosine = (
            (stored * true).sum(-1)
            / np.linalg.norm(stored, axis=-1)
            / np.linalg.norm(true, axis=-1)
        )
    cosine = cosine[np.isfinite(cosine)]
    return float((np.abs(cosine) < _STRAY).mean()) if len(cosine) else 0.0
