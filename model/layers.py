"""Layers of the transformers: attention, blocks, stochastic depth.

Letters in shape comments: B batch, N tokens, M tokens of a memory, W width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everyone knows it by
from torch import Tensor, nn

from .config import NetworkConfig
from .noise import uniform
from .norm import BatchNorm
from .precision import float32_geometry

__all__ = [
    "STREAMS",
    "CrossTransformer",
    "DropPath",
    "PositionMLP",
    "Transformer",
    "flat_batch_norm",
    "pool",
    "projection_head",
]

STREAMS = {"points": 16, "image": 17, "global": 18, "reconstruction": 19}
"""The stream of random numbers that drops a part's branches, see `noise`."""


class DropPath:
    """Stochastic depth: which samples skip which branch.

    The samples' seeds decide; no generator has a state to be saved.

    Parameters
    ----------
    seeds : (B,) int64
    rate : share of samples that skip a branch of the last block; 0 in evaluation
    """

    def __init__(self, seeds: Tensor, rate: float) -> None:
        self.seeds, self.rate = seeds, rate

    def scales(self, stream: int, depth: int, branches: int) -> Tensor | None:
        """Return the factor of each branch, 0 or 1 / (1 - its rate).

        (depth, branches, B, 1, 1) float32; None if all are 1.
        """
        # evaluation, or no drop path: nothing to multiply
        if self.rate == 0:
            return None
        # the rate grows linearly with depth, as in Point-MAE
        rates = torch.linspace(0, self.rate, depth, device=self.seeds.device).repeat_interleave(
            branches
        )
        kept = uniform(self.seeds, stream, depth * branches) >= rates  # (B, depth branches)
        # kept branches are scaled up, so that the expectation stays
        factors: Tensor = kept / (1 - rates)
        return factors.T.reshape(depth, branches, -1, 1, 1)


class Transformer(nn.Module):
    """Blocks with the positions added before each, and a final norm."""

    def __init__(self, depth: int, config: NetworkConfig, *, qkv_bias: bool, stream: int) -> None:
        super().__init__()
        self.stream = stream
        self.blocks = nn.ModuleList(Block(config, qkv_bias=qkv_bias) for _ in range(depth))
        self.norm = nn.LayerNorm(config.width)

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor,
        *,
        hidden: Tensor | None = None,
        drop: DropPath | None = None,
    ) -> Tensor:
        """Transform (B, N, W) tokens with (B, N, W) positions.

        `hidden` is (B, N) bool, True = not attended to.
        """
        (features,) = self.layer_features(
            tokens, positions, (len(self.blocks),), hidden=hidden, drop=drop
        )
        return features

    def layer_features(
        self,
        tokens: Tensor,
        positions: Tensor,
        layers: Sequence[int],
        *,
        hidden: Tensor | None = None,
        drop: DropPath | None = None,
    ) -> list[Tensor]:
        """Return the features after some of the blocks, see `forward`.

        Blocks are counted from 1; each block's features pass the final norm.
        """
        # attention and MLP of a block are dropped apart: (depth, 2, B, 1, 1)
        scales = drop.scales(self.stream, len(self.blocks), 2) if drop else None
        features = []
        for i, block in enumerate(self.blocks):
            # positions are added before each block, as in Point-MAE
            tokens = block(tokens + positions, hidden, None if scales is None else scales[i])
            if i + 1 in layers:
                features.append(self.norm(tokens))
        return features


class CrossTransformer(nn.Module):
    """Layers of self-attention, cross-attention and MLP; a final norm.

    The positions are added before each layer.
    """

    def __init__(self, depth: int, config: NetworkConfig, *, stream: int) -> None:
        super().__init__()
        self.stream = stream
        self.layers = nn.ModuleList(CrossLayer(config) for _ in range(depth))
        self.norm = nn.LayerNorm(config.width)

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor,
        memory: Tensor,
        drop: DropPath,
        *,
        hidden: Tensor | None = None,
    ) -> Tensor:
        """Transform (B, N, W) tokens with (B, N, W) positions and (B, M, W) memory.

        Parameters
        ----------
        hidden : (B, M) bool, True = this part of the memory is not attended to
        """
        # a factor for each of the three branches: (depth, 3, B, 1, 1)
        scales = drop.scales(self.stream, len(self.layers), 3)
        for i, layer in enumerate(self.layers):
            tokens = layer(
                tokens + positions, memory, hidden, None if scales is None else scales[i]
            )
        normed: Tensor = self.norm(tokens)
        return normed


