"""Files that are either whole or absent."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from .errors import InputError
from .untrusted import open_regular

__all__ = ["atomic_folder", "atomic_path", "is_full", "make_folder", "sha256", "sweep", "write_text"]

PARTIAL = ".partial-"
_OWNED = re.compile(re.escape(PARTIAL) + r"(?P<host>.+)@(?P<pid>\d+)-")
_ABANDONED = 24 * 3600.0  # seconds after which a partial file of another machine is nobody's


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; on success it is synced to disk and renamed to `path`.

    A kill at any moment leaves `path` as it was: whole, or absent. What an exception left is removed.
    """
    owner = f"{socket.gethostname()}@{os.getpid()}"
    partial = path.with_name(f"{PARTIAL}{owner}-{secrets.token_hex(4)}-{path.name}")
    try:
        yield partial
        _sync(partial)
        partial.replace(path)
        _sync(path.parent)  # the new name, too
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Give a new folder beside `folder`; on success its files are synced to disk and it takes the name.

    What stood under the name makes way right before. A kill at any moment leaves the folder whole, or absent.
    """
    owner = f"{socket.gethostname()}@{os.getpid()}"
    partial = folder.with_name(f"{PARTIAL}{owner}-{secrets.token_hex(4)}-{folder.name}")
    old = folder.with_name(f"{partial.name}-old")
    partial.mkdir(parents=True)
    try:
        yield partial
        for path in [*partial.rglob("*"), partial]:
            _sync(path)
        if folder.exists():
            folder.replace(old)
        partial.replace(folder)
        _sync(folder.parent)
    finally:
        for left in (partial, old):
            shutil.rmtree(left, ignore_errors=True)


def _sync(path: Path) -> None:
    """Make sure that a file's bytes, or a folder's names, outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove what killed runs left half written in a folder and the folders in it.

    What a process that lives is writing stays: several runs, also of several machines, may share a folder.
    """
    for path in [*folder.glob(f"{PARTIAL}*"), *folder.glob(f"*/{PARTIAL}*")]:
        if not _in_use(path) and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif not _in_use(path):
            path.unlink(missing_ok=True)


def _in_use(partial: Path) -> bool:
    """Tell whether the process that writes a partial file lives; of another machine's only the age is known."""
    owner = _OWNED.match(partial.name)
    if owner is None:
        return False
    if owner["host"] == socket.gethostname():
        return psutil.pid_exists(int(owner["pid"]))
    try:
        return time.time() - partial.stat().st_mtime < _ABANDONED
    except OSError:  # renamed in the meantime
        return True


def is_full(error: BaseException) -> bool:
    """Tell whether an error says that a disk, or the user's share of it, is full; HDF5 says it in words alone."""
    full = (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, OSError) and error.errno in full:
        return True
    return any(f"errno = {number}," in str(error) or os.strerror(number) in str(error) for number in full)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def make_folder(folder: Path) -> Path:
    """Make an output folder (with its parents) that can be written to.

    Raises
    ------
    InputError : it is a file, or it cannot be made or written
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"{PARTIAL}{os.getpid()}-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}; choose another output folder") from None
    return folder


def sha256(path: Path) -> str:
    """Give the SHA-256 of a file's bytes, in hexadecimal.

    Raises
    ------
    InputError : it cannot be read
    """
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; see to the file or its rights") from None
