"""`cma3d probe`: a linear SVM on frozen features, of ModelNet40 or of shards' own synsets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...core.errors import InputError, needs
from ...core.outputs import check_file, stamp_text, write_file
from ...core.settings import by_name
from ...pack.reader import Shards
from ..encoders import PointEncoder
from ..monitor.linear_probe import Patches, encode, linear_probe, linear_svm, recalibrated
from ..network import initialise
from ..patches import make_patches
from ..train.pretraining import threads
from ..train.step import choose_device
from ..weights.initial import InitialEncoder, load_initial
from .benchmarks.layouts import open_dataset
from .benchmarks.prepared import Clouds, normalises, prepare, prepare_shape, split_held_out
from .benchmarks.shapes import IntArray
from .config import ProbeConfig
from .results import code_version

__all__ = ["probe"]

_KIND = "probe"  # of file
_LARGEST = 1e18  # of a feature: squares of larger ones are no float32
_CS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


def probe(
    data: Path,
    config: ProbeConfig,
    *,
    shards: bool = False,
    init: Path | None = None,
    scratch: bool = False,
    out: Path | None = None,
    jobs: int | None = None,
    report: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train a linear SVM on an encoder's features, which stay as they are.

    Parameters
    ----------
    data : ModelNet40, or a folder of shards
    config : settings
    shards : whether `data` is a folder of shards: then synsets are the classes, and models are
        split by the seed
    init, scratch : see `initial.load_initial`; random features are what pretraining is held against
    out : JSON file of the result; one of an earlier probe is replaced

    Returns
    -------
    result : accuracy, chance, c, numbers of shapes and classes, and where everything comes from

    Raises
    ------
    InputError : bad data, settings or weights; fewer than two classes
    """
    try:
        import sklearn
    except ImportError as error:
        raise needs("scikit-learn", "train", error) from None
    if out is not None:
        check_file(out, _KIND, [data, init])
    initial = load_initial(init, scratch=scratch)
    train, test, source = (
        shard_clouds(data, config) if shards else benchmark_clouds(data, config, jobs)
    )
    report(
        f"{source}: {len(train):,} shapes to learn from, {len(test):,} to test; {initial.source}"
    )
    present = np.unique(train.labels)
    if len(present) < 2:
        raise InputError(
            f"{data}: a linear probe needs shapes of at least 2 classes, found {len(present)}"
        )
    with threads(config.threads):
        features = features_of(initial, train, test, config)
    # 0 asks for a choice by the training shapes
    c = config.c or choose_c(features[0], train.labels, config.seed)
    accuracy = svm_accuracy(features[0], train.labels, features[1], test.labels, c)
    result = {
        "generator": stamp_text(_KIND),  # first, so that the file is known as ours
        "task": "probe",
        "data": source,
        "initial": initial.source,
        "initial_hash": initial.fingerprint,
        "accuracy": accuracy,
        "chance": float(np.bincount(test.labels).max() / len(test)),
        "c": c,
        "train": len(train),
        "test": len(test),
        "classes": len(train.classes),
        "features": features[0].shape[1],
        "data_hash": f"{train.fingerprint()}-{test.fingerprint()}",
        "code": code_version(),
        "scikit_learn": sklearn.__version__,
        "config": by_name(config),
    }
    if out is not None:
        write_file(out, _KIND, (json.dumps(result, indent=1) + "\n").encode(), inputs=[data, init])
    return result


def benchmark_clouds(
    data: Path, config: ProbeConfig, jobs: int | None
) -> tuple[Clouds, Clouds, str]:
    """Read ModelNet40's two splits."""
    dataset = open_dataset(data, "modelnet40")
    normalise = normalises("modelnet40", config.normalise)
    train, test = (
        prepare(dataset, split, config.points, normalise=normalise, jobs=jobs)
        for split in ("train", "test")
    )
    return train, test, f"modelnet40 ({dataset.layout})"


