"""Fixed samples as a network masks and reconstructs them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from ...core.arrays import read_arrays
from ...core.errors import InputError
from ..network import CrossAlignNet
from ..noise import sample_seeds
from ..precision import float32_geometry
from ..train.data import Batch
from ..weights.checkpoint import first_line

__all__ = ["Snapshot", "fixed_rows", "reconstruct"]


@dataclass(frozen=True)
class Snapshot:
    """Masks and reconstruction of some samples; True = masked.

    Attributes
    ----------
    rows : (B,) int64, index of each sample in the shards
    centres : (B, G, 3) float32, patch centres, normalised frame
    patches : (B, G, K, 3) float32, the true points, relative to the centres
    predicted : (B, G, K, 3) float32, as reconstructed; NaN where a patch is not masked
    masked : (B, G) bool, point patches
    masked_cells : (B, C) bool, image cells
    """

    rows: NDArray[np.int64]
    centres: NDArray[np.float32]
    patches: NDArray[np.float32]
    predicted: NDArray[np.float32]
    masked: NDArray[np.bool_]
    masked_cells: NDArray[np.bool_]

    def as_npz(self) -> bytes:
        """Make an .npz file of these arrays."""
        content = io.BytesIO()
        np.savez(content, **{field.name: getattr(self, field.name) for field in fields(self)})
        return content.getvalue()

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `as_npz` made.

        Raises
        ------
        InputError : a file that is missing, damaged, or holds something else
        """
        try:
            snapshot = cls(**read_arrays(path, [field.name for field in fields(cls)]))
            snapshot.check()
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path} holds no reconstructions ({first_line(error)}): remove it, "
                f"it is made again"
            ) from None
        return snapshot

    def check(self) -> None:
        """Check types, shapes and coordinates; raises ValueError."""
        samples, patches = self.masked.shape if self.masked.ndim == 2 else (0, 0)
        shape = (samples, patches, *self.patches.shape[2:3], 3)
        expected = {
            "rows": (np.int64, (samples,)),
            "centres": (np.float32, (samples, patches, 3)),
            "patches": (np.float32, shape),
            "predicted": (np.float32, shape),
            "masked": (np.bool_, (samples, patches)),
            "masked_cells": (np.bool_, (samples, *self.masked_cells.shape[1:2])),
        }
        for name, (kind, sizes) in expected.items():
            array = getattr(self, name)
            if array.dtype != kind or array.shape != sizes or not array.size:
                raise ValueError(f"{name} is of another shape")
        # NaN marks visible patches, so only masked predictions must be finite
        coordinates = (self.centres, self.patches, self.predicted[self.masked])
        if not all(np.isfinite(each).all() for each in coordinates):
            raise ValueError("its coordinates are not all finite")


def fixed_rows(rows: int, count: int = 4) -> list[int]:
    """Choose some rows of the shards, spread evenly: always the same ones."""
    # the middles of equal parts; a set, since with few rows some are the same
    return sorted({(2 * i + 1) * rows // (2 * count) for i in range(count)})


@torch.no_grad()
def reconstruct(network: CrossAlignNet, batch: Batch, *, seed: int = 0, epoch: int = 0) -> Snapshot:
    """Mask samples and reconstruct what is masked, in evaluation and float32.

    Parameters
    ----------
    network : trains the reconstruction; is set to evaluation for the time, so that nothing of it
        changes
    batch : `rows`, `points`, `pixels`, `rgb`, see `ShardRows.__getitems__`, on the network's device
    seed, epoch : decide the masks, with the rows

    Raises
    ------
    ValueError : a network without a reconstruction
    """
    training = network.training
    network.eval()
    try:
        with float32_geometry(batch["points"]):
            seeds = sample_seeds(seed, epoch, batch["rows"])  # (B,)
            encoding = network.encode({**batch, "seeds": seeds})
            predicted = network.reconstruct(encoding).by_patch()  # (B, G, K, 3)
    finally:
        network.train(training)
    masks = encoding.masks
    arrays = (
        batch["rows"],
        encoding.centres,
        encoding.neighbours,
        predicted,
        masks.points,
        masks.cells,
    )
    return Snapshot(*(array.cpu().numpy() for array in arrays))


def epochs_shown(epochs: Sequence[int], count: int = 4) -> list[int]:
    """Choose some of the epochs: the first, the last, and some between."""
    places = np.unique(np.linspace(0, len(epochs) - 1, min(count, len(epochs))).round().astype(int))
    return [epochs[place] for place in places]
