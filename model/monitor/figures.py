"""Patches, masks and reconstructions of a row, as plain arrays for pictures.

Nothing is computed a second time here: patches, masks and reconstructions come from what training
calls.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...core.errors import InputError
from ..config import MaskConfig, PretrainConfig
from ..network import CrossAlignNet
from ..noise import sample_seeds
from ..patches import make_patches, normalise_cloud
from ..weights.saved_run import read_run

__all__ = ["STRATEGIES", "Trained", "all_masks", "patch_indices", "read_trained"]

STRATEGIES: tuple[str, ...] = get_args(get_type_hints(MaskConfig)["mask_strategy"])


def patch_indices(
    points: NDArray[np.float32], patches: int, patch_points: int
) -> NDArray[np.uint16]:
    """Return the points of each patch, by matching what `make_patches` cut.

    Parameters
    ----------
    points : (P, 3) float32, object frame, farthest point order

    Returns
    -------
    indices : (G, K) uint16, nearest to the centre first
    """
    cloud = normalise_cloud(torch.from_numpy(points)[None])  # (1, P, 3)
    centres, neighbours = make_patches(cloud, patches, patch_points)
    # offsets of all points, computed as `make_patches` does: equal bits
    relative = cloud[0][None] - centres[0][:, None]  # (G, P, 3), as `make_patches` subtracts
    pairs = zip(relative, neighbours[0], strict=True)  # (P, 3) and (K, 3) of each patch
    # (K, P, 3), the largest difference of a coordinate (K, P), the nearest point (K,)
    indices = [(offsets[None] - cut[:, None]).abs().amax(-1).argmin(-1) for offsets, cut in pairs]
    return torch.stack(indices).numpy().astype(np.uint16)


def all_masks(
    pixels: NDArray[np.uint16],
    row: int,
    shard_size: tuple[int, int],
    config: PretrainConfig,
    ratios: Sequence[float],
    seeds: Sequence[int],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], tuple[int, int]]:
    """Mask a row for every strategy, ratio and seed of a run.

    As training does in its first epoch.

    Parameters
    ----------
    pixels : (P, 2) uint16, (u, v) of each point
    row : index of the row in the shards
    shard_size : (H, W) of the row's image
    config : its strategy, ratio and collision rule are replaced by those asked for

    Returns
    -------
    points : (R, S, 2, G) bool, True = masked; without and with the collision rule
    cells : (T, R, S, 2, C) bool, True = masked; strategies as in STRATEGIES
    grid : rows and columns of the C cells

    Raises
    ------
    InputError : pixels outside the image, or an image that cannot be cut into cells
    """
    # a damaged row must not index outside of the image
    if (pixels[: config.network.patches] >= shard_size[::-1]).any():
        raise InputError("the row has pixels outside its image")
    network, grid = _without_weights(config, shard_size)
    centres = torch.from_numpy(pixels[: config.network.patches].astype(np.int64)).expand(
        len(seeds), -1, -1
    )  # (S, G, 2)
    drawn = torch.cat([sample_seeds(seed, 0, torch.tensor([row])) for seed in seeds])  # (S,)
    shape = (len(ratios), len(seeds), 2)
    points = np.empty((*shape, config.network.patches), dtype=np.bool_)
    cells = np.empty((len(STRATEGIES), *shape, grid[0] * grid[1]), dtype=np.bool_)
    # the page switches between all of these without computing
    for t, strategy in enumerate(STRATEGIES):
        for r, ratio in enumerate(ratios):
            for rule in (0, 1):
                chosen: dict[str, Any] = {
                    "mask_strategy": strategy,
                    "mask_ratio": ratio,
                    "mask_collisions": bool(rule),
                }
                # `masks` reads the settings at each call, so one network serves all of them
                network.config = config.replace(chosen)
                masks = network.masks(centres, drawn)
                # (S, G); point masks do not depend on the strategy, so each one writes the same
                points[r, :, rule] = masks.points.numpy()
                cells[t, r, :, rule] = masks.cells.numpy()
    return points, cells, grid


@functools.lru_cache(maxsize=2)
def _without_weights(
    config: PretrainConfig, shard_size: tuple[int, int]
) -> tuple[CrossAlignNet, tuple[int, int]]:
    """Make a network for its masks alone, which need no weights.

    Return also the rows and columns of its image's cells.
    """
    sizes = config.network
    size = (sizes.image_size, sizes.image_size) if sizes.image_size else shard_size
    side = sizes.image_patch
    if size[0] % side or size[1] % side:
        raise InputError(
            f"images of {size[1]} x {size[0]} pixels cannot be cut into patches of {side}"
        )
    with torch.device("meta"):
        return CrossAlignNet(config, shard_size), (size[0] // side, size[1] // side)


@dataclass(frozen=True)
class Trained:
    """A network as a run's last checkpoint has it."""

    network: CrossAlignNet
    config: PretrainConfig
    step: int
    steps: int

    @torch.inference_mode()
    def reconstruct(
        self,
        points: NDArray[np.float32],
        pixels: NDArray[np.uint16],
        rgb: NDArray[np.uint8],
        row: int,
        seeds: Sequence[int],
    ) -> dict[str, NDArray[Any]]:
        """Mask a row and reconstruct the masked patches, for several seeds.

        Parameters
        ----------
        points : (P, 3) float32; pixels : (P, 2) uint16; rgb : (H, W, 3) uint8
        row : index of the row in the shards

        Returns
        -------
        result : `masked` (S, G) and `cells` (S, C) bool, True = masked; `patches` (S, G, K, 3)
            float32, object frame, zeros where visible; `chamfer` (S,) float32, the loss L_lmr of
            each seed

        Raises
        ------
        InputError : the run did not train the reconstruction, or its weights give no finite numbers
        """
        network, config, many = self.network, self.config, len(seeds)
        if network.reconstruction is None:
            raise InputError(
                "the run trained the contrast alone, there is no reconstruction to show: "
                "give another RUN, or none"
            )
        # the same row once a seed, as views: (S, P, 3), (S, P, 2), (S, H, W, 3), (S,)
        batch = {
            "points": torch.from_numpy(points).expand(many, -1, -1),
            "pixels": torch.from_numpy(pixels.astype(np.int64)).expand(many, -1, -1),
            "rgb": torch.from_numpy(rgb).expand(many, -1, -1, -1),
            "seeds": torch.cat([sample_seeds(seed, 0, torch.tensor([row])) for seed in seeds]),
        }
        encoding = network.encode(batch)
        reconstruction = network.reconstruct(encoding)
        loss = reconstruction.chamfer(squared=config.losses.chamfer == "squared")  # (S,)
        # relative to the centres, NaN where visible -> object frame, zeros where visible
        found = reconstruction.by_patch() + encoding.centres[:, :, None]  # (S, G, K, 3)
        patches = _to_object_frame(found, batch["points"][0])
        masked = encoding.masks.points  # (S, G)
        patches = torch.where(masked[..., None, None], patches, 0)
        if not bool(patches.isfinite().all() & loss.isfinite().all()):
            raise InputError(
                f"the run's network makes no finite numbers of row {row}: give another RUN, or none"
            )
        return {
            "masked": masked.numpy(),
            "cells": encoding.masks.cells.numpy(),
            "patches": patches.numpy(),
            "chamfer": loss.numpy(),
        }


def _to_object_frame(normalised: Tensor, cloud: Tensor) -> Tensor:
    """Undo `normalise_cloud` for (..., 3) points of a (P, 3) cloud.

    From the normalised frame to the cloud's own frame.
    """
    # the centroid and radius that `normalise_cloud` removed
    middle = cloud.mean(dim=0)
    radius = (cloud - middle).square().sum(-1).amax().sqrt()
    return normalised * radius + middle


def read_trained(run: Path, shard_size: tuple[int, int]) -> Trained:
    """Read the network of a run's last checkpoint.

    Parameters
    ----------
    run : folder of a run, see `train.run_folder`
    shard_size : (H, W) of the images that the network will see

    Raises
    ------
    InputError : no run, no checkpoint yet, or one that cannot be read
    """
    saved = read_run(run)
    return Trained(saved.network(shard_size), saved.config, saved.step, saved.steps)
