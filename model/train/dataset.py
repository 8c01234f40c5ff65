"""Shards for other training loops.

Rows at random, or blocks of rows for disks that are slow at random access.

Both give batches as dictionaries of tensors, and both read only the fields asked for:

    data = RowDataset("shards", ["rgb", "points", "pixels"])
    loader = DataLoader(data, batch_size=128, shuffle=True, num_workers=4, collate_fn=collate)

    data = BlockShuffled("shards", ["rgb", "points", "pixels"], batch=128, seed=0)
    loader = DataLoader(data, batch_size=None, num_workers=4)
    for epoch in range(300):
        data.epoch = epoch  # before each pass
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from ...core.errors import InputError
from ...core.schema import Row
from ...pack.reader import Shards
from .transfer import pack_for_worker

__all__ = ["BlockShuffled", "RowDataset", "collate", "to_tensors"]

Batch = dict[str, Any]


def to_tensors(batch: dict[str, NDArray[Any]]) -> Batch:
    """Turn a batch of the reader into tensors that share its memory.

    Pixels and counts, unsigned in the shards, become int32 and int64, as torch computes little with
    unsigned ones; texts become a list of str.
    """
    return {
        name: values.tolist() if values.dtype == object else _tensor(values)
        for name, values in batch.items()
    }


def _tensor(values: NDArray[Any]) -> Tensor:
    wider = {"<u2": np.int32, "<u4": np.int64}.get(values.dtype.str)
    return torch.from_numpy(values if wider is None else values.astype(wider))


def collate(batch: Batch) -> Batch:
    """Pass on what `RowDataset` has made a batch already; DataLoader's `collate_fn`."""
    return pack_for_worker(batch)


class RowDataset(Dataset[Batch]):
    """The rows of a folder of shards.

    DataLoader reads a batch in one go; give it `collate_fn=collate`.

    Parameters
    ----------
    folder : shards
    fields : those to read; all where None

    Raises
    ------
    InputError : see `Shards`
    """

    def __init__(self, folder: Path | str, fields: Sequence[str] | None = None) -> None:
        self.shards = Shards(folder, fields)

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, row: int) -> Batch:
        return {name: values[0] for name, values in to_tensors(self.shards[[row]]).items()}

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        """Read rows as one batch, in the given order.

        Field name -> (B, ...) tensor, or list of str.
        """
        return to_tensors(self.shards.read(rows))


class BlockShuffled(IterableDataset[Batch]):
    """Block-shuffled batches: sequential reads, approximate shuffle.

    Blocks of neighbouring rows are read whole; some blocks at a time are mixed.

    In each epoch the blocks come in a drawn order. `blocks` of them are read together, their rows
    are shuffled, and batches are cut from them. Each row comes once in an epoch, over all workers
    and ranks together. The order is a function of seed, epoch, and the numbers of workers and
    ranks.

    Parameters
    ----------
    folder, fields : see `RowDataset`
    batch : rows of a batch; what is left at the end makes a smaller one, or with `drop_last` none
    block : neighbouring rows that are read together
    blocks : blocks that are mixed; `block` x `blocks` rows are held in memory by each worker
    rank, ranks : this process among those of a distributed training, which share the rows

    Attributes
    ----------
    epoch : set it before each pass

    Raises
    ------
    InputError : see `Shards`; a size that is not positive
    """

    def __init__(
        self,
        folder: Path | str,
        fields: Sequence[str] | None = None,
        *,
        batch: int,
        seed: int = 0,
        block: int = 64,
        blocks: int = 8,
        rank: int = 0,
        ranks: int = 1,
        drop_last: bool = False,
    ) -> None:
        if min(batch, block, blocks, ranks) < 1 or not 0 <= rank < ranks:
            raise InputError(
                f"batch {batch}, block {block}, blocks {blocks}, rank {rank} of {ranks}: "
                f"sizes must be positive, and "
                "the rank below the number of ranks"
            )
        self.shards, self.epoch = Shards(folder, fields), 0
        self.batch, self.seed, self.block, self.blocks = batch, seed, block, blocks
        self.rank, self.ranks, self.drop_last = rank, ranks, drop_last

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        number, count = (0, 1) if worker is None else (worker.id, worker.num_workers)
        starts = np.arange(0, len(self.shards), self.block)
        # the same order in all workers and ranks, so that their parts are disjoint
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(starts))
        part = self.rank * count + number
        own = starts[order[part :: self.ranks * count]]
        draw = np.random.default_rng([self.seed, self.epoch, part])
        return self._batches(own, draw)

    def _batches(self, starts: NDArray[np.int64], draw: np.random.Generator) -> Iterator[Batch]:
        left: list[Row] = []  # rows that do not make a batch yet
        for begin in range(0, len(starts), self.blocks):
            rows = left + self._read(starts[begin : begin + self.blocks], draw)
            # rows that do not fill a batch are mixed with the next blocks
            whole = len(rows) // self.batch * self.batch
            for place in range(0, whole, self.batch):
                yield pack_for_worker(to_tensors(_joined(rows[place : place + self.batch])))
            # a copy, which does not hold the blocks
            left = [{name: values.copy() for name, values in row.items()} for row in rows[whole:]]
        if left and not self.drop_last:
            yield pack_for_worker(to_tensors(_joined(left)))

    def _read(self, starts: NDArray[np.int64], draw: np.random.Generator) -> list[Row]:
        """Read some blocks and yield their rows, shuffled.

        Each row is a batch of one that lies in its block.
        """
        blocks = [self.shards[int(start) : int(start) + self.block] for start in starts]
        sizes = [len(next(iter(block.values()))) for block in blocks]
        rows = [
            (block, place)
            for block, size in zip(blocks, sizes, strict=True)
            for place in range(size)
        ]
        drawn = [rows[number] for number in draw.permutation(len(rows))]
        # slices are views: no row is copied before its batch is joined
        return [
            {name: values[place : place + 1] for name, values in block.items()}
            for block, place in drawn
        ]


def _joined(rows: Sequence[Row]) -> Row:
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
