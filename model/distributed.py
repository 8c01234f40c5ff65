"""Several processes that train together, started by torchrun: who they are, and what they tell one another.

Every rank holds the whole network and takes its share of each step's rows. What couples the samples
of a batch, the contrast and batch normalisation, sees the rows of all ranks, so the loss is that of
one process with the whole batch.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from ..core.errors import InputError
from ..core.processes import end_with_parent

__all__ = [
    "ProcessGroup",
    "all_gather",
    "all_sum",
    "join_processes",
    "process_count",
    "process_rank",
]

T = TypeVar("T")


def process_count() -> int:
    """Return the number of processes that train together; 1 where there are no others."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def process_rank() -> int:
    """Return this process's number among them, from 0."""
    return dist.get_rank() if process_count() > 1 else 0


# ---- tensors of all ranks, with gradients ----


class _Gather(torch.autograd.Function):
    """Concatenate what the ranks hold; the gradient of a rank's part is summed over all that used it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Return the rows of all ranks, (all, ...), in the order of the ranks."""
        ctx.rows = len(x)
        parts = [torch.empty_like(x) for _ in range(process_count())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Return the gradient of this rank's rows, summed over the ranks that used them."""
        whole = gradients[0].clone()
        dist.all_reduce(whole)
        return whole[process_rank() * ctx.rows : (process_rank() + 1) * ctx.rows]


class _Sum(torch.autograd.Function):
    """Sum over the ranks; so is the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Return the sum over the ranks, in the shape of one."""
        whole = x.clone()
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Return the gradient of what a rank added, summed over the ranks."""
        whole = gradients[0].clone()
        dist.all_reduce(whole)
        return whole


@torch.compiler.disable  # type: ignore[untyped-decorator]  # the collectives stay between compiled graphs
def _gather(x: Tensor) -> Tensor:
    whole: Tensor = _Gather.apply(x)  # type: ignore[no-untyped-call]
    return whole


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _sum(x: Tensor) -> Tensor:
    whole: Tensor = _Sum.apply(x)  # type: ignore[no-untyped-call]
    return whole


def all_gather(x: Tensor) -> Tensor:
    """Concatenate (B, ...) of every rank to (ranks B, ...), in the order of the ranks; gradients flow back."""
    if process_count() == 1:
        return x
    whole: Tensor = _gather(x)
    return whole


def all_sum(x: Tensor) -> Tensor:
    """Sum a tensor over the ranks; gradients flow back."""
    if process_count() == 1:
        return x
    whole: Tensor = _sum(x)
    return whole


# ---- the processes ----


@dataclass(frozen=True)
class ProcessGroup:
    """Who a process is among those that train together.

    Attributes
    ----------
    rank, size : its number, from 0, and how many there are
    device : where it computes
    """

    rank: int
    size: int
    device: torch.device
    talk: Any = (
        None  # a gloo group, through which the processes agree without waiting for their devices
    )

    @property
    def leads(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == 0

    def share(self, make: Callable[[], T]) -> T:
        """Let the first rank make something, and give it to all.

        Raises
        ------
        InputError : on every rank, where the first raised one
        """
        if self.size == 1:
            return make()
        told: list[Any] = [None, None]
        if self.leads:
            try:
                told[0] = make()
            except InputError as error:
                told[1] = str(error)
        dist.broadcast_object_list(told, src=0, group=self.talk)
        if told[1] is not None:
            raise InputError(told[1])
        made: T = told[0]
        return made

    def any(self, flag: bool) -> bool:
        """Check whether any rank says so; all must ask at the same time."""
        if self.size == 1:
            return flag
        told = torch.tensor([float(flag)])
        dist.all_reduce(told, op=dist.ReduceOp.MAX, group=self.talk)
        return bool(told.item())


@contextlib.contextmanager
def join_processes(device: torch.device) -> Iterator[ProcessGroup]:
    """Join the other processes that torchrun started, if it did.

    Parameters
    ----------
    device : cpu or cuda; each process takes the GPU of its number on the machine

    Raises
    ------
    InputError : more processes on a machine than it has GPUs
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ProcessGroup(0, 1, device)
        return
    if (
        "TORCHELASTIC_RUN_ID" in os.environ
    ):  # else the parent may be a shell, which a process may well outlive
        end_with_parent(os.getppid())
    if device.type == "cuda":
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise InputError(
                f"process {local} of this machine finds {torch.cuda.device_count()} GPUs: "
                "start no more processes than that, torchrun --nproc-per-node, or give --device cpu"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    if device.type == "cuda":
        dist.init_process_group("nccl", device_id=device)
    else:
        dist.init_process_group("gloo")
    try:
        yield ProcessGroup(
            dist.get_rank(), dist.get_world_size(), device, dist.new_group(backend="gloo")
        )
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dist.destroy_process_group()
