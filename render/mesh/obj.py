"""Reading of Wavefront OBJ as ShapeNet writes it; faults are counted."""

from __future__ import annotations

import codecs
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ModelError
from .bounds import (
    MOST_LINE_BYTES,
    MOST_LINES,
    MOST_MATERIALS,
    MOST_RUNS,
    in_reach,
    read_mesh_bytes,
)

__all__ = [
    "Mesh",
    "check_materials",
    "check_obj",
    "decode",
    "line_runs",
    "name_in",
    "parse_obj",
    "read_obj",
    "usable_mesh",
]

_NEWLINE = ord("\n")
_PIECE = (
    2**25
    # bytes, and words, that are parsed at a time: Python's objects for them take twenty times as
    # much
)


@dataclass(frozen=True)
class Mesh:
    """Polygons with materials, as flat arrays.

    F faces, C corners in all, V vertices.

    Attributes
    ----------
    vertices : (V, 3) float64, object frame
    corners : (C,) int64, vertex of each corner, face after face
    uvs : (C, 2) float64, texture coordinates of each corner, v up; 0 where the file gives none
    starts : (F + 1,) int64; face f owns corners[starts[f]:starts[f + 1]]
    materials : (F,) int64, index into `material_names`
    material_names : names as `usemtl` gives them; "" stands for faces before any `usemtl`
    libraries : names as `mtllib` gives them
    faults : counts of what was left out, by the kind of fault
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

    Faces that use a vertex that is not finite, too far off or does not exist are left out and
    counted in `faults`, as are lines and points. Stored normals, groups and smoothing are not read.

    Raises
    ------
    ModelError : the file cannot be read, is no text, or holds more than any model
    """
    data = read_mesh_bytes(path)
    check_obj(data)
    return parse_obj(data)


def check_obj(data: bytes) -> None:
    """Refuse binary data, and text with too many lines.

    Raises
    ------
    ModelError : it is binary, or has too many lines
    """
    position = data.find(b"\0")
    if position >= 0:
        line = data.count(b"\n", 0, position) + 1
        raise ModelError(f"its OBJ is not text: there is a null character in line {line}")
    if data.count(b"\n") + data.count(b"\r") > MOST_LINES:
        raise ModelError(f"its OBJ has more than {MOST_LINES:,} lines")


def _check_runs(number: int) -> None:
    """Refuse an OBJ with too many changes between kinds of lines.

    Raises
    ------
    ModelError : it has too many
    """
    if number > MOST_RUNS:
        raise ModelError(f"its OBJ changes between kinds of lines more than {MOST_RUNS:,} times")


def parse_obj(data: bytes) -> Mesh:
    """Read the bytes of an OBJ file, as `read_obj` does.

    Exporters write lines of a kind one after the other: such a run is parsed at once, in a third of
    the time of its lines.

    Raises
    ------
    ModelError : they hold more than any model
    """
    # Collect the lines of each kind; numbers are parsed at the end, all at once.
    vertices, uvs, faces = _Lines(b"v"), _Lines(b"vt"), _Lines(b"f")
    known: list[
        tuple[int, int]
    ] = []  # vertices and uvs, when a run of faces begins: negative indices count from there
    # one material for each run of faces
    face_materials: list[int] = []
    names: dict[str, int] = {}
    libraries: list[str] = []
    material, lines_and_points = -1, 0
    for kind, text, count in line_runs(data):
        if kind in (b"v ", b"v\t"):
            vertices.add(text, count)
        elif kind == b"vt":
            uvs.add(text, count)
        elif kind in (b"f ", b"f\t"):
            known.append((vertices.total, uvs.total))
            face_materials.append(material)
            faces.add(text, count)
        elif kind in (b"l ", b"p "):
            lines_and_points += count
        elif kind == b"us":
            for line in text.splitlines():
                if line.startswith(b"usemtl"):
                    material = names.setdefault(name_in(line), len(names))
            check_materials(len(names))
        elif kind == b"mt":
            libraries += [name_in(line) for line in text.splitlines() if line.startswith(b"mtllib")]
    # Faces before any `usemtl` have the material "".
    if -1 in face_materials:
        unnamed = names.setdefault("", len(names))
        face_materials = [unnamed if index == -1 else index for index in face_materials]
    # Corners (C, 2) of vertex and uv, zero-based; sizes (F,).
    corners, sizes = _corners(faces, np.array(known, dtype=np.int64).reshape(-1, 2))
    return usable_mesh(
        _numbers(vertices, 3),
        np.nan_to_num(_numbers(uvs, 2), nan=0.0, posinf=0.0, neginf=0.0),
        corners,
        sizes,
        np.repeat(np.array(face_materials, dtype=np.int64), faces.counts),
        tuple(names),
        tuple(dict.fromkeys(libraries)),
        lines_and_points,
    )


