"""Stored normals of an OBJ, which only the doctor reads."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..mesh.obj import line_runs

__all__ = ["FaceText", "share_of_stray_normals"]

_SAMPLED = 300  # faces whose stored normals are compared
_STRAY = np.cos(np.radians(30))


@dataclass(frozen=True)
class FaceText:
    """The lines of an OBJ with faces, `f`, and stored normals, `vn`."""

    faces: bytes
    normals: bytes

    @classmethod
    def find(cls, data: bytes) -> FaceText:
        """Find the lines in the bytes of an OBJ.

        Raises
        ------
        ModelError : the text changes between kinds of lines more often than any model's
        """
        kinds: dict[bytes, list[bytes]] = {b"f ": [], b"f\t": [], b"vn": []}
        for kind, text, _ in line_runs(data):
            if kind in kinds:
                kinds[kind].append(text)
        return cls(b"".join(kinds[b"f "] + kinds[b"f\t"]), b"".join(kinds[b"vn"]))

    @property
    def counts_backwards(self) -> bool:
        """Whether an index is negative."""
        # the first test is cheap, and nearly all files end there
        return b"-" in self.faces and re.search(rb"[ /]-\d", self.faces) is not None


def share_of_stray_normals(text: FaceText, vertices: NDArray[np.float64]) -> float:
    """Measure the share of stored normals far off their face.

    Far is 30 degrees or more.

    Up to 300 triangles are compared, evenly spaced in the file, whichever way they are seen.

    Parameters
    ----------
    vertices : (V, 3) float64, object frame, all that the file holds

    Returns
    -------
    share : in [0, 1]; 0 where nothing can be compared
    """
    if not text.normals:
        return 0.0
    # lines of S triangles, a sample: of four words, the keyword and three corners
    starts, sizes = _lines(text.faces)
    rows = np.flatnonzero(sizes == 4)
    rows = rows[:: max(1, len(rows) // _SAMPLED)][:_SAMPLED].tolist()
    triangles = [text.faces[starts[row] : starts[row + 1]].split()[1:] for row in rows]
    # vertex and normal of each corner, (S, 3, 2); triangles without a stored normal fall out
    begins, _ = _lines(text.normals)
    corners = [_corners(words, len(vertices), len(begins) - 1) for words in triangles]
    indices = np.array([row for row in corners if row], dtype=np.int64).reshape(-1, 3, 2)
    lines = [text.normals[begins[row] : begins[row + 1]] for row in indices[..., 1].ravel()]
    try:
        numbers = [line.split()[1:4] for line in lines]
        # (S, corners, xyz)
        normals = np.array(numbers, dtype=np.float64).reshape(-1, 3, 3)
    except ValueError:  # a normal that is not three numbers
        return 0.0
    # (S, corners, xyz)
    points = vertices[indices[..., 0]]
    with np.errstate(all="ignore"):
        # the true normal of each triangle, (S, 1, 3), and its angle to the stored ones, (S, 3)
        true = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])[:, None]
        lengths = np.linalg.norm(normals, axis=-1) * np.linalg.norm(true, axis=-1)
        cosine = (normals * true).sum(axis=-1) / lengths
    cosine = cosine[np.isfinite(cosine)]
    return float((np.abs(cosine) < _STRAY).mean()) if len(cosine) else 0.0


def _lines(text: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the starts, (N + 1,), and the word counts, (N,), of lines.

    Each line ends in a newline.
    """
    # With a newline in front, each newline's place is the start of the line after it.
    letters = np.frombuffer(b"\n" + text, dtype=np.uint8)
    blank = letters <= ord(" ")
    words = np.flatnonzero(blank[:-1] & ~blank[1:])
    starts = np.flatnonzero(letters == ord("\n"))
    return starts, np.diff(np.searchsorted(words, starts))


def _corners(words: list[bytes], vertices: int, normals: int) -> list[tuple[int, int]]:
    """Return vertex and normal of each corner, zero-based; empty if one is missing."""
    corners = []
    for word in words:
        parts = word.split(b"/")
        if len(parts) != 3 or not (parts[0].isdigit() and parts[2].isdigit()):
            return []
        # Eighteen digits are more than any file has lines.
        vertex, normal = int(parts[0][:18]) - 1, int(parts[2][:18]) - 1
        if not (0 <= vertex < vertices and 0 <= normal < normals):
            return []
        corners.append((vertex, normal))
    return corners
