"""The point encoder as a file.

A pretraining run writes one; the downstream tasks start from it, and so may another run.
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save

from ...core.errors import InputError
from ...core.settings import by_name
from ..config import PretrainConfig
from ..encoders import PointEncoder
from ..methods.point_mae import read_point_mae
from .checkpoint import first_line
from .tensors import fill, read_config, read_safetensors

__all__ = ["encoder_bytes", "load_encoder", "start_from"]


def encoder_bytes(encoder: PointEncoder, config: PretrainConfig, stamp: str = "") -> bytes:
    """Return the encoder's weights as the bytes of a safetensors file.

    Its metadata holds the settings as JSON under `config`.

    Parameters
    ----------
    stamp : stands beside the settings as `generator`: a second entry of the metadata would have a
        place by chance
    """
    settings = ({"generator": stamp} if stamp else {}) | by_name(config)
    # safetensors takes contiguous tensors only
    weights = {name: value.cpu().contiguous() for name, value in encoder.state_dict().items()}
    return save(weights, metadata={"config": json.dumps(settings)})


def load_encoder(path: Path) -> tuple[PointEncoder, PretrainConfig]:
    """Read an encoder and the settings that it was trained with.

    Parameters
    ----------
    path : the folder of a finished run, its encoder.safetensors, or a checkpoint of Point-MAE
        (.pth)

    Raises
    ------
    InputError : a file that is missing, damaged, or something else; that lacks a tensor or has one
        too many, or one of another shape, or whose numbers are not all finite
    """
    if path.is_dir():
        if not (path / "encoder.safetensors").exists():
            raise InputError(
                f"{path} holds no encoder.safetensors, which a run writes at its end: let it finish"
            )
        path = path / "encoder.safetensors"
    try:
        if path.suffix in (".pth", ".pt"):
            config, weights = read_point_mae(path)
        else:
            entries, weights = read_safetensors(path, "config")
            config = read_config(entries)
        sizes = config.network
        encoder = fill(lambda: PointEncoder(sizes), weights, {"point_depth": sizes.point_depth})
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is no point encoder that `cma3d pretrain` wrote, "
            f"and no checkpoint of Point-MAE: "
            f"{first_line(error)}; give a run, its encoder.safetensors, or a .pth file of Point-MAE"
        ) from None
    return encoder, config


def start_from(encoder: PointEncoder, path: Path) -> None:
    """Copy the weights of another encoder, as `OptimiserConfig.init` names it.

    Raises
    ------
    InputError : see `load_encoder`; or an encoder of other sizes, which are told
    """
    other, _ = load_encoder(path)
    own, others = encoder.state_dict(), other.state_dict()
    # name the first tensor that differs, for a remedy
    for name in sorted(set(own) | set(others)):
        sizes = [list(state[name].shape) if name in state else "missing" for state in (own, others)]
        if sizes[0] != sizes[1]:
            raise InputError(
                f"{path} holds an encoder of other sizes: {name} is {sizes[1]}, "
                f"the settings make it {sizes[0]}: "
                "give settings with its width, point_depth, embed_width and position_width, "
                "or another --init"
            )
    encoder.load_state_dict(others)
