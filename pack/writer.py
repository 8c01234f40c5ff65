"""Write one shard, whole or not at all."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from .. import __version__
from ..camera import CONVENTIONS
from ..files import atomic_path
from .schema import FORMAT, LIBVER, SCHEMA_VERSION, SHARD_FIELDS, Row, create_field

__all__ = ["ShardWriter"]

_GROWTH = 256  # rows by which the datasets grow; what is not used is cut off in the end


class ShardWriter(AbstractContextManager["ShardWriter"]):
    """Append rows to a shard; the file takes its name when the block ends without an error.

    Parameters
    ----------
    path : the shard
    attributes : stored as text or JSON beside format, version and conventions

    Examples
    --------
    >>> with ShardWriter(Path("shard-00000.h5"), {"seed": 0}) as shard:  # doctest: +SKIP
    ...     shard.append(row)
    """

    def __init__(self, path: Path, attributes: dict[str, Any]) -> None:
        self.path, self.attributes, self.rows = path, attributes, 0
        self._stack = ExitStack()
        self._datasets: dict[str, h5py.Dataset] = {}

    def __enter__(self) -> ShardWriter:
        partial = self._stack.enter_context(atomic_path(self.path))
        self._file = self._stack.enter_context(h5py.File(partial, "w", libver=LIBVER))
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
        if kind is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            self._finish()

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
