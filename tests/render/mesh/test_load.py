"""Models of other formats become what an OBJ becomes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from shapenet3d_cma.core.errors import ModelError
from shapenet3d_cma.render.mesh.load import read_model
from shapenet3d_cma.render.mesh.mtl import Material
from shapenet3d_cma.render.mesh.obj import Mesh
from shapenet3d_cma.render.mesh.repair import repair

BOX = trimesh.creation.box((1.0, 0.6, 0.4))


def triangles(mesh: Mesh) -> np.ndarray:
    """Return the triangles of a mesh, (F, 3, 3), sorted."""
    rows = np.round(mesh.vertices[mesh.corners].reshape(-1, 9), 5) + 0.0
    return rows[np.lexsort(rows.T)].reshape(-1, 3, 3)


@st.composite
def shapes(draw: st.DrawFn) -> trimesh.Trimesh:
    """Draw a shape: each triangle has vertices of its own, which all formats keep."""
    count = draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    # numbers that five digits and a float32 hold
    vertices = rng.integers(-999, 999, size=(3 * count, 3)) / 256
    return trimesh.Trimesh(vertices, np.arange(3 * count).reshape(-1, 3), process=False)


@settings(max_examples=15)
@given(
    shape=shapes(), extension=st.sampled_from(["obj", "glb", "gltf", "ply", "stl", "off", "STL"])
)
def test_a_shape_is_the_same_from_every_format(
    tmp_path_factory: pytest.TempPathFactory, shape: trimesh.Trimesh, extension: str
) -> None:
    folder, name = tmp_path_factory.mktemp("shape"), f"shape.{extension}"
    if extension == "gltf":
        for part, data in trimesh.Scene(shape).export(file_type="gltf").items():
            (folder / (name if part == "model.gltf" else part)).write_bytes(data)
    else:
        shape.export(folder / name, file_type=extension.lower())
    mesh, _, _ = read_model(folder, name, folder)
    expected = np.round(shape.triangles.reshape(-1, 9), 5) + 0.0
    assert np.array_equal(triangles(mesh), expected[np.lexsort(expected.T)].reshape(-1, 3, 3))


@pytest.mark.parametrize("name", ["box.obj", "box.glb", "box.ply", "box.stl", "box.off"])
def test_a_box_has_eight_vertices_in_every_format(tmp_path: Path, name: str) -> None:
    BOX.export(tmp_path / name, file_type=name[-3:])
    surface = repair(read_model(tmp_path, name, tmp_path)[0])
    assert (len(surface.vertices), len(surface.front)) == (8, 12)


def test_a_scene_keeps_its_transforms_textures_and_factors(tmp_path: Path) -> None:
    part = BOX.copy()
    image = Image.new("RGB", (4, 4), (200, 100, 50))
    uv = np.linspace(0, 1, 2 * len(part.vertices)).reshape(-1, 2)
    look = trimesh.visual.material.PBRMaterial(
        baseColorTexture=image, baseColorFactor=[255, 255, 0, 255], roughnessFactor=0.25
    )
    part.visual = trimesh.visual.TextureVisuals(uv=uv, material=look)
    glass = BOX.copy()
    glass.visual = trimesh.visual.TextureVisuals(
        material=trimesh.visual.material.PBRMaterial(
            baseColorFactor=[0, 55, 255, 128], alphaMode="BLEND"
        )
    )
    scene = trimesh.Scene()
    scene.add_geometry(part, transform=trimesh.transformations.translation_matrix([5, 0, 0]))
    scene.add_geometry(glass)
    scene.export(tmp_path / "two.glb")
    (tmp_path / "scratch").mkdir()
    mesh, materials, notes = read_model(tmp_path, "two.glb", tmp_path / "scratch")
    assert notes == []
    textured = next(name for name, material in materials.items() if material.texture)
    face = mesh.materials == mesh.material_names.index(textured)
    shifted = mesh.vertices[mesh.corners.reshape(-1, 3)[face]]
    assert shifted[..., 0].min() == pytest.approx(4.5)
    written = np.unique(mesh.uvs.reshape(-1, 3, 2)[face].reshape(-1, 2), axis=0)
    assert np.allclose(written, np.unique(uv, axis=0), atol=1e-5)
    assert materials[textured].gloss == pytest.approx(0.75)
    texture = materials[textured].texture
    assert texture is not None
    assert texture.is_relative_to(tmp_path / "scratch")
    assert Image.open(texture).getpixel((0, 0)) == (200, 100, 0)
    (other,) = (material for name, material in materials.items() if name != textured)
    assert other.alpha == pytest.approx(128 / 255)
    assert other.colour == pytest.approx((0, 0.5019, 1), abs=0.005)  # linear 55 is 128 on a display


@settings(max_examples=15)
@given(colours=hnp.arrays(np.uint8, (12, 3)), alike=st.booleans())
def test_vertex_colours_are_shown_by_their_mean(
    tmp_path_factory: pytest.TempPathFactory, colours: np.ndarray, alike: bool
) -> None:
    folder, ball = tmp_path_factory.mktemp("colours"), trimesh.creation.icosahedron()
    colours = np.tile(colours[:1], (12, 1)) if alike else colours
    ball.visual.vertex_colors = np.column_stack([colours, np.full(12, 255, np.uint8)])
    ball.export(folder / "ball.ply")
    _, materials, notes = read_model(folder, "ball.ply", folder)
    (material,) = materials.values()
    assert material == Material(colour=pytest.approx(tuple(colours.mean(axis=0) / 255)))
    differ = len(np.unique(colours, axis=0)) > 1
    assert notes == (["vertex colours are shown by their mean"] if differ else [])


def test_a_gltf_reads_nothing_outside_the_folder(tmp_path: Path) -> None:
    files = trimesh.Scene(BOX).export(file_type="gltf")
    (tmp_path / "in").mkdir()
    header = json.loads(files["model.gltf"])
    for buffer in header["buffers"]:
        (tmp_path / "in" / buffer["uri"]).write_bytes(files[buffer["uri"]])
    buffer = header["buffers"][0]
    (tmp_path / "secret.bin").write_bytes(files[buffer["uri"]])
    (tmp_path / "in" / "a.gltf").write_text(json.dumps(header))
    assert len(read_model(tmp_path / "in", "a.gltf", tmp_path)[0].sizes) == 12
    for uri, says in (
        ("../secret.bin", "leads outside"),
        ("%2e%2e/secret.bin", "outside"),
        ("/etc/hostname", "absolute"),
    ):
        buffer["uri"] = uri
        (tmp_path / "in" / "a.gltf").write_text(json.dumps(header))
        with pytest.raises(ModelError, match=says):
            read_model(tmp_path / "in", "a.gltf", tmp_path)


@pytest.mark.parametrize("name", ["a.glb", "a.ply", "a.stl", "a.off", "a.gltf"])
@pytest.mark.parametrize("data", [b"", b"nonsense", b"glTF\2\0\0\0", b"OFF\n3 1 0\n0 0 0\n"])
def test_garbage_fails_one_model(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    faces, reason = -1, ""
    try:
        faces = len(read_model(tmp_path, name, tmp_path)[0].sizes)
    except ModelError as error:
        reason = str(error)
    assert faces == 0 or "cannot be read" in reason


def test_a_missing_file_and_a_link_that_leads_outside_are_refused(tmp_path: Path) -> None:
    BOX.export(tmp_path / "box.stl")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.stl").symlink_to(tmp_path / "box.stl")
    with pytest.raises(ModelError, match="its STL is a link that leads outside"):
        read_model(tmp_path / "in", "link.stl", tmp_path)
    with pytest.raises(ModelError, match=r"it has no none\.stl"):
        read_model(tmp_path / "in", "none.stl", tmp_path)
