"""Hostile and broken models: each ends in a plain reason or a render without what is amiss; none takes the machine."""

from __future__ import annotations

import base64
import io
import json
import os
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.core.errors import InputError, ModelError
from shapenet3d_cma.core.outputs import claim
from shapenet3d_cma.core.progress import say
from shapenet3d_cma.pack.surface import source_mesh
from shapenet3d_cma.render.mesh import bounds, headers
from shapenet3d_cma.render.mesh import images as pictures
from shapenet3d_cma.render.mesh.load import read_model
from shapenet3d_cma.render.mesh.mtl import read_materials
from shapenet3d_cma.render.mesh.obj import parse_obj
from shapenet3d_cma.render.mesh.repair import repair
from shapenet3d_cma.render.shapenet import archive
from shapenet3d_cma.render.shapenet.archive import list_archive, unpack
from shapenet3d_cma.render.shapenet.doctor import diagnose, diagnosis_text
from shapenet3d_cma.render.shapenet.listing import (
    Listing,
    Model,
    category_names,
    fetch,
    list_models,
    safe_id,
)
from shapenet3d_cma.render.shapenet.selection import Selection, read_ids, read_split
from shapenet3d_cma.render.status import forget_failures, read_failures
from shapenet3d_cma.tests.fuzz.bounds import bounded

TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
V2 = "models/model_normalized.obj"


def put(root: Path, text: str | bytes = TRIANGLE, name: str = "abc") -> Path:
    """Write a model of ShapeNetCore.v2; give its folder."""
    folder = root / "03001627" / name
    (folder / "models").mkdir(parents=True)
    (folder / V2).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def reason(folder: Path, file: str = V2) -> str:
    """Read a model that must fail as one; say why."""
    with pytest.raises(ModelError) as error:
        read_model(folder, file, folder)
    assert "\n" not in str(error.value)
    return str(error.value)


# ---- OBJ ----


@pytest.mark.parametrize("radius", [(1.0, 1.0), (1.0, 0.5)], ids=["convex", "star"])
def test_a_polygon_of_100_000_corners_takes_linear_memory(
    tmp_path: Path, radius: tuple[float, float]
) -> None:
    number = 100_000
    angle = np.linspace(0, 2 * np.pi, number, endpoint=False)
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1) * np.resize(radius, number)[:, None]
    lines = [f"v {x:.9f} {y:.9f} 0\n" for x, y in points.tolist()]
    data = ("".join(lines) + "f " + " ".join(map(str, range(1, number + 1))) + "\n").encode()
    with bounded("obj", inside=tmp_path, mib=400):
        surface = repair(parse_obj(data))
    assert len(surface.front) == (number - 2 if radius[0] == radius[1] else 1)


def test_polygons_of_many_sizes_are_split_as_those_of_few(tmp_path: Path) -> None:
    """The two ways to find a back's corners give the same, also where a vertex comes twice."""
    angle = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    vertices = "".join(
        f"v {np.cos(a):.6f} {np.sin(a):.6f} 0\nvt {a:.3f} 0\n" for a in angle.tolist()
    )
    for size in (4, 8, 9, 12, 30):
        front = " ".join(f"{corner}/{corner}" for corner in range(1, size + 1))
        back = " ".join(f"{corner}/{size + 1 - corner}" for corner in range(size, 0, -1))
        surface = repair(parse_obj((vertices + f"f {front}\nf {back}\n").encode()))
        assert len(surface.front) == size - 2
        assert np.allclose(surface.front_uvs[0], [0, 0])
        corner = np.round(surface.front_uvs[:, 0] / (2 * np.pi / 30))
        assert np.allclose(
            surface.back_uvs[:, 0], np.round((size - 1 - corner) * 2 * np.pi / 30, 3), atol=2e-3
        )


