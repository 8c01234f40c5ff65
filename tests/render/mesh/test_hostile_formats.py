"""Hostile PLY, OFF, STL and glTF files: each is refused with a reason."""

from __future__ import annotations

import base64
import io
import struct
from pathlib import Path

import pytest
import trimesh

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.pack.surface import source_mesh
from shapenet3d_cma.render.mesh.load import read_model
from shapenet3d_cma.render.shapenet.listing import (
    list_models,
)
from shapenet3d_cma.render.shapenet.selection import Selection
from shapenet3d_cma.tests.fuzz.bounds import bounded
from shapenet3d_cma.tests.render.mesh.broken_models import (
    BUFFER,
    LARGE,
    gltf,
    ply,
    png,
    reading_error,
)


def test_the_unbroken_templates_are_read(tmp_path: Path) -> None:
    for name, text in (
        ("a.ply", ply()),
        ("a.gltf", gltf()),
        ("a.off", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"),
    ):
        (tmp_path / name).write_text(text)
        assert len(read_model(tmp_path, name, tmp_path)[0].sizes) == 1


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.ply", ply(vertices=-3), "its PLY says '-3' elements 'vertex', which is not a count"),
        (
            "a.ply",
            ply(vertices=10**15),
            "its PLY says 1,000,000,000,000,000 elements 'vertex', and is too short",
        ),
        ("a.ply", ply(vertices="1" * 5000), "which is not a count"),
        ("a.ply", ply(faces=10**9), "elements 'face', and is too short for them"),
        ("a.ply", ply(form="binary_little_endian", faces=2**31), "and is too short for them"),
        (
            "a.ply",
            ply(properties="property float x\nproperty float y\n"),
            "no vertices with x, y and z",
        ),
        ("a.ply", ply(properties="property string x\n"), "an invalid property"),
        ("a.ply", ply(form="rubbish"), "unknown format"),
        ("a.ply", ply(body="0 0 0\n"), "elements 'vertex', and is too short for them"),
        (
            "a.ply",
            ply(body="0 0 1e300\n1 0 0\n0 1 0\n3 0 1 2\n"),
            "coordinates not finite, or too large",
        ),
        ("a.ply", "ply\n" + "comment x\n" * 200_000, "no header"),
        ("a.off", "OFF\n-3 1 0\n", "its OFF says '-3' vertices, which is not a count"),
        (
            "a.off",
            "OFF\n3 1000000000000 0\n",
            "its OFF says 1,000,000,000,000 faces, and is too short",
        ),
        ("a.off", "OFF\nthree 1 0\n", "'three' vertices, which is not a count"),
        ("a.off", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 9\n", "damaged"),
        ("a.off", "OFF", "ends before it says"),
        (
            "a.stl",
            bytes(80) + struct.pack("<I", 2**32 - 1) + bytes(50),
            "says 4,294,967,295 triangles",
        ),
        ("a.stl", b"solid x\nendsolid x\n", "its STL is empty"),
        (
            "a.glb",
            b"glTF" + struct.pack("<4I", 2, 2**32 - 1, 2**32 - 1, 0x4E4F534A),
            "ends before its JSON does",
        ),
        ("a.glb", b"glTF" + struct.pack("<4I", 1, 20, 0, 0x4E4F534A), "of version 1"),
        ("a.gltf", '{"a":' * 100_000, "nested deeper"),
        ("a.gltf", "[]", "not a glTF document"),
        (
            "a.gltf",
            gltf(accessors=[{"componentType": 5126, "count": 10**12, "type": "VEC3"}]),
            "too short for them",
        ),
        (
            "a.gltf",
            gltf(accessors=[{"componentType": 5126, "count": -1, "type": "VEC3"}]),
            "which is not a count",
        ),
        ("a.gltf", gltf(accessors=5), "accessors that are no list"),
        ("a.gltf", gltf(nodes=[{"mesh": 0, "children": [0]}]), "in a ring"),
        ("a.gltf", gltf(nodes=[{"children": [1, 1]}, {"mesh": 0}]), "two parents"),
        ("a.gltf", gltf(nodes=[{"mesh": 0}] * 200_000), "more than 100,000 nodes"),
        (
            "a.gltf",
            gltf(extensionsRequired=["KHR_draco_mesh_compression"]),
            "needs the extension KHR_draco",
        ),
        (
            "a.gltf",
            gltf(buffers=[{"byteLength": 42, "uri": "http://x/y"}]),
            "not a file of the model: refused",
        ),
        (
            "a.gltf",
            gltf(buffers=[{"byteLength": 42, "uri": "file:///etc/passwd"}]),
            "not a file of the model: refused",
        ),
        ("a.gltf", gltf(buffers=[{"byteLength": 42, "uri": "../secret"}]), "leads outside"),
        ("a.gltf", gltf(buffers=[{"byteLength": 42, "uri": "%2e%2e/secret"}]), "leads outside"),
        ("a.gltf", gltf(buffers=[{"byteLength": 42, "uri": "/etc/hostname"}]), "absolute"),
        (
            "a.gltf",
            gltf(buffers=[{"uri": LARGE}], bufferViews=[{"buffer": 0, "byteLength": 2**20}] * 30),
            "bytes of data, and has",
        ),
    ],
)
def test_impossible_counts_and_references_are_refused(
    tmp_path: Path, name: str, content: str | bytes, says: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(BUFFER)
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    trimesh.load(
        io.BytesIO(ply().encode()), file_type="ply"
    )  # what it imports late takes memory of its own
    with bounded("formats", inside=folder, mib=600):
        told = reading_error(folder, name)
    assert says in told
    assert not {"Traceback", "numpy", "array", "Error", "reshape", "dtype"} & set(
        told.replace(":", " ").split()
    )
    with pytest.raises(InputError):
        list_and_measure(folder)


def list_and_measure(folder: Path) -> None:
    """Do as `verify --source` does."""
    (model,) = list_models(folder, Selection(layout="flat")).models
    source_mesh(folder, model.synset, model.model_id, "flat")


def test_a_picture_in_a_glb_is_bounded_before_it_is_decoded(tmp_path: Path) -> None:
    picture = png(tmp_path / "bomb", 20_000, 20_000).read_bytes()
    look = {
        "images": [{"uri": "data:image/png;base64," + base64.b64encode(picture).decode()}],
        "textures": [{"source": 0}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "material": 0}]}],
    }
    (tmp_path / "a.gltf").write_text(gltf(**look))
    trimesh.load(io.BytesIO(ply().encode()), file_type="ply")
    with bounded("formats", inside=tmp_path, mib=600):
        mesh, materials, _ = read_model(tmp_path, "a.gltf", tmp_path)
    assert len(mesh.sizes) == 1
    assert [material.texture for material in materials.values()] == [None]
