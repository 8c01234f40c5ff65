"""CrossAlignNet, from top to bottom (figure 1 of the paper).

points, pixels, rgb -> patches -> aligned masks -> visible tokens -> two encoders ->
    global semantic alignment: D_g, heads H_p and H_i, contrast (equations 5 to 8)
    local mask reconstruction: D_r with cross-attention to the image, Chamfer distance (equations 9
    to 11)

Letters in shape comments: B batch, G point patches, K points a patch, C image cells, W width;
V of the G patches have a slot as visible ones (the collision rule may hide some of them, see
`masking`); M = G - V.

In its default size the network has 57,694,432 parameters, consistent with the 57.69 million of
table 9.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everyone knows it by
from torch import Tensor, nn

from .config import PretrainConfig
from .losses import chamfer_distance, info_nce, masked_mean
from .masking import Masks, align_masks, image_cells, num_visible, visible_first
from .noise import uniform
from .norm import BatchNorm
from .patches import make_patches, normalise_cloud
from .precision import exactly, full

__all__ = ["CrossAlignNet", "DropPath", "ImageEncoder", "PointEncoder", "initialise", "pool"]

IMAGE_STATISTICS = {  # mean and deviation, of sRGB in [0, 1]
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
_STREAMS = {
    "points": 16,
    "image": 17,
    "global": 18,
    "reconstruction": 19,
}  # of the dropped branches


class CrossAlignNet(nn.Module):
    """The pretraining network: both encoders and the tasks that are trained.

    Parameters
    ----------
    config : sizes, masking and tasks; parts of a task that is off are not built
    shard_size : (H, W) of the shards' images, to which `pixels` refer
    """

    def __init__(self, config: PretrainConfig, shard_size: tuple[int, int]) -> None:
        super().__init__()
        self.config = config
        self.shard_size = shard_size
        self.image_size = (
            (config.image_size, config.image_size) if config.image_size else shard_size
        )
        self.num_cells = (self.image_size[0] // config.image_patch) * (
            self.image_size[1] // config.image_patch
        )
        self.point_encoder = PointEncoder(config)
        self.image_encoder = ImageEncoder(config, self.image_size) if config.sees_images else None
        self.alignment = GlobalAlignment(config) if config.contrasts else None
        self.reconstruction = MaskedReconstruction(config) if config.reconstructs else None
        self.apply(initialise)

    def forward(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute the loss of a batch, L = L_lmr + lambda L_gsa (equation 12).

        Parameters
        ----------
        data : `points` (B, P, 3) float32, object frame, farthest point order; `pixels` (B, >= G, 2)
            integer, (u, v) of the first points; `rgb` (B, H, W, 3) uint8, sRGB; `seeds` (B,) int64,
            see `noise`

        Returns
        -------
        result : `loss`, () float32, mean over this rank's samples; per sample, (B,) float32:
            `loss_lmr` and `loss_gsa` (zeros where the task is off), `mask_ratio` (share of masked
            point patches, after the collision rule), `retrieval` (see `losses.info_nce`)
        """
        centres, neighbours = self.cut(data["points"])  # (B, G, 3), (B, G, K, 3)
        masks = self.masks(data["pixels"], data["seeds"])
        slots = PatchSlots(
            masks.points, num_visible(self.config.patches, self.config.mask_ratio), self.config
        )
        drop = DropPath(data["seeds"], self.config.drop_path if self.training else 0.0)
        drop_decoders = DropPath(
            data["seeds"], self.config.decoder_drop_path if self.training else 0.0
        )

        points = self.encode_points(centres, neighbours, slots, drop)  # (B, V, W)
        images = (
            None
            if self.image_encoder is None
            else self.image_encoder(data["rgb"], masks.cells, drop)
        )
        centres, neighbours = slots.sort(centres), slots.sort(neighbours)
        zeros = torch.zeros_like(data["seeds"], dtype=torch.float32)
        loss_lmr = loss_gsa = retrieval = zeros
        if self.reconstruction is not None:
            patches = self.reconstruction(points, images, centres, slots, drop_decoders)
            with exactly(patches):
                loss_lmr = slots.compare(
                    patches, neighbours, squared=self.config.chamfer == "squared"
                )  # (B,)
        if self.alignment is not None and images is not None:
            z_points, z_images = self.alignment(points, images, centres, slots, drop_decoders)
            loss_gsa, retrieval = info_nce(z_points, z_images, self.config.temperature)  # (B,)
        weight = self.config.contrast_weight if self.config.reconstructs else 1.0
        return {
            "loss": loss_lmr.mean() + weight * loss_gsa.mean(),
            "loss_lmr": loss_lmr.detach(),
            "loss_gsa": loss_gsa.detach(),
            "mask_ratio": masks.points.float().mean(1),
            "retrieval": retrieval,
        }

    def cut(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Normalise (B, P, 3) float32 clouds and cut them into patches: see `patches.make_patches`."""
        with exactly(points):
            return make_patches(
                normalise_cloud(points), self.config.patches, self.config.patch_points
            )

    def masks(self, pixels: Tensor, seeds: Tensor) -> Masks:
        """Mask both modalities: (B, >= G, 2) pixels and (B,) seeds to (B, G) and (B, C) bool, True = masked."""
        config = self.config
        cells = image_cells(
            pixels[:, : config.patches], self.shard_size, self.image_size, config.image_patch
        )
        return align_masks(
            cells,
            seeds,
            self.num_cells,
            strategy=config.mask_strategy,
            ratio=config.mask_ratio,
            collisions=config.mask_collisions,
            max_ratio=config.max_ratio,
            exact=config.masked_cells == "exact",
        )

    def encode_points(
        self, centres: Tensor, neighbours: Tensor, slots: PatchSlots, drop: DropPath
    ) -> Tensor:
        """Encode visible patches, F_p^v = E_p(T_p^v) (equation 3): (B, G, 3), (B, G, K, 3) to (B, V, W)."""
        encoder = self.point_encoder
        if self.config.embedded_patches == "all":
            tokens, positions = (
                slots.pick_visible(each) for each in encoder.tokens(centres, neighbours)
            )
        else:
            tokens, positions = encoder.tokens(
                slots.pick_visible(centres), slots.pick_visible(neighbours)
            )
        visible: Tensor = encoder.transformer(tokens, positions, hidden=slots.hidden, drop=drop)
        return visible


# ---- tokens, masked and visible ----


class PatchSlots:
    """Which patch stands in which slot: visible ones first, in fixed numbers.

    Attributes
    ----------
    order : (B, G) int64, the patch in each slot
    hidden : (B, V) bool or None; True = the collision rule took the patch of this slot, None = of
        no slot
    first : slots from this one on may hold masked patches and are reconstructed
    masked : (B, G - first) bool, True = the slot's patch is masked
    """

    def __init__(self, masked: Tensor, visible: int, config: PretrainConfig) -> None:
        self.order = visible_first(masked)  # (B, G)
        self.visible = visible
        sorted_masked = masked.gather(1, self.order)
        self.hidden = sorted_masked[:, :visible] if config.mask_collisions else None
        surely = min(visible, num_visible(masked.shape[1], config.max_ratio))
        self.first = surely if config.mask_collisions else visible
        self.masked = sorted_masked[:, self.first :]

    def sort(self, patches: Tensor) -> Tensor:
        """Bring (B, G, ...) patches into the order of the slots."""
        return _pick(patches, self.order)

    def pick_visible(self, patches: Tensor) -> Tensor:
        """Pick (B, V, ...) of (B, G, ...) patches; a hidden slot repeats the first, so that it reveals nothing."""
        order = self.order[:, : self.visible]
        if self.hidden is not None:
            order = torch.where(self.hidden, order[:, :1], order)
        return _pick(patches, order)

    def add_mask_tokens(self, visible: Tensor, mask_token: Tensor) -> Tensor:
        """Complete the visible tokens, [F_p^v, M_p]: (B, V, W) and (W,) to (B, G, W)."""
        if self.hidden is not None:
            visible = torch.where(self.hidden[..., None], mask_token.to(visible.dtype), visible)
        missing = mask_token.to(visible.dtype).expand(
            visible.shape[0], self.order.shape[1] - self.visible, -1
        )
        return torch.cat([visible, missing], dim=1)

    def compare(self, predicted: Tensor, neighbours: Tensor, *, squared: bool = True) -> Tensor:
        """Chamfer distance over each sample's masked patches.

        Parameters
        ----------
        predicted : (B, G - first, K, 3) float
        neighbours : (B, G, K, 3) float, in the order of the slots

        Returns
        -------
        loss : (B,) float32
        """
        distances = chamfer_distance(
            predicted, neighbours[:, self.first :], squared=squared
        )  # (B, G - first)
        return masked_mean(distances, self.masked)


def _pick(tokens: Tensor, index: Tensor) -> Tensor:
    """Gather (B, N, ...) tokens by (B, M) indices: (B, M, ...)."""
    shape = (*index.shape, *tokens.shape[2:])
    return tokens.gather(1, index.reshape(*index.shape, *[1] * (tokens.ndim - 2)).expand(shape))


# ---- the two branches ----


class PointEncoder(nn.Module):
    """E_p: mini-PointNet and a transformer, as in Point-MAE. The part that downstream tasks take over."""

    def __init__(self, config: PretrainConfig) -> None:
        super().__init__()
        self.embed = MiniPointNet(config.embed_width, config.width)
        self.position = PositionMLP(config.position_width, config.width)
        self.transformer = Transformer(
            config.point_depth, config, qkv_bias=False, stream=_STREAMS["points"]
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
        """Embed patches, before any attention: tokens and positions, (B, N, W) each; arguments as for `forward`."""
        return self.embed(neighbours), self.position(centres)

    def layer_features(
        self,
        centres: Tensor,
        neighbours: Tensor,
        layers: Sequence[int],
        drop: DropPath | None = None,
    ) -> list[Tensor]:
        """Return the features after some blocks, counted from 1, each through the final norm: (B, N, W) a block.

        Part segmentation takes those of blocks 4, 8 and 12.
        """
        return self.transformer.layer_features(*self.tokens(centres, neighbours), layers, drop=drop)


class MiniPointNet(nn.Module):
    """Embed each patch: 3-w-2w on points, maximum, 4w-4w-width on points with that maximum, maximum.

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
        with exactly(neighbours):
            local = F.relu(_batch_norm(self.norm1, self.local1(neighbours)))  # (B, N, K, w)
        local = self.local2(local)  # (B, N, K, 2w)
        whole = local.amax(dim=2, keepdim=True)  # (B, N, 1, 2w)
        # joint1 of [whole, local]: the part of `whole` is the same for all K points, so it is
        # computed once
        weight_whole, weight_local = self.joint1.weight.chunk(2, dim=1)
        joint = F.linear(local, weight_local) + F.linear(
            whole, weight_whole, self.joint1.bias
        )  # (B, N, K, 4w)
        tokens: Tensor = self.joint2(F.relu(_batch_norm(self.norm2, joint))).amax(dim=2)
        return tokens


@dataclass(frozen=True)
class ImageFeatures:
    """What the image encoder gives.

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

    def __init__(self, config: PretrainConfig, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.side = config.image_patch
        self.image_size = image_size
        self.num_cells = (image_size[0] // self.side) * (image_size[1] // self.side)
        self.exact = config.masked_cells == "exact" and config.mask_strategy != "random"
        self.slots = (
            self.num_cells if self.exact else num_visible(self.num_cells, config.mask_ratio)
        )
        self.sees_all = config.image_tokens == "all"
        self.embed = nn.Conv2d(3, config.width, self.side, stride=self.side)
        self.position = nn.Parameter(torch.zeros(self.num_cells, config.width))
        self.transformer = Transformer(
            config.image_depth, config, qkv_bias=True, stream=_STREAMS["image"]
        )
        mean, deviation = (
            torch.tensor(each) * 255 for each in IMAGE_STATISTICS[config.image_normalisation]
        )
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
        cells = self.cut(rgb)  # (B, C, S, S, 3)
        positions = self.position.expand(len(rgb), -1, -1)  # (B, C, W)
        shown = visible_first(masked)[:, : self.slots]  # (B, V)
        hidden = masked.gather(1, shown) if self.exact else None  # (B, V)
        if self.sees_all:
            whole: Tensor = self.transformer(self.embed_cells(cells), positions, drop=drop)
            return ImageFeatures(whole, None, _pick(whole, shown), hidden)
        # picked before they are embedded: what is masked costs nothing
        tokens = self.embed_cells(_pick(cells, shown))
        visible: Tensor = self.transformer(
            tokens, _pick(positions, shown), hidden=hidden, drop=drop
        )
        return ImageFeatures(visible, hidden, visible, hidden)

    def cut(self, rgb: Tensor) -> Tensor:
        """Cut images into cells: (B, H, W, 3) uint8 to (B, C, S, S, 3) uint8, or float32 where they are resized."""
        if rgb.shape[1:3] != self.image_size:
            image = rgb.movedim(-1, 1).float()
            rgb = F.interpolate(image, self.image_size, mode="bilinear", antialias=True).movedim(
                1, -1
            )
        rows, columns = (size // self.side for size in self.image_size)
        cells = rgb.reshape(-1, rows, self.side, columns, self.side, 3).transpose(2, 3)
        return cells.reshape(-1, self.num_cells, self.side, self.side, 3)

    def normalise(self, cells: Tensor) -> Tensor:
        """Return (..., 3) sRGB in [0, 255] as float32 of the mean and deviation that the settings name."""
        normalised: Tensor = (cells.float() - self.get_buffer("mean")) / self.get_buffer(
            "deviation"
        )
        return normalised

    def embed_cells(self, cells: Tensor) -> Tensor:
        """Embed (B, N, S, S, 3) cells as (B, N, W) tokens: the convolution, whose windows do not overlap."""
        kernel = self.embed.weight.movedim(1, -1).flatten(1)  # (W, S S 3)
        return F.linear(self.normalise(cells).flatten(2), kernel, self.embed.bias)


# ---- the two tasks ----


class GlobalAlignment(nn.Module):
    """Global semantic alignment: D_g over all point tokens, pooled, and the two heads (equations 5 and 6)."""

    def __init__(self, config: PretrainConfig) -> None:
        super().__init__()
        self.pooling = config.pooling
        self.mask_token = nn.Parameter(torch.zeros(config.width))
        self.position = PositionMLP(config.position_width, config.width)
        self.decoder = Transformer(
            config.global_depth, config, qkv_bias=False, stream=_STREAMS["global"]
        )
        self.point_head = head(config)
        self.image_head = head(config)

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
        tokens = self.decoder(
            slots.add_mask_tokens(points, self.mask_token), self.position(centres), drop=drop
        )
        pooled = pool(images.whole, self.pooling, images.whole_hidden)
        return self.point_head(pool(tokens, self.pooling)), self.image_head(pooled)


class MaskedReconstruction(nn.Module):
    """Local mask reconstruction: D_r with the image as memory, and the reconstruction head (equations 9, 10).

    Without the image it is the decoder of Point-MAE.
    """

    def __init__(self, config: PretrainConfig) -> None:
        super().__init__()
        depth, stream = config.reconstruction_depth, _STREAMS["reconstruction"]
        self.mask_token = nn.Parameter(torch.zeros(config.width))
        self.position = PositionMLP(config.position_width, config.width)
        self.decoder: CrossTransformer | Transformer
        if config.reconstruct_from == "image":
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
        if isinstance(self.decoder, CrossTransformer):
            assert images is not None
            tokens = self.decoder(
                tokens, positions, images.visible, drop, hidden=images.visible_hidden
            )
        else:
            tokens = self.decoder(tokens, positions, drop=drop)
        with exactly(tokens):
            patches: Tensor = self.head(full(tokens[:, slots.first :])).unflatten(-1, (-1, 3))
        return patches


def pool(tokens: Tensor, how: str = "both", hidden: Tensor | None = None) -> Tensor:
    """Pool tokens over their number.

    Parameters
    ----------
    tokens : (B, N, W)
    how : max, mean, or both, concatenated
    hidden : (B, N) bool, True = left out; at least one of each row is not

    Returns
    -------
    pooled : (B, W), or (B, 2 W) of both
    """
    if hidden is None:
        highest, mean = tokens.amax(1), tokens.mean(1)
    else:
        left_out = hidden[..., None]
        highest = tokens.masked_fill(left_out, -torch.inf).amax(1)
        mean = tokens.masked_fill(left_out, 0).sum(1) / (~left_out).sum(1)
    return (
        {"max": highest, "mean": mean}[how] if how != "both" else torch.cat([highest, mean], dim=-1)
    )


def head(config: PretrainConfig) -> nn.Sequential:
    """Make H_p or H_i: two fully connected layers, batch normalisation and ReLU after the first only."""
    pooled = config.width * (2 if config.pooling == "both" else 1)
    return nn.Sequential(
        nn.Linear(pooled, config.head_width),
        BatchNorm(config.head_width),
        nn.ReLU(),
        nn.Linear(config.head_width, config.shared_width),
    )


class PositionMLP(nn.Sequential):
    """Embed (..., 3) patch centres as (..., W), in float32."""

    def __init__(self, hidden: int, width: int) -> None:
        super().__init__(nn.Linear(3, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, centres: Tensor) -> Tensor:
        """Embed centres."""
        with exactly(centres):
            embedded: Tensor = super().forward(centres)  # type: ignore[no-untyped-call]
        return embedded


# ---- transformers ----


class DropPath:
    """Stochastic depth without a generator: which samples skip which branch follows from their seeds.

    Parameters
    ----------
    seeds : (B,) int64
    rate : share of samples that skip a branch of the last block; 0 in evaluation
    """

    def __init__(self, seeds: Tensor, rate: float) -> None:
        self.seeds, self.rate = seeds, rate

    def scales(self, stream: int, depth: int, branches: int) -> Tensor | None:
        """Return each branch's factor, 0 or 1 / (1 - its rate): (depth, branches, B, 1, 1) float32, None for all 1."""
        if self.rate == 0:
            return None
        rates = torch.linspace(0, self.rate, depth, device=self.seeds.device).repeat_interleave(
            branches
        )
        kept = uniform(self.seeds, stream, depth * branches) >= rates  # (B, depth branches)
        factors: Tensor = kept / (1 - rates)
        return factors.T.reshape(depth, branches, -1, 1, 1)


class Transformer(nn.Module):
    """Blocks with the positions added before each, and a final norm."""

    def __init__(self, depth: int, config: PretrainConfig, *, qkv_bias: bool, stream: int) -> None:
        super().__init__()
        self.stream = stream
        self.blocks = nn.ModuleList(Block(config, qkv_bias=qkv_bias) for _ in range(depth))
        self.norm = nn.LayerNorm(config.width)

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor,
        *,
        hidden: Tensor | None = None,
        drop: DropPath | None = None,
    ) -> Tensor:
        """Transform (B, N, W) tokens with (B, N, W) positions; hidden (B, N) bool, True = not attended to."""
        (features,) = self.layer_features(
            tokens, positions, (len(self.blocks),), hidden=hidden, drop=drop
        )
        return features

    def layer_features(
        self,
        tokens: Tensor,
        positions: Tensor,
        layers: Sequence[int],
        *,
        hidden: Tensor | None = None,
        drop: DropPath | None = None,
    ) -> list[Tensor]:
        """Return the features after some of the blocks, counted from 1, through the final norm; see `forward`."""
        scales = drop.scales(self.stream, len(self.blocks), 2) if drop else None
        features = []
        for i, block in enumerate(self.blocks):
            tokens = block(tokens + positions, hidden, None if scales is None else scales[i])
            if i + 1 in layers:
                features.append(self.norm(tokens))
        return features


