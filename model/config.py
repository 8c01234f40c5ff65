"""Settings of the pretraining, in parts: network, masks, losses, optimiser, run.

docs/model.md gives the reason of each one on which the paper is silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from ..core.settings import by_name, from_names, setting

__all__ = [
    "LossConfig",
    "MaskConfig",
    "NetworkConfig",
    "OptimiserConfig",
    "PretrainConfig",
    "RunConfig",
]


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the patches, the image and the network."""

    patches: int = setting(64, "Point patches a cloud (m in the paper).", low=2)
    patch_points: int = setting(32, "Points a patch, nearest to its centre (K).", low=1)
    image_size: int = setting(
        224, "Side of the image the network sees, pixels; 0: the shard's own size.", low=0
    )
    image_patch: int = setting(16, "Side of an image patch, pixels (S).", low=1)
    width: int = setting(384, "Channels of a token.", low=1)
    heads: int = setting(6, "Attention heads.", low=1)
    point_depth: int = setting(12, "Blocks of the point encoder (E_p).", low=1)
    image_depth: int = setting(12, "Blocks of the image encoder (E_i).", low=1)
    global_depth: int = setting(2, "Blocks of the global decoder (D_g).", low=1)
    reconstruction_depth: int = setting(4, "Layers of the reconstruction decoder (D_r).", low=1)
    mlp_ratio: int = setting(4, "Hidden channels of a block's MLP, in widths.", low=1)
    embed_width: int = setting(
        128, "First channels w of mini-PointNet: 3-w-2w | 4w-4w-width.", low=1
    )
    position_width: int = setting(128, "Hidden channels of the position MLPs.", low=1)
    head_width: int = setting(512, "Hidden channels of the heads (H_p, H_i).", low=1)
    shared_width: int = setting(
        256, "Channels of the space that clouds and images share (z).", low=1
    )
    drop_path: float = setting(
        0.1, "Share of samples that skip the last block; grows linearly from 0.", low=0, high=0.9
    )
    decoder_drop_path: float = setting(0.1, "The same in both decoders.", low=0, high=0.9)
    image_tokens: Literal["visible", "all"] = setting(
        "visible", "Image tokens that pass the image encoder."
    )
    embedded_patches: Literal["visible", "all"] = setting(
        "visible",
        "Patches that mini-PointNet sees; all: its batch statistics know of the masked ones, "
        "as Point-MAE's.",
    )
    image_normalisation: Literal["imagenet", "half"] = setting(
        "imagenet", "Mean and deviation of colours: ImageNet's, or one half each."
    )
    pooling: Literal["both", "max", "mean"] = setting(
        "both", "Pooling before the heads; both: concatenated."
    )

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width = {self.width} is no multiple of heads = {self.heads}")
        if self.image_size % self.image_patch:
            raise ValueError(
                f"image_size = {self.image_size} is no multiple of image_patch = {self.image_patch}"
            )


@dataclass(frozen=True)
class MaskConfig:
    """Masks of both modalities, see `masking`."""

    mask_strategy: Literal["complementary", "correspondence", "random"] = setting(
        "complementary", "Which image cells are masked, given the masked point patches."
    )
    mask_ratio: float = setting(
        0.6, "Share of point patches and of image cells that is masked.", low=0.05, high=0.95
    )
    mask_collisions: bool = setting(True, "A cell with a masked and a visible patch masks both.")
    max_ratio: float = setting(
        0.9, "mask_collisions masks at most this share of the point patches.", low=0, high=1
    )
    masked_cells: Literal["ratio", "exact"] = setting(
        "ratio",
        "ratio: as many cells as mask_ratio says, those without points at random; exact: "
        "those of patches only.",
    )


@dataclass(frozen=True)
class LossConfig:
    """The tasks that are trained, and their losses (equations 7 to 12)."""

    tasks: Literal["both", "reconstruction", "contrast"] = setting(
        "both", "Which of the two tasks are trained."
    )
    reconstruct_from: Literal["image", "points"] = setting(
        "image",
        "What the reconstruction sees: image and visible patches, "
        "or these alone (Point-MAE's task).",
    )
    chamfer: Literal["squared", "distance"] = setting(
        "squared", "Chamfer distance: of squared distances, or plain."
    )
    temperature: float = setting(0.07, "Tau of the contrast.", low=1e-4)
    contrast_weight: float = setting(
        1e-4, "lambda: L = L_lmr + lambda L_gsa; 1 where contrast is alone.", low=0
    )

    @property
    def reconstructs(self) -> bool:
        """Whether local mask reconstruction is trained."""
        return self.tasks != "contrast"

    @property
    def contrasts(self) -> bool:
        """Whether global semantic alignment is trained."""
        return self.tasks != "reconstruction"

    @property
    def sees_images(self) -> bool:
        """Whether any task needs the image."""
        return self.contrasts or self.reconstruct_from == "image"


