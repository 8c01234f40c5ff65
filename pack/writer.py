"""The writer of shards: complete files, a new one when one is full.

Chunks are compressed by the workers and written as they are (`write_direct_chunk`): h5py's own
filters would compress all rows in the one process that writes.
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from ..core.errors import InputError
from ..core.outputs import cannot_write, write_new
from ..core.schema import (
    LIBVER,
    SHARD_FIELDS,
    SHARD_LEVEL,
    Field,
    Row,
    create_field,
    file_stamp,
    shuffle,
)

__all__ = ["EncodedRow", "ShardWriter", "encode_row", "part_path"]

_GROWTH = 256  # rows by which the datasets grow; unused rows are cut off at the end
# most bytes that HDF5 adds to the compressed arrays
_FILE_OVERHEAD, _ROW_OVERHEAD = 64 * 1024, 512


@dataclass(frozen=True)
class EncodedRow:
    """A row as its bytes in the file.

    So many processes compress, and one writes.

    Attributes
    ----------
    chunks : field name -> compressed array
    values : field name -> number or text, of the fields without axes
    shapes : field name -> shape of the array
    """

    chunks: dict[str, bytes]
    values: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]

    @property
    def nbytes(self) -> int:
        """Size in the file, at most."""
        texts = sum(len(str(self.values[name])) for name in ("synset", "model_id"))
        return sum(map(len, self.chunks.values())) + texts + _ROW_OVERHEAD


def encode_row(row: Row) -> EncodedRow:
    """Compress a row as HDF5's own filters would: bytes shuffled, then deflate.

    Parameters
    ----------
    row : the schema's fields, each without the leading axis

    Raises
    ------
    ValueError : a field is missing, or has another number of axes
    """
    missing = [field.name for field in SHARD_FIELDS if field.name not in row]
    if missing:
        raise ValueError(f"the row has no {missing[0]}")
    chunks, values, shapes = {}, {}, {}
    for field in SHARD_FIELDS:
        if not field.shape:
            value = row[field.name]
            values[field.name] = (
                str(value) if field.dtype == "utf-8" else np.asarray(value, dtype=field.dtype)
            )
            continue
        array = np.asarray(row[field.name])
        if array.ndim != len(field.shape):
            raise ValueError(
                f"{field.name} has the shape {array.shape}, expected {len(field.shape)} axes"
            )
        chunks[field.name] = zlib.compress(shuffle(array, field), SHARD_LEVEL)
        shapes[field.name] = array.shape
    return EncodedRow(chunks, values, shapes)


def part_path(path: Path, part: int) -> Path:
    """Return the path of a shard's n-th file, such as shard-00000_01.h5."""
    return path if part == 0 else path.with_name(f"{path.stem}_{part:02}{path.suffix}")


