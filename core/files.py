"""Facts about files and disks; hashes of files and texts.

Functions that write files are in `outputs`.
"""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import numpy as np

from .errors import InputError
from .untrusted import open_regular

__all__ = ["hash_text", "hash_to_fraction", "is_full", "random_stream", "sha256"]


def is_full(error: BaseException) -> bool:
    """Check whether an error means a full disk or quota.

    HDF5 raises its own errors, which have the system's error in their text alone.
    """
    full = (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, OSError) and error.errno in full:
        return True
    return any(
        f"errno = {number}," in str(error) or os.strerror(number) in str(error) for number in full
    )


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal.

    Raises
    ------
    InputError : it cannot be read
    """
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}; check the file and its permissions"
        ) from None


def hash_text(text: str) -> bytes:
    """Hash a text to 32 bytes, the same on every machine."""
    return hashlib.sha256(text.encode()).digest()


def hash_to_fraction(text: str) -> float:
    """Draw a number in [0, 1) that depends on a text alone."""
    return int.from_bytes(hash_text(text)[:8], "big") / 2**64


def random_stream(text: str) -> np.random.Generator:
    """Return a random generator seeded by a text, the same on every machine."""
    return np.random.Generator(np.random.PCG64(int.from_bytes(hash_text(text), "big")))
