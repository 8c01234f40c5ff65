"""Models of other formats become what an OBJ becomes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from shapenet3d_cma.core.errors import ModelError
from shapenet3d_cma.render.mesh.load import read_model
from shapenet3d_cma.render.mesh.mtl import Material
from shapenet3d_cma.render.mesh.obj import Mesh
from shapenet3d_cma.render.mesh.repair import repair

BOX = trimesh.creation.box((1.0, 0.6, 0.4))


def triangles(mesh: Mesh) -> np.ndarray:
    """(F, 3, 3), rows in an order of their own."""
    rows = np.round(mesh.vertices[mesh.corners].reshape(-1, 9), 5) + 0.0
    return rows[np.lexsort(rows.T)].reshape(-1, 3, 3)


@pytest.mark.parametrize(
    "name", ["box.obj", "box.glb", "box.gltf", "box.ply", "box.stl", "box.off", "BOX.STL"]
)
def test_the_same_box_from_every_format(tmp_path: Path, name: str) -> None:
    if name.endswith("gltf"):
        for part, data in trimesh.Scene(BOX).export(file_type="gltf").items():
            (tmp_path / ("box.gltf" if part == "model.gltf" else part)).write_bytes(data)
    else:
        BOX.export(tmp_path / name, file_type=name[-3:].lower())
    mesh, _, _ = read_model(tmp_path, name, tmp_path)
    expected = np.round(BOX.triangles.reshape(-1, 9), 5) + 0.0
    assert np.array_equal(triangles(mesh), expected[np.lexsort(expected.T)].reshape(-1, 3, 3))
    surface = repair(mesh)
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


def test_vertex_colours_are_shown_by_their_mean(tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(1)
    ball.visual.vertex_colors = [255, 0, 0, 255]
    ball.export(tmp_path / "red.ply")
    _, materials, notes = read_model(tmp_path, "red.ply", tmp_path)
    assert ([*materials.values()], notes) == ([Material(colour=(1, 0, 0))], [])
    ball.visual.vertex_colors[: len(ball.vertices) // 2] = [0, 0, 255, 255]
    ball.export(tmp_path / "both.ply")
    _, materials, notes = read_model(tmp_path, "both.ply", tmp_path)
    assert next(iter(materials.values())).colour == pytest.approx((0.5, 0, 0.5), abs=0.01)
    assert notes == ["vertex colours are shown by their mean"]


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
def test_garbage_is_one_models_failure(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    faces, reason = -1, ""
    try:
        faces = len(read_model(tmp_path, name, tmp_path)[0].sizes)
    except ModelError as error:
        reason = str(error)
    assert faces == 0 or "cannot be read" in reason


def test_what_is_not_there_or_leads_out(tmp_path: Path) -> None:
    BOX.export(tmp_path / "box.stl")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.stl").symlink_to(tmp_path / "box.stl")
    with pytest.raises(ModelError, match="its STL is a link that leads outside"):
        read_model(tmp_path / "in", "link.stl", tmp_path)
    with pytest.raises(ModelError, match=r"it has no none\.stl"):
        read_model(tmp_path / "in", "none.stl", tmp_path)
