"""CrossAlignNet, from top to bottom (figure 1 of the paper).

points, pixels, rgb -> patches -> aligned masks -> visible tokens -> two encoders ->
    global semantic alignment: D_g, heads H_p and H_i, contrast (equations 5 to 8)
    local mask reconstruction: D_r with cross-attention to the image, Chamfer distance (equations 9
    to 11)

Letters in shape comments: B batch, G point patches, K points a patch, C image cells, W width;
V of the G patches have a slot as visible ones (the collision rule may hide some of them, see
`masking`); R of the slots may hold masked patches and are reconstructed.

In its default size the network has 57,694,432 parameters, consistent with the 57.69 million of
table 9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .config import PretrainConfig
from .decoders import GlobalAlignment, MaskedReconstruction
from .encoders import ImageEncoder, ImageFeatures, PointEncoder
from .layers import DropPath
from .losses import chamfer_distance, info_nce, masked_mean
from .masking import Masks, PatchSlots, align_masks, image_cells, num_visible
from .patches import make_patches, normalise_cloud
from .precision import float32_geometry

__all__ = ["CrossAlignNet", "Encoding", "Reconstruction", "initialise"]


@dataclass(frozen=True)
class Encoding:
    """The patches of a batch, their masks, and the features of what is visible.

    Attributes
    ----------
    centres : (B, G, 3) float32, normalised frame
    neighbours : (B, G, K, 3) float32, relative to the centres
    masks : of both modalities
    slots : the slot of each patch
    points : F_p^v, (B, V, W)
    images : features of the image; None if no task needs them
    seeds : (B,) int64, of the samples
    """

    centres: Tensor
    neighbours: Tensor
    masks: Masks
    slots: PatchSlots
    points: Tensor
    images: ImageFeatures | None
    seeds: Tensor


@dataclass(frozen=True)
class Reconstruction:
    """The reconstructed patches beside the true ones, by slots.

    Attributes
    ----------
    predicted : P_rec, (B, R, K, 3) float32, relative to the centres
    target : (B, R, K, 3) float32, the true points, relative to the centres
    slots : the slot of each patch
    """

    predicted: Tensor
    target: Tensor
    slots: PatchSlots

    def chamfer(self, *, squared: bool = True) -> Tensor:
        """Compute L_lmr: the Chamfer distance over each sample's masked patches, (B,) float32."""
        with float32_geometry(self.predicted):
            distances = chamfer_distance(self.predicted, self.target, squared=squared)  # (B, R)
            return masked_mean(distances, self.slots.masked)

    def by_patch(self) -> Tensor:
        """Return the reconstruction by patch, NaN where a patch is visible.

        Returns
        -------
        patches : (B, G, K, 3) float32, relative to the centres
        """
        slots, predicted = self.slots, self.predicted.to(self.target.dtype)
        # what is not masked was predicted, too, but is no result: (B, R, K, 3)
        predicted = torch.where(slots.masked[..., None, None], predicted, torch.nan)
        # slots before the first that may be masked were not predicted: (B, G, K, 3)
        patches = predicted.new_full(
            (len(predicted), slots.order.shape[1], *predicted.shape[2:]), torch.nan
        )
        # the patch that each of these slots holds: (B, R, K, 3)
        index = slots.order[:, slots.first :, None, None].expand_as(predicted)
        return patches.scatter(1, index, predicted)


