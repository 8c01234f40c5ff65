"""Settings of the downstream tasks.

They are Point-MAE's recipes, which the paper follows, and what those leave open.

=====================  ==============
=====================================================================
setting                default         the source, and the reason where there is none
=====================  ==============
=====================================================================
epochs, rates, decay   as below        Point-MAE's cfgs/finetune_*.yaml and fewshot.yaml; 300
epochs, few-shot 150
points, patches        1024, 64        the same; ScanObjectNN 2048 and 128: see scanobjectnn.toml
scale, shift           2/3 to 3/2, 0.2 the same: each axis by its own factor and shift
(points of a step)     of 1200         the same: 1,024 of the 1,200 farthest points, drawn anew each
time; the centres
                                       are the first of them in farthest point order, where
                                       Point-MAE samples again
held_out               0.1             the paper chooses the epoch on the test set. A tenth of the
training set, class
                                       by class, is kept out and chooses honestly; 0 trains on all,
                                       as the paper does
votes                  10              Point-MAE: ten draws of points, scales and shifts, logits
averaged. It then
                                       repeats the ten 300 times and reports the best; here they are
                                       drawn once
(running statistics)   averaged        those of batch norms are plain averages over the first ten
steps, the encoder's
                                       own forgotten, then as usual, see `norm`: short runs are
                                       measured right, long ones do not notice
label_smoothing        0               Point-MAE trains with plain cross entropy
normalise              auto            by Point-MAE's convention ScanObjectNN is left as it comes
precision              auto            bfloat16 on CUDA, by autocast; else float32
dropout                0.5             Point-MAE's head
train_on               train           ShapeNetPart has validation shapes: they choose the epoch.
Point-MAE learns from
                                       them, too, and chooses on the test set: trainval
=====================  ==============
=====================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...core.settings import setting

__all__ = [
    "FewShotConfig",
    "FinetuneConfig",
    "Normalise",
    "ProbeConfig",
    "SegmentConfig",
    "Task",
    "TrainConfig",
]

Task = Literal[
    "modelnet40",
    "scanobjectnn-bg",
    "scanobjectnn-only",
    "scanobjectnn-pb",
    "shapenetpart",
    "fewshot",
]
Normalise = Literal["auto", "yes", "no"]

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class TrainConfig:
    """Settings that all training tasks share."""

    # input
    points: int = setting(1024, "Points of a shape that the network sees.", low=1)
    patches: int = setting(
        64, "Point patches a shape; how many points a patch has, the encoder says.", low=1
    )
    normalise: Normalise = setting(
        "auto", "Move and scale each shape into the unit ball; auto: all but ScanObjectNN."
    )
    scale_low: float = setting(
        2 / 3, "Lowest factor by which a shape is scaled in training.", low=1e-3
    )
    scale_high: float = setting(1.5, "Highest factor.", low=1e-3)
    shift: float = setting(0.2, "Largest shift along each axis in training.", low=0)
    held_out: float = setting(
        0.1,
        "Share of the training set that only chooses an epoch; 0 trains on all.",
        low=0,
        high=0.9,
    )
    # network
    drop_path: float = setting(
        0.1, "Share of samples that skip the last block; grows linearly from 0.", low=0, high=0.9
    )
    dropout: float = setting(
        0.5, "Share of the head's hidden channels that are dropped.", low=0, high=0.9
    )
    # optimisation
    epochs: int = setting(300, "Times through the training set.", low=1)
    batch_size: int = setting(32, "Shapes a step; all where there are fewer.", low=2)
    learning_rate: float = setting(5e-4, "Highest learning rate.", low=0)
    final_learning_rate: float = setting(
        1e-6, "Learning rate before the warm-up and after the cosine.", low=0
    )
    warmup_epochs: int = setting(10, "Epochs of linear warm-up; at most half of all.", low=0)
    weight_decay: float = setting(0.05, "AdamW's decay, on matrices only.", low=0)
    clip_norm: float = setting(10.0, "Largest norm of the gradient; 0: no limit.", low=0)
    label_smoothing: float = setting(
        0.0, "Share of the target that goes to all classes alike.", low=0, high=0.9
    )
    seed: int = setting(
        0,
        "Of the first run: weights, order, augmentation. Further runs count on.",
        low=0,
        high=2**31 - 1,
    )
    # evaluation
    measure_every: int = setting(
        1, "Epochs between measurements on test and held-out shapes.", low=1
    )
    # bfloat16 has eight binary digits: another precision is another result
    precision: Literal["auto", "float32", "bfloat16"] = setting(
        "auto", "auto: bfloat16 on CUDA, else float32."
    )
    # running: a stopped run may go on with other values, the result is the same but for rounding
    device: Device = setting(
        "auto", "Where to compute; auto: cuda if there is one.", identity=False
    )
    threads: int = setting(0, "CPU threads that compute; 0: torch's choice.", low=0, identity=False)
    checkpoint_seconds: float = setting(
        300.0, "Time between checkpoints; 0: after every step.", low=0, identity=False
    )

    def __post_init__(self) -> None:
        if self.scale_low > self.scale_high:
            raise ValueError(
                f"scale_low = {self.scale_low} is above scale_high = {self.scale_high}"
            )
        if self.patches > self.points:
            raise ValueError(f"patches = {self.patches} are more than points = {self.points}")


@dataclass(frozen=True)
class FinetuneConfig(TrainConfig):
    """Settings of `cma3d finetune`; the defaults are Point-MAE's for ModelNet40."""

    votes: int = setting(
        10, "Draws of points, scales and shifts whose logits are averaged by voting.", low=1
    )


