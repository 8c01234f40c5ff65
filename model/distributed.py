"""Processes that torchrun starts and that train together.

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
    """Return the number of processes that train together, 1 if alone."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def process_rank() -> int:
    """Return this process's number among them, from 0."""
    return dist.get_rank() if process_count() > 1 else 0


# ---- tensors of all ranks, with gradients ----
# torch.distributed.nn.functional has both, but is deprecated, and what follows it is private


class _Gather(torch.autograd.Function):
    """Concatenation over the processes, with gradients.

    The gradient of a process's rows is summed over all processes that used them.
    """

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
        # only the rows that this rank gave: (B, ...)
        return whole[process_rank() * ctx.rows : (process_rank() + 1) * ctx.rows]


class _Sum(torch.autograd.Function):
    """Sum over the processes; the gradient is summed as well."""

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
    """Concatenate the (B, ...) tensors of all processes, in their order.

    The result is (processes B, ...); gradients flow back.
    """
    if process_count() == 1:
        return x
    whole: Tensor = _gather(x)
    return whole


def all_sum(x: Tensor) -> Tensor:
    """Sum a tensor over the processes; gradients flow back."""
    if process_count() == 1:
        return x
    whole: Tensor = _sum(x)
    return whole


# ---- the processes ----


@dataclass(frozen=True)
class ProcessGroup:
    """One process among those that train together.

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
        """Run a function in the first process and return its result in all.

        Raises
        ------
        InputError : on every rank, where the first raised one
        """
        if self.size == 1:
            return make()
        shared: list[Any] = [None, None]
        if self.leads:
            try:
                shared[0] = make()
            except InputError as error:
                shared[1] = str(error)
        # an error is shared, too, so that no process waits for one that stopped
        dist.broadcast_object_list(shared, src=0, group=self.talk)
        if shared[1] is not None:
            raise InputError(shared[1])
        made: T = shared[0]
        return made

    def any(self, flag: bool) -> bool:
        """Check whether the flag is set in any process.

        All processes must call this at the same time.
        """
        if self.size == 1:
            return flag
        shared = torch.tensor([float(flag)])
        dist.all_reduce(shared, op=dist.ReduceOp.MAX, group=self.talk)
        return bool(shared.item())


@contextlib.contextmanager
def join_processes(device: torch.device) -> Iterator[ProcessGroup]:
    """Join the processes that torchrun started, if it did.

    Parameters
    ----------
    device : cpu or cuda; each process takes the GPU of its number on the machine

    Raises
    ------
    InputError : more processes on a machine than it has GPUs
    """
    # torchrun sets these variables; without it the process is alone
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
