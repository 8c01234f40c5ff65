"""The two encoders: E_p for patches of points, E_i for cells of the image (equations 3 and 4).

Letters in shape comments: B batch, N patches or cells, K points a patch, C image cells, S side of a
cell in pixels, W width, V visible ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everyone knows it by
from torch import Tensor, nn

from .config import MaskConfig, NetworkConfig
from .layers import STREAMS, DropPath, PositionMLP, Transformer, flat_batch_norm
from .masking import num_visible, pick, visible_first
from .norm import BatchNorm
from .precision import float32_geometry

__all__ = ["ImageEncoder", "ImageFeatures", "MiniPointNet", "PointEncoder"]

IMAGE_STATISTICS = {  # mean and deviation, of sRGB in [0, 1]
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


class PointEncoder(nn.Module):
    """E_p: mini-PointNet and a transformer, as in Point-MAE.

    The downstream tasks take over this part.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.embed = MiniPointNet(config.embed_width, config.width)
        self.position = PositionMLP(config.position_width, config.width)
        self.transformer = Transformer(
            config.point_depth, config, qkv_bias=False, stream=STREAMS["points"]
        )

    def forward(
        self,
        centres: Tensor,
        neighbours: Tensor,
        *,
        hidden: Tensor | None = None,
        drop: DropPath | None = None,
    ) -> Tensor:
        """Encode patches.

        Parameters
        ----------
        centres : (B, N, 3) float32, normalised frame
        neighbours : (B, N, K, 3) float32, relative to the centre
        hidden : (B, N) bool, True = no other token attends to this one, and its feature means
            nothing

        Returns
        -------
        features : (B, N, W)
        """
        features: Tensor = self.transformer(
            *self.tokens(centres, neighbours), hidden=hidden, drop=drop
        )
        return features

    def tokens(self, centres: Tensor, neighbours: Tensor) -> tuple[Tensor, Tensor]:
        """Embed patches before any attention: tokens and positions, (B, N, W) each.

        The arguments are those of `forward`.
        """
        return self.embed(neighbours), self.position(centres)

    def layer_features(
        self,
        centres: Tensor,
        neighbours: Tensor,
        layers: Sequence[int],
        drop: DropPath | None = None,
    ) -> list[Tensor]:
        """Return the features after some blocks, (B, N, W) a block.

        Blocks are counted from 1; each block's features pass the final norm.

        Part segmentation takes those of blocks 4, 8 and 12.
        """
        return self.transformer.layer_features(*self.tokens(centres, neighbours), layers, drop=drop)


class MiniPointNet(nn.Module):
    """Mini-PointNet: 3-w-2w, maximum, 4w-4w-width, maximum.

    The first part sees each point; the second sees the point together with the maximum over its
    patch.

    Coordinates are taken in as float32; what follows may be of lower precision.
    """

    def __init__(self, w: int, width: int) -> None:
        super().__init__()
        self.local1, self.norm1 = nn.Linear(3, w), BatchNorm(w)
        self.local2 = nn.Linear(w, 2 * w)
        self.joint1, self.norm2 = nn.Linear(4 * w, 4 * w), BatchNorm(4 * w)
        self.joint2 = nn.Linear(4 * w, width)

    def forward(self, neighbours: Tensor) -> Tensor:
        """Embed (B, N, K, 3) neighbours as (B, N, W) tokens, whatever the order of the K."""
        with float32_geometry(neighbours):
            local = F.relu(flat_batch_norm(self.norm1, self.local1(neighbours)))  # (B, N, K, w)
        local = self.local2(local)  # (B, N, K, 2w)
        whole = local.amax(dim=2, keepdim=True)  # (B, N, 1, 2w)
        # joint1 of [whole, local]: the part of `whole` is the same for all K points, so it is
        # computed once
        weight_whole, weight_local = self.joint1.weight.chunk(2, dim=1)
        joint = F.linear(local, weight_local) + F.linear(
            whole, weight_whole, self.joint1.bias
        )  # (B, N, K, 4w)
        # the maximum over the K points does not depend on their order: (B, N, W)
        tokens: Tensor = self.joint2(F.relu(flat_batch_norm(self.norm2, joint))).amax(dim=2)
        return tokens


@dataclass(frozen=True)
class ImageFeatures:
    """Features of the image.

    Attributes
    ----------
    whole : F_i, (B, N, W): of all cells, or of the visible ones where only these are encoded
    whole_hidden : (B, N) bool or None; True = this feature means nothing
    visible : F_i^v, (B, V, W)
    visible_hidden : (B, V) bool or None; True = this feature means nothing
    """

    whole: Tensor
    whole_hidden: Tensor | None
    visible: Tensor
    visible_hidden: Tensor | None