class CrossAlignNet(nn.Module):
    """The pretraining network: both encoders and the tasks that are trained.

    Parameters
    ----------
    config : sizes, masking and tasks; parts of a task that is off are not built
    shard_size : (H, W) of the shards' images, to which `pixels` refer
    """

    def __init__(self, config: PretrainConfig, shard_size: tuple[int, int]) -> None:
        super().__init__()
        self.config, self.shard_size = config, shard_size
        sizes, losses = config.network, config.losses
        self.image_size = (sizes.image_size, sizes.image_size) if sizes.image_size else shard_size
        height, width = self.image_size
        self.num_cells = (height // sizes.image_patch) * (width // sizes.image_patch)
        self.point_encoder = PointEncoder(sizes)
        # a part that no task needs is not built
        self.image_encoder = (
            ImageEncoder(sizes, config.masks, self.image_size) if losses.sees_images else None
        )
        self.alignment = GlobalAlignment(sizes) if losses.contrasts else None
        sees_image = losses.reconstruct_from == "image"
        self.reconstruction = (
            MaskedReconstruction(sizes, sees_image=sees_image) if losses.reconstructs else None
        )
        self.apply(initialise)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute the loss of a batch, L = L_lmr + lambda L_gsa (equation 12).

        Parameters
        ----------
        batch : `points` (B, P, 3) float32, object frame, farthest point order; `pixels` (B, >= G,
            2) integer, (u, v) of the first points; `rgb` (B, H, W, 3) uint8, sRGB; `seeds` (B,)
            int64, see `noise`

        Returns
        -------
        result : see `loss`
        """
        encoding = self.encode(batch)
        reconstruction = self.reconstruct(encoding) if self.config.losses.reconstructs else None
        shared = self.align(encoding) if self.config.losses.contrasts else None
        return self.loss(encoding, reconstruction, shared)

    def encode(self, batch: dict[str, Tensor]) -> Encoding:
        """Cut clouds into patches, mask both modalities and encode what is visible.

        Parameters
        ----------
        batch : see `forward`
        """
        seeds = batch["seeds"]
        centres, neighbours = self.make_patches(batch["points"])  # (B, G, 3), (B, G, K, 3)
        # both modalities are masked in step, by the pixels of the patch centres
        masks = self.masks(batch["pixels"], seeds)
        visible = num_visible(self.config.network.patches, self.config.masks.mask_ratio)
        slots = PatchSlots(masks.points, visible, self.config.masks)
        # both encoders drop branches at one rate, from separate streams
        drop = self._drop_path(seeds, self.config.network.drop_path)
        points = self.encode_points(centres, neighbours, slots, drop)  # (B, V, W)
        images = None
        if self.image_encoder is not None:
            images = self.image_encoder(batch["rgb"], masks.cells, drop)
        return Encoding(centres, neighbours, masks, slots, points, images, seeds)

    def reconstruct(self, encoding: Encoding) -> Reconstruction:
        """Reconstruct the masked patches (equations 9 and 10).

        Raises
        ------
        ValueError : the network does not train the reconstruction
        """
        if self.reconstruction is None:
            raise ValueError("this network does not reconstruct: tasks = contrast")
        slots = encoding.slots
        drop = self._drop_path(encoding.seeds, self.config.network.decoder_drop_path)
        predicted = self.reconstruction(
            encoding.points, encoding.images, slots.sort(encoding.centres), slots, drop
        )  # (B, R, K, 3)
        # the targets follow the slots, as the predictions do: (B, R, K, 3)
        return Reconstruction(predicted, slots.sort(encoding.neighbours)[:, slots.first :], slots)

    def align(self, encoding: Encoding) -> tuple[Tensor, Tensor]:
        """Map both modalities into the shared space (equations 5 and 6): z_p and z_i.

        Returns
        -------
        z_points, z_images : (B, shared width)

        Raises
        ------
        ValueError : the network does not train the contrast
        """
        if self.alignment is None or encoding.images is None:
            raise ValueError("this network does not align: tasks = reconstruction")
        drop = self._drop_path(encoding.seeds, self.config.network.decoder_drop_path)
        # in the order of the slots, as the decoder's tokens: (B, G, 3)
        centres = encoding.slots.sort(encoding.centres)
        z_points, z_images = self.alignment(
            encoding.points, encoding.images, centres, encoding.slots, drop
        )
        return z_points, z_images

    def loss(
        self,
        encoding: Encoding,
        reconstruction: Reconstruction | None,
        shared: tuple[Tensor, Tensor] | None,
    ) -> dict[str, Tensor]:
        """Compute L = L_lmr + lambda L_gsa (equations 7, 8, 11 and 12).

        Parameters
        ----------
        reconstruction : of `reconstruct`; None if the task is off
        shared : of `align`; None if the task is off

        Returns
        -------
        result : `loss`, () float32, mean over this process's samples; per sample, (B,) float32:
            `loss_lmr` and `loss_gsa` (zeros if the task is off), `mask_ratio` (share of masked
            point patches, after the collision rule), `retrieval` (see `losses.info_nce`)
        """
        losses = self.config.losses
        zeros = torch.zeros_like(encoding.seeds, dtype=torch.float32)
        # a task that is off contributes zeros, so that every result has the same names
        loss_lmr = loss_gsa = retrieval = zeros
        if reconstruction is not None:
            loss_lmr = reconstruction.chamfer(squared=losses.chamfer == "squared")  # (B,)
        if shared is not None:
            loss_gsa, retrieval = info_nce(*shared, losses.temperature)  # (B,) each
        # without a reconstruction the contrast is the loss itself
        weight = losses.contrast_weight if losses.reconstructs else 1.0
        return {
            "loss": loss_lmr.mean() + weight * loss_gsa.mean(),
            "loss_lmr": loss_lmr.detach(),
            "loss_gsa": loss_gsa.detach(),
            "mask_ratio": encoding.masks.points.float().mean(1),
            "retrieval": retrieval,
        }

    def make_patches(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Normalise (B, P, 3) float32 clouds and cut them into patches.

        Returns
        -------
        centres, neighbours : (B, G, 3) and (B, G, K, 3) float32, see `patches.make_patches`
        """
        sizes = self.config.network
        with float32_geometry(points):
            return make_patches(normalise_cloud(points), sizes.patches, sizes.patch_points)

    def masks(self, pixels: Tensor, seeds: Tensor) -> Masks:
        """Mask both modalities.

        Parameters
        ----------
        pixels : (B, >= G, 2) integer, (u, v) of the patch centres
        seeds : (B,) int64
        """
        sizes, masks = self.config.network, self.config.masks
        # the first G points are the patch centres, and so are the first G pixels
        cells = image_cells(
            pixels[:, : sizes.patches], self.shard_size, self.image_size, sizes.image_patch
        )  # (B, G)
        return align_masks(
            cells,
            seeds,
            self.num_cells,
            strategy=masks.mask_strategy,
            ratio=masks.mask_ratio,
            collisions=masks.mask_collisions,
            max_ratio=masks.max_ratio,
            exact=masks.masked_cells == "exact",
        )

    def encode_points(
        self, centres: Tensor, neighbours: Tensor, slots: PatchSlots, drop: DropPath
    ) -> Tensor:
        """Encode the visible patches, F_p^v = E_p(T_p^v) (equation 3).

        Parameters
        ----------
        centres, neighbours : (B, G, 3) and (B, G, K, 3), of every patch

        Returns
        -------
        features : (B, V, W)
        """
        encoder = self.point_encoder
        if self.config.network.embedded_patches == "all":
            # as Point-MAE: the batch norms see the masked patches, too
            tokens, positions = map(slots.pick_visible, encoder.tokens(centres, neighbours))
        else:
            # masked patches are not embedded at all: (B, V, W) each
            tokens, positions = encoder.tokens(
                slots.pick_visible(centres), slots.pick_visible(neighbours)
            )
        # no token attends to a slot that the collision rule took
        features: Tensor = encoder.transformer(tokens, positions, hidden=slots.hidden, drop=drop)
        return features

    def _drop_path(self, seeds: Tensor, rate: float) -> DropPath:
        """Return the stochastic depth of a part; none in evaluation."""
        return DropPath(seeds, rate if self.training else 0.0)


def initialise(module: nn.Module) -> None:
    """Draw initial weights: deviation 0.02, cut at two units, biases zero.

    Point-MAE does so in its encoder; here the decoders and heads follow.
    """
    draw: Callable[..., Any] = nn.init.trunc_normal_
    if isinstance(module, nn.Linear | nn.Conv2d):
        draw(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    # bare parameters belong to no layer, so the module that holds them is looked for
    if isinstance(module, ImageEncoder):
        draw(module.position, std=0.02)
    if isinstance(module, GlobalAlignment | MaskedReconstruction):
        draw(module.mask_token, std=0.02)
