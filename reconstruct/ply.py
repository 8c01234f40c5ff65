"""PLY files: points with their properties, binary.

Written here, since the header holds the camera and the conventions: trimesh writes a comment of its
own and an alpha channel, Open3D takes no comments, and plyfile would be one more dependency.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.camera import Camera

__all__ = ["cloud_vertices", "encode_ply", "view_comments", "write_ply"]

_TYPES = {"f4": "float", "f8": "double", "u1": "uchar", "u2": "ushort", "u4": "uint", "i4": "int"}


def write_ply(
    path: Path, vertices: Mapping[str, NDArray[Any]], comments: Sequence[str] = ()
) -> None:
    """Write points to a PLY file, see `encode_ply`.

    Raises
    ------
    OSError : it cannot be written
    """
    path.write_bytes(encode_ply(vertices, comments))


def encode_ply(vertices: Mapping[str, NDArray[Any]], comments: Sequence[str] = ()) -> bytes:
    """Encode points as a binary little-endian PLY.

    Parameters
    ----------
    vertices : property name -> (M,) values; the dtype is kept
    comments : lines of the header
    """
    columns = {name: np.asarray(values) for name, values in vertices.items()}
    # one record a point, its properties side by side: (M,) structured
    rows = np.empty(
        len(next(iter(columns.values()))),
        [(name, values.dtype.newbyteorder("<")) for name, values in columns.items()],
    )
    for name, values in columns.items():
        rows[name] = values
    header = [
        "ply",
        "format binary_little_endian 1.0",
        *(f"comment {line}" for line in comments),
        f"element vertex {len(rows)}",
        *(f"property {_TYPES[values.dtype.str[1:]]} {name}" for name, values in columns.items()),
        "end_header",
    ]
    # PLY headers are ASCII: other characters of a name are escaped
    return ("\n".join(header) + "\n").encode("ascii", "backslashreplace") + rows.tobytes()


def cloud_vertices(
    points: NDArray[np.float32],
    pixels: NDArray[np.uint16],
    colours: NDArray[np.uint8] | None = None,
    normals: NDArray[np.float32] | None = None,
) -> dict[str, NDArray[Any]]:
    """Return the PLY properties of a cloud by their usual names.

    x y z, nx ny nz, red green blue, and u v for the pixel.

    Parameters
    ----------
    points : (M, 3) float32, object frame
    pixels : (M, 2) uint16, (u, v) = (column, row)
    colours : (M, 3) uint8, sRGB; normals : (M, 3) float32, object frame
    """
    wide = pixels.astype(np.int32)  # Open3D skips properties of 16 bits
    parts = ((points, "x y z"), (normals, "nx ny nz"), (colours, "red green blue"), (wide, "u v"))
    vertices: dict[str, NDArray[Any]] = {}
    for array, names in parts:
        if array is not None:
            # array.T: one column (M,) for each property
            vertices |= dict(zip(names.split(), array.T, strict=True))
    return vertices


def view_comments(camera: Camera, name: str) -> list[str]:
    """Return the header lines of a view: name, camera and conventions."""
    return [
        name,
        "x y z in the frame of the .obj file; u v = column and row of the pixel, centre at + 0.5",
        f"size {camera.width} {camera.height}",
        "intrinsics " + " ".join(map(repr, camera.intrinsics.ravel().tolist())),
        "cam_from_obj " + " ".join(map(repr, camera.cam_from_obj.ravel().tolist())),
    ]
