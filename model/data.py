"""From shards to batches: which rows make which step, and reading them."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..errors import InputError
from ..pack.reader import Shards
from .config import PretrainConfig

__all__ = ["Plan", "ShardRows", "batches"]

Batch = dict[str, Tensor]
_CHUNK = 64  # rows read at a time when all are loaded


@dataclass(frozen=True)
class Plan:
    """Which rows make which step: a function of the seed alone, so a resumed run needs nothing remembered.

    In each epoch the rows are shuffled anew and cut into batches; what is left over does not make a batch
    and is left out, so every step has the same shape.

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
        """Give the epoch, from 0, that a step, from 0, belongs to."""
        return step // self.steps_per_epoch

    def step_rows(self, step: int) -> list[int]:
        """Give the rows of a step."""
        start = step % self.steps_per_epoch * self.batch
        return _shuffled(self.rows, self.seed, self.epoch(step))[start : start + self.batch]


@functools.lru_cache(maxsize=2)
def _shuffled(rows: int, seed: int, epoch: int) -> list[int]:
    """Give the order of the rows in an epoch."""
    order: list[int] = np.random.default_rng([seed, epoch]).permutation(rows).tolist()
    return order


class ShardRows(Dataset[Batch]):
    """What the pretraining reads of a folder of shards.

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
        self.folder, self.patches = folder, config.patches
        if len(self.shards) < (2 if config.contrasts else 1):
            raise InputError(
                f"{folder} holds {len(self.shards)} rows; the contrast needs at least 2 (negatives), "
                "the reconstruction 1: pack more models, or choose --tasks reconstruction"
            )
        first = self.shards.read([0], ["rgb", "points"])
        self.image_size: tuple[int, int] = (first["rgb"].shape[1], first["rgb"].shape[2])
        self.points = first["points"].shape[1]
        listed = json.dumps(self.shards.manifest["shards"], sort_keys=True)
        self.fingerprint = hashlib.sha256(listed.encode()).hexdigest()[:16]
        self._check(config)

    def _check(self, config: PretrainConfig) -> None:
        (height, width), side = self.image_size, config.image_patch
        if config.image_size == 0 and (height % side or width % side):
            raise InputError(
                f"{self.folder}: images of {width} x {height} pixels cannot be cut into patches of {side} x {side}: "
                "give --image-size, to which they are resized, or another --image-patch"
            )
        if min(height, width) < side:
            raise InputError(f"{self.folder}: images of {width} x {height} pixels are smaller than a patch of {side}")
        if self.points < max(config.patches, config.patch_points):
            raise InputError(
                f"{self.folder}: rows of {self.points} points cannot be cut into {config.patches} patches of "
                f"{config.patch_points}: pack with more --points, or give fewer --patches and --patch-points"
            )

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, row: int) -> Batch:
        return {name: values[0] for name, values in self.__getitems__([row]).items()}

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        """Read rows as one batch.

        Returns
        -------
        batch : `rows` (B,) int64; `points` (B, P, 3) float32, object frame; `pixels` (B, G, 2) int32, (u, v) of
            the first points, the patch centres; `rgb` (B, H, W, 3) uint8

        Raises
        ------
        InputError : values that no valid shard holds; names the row
        """
        data = self.shards.read(rows, ["points", "pixels", "rgb"])
        pixels = data["pixels"][:, : self.patches].astype(np.int32)
        finite = np.isfinite(data["points"]).all(axis=(1, 2))
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
        """Name rows for a message: index, category, model and view; no more than four."""
        names = self.shards.read(rows[:4], ["synset", "model_id", "view"])
        each = zip(rows, names["synset"], names["model_id"], names["view"], strict=False)
        listed = ", ".join(f"row {row} ({synset}/{model}, view {view})" for row, synset, model, view in each)
        return listed + (f" and {len(rows) - 4} more" if len(rows) > 4 else "")

    @property
    def gib(self) -> float:
        """Size of all batches, GiB."""
        height, width = self.image_size
        return len(self) * (height * width * 3 + self.points * 12 + self.patches * 8) / 2**30

    def load(self) -> Batch:
        """Read all rows, as one batch in their order."""
        held: Batch = {}
        for start in range(0, len(self), _CHUNK):
            chunk = self.__getitems__(range(start, min(start + _CHUNK, len(self))))
            for name, values in chunk.items():
                if name not in held:
                    held[name] = torch.empty(len(self), *values.shape[1:], dtype=values.dtype)
                held[name][start : start + len(values)] = values
        return held


@dataclass(frozen=True)
class _Steps:
    """The rows of the steps from `start` on, as DataLoader's batch sampler."""

    plan: Plan
    start: int

    def __iter__(self) -> Iterator[list[int]]:
        return (self.plan.step_rows(step) for step in range(self.start, self.plan.steps))

    def __len__(self) -> int:
        return self.plan.steps - self.start


def batches(data: ShardRows, plan: Plan, start: int, config: PretrainConfig, device: torch.device) -> Iterator[Batch]:
    """Give the batch of every step from `start` to the end of the plan, on the device.

    Shards no larger than `config.memory_gib` are read now and held; of others, each step's rows are read
    by `config.workers` processes, in one pass over all epochs.
    """
    source: Iterable[Batch]
    if data.gib <= config.memory_gib:
        held = data.load()
        source = ({name: values[rows] for name, values in held.items()} for rows in _Steps(plan, start))
    else:
        source = DataLoader(
            data,
            batch_sampler=_Steps(plan, start),
            num_workers=config.workers,
            collate_fn=_identity,
            pin_memory=device.type == "cuda",
        )
    return ({name: values.to(device, non_blocking=True) for name, values in batch.items()} for batch in source)


def _identity(batch: Any) -> Any:
    return batch  # `__getitems__` has made the batch already
