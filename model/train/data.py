"""From shards to batches: which rows make which step, and reading them."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ...core.errors import InputError
from ...core.processes import end_with_parent
from ...pack.reader import Shards
from ..config import PretrainConfig, RunConfig
from ..distributed import ProcessGroup
from .transfer import pack_for_worker

__all__ = ["Batch", "BatchSource", "EpochPlan", "ShardRows"]

Batch = dict[str, Tensor]
"""Rows as tensors with a leading axis of samples; the keys are told by `ShardRows.__getitems__`."""

_CHUNK = 64  # rows read at a time when all are loaded
_MANY = 2048  # rows from which on it is worth starting processes to load them
_SHARE = 0.25  # of the GPU's free memory that data = auto fills with rows


@dataclass(frozen=True)
class EpochPlan:
    """The rows of each step, a function of the seed alone.

    So a resumed run needs no other state.

    In each epoch the rows are shuffled anew and cut into batches; what is left over does not make a
    batch and is left out, so every step has the same shape.

    Attributes
    ----------
    rows : number of rows of the shards
    batch : rows a step
    epochs, seed : of the run
    """

    rows: int
    batch: int
    epochs: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Steps an epoch, at least one."""
        return self.rows // self.batch

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.epochs * self.steps_per_epoch

    def epoch(self, step: int) -> int:
        """Return the epoch, from 0, that a step, from 0, belongs to."""
        return step // self.steps_per_epoch

    def step_rows(self, step: int) -> list[int]:
        """Return the rows of a step."""
        # an epoch's last rows that fill no batch are left out
        start = step % self.steps_per_epoch * self.batch
        return self.order(self.epoch(step))[start : start + self.batch]

    def order(self, epoch: int) -> list[int]:
        """Return the order of the rows in an epoch."""
        return _shuffled(self.rows, self.seed, epoch)


@functools.lru_cache(maxsize=2)
def _shuffled(rows: int, seed: int, epoch: int) -> list[int]:
    # seed and epoch alone decide, so no earlier epoch has to be drawn first
    order: list[int] = np.random.default_rng([seed, epoch]).permutation(rows).tolist()
    return order


