"""Linear probe: how well a linear classifier tells the categories apart from the features of a frozen encoder."""

from __future__ import annotations

import copy
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that everyone knows it by
from numpy.typing import NDArray
from torch import Tensor

from ...pack.reader import Shards
from ..config import PretrainConfig
from ..encoders import PointEncoder
from ..layers import pool
from ..norm import is_fresh, settle
from ..patches import make_patches, normalise_cloud
from ..precision import float32_geometry
from ..train.data import Feed

__all__ = ["Patches", "cut", "encode", "is_held_out", "linear_probe", "probe", "settled"]

Patches = tuple[Tensor, Tensor]
"""Centres, (B, G, 3), and neighbours, (B, G, K, 3), float32."""

_MOST_ROWS = 20_000  # a probe of more takes longer and tells no more
_CHUNK = 256
_HELD_OUT = 0.2
_PENALTY = 1e-3  # of the squared weights


def settled(encoder: PointEncoder, batches: Iterable[Patches]) -> PointEncoder:
    """Copy an encoder for evaluation, with running statistics that mean something.

    Those of an encoder that has learned nothing are taken from the batches. Without, random weights
    would be measured with batch norms that normalise nothing, and pretraining be held against less
    than it began with.

    Parameters
    ----------
    batches : shapes that the probe learns from; looked at only where the encoder has learned
        nothing
    """
    copied = copy.deepcopy(encoder).eval()
    if is_fresh(copied):
        settle(copied, batches)
    return copied


@torch.no_grad()
def encode(encoder: PointEncoder, batches: Iterable[Patches]) -> Tensor:
    """Return features of whole clouds, none of their patches masked: maximum and mean, (N, 2 W) float32."""
    return torch.cat([pool(encoder(*patches)).float() for patches in batches])


def cut(points: Tensor, config: PretrainConfig) -> Patches:
    """Cut (B, P, 3) float32 clouds, farthest point order, any frame, into the patches of pretraining."""
    with float32_geometry(points):
        return make_patches(normalise_cloud(points), config.patches, config.patch_points)


def linear_probe(features: Tensor, labels: Tensor, held_out: Tensor) -> float:
    """Fit a linear classifier and give its accuracy on what was held out.

    Multinomial logistic regression on standardised features, with a small penalty on the weights;
    fitted to its optimum by L-BFGS from zero, so the outcome does not depend on any draw.

    Parameters
    ----------
    features : (N, D) float
    labels : (N,) int64, in [0, classes)
    held_out : (N,) bool

    Returns
    -------
    accuracy : in [0, 1]
    """
    train = ~held_out
    mean, deviation = features[train].mean(0), features[train].std(0, correction=0)
    x = ((features - mean) / deviation.clamp_min(1e-6)).double()
    classes = int(labels.max()) + 1
    weight = torch.zeros(x.shape[1], classes, dtype=x.dtype, device=x.device, requires_grad=True)
    bias = torch.zeros(classes, dtype=x.dtype, device=x.device, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = (
            F.cross_entropy(x[train] @ weight + bias, labels[train])
            + _PENALTY * weight.square().sum()
        )
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimizer.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        hits = (x[held_out] @ weight + bias).argmax(1) == labels[held_out]
    return float(hits.double().mean())


def is_held_out(synset: str, model_id: str) -> bool:
    """Check whether a model is held out of the probe's training: one in five, all its views alike, in every run."""
    digest = hashlib.sha256(f"{synset}/{model_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < _HELD_OUT * 2**64


def probe(encoder: PointEncoder, feed: Feed, config: PretrainConfig) -> dict[str, Any] | None:
    """Probe an encoder by the categories of the shards that it is trained on.

    Returns
    -------
    outcome : `accuracy` on held-out models, `chance` (the share of the most frequent category
        there), `categories`, `train_rows`, `test_rows`; None where fewer than two categories have
        both
    """
    rows, labels, held_out = _split(feed.data.shards)
    if not len(rows):
        return None

    def batches(rows: NDArray[np.int64]) -> Iterator[Patches]:
        for start in range(0, len(rows), _CHUNK):
            yield cut(feed.take(rows[start : start + _CHUNK].tolist())["points"], config)

    features = encode(settled(encoder, batches(rows[~held_out])), batches(rows))
    accuracy = linear_probe(
        features,
        torch.from_numpy(labels).to(features.device),
        torch.from_numpy(held_out).to(features.device),
    )
    return {
        "accuracy": accuracy,
        "chance": float(np.bincount(labels[held_out]).max() / held_out.sum()),
        "categories": int(labels.max()) + 1,
        "train_rows": int((~held_out).sum()),
        "test_rows": int(held_out.sum()),
    }


def _split(shards: Shards) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Choose the probe's rows: their indices, labels and whether they are held out; empty where it cannot be."""
    every = np.unique(
        np.linspace(0, len(shards) - 1, min(len(shards), _MOST_ROWS)).astype(np.int64)
    )
    names = shards.read(every, ["synset", "model_id"])
    held_out = np.array(
        [is_held_out(*pair) for pair in zip(names["synset"], names["model_id"], strict=True)]
    )
    counts = [Counter(names["synset"][part].tolist()) for part in (held_out, ~held_out)]
    both: Sequence[str] = sorted(set(counts[0]) & set(counts[1]))
    if len(both) < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, bool)
    taken = np.isin(names["synset"].astype(str), both)
    return every[taken], np.searchsorted(both, names["synset"][taken].astype(str)), held_out[taken]
