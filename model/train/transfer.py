"""Transfer of batches from a loader's worker to the training process.

Each batch is one piece of memory.

torch would give each tensor a shared memory of its own and copy into it page fault by page fault,
which costs a worker a fifth of its time beside reading; and /dev/shm, which is small in containers,
would bound what is under way.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from multiprocessing.reduction import DupFd
from typing import Any

import torch
from torch.utils.data import get_worker_info

__all__ = ["pack_for_worker"]

_Layout = list[tuple[str, torch.dtype, torch.Size, int]]
"""Name, dtype, shape and place, bytes, of each tensor."""
_ALIGN = 64  # bytes: of each tensor's place


def pack_for_worker(batch: Any) -> Any:
    """Pack a batch as one piece of memory, inside a loader's worker.

    Outside of a worker the batch itself is returned.

    Parameters
    ----------
    batch : dict of tensors of the CPU, and other values, by name

    Returns
    -------
    batch : the same values; where it arrives it is a plain dict, and its tensors are the receiver's
        own
    """
    return (
        batch
        if get_worker_info() is None or not hasattr(os, "memfd_create")
        else _PackedBatch(batch)
    )


class _PackedBatch(dict[str, Any]):
    """A batch that is pickled as one piece of memory."""

    def __copy__(self) -> _PackedBatch:  # torch's `default_convert` copies
        return _PackedBatch(self)

    def __reduce__(self) -> tuple[Any, ...]:
        layout: _Layout = []
        others: dict[str, Any] = {}
        parts: list[Any] = [bytes(_ALIGN)]  # no memory is empty
        end = _ALIGN
        for name, value in self.items():
            if not isinstance(value, torch.Tensor):
                others[name] = value
                continue
            # as bytes of any type; the layout tells the receiver type and shape
            content = value.contiguous().view(-1).view(torch.uint8).numpy()
            layout.append((name, value.dtype, value.shape, end))
            parts += [content, bytes(-len(content) % _ALIGN)]
            end += len(content) + len(parts[-1])
        # a file in memory without a name: it lasts as long as somebody has it open
        memory = os.memfd_create("batch")
        try:
            _write(memory, parts)
            return _unpack, (DupFd(memory), end, layout, others, list(self))
        finally:
            os.close(memory)


def _write(memory: int, parts: Sequence[Any]) -> None:
    """Write parts one after the other: pages come filled, without a fault each."""
    for part in parts:
        written = 0
        while written < len(part):
            written += os.write(memory, part[written:])


def _unpack(
    handle: Any, size: int, layout: _Layout, others: dict[str, Any], names: list[str]
) -> dict[str, Any]:
    """Rebuild a batch on the memory that it arrived in.

    That memory lasts as long as one of its tensors.
    """
    descriptor = handle.detach()
    try:  # torch maps it and keeps no descriptor, of which a process has few
        memory = torch.from_file(
            f"/proc/self/fd/{descriptor}", shared=True, size=size, dtype=torch.uint8
        )
    finally:
        os.close(descriptor)
    values = dict(others)
    for name, dtype, shape, place in layout:
        # a view of the received memory, nothing is copied
        content = memory[place : place + shape.numel() * dtype.itemsize]
        values[name] = content.view(dtype).view(shape)
    return {name: values[name] for name in names}
