"""Write one shard, whole or not at all."""

from __future__ import annotations

import errno
import io
import json
from contextlib import AbstractContextManager, ExitStack
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


class _Sink(io.FileIO):
    """A file that HDF5 always can write: after the first error it takes all and keeps nothing.

    HDF5 cannot close a file that it cannot write, and brings the process down at its end. So it never learns of a
    full disk; `error` tells.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "x+")
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        while left and self.error is None:
            try:
                left = left[super().write(left) :]
            except OSError as error:
                self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return self.tell() if size is None else size


class ShardWriter(AbstractContextManager["ShardWriter"]):
    """Append rows to a shard; the file takes its name when the block ends without an error, and with a row at least.

    Parameters
    ----------
    path : the shard
    attributes : stored as text or JSON beside format, version and conventions

    Raises
    ------
    InputError : the file cannot be written, as on a full disk; from any of its methods

    Examples
    --------
    >>> with ShardWriter(Path("shard-00000.h5"), {"seed": 0}) as shard:  # doctest: +SKIP
    ...     shard.append(row)
    """

    def __init__(self, path: Path, attributes: dict[str, Any]) -> None:
        self.path, self.attributes, self.rows = path, attributes, 0
        self._name, self._open = ExitStack(), ExitStack()  # the temporary name outlives the open file
        self._datasets: dict[str, h5py.Dataset] = {}

    def __enter__(self) -> ShardWriter:
        return self

    def append(self, row: Row) -> None:
        """Append one row: the schema's fields, each without the leading axis; the first row sets H, W and P.

        Raises
        ------
        ValueError : a field is missing, or its shape differs from the rows before
        InputError : the file cannot be written
        """
        try:
            self._append(row)
            if self._sink.error is not None:
                raise self._sink.error
        except OSError as error:
            raise InputError(cannot_write(self.path, error)) from None

    def _append(self, row: Row) -> None:
        if not self._datasets:
            self._sink = self._open.enter_context(_Sink(self._name.enter_context(atomic_path(self.path))))
            self._file = self._open.enter_context(h5py.File(self._sink, "w", libver=LIBVER))
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
        if error is not None:
            try:
                self._open.close()
            finally:
                self._name.__exit__(kind, error, trace)
            return
        with self._name:
            self.close()
            try:
                self._name.close()
            except OSError as failed:
                raise InputError(cannot_write(self.path, failed)) from None

    def close(self) -> None:
        """Write what is left; from then on only the name is missing, which the end of the block gives.

        Raises
        ------
        InputError : the file cannot be written
        """
        if not self.rows or self._file.id.valid == 0:
            return
        try:
            self._finish()
            self._open.close()
            if self._sink.error is not None:
                raise self._sink.error
        except OSError as error:
            raise InputError(cannot_write(self.path, error)) from None

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
