"""NumPy files read without trust, and evenly spread indices.

No array is made that its file has no bytes for, whatever the header of the file claims.
"""

from __future__ import annotations

import ast
import math
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .untrusted import open_regular

__all__ = ["read_array", "read_arrays", "spread_indices"]

_MOST_HEADER = 1024  # bytes: a plain array's has about a hundred
_KINDS = "biuf"
_DAMAGED = (
    zipfile.BadZipFile,  # no archive, one that is cut short, a wrong checksum
    # an entry with a password, or (NotImplementedError) of a later version of the format
    RuntimeError,
    EOFError,  # an entry that reaches beyond the end of the file
)
_NO_HEADER = (
    # the five that ast.literal_eval is documented with
    ValueError,
    TypeError,
    SyntaxError,
    MemoryError,
    RecursionError,
    KeyError,  # one of its entries is missing
)


def spread_indices(count: int, most: int) -> list[int]:
    """Return up to `most` indices below `count`, evenly spread, rising."""
    number = min(most, count)
    # the steps are at least 1, so that no index is chosen twice
    chosen: list[int] = np.linspace(0, count - 1, number).astype(np.int64).tolist()
    return chosen


def read_array(path: Path) -> NDArray[Any]:
    """Read a .npy file of numbers.

    Raises
    ------
    ValueError : it is damaged, or holds something else
    OSError : it cannot be read
    """
    with os.fdopen(open_regular(path), "rb") as file:
        return _array(file.read())


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read arrays of numbers from an uncompressed .npz file, as of `numpy.savez`.

    Raises
    ------
    ValueError : it is damaged, lacks one of them, or holds something else
    OSError : it cannot be read
    """
    with os.fdopen(open_regular(path), "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                entries = {entry.filename: entry for entry in archive.infolist()}
                missing = [name for name in names if f"{name}.npy" not in entries]
                if missing:
                    raise ValueError(f"it has no {missing[0]}")
                chosen = [entries[f"{name}.npy"] for name in names]
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in chosen):
                    raise ValueError("its content is compressed")
                return {
                    name: _array(archive.read(entry))
                    for name, entry in zip(names, chosen, strict=True)
                }
        except _DAMAGED:
            raise ValueError("it is cut short, or not a NumPy archive") from None


def _array(content: bytes) -> NDArray[Any]:
    """Read the bytes of a .npy file; its header is a Python dictionary."""
    start = 12 if content[6:7] in (b"\x02", b"\x03") else 10
    length = int.from_bytes(content[8:start], "little")
    if content[:6] != b"\x93NUMPY" or length > _MOST_HEADER:
        raise ValueError("it is not a NumPy array")
    try:
        header = ast.literal_eval(content[start : start + length].decode("latin1").strip())
        dtype, shape = np.dtype(header["descr"]), header["shape"]
        sizes = [size for size in shape if type(size) is int and 0 <= size < 2**63]
        order: Literal["C", "F"] = "F" if header["fortran_order"] else "C"
    except _NO_HEADER:
        raise ValueError("its header is damaged") from None
    if dtype.kind not in _KINDS or not isinstance(shape, tuple) or len(sizes) != len(shape):
        raise ValueError("it holds no numbers")
    if math.prod(sizes) * dtype.itemsize != len(content) - start - length:
        raise ValueError("its size is not what its header claims")
    return np.ndarray(tuple(sizes), dtype, content, start + length, order=order).copy(order)
