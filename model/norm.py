"""Batch normalisation over the rows of all processes.

Its running statistics are right from the first step on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everyone knows it by
from torch import Tensor, nn

from .distributed import all_sum, process_count
from .precision import full_precision

__all__ = ["BatchNorm", "has_no_statistics", "recalibrate_batch_norm", "reset_running_stats"]


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of (N, channels) over the rows of all processes.

    It works on CPUs, too: torch's own, SyncBatchNorm, works on GPUs alone.

    Every rank must hold the same number of rows. State and output are `nn.BatchNorm1d`'s, but the
    running statistics are plain averages over the first 1 / momentum batches, and follow with the
    momentum thereafter. Torch lets them begin at mean 0 and variance 1. The first layer's true
    variance, of neighbours relative to their centre times weights of deviation 0.02, is about 1e-5:
    beside it that 1 weighs for 130 steps, in which evaluation sees patches that are all alike.

    Attributes
    ----------
    alone : whether the rows of other ranks are left out
    """

    alone = False

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name of the base
        """Normalise (N, channels)."""
        if not self.training:
            return super().forward(input)
        if self.alone or process_count() == 1:
            # buffers that batch_norm overwrites with the batch's own statistics
            mean, variance = (
                torch.zeros_like(self.get_buffer(name)) for name in ("running_mean", "running_var")
            )
            normed = F.batch_norm(
                input,
                mean,
                variance,
                self.weight,
                self.bias,
                training=True,
                momentum=1.0,
                eps=self.eps,
            )  # with this momentum, mean and variance are the batch's afterwards
            self._remember(mean, variance)
            return normed
        with torch.autocast(input.device.type, enabled=False):
            x = full_precision(input)
            # every rank has as many rows, so their number needs no exchange
            rows = len(x) * process_count()
            # two passes: the variance about the common mean loses no digits
            mean = all_sum(x.sum(0)) / rows
            variance = all_sum((x - mean).square().sum(0)) / rows
            # the running variance is the unbiased one, as in torch
            self._remember(mean.detach(), variance.detach() * (rows / (rows - 1)))
            scale = self.weight * (variance + self.eps).rsqrt()
            return ((x - mean) * scale + self.bias).to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Follow the running statistics, without waiting for the device."""
        # a plain average at first, the momentum later
        batches = self.get_buffer("num_batches_tracked").add_(1)
        weight = (1 / batches).clamp(min=self.momentum or 0.0).to(mean.dtype)
        self.get_buffer("running_mean").lerp_(mean, weight)
        self.get_buffer("running_var").lerp_(variance, weight)


def reset_running_stats(network: nn.Module) -> None:
    """Reset a network's running statistics; they begin anew with the next batch."""
    for norm in _norms(network):
        norm.reset_running_stats()


def has_no_statistics(network: nn.Module) -> bool:
    """Check whether a network has batch norms that have seen no batch yet."""
    return any(not norm.num_batches_tracked for norm in _norms(network))


@torch.no_grad()
def recalibrate_batch_norm(network: nn.Module, batches: Iterable[Sequence[Tensor]]) -> None:
    """Set a network's running statistics to the averages over some batches.

    Only this process sees the batches.

    Parameters
    ----------
    batches : the network's positional arguments
    """
    training, norms = network.training, _norms(network)
    # momentum None averages all batches alike; the other processes are left out
    momenta = [norm.momentum for norm in norms]
    reset_running_stats(network)
    for norm in norms:
        norm.momentum, norm.alone = None, True
    # only in training do the norms follow the batches
    network.train()
    for batch in batches:
        network(*batch)
    network.train(training)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum, norm.alone = momentum, False


def _norms(network: nn.Module) -> list[BatchNorm]:
    return [module for module in network.modules() if isinstance(module, BatchNorm)]