@dataclass(frozen=True)
class OptimiserConfig:
    """Steps of the optimiser, its start and its precision."""

    epochs: int = setting(
        300, "Times through the shards (rows of a last short batch wait for the next).", low=1
    )
    batch_size: int = setting(128, "Rows a step; all rows where the shards hold fewer.", low=1)
    learning_rate: float = setting(1e-3, "Highest learning rate.", low=0)
    final_learning_rate: float = setting(
        1e-6, "Learning rate before the warm-up and after the cosine.", low=0
    )
    warmup_epochs: int = setting(10, "Epochs of linear warm-up; at most half of all.", low=0)
    weight_decay: float = setting(0.05, "AdamW's decay, on matrices only.", low=0)
    clip_norm: float = setting(10.0, "Largest norm of the gradient; 0: no limit.", low=0)
    seed: int = setting(
        0, "Of the initial weights, the order of rows and the masks.", low=0, high=2**31 - 1
    )
    precision: Literal["auto", "float32", "bfloat16"] = setting(
        "auto",
        "Of matrix products; auto: bfloat16 on a GPU that has it. Geometry and losses are "
        "float32 in any case.",
    )
    init: str = setting(
        "", "Start the point encoder from this run, .safetensors file, or checkpoint of Point-MAE."
    )


@dataclass(frozen=True)
class RunConfig:
    """Running and watching: a stopped run may go on with other values.

    The result is the same but for rounding.
    """

    device: Literal["auto", "cpu", "cuda"] = setting(
        "auto", "Where to compute; auto: cuda if there is one.", identity=False
    )
    compile: Literal["auto", "on", "off"] = setting(
        "auto", "torch.compile; auto: on a GPU. What fails runs without.", identity=False
    )
    threads: int = setting(
        0,
        "CPU threads that compute; 0: torch's choice. One is faster where cores are busy.",
        low=0,
        identity=False,
    )
    data: Literal["auto", "device", "memory", "files"] = setting(
        "auto",
        "Where rows are held; auto: on the GPU up to a quarter of its memory, else in memory, "
        "else read anew.",
        identity=False,
    )
    memory_gib: float = setting(
        8.0, "data = auto holds shards up to this size, unpacked, in memory.", low=0, identity=False
    )
    workers: int = setting(4, "Processes that read the shards.", low=0, identity=False)
    checkpoint_seconds: float = setting(
        300.0, "Time between checkpoints; 0: after every step.", low=0, identity=False
    )
    probe_epochs: int = setting(
        25, "Epochs between linear probes of the frozen encoder; 0: none.", low=0, identity=False
    )
    picture_epochs: int = setting(
        25, "Epochs between reconstructions of fixed samples; 0: none.", low=0, identity=False
    )
    tensorboard: bool = setting(False, "Write TensorBoard's files, too.", identity=False)


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of `cma3d pretrain`; the defaults are the paper's.

    A TOML file has a table for each part; `of` and `replace` take names alone.
    """

    network: NetworkConfig = NetworkConfig()
    masks: MaskConfig = MaskConfig()
    losses: LossConfig = LossConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    run: RunConfig = RunConfig()

    def __post_init__(self) -> None:
        if self.losses.contrasts and self.optimiser.batch_size < 2:
            raise ValueError(
                "batch_size = 1 leaves the contrast no negatives: take 2 or more, "
                "or tasks = reconstruction"
            )

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Make settings from values by name, such as `of(width=96, mask_ratio=0.8)`.

        Raises
        ------
        TypeError : an unknown name
        ValueError : values that do not fit together
        """
        return from_names(cls, values)

    def replace(self, changes: Mapping[str, Any] | None = None, /, **more: Any) -> Self:
        """Return settings with other values by name; errors as `of`."""
        return from_names(type(self), by_name(self) | dict(changes or {}) | more)