class Block(nn.Module):
    """Self-attention and MLP, each behind a norm and around a residual."""

    def __init__(self, config: NetworkConfig, *, qkv_bias: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.attention = SelfAttention(config.width, config.heads, bias=qkv_bias)
        self.mlp = mlp(config)

    def forward(self, x: Tensor, hidden: Tensor | None, scales: Tensor | None) -> Tensor:
        """Transform (B, N, W); scales (2, B, 1, 1) from `DropPath`."""
        # a dropped branch adds zero: its sample passes on unchanged
        x = x + _scaled(self.attention(self.norm1(x), hidden), scales, 0)
        return x + _scaled(self.mlp(self.norm2(x)), scales, 1)


class CrossLayer(nn.Module):
    """Self-attention, cross-attention and MLP, each behind a norm and around a residual."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(config.width) for _ in range(3))
        self.self_attention = SelfAttention(config.width, config.heads, bias=True)
        self.cross_attention = CrossAttention(config.width, config.heads)
        self.mlp = mlp(config)

    def forward(
        self, x: Tensor, memory: Tensor, hidden: Tensor | None, scales: Tensor | None
    ) -> Tensor:
        """Transform (B, N, W) with a memory (B, M, W).

        `hidden` is (B, M); `scales` (3, B, 1, 1) come from `DropPath`.
        """
        # `hidden` is about the memory, so all tokens of x attend to each other
        x = x + _scaled(self.self_attention(self.norm1(x), None), scales, 0)
        x = x + _scaled(self.cross_attention(self.norm2(x), memory, hidden), scales, 1)
        return x + _scaled(self.mlp(self.norm3(x)), scales, 2)


class SelfAttention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int, *, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, hidden: Tensor | None) -> Tensor:
        """Attend among (B, N, W) tokens; hidden (B, N) bool, True = not attended to."""
        # one product for queries, keys and values
        q, k, v = (
            self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )  # (B, heads, N, W / heads)
        # the attention wants the other polarity: True = attended to
        seen = None if hidden is None else ~hidden[:, None, None]  # (B, 1, 1, N)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        # the heads side by side again: (B, N, W)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class CrossAttention(nn.Module):
    """Multi-head attention whose keys and values come from a memory."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.kv = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, memory: Tensor, hidden: Tensor | None) -> Tensor:
        """Attend from (B, N, W) tokens to a memory (B, M, W).

        `hidden` is (B, M) bool, True = not attended to.
        """
        q = self.q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, W / heads)
        k, v = (
            self.kv(memory).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )  # (B, heads, M, W / heads)
        seen = None if hidden is None else ~hidden[:, None, None]  # (B, 1, 1, M)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


def mlp(config: NetworkConfig) -> nn.Sequential:
    """Make a block's MLP."""
    hidden = config.mlp_ratio * config.width
    return nn.Sequential(
        nn.Linear(config.width, hidden), nn.GELU(), nn.Linear(hidden, config.width)
    )


def _scaled(branch: Tensor, scales: Tensor | None, i: int) -> Tensor:
    """Scale a residual branch, (B, N, W), by its factor of `DropPath`.

    `scales` is (branches, B, 1, 1); None leaves the branch as it is.
    """
    # cast first: float32 factors would turn a bfloat16 branch into float32
    return branch if scales is None else branch * scales[i].to(branch.dtype)


class PositionMLP(nn.Sequential):
    """Embed (..., 3) patch centres as (..., W), in float32."""

    def __init__(self, hidden: int, width: int) -> None:
        super().__init__(nn.Linear(3, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, centres: Tensor) -> Tensor:
        """Embed centres."""
        # bfloat16 would move centres that lie close to each other onto one place
        with float32_geometry(centres):
            embedded: Tensor = super().forward(centres)  # type: ignore[no-untyped-call]
        return embedded


def projection_head(config: NetworkConfig) -> nn.Sequential:
    """Make a projection head, H_p or H_i.

    Two fully connected layers, with batch normalisation and ReLU after the first only.
    """
    pooled = config.width * (2 if config.pooling == "both" else 1)
    return nn.Sequential(
        nn.Linear(pooled, config.head_width),
        BatchNorm(config.head_width),
        nn.ReLU(),
        nn.Linear(config.head_width, config.shared_width),
    )


def pool(tokens: Tensor, how: str = "both", hidden: Tensor | None = None) -> Tensor:
    """Pool tokens over their number.

    Parameters
    ----------
    tokens : (B, N, W)
    how : max, mean, or both, concatenated
    hidden : (B, N) bool, True = left out; at least one of each row is not

    Returns
    -------
    pooled : (B, W), or (B, 2 W) of both
    """
    # hidden tokens neither win the maximum nor count in the mean
    if hidden is None:
        highest, mean = tokens.amax(1), tokens.mean(1)
    else:
        # (B, N, 1), the same for all channels
        left_out = hidden[..., None]
        highest = tokens.masked_fill(left_out, -torch.inf).amax(1)
        mean = tokens.masked_fill(left_out, 0).sum(1) / (~left_out).sum(1)
    return (
        {"max": highest, "mean": mean}[how] if how != "both" else torch.cat([highest, mean], dim=-1)
    )


def flat_batch_norm(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    """Normalise (..., channels) over all leading axes."""
    # each entry of the leading axes is a row of the batch: (rows, channels)
    normed: Tensor = norm(x.flatten(0, -2)).view(x.shape)
    return normed
