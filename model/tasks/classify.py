"""A classifier on clouds: its loss in training, its logits with and without voting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everyone knows it by
from safetensors.torch import save
from torch import Tensor

from ...core.errors import InputError
from ...core.settings import by_name, read_settings, setting_names
from ...core.untrusted import shown
from ..config import NetworkConfig
from ..layers import DropPath
from ..noise import sample_seeds
from ..patches import make_patches
from ..weights.checkpoint import first_line
from ..weights.initial import InitialEncoder
from ..weights.tensors import fill, read_config, read_safetensors
from .benchmarks.augment import augment, choose_points
from .benchmarks.prepared import Clouds
from .classifier import Classifier
from .config import FinetuneConfig, Task, TrainConfig
from .engine import State, autocast

__all__ = [
    "ClassifierWork",
    "classifier_bytes",
    "load_classifier",
    "make_classifier",
    "predict",
    "vote",
]

_BATCH = 128  # shapes that are classified at a time
_VOTE_SEED = 0x707E


def make_classifier(initial: InitialEncoder, classes: int, config: TrainConfig) -> Classifier:
    """Make a classifier from the seed, with the encoder's weights if any."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = Classifier(initial.config.network, classes, dropout=config.dropout)
    # the head keeps its random weights
    if initial.weights is not None:
        network.encoder.load_state_dict(initial.weights)
    return network


class ClassifierWork:
    """Classification as a training task.

    Parameters
    ----------
    network : on the device
    clouds : "train", and what is measured after each epoch: "test", "held_out"
    """

    def __init__(
        self,
        network: Classifier,
        encoder: NetworkConfig,
        clouds: dict[str, Clouds],
        config: TrainConfig,
        device: torch.device,
    ) -> None:
        self.network, self.config, self.device = network, config, device
        self.patch_points, self.rows = encoder.patch_points, len(clouds["train"])
        self.points = torch.from_numpy(clouds["train"].points).to(device)  # (N, spare, 3)
        self.labels = torch.from_numpy(clouds["train"].labels).to(device)
        self.measured = {name: clouds[name] for name in ("test", "held_out") if len(clouds[name])}
        names = {"test": "best_on_test", "held_out": "chosen_on_held_out"}
        self.chooses = {names[name]: name for name in self.measured}

    def loss(self, rows: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
        """Return cross entropy and accuracy of some training shapes."""
        points, labels = self.points[rows], self.labels[rows]
        # other points, scale and shift of each shape in every step
        index = choose_points(seeds, points.shape[1], self.config.points)
        points = augment(_pick(points, index), seeds, self.config)
        drop = DropPath(seeds, self.config.drop_path)
        # (B, classes)
        logits = self.network(*make_patches(points, self.config.patches, self.patch_points), drop)
        # float32, since the sum of exponentials loses digits in bfloat16
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=self.config.label_smoothing)
        return loss, (logits.argmax(1) == labels).float().mean()

    def measure(self) -> dict[str, float]:
        """Return the accuracy on each set of shapes that is not learned from."""
        accuracies = {}
        for name, clouds in self.measured.items():
            logits = predict(self.network, clouds, self.config, self.patch_points, self.device)
            accuracies[name] = accuracy(logits, clouds)
        return accuracies


def accuracy(logits: Tensor, clouds: Clouds) -> float:
    """Return the share of shapes whose class has the highest logit."""
    return float((logits.argmax(1).cpu().numpy() == clouds.labels).mean())


@torch.no_grad()
def predict(
    network: Classifier,
    clouds: Clouds,
    config: TrainConfig,
    patch_points: int,
    device: torch.device,
    *,
    draw: int | None = None,
) -> Tensor:
    """Classify shapes.

    Parameters
    ----------
    draw : None takes the `points` farthest points as they are; a number draws other points, scale
        and shift

    Returns
    -------
    logits : (N, classes) float32, on the CPU
    """
    network.eval()
    logits = []
    for start in range(0, len(clouds), _BATCH):
        points = torch.from_numpy(clouds.points[start : start + _BATCH]).to(device)
        # a single pass sees the farthest points, a vote draws others
        if draw is None:
            points = points[:, : config.points]
        else:
            rows = torch.arange(start, start + len(points), device=device)
            # another seed than that of training, so that a vote repeats none of its draws
            seeds = sample_seeds(config.seed + _VOTE_SEED, draw, rows)
            points = _pick(points, choose_points(seeds, points.shape[1], config.points))
            points = augment(points, seeds, config)
        with autocast(device, config.precision):
            logits.append(
                network(*make_patches(points, config.patches, patch_points)).float().cpu()
            )
    return torch.cat(logits)


def vote(
    network: Classifier,
    clouds: Clouds,
    config: TrainConfig,
    patch_points: int,
    device: torch.device,
    votes: int,
) -> Tensor:
    """Average the logits of several draws of points, scales and shifts: (N, classes) float32."""
    draws = [
        predict(network, clouds, config, patch_points, device, draw=draw) for draw in range(votes)
    ]
    # (votes, N, classes), then the mean over the votes
    return torch.stack(draws).mean(0)


def _pick(points: Tensor, index: Tensor) -> Tensor:
    """Take (B, n, 3) of (B, P, 3) points by (B, n) indices."""
    return points.gather(1, index[..., None].expand(-1, -1, 3))


# ---- the classifier as a file ----


def classifier_bytes(weights: State, about: dict[str, Any]) -> bytes:
    """Return a classifier's weights as the bytes of a safetensors file.

    `about` is in its metadata as JSON.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    return save(tensors, metadata={"classifier": json.dumps(about)})


def load_classifier(path: Path) -> tuple[Classifier, NetworkConfig, dict[str, Any]]:
    """Read a classifier that `cma3d finetune` wrote.

    Returns
    -------
    network, encoder, about : `about` has "encoder" and "config" as dictionaries, "classes", "task",
        "epoch"

    Raises
    ------
    InputError : a file that is missing, damaged or something else
    """
    try:
        about, weights = read_safetensors(path, "classifier")
        _check_about(about)
        encoder = read_config(about["encoder"]).network
        depths = {"point_depth": encoder.point_depth}
        network = fill(lambda: Classifier(encoder, len(about["classes"])), weights, depths)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is no classifier that `cma3d finetune` wrote: {first_line(error)}; "
            "give the folder of a finished run, or one of its .safetensors files"
        ) from None
    return network, encoder, about


def _check_about(about: dict[str, Any]) -> None:
    """Check a file's classifier against the request; raises ValueError."""
    classes, task = about.get("classes"), about.get("task")
    if (
        not isinstance(classes, list)
        or not classes
        or not all(isinstance(name, str) for name in classes)
    ):
        raise ValueError("it tells no classes")
    if task not in get_args(Task):
        raise ValueError(f"it tells no task, but {shown(task)}")
    if not isinstance(about.get("config"), dict):
        raise ValueError("it tells no config")
    known = setting_names(FinetuneConfig)
    try:
        values = {name: value for name, value in about["config"].items() if name in known}
        about["config"] = by_name(read_settings(FinetuneConfig, None, values))
    except InputError as error:
        raise ValueError(f"its config says {shown(str(error))}") from None
