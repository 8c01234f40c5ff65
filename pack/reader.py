"""Shards as one sequence of rows."""

from __future__ import annotations

import operator
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.files import sha256
from ..core.hdf5 import FAULTS, Chunks, Rows, fault_text
from ..core.schema import SHARD_FIELDS, Opened, Row, open_checked
from .manifest import read_manifest

__all__ = ["Shards"]

# open files of a process: systems allow 1,024 or fewer, and all of ShapeNet's views need more
_MOST_OPEN = 128
# chunk cache of each dataset: enough for names and numbers, whose chunks hold many rows; images
# are read once. HDF5 2 would add a table of 8,191 slots to each, more than half of the 1.3 MiB that
# an open file takes
_CACHE: dict[str, Any] = {"rdcc_nbytes": 64 * 1024, "rdcc_nslots": 13}
_NAMES = tuple(field.name for field in SHARD_FIELDS)


class Shards(Sequence[Row]):
    """A folder of shards as a sequence of rows.

    A row is a dict of arrays by field name.

    `shards[5]` is a row; `shards[10:20]` and `shards[[5, 3, 8]]` are batches: the same fields with
    a leading axis. Files are opened when they are first read and their datasets are kept; a copy in
    another process (fork or pickle) opens its own. A file that is not as it was when the reader was
    made is refused.

    Parameters
    ----------
    folder : holds manifest.json and the shards it lists
    fields : the default fields to read; all if None
    checksums : compare each shard's sha256 to the manifest's when it is opened (0.1 s or less for
        64 MiB)
    most_open : files that are kept open, each about 1 MiB of memory; 1 is enough if rows are read
        in their order

    Raises
    ------
    InputError : see `read_manifest` and `check`; an unknown field

    Examples
    --------
    >>> shards = Shards("shards", ["points", "rgb"])  # doctest: +SKIP
    >>> shards[0]["points"].shape, shards[:32]["rgb"].shape  # doctest: +SKIP
    ((2048, 3), (32, 224, 224, 3))
    """

    def __init__(
        self,
        folder: Path | str,
        fields: Sequence[str] | None = None,
        *,
        checksums: bool = False,
        most_open: int = _MOST_OPEN,
    ) -> None:
        self.folder, self.checksums, self.most_open = Path(folder), checksums, most_open
        self.manifest = read_manifest(self.folder)
        self.fields = self._names(fields)
        self.files = [self.folder / shard["file"] for shard in self.manifest["shards"]]
        # (F + 1,) first row of each file, and the number of all rows
        self.starts = np.cumsum([0, *(shard["rows"] for shard in self.manifest["shards"])])
        self._stamps = [path.stat().st_mtime_ns for path in self.files]
        self._forget()

    def _names(self, fields: Sequence[str] | None) -> tuple[str, ...]:
        names = _NAMES if fields is None else tuple(fields)
        for name in names:
            if name not in _NAMES:
                raise InputError(
                    f"{self.folder}: shards have no field {name!r}; they have {', '.join(_NAMES)}"
                )
        return names

    def _forget(self) -> None:
        self._datasets: OrderedDict[int, Opened] = OrderedDict()
        # chunk indexes of closed files, since reading an index takes a while
        self._chunks: dict[int, dict[str, Chunks]] = {}
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_datasets": OrderedDict(), "_chunks": {}}

    def close(self) -> None:
        """Close the files; they are opened again when they are read."""
        if self._process == os.getpid():
            for opened in self._datasets.values():
                opened.close()
        self._forget()

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __iter__(self) -> Iterator[Row]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: SupportsIndex | slice | Sequence[int] | NDArray[Any]) -> Row:  # type: ignore[override]
        """Return a row by its index, or a batch by indices or slice.

        Negative indices count from the end.

        Raises
        ------
        InputError : a shard that is missing, was changed, or cannot be read
        IndexError : a row out of range
        TypeError : `row` is not an index
        """
        if isinstance(row, slice):
            return self.read(range(*row.indices(len(self))))
        if np.ndim(row) == 1:  # type: ignore[arg-type]
            rows = np.asarray(row)
            if rows.dtype.kind not in "iu" and rows.size:
                raise TypeError(f"rows are chosen by whole numbers, not by {rows.dtype}")
            return self.read(np.where(rows < 0, rows + len(self), rows))
        index = operator.index(row)  # type: ignore[arg-type]
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)} rows")
        index %= len(self)
        file = int(np.searchsorted(self.starts, index, side="right") - 1)
        local, datasets = index - int(self.starts[file]), self._open(file)
        return {
            name: self._slice(file, datasets[name], slice(local, local + 1))[0]
            for name in self.fields
        }

    def read(self, rows: Sequence[int] | NDArray[Any], fields: Sequence[str] | None = None) -> Row:
        """Read rows in any order; neighbours are read in one call.

        Parameters
        ----------
        rows : (B,) int, each in [0, len(self))
        fields : names of SHARD_FIELDS; those of the reader if None

        Returns
        -------
        batch : field name -> (B, ...) array in the schema's dtype; strings as an object array of
            str

        Raises
        ------
        InputError : a shard that is missing, was changed, or cannot be read; an unknown field
        IndexError : a row out of range
        """
        rows = np.asarray(rows, dtype=np.int64)
        if rows.size and not (0 <= rows.min() and rows.max() < len(self)):
            raise IndexError(f"rows {rows.min()} to {rows.max()} requested of {len(self)} rows")
        names = self.fields if fields is None else self._names(fields)
        if not rows.size:
            return {name: self._slice(0, self._open(0)[name], slice(0, 0)) for name in names}
        batch: Row = {}
        for file, local, positions in self._runs(rows):
            datasets = self._open(file)
            for name in names:
                values = self._slice(file, datasets[name], local)
                if name not in batch:
                    batch[name] = np.empty((len(rows), *values.shape[1:]), values.dtype)
                batch[name][positions] = values
        return batch

    def _runs(self, rows: NDArray[Any]) -> Iterator[tuple[int, slice, NDArray[Any]]]:
        """Yield runs of neighbouring rows: file, its rows, positions in the batch."""
        # sorted rows (B,), split where the next row is not a neighbour or in another file
        order = np.argsort(rows, kind="stable")
        files = np.searchsorted(self.starts, rows[order], side="right") - 1
        breaks = np.flatnonzero((np.diff(rows[order]) != 1) | (np.diff(files) != 0)) + 1
        for run, file in zip(
            np.split(order, breaks), files[np.concatenate([[0], breaks])].tolist(), strict=True
        ):
            first = int(rows[run[0]] - self.starts[file])
            yield file, slice(first, first + len(run)), run

    def _open(self, index: int) -> dict[str, Rows]:
        if self._process != os.getpid():  # forked: the parent's handles must not be shared
            self._forget()
        if index in self._datasets:
            self._datasets.move_to_end(index)
            return self._datasets[index].rows
        opened = self.check(index)
        if self.checksums and sha256(self.files[index]) != self.manifest["shards"][index]["sha256"]:
            opened.close()
            raise InputError(
                f"{self.files[index]} does not have the checksum in the manifest: "
                "copy it again, or pack again"
            )
        if len(self._datasets) >= self.most_open:
            number, oldest = self._datasets.popitem(last=False)
            self._chunks[number] = {
                name: rows.chunks for name, rows in oldest.rows.items() if rows.chunks is not None
            }
            oldest.close()
        for name, chunks in self._chunks.pop(index, {}).items():
            opened.rows[name].chunks = chunks
        self._datasets[index] = opened
        return opened.rows

    def check(self, index: int) -> Opened:
        """Open a file and check it; the caller closes it.

        Raises
        ------
        InputError : it is missing, was changed since the reader was made, or holds another number
            of rows; see `open_checked`
        """
        path, entry = self.files[index], self.manifest["shards"][index]
        try:
            state = path.stat()
        except OSError as error:
            raise InputError(
                f"{path} cannot be read: {error.strerror}, though the manifest lists it: "
                "copy it again, or pack again"
            ) from None
        if (state.st_size, state.st_mtime_ns) != (entry["bytes"], self._stamps[index]):
            raise InputError(
                f"{path} was changed while it was in use: start again with the new file"
            )
        opened = open_checked(path, SHARD_FIELDS, "shard", **_CACHE)
        rows = len(opened.rows["rgb"])
        if rows != entry["rows"]:
            opened.close()
            raise InputError(
                f"{path} holds {rows} rows, the manifest says {entry['rows']}: pack again"
            )
        return opened

    def _slice(self, file: int, dataset: Rows, rows: slice) -> NDArray[Any]:
        try:
            return dataset[rows]
        except FAULTS as error:  # ValueError: a string that is not UTF-8
            raise InputError(
                f"{self.files[file]}: rows {rows.start} to {rows.stop - 1} cannot be read "
                f"({fault_text(error)}): the file is damaged; copy it again, or pack again"
            ) from None

    def find(self, model_id: str) -> list[int]:
        """Return the rows of a model by its id, or by `synset/id`.

        Raises
        ------
        InputError : no row has it
        """
        if not len(self):
            raise InputError(
                f"{self.folder} has no row of the model {model_id!r}: it is empty; pack again"
            )
        names = self.read(range(len(self)), ["synset", "model_id"])
        rows = [
            row
            for row, (synset, name) in enumerate(
                zip(names["synset"], names["model_id"], strict=True)
            )
            if model_id in (name, f"{synset}/{name}")
        ]
        if not rows:
            raise InputError(
                f"{self.folder} has no row of the model {model_id!r}; it has {len(self)} rows"
            )
        return rows
