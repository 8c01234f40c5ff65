"""A short soak: kills, two commands in one folder, a full disk, a clock that jumps; `make soak` is the long one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import shapenet3d_cma

SOAK = Path(shapenet3d_cma.__file__).parent / "tools" / "soak.py"


@pytest.mark.needs("bpy")
def test_killed_and_resumed_runs_end_like_uninterrupted_ones(tmp_path: Path) -> None:
    words = ["--models", "8", "--every", "4", "--least", "1"]
    done = subprocess.run(
        [sys.executable, str(SOAK), str(tmp_path / "soak"), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "differences and faults: 0" in done.stdout
    assert "killed in all" in done.stdout