@pytest.mark.parametrize(
    ("vertex", "says"),
    [
        ("v 0 1e308 0", "coordinates too large for a render: 1e308 in line 3"),
        ("v 0 -1e999 0", "coordinates too large for a render: -1e999 in line 3"),
        ("v 0 1e10 0", "coordinates too large for a render: 1e10 in line 3"),
        ("v 0 nan 0", "coordinates that are not finite: nan in line 3"),
        ("v 0 -inf 0", "coordinates that are not finite: -inf in line 3"),
        ("v 0 1", "a vertex of 2 numbers in line 3"),
        ("v 0 one 0", "'one' is no number in line 3"),
    ],
)
def test_coordinates_that_cannot_be_shown_are_told(tmp_path: Path, vertex: str, says: str) -> None:
    text = f"v 0 0 0\nv 1 0 0\n{vertex}\nf 1 2 3\n"
    folder = put(tmp_path, text)
    assert reason(folder) == f"its OBJ has no usable face: {says}"
    (found,) = diagnose(list_models(tmp_path), jobs=1).models
    assert found.fatal
    # beside sound faces they are left out, and both count them alike
    more = (text + "v 0 1 0\nf 1 2 4\n").encode()
    surface = repair(parse_obj(more))
    assert (len(surface.front), surface.repairs) == (
        1,
        {"faces with a vertex that is not finite": 1},
    )


def test_a_vertex_of_two_numbers_beside_one_of_four_shifts_no_other() -> None:
    data = b"v 0 0\nv 1 0 0 9\nv 0 1 0\nv 0 0 1\nf 2 3 4\nf 1 2 3\n"
    mesh = parse_obj(data)
    assert np.array_equal(mesh.vertices[1:], [[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert len(mesh.sizes) == 1


@pytest.mark.parametrize("size", [1e-150, 1e-200, 1e-308, 5e-324])
def test_a_model_too_small_to_divide_by_is_no_crash(size: float) -> None:
    data = f"v 0 0 0\nv {size} 0 0\nv 0 {size} 0\nf 1 2 3\n".encode()
    assert not len(repair(parse_obj(data)).front)


@pytest.mark.parametrize(
    "index", ["0", "4", "-4", "1" + "0" * 30, "-1" + "0" * 30, "1.5", "x", "9" * 5000]
)
def test_indices_that_no_vertex_has(tmp_path: Path, index: str) -> None:
    mesh = parse_obj((TRIANGLE + f"f 1 2 {index}\n").encode())
    assert len(mesh.sizes) == 1
    assert sum(mesh.faults.values()) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"f " + b"1 " * 20_000_000,
        b"v 0 0 0" + b" 0" * 20_000_000,
        b"usemtl " + b"a" * 50_000_000,
        b"#" * 50_000_000,
        b"\n" * 20_000_000,
        b" " * 50_000_000,
    ],
    ids=["face", "vertex", "name", "comment", "newlines", "blanks"],
)
def test_lines_and_runs_without_end(tmp_path: Path, data: bytes) -> None:
    with bounded("obj", inside=tmp_path, mib=2048, seconds=120):
        repair(parse_obj(data))


@pytest.mark.parametrize(
    "data", [b"\x7fELF\0\0\0", TRIANGLE.encode() + b"\0", TRIANGLE.encode("utf-16")]
)
def test_what_is_no_text_is_told(tmp_path: Path, data: bytes) -> None:
    folder = put(tmp_path, data)
    assert "its OBJ is no text: there is a null character in line" in reason(folder)
    (found,) = diagnose(list_models(tmp_path), jobs=1).models
    assert found.found == {"unreadable": 1}


def test_more_than_any_model_has_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = put(tmp_path)
    with (folder / V2).open("ab") as file:
        file.truncate(bounds.MOST_BYTES + 1)  # a hole: it takes no room
    assert "more than 1,073,741,824, which no mesh has" in reason(folder)
    with pytest.raises(InputError, match="which no mesh has"):
        source_mesh(tmp_path, "03001627", "abc")
    names = "".join(f"usemtl {number}\n" for number in range(bounds.MOST_MATERIALS + 1))
    assert "more than 65,535 materials" in reason(put(tmp_path, names + TRIANGLE, "materials"))
    monkeypatch.setattr("shapenet3d_cma.render.mesh.obj.MOST_RUNS", 10)
    with pytest.raises(ModelError, match="changes between kinds of lines more than 10 times"):
        parse_obj(b"v 0 0 0\nvn 0 0 1\n" * 20)


# ---- MTL and pictures ----


def read_mtl(folder: Path, text: str | bytes) -> tuple[dict[str, object], list[str]]:
    (folder / "models" / "a.mtl").write_bytes(text.encode() if isinstance(text, str) else text)
    materials, notes = read_materials(folder, ("a.mtl", "./a.mtl", "../models/a.mtl"))
    return dict(materials), notes


@pytest.mark.parametrize(
    "text",
    [
        "newmtl m\nmap_Kd " + "-a " * 1_000_000 + "x.png\n",
        "newmtl " + "m" * 10_000_000 + "\nKd 1 0 0\n",
        "newmtl m\n" + "".join(f"map_Kd {number}.png\n" for number in range(30_000)),
        "".join(f"newmtl {number}\n" for number in range(80_000)),
        b"\0\xff\xfe" * 100_000,
        b"newmtl m\nmap_Kd a\0b\nKd nan inf 1e999\nd " + b"9" * 5000,
        "newmtl m\nmap_Kd a.mtl\nmap_d a.mtl\nmtllib a.mtl\n",
    ],
    ids=["options", "name", "maps", "materials", "garbage", "numbers", "itself"],
)
def test_material_libraries_without_end(tmp_path: Path, text: str | bytes) -> None:
    folder = put(tmp_path)
    with bounded("mtl", inside=tmp_path, mib=300, seconds=60):
        materials, notes = read_mtl(folder, text)
    assert len(materials) <= bounds.MOST_MATERIALS
    assert len(notes) <= bounds.MOST_LOOKUPS + 1
    assert all(len(note) < 500 and note.isprintable() for note in notes)


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


@pytest.mark.parametrize("keyword", ["map_Kd", "map_d"])
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: png(path, 14_000, 14_000), "it has more than 134,217,728 pixels"),
        (lambda path: png(path, 2**31 - 1, 2**31 - 1), "it has more than 134,217,728 pixels"),
        (
            lambda path: path.write_bytes(b"GIF89a\1\0\1\0\0\0\0\0"),
            "it is no picture that can be read",
        ),
        (
            lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0"),
            "it is no picture that can be read",
        ),
        (lambda path: path.write_bytes(b""), "it is no picture that can be read"),
        (lambda path: path.write_text("no picture"), "it is no picture that can be read"),
        (lambda path: path.symlink_to("/etc/hostname"), "leads outside"),
        (lambda path: path.symlink_to("/dev/zero"), "leads outside"),
        (lambda path: path.symlink_to(path), "cannot be looked up"),
        (os.mkfifo, "is missing"),
        (lambda path: path.mkdir(), "is missing"),
    ],
    ids=[
        "196 MP",
        "bomb",
        "gif",
        "cut",
        "empty",
        "text",
        "link",
        "device",
        "ring",
        "fifo",
        "folder",
    ],
)
def test_pictures_that_may_not_be_shown_are_left_out(
    tmp_path: Path, make: Callable[[Path], object], says: str, keyword: str
) -> None:
    folder = put(tmp_path, "mtllib a.mtl\nusemtl m\n" + TRIANGLE)
    make(folder / "models" / "t.png")
    with bounded("mtl", inside=tmp_path, mib=100, seconds=5):
        materials, notes = read_mtl(folder, f"newmtl m\n{keyword} t.png\n")
    assert (
        [note for note in notes if says in note and note.startswith("texture 't.png'")]
        == notes
        != []
    )
    assert vars(materials["m"])["texture"] is vars(materials["m"])["mask"] is None
    (found,) = diagnose(list_models(tmp_path), jobs=1).models
    assert {"unreadable texture", "missing texture", "refused reference"} & set(found.found)


