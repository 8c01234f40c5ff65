"""The two losses of the pretraining: Chamfer distance and symmetric InfoNCE.

Computed in float32, or in float64 what comes so. Call them outside of `torch.autocast`, which would
round products.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everyone knows it by
from torch import Tensor

from .distributed import all_gather, process_rank
from .precision import full_precision

__all__ = ["chamfer_distance", "info_nce", "masked_mean"]

_TINY = 1e-12  # squared units; the square of a millionth of a normalised cloud's radius


def chamfer_distance(predicted: Tensor, target: Tensor, *, squared: bool = True) -> Tensor:
    """Compute the Chamfer distance between small point sets (equation 11).

    The mean distance to the nearest point of the other set, both ways.

    Parameters
    ----------
    predicted : (..., K, 3) float
    target : (..., L, 3) float
    squared : mean of squared distances, summed over both ways; else mean of distances, averaged
        over both ways

    Returns
    -------
    distance : (...) float32, squared units of the input, or units
    """
    predicted, target = full_precision(predicted), full_precision(target)
    with (
        torch.no_grad()
    ):  # only the choice of the nearest needs all pairs; the gradient needs the chosen ones
        # axis by axis, so that no (..., K, L, 3) tensor is held
        x, y, z = (
            (predicted[..., :, None, i] - target[..., None, :, i]).square() for i in range(3)
        )
        distances = x + y + z  # (..., K, L)
        to_target, to_predicted = distances.argmin(-1), distances.argmin(-2)  # (..., K), (..., L)
    # squared distances to the nearest, both ways
    there = (predicted - _take(target, to_target)).square().sum(-1)  # (..., K)
    back = (target - _take(predicted, to_predicted)).square().sum(-1)  # (..., L)
    if squared:
        return there.mean(-1) + back.mean(-1)
    # a distance of zero has no gradient, its root an infinite one
    there, back = there.clamp_min(_TINY).sqrt(), back.clamp_min(_TINY).sqrt()
    return (there.mean(-1) + back.mean(-1)) / 2


def _take(points: Tensor, index: Tensor) -> Tensor:
    """Gather (..., N, 3) points by (..., M) indices: (..., M, 3)."""
    return points.gather(-2, index[..., None].expand(*index.shape, 3))


def masked_mean(values: Tensor, masked: Tensor) -> Tensor:
    """Average each sample's values over its masked patches.

    (B, G) float and (B, G) bool, True = counts, to (B,) float.
    """
    # no product with the mask: zero times infinity is NaN. A row without masks gives 0
    return torch.where(masked, values, 0).sum(1) / masked.sum(1).clamp_min(1)


def info_nce(z_points: Tensor, z_images: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Compute the symmetric InfoNCE of a batch (equations 7 and 8).

    Row i of both belongs to sample i; the other rows are its negatives, those of all ranks where
    several processes train together. Similarity is the cosine.

    Parameters
    ----------
    z_points, z_images : (B, D) float, of this rank
    temperature : tau

    Returns
    -------
    loss : (B,) float32, half of point to image plus image to point; its mean over all ranks is
        L_gsa
    retrieved : (B,) float32, half for the image that is the nearest to its cloud, half for the
        cloud to its image
    """
    with torch.autocast(z_points.device.type, enabled=False):  # the product, too, in float32
        dtype = torch.promote_types(full_precision(z_points).dtype, full_precision(z_images).dtype)
        # unit vectors: their products are cosines
        z_points = F.normalize(z_points.to(dtype), dim=1)
        z_images = F.normalize(z_images.to(dtype), dim=1)
        to_images = z_points @ all_gather(z_images).T / temperature  # (B, all)
        to_points = z_images @ all_gather(z_points).T / temperature  # (B, all)
    # this process's rows within those of all
    own = torch.arange(len(z_points), device=z_points.device) + process_rank() * len(z_points)
    # row i must find column own[i], from either side
    losses = [
        F.cross_entropy(side, own, reduction="none") for side in (to_images, to_points)
    ]  # (B,) each
    hits = [
        (side.detach().argmax(1) == own).float() for side in (to_images, to_points)
    ]  # (B,) each
    return (losses[0] + losses[1]) / 2, (hits[0] + hits[1]) / 2
