"""Shards in torch's own loaders: every row once, in an order that the seed alone decides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.model.train.dataset import BlockShuffled, RowDataset, collate
from shapenet3d_cma.pack.reader import Shards

FIELDS = ["points", "pixels", "rgb", "num_points", "model_id", "view"]


def names(batches: object) -> list[str]:
    return [name for batch in batches for name in batch["model_id"]]  # type: ignore[attr-defined]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_gives_the_rows_of_the_shards(shards: Path, workers: int) -> None:
    data, rows = RowDataset(shards, FIELDS), list(Shards(shards))
    loader = DataLoader(data, batch_size=3, shuffle=False, num_workers=workers, collate_fn=collate)
    place = 0
    for batch in loader:
        assert list(batch) == FIELDS
        for number in range(len(batch["model_id"])):
            for name in FIELDS:
                value = batch[name][number]
                assert np.array_equal(value, rows[place][name]), name
            place += 1
    assert place == len(data) == 8
    assert (batch["pixels"].dtype, batch["num_points"].dtype) == (torch.int32, torch.int64)
    assert np.array_equal(data[5]["points"], rows[5]["points"])
    assert data[5]["model_id"] == rows[5]["model_id"]


@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(0, 3),
    st.booleans(),
)
def test_every_row_comes_once_in_an_epoch(
    shards: Path, batch: int, block: int, blocks: int, ranks: int, epoch: int, drop_last: bool
) -> None:
    given_rows = []
    for rank in range(ranks):
        data = BlockShuffled(
            shards,
            ["model_id"],
            batch=batch,
            block=block,
            blocks=blocks,
            rank=rank,
            ranks=ranks,
            drop_last=drop_last,
        )
        data.epoch = epoch
        batches = [found["model_id"] for found in data]
        assert all(len(found) == batch for found in batches[: None if drop_last else -1])
        assert all(0 < len(found) <= batch for found in batches)
        assert [found["model_id"] for found in data] == batches, "the same each time"
        given_rows += [name for found in batches for name in found]
    everyone = [str(row["model_id"]) for row in Shards(shards, ["model_id"])]
    assert len(set(given_rows)) == len(given_rows)
    if drop_last:
        assert set(given_rows) <= set(everyone)
        assert len(everyone) - len(given_rows) <= ranks * (batch - 1)
    else:
        assert sorted(given_rows) == sorted(everyone)


def test_workers_share_the_rows(shards: Path) -> None:
    data = BlockShuffled(shards, ["model_id", "points"], batch=2, block=1)
    first = names(DataLoader(data, batch_size=None, num_workers=2))
    assert sorted(first) == sorted(names(data))
    data.epoch = 1
    assert names(DataLoader(data, batch_size=None, num_workers=2)) != first


def test_seed_and_epoch_decide_the_order(shards: Path) -> None:
    orders = set()
    for seed, epoch in ((0, 0), (0, 1), (1, 0)):
        data = BlockShuffled(shards, ["model_id"], batch=3, block=2, seed=seed)
        data.epoch = epoch
        orders.add(tuple(names(data)))
    assert len(orders) == 3


def test_blocks_are_read_whole(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    read = Shards.read
    monkeypatch.setattr(
        Shards,
        "read",
        lambda self, rows, *more: reads.append(sorted(rows)) or read(self, rows, *more),
    )
    list(BlockShuffled(shards, ["view"], batch=2, block=4, blocks=1))
    assert sorted(map(tuple, reads)) == [(0, 1, 2, 3), (4, 5, 6, 7)]


@pytest.mark.parametrize(
    "wrong", [{"batch": 0}, {"batch": 1, "block": 0}, {"batch": 1, "rank": 2, "ranks": 2}]
)
def test_sizes_that_make_no_sense_are_refused(shards: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match="sizes must be positive"):
        BlockShuffled(shards, **wrong)
