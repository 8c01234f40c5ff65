"""Copies of shards for tests that damage them; a tiny world that needs no Blender."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from shapenet3d_cma.tests.fuzz.made import make_renders, make_shards


@pytest.fixture
def copy(shards: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shards, tmp_path / "shards"))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `renders`, three models of two views, and their `shards`."""
    folder = tmp_path_factory.mktemp("made")
    make_shards(make_renders(folder / "renders"), folder / "shards")
    return folder


@pytest.fixture
def tiny(made: Path, tmp_path: Path) -> Path:
    """A copy of `made` that a test may damage."""
    return Path(shutil.copytree(made, tmp_path / "tiny"))
