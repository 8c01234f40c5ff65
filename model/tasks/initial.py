"""Where a task's point encoder comes from: a pretraining run, its exported file, Point-MAE's checkpoint, or chance."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ...files import sha256
from ..config import PretrainConfig
from ..encoder import load_encoder
from ..network import PointEncoder

__all__ = ["Initial", "load_initial", "point_mae_weights"]

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
    path : a run's folder, an `encoder.safetensors`, or a `.pth` of Point-MAE's pretraining; None: the paper's sizes
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
    if file.suffix in (".pth", ".pt", ".tar"):
        config = PretrainConfig()
        return config, point_mae_weights(_load(file), config, file), f"Point-MAE's checkpoint {path}", file
    encoder, config = load_encoder(file)
    return config, encoder.state_dict(), f"encoder of {path}", file


def _read_checkpoint(run: Path) -> tuple[PretrainConfig, Weights, str]:
    """Read the encoder of a run that goes on still."""
    about, file = run / "run.json", run / "checkpoint.pt"
    if not about.exists() or not file.exists():
        raise InputError(
            f"{run} has neither encoder.safetensors nor a checkpoint: give the folder of a `cma3d pretrain` run"
        )
    known = {field.name for field in fields(PretrainConfig)}
    state = _load(file)
    try:
        settings = json.loads(about.read_text(encoding="utf-8"))["config"]
        config = PretrainConfig(**{name: value for name, value in settings.items() if name in known})
        prefix = "point_encoder."
        named = state["network"].items()
        weights = {name.removeprefix(prefix): value for name, value in named if name.startswith(prefix)}
        PointEncoder(config).load_state_dict(weights)
        return config, weights, f"checkpoint of {run} after {state['step']} steps"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise InputError(f"{run} is no run of `cma3d pretrain`: {str(error).splitlines()[0]}") from None


def _load(file: Path) -> dict[str, Any]:
    """Read a file of torch's, tensors and plain values only."""
    plain: list[Any] = [np.float64(1).__reduce__()[0], np.dtype, type(np.dtype("f4")), type(np.dtype("f8"))]
    try:
        with torch.serialization.safe_globals(plain):  # Point-MAE keeps its accuracy as a number of numpy's
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from None
    except (RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
        reason = next((line for line in str(error).splitlines() if "GLOBAL" in line), str(error).splitlines()[0])
        raise InputError(f"{file} is damaged or holds more than weights ({reason.strip()}): it is not read") from None
    return state


_NAMES = {
    "encoder.first_conv.0": "embed.local1",
    "encoder.first_conv.1": "embed.norm1",
    "encoder.first_conv.3": "embed.local2",
    "encoder.second_conv.0": "embed.joint1",
    "encoder.second_conv.1": "embed.norm2",
    "encoder.second_conv.3": "embed.joint2",
    "pos_embed": "position",
    "norm": "transformer.norm",
    "blocks.blocks": "transformer.blocks",
}
"""Names in Point-MAE's checkpoint, behind `MAE_encoder.` -> names in `PointEncoder`."""
_WITHIN = {"attn.qkv": "attention.qkv", "attn.proj": "attention.out", "mlp.fc1": "mlp.0", "mlp.fc2": "mlp.2"}


def point_mae_weights(state: dict[str, Any], config: PretrainConfig, file: Path) -> Weights:
    """Turn Point-MAE's pretraining checkpoint into weights of `PointEncoder`.

    Its 1x1 convolutions are linear layers here; everything else has the same shape under another name.

    Raises
    ------
    InputError : something is missing or has another shape
    """
    content = state.get("base_model", state) if isinstance(state, dict) else {}
    weights: Weights = {}
    for full, value in content.items():
        name = our_name(full.removeprefix("module."))
        if name is not None and isinstance(value, Tensor):
            weights[name] = value.squeeze(-1) if value.ndim == 3 else value
    try:
        PointEncoder(config).load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if weights else "it has no MAE_encoder"
        raise InputError(f"{file} is no checkpoint of Point-MAE's pretraining: {reason}") from None
    return weights


def our_name(name: str) -> str | None:
    """Give the name in `PointEncoder` for one of Point-MAE's; None where it belongs to another part."""
    if not name.startswith("MAE_encoder."):
        return None
    name = name.removeprefix("MAE_encoder.")
    for start, ours in _NAMES.items():
        if name.startswith(start + "."):
            name = ours + name.removeprefix(start)
            for theirs, within in _WITHIN.items():
                name = name.replace(theirs, within)
            return name
    return None
