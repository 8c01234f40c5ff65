"""Making folders, naming finished files, removing unfinished ones."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from ..errors import InputError
from ..files import is_full

__all__ = [
    "HIDDEN",
    "TakenError",
    "cannot_write",
    "current_umask",
    "discard",
    "is_filled",
    "list_content",
    "make_folders",
    "missing_folders",
    "name_file",
    "name_parts",
    "sync",
]

HIDDEN = ".cma3d"
"""The record's folder within an output folder."""

_HERE, _NO_REPLACE = -100, 1  # AT_FDCWD and RENAME_NOREPLACE of linux/fcntl.h and linux/fs.h
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)


def name_parts(name: str) -> list[str]:
    """Split a name within an output folder at its slashes.

    Raises
    ------
    InputError : it is empty, leads upwards, or into the record
    """
    parts = name.split("/")
    if any(part in ("", ".", "..", HIDDEN) or "\0" in part for part in parts):
        raise InputError(f"{name!r} is not a name within an output folder")
    return parts


def list_content(path: Path) -> list[str]:
    """List the names in a folder without the record's, hidden ones last."""
    names = [inner.name for inner in path.iterdir() if inner.name != HIDDEN]
    return sorted(names, key=lambda name: (name.startswith("."), name))


def missing_folders(path: Path) -> list[Path]:
    """List the folders that do not exist, from `path` outwards."""
    missing = []
    for folder in (path, *path.parents):
        if folder.exists():
            break
        missing.append(folder)
    return missing


def make_folders(missing: list[Path]) -> list[Path]:
    """Make folders, all or none; list them, the innermost first.

    A folder that another process made meanwhile is used, and left out of the list.
    """
    new_folders: list[Path] = []
    try:
        for folder in reversed(missing):
            with suppress(FileExistsError):
                folder.mkdir()
                new_folders.insert(0, folder)
    except OSError:
        for folder in new_folders:
            folder.rmdir()
        raise
    return new_folders


class TakenError(InputError):
    """A file that should be new exists already."""


def name_file(partial: Path, path: Path, *, replace: bool) -> None:
    """Rename a finished file to its final name.

    Without `replace` it never replaces a file that appeared meanwhile: a hard link fails where a
    rename would replace.

    Raises
    ------
    TakenError : the name is taken
    """
    if replace:
        partial.replace(path)
    else:
        try:
            os.link(partial, path, follow_symlinks=False)
        except FileExistsError:
            raise _taken(path) from None
        except OSError as error:
            # a file system without hard links
            if error.errno not in _NO_LINKS:
                raise
            _rename_new(partial, path)
    # the new name is part of the folder, which must reach the disk, too
    sync(path.parent)


def _rename_new(partial: Path, path: Path) -> None:
    """Rename a file to a name that is free.

    Linux refuses a taken name in the same act. Elsewhere the name is looked up first, and a file
    that appears between the two acts would be replaced.

    Raises
    ------
    TakenError : the name is taken
    """
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):  # another system, or a C library before 2018
        renameat2 = None
    if renameat2 is not None:
        if renameat2(_HERE, os.fsencode(partial), _HERE, os.fsencode(path), _NO_REPLACE) == 0:
            return
        number = ctypes.get_errno()
        if number == errno.EEXIST:
            raise _taken(path)
        # these two: the file system, or the kernel, does not know the flag
        if number not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(number, os.strerror(number), str(path))
    if os.path.lexists(path):
        raise _taken(path)
    partial.rename(path)


def _taken(path: Path) -> TakenError:
    return TakenError(f"{path} was written by another process meanwhile: it is left as it is")


def discard(path: Path) -> None:
    """Remove an unfinished file or folder of this process, if possible."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def is_filled(folder: Path) -> bool:
    """Check whether a folder holds anything."""
    with os.scandir(folder) as entries:
        return any(entries)


def sync(path: Path) -> None:
    """Write a file's bytes, or a folder's names, through to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def current_umask() -> int:
    """Return the process's umask.

    It is set and set back, since the system has no call that only reads it.
    """
    # a file that another thread makes in between is readable by its owner alone
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def cannot_write(path: Path, error: OSError | RuntimeError) -> str:
    """Return a line on why a path cannot be written, with remedy."""
    # a limit on the size of files (EFBIG) is treated as a full disk
    full = is_full(error) or getattr(error, "errno", None) == errno.EFBIG
    remedy = "free some space, then the same command goes on"
    if not full:
        remedy = "check the folder and its permissions, or choose another folder"
    return f"{path} cannot be written: {getattr(error, 'strerror', None) or error}; {remedy}"
