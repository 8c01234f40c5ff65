"""Shards as one sequence of rows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .manifest import read_manifest
from .schema import SHARD_FIELDS, Row, open_checked

__all__ = ["Shards"]


class Shards(Sequence[Row]):
    """A folder of shards as a sequence of rows; `shards[i]` is a dict of arrays by field name.

    Files are opened when they are first read and their datasets are kept; a copy in another process (fork or
    pickle) opens its own.

    Parameters
    ----------
    folder : holds manifest.json and the shards it lists

    Raises
    ------
    InputError : see `read_manifest` and `open_checked`
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        self.files = [self.folder / shard["file"] for shard in self.manifest["shards"]]
        # (F + 1,) first row of each file, and the number of all rows
        self.starts = np.cumsum([0, *(shard["rows"] for shard in self.manifest["shards"])])
        self._forget()

    def _forget(self) -> None:
        self._datasets: dict[int, dict[str, h5py.Dataset]] = {}
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_datasets": {}}

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, row: int) -> Row:  # type: ignore[override]
        """Give all fields of one row."""
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)} rows")
        return {name: batch[0] for name, batch in self.read([row % len(self)]).items()}

    def read(self, rows: Sequence[int] | NDArray[Any], fields: Sequence[str] | None = None) -> Row:
        """Read rows, in the given order, with as few calls as their neighbourhood allows.

        Parameters
        ----------
        rows : (B,) int, each in [0, len(self))
        fields : names of SHARD_FIELDS; all where left out

        Returns
        -------
        batch : field name -> (B, ...) array in the schema's dtype; strings as an object array of str

        Raises
        ------
        InputError : a shard that cannot be opened or read
        IndexError : a row out of range
        """
        rows = np.asarray(rows, dtype=np.int64)
        if rows.size and not (0 <= rows.min() and rows.max() < len(self)):
            raise IndexError(f"rows {rows.min()} to {rows.max()} asked of {len(self)} rows")
        names = [field.name for field in SHARD_FIELDS] if fields is None else list(fields)
        if not rows.size:
            return {name: self._slice(0, self._open(0)[name], slice(0, 0)) for name in names}
        order = np.argsort(rows, kind="stable")
        # neighbours in the file are read in one call
        runs = np.split(order, np.flatnonzero(np.diff(rows[order]) != 1) + 1)
        batch: Row = {}
        for run in runs:
            for file, local, places in self._by_file(rows[run], run):
                datasets = self._open(file)
                for name in names:
                    values = self._slice(file, datasets[name], local)
                    if name not in batch:
                        batch[name] = np.empty((len(rows), *values.shape[1:]), values.dtype)
                    batch[name][places] = values
        return batch

    def _by_file(self, rows: NDArray[Any], places: NDArray[Any]) -> list[tuple[int, slice, NDArray[Any]]]:
        """Split a run of consecutive rows where it crosses files: (file, rows within it, places in the batch)."""
        parts = []
        files = np.searchsorted(self.starts, rows, side="right") - 1
        for file in np.unique(files):
            mine = files == file
            first = int(rows[mine][0] - self.starts[file])
            parts.append((int(file), slice(first, first + int(mine.sum())), places[mine]))
        return parts

    def _open(self, index: int) -> dict[str, h5py.Dataset]:
        if self._process != os.getpid():  # forked: the parent's handles must not be shared
            self._forget()
        if index not in self._datasets:
            file = self.check(index)
            self._datasets[index] = {
                field.name: file[field.name].asstr() if field.dtype == "utf-8" else file[field.name]
                for field in SHARD_FIELDS
            }
        return self._datasets[index]

    def check(self, index: int) -> h5py.File:
        """Open one of the files on its own, and check that it is what the manifest says; the caller closes it.

        Raises
        ------
        InputError : see `open_checked`; another number of rows
        """
        path = self.files[index]
        file = open_checked(path, SHARD_FIELDS, "shard")
        if len(file["rgb"]) != self.manifest["shards"][index]["rows"]:
            rows = len(file["rgb"])
            file.close()
            raise InputError(f"{path} holds {rows} rows, the manifest says otherwise: pack again")
        return file

    def _slice(self, file: int, dataset: Any, rows: slice) -> NDArray[Any]:
        try:
            return np.asarray(dataset[rows])
        except (OSError, ValueError, RuntimeError) as error:  # ValueError: a string that is no UTF-8
            raise InputError(
                f"{self.files[file]}: rows {rows.start} to {rows.stop - 1} cannot be read ({error}): "
                "the file is damaged; copy it again, or pack again"
            ) from None

    def find(self, model_id: str) -> list[int]:
        """Give the rows of a model by its id, or by `synset/id`.

        Raises
        ------
        InputError : no row has it
        """
        if not len(self):
            raise InputError(f"{self.folder} has no row of the model {model_id!r}: it is empty; pack again")
        names = self.read(range(len(self)), ["synset", "model_id"])
        rows = [
            row
            for row, (synset, name) in enumerate(zip(names["synset"], names["model_id"], strict=True))
            if model_id in (name, f"{synset}/{name}")
        ]
        if not rows:
            raise InputError(f"{self.folder} has no row of the model {model_id!r}; it has {len(self)} rows")
        return rows
