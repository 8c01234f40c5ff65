"""Write one shard, whole or not at all."""

from __future__ import annotations

import errno
import io
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from .. import __version__
from ..camera import CONVENTIONS
from ..errors import InputError
from ..files import atomic_path
from .schema import FORMAT, LIBVER, SCHEMA_VERSION, SHARD_FIELDS, Row, create_field

__all__ = ["ShardWriter", "cannot_write"]

_GROWTH = 256  # rows by which the datasets grow; what is not used is cut off in the end


def cannot_write(path: Path, error: OSError) -> str:
    """Say in one line that a file cannot be written, why, and what to do."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    remedy = "free some space, then the same command goes on" if full else "see to the folder or its rights"
    return f"{path} cannot be written: {error.strerror or error}; {remedy}"


class ShardWriter(AbstractContextManager["ShardWriter"]):
    """Append rows to a shard, which is written when the block ends without an error, and with a row at least.

    Until then it is held in memory, compressed.

    Parameters
    ----------
    path : the shard
    attributes : stored as text or JSON beside format, version and conventions
    before_naming : called when the file is on the disk, before it takes its name, and the place of what has it

    Raises
    ------
    InputError : at the end of the block, the file cannot be written, as on a full disk

    Examples
    --------
    >>> with ShardWriter(Path("shard-00000.h5"), {"seed": 0}) as shard:  # doctest: +SKIP
    ...     shard.append(row)
    """

    def __init__(
        self, path: Path, attributes: dict[str, Any], before_naming: Callable[[], object] = lambda: None
    ) -> None:
        self.path, self.attributes, self.rows, self._before_naming = path, attributes, 0, before_naming
        self._datasets: dict[str, h5py.Dataset] = {}

    def __enter__(self) -> ShardWriter:
        # HDF5 cannot close a file on a full disk and ends the process: it fills memory, which Python writes
        self._memory = io.BytesIO()
        self._file = h5py.File(self._memory, "w", libver=LIBVER)
        return self

    def append(self, row: Row) -> None:
        """Append one row: the schema's fields, each without the leading axis; the first row sets H, W and P.

        Raises
        ------
        ValueError : a field is missing, or its shape differs from the rows before
        """
        if not self._datasets:
            height, width = row["depth"].shape
            letters = {"H": height, "W": width, "P": len(row["points"])}
            for field in SHARD_FIELDS:
                self._datasets[field.name] = create_field(self._file, field, 0, growing=True, **letters)
        capacity = len(self._datasets["view"])
        for field in SHARD_FIELDS:
            dataset, value = self._datasets[field.name], row[field.name]
            if np.shape(value) != dataset.shape[1:]:
                raise ValueError(f"{field.name} has shape {np.shape(value)}, rows before {dataset.shape[1:]}")
            if self.rows == capacity:
                dataset.resize(capacity + _GROWTH, axis=0)
            dataset[self.rows] = value
        self.rows += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if error is None:
                self._finish()
        if error is not None or not self.rows:
            return
        try:
            with atomic_path(self.path) as partial:
                partial.write_bytes(self._memory.getbuffer())
                self._before_naming()
        except OSError as failed:
            raise InputError(cannot_write(self.path, failed)) from None

    def _finish(self) -> None:
        for dataset in self._datasets.values():
            dataset.resize(self.rows, axis=0)
        common = {
            "format": FORMAT,
            "kind": "shard",
            "schema_version": SCHEMA_VERSION,
            "generator": f"shapenet3d-cma {__version__}",
            "conventions": CONVENTIONS,
            "fields": {field.name: field.meaning for field in SHARD_FIELDS},
        }
        for name, value in (common | self.attributes).items():
            self._file.attrs[name] = value if isinstance(value, str | int) else json.dumps(value, sort_keys=True)