def name_in(line: bytes) -> str:
    """Return what follows `usemtl` or `mtllib`.

    Raises
    ------
    ModelError : it is longer than any name
    """
    if len(line) > MOST_LINE_BYTES:
        raise ModelError(f"its OBJ has a name of more than {MOST_LINE_BYTES:,} bytes")
    return decode(line[6:])


def check_materials(number: int) -> None:
    """Refuse an OBJ with too many materials.

    Raises
    ------
    ModelError : it has too many
    """
    if number > MOST_MATERIALS:
        raise ModelError(f"its OBJ uses more than {MOST_MATERIALS:,} materials")


def line_runs(data: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield runs of lines that begin with the same two characters.

    Each run is a tuple: the two characters, the lines, their number.

    Lines are free of blanks before them, and of any but the usual line ends; a line that ends in a
    backslash goes on.
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    data = data.replace(b"\\\n", b" ") + b"\n\n"
    while True:
        # Begin of each line, and its first letter.
        text = np.frombuffer(data, dtype=np.uint8)
        begins = np.concatenate([[0], np.flatnonzero(text[:-2] == _NEWLINE) + 1])
        letters = text[begins]
        if not (_blank(letters) & (letters != _NEWLINE)).any():
            break
        data = re.sub(rb"(^|\n)[ \t\v\f]+", rb"\1", data)
    # The first two letters as one number: a run ends where it changes.
    starts = letters.astype(np.uint16) << 8 | text[begins + 1]
    first = np.concatenate([[0], np.flatnonzero(starts[1:] != starts[:-1]) + 1])
    _check_runs(len(first))
    bounds = [*begins[first].tolist(), len(data) - 1]
    counts = np.diff(first, append=len(begins)).tolist()
    for begin, end, count in zip(bounds, bounds[1:], counts, strict=False):
        yield data[begin : begin + 2], data[begin:end], count


def _blank(text: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which bytes `bytes.split` splits at."""
    return (text == ord(" ")) | ((text >= ord("\t")) & (text <= ord("\r")))


class _Lines:
    """The lines of one kind, in runs."""

    def __init__(self, keyword: bytes) -> None:
        self.keyword, self.counts, self.total = keyword, list[int](), 0
        self._texts: list[bytes] = []

    def add(self, text: bytes, count: int) -> None:
        """Append a run; each line has the keyword and ends in a newline."""
        self._texts.append(text)
        self.counts.append(count)
        self.total += count

    def join(self) -> bytes:
        """Return all lines without keywords and comments.

        A newline stands before the text and after each line.
        """
        text = (b"\n" + b"".join(self._texts)).replace(b"\n" + self.keyword, b"\n ")
        return re.sub(rb"#[^\n]*", b"", text) if b"#" in text else text


def decode(raw: bytes) -> str:
    """Decode a name or a line: UTF-8, else Latin-1 (which cannot fail)."""
    raw = raw.strip()
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _numbers(lines: _Lines, width: int) -> NDArray[np.float64]:
    """Parse the first `width` numbers of each line: (lines, width) float64.

    What is missing or not a number becomes NaN.
    """
    table = np.full((lines.total, width), np.nan)
    row = 0
    for piece in _pieces(lines.join()):
        table_part = _table(piece, width)
        table[row : row + len(table_part)] = table_part
        row += len(table_part)
    return table


def _pieces(text: bytes) -> Iterator[bytes]:
    """Cut what `_Lines.join` gives into pieces of whole lines."""
    begin = 1
    while begin < len(text):
        end = text.find(b"\n", begin + _PIECE) + 1 or len(text)
        yield text[begin:end]
        begin = end


def _table(text: bytes, width: int) -> NDArray[np.float64]:
    """Parse lines, each of which ends in a newline, to (lines, width)."""
    rows = text.count(b"\n")
    if _is_table(text, rows, width):
        try:
            return np.array(text.split(), dtype=np.float64).reshape(rows, width)
        except ValueError:
            pass
    table = np.full((rows, width), np.nan)
    for row, line in enumerate(
        text.split(b"\n")[:rows]
    ):  # unequal length, a fourth coordinate, colours, garbage
        for column, word in enumerate(line.split(None, width)[:width]):
            try:
                table[row, column] = float(word)
            except ValueError:
                break
    return table


def _is_table(text: bytes, rows: int, width: int) -> bool:
    """Check whether each line has exactly `width` words.

    Counting all words is not enough: a line of two and one of four are not two points.

    Parameters
    ----------
    text : lines, each of which ends in a newline
    """
    letters = np.frombuffer(text, dtype=np.uint8)
    blank = letters <= ord(" ")
    # (L,) whether a word begins behind each letter
    first = blank.copy()
    first[:-1] &= ~blank[1:]
    first[-1:] = False
    words = np.flatnonzero(first)
    if len(text) and not blank[0]:
        words = np.concatenate([[-1], words])
    if len(words) != rows * width:
        return False
    ends = np.flatnonzero(letters == _NEWLINE)
    # (rows, width) places of words: each row must lie between two line ends.
    in_line = words.reshape(rows, width)
    return bool((in_line[:, -1] < ends).all() and (in_line[1:, 0] >= ends[:-1]).all())


def _corners(
    lines: _Lines, known: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Parse face lines.

    Parameters
    ----------
    lines : the words of each face: `v`, `v/vt`, `v//vn` or `v/vt/vn`, one-based or negative
    known : (R, 2) int, vertices and uvs before each run of faces

    Returns
    -------
    corners : (C, 2) int64, zero-based vertex and uv; -1 where absent or no number
    sizes : (F,) int64, corners of each face
    """
    text = lines.join()
    letters = np.frombuffer(text, dtype=np.uint8)
    # Words per line, from the places of blanks and line ends.
    blank = _blank(letters)
    words = np.flatnonzero(blank[:-1] & ~blank[1:])
    sizes = np.diff(np.searchsorted(words, np.flatnonzero(letters == _NEWLINE)))
    # Nearly all files use one form throughout: then slashes are blanks.
    slashes, doubles = text.count(b"/"), text.count(b"//")
    table = None
    for per_word, double, replaced, width in (
        (2, 0, (b"/", b" "), 3),
        (2, len(words), (b"//", b" 0 "), 3),
        (1, 0, (b"/", b" "), 2),
        (0, 0, (b"/", b" "), 1),
    ):
        if slashes == per_word * len(words) and doubles == double:
            table = _integers(text.replace(*replaced), len(words), width)
            break
    if table is None:
        table = _mixed_corners(text, words)
    # Vertex and uv, (C, 2); 0 where the form has no uv.
    corners = np.zeros((len(words), 2), dtype=np.int64)
    corners[:, : min(2, table.shape[1])] = table[:, :2]
    # Negative indices count back from the vertices read so far.
    before = np.repeat(np.repeat(known, lines.counts, axis=0), sizes, axis=0)
    return np.where(corners < 0, before + corners, corners - 1), sizes


def _integers(text: bytes, rows: int, width: int) -> NDArray[np.int64] | None:
    """Parse a table, (rows, width) int64; None if a word is not an integer."""
    if not rows:
        return np.zeros((0, width), dtype=np.int64)
    try:
        with warnings.catch_warnings():
            # NumPy warns of a word that is not an integer
            warnings.simplefilter("error")
            table = np.fromstring(
                text, dtype=np.int64, sep=" "
            )  # four times as fast as splitting first
    except (DeprecationWarning, ValueError):
        return None
    return table.reshape(rows, width) if len(table) == rows * width else None


def _mixed_corners(text: bytes, words: NDArray[np.int64]) -> NDArray[np.int64]:
    """Parse corners of several forms, (C, 2).

    `words` are the places right before each.
    """
    table = np.zeros((len(words), 2), dtype=np.int64)
    step = _PIECE // 16
    for first in range(0, len(words), step):
        end = words[first + step] if first + step < len(words) else len(text)
        some = text[words[first] : end].split()
        table[first : first + len(some)] = [_corner(word) for word in some]
    return table


def _corner(word: bytes) -> tuple[int, int]:
    """Parse one corner of any form; 0 means absent or not a number.

    No index of an OBJ may be 0.
    """
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
    """Drop faces with an unusable vertex or with fewer than three corners.

    A vertex is unusable if it does not exist, is not finite or is too far away.

    Parameters
    ----------
    vertices : (V, 3) float64, object frame
    uvs : (U, 2) float64
    corners : (C, 2) int64, vertex and uv of each corner; -1 stands for none
    sizes : (F,) int64, corners of each face
    materials : (F,) int64, index into `names`
    lines_and_points : to be counted as faults
    """
    # (C,) face of each corner, and whether its vertex can be used.
    face = np.repeat(np.arange(len(sizes)), sizes)
    vertex, uv = corners[:, 0], corners[:, 1]
    exists = (vertex >= 0) & (vertex < len(vertices))
    finite = in_reach(vertices)
    usable = exists.copy()
    usable[exists] = finite[vertex[exists]]
    # (F,) each face is dropped for one reason, the first that applies.
    out_of_range = np.bincount(face[~exists], minlength=len(sizes)) > 0
    not_finite = (np.bincount(face[~usable], minlength=len(sizes)) > 0) & ~out_of_range
    too_small = (sizes < 3) & ~out_of_range & ~not_finite
    keep = ~(out_of_range | not_finite | too_small)
    # Corners of the faces that stay; a missing uv is (0, 0).
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