class CrossTransformer(nn.Module):
    """Layers of self-attention, cross-attention to a memory and MLP, positions added before each; a final norm."""

    def __init__(self, depth: int, config: PretrainConfig, *, stream: int) -> None:
        super().__init__()
        self.stream = stream
        self.layers = nn.ModuleList(CrossLayer(config) for _ in range(depth))
        self.norm = nn.LayerNorm(config.width)

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor,
        memory: Tensor,
        drop: DropPath,
        *,
        hidden: Tensor | None = None,
    ) -> Tensor:
        """Transform (B, N, W) tokens with (B, N, W) positions and (B, M, W) memory.

        Parameters
        ----------
        hidden : (B, M) bool, True = this part of the memory is not attended to
        """
        scales = drop.scales(self.stream, len(self.layers), 3)
        for i, layer in enumerate(self.layers):
            tokens = layer(
                tokens + positions, memory, hidden, None if scales is None else scales[i]
            )
        normed: Tensor = self.norm(tokens)
        return normed


class Block(nn.Module):
    """Self-attention and MLP, each behind a norm and around a residual."""

    def __init__(self, config: PretrainConfig, *, qkv_bias: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.attention = SelfAttention(config.width, config.heads, bias=qkv_bias)
        self.mlp = mlp(config)

    def forward(self, x: Tensor, hidden: Tensor | None, scales: Tensor | None) -> Tensor:
        """Transform (B, N, W); scales (2, B, 1, 1) from `DropPath`."""
        x = x + _scaled(self.attention(self.norm1(x), hidden), scales, 0)
        return x + _scaled(self.mlp(self.norm2(x)), scales, 1)


class CrossLayer(nn.Module):
    """Self-attention, cross-attention and MLP, each behind a norm and around a residual."""

    def __init__(self, config: PretrainConfig) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(config.width) for _ in range(3))
        self.self_attention = SelfAttention(config.width, config.heads, bias=True)
        self.cross_attention = CrossAttention(config.width, config.heads)
        self.mlp = mlp(config)

    def forward(
        self, x: Tensor, memory: Tensor, hidden: Tensor | None, scales: Tensor | None
    ) -> Tensor:
        """Transform (B, N, W) with memory (B, M, W), hidden (B, M); scales (3, B, 1, 1) from `DropPath`."""
        x = x + _scaled(self.self_attention(self.norm1(x), None), scales, 0)
        x = x + _scaled(self.cross_attention(self.norm2(x), memory, hidden), scales, 1)
        return x + _scaled(self.mlp(self.norm3(x)), scales, 2)


