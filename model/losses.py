"""The two losses of the pretraining: Chamfer distance and symmetric InfoNCE. Computed in float32."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everyone knows it by
from torch import Tensor

__all__ = ["chamfer_distance", "info_nce", "masked_mean"]


def chamfer_distance(predicted: Tensor, target: Tensor) -> Tensor:
    """Chamfer distance between small point sets: mean squared distance to the nearest point, both ways (eq. 11).

    Parameters
    ----------
    predicted : (..., K, 3) float
    target : (..., L, 3) float

    Returns
    -------
    distance : (...) float32, the sum of both directions, squared units of the input
    """
    predicted, target = predicted.float(), target.float()
    with torch.no_grad():  # only the choice of the nearest needs all pairs; the gradient needs the chosen ones
        x, y, z = ((predicted[..., :, None, i] - target[..., None, :, i]).square() for i in range(3))
        squared = x + y + z  # (..., K, L)
        to_target, to_predicted = squared.argmin(-1), squared.argmin(-2)  # (..., K), (..., L)
    there = predicted - _take(target, to_target)  # (..., K, 3)
    back = target - _take(predicted, to_predicted)  # (..., L, 3)
    return there.square().sum(-1).mean(-1) + back.square().sum(-1).mean(-1)


def _take(points: Tensor, index: Tensor) -> Tensor:
    """Gather (..., N, 3) points by (..., M) indices: (..., M, 3)."""
    return points.gather(-2, index[..., None].expand(*index.shape, 3))


def masked_mean(values: Tensor, masked: Tensor) -> Tensor:
    """Mean over each sample's masked patches: (B, G) float and (B, G) bool, True = counts, to (B,) float."""
    return torch.where(masked, values, 0).sum(1) / masked.sum(1).clamp_min(1)


def info_nce(z_points: Tensor, z_images: Tensor, temperature: float) -> Tensor:
    """Symmetric InfoNCE between the clouds and images of a batch (equations 7 and 8).

    Row i of both belongs to sample i; the other rows are its negatives. Similarity is the cosine.

    Parameters
    ----------
    z_points, z_images : (B, D) float
    temperature : tau

    Returns
    -------
    loss : (B,) float32, half of point to image plus image to point; its mean is L_gsa
    """
    z_points = F.normalize(z_points.float(), dim=1)
    z_images = F.normalize(z_images.float(), dim=1)
    with torch.autocast(z_points.device.type, enabled=False):  # the product, too, in float32
        similarity = z_points @ z_images.T / temperature  # (B, B)
    to_images = similarity.log_softmax(dim=1).diagonal()
    to_points = similarity.log_softmax(dim=0).diagonal()
    return -(to_images + to_points) / 2
