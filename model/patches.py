"""Point patches: normalised cloud, centres from farthest point order, K nearest neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["make_patches", "normalise_cloud"]


def normalise_cloud(points: Tensor) -> Tensor:
    """Move each cloud's centroid to the origin and scale it into the unit ball.

    The one normalisation of clouds (Point-MAE's): subtract the mean of the points, divide by the
    largest norm that remains. A cloud whose points all coincide becomes zeros.

    Parameters
    ----------
    points : (B, P, 3) float32, object frame

    Returns
    -------
    points : (B, P, 3) float32, normalised frame, largest norm 1
    """
    # centroid to the origin
    points = points - points.mean(dim=1, keepdim=True)
    # largest norm, at least the smallest normal number: equal points become zeros
    radius = points.square().sum(-1).amax(dim=1).sqrt()  # (B,)
    return points / radius.clamp_min(torch.finfo(points.dtype).tiny)[:, None, None]


def make_patches(points: Tensor, patches: int, patch_points: int) -> tuple[Tensor, Tensor]:
    """Cut clouds into patches: centres and their neighbours minus the centre, not rescaled.

    Points stand in farthest point order, so the first ones are a farthest point sample: no sampling
    is done.

    Parameters
    ----------
    points : (B, P, 3) float32, farthest point order, any frame
    patches : G, patches a cloud
    patch_points : K, points a patch, the nearest to its centre with the centre itself first

    Returns
    -------
    centres : (B, G, 3) float32, frame of `points`; ``points[:, :G]``
    neighbours : (B, G, K, 3) float32, relative to the centre
    """
    centres = points[:, :patches]  # (B, G, 3)
    # without the matrix product, which loses half of the digits of a small distance
    distances = torch.cdist(
        centres, points, compute_mode="donot_use_mm_for_euclid_dist"
    )  # (B, G, P)
    # the K nearest, the centre itself among them
    nearest = distances.topk(patch_points, largest=False).indices  # (B, G, K)
    index = nearest.flatten(1)[..., None].expand(-1, -1, 3)  # (B, G K, 3)
    neighbours = points.gather(1, index).view(*nearest.shape, 3)  # (B, G, K, 3)
    return centres, neighbours - centres[:, :, None]