def shard_clouds(data: Path, config: ProbeConfig) -> tuple[Clouds, Clouds, str]:
    """Read shards and split them by model.

    All rows of a model are on the same side; each synset has its share of tests.
    """
    reader = Shards(data)
    rows = reader.read(range(len(reader)), ["points", "synset", "model_id"])
    classes, labels = np.unique(rows["synset"], return_inverse=True)
    keys = np.array(
        [
            f"{synset}/{model}"
            for synset, model in zip(rows["synset"], rows["model_id"], strict=True)
        ]
    )
    # split models, not rows: views of one model are nearly the same
    models, first = np.unique(keys, return_index=True)
    kept, held = split_held_out(labels[first], config.test_share, config.seed)
    if not len(held):
        raise InputError(
            f"{data}: no synset has the models to split off {config.test_share:.0%} for a "
            f"test: pack more"
        )
    normalise = normalises("shards", config.normalise)
    clouds = np.stack(
        [
            prepare_shape((points, None), config.points, normalise=normalise)[0]
            for points in rows["points"]
        ]
    )
    every = Clouds(
        clouds, labels.astype(np.int64), tuple(map(str, classes)), None, tuple(keys.tolist())
    )
    sides = [np.flatnonzero(np.isin(keys, models[part])) for part in (kept, held)]
    return every.pick(sides[0]), every.pick(sides[1]), f"shards {data}, by synset"


def features_of(
    initial: InitialEncoder, train: Clouds, test: Clouds, config: ProbeConfig
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the features of both sides, (N, 2 W) each."""
    patch_points = initial.config.network.patch_points
    if config.points < patch_points:
        raise InputError(f"points = {config.points} are fewer than the {patch_points} of a patch")
    device = choose_device(config.device)

    def batches(clouds: Clouds) -> Iterator[Patches]:
        for start in range(0, len(clouds), config.batch_size):
            points = torch.from_numpy(
                clouds.points[start : start + config.batch_size, : config.points]
            ).to(device)
            yield make_patches(points, config.patches, patch_points)

    # running statistics, if they are made here, come from training shapes alone
    encoder = recalibrated(make_encoder(initial, config.seed).to(device), batches(train))
    features = [encode(encoder, batches(side)).cpu().numpy() for side in (train, test)]
    if not all(bool((np.abs(each) < _LARGEST).all()) for each in features):  # nor NaN
        raise InputError(
            f"{initial.source}: its weights give features that are not finite, "
            f"or too large to be told apart: "
            "give the encoder of another run"
        )
    return features[0], features[1]


def make_encoder(initial: InitialEncoder, seed: int) -> PointEncoder:
    """Make an encoder from the seed, with the initial weights if any."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = PointEncoder(initial.config.network).apply(initialise)
    if initial.weights is not None:
        encoder.load_state_dict(initial.weights)
    return encoder


def svm_accuracy(
    train: NDArray[np.float32],
    labels: IntArray,
    test: NDArray[np.float32],
    true: IntArray,
    c: float,
) -> float:
    """Return the accuracy on test shapes of a linear SVM, see `linear_probe`."""
    return linear_probe(train, labels, test, true, linear_svm(c))


def choose_c(features: NDArray[np.float32], labels: IntArray, seed: int) -> float:
    """Choose the SVM's C on tenths of the training shapes.

    Each tenth has at least one shape of each class; of equal scores the smallest C wins.

    A tenth of a small set ties by chance, and the smallest of those may be far from the best:
    tenths are drawn until 500 shapes were tried, at most ten times.
    """
    # at least one shape of each class
    share = max(0.1, 1 / max(int(np.bincount(labels).max()), 1))
    right, tried = np.zeros(len(_CS)), 0
    for draw in range(10):
        kept, held = split_held_out(labels, share, seed + draw)
        if not len(held) or len(np.unique(labels[kept])) < 2:
            return 1e-2
        parts = features[kept], labels[kept], features[held], labels[held]
        # shapes that are right, summed over the draws
        right += [round(len(held) * svm_accuracy(*parts, c)) for c in _CS]
        tried += len(held)
        if tried >= 500:
            break
    # of equal scores argmax takes the first, which is the smallest C
    return _CS[int(np.argmax(right))]