class ImageEncoder(nn.Module):
    """E_i: patches by convolution, learned positions and a transformer."""

    def __init__(
        self, config: NetworkConfig, masks: MaskConfig, image_size: tuple[int, int]
    ) -> None:
        super().__init__()
        self.side = config.image_patch
        self.image_size = image_size
        self.num_cells = (image_size[0] // self.side) * (image_size[1] // self.side)
        # the random strategy names no cells, so it cannot mask exactly those
        self.exact = masks.masked_cells == "exact" and masks.mask_strategy != "random"
        self.slots = self.num_cells if self.exact else num_visible(self.num_cells, masks.mask_ratio)
        self.sees_all = config.image_tokens == "all"
        self.embed = nn.Conv2d(3, config.width, self.side, stride=self.side)
        self.position = nn.Parameter(torch.zeros(self.num_cells, config.width))
        self.transformer = Transformer(
            config.image_depth, config, qkv_bias=True, stream=STREAMS["image"]
        )
        # the statistics are of [0, 1], the pixels of [0, 255]
        mean, deviation = (
            torch.tensor(each) * 255 for each in IMAGE_STATISTICS[config.image_normalisation]
        )
        # not in the state dict: the settings tell them
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("deviation", deviation, persistent=False)

    def forward(self, rgb: Tensor, masked: Tensor, drop: DropPath | None = None) -> ImageFeatures:
        """Encode the image's tokens (equation 4).

        Parameters
        ----------
        rgb : (B, H, W, 3) uint8, sRGB; resized where H and W are not the encoder's
        masked : (B, C) bool, True = masked; the same number in every row, but where the cells are
            masked exactly
        """
        cells = self.patchify(rgb)  # (B, C, S, S, 3)
        positions = self.position.expand(len(rgb), -1, -1)  # (B, C, W)
        # a fixed number of cells, visible ones first: fixed shapes compile once
        shown = visible_first(masked)[:, : self.slots]  # (B, V)
        hidden = masked.gather(1, shown) if self.exact else None  # (B, V)
        # every cell attends to every other; the decoder still gets the visible ones
        if self.sees_all:
            whole: Tensor = self.transformer(self.embed_cells(cells), positions, drop=drop)
            return ImageFeatures(whole, None, pick(whole, shown), hidden)
        # picked before they are embedded: what is masked costs nothing
        tokens = self.embed_cells(pick(cells, shown))
        visible: Tensor = self.transformer(tokens, pick(positions, shown), hidden=hidden, drop=drop)
        return ImageFeatures(visible, hidden, visible, hidden)

    def patchify(self, rgb: Tensor) -> Tensor:
        """Cut images into cells of S x S pixels.

        (B, H, W, 3) uint8 to (B, C, S, S, 3) uint8, or float32 if the image has to be
        resized.
        """
        if rgb.shape[1:3] != self.image_size:
            # (B, 3, H, W); without `antialias` a smaller image would skip pixels
            image = rgb.movedim(-1, 1).float()
            rgb = F.interpolate(image, self.image_size, mode="bilinear", antialias=True).movedim(
                1, -1
            )
        # (B, rows, S, columns, S, 3), then rows and columns side by side
        rows, columns = (size // self.side for size in self.image_size)
        cells = rgb.reshape(-1, rows, self.side, columns, self.side, 3).transpose(2, 3)
        return cells.reshape(-1, self.num_cells, self.side, self.side, 3)

    def normalise(self, cells: Tensor) -> Tensor:
        """Normalise (..., 3) sRGB in [0, 255]; float32.

        The settings name the mean and the deviation.
        """
        normalised: Tensor = (cells.float() - self.get_buffer("mean")) / self.get_buffer(
            "deviation"
        )
        return normalised

    def embed_cells(self, cells: Tensor) -> Tensor:
        """Embed (B, N, S, S, 3) cells as (B, N, W) tokens.

        The windows of the convolution do not overlap, so it is a matrix product.
        """
        # the windows do not overlap, so the convolution is one matrix product
        kernel = self.embed.weight.movedim(1, -1).flatten(1)  # (W, S S 3)
        # the pixels of a cell in the order of the kernel: (B, N, S S 3), then (B, N, W)
        return F.linear(self.normalise(cells).flatten(2), kernel, self.embed.bias)
