"""Layers of an inspection page that a network adds to a view.

Patches, masks and reconstruction.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import InputError, needs
from ...pack.page.view import AlignedMasks, Reconstruction, View
from ..config import PretrainConfig

if TYPE_CHECKING:
    from .figures import Trained

__all__ = ["NETWORK_SEEDS", "RATIOS", "SEEDS", "NetworkAnnotator"]

RATIOS = (0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Mask ratios that a page offers; those of the paper's table 6 are among them."""
SEEDS = tuple(range(8))
NETWORK_SEEDS = tuple(range(4))


class NetworkAnnotator:
    """Adds patches, masks and reconstructions to views.

    Without torch it adds nothing and gives the reason.

    Parameters
    ----------
    run : folder of a run whose network reconstructs; None for masks alone, of the paper's settings

    Attributes
    ----------
    missing : layer -> why no view has it

    Raises
    ------
    InputError : `run` is given and torch is not installed
    """

    def __init__(self, run: Path | None = None) -> None:
        self.missing: dict[str, str] = {}
        self.run = run
        self.config = PretrainConfig()
        self._trained: dict[tuple[int, int], Trained] = {}
        try:
            import torch  # noqa: F401 - asked for here, so that its absence is told
        except (ImportError, OSError) as error:
            if run is not None:
                raise needs("torch", "train", error) from None
            reason = (
                "torch is not installed here: "
                "pip install 'shapenet3d-cma[train]' and make the page again"
            )
            self.missing = dict.fromkeys(("patches", "mask"), f"No patches and masks: {reason}.")

    def _network(self, view: View) -> Trained:
        from .figures import read_trained

        assert self.run is not None
        size = (view.depth.shape[0], view.depth.shape[1])
        # the network depends on the size of the images; each size is read once
        if size not in self._trained:
            self._trained[size] = read_trained(self.run, size)
        return self._trained[size]

    def add(self, view: View) -> View:
        """Add masks and reconstruction to a view, or the reason for their absence.

        Raises
        ------
        InputError : the run cannot be read, or did not train the reconstruction
        """
        if self.missing:
            return view
        if self.run is not None:
            self.config = self._network(view).config
        config = self.config
        if len(view.points) < max(config.network.patches, config.network.patch_points):
            need = f"{config.network.patches} patches of {config.network.patch_points}"
            return dataclasses.replace(
                view, missing=f"No patches and masks: {len(view.points)} points are no {need}."
            )
        if not np.isfinite(view.points).all():
            return dataclasses.replace(
                view, missing="No patches and masks: the row has points that are not finite."
            )
        try:
            view = dataclasses.replace(view, aligned=self._masks(view))
        except InputError as error:
            return dataclasses.replace(view, missing=f"No patches and masks: {error}.")
        if self.run is None or view.rgb is None:
            return view
        return dataclasses.replace(view, reconstruction=self._reconstruct(view))

    def _masks(self, view: View) -> AlignedMasks:
        from .figures import STRATEGIES, all_masks, patch_indices

        config = self.config
        ratios = sorted({*RATIOS, config.masks.mask_ratio})
        size = (view.depth.shape[0], view.depth.shape[1])
        points, cells, grid = all_masks(view.pixels, view.row, size, config, ratios, SEEDS)
        return AlignedMasks(
            strategies=STRATEGIES,
            ratios=ratios,
            seeds=SEEDS,
            preferred={
                "strategy": config.masks.mask_strategy,
                "ratio": config.masks.mask_ratio,
                "collisions": config.masks.mask_collisions,
            },
            grid=grid,
            patches=patch_indices(view.points, config.network.patches, config.network.patch_points),
            points=points,
            cells=cells,
        )

    def _reconstruct(self, view: View) -> Reconstruction:
        trained = self._network(view)
        assert view.rgb is not None
        arrays = trained.reconstruct(view.points, view.pixels, view.rgb, view.row, NETWORK_SEEDS)
        masks = f"{self.config.masks.mask_strategy} masks of ratio {self.config.masks.mask_ratio:g}"
        about = f"Step {trained.step:,} of {trained.steps:,}, {masks}."
        return Reconstruction(
            about=about,
            seeds=NETWORK_SEEDS,
            masked=arrays["masked"],
            cells=arrays["cells"],
            patches=arrays["patches"],
            chamfer=arrays["chamfer"].tolist(),
        )