@dataclass(frozen=True)
class FewShotConfig(FinetuneConfig):
    """Settings of `cma3d fewshot`; the defaults are Point-MAE's."""

    epochs: int = setting(150, "Times through the training shapes of a fold.", low=1)
    held_out: float = setting(
        0.0, "Share of the fold's training shapes that only chooses an epoch.", low=0, high=0.9
    )
    queries: int = setting(20, "Test shapes a class, where folds are drawn here.", low=1)


@dataclass(frozen=True)
class SegmentConfig(TrainConfig):
    """Settings of `cma3d segment`; the defaults are Point-MAE's for ShapeNetPart."""

    points: int = setting(2048, "Points of a shape that the network sees.", low=1)
    patches: int = setting(128, "Point patches a shape.", low=1)
    scale_low: float = setting(
        0.8, "Lowest factor by which a shape is scaled in training, all axes alike.", low=1e-3
    )
    scale_high: float = setting(1.25, "Highest factor.", low=1e-3)
    shift: float = setting(0.1, "Largest shift along each axis in training.", low=0)
    held_out: float = setting(
        0.0,
        "Not of use here: the benchmark has validation shapes of its own, which choose an epoch.",
        low=0,
        high=0,
    )
    train_on: Literal["train", "trainval"] = setting(
        "train",
        "trainval: learn from the validation shapes, too, as Point-MAE; then they choose no epoch.",
    )
    batch_size: int = setting(16, "Shapes a step; all where there are fewer.", low=2)
    learning_rate: float = setting(2e-4, "Highest learning rate.", low=0)
    head_width: int = setting(
        512, "Channels of the head's first hidden layer; the second has half.", low=2
    )
    propagated_width: int = setting(1024, "Channels of what is propagated to the points.", low=1)


@dataclass(frozen=True)
class ProbeConfig:
    """Settings of `cma3d probe`."""

    points: int = setting(1024, "Points of a shape that the encoder sees.", low=1)
    patches: int = setting(64, "Point patches a shape.", low=1)
    normalise: Normalise = setting(
        "auto", "Move and scale each shape into the unit ball; auto: all but ScanObjectNN."
    )
    c: float = setting(
        0.0,
        "The SVM's C; 0: the best of 1e-4 … 10 on tenths of the training set, "
        "then trained on all of it.",
        low=0,
    )
    test_share: float = setting(
        0.2,
        "Share of each synset's rows that is tested, where shards are probed.",
        low=0.01,
        high=0.9,
    )
    batch_size: int = setting(64, "Shapes encoded at a time.", low=1)
    seed: int = setting(0, "Of the splits.", low=0, high=2**31 - 1)
    device: Device = setting("auto", "Where to compute; auto: cuda if there is one.")
    threads: int = setting(0, "CPU threads that compute; 0: torch's choice.", low=0)