class SelfAttention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int, *, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, hidden: Tensor | None) -> Tensor:
        """Attend among (B, N, W) tokens; hidden (B, N) bool, True = not attended to."""
        q, k, v = (
            self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )  # (B, heads, N, W / heads)
        seen = None if hidden is None else ~hidden[:, None, None]  # (B, 1, 1, N)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class CrossAttention(nn.Module):
    """Multi-head attention whose keys and values come from a memory."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.kv = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, memory: Tensor, hidden: Tensor | None) -> Tensor:
        """Attend from (B, N, W) tokens to (B, M, W) memory; hidden (B, M) bool, True = not attended to."""
        q = self.q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, W / heads)
        k, v = (
            self.kv(memory).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )  # (B, heads, M, W / heads)
        seen = None if hidden is None else ~hidden[:, None, None]  # (B, 1, 1, M)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


def mlp(config: PretrainConfig) -> nn.Sequential:
    """Make a block's MLP."""
    hidden = config.mlp_ratio * config.width
    return nn.Sequential(
        nn.Linear(config.width, hidden), nn.GELU(), nn.Linear(hidden, config.width)
    )


def _scaled(branch: Tensor, scales: Tensor | None, i: int) -> Tensor:
    """Drop or scale a residual branch, (B, N, W), by the i-th of (branches, B, 1, 1) factors."""
    return branch if scales is None else branch * scales[i].to(branch.dtype)


def _batch_norm(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    """Normalise (..., channels) over all leading axes."""
    normed: Tensor = norm(x.flatten(0, -2)).view(x.shape)
    return normed


def initialise(module: nn.Module) -> None:
    """Draw initial weights as Point-MAE does: deviation 0.02, biases zero."""
    draw: Callable[..., Any] = nn.init.trunc_normal_
    if isinstance(module, nn.Linear | nn.Conv2d):
        draw(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, ImageEncoder):
        draw(module.position, std=0.02)
    if isinstance(module, GlobalAlignment | MaskedReconstruction):
        draw(module.mask_token, std=0.02)
