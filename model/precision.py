"""Full precision for geometry and losses.

Whatever the rest of the network computes in.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor

__all__ = ["float32_geometry", "full_precision"]


def float32_geometry(like: Tensor) -> AbstractContextManager[object]:
    """Disable autocast on a tensor's device: geometry and losses stay in float32."""
    return torch.autocast(like.device.type, enabled=False)


def full_precision(x: Tensor) -> Tensor:
    """Return numbers as float32, or as float64 if they are float64."""
    return x if x.dtype == torch.float64 else x.float()
