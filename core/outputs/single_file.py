"""Single output files, which stand outside of any claimed folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..errors import InputError
from .disk import HIDDEN, cannot_write, current_umask, make_folders, missing_folders, name_file
from .overlap import followed_file, refuse_overlap

__all__ = ["check_file", "stamp_text", "write_file", "write_new"]

_HEAD = 2**20  # bytes of a file in which its stamp stands


def write_new(path: Path, content: bytes | memoryview) -> None:
    """Write a new file outside of any claimed folder, atomically.

    Raises
    ------
    InputError : the name is taken
    OSError : the disk is full, rights are missing
    """
    if os.path.lexists(path):
        raise InputError(f"{path} is there: move it away, or give another name")
    _write_beside(path, content, replace=False)


def _write_beside(path: Path, content: bytes | memoryview, *, replace: bool) -> None:
    # in the same folder, so that the rename stays within one file system
    descriptor, name = tempfile.mkstemp(prefix=f"{HIDDEN}-", dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o666 & ~current_umask())
            os.fsync(file.fileno())
        name_file(partial, path, replace=replace)
    finally:
        partial.unlink(missing_ok=True)


def stamp_text(kind: str) -> str:
    """Return the stamp at the head of a single file."""
    return f"shapenet3d-cma:{kind}"


def write_file(
    path: Path, kind: str, content: bytes, *, inputs: Sequence[Path | None] = ()
) -> Path:
    """Write a single file, whole or not at all.

    Only a file with the stamp of the same kind is replaced.

    Parameters
    ----------
    content : holds `stamp_text(kind)` in its first MiB

    Raises
    ------
    InputError : the name is taken, lies in an input, or cannot be written
    """
    assert stamp_text(kind).encode() in content[:_HEAD], f"no stamp in what is written as {kind}"
    path = followed_file(path)
    replace = check_file(path, kind, inputs)
    new_folders: list[Path] = []
    try:
        new_folders = make_folders(missing_folders(path.parent))
        _write_beside(path, content, replace=replace)
    except OSError as error:
        for folder in new_folders:
            with suppress(OSError):
                folder.rmdir()
        raise InputError(cannot_write(path, error)) from None
    return path


def check_file(path: Path, kind: str, inputs: Sequence[Path | None] = ()) -> bool:
    """Refuse a name in an input, or taken by another kind.

    Returns whether such a file exists.

    Raises
    ------
    InputError : names it
    """
    refuse_overlap(path, inputs)
    path = followed_file(path)
    try:
        if not os.path.lexists(path):
            return False
        if path.is_symlink() or not path.is_file():
            what = (
                "a link" if path.is_symlink() else "a folder" if path.is_dir() else "no plain file"
            )
            raise InputError(f"{path} is {what}: give the name of a new file")
        with path.open("rb") as file:
            ours = stamp_text(kind).encode() in file.read(_HEAD)
    except OSError as error:
        raise InputError(cannot_write(path, error)) from None
    if not ours:
        article = "an" if kind[0] in "aeiou" else "a"
        raise InputError(
            f"{path} is there and is not {article} {kind} that cma3d wrote: "
            "move it away, or give another name"
        )
    return True