def test_many_large_pictures_together_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = put(tmp_path)
    for number in range(4):
        png(folder / "models" / f"{number}.png", 8192, 8192)
    text = "".join(f"newmtl m{number}\nmap_Kd {number}.png\n" for number in range(4))
    assert read_mtl(folder, text)[1] == []
    png(folder / "models" / "3.png", 8192, 8193)
    assert "pictures have more than 268,435,456 pixels together" in " ".join(
        read_mtl(folder, text)[1]
    )


# ---- other formats ----

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


def test_what_the_broken_are_made_of_is_read(tmp_path: Path) -> None:
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
        ("a.ply", ply(vertices=-3), "its PLY says '-3' elements 'vertex', which is no count"),
        (
            "a.ply",
            ply(vertices=10**15),
            "its PLY says 1,000,000,000,000,000 elements 'vertex', and is too short",
        ),
        ("a.ply", ply(vertices="1" * 5000), "which is no count"),
        ("a.ply", ply(faces=10**9), "elements 'face', and is too short for them"),
        ("a.ply", ply(form="binary_little_endian", faces=2**31), "and is too short for them"),
        (
            "a.ply",
            ply(properties="property float x\nproperty float y\n"),
            "no vertices with x, y and z",
        ),
        ("a.ply", ply(properties="property string x\n"), "a property that is no such thing"),
        ("a.ply", ply(form="rubbish"), "unknown format"),
        ("a.ply", ply(body="0 0 0\n"), "elements 'vertex', and is too short for them"),
        (
            "a.ply",
            ply(body="0 0 1e300\n1 0 0\n0 1 0\n3 0 1 2\n"),
            "coordinates not finite, or too large",
        ),
        ("a.ply", "ply\n" + "comment x\n" * 200_000, "no header"),
        ("a.off", "OFF\n-3 1 0\n", "its OFF says '-3' vertices, which is no count"),
        (
            "a.off",
            "OFF\n3 1000000000000 0\n",
            "its OFF says 1,000,000,000,000 faces, and is too short",
        ),
        ("a.off", "OFF\nthree 1 0\n", "'three' vertices, which is no count"),
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
        ("a.gltf", "[]", "no glTF document"),
        (
            "a.gltf",
            gltf(accessors=[{"componentType": 5126, "count": 10**12, "type": "VEC3"}]),
            "too short for them",
        ),
        (
            "a.gltf",
            gltf(accessors=[{"componentType": 5126, "count": -1, "type": "VEC3"}]),
            "which is no count",
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
            "no file of the model's: refused",
        ),
        (
            "a.gltf",
            gltf(buffers=[{"byteLength": 42, "uri": "file:///etc/passwd"}]),
            "no file of the model's: refused",
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
def test_counts_and_references_that_cannot_be_true(
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
        told = reason(folder, name)
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


# ---- names, pipes, devices ----

NAMES = [
    b"a" * 255,
    b"\xff\xfe-latin",
    b".partial-host@1-abc",
    b".hidden",
    b"a](http:x)b",
    b"\x1b[31mred\x1b[0m",
    b"two\nlines",
    "right-to-left\u202eflip".encode(),
    b"<script>",
    b"  blanks  ",
    b"plain",
]


def test_whatever_a_model_is_called_it_is_listed_under_a_name_that_all_can_carry(
    tmp_path: Path,
) -> None:
    for name in NAMES:
        put(tmp_path, name=os.fsdecode(name))
    (tmp_path / "03001627" / "broken-link").symlink_to("nowhere")
    (tmp_path / "03001627" / "ring").symlink_to("ring")
    listing = list_models(tmp_path)
    ids = [model.model_id for model in listing.models]
    assert len(set(ids)) == len(NAMES) + 2
    assert {"plain", "broken-link", "ring"} < set(ids)
    assert all(
        name.isprintable() and not name.startswith(".") and len(name.encode()) <= 200
        for name in ids
    )
    assert not any(set(name) & set("<>[]()\\\"'`|*?:") for name in ids)
    (note,) = listing.notes
    assert note.startswith("10 models are called otherwise")
    assert note.isprintable()
    found = diagnose(listing, jobs=1)
    assert {model.key for model in found.models} == {model.key for model in listing.models}
    assert [model.key for model in found.fatal] == ["03001627/broken-link", "03001627/ring"]
    assert all(line.isprintable() for line in diagnosis_text(found).splitlines())
    for model in listing.models:
        assert Model.from_job(json.loads(json.dumps(model.job()))) == model
        if not (tmp_path / "03001627" / model.folder.name).is_symlink():
            assert len(read_model(model.folder, model.file, tmp_path)[0].sizes) == 1
            assert len(source_mesh(tmp_path, model.synset, model.model_id).triangles) == 1


@given(
    name=st.binary(min_size=1, max_size=60).filter(
        lambda name: b"/" not in name and b"\0" not in name
    )
)
def test_an_id_is_printable_and_tells_names_apart(name: bytes) -> None:
    text = os.fsdecode(name)
    made = safe_id(text)
    assert made.isprintable()
    assert not made.startswith(".")
    assert "/" not in made
    assert safe_id(text + "\x1b") != made
    assert safe_id(made) == made


def test_what_is_left_out_of_a_listing_is_told(tmp_path: Path) -> None:
    put(tmp_path)
    (tmp_path / "chairs\x1b[31m" / "abc").mkdir(parents=True)
    (tmp_path / "03001628.zip").write_bytes(b"")
    assert list_models(tmp_path).notes == [
        "folders left out, as their names are no synsets: 1, chairs\\x1b[31m",
        "zip archives left out, as there are folders beside them: 1, 03001628.zip",
    ]
    flat = tmp_path / "flat"
    (flat / ".git").mkdir(parents=True)
    (flat / "a.obj").write_text(TRIANGLE)
    (flat / "._a.obj").write_text("")
    (flat / "link").symlink_to(tmp_path / "03001627")
    assert list_models(flat, Selection(layout="flat")).notes == [
        "model files and folders left out, as their names begin with a dot: 2, .git, ._a.obj",
        "folders left out, as they are links, or cannot be read: 1, link",
    ]


names = st.sampled_from(["a", "b.c", ".d", "e\x1b", "f" * 250, "\udcff", "g\n", "a-b", "A"])


@given(
    made=st.lists(
        st.tuples(st.sampled_from(["03001627", "02691156"]), names, st.booleans()),
        min_size=1,
        max_size=8,
    ),
    zipped=st.booleans(),
)
def test_no_model_vanishes(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[str, str, bool]], zipped: bool
) -> None:
    """Each folder of a model is listed once, and doctor and render find the same to be wrong."""
    top = tmp_path_factory.mktemp("tree")
    wanted = set()
    for synset, name, whole in made:
        if not (zipped and "\udcff" in name):
            wanted.add((synset, name))
            folder = top / synset / name / "models"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "model_normalized.obj").write_text(
                TRIANGLE if whole else "v 1e308 0 0\nf 1 1 1\n"
            )
    if not wanted:
        return
    root = top
    if zipped:
        root = top / "zips"
        root.mkdir()
        for synset in {synset for synset, _ in wanted}:
            with zipfile.ZipFile(root / f"{synset}.zip", "w") as file:
                for path in (top / synset).rglob("*.obj"):
                    file.write(path, path.relative_to(top))
    listing = list_models(root)
    assert len({model.key for model in listing.models}) == len(listing.models) == len(wanted)
    assert {(model.synset, model.folder.name) for model in listing.models} == wanted
    for examined, model in zip(diagnose(listing, jobs=1).models, listing.models, strict=True):
        assert examined.fatal == fails(model, tmp_path_factory)


