"""Whatever a PLY holds is a mesh, or one model's failure in plain words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.tests.fuzz.bounds import corpus, fuzz
from shapenet3d_cma.tests.fuzz.models import broken, lines
from shapenet3d_cma.tests.fuzz.scenes import exported, read_scene

TEXT = (
    b"ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    b"element face 2\nproperty list uchar int vertex_indices\nend_header\n"
    b"0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 1 2\n4 0 1 2 3\n"
)
HEADER = [
    "element vertex",
    "element face",
    "property float",
    "property list uchar int",
    "property",
    "comment",
    "format",
]
DRAWN = st.one_of(
    broken(TEXT),
    broken(exported("ply")),
    lines(HEADER, most=8).map(lambda text: TEXT.replace(b"end_header", text + b"end_header")),
    lines(HEADER, most=8).map(lambda text: b"ply\nformat ascii 1.0\n" + text + b"end_header\n0 0 0\n1 0 0\n"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ply")


@fuzz
@given(data=st.one_of(DRAWN, st.binary(max_size=200)))
def test_any_ply(folder: Path, data: bytes) -> None:
    read_scene(folder, "ply", data)


@pytest.mark.parametrize("path", corpus("ply"), ids=lambda path: path.name)
def test_past_failures(folder: Path, path: Path) -> None:
    read_scene(folder, "ply", path.read_bytes())