class ShardWriter(AbstractContextManager["ShardWriter"]):
    """A shard to append rows to; written when its block ends without error.

    A shard without rows is not written.

    If a model's rows do not fit within `max_rows` or `max_bytes`, the file is finished and the next
    part begins: `shard-00000.h5`, `shard-00000_01.h5`, … Files are written whole or not at
    all. Until then a file is held in memory, compressed, so memory is bounded by `max_bytes`.

    Parameters
    ----------
    path : the first file
    attributes : stored as text or JSON beside format, version and conventions; entries added before
        the end of the block are stored in the last file
    write : writes a path's content, whole or not at all
    max_rows, max_bytes : of one file; exceeded only by a single model (or row) that is larger by
        itself

    Attributes
    ----------
    files : those written, in order

    Raises
    ------
    InputError : a file cannot be written, as on a full disk

    Examples
    --------
    >>> with ShardWriter(Path("shard-00000.h5"), {"seed": 0}, max_bytes=2**30) as shard:  # doctest: +SKIP
    ...     shard.append(row)
    """

    def __init__(
        self,
        path: Path,
        attributes: dict[str, Any],
        *,
        max_rows: int | None = None,
        max_bytes: int | None = None,
        write: Callable[[Path, memoryview], object] = write_new,
    ) -> None:
        self.path, self.attributes, self.files = path, attributes, list[Path]()
        self._write = write
        self._max_rows, self._max_bytes = max_rows or np.inf, max_bytes or np.inf
        self._part: _Part | None = None

    def append(self, *rows: Row | EncodedRow) -> None:
        """Append rows that stay in one file, such as a model's views.

        The first row of a file sets its H, W and P.

        Raises
        ------
        ValueError : a field is missing, or its shape differs from the rows before
        InputError : a full file cannot be written
        """
        encoded = [row if isinstance(row, EncodedRow) else encode_row(row) for row in rows]
        if self._part is not None and not self._fits(self._part, encoded):
            self._finish()
        for row in encoded:
            # a model that is larger than a file is cut between rows
            if self._part is not None and not self._fits(self._part, [row]):
                self._finish()
            if self._part is None:
                self._part = _Part(row.shapes)
            self._part.append(row)

    def _fits(self, part: _Part, rows: Sequence[EncodedRow]) -> bool:
        size = part.nbytes + sum(row.nbytes for row in rows)
        # an empty file takes any row, even one above the limit
        return not part.rows or (
            part.rows + len(rows) <= self._max_rows and size <= self._max_bytes
        )

    def _finish(self) -> None:
        """Write the current file under its name."""
        assert self._part is not None
        part, self._part = self._part, None
        path = part_path(self.path, len(self.files))
        content = part.finish(self.attributes | {"part": len(self.files)})
        try:
            self._write(path, content)
        except OSError as failed:
            raise InputError(cannot_write(path, failed)) from None
        self.files.append(path)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # after an error the unfinished file is dropped: a shard is whole or absent
        if error is None and self._part is not None:
            self._finish()


class _Part:
    """A file under construction, in memory.

    On a full disk, HDF5 would end the process.
    """

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self.rows, self.nbytes, self._shapes = 0, _FILE_OVERHEAD, shapes
        self._values: dict[str, list[Any]] = {
            field.name: [] for field in SHARD_FIELDS if not field.shape
        }
        self._memory = io.BytesIO()
        self._file = h5py.File(self._memory, "w", libver=LIBVER)
        height, width = shapes["depth"]
        letters = {"H": height, "W": width, "P": shapes["points"][0]}
        self._datasets = {
            field.name: create_field(
                self._file, field, 0, growing=True, level=SHARD_LEVEL, **letters
            )
            for field in SHARD_FIELDS
        }

    def append(self, row: EncodedRow) -> None:
        """Append a row, whose shapes must be those of the rows before."""
        for field in SHARD_FIELDS:
            if not field.shape:
                self._values[field.name].append(row.values[field.name])
                continue
            self._check(field, row)
            dataset = self._datasets[field.name]
            if self.rows == len(dataset):
                dataset.resize(self.rows + _GROWTH, axis=0)
            # already compressed, so HDF5 stores the bytes as they are, at (row, 0, 0, ...)
            dataset.id.write_direct_chunk(
                (self.rows,) + (0,) * len(field.shape), row.chunks[field.name]
            )
        self.rows += 1
        self.nbytes += row.nbytes

    def _check(self, field: Field, row: EncodedRow) -> None:
        expected = self._datasets[field.name].shape[1:]
        if row.shapes[field.name] != expected:
            raise ValueError(
                f"{field.name} has shape {row.shapes[field.name]}, rows before {expected}"
            )

    def finish(self, attributes: dict[str, Any]) -> memoryview:
        """Close the file and return its bytes."""
        for name, dataset in self._datasets.items():
            # arrays lose their spare rows; fields without axes get their length, (N,), only now
            dataset.resize(self.rows, axis=0)
            if name in self._values:
                dataset[...] = self._values[name]
        meanings = {field.name: field.meaning for field in SHARD_FIELDS}
        common = {**file_stamp("shard"), "fields": meanings}
        for name, value in (common | attributes).items():
            self._file.attrs[name] = (
                value if isinstance(value, str | int) else json.dumps(value, sort_keys=True)
            )
        self._file.close()
        return self._memory.getbuffer()
