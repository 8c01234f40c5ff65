"""Aligned masking of point patches and image cells.

The paper's "Mask alignment strategy"; table 7.

Polarity everywhere: **True = masked** (hidden from the encoder), False = visible.

Point patches are masked at random. The image is then masked in step with them, by one of three
strategies:

- ``correspondence``: a cell is masked where a masked patch lies; cells of visible patches stay
visible;
- ``complementary``: the other way round, the image shows what the cloud lacks;
- ``random``: cells are masked whatever the points do.

Shapes are fixed, so that a batch is one tensor and a compiled graph serves every step. The image
always keeps ``num_visible(cells, ratio)`` cells. Cells with points come first, by strategy; then
cells without points at random; cells against the strategy only where a coarse grid leaves nothing
else to show. On demand (`exact`) just the cells that the strategy names are masked: their number
then differs from sample to sample, and what is masked is hidden from attention.

The collision rule ("if a same image patch corresponds to a masked point cloud patch and a visible
point cloud patch, then both the image patch and the two point cloud patches will be masked")
changes the number of visible patches from sample to sample. Here the tensors keep
``num_visible(patches, ratio)`` slots for visible patches, the really visible ones first; a slot
whose patch the rule took is hidden from attention, its content is never read, its token is the mask
token in the decoders and its patch is a target of the reconstruction. So the rule raises the
effective ratio and no shape. On a coarse grid it would mask nearly everything: it stops at
`max_ratio`. It masks only patches whose cell holds a masked one already, so to the image it makes
no difference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .config import MaskConfig
from .noise import draw

__all__ = [
    "Masks",
    "PatchSlots",
    "align_masks",
    "image_cells",
    "mask_cells",
    "mask_patches",
    "num_visible",
    "pick",
    "visible_first",
]

_CLASS = 1 << 40  # above every number of `draw`: classes are sorted first, numbers break the ties
POINT_STREAM, CELL_STREAM = 1, 2


def num_visible(count: int, ratio: float) -> int:
    """Return the number of tokens that stay visible at a mask ratio.

    At least one stays visible, and at least one is masked.

    The number of masked ones is rounded down: 64 patches at 0.6 keep 26, 196 cells keep 79.
    """
    # the small addend is for products such as 0.29 * 100, which floats make 28.99...
    masked = math.floor(ratio * count + 1e-9)
    return count - min(max(masked, 1), count - 1)


def image_cells(
    pixels: Tensor, shard_size: tuple[int, int], image_size: tuple[int, int], patch: int
) -> Tensor:
    """Return the image cell that a pixel falls in (equation 2).

    I_p = floor(v / S) * (W / S) + floor(u / S).

    Where the image was resized, the pixel's centre is scaled with it, in exact integers.

    Parameters
    ----------
    pixels : (..., 2) integer, (u, v) = (column, row) in the shard's image
    shard_size : (H, W) of the image that `pixels` refer to
    image_size : (H, W) of the image that the network sees; multiples of `patch`
    patch : S, pixels

    Returns
    -------
    cells : (...) int64 in [0, H / S * W / S)
    """
    # twice the pixel's centre is a whole number, so the division is exact
    u, v = pixels.long().unbind(-1)
    column = (2 * u + 1) * image_size[1] // (2 * shard_size[1] * patch)
    row = (2 * v + 1) * image_size[0] // (2 * shard_size[0] * patch)
    return row * (image_size[1] // patch) + column


def _rank(keys: Tensor) -> Tensor:
    """Return each entry's rank in its row, (B, N) int64, 0 = smallest."""
    # the second sort inverts the first: it gives the place of each entry
    return keys.argsort(dim=1, stable=True).argsort(dim=1)


def mask_patches(noise: Tensor, ratio: float) -> Tensor:
    """Mask point patches at random: those with the largest numbers.

    Parameters
    ----------
    noise : (B, G) int64, from `noise.draw`

    Returns
    -------
    masked : (B, G) bool, True = masked; exactly ``G - num_visible(G, ratio)`` a row
    """
    # by rank, not by a threshold: the number of masked patches is exact
    return _rank(noise) >= num_visible(noise.shape[1], ratio)


