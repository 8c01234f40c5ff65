"""Reading of shards: against bare h5py, with two workers, and size against raw arrays.

    python benchmarks/reading.py [RENDERS] [ROWS]

Without RENDERS it renders procedural models. Rows are repeated under new names, so each is a chunk
of its own; every run reads each row once, in a drawn order, from files that are in the page cache.
Acts take turns; the best counts. What one process reads is measured in seconds of the processor,
which others on the machine disturb less, loaders by the clock. What two processes can do on the
machine at that time is told by two that only inflate the same chunks.
"""

from __future__ import annotations

import itertools
import multiprocessing
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch
from torch.utils.data import DataLoader

from shapenet3d_cma.benchmarks._made import by_turns, renders_of, repeat_rows, timed
from shapenet3d_cma.core.schema import SHARD_FIELDS
from shapenet3d_cma.model.train.dataset import BlockShuffled, RowDataset, collate
from shapenet3d_cma.pack.config import PackConfig
from shapenet3d_cma.pack.packing import pack_renders
from shapenet3d_cma.pack.reader import Shards

ALL = [field.name for field in SHARD_FIELDS]
TRAINING = ["rgb", "points", "pixels"]
EPOCHS = 3
CHUNKS: list[bytes] = []  # of `inflate`, whose processes are forked and so have them


def busy(act: Callable[[], object]) -> float:
    """Return the seconds of the processor that an act takes in this process."""
    begin = time.process_time()
    act()
    return time.process_time() - begin


def bare(files: list[Path], starts: list[int], rows: list[int], names: list[str]) -> float:
    """Read rows with h5py alone, its dataset handles kept."""
    opened = [h5py.File(path) for path in files]
    kept = [
        {
            name: file[name].asstr() if name in ("synset", "model_id") else file[name]
            for name in names
        }
        for file in opened
    ]
    which = (np.searchsorted(starts, rows, side="right") - 1).tolist()

    def read() -> None:
        for row, file in zip(rows, which, strict=True):
            local = row - starts[file]
            {name: dataset[local] for name, dataset in kept[file].items()}

    took = busy(read)
    for file in opened:
        file.close()
    return took


def ours(folder: Path, rows: list[int], names: list[str], batch: int | None) -> float:
    """Read rows through the reader, one by one or in batches; opening the files counts for neither."""
    reader = Shards(folder, names)
    for index in range(len(reader.files)):
        reader._open(index)

    def read() -> None:  # nothing is kept, as in `bare`
        if batch is None:
            for row in rows:
                reader[row]
            return
        for place in range(0, len(rows), batch):
            reader.read(rows[place : place + batch])

    return busy(read)


def epochs(data: torch.utils.data.Dataset, workers: int) -> float:
    """Return the seconds of an epoch, workers running already."""
    ready = {"num_workers": workers, "persistent_workers": workers > 0}
    if isinstance(data, BlockShuffled):
        loader = DataLoader(data, batch_size=None, **ready)
    else:
        loader = DataLoader(data, batch_size=64, shuffle=True, collate_fn=collate, **ready)
    times = [timed(lambda: sum(len(batch["points"]) for batch in loader)) for _ in range(EPOCHS)]
    return min(times[1:])


def inflate(part: slice) -> None:
    for chunk in CHUNKS[part]:
        zlib.decompress(chunk)


def ceiling(processes: int) -> float:
    """Return the seconds in which processes, each with its share, inflate all chunks."""
    cuts = np.linspace(0, len(CHUNKS), processes + 1).astype(int).tolist()
    shares = [slice(*ends) for ends in itertools.pairwise(cuts)]
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        pool.map(inflate, shares, chunksize=1)
        return timed(lambda: pool.map(inflate, shares, chunksize=1))


def load_chunks(files: list[Path]) -> None:
    for path in files:
        with h5py.File(path) as file:
            for name in TRAINING:
                dataset = file[name]
                places = [(row,) + (0,) * (dataset.ndim - 1) for row in range(len(dataset))]
                CHUNKS.extend(dataset.id.read_direct_chunk(place)[1] for place in places)


def main() -> None:
    given = sys.argv[1] if len(sys.argv) > 1 else None
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small"
        pack_renders(renders_of(given, Path(folder)), small, PackConfig(shard_rows=10_000))
        with h5py.File(small / "shard-00000.h5") as file:
            raw = sum(file[name].dtype.itemsize * file[name].size for name in ALL)
            size = (small / "shard-00000.h5").stat().st_size
            print(f"size: a shard of {len(file['view'])} rows is {size / raw:.1%} of its arrays")
        big = repeat_rows(small, Path(folder) / "big", count)
        reader = Shards(big)
        files, starts = reader.files, reader.starts.tolist()
        rows = np.random.default_rng(0).permutation(count)[:512].tolist()
        for what, names in (
            ("all fields", ALL),
            ("rgb, points, pixels", TRAINING),
            ("points", ["points"]),
        ):
            plain, single, batches = by_turns(
                8,  # short ones: another process disturbs some of each
                lambda names=names: bare(files, starts, rows, names),
                lambda names=names: ours(big, rows, names, None),
                lambda names=names: ours(big, rows, names, 64),
            )
            print(
                f"{what}: {len(rows) / plain:,.0f} random rows a CPU second with bare h5py; the "
                "reader has "
                f"{plain / single:.2f} of that row by row, {plain / batches:.2f} in batches of 64",
                flush=True,
            )
        load_chunks(files)
        for what, data in (
            ("rows at random", RowDataset(big, TRAINING)),
            ("shuffled blocks", BlockShuffled(big, TRAINING, batch=64)),
        ):
            one, two, bare_one, bare_two = by_turns(
                4,
                lambda data=data: epochs(data, 0),
                lambda data=data: epochs(data, 2),
                lambda: ceiling(1),
                lambda: ceiling(2),
            )
            print(
                f"DataLoader, {what}: {count / one:,.0f} rows/s in one process, {one / two:.2f} "
                "times that with 2 (two "
                f"processes that only inflate: {bare_one / bare_two:.2f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
