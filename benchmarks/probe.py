"""The worth of pretraining with few labels: linear probes of encoders.

A run's encoder is compared with random weights.

    python benchmarks/probe.py RUN SHARDS [--shots 1 5 10 20] [--draws 5]

Of each category so many rows are drawn to train a linear classifier on frozen features; all others
try it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from shapenet3d_cma.model.encoders import PointEncoder
from shapenet3d_cma.model.monitor.linear_probe import (
    cut_patches,
    encode,
    linear_probe,
    logistic_regression,
    recalibrated,
)
from shapenet3d_cma.model.network import initialise
from shapenet3d_cma.model.weights.encoder import load_encoder
from shapenet3d_cma.pack.reader import Shards


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("shards", type=Path, nargs="?")
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 5, 10, 20])
    parser.add_argument("--draws", type=int, default=5)
    words = parser.parse_args()
    if words.shards is None:
        print(
            "give a finished RUN and its SHARDS; docs/pretraining.md tells how a small one is made"
        )
        return
    trained, config = load_encoder(words.run)
    torch.manual_seed(0)
    random = PointEncoder(config.network).apply(initialise)
    shards = Shards(words.shards)
    rows = shards.read(range(len(shards)), ["points", "synset"])
    categories, labels = np.unique(rows["synset"].astype(str), return_inverse=True)
    batches = [
        cut_patches(part, config.network) for part in torch.from_numpy(rows["points"]).split(64)
    ]
    features = {
        name: encode(recalibrated(encoder, batches), batches)
        for name, encoder in (("random weights", random), ("pretrained", trained))
    }
    print(
        f"{len(labels)} rows of {len(categories)} categories; accuracy on the rows that were not "
        "drawn"
    )
    least = int(np.bincount(labels).min())
    for shots in (shots for shots in words.shots if shots < least):
        draw, told = np.random.default_rng(shots), {name: [] for name in features}
        for _ in range(words.draws):
            held_out = np.ones(len(labels), bool)
            for category in range(len(categories)):
                held_out[draw.permutation(np.flatnonzero(labels == category))[:shots]] = False
            for name, values in features.items():
                x, train = values.double().numpy(), ~held_out
                accuracy = linear_probe(
                    x[train], labels[train], x[held_out], labels[held_out],
                    logistic_regression(int(train.sum())),
                )  # fmt: skip
                told[name].append(accuracy)
        said = ", ".join(
            f"{name} {np.mean(each):.1%} +- {np.std(each):.1%}" for name, each in told.items()
        )
        print(f"{shots:>3} a category: {said}", flush=True)


if __name__ == "__main__":
    main()
