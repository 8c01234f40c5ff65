"""The recipes of docs/shards.md do what they say: each is run as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import shapenet3d_cma
from shapenet3d_cma.core.camera import Camera
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.reconstruct.backproject import back_project
from shapenet3d_cma.reconstruct.clouds import reconstruct_renders
from shapenet3d_cma.reconstruct.config import CloudConfig

PAGE = Path(shapenet3d_cma.__file__).parent / "docs" / "shards.md"
RECIPES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def recipe(words: str) -> str:
    (found,) = [text for text in RECIPES if words in text]
    return found


@pytest.fixture
def place(shards: Path, renders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the page has it."""
    (tmp_path / "shards").symlink_to(shards)
    reconstruct_renders(renders, tmp_path / "all", CloudConfig(keep="all"), jobs=1)
    (tmp_path / "clouds").symlink_to(next((tmp_path / "all").glob("*/*")))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(text: str) -> dict:
    names: dict = {}
    exec(compile(text, "recipe", "exec"), names)
    return names


def test_h5py_alone(place: Path) -> None:
    names = run(recipe("few = points[:64]"))
    row = Shards("shards")[0]
    assert names["name"] == row["model_id"]
    u, v = row["pixels"].T
    assert np.array_equal(names["colours"], row["rgb"][v, u])
    assert names["few"].shape == (64, 3)


def test_one_sequence(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(recipe("from shapenet3d_cma.pack.reader import Shards"))
    assert capsys.readouterr().out.startswith("8 (256, 3) (3, 80, 80, 3) ")


def test_depth_to_points(place: Path) -> None:
    names = run(recipe("np.linalg.inv(k)"))
    row = Shards("shards")[0]
    cloud = back_project(row["depth"], Camera(row["intrinsics"], row["cam_from_obj"], 80, 80))
    assert np.abs(names["points"] - cloud.points).max() < 1e-6


@pytest.mark.needs("torch")
def test_torch(place: Path) -> None:
    """In a process of its own: its workers are forked."""
    text = recipe("RowDataset(") + "\nassert count == 8 and points.shape[1:] == (256, 3)\n"
    line = [sys.executable, "-c", text]
    done = subprocess.run(
        line, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.needs("open3d")
def test_open3d(place: Path) -> None:
    import open3d as o3d

    run(recipe("o3d.io.write_point_cloud"))
    read = o3d.io.read_point_cloud("cloud.ply")
    assert np.array_equal(np.asarray(read.points), Shards("shards")[0]["points"])
    names = run(recipe("o3d.t.io.read_point_cloud"))
    assert names["pixels"].shape == (len(names["points"]), 2)


def test_the_index(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(recipe("csv.DictReader"))
    assert capsys.readouterr().out.startswith("2 shard-0000")


def test_every_recipe_is_run() -> None:
    tests = Path(__file__).read_text(encoding="utf-8")
    assert len(re.findall(r"(?:run\(|text = )recipe\(", tests)) == len(RECIPES) == 7
    assert all(len(text.splitlines()) <= 14 for text in RECIPES)
