"""The settings of the pretraining, and what was decided where the paper is silent or contradicts itself.

=====================  ==============  =====================================================================
setting                default         the paper, and the reason for the default
=====================  ==============  =====================================================================
mask_strategy          complementary   table 7 compares three; this one is the best
mask_collisions        on              stated in words under "Masking"; it raises the effective ratio, which
                                       is logged: from 0.6 to 0.7 or 0.8 at 224 pixels, depending on how
                                       much of the image an object fills, and to max_ratio at 128 and less.
                                       Tables 6 and 7 speak of a fixed ratio: off gives that
max_ratio              0.9             no limit is stated; on a coarse grid the rule would mask everything.
                                       0.9 is the highest ratio of table 6
image_tokens           visible         equation 4 feeds masked image tokens to the encoder, the efficiency
                                       section says that masking saves that work: we save it
(cells without points) random          image keeps 1 - mask_ratio of its cells, see `masking`
(order of the rules)   points first    the image's strategy is applied to the point masks that the collision
                                       rule leaves: a cell whose patches were all masked counts as masked
(what is embedded)     visible         mini-PointNet sees visible patches only; Point-MAE embeds all, and its
                                       batch statistics then know of the masked ones
temperature            0.07            not given; the usual value since InfoNCE on images
contrast_weight        1e-4            lambda of equation 12; best in table 8
drop_path              0.1             not given; Point-MAE: linear from 0 to 0.1 over the blocks
warmup_epochs          10              not given; Point-MAE. So are the final rate 1e-6 and decay on matrices
clip_norm              10              not given; Point-MAE
learning_rate          1e-3            given, for batch_size 128; it is not rescaled with the batch
(cls token)            none            as in Point-MAE's pretraining; the count of table 9 leaves no room for it
                                       beside the encoder's final norm
(dropped branches)     in all parts    Point-MAE drops them in encoder and decoder
(pooling)              max and mean    "pooled": both, concatenated, as in Point-MAE's classifier
(Chamfer)              squared         "enhanced Chamfer Distance": squared, mean, both directions (Point-MAE)
(image normalisation)  ImageNet        "normalization": by the mean and deviation that image encoders use
(last short batch)     left out        rows are shuffled anew in each epoch, so others are left out each time
=====================  ==============  =====================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..config import setting

__all__ = ["PretrainConfig"]


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of `cma3d pretrain`; the defaults are the paper's."""

    # input
    patches: int = setting(64, "Point patches a cloud (m in the paper).", low=2)
    patch_points: int = setting(32, "Points a patch, nearest to its centre (K).", low=1)
    image_size: int = setting(224, "Side of the image the network sees, pixels; 0: the shard's own size.", low=0)
    image_patch: int = setting(16, "Side of an image patch, pixels (S).", low=1)
    # masking
    mask_strategy: Literal["complementary", "correspondence", "random"] = setting(
        "complementary", "Which image cells are masked, given the masked point patches."
    )
    mask_ratio: float = setting(0.6, "Share of point patches and of image cells that is masked.", low=0.05, high=0.95)
    mask_collisions: bool = setting(True, "A cell with a masked and a visible patch masks both.")
    max_ratio: float = setting(0.9, "mask_collisions masks at most this share of the point patches.", low=0, high=1)
    # network
    width: int = setting(384, "Channels of a token.", low=1)
    heads: int = setting(6, "Attention heads.", low=1)
    point_depth: int = setting(12, "Blocks of the point encoder (E_p).", low=1)
    image_depth: int = setting(12, "Blocks of the image encoder (E_i).", low=1)
    global_depth: int = setting(2, "Blocks of the global decoder (D_g).", low=1)
    reconstruction_depth: int = setting(4, "Layers of the reconstruction decoder (D_r).", low=1)
    mlp_ratio: int = setting(4, "Hidden channels of a block's MLP, in widths.", low=1)
    embed_width: int = setting(128, "First channels w of mini-PointNet: 3-w-2w | 4w-4w-width.", low=1)
    position_width: int = setting(128, "Hidden channels of the position MLPs.", low=1)
    head_width: int = setting(512, "Hidden channels of the heads (H_p, H_i).", low=1)
    shared_width: int = setting(256, "Channels of the space that clouds and images share (z).", low=1)
    drop_path: float = setting(
        0.1, "Share of samples that skip the last block; grows linearly from 0.", low=0, high=0.9
    )
    image_tokens: Literal["visible", "all"] = setting("visible", "Image tokens that pass the image encoder.")
    # tasks
    tasks: Literal["both", "reconstruction", "contrast"] = setting("both", "Which of the two tasks are trained.")
    temperature: float = setting(0.07, "Tau of the contrast.", low=1e-4)
    contrast_weight: float = setting(1e-4, "lambda: L = L_lmr + lambda L_gsa; 1 where contrast is alone.", low=0)
    # optimisation
    epochs: int = setting(300, "Times through the shards (rows of a last short batch wait for the next).", low=1)
    batch_size: int = setting(128, "Rows a step; all rows where the shards hold fewer.", low=1)
    learning_rate: float = setting(1e-3, "Highest learning rate.", low=0)
    final_learning_rate: float = setting(1e-6, "Learning rate before the warm-up and after the cosine.", low=0)
    warmup_epochs: int = setting(10, "Epochs of linear warm-up; at most half of all.", low=0)
    weight_decay: float = setting(0.05, "AdamW's decay, on matrices only.", low=0)
    clip_norm: float = setting(10.0, "Largest norm of the gradient; 0: no limit.", low=0)
    seed: int = setting(0, "Of the initial weights, the order of rows and the masks.", low=0, high=2**31 - 1)
    # running; none of these changes the result beyond rounding
    device: Literal["auto", "cpu", "cuda"] = setting("auto", "Where to compute; auto: cuda if there is one.")
    threads: int = setting(0, "CPU threads that compute; 0: torch's choice. One is faster where cores are busy.", low=0)
    workers: int = setting(4, "Processes that read the shards, where these do not fit in memory_gib.", low=0)
    memory_gib: float = setting(4.0, "Shards up to this size, unpacked, are held in memory.", low=0)
    checkpoint_seconds: float = setting(300.0, "Time between checkpoints; 0: after every step.", low=0)

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width = {self.width} is no multiple of heads = {self.heads}")
        if self.image_size % self.image_patch:
            raise ValueError(f"image_size = {self.image_size} is no multiple of image_patch = {self.image_patch}")
        if self.contrasts and self.batch_size < 2:
            raise ValueError(
                "batch_size = 1 leaves the contrast no negatives: take 2 or more, or tasks = reconstruction"
            )

    @property
    def reconstructs(self) -> bool:
        """Whether local mask reconstruction is trained."""
        return self.tasks != "contrast"

    @property
    def contrasts(self) -> bool:
        """Whether global semantic alignment is trained."""
        return self.tasks != "reconstruction"
