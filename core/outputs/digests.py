"""Digests of files and folders, by which the journal recognises them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

__all__ = ["entry_digests", "file_digest", "file_identity", "folder_digest", "head_digest"]

# first bytes of an HDF5 file of ours: they hold its size, so files of other content differ in them
_HEAD_HDF5 = 512


def file_digest(path: Path) -> str:
    """Compute the BLAKE2b digest of a file's bytes, 32 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def folder_digest(folder: Path) -> str:
    """Compute the digest of all names and contents in a folder.

    A link counts by its name.
    """
    lines = []
    # sorted: the digest must not depend on the order in which the disk lists names
    for path in sorted(folder.rglob("*")):
        link = path.is_symlink()
        kind = (
            "link"
            if link
            else "folder"
            if path.is_dir()
            else file_digest(path)
            if path.is_file()
            else "other"
        )
        lines.append(json.dumps([path.relative_to(folder).as_posix(), kind]))
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()


def entry_digests(path: Path) -> dict[str, Any]:
    """Compute the digests of a file for its journal entry."""
    head = head_digest(path)
    return {"digest": file_digest(path), **({"head": [head]} if head else {})}


def head_digest(path: Path) -> str | None:
    """Compute the digest of an HDF5 file's head; None for others.

    By it a file of ours is recognised after its end was cut off or damaged.
    """
    if path.suffix != ".h5" or not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(_HEAD_HDF5)
    return hashlib.blake2b(head, digest_size=16).hexdigest() if len(head) == _HEAD_HDF5 else None


def file_identity(path: Path) -> tuple[int, ...]:
    """Return inode, size and time (ns), which show a change."""
    status = path.stat(follow_symlinks=False)
    return status.st_ino, status.st_size, status.st_mtime_ns