def mask_collisions(masked: Tensor, cells: Tensor, noise: Tensor, max_ratio: float) -> Tensor:
    """Apply the collision rule.

    A visible patch is masked if its cell also holds a masked patch.

    Parameters
    ----------
    masked : (B, G) bool, True = masked
    cells : (B, G) int64, cell of each patch
    noise : (B, G) int64; where the rule may not take all, it takes those with the largest numbers
    max_ratio : the rule leaves ``num_visible(G, max_ratio)`` patches visible (or those there were)

    Returns
    -------
    masked : (B, G) bool, True = masked; holds every True of the input
    """
    # pairs of patches in one cell of which the second is masked
    shared = (cells[:, :, None] == cells[:, None, :]) & masked[:, None, :]  # (B, G, G)
    collides = shared.any(dim=2) & ~masked  # (B, G)
    # where each patch comes if the free come first, then the colliding, then the masked
    place = _rank(noise + _CLASS * (collides + 2 * masked.long()))  # free, colliding, masked
    # the first places stay visible although they collide, which keeps `max_ratio`
    return masked | (collides & (place >= num_visible(masked.shape[1], max_ratio)))


def cell_states(masked: Tensor, cells: Tensor, num_cells: int) -> tuple[Tensor, Tensor]:
    """Return the cells that hold masked patches, and visible ones only.

    Returns
    -------
    holds_masked : (B, C) bool, the cell holds a masked patch's centre
    holds_visible : (B, C) bool, the cell holds centres, and all of them are visible
    """
    # count the patches of each cell, and the masked ones among them: (B, C)
    zeros = torch.zeros(cells.shape[0], num_cells, dtype=torch.int64, device=cells.device)
    holds = zeros.scatter_add(1, cells, torch.ones_like(cells)) > 0  # (B, C)
    holds_masked = zeros.scatter_add(1, cells, masked.long()) > 0  # (B, C)
    # a cell with patches of both kinds counts as masked
    return holds_masked, holds & ~holds_masked


def mask_cells(
    masked: Tensor,
    cells: Tensor,
    noise: Tensor,
    strategy: str,
    ratio: float,
    *,
    exact: bool = False,
) -> Tensor:
    """Mask image cells in step with the point patches.

    Parameters
    ----------
    masked : (B, G) bool, point patches, True = masked
    cells : (B, G) int64, cell of each patch
    noise : (B, C) int64, from `noise.draw`; decides among cells of equal standing
    strategy : complementary, correspondence or random
    ratio : share of masked cells
    exact : mask the cells that the strategy names and no other, whatever the ratio; one cell stays
        visible in any case. The random strategy names none and keeps to the ratio

    Returns
    -------
    masked_cells : (B, C) bool, True = masked; exactly ``C - num_visible(C, ratio)`` a row, but
        where `exact`
    """
    holds_masked, holds_visible = cell_states(masked, cells, noise.shape[1])
    # complementary: the image shows what the cloud lacks
    if strategy == "complementary":
        shown, hidden = holds_masked, holds_visible
    elif strategy == "correspondence":
        shown, hidden = holds_visible, holds_masked
    elif strategy == "random":
        return mask_patches(noise, ratio)
    else:
        raise ValueError(
            f"strategy = {strategy!r}; known are complementary, correspondence and random"
        )
    standing = 1 - shown.long() + hidden.long()  # 0 shown first, 1 without points, 2 shown last
    # the best cell stays visible: attention needs at least one
    if exact:
        return hidden & (_rank(noise + _CLASS * standing) > 0)
    return mask_patches(noise + _CLASS * standing, ratio)


def visible_first(masked: Tensor) -> Tensor:
    """Return the order that puts visible tokens first.

    (B, N) bool to (B, N) int64 indices; the order is kept otherwise.
    """
    return masked.long().argsort(dim=1, stable=True)