class ShardRows(Dataset[Batch]):
    """The rows of a folder of shards, as the pretraining reads them.

    Parameters
    ----------
    folder : the shards
    config : `patches`, `patch_points`, image sizes and tasks are checked against the shards

    Attributes
    ----------
    image_size : (H, W) of the shards' images
    fingerprint : hexadecimal digits that stand for the shards' content

    Raises
    ------
    InputError : shards that cannot be read, or that do not suit the configuration
    """

    def __init__(self, folder: Path, config: PretrainConfig) -> None:
        self.shards = Shards(folder)
        self.folder, self.patches = folder, config.network.patches
        if len(self.shards) < (2 if config.losses.contrasts else 1):
            raise InputError(
                f"{folder} holds {len(self.shards)} rows; the contrast needs at least 2 "
                f"(negatives), "
                "the reconstruction 1: pack more models, or choose --tasks reconstruction"
            )
        # one row shows the sizes of all
        first = self.shards.read([0], ["rgb", "points"])
        self.image_size: tuple[int, int] = (first["rgb"].shape[1], first["rgb"].shape[2])
        self.points = first["points"].shape[1]
        # the manifest holds the hash of each shard, so this stands for their content
        listed = json.dumps(self.shards.manifest["shards"], sort_keys=True)
        self.fingerprint = hashlib.sha256(listed.encode()).hexdigest()[:16]
        self._check(config)

    def _check(self, config: PretrainConfig) -> None:
        sizes = config.network
        (height, width), side = self.image_size, sizes.image_patch
        if sizes.image_size == 0 and (height % side or width % side):
            raise InputError(
                f"{self.folder}: images of {width} x {height} pixels cannot be cut into "
                f"patches of {side} x {side}: "
                "give --image-size, to which they are resized, or another --image-patch"
            )
        if min(height, width) < side:
            raise InputError(
                f"{self.folder}: images of {width} x {height} pixels are smaller than a patch "
                f"of {side}"
            )
        if self.points < max(sizes.patches, sizes.patch_points):
            raise InputError(
                f"{self.folder}: rows of {self.points} points cannot be cut into "
                f"{sizes.patches} patches of "
                f"{sizes.patch_points}: pack with more --points, "
                f"or give fewer --patches and --patch-points"
            )

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, row: int) -> Batch:
        return {name: values[0] for name, values in self.__getitems__([row]).items()}

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        """Read rows as one batch.

        Returns
        -------
        batch : `rows` (B,) int64; `points` (B, P, 3) float32, object frame; `pixels` (B, G, 2)
            int32, (u, v) of the first points, the patch centres; `rgb` (B, H, W, 3) uint8

        Raises
        ------
        InputError : values that no valid shard holds; names the row
        """
        data = self.shards.read(rows, ["points", "pixels", "rgb"])
        # the patch centres are the first points: (B, G, 2)
        pixels = data["pixels"][:, : self.patches].astype(np.int32)
        # check what a damaged shard might hold, before it becomes a loss
        finite = np.isfinite(data["points"]).all(axis=(1, 2))
        # (u, v) is (column, row), so the bounds are (W, H); stored unsigned, none is below 0
        inside = (pixels < self.image_size[::-1]).all(axis=(1, 2))
        if not (finite & inside).all():
            bad = int(np.flatnonzero(~(finite & inside))[0])
            what = "pixels outside the image" if finite[bad] else "points that are not finite"
            raise InputError(f"{self.folder}: {self.describe([rows[bad]])} has {what}: pack again")
        return {
            "rows": torch.tensor(rows),
            "points": torch.from_numpy(data["points"]),
            "pixels": torch.from_numpy(pixels),
            "rgb": torch.from_numpy(data["rgb"]),
        }

    def describe(self, rows: Sequence[int]) -> str:
        """Name up to four rows for a message: index, category, model, view."""
        names = self.shards.read(rows[:4], ["synset", "model_id", "view"])
        each = zip(rows, names["synset"], names["model_id"], names["view"], strict=False)
        listed = ", ".join(
            f"row {row} ({synset}/{model}, view {view})" for row, synset, model, view in each
        )
        return listed + (f" and {len(rows) - 4} more" if len(rows) > 4 else "")

    @property
    def gib(self) -> float:
        """Size of all batches, GiB."""
        height, width = self.image_size
        return len(self) * (height * width * 3 + self.points * 12 + self.patches * 8) / 2**30

    def chunks(self) -> list[range]:
        """Cut all rows into parts that are read at a time."""
        return [
            range(start, min(start + _CHUNK, len(self))) for start in range(0, len(self), _CHUNK)
        ]

    def load(self, device: torch.device, workers: int = 0) -> Batch:
        """Read all rows, as one batch in their order, on a device.

        Parameters
        ----------
        workers : processes that read, where the rows are many
        """
        held: Batch = {}
        chunks = self.chunks()
        reading = workers if len(self) >= _MANY else 0
        loader = DataLoader(
            self,
            batch_sampler=_Listed(chunks),
            num_workers=reading,
            collate_fn=pack_for_worker,
            worker_init_fn=functools.partial(_begin_worker, os.getpid()),
            generator=torch.Generator(),
        )
        for rows, chunk in zip(chunks, loader, strict=True):
            for name, values in chunk.items():
                # allocated once, since joining all chunks at the end would take twice the memory
                if name not in held:
                    held[name] = torch.empty(
                        len(self), *values.shape[1:], dtype=values.dtype, device=device
                    )
                held[name][rows.start : rows.stop] = values.to(device)
        return held


def _begin_worker(parent: int, _: int) -> None:
    """End a loader's worker with the process that trains.

    Also while it waits to hand over a batch.
    """
    end_with_parent(parent)


@dataclass(frozen=True)
class _Listed:
    """Lists of rows, as DataLoader's batch sampler."""

    lists: Sequence[Sequence[int]]

    def __iter__(self) -> Iterator[list[int]]:
        return (list(rows) for rows in self.lists)

    def __len__(self) -> int:
        return len(self.lists)


@dataclass(frozen=True)
class _Steps:
    """One process's rows of the steps from `start` on, as DataLoader's batch sampler."""

    plan: EpochPlan
    start: int
    share: slice

    def __iter__(self) -> Iterator[list[int]]:
        return (
            self.plan.step_rows(step)[self.share] for step in range(self.start, self.plan.steps)
        )

    def __len__(self) -> int:
        return self.plan.steps - self.start


