"""The network of part segmentation, as Point-MAE's.

Features of three layers are carried from patch centres to points.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..config import NetworkConfig
from ..encoders import PointEncoder
from ..layers import DropPath
from ..network import initialise
from ..norm import BatchNorm
from ..patches import make_patches

__all__ = ["PartSegmenter", "propagate", "third_layers"]

_NEAREST = 3
_LABEL_WIDTH = 64


def third_layers(depth: int) -> tuple[int, int, int]:
    """Return the layers at thirds of an encoder's depth, counted from 1: 4, 8 and 12 of twelve."""
    first, second = math.ceil(depth / 3), math.ceil(2 * depth / 3)
    return first, second, depth


def propagate(points: Tensor, centres: Tensor, features: Tensor) -> Tensor:
    """Propagate features from patch centres to points.

    The three nearest centres count, weighted by inverse squared distance.

    Parameters
    ----------
    points : (B, P, 3) float
    centres : (B, G, 3) float, at least three
    features : (B, G, F) float

    Returns
    -------
    features : (B, P, F); a point at a centre has nearly that centre's
    """
    with torch.autocast(points.device.type, enabled=False):
        # without the matrix product, which loses digits of small distances: (B, P, G)
        distance = torch.cdist(
            points.float(), centres.float(), compute_mode="donot_use_mm_for_euclid_dist"
        ).square()
        near, index = distance.topk(
            min(_NEAREST, centres.shape[1]), dim=2, largest=False
        )  # (B, P, 3) each
        # (B, P, 3), the sum over the three centres is 1
        weight = 1 / (near + 1e-8)
        weight = weight / weight.sum(2, keepdim=True)
    carried = torch.zeros(
        *points.shape[:2], features.shape[2], dtype=features.dtype, device=features.device
    )
    # one centre at a time, so that no (B, P, 3, F) tensor is held
    for k in range(index.shape[2]):
        # (B, P, F)
        chosen = features.gather(1, index[..., k : k + 1].expand(-1, -1, features.shape[2]))
        carried = carried + weight[..., k : k + 1].to(features.dtype) * chosen
    return carried


class PartSegmenter(nn.Module):
    """Points and a category to logits of every part.

    Parameters
    ----------
    config : sizes of the encoder
    categories, parts : numbers of both
    patches : G, point patches a shape
    propagated_width, head_width : channels of the two MLPs
    dropout : share of the head's first hidden channels that are dropped

    Attributes
    ----------
    encoder : the point encoder, E_p
    layers : whose features are taken
    """

    def __init__(
        self,
        config: NetworkConfig,
        categories: int,
        parts: int,
        *,
        patches: int,
        propagated_width: int = 1024,
        head_width: int = 512,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.patches, self.patch_points = patches, config.patch_points
        self.categories, self.layers = categories, third_layers(config.point_depth)
        self.encoder = PointEncoder(config)
        width = len(self.layers) * config.width
        self.label = nn.Sequential(
            nn.Linear(categories, _LABEL_WIDTH, bias=False),
            BatchNorm(_LABEL_WIDTH),
            nn.LeakyReLU(0.2),
        )
        self.carry = nn.Sequential(
            *layer(width + 3, 4 * config.width), *layer(4 * config.width, propagated_width)
        )  # on (B P, ...)
        self.local = nn.Linear(propagated_width, head_width)
        self.whole = nn.Linear(
            2 * width + _LABEL_WIDTH, head_width, bias=False
        )  # the same for all points of a shape
        self.head = nn.Sequential(
            BatchNorm(head_width), nn.ReLU(), nn.Dropout(dropout),
            *layer(head_width, head_width // 2), nn.Linear(head_width // 2, parts),
        )  # fmt: skip
        self.apply(initialise)

    def forward(self, points: Tensor, labels: Tensor, drop: DropPath | None = None) -> Tensor:
        """Segment shapes.

        Parameters
        ----------
        points : (B, P, 3) float32, normalised frame, farthest point order
        labels : (B,) int64, categories
        drop : which samples skip which branches of the encoder

        Returns
        -------
        logits : (B, P, parts) float
        """
        centres, neighbours = make_patches(points, self.patches, self.patch_points)
        taken = self.encoder.layer_features(
            centres, neighbours, self.layers, drop
        )  # a layer once, in order
        # an encoder of few blocks takes a layer twice and computes it once
        by_layer = dict(zip(sorted(set(self.layers)), taken, strict=True))
        features = torch.cat([by_layer[i] for i in self.layers], dim=-1)  # (B, G, 3 W)
        one_hot = nn.functional.one_hot(labels, self.categories).to(points.dtype)  # (B, categories)
        # (B, 6 W + label width)
        whole = torch.cat(
            [features.amax(1), features.mean(1), self.label(one_hot).to(features.dtype)], dim=-1
        )
        # (B, P, 3 + 3 W)
        carried = torch.cat(
            [points.to(features.dtype), propagate(points, centres, features)], dim=-1
        )
        local = self.carry(carried.flatten(0, 1))  # (B P, propagated)
        # two parts of one linear layer, so that `whole` is not repeated for every point
        hidden = (
            self.local(local).view(*points.shape[:2], -1) + self.whole(whole)[:, None]
        )  # (B, P, head)
        # (B P, parts), then (B, P, parts)
        logits: Tensor = self.head(hidden.flatten(0, 1)).view(*points.shape[:2], -1)
        return logits


def layer(inputs: int, outputs: int) -> list[nn.Module]:
    """Make a linear layer with batch normalisation and ReLU."""
    return [nn.Linear(inputs, outputs), BatchNorm(outputs), nn.ReLU()]