@dataclass(frozen=True)
class Masks:
    """The masks of a batch; True = masked.

    Attributes
    ----------
    points : (B, G) bool, point patches
    cells : (B, C) bool, image cells
    """

    points: Tensor
    cells: Tensor


def align_masks(
    cells: Tensor,
    seeds: Tensor,
    num_cells: int,
    *,
    strategy: str,
    ratio: float,
    collisions: bool,
    max_ratio: float,
    exact: bool = False,
) -> Masks:
    """Mask both modalities of a batch.

    Each sample's masks follow from its own seed and cells alone.

    Parameters
    ----------
    cells : (B, G) int64, image cell of each patch centre, see `image_cells`
    seeds : (B,) int64, see `noise.sample_seeds`
    num_cells : C, cells of the image
    strategy, ratio, collisions, max_ratio, exact : see `mask_cells`, `mask_patches`,
        `mask_collisions`
    """
    # one draw serves the mask and the rule, so a seed alone decides both
    noise = draw(seeds, POINT_STREAM, cells.shape[1])  # (B, G)
    masked = mask_patches(noise, ratio)
    if collisions:
        masked = mask_collisions(masked, cells, noise, max_ratio)
    # the noise of the cells comes from a stream of its own
    return Masks(
        masked,
        mask_cells(
            masked, cells, draw(seeds, CELL_STREAM, num_cells), strategy, ratio, exact=exact
        ),
    )


class PatchSlots:
    """The slots of the patches: visible ones first, in fixed numbers.

    Attributes
    ----------
    order : (B, G) int64, the patch in each slot
    hidden : (B, V) bool or None; True = the collision rule took the patch of this slot, None = of
        no slot
    first : slots from this one on may hold masked patches and are reconstructed
    masked : (B, G - first) bool, True = the slot's patch is masked
    """

    def __init__(self, masked: Tensor, visible: int, config: MaskConfig) -> None:
        # visible patches first, by their index
        self.order = visible_first(masked)  # (B, G)
        self.visible = visible
        # each row is False first, then True: (B, G)
        sorted_masked = masked.gather(1, self.order)
        # without the rule the first V slots are all visible
        self.hidden = sorted_masked[:, :visible] if config.mask_collisions else None
        # the rule leaves this many visible in any case, so they need no reconstruction
        surely = min(visible, num_visible(masked.shape[1], config.max_ratio))
        self.first = surely if config.mask_collisions else visible
        self.masked = sorted_masked[:, self.first :]

    def sort(self, patches: Tensor) -> Tensor:
        """Sort (B, G, ...) patches into the order of the slots."""
        return pick(patches, self.order)

    def pick_visible(self, patches: Tensor) -> Tensor:
        """Pick the (B, V, ...) visible ones of (B, G, ...) patches.

        A hidden slot repeats the first visible patch, so that it reveals nothing.
        """
        # at least one patch stays visible, so the first slot is never hidden: (B, V)
        order = self.order[:, : self.visible]
        if self.hidden is not None:
            order = torch.where(self.hidden, order[:, :1], order)
        return pick(patches, order)

    def add_mask_tokens(self, visible: Tensor, mask_token: Tensor) -> Tensor:
        """Complete the visible tokens with mask tokens, [F_p^v, M_p].

        (B, V, W) and (W,) to (B, G, W).
        """
        # a slot that the rule took is masked for the decoders: (B, V, W)
        if self.hidden is not None:
            visible = torch.where(self.hidden[..., None], mask_token.to(visible.dtype), visible)
        # one token for all masked patches; positions tell them apart
        missing = mask_token.to(visible.dtype).expand(
            visible.shape[0], self.order.shape[1] - self.visible, -1
        )
        return torch.cat([visible, missing], dim=1)


def pick(tokens: Tensor, index: Tensor) -> Tensor:
    """Gather (B, N, ...) tokens by (B, M) indices: (B, M, ...)."""
    # `gather` wants an index of the shape of its result, so it is repeated as a view
    shape = (*index.shape, *tokens.shape[2:])
    return tokens.gather(1, index.reshape(*index.shape, *[1] * (tokens.ndim - 2)).expand(shape))
