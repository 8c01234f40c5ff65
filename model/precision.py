"""In which precision to compute, whatever the rest of the network does."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor

__all__ = ["exactly", "full"]


def exactly(like: Tensor) -> AbstractContextManager[object]:
    """Compute in full precision what stands in this context: geometry and losses."""
    return torch.autocast(like.device.type, enabled=False)


def full(x: Tensor) -> Tensor:
    """Return numbers in full precision: float32, and float64 where they come so."""
    return x if x.dtype == torch.float64 else x.float()
