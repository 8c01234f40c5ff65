"""The initial point encoder of a task.

From a pretraining run, its exported file, Point-MAE's checkpoint, or random.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ...core.errors import InputError
from ...core.files import sha256
from ..config import PretrainConfig
from .encoder import load_encoder
from .saved_run import read_run

__all__ = ["InitialEncoder", "load_initial"]

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class InitialEncoder:
    """The encoder that a task starts from.

    Attributes
    ----------
    config : sizes of the encoder
    weights : of the encoder; None where it starts at random
    source : in words, for logs and tables
    fingerprint : stands for the weights
    """

    config: PretrainConfig
    weights: Weights | None
    source: str
    fingerprint: str


def load_initial(path: Path | None, *, scratch: bool = False) -> InitialEncoder:
    """Read the encoder that a task starts from.

    Parameters
    ----------
    path : a run's folder, an `encoder.safetensors`, or a `.pth` of Point-MAE's pretraining; None:
        the paper's sizes
    scratch : take the sizes alone

    Raises
    ------
    InputError : neither a path nor `scratch`; or a file that is missing, damaged or something else
    """
    if path is None:
        if not scratch:
            raise InputError(
                "give --init RUN (or a file) to start from a pretrained encoder, "
                "or --scratch to start at random"
            )
        return InitialEncoder(PretrainConfig(), None, "scratch, the paper's sizes", "scratch")
    config, weights, source, file = _read(path)
    if scratch:
        return InitialEncoder(config, None, f"scratch, the sizes of {path}", "scratch")
    return InitialEncoder(config, weights, source, sha256(file)[:16])


def _read(path: Path) -> tuple[PretrainConfig, Weights, str, Path]:
    """Read an encoder: sizes, weights, source in words, and file."""
    file, checkpoint = path / "encoder.safetensors", path / "checkpoint.pt"
    # a run that is not finished has a checkpoint only
    if path.is_dir() and not file.exists():
        if not (path / "run.json").exists() or not checkpoint.exists():
            raise InputError(
                f"{path} has neither encoder.safetensors nor a checkpoint: "
                "give the folder of a `cma3d pretrain` run"
            )
        saved = read_run(path)
        source = f"checkpoint of {path} after {saved.step} steps"
        return saved.config, saved.encoder().state_dict(), source, checkpoint
    file = file if path.is_dir() else path
    encoder, config = load_encoder(file)
    kind = "Point-MAE's checkpoint" if file.suffix in (".pth", ".pt") else "encoder of"
    return config, encoder.state_dict(), f"{kind} {path}", file
