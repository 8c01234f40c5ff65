"""Whatever an MTL holds, it is read within bounds, and nothing outside of the model's folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shapenet3d_cma.render.mesh.mtl import read_materials
from shapenet3d_cma.render.shapenet.doctor import examine
from shapenet3d_cma.render.shapenet.listing import Model
from shapenet3d_cma.tests.fuzz.bounds import bounded, corpus, fuzz
from shapenet3d_cma.tests.fuzz.models import text

KEYWORDS = [
    "newmtl",
    "newmtl m",
    "Kd",
    "Ks",
    "Ns",
    "d",
    "d -halo",
    "Tr",
    "illum",
    "map_Kd",
    "map_Kd -s 1 1 1",
    "map_d",
]
SOUND = b"newmtl m\nKd 1 0.5 0\nKs 0.2 0.2 0.2\nNs 100\nd 0.5\nillum 2\nmap_Kd -s 1 1 1 t.png\nmap_d T.PNG\n"


def read(folder: Path, data: bytes) -> None:
    (folder / "a.mtl").write_bytes(data)
    materials, notes = read_materials(folder, ("a.mtl",), "")
    for material in materials.values():
        assert all(
            0 <= value <= 1 for value in (*material.colour, material.highlight, material.gloss)
        )
        assert 0 < material.alpha <= 1
        for path in (material.texture, material.mask):
            assert path is None or path.is_relative_to(folder.resolve())
    assert all(note.isprintable() and len(note) < 1000 for note in notes)
    assert not examine(Model("00000000", "a", folder, "a.obj"), folder).fatal


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mtl")
    Image.new("RGB", (2, 2)).save(folder / "t.png")
    (folder / "out").symlink_to("/etc")
    (folder / "a.obj").write_text("mtllib a.mtl\nusemtl m\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    return folder


@fuzz
@given(data=text(KEYWORDS, SOUND))
def test_an_mtl(folder: Path, data: bytes) -> None:
    with bounded("mtl", data, inside=folder, mib=256):
        read(folder, data)


@fuzz
@given(
    reference=st.lists(
        st.sampled_from(["..", "out", "t.png", "T.PNG", "", ".", "passwd", "a" * 300, "\0", "C:"])
    )
)
def test_a_reference(folder: Path, reference: list[str]) -> None:
    data = b"newmtl m\nmap_Kd " + "/".join(reference).encode() + b"\n"
    with bounded("mtl", data, inside=folder):
        read(folder, data)


@pytest.mark.parametrize("path", corpus("mtl"), ids=lambda path: path.name)
def test_past_failures(folder: Path, path: Path) -> None:
    data = path.read_bytes()
    with bounded("mtl", data, inside=folder):
        read(folder, data)
