"""The point encoder as a file: what a pretraining run hands to the downstream tasks."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import safetensors
from safetensors.torch import save

from ..errors import InputError
from .config import PretrainConfig
from .network import PointEncoder

__all__ = ["load_encoder", "save_encoder"]


def save_encoder(encoder: PointEncoder, config: PretrainConfig, path: Path) -> None:
    """Write the encoder's weights as safetensors; its metadata holds the settings as JSON under `config`."""
    weights = {name: value.cpu().contiguous() for name, value in encoder.state_dict().items()}
    path.write_bytes(save(weights, metadata={"config": json.dumps(dataclasses.asdict(config))}))


def load_encoder(path: Path) -> tuple[PointEncoder, PretrainConfig]:
    """Read an encoder and the settings that it was trained with.

    Raises
    ------
    InputError : a file that is missing, damaged, or not written by `save_encoder`
    """
    known = {field.name for field in dataclasses.fields(PretrainConfig)}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            settings = json.loads((file.metadata() or {})["config"])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        config = PretrainConfig(**{name: value for name, value in settings.items() if name in known})
        encoder = PointEncoder(config)
        encoder.load_state_dict(weights)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path} is no point encoder that `cma3d pretrain` wrote: {reason}") from None
    return encoder, config
