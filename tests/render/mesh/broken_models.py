"""Models and pictures whose files are broken, for the tests of hostile input."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path

import pytest

from shapenet3d_cma.core.errors import ModelError
from shapenet3d_cma.render.mesh.load import read_model

TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
V2 = "models/model_normalized.obj"


def put_model(root: Path, text: str | bytes = TRIANGLE, name: str = "abc") -> Path:
    """Write a model of ShapeNetCore.v2; give its folder."""
    folder = root / "03001627" / name
    (folder / "models").mkdir(parents=True)
    (folder / V2).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def reading_error(folder: Path, file: str = V2) -> str:
    """Read a model that must fail as one; say why."""
    with pytest.raises(ModelError) as error:
        read_model(folder, file, folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def png(path: Path, width: int, height: int, data: bytes = b"") -> Path:
    """Write a PNG that declares a size, whatever stands in it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    )
    return path


PLY = "ply\nformat {form} 1.0\nelement vertex {vertices}\n{properties}element face {faces}\n{lists}end_header\n{body}"
PLY_WHOLE = {
    "form": "ascii",
    "vertices": 3,
    "properties": "property float x\nproperty float y\nproperty float z\n",
    "faces": 1,
    "lists": "property list uchar int vertex_indices\n",
    "body": "0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n",
}
GLTF = {
    "asset": {"version": "2.0"},
    "scene": 0,
    "scenes": [{"nodes": [0]}],
    "nodes": [{"mesh": 0}],
    "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
    "accessors": [
        {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
        {"bufferView": 1, "componentType": 5123, "count": 3, "type": "SCALAR"},
    ],
    "bufferViews": [
        {"buffer": 0, "byteOffset": 0, "byteLength": 36},
        {"buffer": 0, "byteOffset": 36, "byteLength": 6},
    ],
    "buffers": [{"byteLength": 42, "uri": ""}],
}
LARGE = "data:application/octet-stream;base64," + base64.b64encode(bytes(2**20)).decode()
BUFFER = struct.pack("<9f3H", 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 2)


def gltf(**changes: object) -> str:
    uri = "data:application/octet-stream;base64," + base64.b64encode(BUFFER).decode()
    return json.dumps({**GLTF, "buffers": [{"byteLength": 42, "uri": uri}], **changes})


def ply(**changes: object) -> str:
    return PLY.format(**{**PLY_WHOLE, **changes})
