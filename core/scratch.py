"""Scratch folders in the temporary folder, swept after killed processes."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["SCRATCH", "Scratch", "sweep_scratch"]

SCRATCH = "cma3d-"
"""How the names of scratch folders and files begin."""
_MARK = ".cma3d-scratch"


class Scratch:
    """A new scratch folder, locked as long as its process lives.

    Attributes
    ----------
    path : the folder
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=SCRATCH))
        self._mark = os.open(
            self.path / _MARK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
        )
        with suppress(OSError):  # without locks nobody sweeps it, see below
            fcntl.flock(self._mark, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def remove(self) -> None:
        """Remove the folder and all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._mark)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()


def sweep_scratch() -> None:
    """Remove the scratch folders of processes that have ended."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        with suppress(OSError):  # no mark, or it is held
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            mark = os.open(folder / _MARK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(mark)
