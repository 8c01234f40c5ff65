"""Random numbers without a state.

Every draw is a function of (run seed, epoch, row, stream, position).

A sample's masks and dropped branches are therefore the same alone and in a batch, on every device,
and after a resumed run; there is no generator whose state would have to be saved. The function is
splitmix64 (Steele, Lea and Flood 2014): integers that wrap around at 64 bits.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["draw", "sample_seeds", "uniform"]


def _signed(value: int) -> int:
    """Return the int64 that has the bits of an unsigned 64-bit number."""
    return value - (1 << 64) if value >= 1 << 63 else value


_STEP = _signed(0x9E3779B97F4A7C15)
_FIRST, _SECOND = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Shift right and fill with zeros, where `>>` would repeat the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def mix(x: Tensor) -> Tensor:
    """Scramble (...) int64 one to one: the output function of splitmix64."""
    # int64 products wrap around, as the generator wants
    x = (x ^ _shift(x, 30)) * _FIRST
    x = (x ^ _shift(x, 27)) * _SECOND
    return x ^ _shift(x, 31)


def sample_seeds(seed: int, epoch: int, rows: Tensor) -> Tensor:
    """Return each sample of a batch its seed.

    Parameters
    ----------
    seed : of the run
    epoch : so that a row is masked anew in every epoch
    rows : (B,) int64, index of the sample in the shards

    Returns
    -------
    seeds : (B,) int64
    """
    # mixed twice, so that neighbouring seeds, epochs and rows share no pattern
    run = mix(torch.full_like(rows, seed) + _STEP)
    return mix(mix(run + epoch * 2 + 1) + rows * _STEP)


def draw(seeds: Tensor, stream: int, count: int) -> Tensor:
    """Draw integers for each sample; different streams are independent.

    Parameters
    ----------
    seeds : (B,) int64, from `sample_seeds`
    stream : what the numbers are for, 0 to 2^20
    count : numbers a sample, below 2^20

    Returns
    -------
    numbers : (B, count) int64, uniform in [0, 2^40)
    """
    numbers: Tensor = _draw(seeds, stream, count)
    return numbers


# An operator of its own, which compilers take as it is: they would make addresses of multiples of
# the position, and fail where these wrap around.
@torch.library.custom_op(
    "shapenet3d_cma::draw",
    mutates_args=(),
    schema="(Tensor seeds, int stream, int count) -> Tensor",
)
def _draw(seeds: Tensor, stream: int, count: int) -> Tensor:
    # streams take disjoint ranges of positions
    position = torch.arange(1, count + 1, device=seeds.device) + (stream << 20)
    # the upper 40 of the 64 bits: (B, count)
    return _shift(mix(seeds[:, None] + position * _STEP), 24)


@_draw.register_fake
def _(seeds: Tensor, stream: int, count: int) -> Tensor:
    return seeds.new_empty(len(seeds), count)


def uniform(seeds: Tensor, stream: int, count: int) -> Tensor:
    """Draw (B, count) float32, uniform in [0, 1); arguments as for `draw`."""
    # 24 bits are all that a float32 below 1 holds
    return _shift(draw(seeds, stream, count), 16).float() * 2.0**-24
