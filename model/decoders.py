"""The two decoders and their tasks: global semantic alignment, local mask reconstruction.

Equations 5 and 6 are the alignment, 9 and 10 the reconstruction. Letters in shape comments: B
batch, G point patches, V slots of visible ones, K points a patch, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import NetworkConfig
from .encoders import ImageFeatures
from .layers import (
    STREAMS,
    CrossTransformer,
    DropPath,
    PositionMLP,
    Transformer,
    pool,
    projection_head,
)
from .masking import PatchSlots
from .precision import float32_geometry, full_precision

__all__ = ["GlobalAlignment", "MaskedReconstruction"]


class GlobalAlignment(nn.Module):
    """Global semantic alignment: D_g and the two heads (equations 5 and 6).

    D_g sees all point tokens; its output is pooled before the head.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.pooling = config.pooling
        self.mask_token = nn.Parameter(torch.zeros(config.width))
        self.position = PositionMLP(config.position_width, config.width)
        self.decoder = Transformer(
            config.global_depth, config, qkv_bias=False, stream=STREAMS["global"]
        )
        self.point_head = projection_head(config)
        self.image_head = projection_head(config)

    def forward(
        self,
        points: Tensor,
        images: ImageFeatures,
        centres: Tensor,
        slots: PatchSlots,
        drop: DropPath,
    ) -> tuple[Tensor, Tensor]:
        """Map both modalities into the shared space.

        Parameters
        ----------
        points : F_p^v, (B, V, W)
        images : of the image encoder
        centres : (B, G, 3), in the order of the slots

        Returns
        -------
        z_points, z_images : (B, shared width)
        """
        # D_g sees all patches: visible tokens and mask tokens, each at its centre
        tokens = self.decoder(
            slots.add_mask_tokens(points, self.mask_token), self.position(centres), drop=drop
        )
        pooled = pool(images.whole, self.pooling, images.whole_hidden)
        return self.point_head(pool(tokens, self.pooling)), self.image_head(pooled)


class MaskedReconstruction(nn.Module):
    """Local mask reconstruction: D_r and its head (equations 9 and 10).

    The image is the memory of D_r.

    Without the image it is the decoder of Point-MAE.
    """

    def __init__(self, config: NetworkConfig, *, sees_image: bool) -> None:
        super().__init__()
        depth, stream = config.reconstruction_depth, STREAMS["reconstruction"]
        self.mask_token = nn.Parameter(torch.zeros(config.width))
        self.position = PositionMLP(config.position_width, config.width)
        self.decoder: CrossTransformer | Transformer
        if sees_image:
            self.decoder = CrossTransformer(depth, config, stream=stream)
        else:
            self.decoder = Transformer(depth, config, qkv_bias=False, stream=stream)
        self.head = nn.Linear(config.width, 3 * config.patch_points)

    def forward(
        self,
        points: Tensor,
        images: ImageFeatures | None,
        centres: Tensor,
        slots: PatchSlots,
        drop: DropPath,
    ) -> Tensor:
        """Reconstruct masked patches.

        Parameters
        ----------
        points : F_p^v, (B, V, W)
        images : of the image encoder; None where the reconstruction does not see it
        centres : (B, G, 3), in the order of the slots

        Returns
        -------
        patches : (B, G - slots.first, K, 3) float32, relative to their centres
        """
        tokens, positions = (
            slots.add_mask_tokens(points, self.mask_token),
            self.position(centres),
        )  # (B, G, W) each
        # without an image the decoder is Point-MAE's
        if isinstance(self.decoder, CrossTransformer):
            assert images is not None
            tokens = self.decoder(
                tokens, positions, images.visible, drop, hidden=images.visible_hidden
            )
        else:
            tokens = self.decoder(tokens, positions, drop=drop)
        # coordinates need more than bfloat16's eight binary digits
        with float32_geometry(tokens):
            # slots that surely hold visible patches are left out: (B, G - first, K, 3)
            patches: Tensor = self.head(full_precision(tokens[:, slots.first :])).unflatten(
                -1, (-1, 3)
            )
        return patches
