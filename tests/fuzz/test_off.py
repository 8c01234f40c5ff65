"""Whatever a OFF holds is a mesh, or one model's failure in plain words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.tests.fuzz.bounds import corpus, fuzz
from shapenet3d_cma.tests.fuzz.models import broken, lines
from shapenet3d_cma.tests.fuzz.scenes import exported, read_scene

DRAWN = st.one_of(
    broken(exported("off")),
    broken(b"OFF\n# a comment\n4 2 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 1 2\n4 0 1 2 3\n"),
    lines(["OFF", "3", "0 0", "4 0 1"], most=8),
    lines(["3", "0 0", "4 0 1"], most=8).map(lambda text: b"OFF\n3 1 0\n" + text),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("off")


@fuzz
@given(data=st.one_of(DRAWN, st.binary(max_size=200)))
def test_any_off(folder: Path, data: bytes) -> None:
    read_scene(folder, "off", data)


@pytest.mark.parametrize("path", corpus("off"), ids=lambda path: path.name)
def test_past_failures(folder: Path, path: Path) -> None:
    read_scene(folder, "off", path.read_bytes())
