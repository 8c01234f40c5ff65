"""Upper bounds of a model's files, checked before reading.

No honest model comes near them.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ModelError
from ...core.untrusted import read_bytes, shown

__all__ = [
    "MOST_BYTES",
    "MOST_COORDINATE",
    "MOST_ELEMENTS",
    "MOST_FACES",
    "MOST_LINES",
    "MOST_LINE_BYTES",
    "MOST_LOOKUPS",
    "MOST_MATERIALS",
    "MOST_RUNS",
    "check_faces",
    "error_reason",
    "in_reach",
    "mesh_path",
    "read_mesh_bytes",
    "unusable_vertex",
]

MOST_BYTES = 2**30
"""Bytes of a mesh file; the largest of ShapeNet holds a fifth of it."""
MOST_LINES = 50_000_000
"""Lines of an OBJ: 5 million faces with vertices, normals and uvs take some 20 million."""
MOST_RUNS = 10_000_000
"""Changes from one kind of line to another in an OBJ."""
MOST_COORDINATE = 1e9
"""Object units. Renderers work in float32; to Cycles a depth of 1e9 and above is background."""
MOST_FACES = 2**24
"""Faces that a float32 can distinguish: Blender returns the index of a face as one."""
MOST_MATERIALS = 65_535
"""Materials that a uint16 can distinguish."""
MOST_LINE_BYTES = 8192
"""Bytes of a line that names a file or a material: twice what any file system takes for a path."""
MOST_LOOKUPS = 10_000
"""Files that a model's materials may name."""
MOST_ELEMENTS = 100_000_000
"""Vertices and indices of a scene, each part counted as often as it is shown."""


def mesh_path(folder: Path, file: str) -> Path:
    """Return the path of a mesh file that may be read.

    Parameters
    ----------
    folder : the model's folder; nothing outside is read
    file : the mesh, relative to `folder`

    Raises
    ------
    ModelError : it is not there, is not a plain file, leads outside, or is larger than any mesh
    """
    path = folder / file
    kind = path.suffix[1:].upper()
    try:
        if not path.is_file():
            exists = path.is_symlink() or path.exists()
            raise ModelError(f"its {kind} is not a plain file" if exists else f"it has no {file}")
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ModelError(f"its {kind} is a link that leads outside the model's folder")
        size = path.stat().st_size
    except (OSError, RuntimeError) as error:  # a name too long, links in a ring, no permission
        raise ModelError(f"its {kind} cannot be read: {error_reason(error)}") from None
    if size > MOST_BYTES:
        raise ModelError(
            f"its {kind} has {size:,} bytes: more than {MOST_BYTES:,}, which is too large for a mesh"
        )
    return path


def read_mesh_bytes(path: Path) -> bytes:
    """Read a mesh file of a bounded size.

    Raises
    ------
    ModelError : it cannot be read, is not a plain file, or is larger than any mesh
    """
    try:
        return read_bytes(path, MOST_BYTES)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"its {path.suffix[1:].upper()} cannot be read: {error_reason(error)}"
        ) from None


def error_reason(error: BaseException) -> str:
    """Name the reason why a file was refused, without its path."""
    # pathlib's own for what the system calls ELOOP
    if isinstance(error, RuntimeError):
        return "links in a ring"
    return str(getattr(error, "strerror", None) or error)


def check_faces(number: int) -> None:
    """Refuse a mesh with more faces than a render can tell apart.

    Raises
    ------
    ModelError : it has more
    """
    if number > MOST_FACES:
        raise ModelError(
            f"it has {number:,} faces: more than {MOST_FACES:,} cannot be distinguished in a render"
        )


def in_reach(vertices: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which vertices, (V, 3), are finite and near enough to render: (V,)."""
    result: NDArray[np.bool_] = (np.abs(vertices) <= MOST_COORDINATE).all(axis=1)
    return result


def unusable_vertex(data: bytes) -> str:
    """Describe the first vertex of an OBJ that no face can use, or return ""."""
    for line_match in re.finditer(rb"^[ \t]*v[ \t]([^\r\n#]{0,200})", data, re.MULTILINE):
        why = _why_unusable([word.decode("latin-1") for word in line_match[1].split()[:3]])
        if why:
            line_number = data.count(b"\n", 0, line_match.start()) + 1
            return f"{why} in line {line_number}"
    return ""


def _why_unusable(words: list[str]) -> str:
    for word in words:
        try:
            value = float(word)
        except ValueError:
            return f"{shown(word, 40)!r} is not a number"
        if not abs(value) <= MOST_COORDINATE:
            what = "that are not finite" if word[-1:].isalpha() else "too large for a render"
            return f"coordinates {what}: {shown(word, 40)}"
    return f"a vertex of {len(words)} numbers" if len(words) < 3 else ""
