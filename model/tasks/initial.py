"""Where a task's point encoder comes from: a pretraining run, its exported file, Point-MAE's checkpoint, or chance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ...core.errors import InputError
from ...core.files import sha256
from ...core.untrusted import read_json
from ..config import PretrainConfig
from ..encoders import PointEncoder
from ..train.run_folder import MOST_ABOUT, check_step, first_line
from ..weights.checkpoint import load_weights, part
from ..weights.encoder import load_encoder
from ..weights.tensors import fill, read_config

__all__ = ["Initial", "load_initial"]

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Initial:
    """What a task starts from.

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


def load_initial(path: Path | None, *, scratch: bool = False) -> Initial:
    """Read what a task starts from.

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
                "give --init RUN (or a file) to start from a pretrained encoder, or --scratch to start at random"
            )
        return Initial(PretrainConfig(), None, "scratch, the paper's sizes", "scratch")
    config, weights, source, file = _read(path)
    if scratch:
        return Initial(config, None, f"scratch, the sizes of {path}", "scratch")
    return Initial(config, weights, source, sha256(file)[:16])


def _read(path: Path) -> tuple[PretrainConfig, Weights, str, Path]:
    """Read sizes and weights, and say from which file."""
    file = path / "encoder.safetensors" if path.is_dir() else path
    if path.is_dir() and not file.exists():
        return *_read_checkpoint(path), path / "checkpoint.pt"
    encoder, config = load_encoder(file)
    kind = "Point-MAE's checkpoint" if file.suffix in (".pth", ".pt") else "encoder of"
    return config, encoder.state_dict(), f"{kind} {path}", file


def _read_checkpoint(run: Path) -> tuple[PretrainConfig, Weights, str]:
    """Read the encoder of a run that goes on still."""
    about, file = run / "run.json", run / "checkpoint.pt"
    if not about.exists() or not file.exists():
        raise InputError(
            f"{run} has neither encoder.safetensors nor a checkpoint: give the folder of a `cma3d pretrain` run"
        )
    try:
        told = read_json(about, most_bytes=MOST_ABOUT)
        config = read_config(told.get("config") if isinstance(told, dict) else None)
        state = load_weights(file)
        step, prefix = check_step(state), "point_encoder."
        named = [(str(name), value) for name, value in part(state, "network").items()]
        weights = {
            name.removeprefix(prefix): value for name, value in named if name.startswith(prefix)
        }
        encoder = fill(lambda: PointEncoder(config), weights, {"point_depth": config.point_depth})
        return config, encoder.state_dict(), f"checkpoint of {run} after {step} steps"
    except (OSError, ValueError) as error:
        raise InputError(
            f"{run} is no run of `cma3d pretrain`: {first_line(error)}; give another run, or a checkpoint from a copy"
        ) from None
