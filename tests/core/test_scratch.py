from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from shapenet3d_cma.core.scratch import Scratch, sweep_scratch


def test_only_scratch_folders_of_ended_processes_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    code = "import os; from shapenet3d_cma.core.scratch import Scratch; print(Scratch().path); os._exit(9)"
    died = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    ).stdout.strip()
    (Path(died) / "deep").mkdir()
    mine = tmp_path / "cma3d-1-mine"
    (mine / "deep").mkdir(parents=True)
    (tmp_path / "cma3d-link").symlink_to(mine)
    with Scratch() as scratch:
        assert Path(died).is_dir()
        sweep_scratch()
        assert sorted(tmp_path.iterdir()) == sorted([scratch.path, mine, tmp_path / "cma3d-link"])
    assert sorted(tmp_path.iterdir()) == sorted([mine, tmp_path / "cma3d-link"])
    assert (mine / "deep").is_dir()
