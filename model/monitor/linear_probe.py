"""Linear probe of a frozen encoder: the accuracy of a linear classifier."""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...core.arrays import spread_indices
from ...core.files import hash_to_fraction
from ...pack.reader import Shards
from ..config import NetworkConfig
from ..encoders import PointEncoder
from ..layers import pool
from ..norm import has_no_statistics, recalibrate_batch_norm
from ..patches import make_patches, normalise_cloud
from ..precision import float32_geometry
from ..train.data import BatchSource

__all__ = [
    "Patches",
    "cut_patches",
    "encode",
    "is_held_out",
    "linear_probe",
    "linear_svm",
    "logistic_regression",
    "probe",
    "recalibrated",
]

Features = NDArray[np.float32] | NDArray[np.float64]
Labels = NDArray[np.int64]

Patches = tuple[Tensor, Tensor]
"""Centres, (B, G, 3), and neighbours, (B, G, K, 3), float32."""

_MOST_ROWS = 20_000  # a probe of more takes longer and tells no more
_CHUNK = 256
_HELD_OUT = 0.2
_PENALTY = 1e-3  # of the squared weights


def recalibrated(encoder: PointEncoder, batches: Iterable[Patches]) -> PointEncoder:
    """Copy an encoder for evaluation, with meaningful running statistics.

    Those of an encoder that has learned nothing are taken from the batches. Without, random weights
    would be measured with batch norms that normalise nothing, and pretraining be held against less
    than it began with.

    Parameters
    ----------
    batches : shapes that the probe learns from; looked at only where the encoder has learned
        nothing
    """
    copied = copy.deepcopy(encoder).eval()
    # random weights have seen no batch
    if has_no_statistics(copied):
        recalibrate_batch_norm(copied, batches)
    return copied


@torch.no_grad()
def encode(encoder: PointEncoder, batches: Iterable[Patches]) -> Tensor:
    """Encode whole clouds, no patch masked: maximum and mean, (N, 2 W) float32."""
    return torch.cat([pool(encoder(*patches)).float() for patches in batches])


def cut_patches(points: Tensor, config: NetworkConfig) -> Patches:
    """Cut clouds into the patches of pretraining.

    The clouds are (B, P, 3) float32, in farthest point order, in any frame.
    """
    with float32_geometry(points):
        return make_patches(normalise_cloud(points), config.patches, config.patch_points)


def linear_probe(
    train: Features,
    labels: Labels,
    test: Features,
    true: Labels,
    classifier: Any,
) -> float:
    """Fit a linear classifier on standardised features and return its accuracy.

    The one linear probe: pretraining gives it `logistic_regression`, `cma3d probe` `linear_svm`.

    Parameters
    ----------
    train, test : (N, D) and (M, D) float
    labels, true : (N,) and (M,) int64, the classes
    classifier : of scikit-learn; fitted here

    Returns
    -------
    accuracy : share of the test rows that are right, in [0, 1]
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pipeline = make_pipeline(StandardScaler(), classifier)
    with warnings.catch_warnings():  # iterations are bounded on purpose
        warnings.simplefilter("ignore", ConvergenceWarning)
        return float(pipeline.fit(train, labels).score(test, true))


def logistic_regression(rows: int) -> Any:
    """Return a multinomial logistic regression, which stays fast with many rows and classes.

    Its loss is the mean cross entropy plus a thousandth of the squared weights. It begins at zero
    and goes to the optimum, so the outcome depends on no draw.

    Parameters
    ----------
    rows : number of training rows
    """
    from sklearn.linear_model import LogisticRegression

    # scikit-learn minimises C times the summed cross entropy plus half of the squared weights
    return LogisticRegression(C=1 / (2 * _PENALTY * rows), max_iter=100, tol=1e-6)


def linear_svm(c: float) -> Any:
    """Return a linear support vector machine, the classifier that published probes use.

    Parameters
    ----------
    c : weight of the errors
    """
    from sklearn.svm import SVC

    return SVC(kernel="linear", C=c)


def is_held_out(synset: str, model_id: str) -> bool:
    """Check whether a model is held out of the probe's training.

    One model in five, with all its views, in every run.
    """
    # the name decides, so every run holds out the same models
    return hash_to_fraction(f"{synset}/{model_id}") < _HELD_OUT


def probe(encoder: PointEncoder, feed: BatchSource, config: NetworkConfig) -> dict[str, Any] | None:
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
            yield cut_patches(feed.take(rows[start : start + _CHUNK].tolist())["points"], config)

    train = ~held_out
    # running statistics, if they are made here, come from training rows alone
    encoded = encode(recalibrated(encoder, batches(rows[train])), batches(rows))  # (N, 2 W)
    features = encoded.double().cpu().numpy()
    accuracy = linear_probe(
        features[train],
        labels[train],
        features[held_out],
        labels[held_out],
        logistic_regression(int(train.sum())),
    )
    return {
        "accuracy": accuracy,
        "chance": float(np.bincount(labels[held_out]).max() / held_out.sum()),
        "categories": int(labels.max()) + 1,
        "train_rows": int((~held_out).sum()),
        "test_rows": int(held_out.sum()),
    }


def _split(shards: Shards) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Choose the probe's rows: indices, labels, and whether held out.

    All are empty if fewer than two categories have models on both sides.
    """
    # rows spread evenly over the shards
    every = np.array(spread_indices(len(shards), _MOST_ROWS), dtype=np.int64)
    names = shards.read(every, ["synset", "model_id"])
    held_out = np.array(
        [is_held_out(*pair) for pair in zip(names["synset"], names["model_id"], strict=True)]
    )
    # a category counts if it has models on both sides
    counts = [Counter(names["synset"][part].tolist()) for part in (held_out, ~held_out)]
    both: Sequence[str] = sorted(set(counts[0]) & set(counts[1]))
    if len(both) < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, bool)
    taken = np.isin(names["synset"].astype(str), both)
    # the categories are sorted, so the place that a search finds is the label
    return every[taken], np.searchsorted(both, names["synset"][taken].astype(str)), held_out[taken]
