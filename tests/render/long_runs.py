"""A run of the command, and what it leaves: for the tests of long runs."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from shapenet3d_cma.render.config import RenderConfig

Run = Callable[..., subprocess.CompletedProcess[str]]
CONFIG = RenderConfig(views=4, size=40, samples=2, colour="best")
WORDS = ("--views", "4", "--size", "40", "--samples", "2", "--colour", "best")


def start(*words: object) -> subprocess.Popen[str]:
    """Start the command as a user does, and go on."""
    line = [sys.executable, "-m", "shapenet3d_cma.cli", *map(str, words)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def blenders(process: psutil.Process) -> list[psutil.Process]:
    """Return the Blender workers below a process."""
    found = []
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "shapenet3d_cma.render.blender.worker" in child.cmdline():
                found.append(child)
    return found


def rendered(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*/*.h5") if not path.name.startswith(".")]