class BatchSource:
    """The batch of each step, on the device.

    Rows come from the device, from memory or from the files.

    Parameters
    ----------
    data : the shards
    plan : which rows make which step; each rank takes its share of them, in the order of the ranks
    config : `data`, `memory_gib`, `workers`
    group : this process, its device, and those that train with it

    Attributes
    ----------
    place : device, memory or files
    description : a sentence on that choice
    """

    def __init__(
        self, data: ShardRows, plan: EpochPlan, config: RunConfig, group: ProcessGroup
    ) -> None:
        self.data, self.plan, self.workers, self.device = data, plan, config.workers, group.device
        # each process takes its part of a step's rows
        share = plan.batch // group.size
        self.share = slice(group.rank * share, (group.rank + 1) * share)
        self.place = choose_place(data.gib, config, group)
        self.description = f"{len(data)} rows, {data.gib:.2f} GiB: " + {
            "device": f"held on {group.device}",
            "memory": "held in memory",
            "files": f"read from the files by {config.workers or 'no'} processes beside this one",
        }.get(self.place, "")
        self._held: Batch | None = None

    def held(self) -> Batch | None:
        """Return all rows, held on the device or in memory; None if they are not.

        They are read at the first call.
        """
        if self.place != "files" and self._held is None:
            where = self.device if self.place == "device" else torch.device("cpu")
            self._held = self.data.load(where, self.workers)
        return self._held

    def steps(self, start: int) -> Iterator[Batch]:
        """Return the batch of every step from `start` to the end of the plan."""
        source: Iterable[Batch]
        held = self.held()
        if held is None:
            source = DataLoader(
                self.data,
                batch_sampler=_Steps(self.plan, start, self.share),
                num_workers=self.workers,
                collate_fn=pack_for_worker,  # `__getitems__` has made the batch already
                pin_memory=self.device.type == "cuda",
                worker_init_fn=functools.partial(_begin_worker, os.getpid()),
                generator=torch.Generator(),  # else it draws from the caller's
            )
        else:
            source = self._gather(held, start)
        return (self._send(batch) for batch in source)

    def _gather(self, held: Batch, start: int) -> Iterator[Batch]:
        """Gather the rows of each step where they are held.

        An epoch's order is sent there once.
        """
        epoch, order, where = -1, torch.empty(0), held["rows"].device
        for step in range(start, self.plan.steps):
            if epoch != self.plan.epoch(step):
                epoch = self.plan.epoch(step)
                order = torch.tensor(self.plan.order(epoch)).to(where)
            first = step % self.plan.steps_per_epoch * self.plan.batch
            # the part of this rank: (B,)
            rows = order[first : first + self.plan.batch][self.share]
            yield {name: values[rows] for name, values in held.items()}

    def take(self, rows: Sequence[int]) -> Batch:
        """Return some rows as a batch, on the device."""
        held = self.held()
        if held is None:
            return self._send(self.data.__getitems__(rows))
        # gather where the rows are held, and send the batch alone
        index = torch.tensor(rows, device=held["rows"].device)
        return self._send({name: values[index] for name, values in held.items()})

    def _send(self, batch: Batch) -> Batch:
        if (
            self.device.type == "cuda" and not batch["rows"].is_cuda
        ):  # from pinned memory nothing waits for the copy
            batch = {name: values.pin_memory() for name, values in batch.items()}
        return {name: values.to(self.device, non_blocking=True) for name, values in batch.items()}


def choose_place(gib: float, config: RunConfig, group: ProcessGroup) -> str:
    """Choose where rows are held: see `RunConfig.data`.

    Parameters
    ----------
    gib : size of all rows, GiB

    Returns
    -------
    place : device, memory or files

    Raises
    ------
    InputError : the device is asked for and has too little memory
    """
    # a GPU that holds all rows needs no transfers
    free = torch.cuda.mem_get_info(group.device)[0] / 2**30 if group.device.type == "cuda" else 0.0
    if config.data == "device" and group.device.type == "cuda" and gib > 0.9 * free:
        raise InputError(
            f"data = device, but the rows take {gib:.1f} GiB and {group.device} has {free:.1f} "
            f"GiB free: "
            "give --data auto, which holds them in memory or reads them anew"
        )
    if config.data != "auto":
        return "memory" if config.data == "device" and group.device.type == "cpu" else config.data
    if group.device.type == "cuda" and gib <= _SHARE * free:
        return "device"
    here = int(
        os.environ.get("LOCAL_WORLD_SIZE", "1")
    )  # every process of this machine would hold them
    # half of what is free stays free, the processes of this machine share the rest
    spare = psutil.virtual_memory().available / 2**30 / 2 / here
    return "memory" if gib <= min(config.memory_gib, spare) else "files"