def fails(model: Model, factory: pytest.TempPathFactory) -> bool:
    """Check whether the worker would record it as failed."""
    scratch = factory.mktemp("scratch")
    try:
        folder, _ = fetch(model, scratch)
        mesh, _, _ = read_model(folder, model.file, scratch)
    except ModelError:
        return True
    return not len(repair(mesh).front)


def test_what_is_said_is_nothing_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1b[31m\nb\u202e\udcff")
    assert capsys.readouterr().err == "a\\x1b[31m\nb\\u202e\\xff\n"


def test_failures_of_names_that_no_file_has(tmp_path: Path) -> None:
    why = {"kind": "model", "reason": "none"}
    entries = [
        {"synset": "03001627", "model_id": name, **why}
        for name in ("a" * 300, "b", "c" * 10_000, "../../x")
    ]
    (tmp_path / "failures.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    assert read_failures(tmp_path) == entries[:3], "no name that leads elsewhere"
    with claim(tmp_path, "renders", earlier=lambda _: True) as output:
        output.adopt("failures.jsonl", live=True)
        forget_failures(output, [("03001627", "a" * 300)])
    assert read_failures(tmp_path) == entries[1:3]


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(path.parent)
        made.bind(path.name)
        os.chdir(here)


@pytest.mark.parametrize(
    "make", [os.mkfifo, make_socket, lambda path: path.symlink_to("/dev/zero")]
)
def test_pipes_sockets_and_devices_are_not_waited_for(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    folder = put(tmp_path)
    (folder / V2).unlink()
    make(folder / V2)
    make(tmp_path / "taxonomy.json")
    make(tmp_path / "03001627.zip")
    with bounded("pipes", inside=tmp_path, mib=200, seconds=5):
        assert category_names(tmp_path) == {}
        assert diagnose(list_models(tmp_path), jobs=1).fatal
        told = reason(folder)
        assert told in (
            "its OBJ is no plain file",
            "its OBJ is a link that leads outside the model's folder",
        )
        for refused in (
            lambda: list_models(tmp_path / "03001627.zip"),
            lambda: list_models(tmp_path / "03001627.zip", Selection(layout="zip")),
            lambda: list_models(tmp_path / "03001627.zip", Selection(layout="flat")),
            lambda: list_models(tmp_path, Selection(layout="zip")),
            lambda: read_ids(tmp_path / "taxonomy.json"),
            lambda: read_split(tmp_path / "taxonomy.json", None),
        ):
            with pytest.raises(InputError):
                refused()


def test_tables_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    path.write_text(
        "id,synsetId,subSynsetId,modelId,split\n1,03001627,x," + "a" * 200_000 + ",train\n"
    )
    with pytest.raises(InputError, match="is not ShapeNet's split table"):
        read_split(path, None)
    (tmp_path / "taxonomy.json").write_text("[" * 100_000)
    assert category_names(tmp_path) == {}


# ---- zips ----


def test_zips_that_lie(tmp_path: Path) -> None:
    path = tmp_path / "03001627.zip"
    names = [
        f"03001627/abc/{V2}",
        "__MACOSX/03001627/abc/._x",
        "/03001627/x/models/model_normalized.obj",
    ]
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, TRIANGLE)
    listing = list_models(tmp_path)
    assert [model.key for model in listing.models] == ["03001627/abc"]
    assert listing.notes[0].startswith(
        "meshes in archives left out, as they lie in no folder of a synset: 1"
    )
    data = path.read_bytes()
    place = data.rindex(b"PK\5\6")
    for lie in (
        data[: place + 12] + struct.pack("<I", 2**31) + data[place + 16 :],  # a directory of 2 GiB
        data[:place]
        + b"PK\6\7"
        + struct.pack("<IQI", 0, 0, 1)
        + data[place:],  # zip64 that is not there
        data[: place - 10],
        b"PK\5\6",
    ):
        path.write_bytes(lie)
        with bounded("zip", lie, inside=tmp_path, mib=200):
            list_archive(path)


def test_two_models_of_one_name_are_two(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as file:
        for top in ("a", "b"):
            file.writestr(f"{top}/03001627/abc/{V2}", TRIANGLE)
    listing: Listing = list_models(path)
    assert len({model.key for model in listing.models}) == 2
    assert listing.notes[0].startswith("1 models are called otherwise")


def test_entries_that_are_not_unpacked_are_told(tmp_path: Path) -> None:
    path = tmp_path / "03001627.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("03001627/locked/" + V2, TRIANGLE)
        file.writestr("03001627/squeezed/" + V2, TRIANGLE, zipfile.ZIP_LZMA)
        file.writestr("03001627/long/" + "x" * 300 + "/y", TRIANGLE)
        file.writestr("03001627/deep/" + "x/" * 3000 + "y", TRIANGLE)
        file.writestr("03001627/clash/" + V2, TRIANGLE)
        file.writestr("03001627/clash/" + V2 + "/below", TRIANGLE)
    data = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(signature) + flags] |= 1
    path.write_bytes(data)
    archive._opened.cache_clear()
    says = {
        "locked": "encrypted",
        "squeezed": "another method",
        "long": "too long",
        "deep": "too long",
    }
    for model in list_models(tmp_path).models:
        scratch = tmp_path / "scratch" / model.model_id
        scratch.mkdir(parents=True)
        with pytest.raises(
            ModelError, match=says.get(model.model_id, "cannot be read from")
        ) as error:
            fetch(model, scratch)
        assert str(tmp_path) not in str(error.value)


def test_an_archive_of_many_entries_is_listed_in_time(tmp_path: Path) -> None:
    path = tmp_path / "03001627.zip"
    with zipfile.ZipFile(path, "w") as file:
        for number in range(20_000):
            file.writestr(f"03001627/{number % 1000}/{number}", b"")
    with bounded("zip", inside=tmp_path, mib=400, seconds=60):
        assert len(list_archive(path)) == 1000
    (tmp_path / "out").mkdir()
    assert unpack(path, "03001627/7", tmp_path / "out") == []


def test_the_bounds_let_honest_models_through() -> None:
    """200 MB of OBJ, 5 million faces, textures of 8192 x 8192."""
    assert bounds.MOST_BYTES >= 5 * 200 * 10**6
    assert bounds.MOST_LINES >= 20_000_000
    assert bounds.MOST_FACES >= 5_000_000
    assert pictures.MOST_PIXELS >= 8192**2
    headers.check_header(b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", "off", lambda _: 0)
