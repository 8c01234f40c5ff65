"""Point-MAE's published weights as a point encoder: one key for another, nothing computed.

The names are those of Point-MAE's own code (`models/Point_MAE.py`, `tools/builder.py`), which
writes a checkpoint as `{"base_model": weights, ...}`: the encoder of a pretraining checkpoint under
`MAE_encoder.`, that of a fine-tuned one at the top, each perhaps under `module.`, which data
parallelism adds.

============================  ==============================
Point-MAE                     here
============================  ==============================
encoder.first_conv.0          embed.local1
encoder.first_conv.1          embed.norm1
encoder.first_conv.3          embed.local2
encoder.second_conv.0         embed.joint1
encoder.second_conv.1         embed.norm2
encoder.second_conv.3         embed.joint2
pos_embed.0, pos_embed.2      position.0, position.2
blocks.blocks.N.norm1, norm2  transformer.blocks.N.norm1, norm2
blocks.blocks.N.attn.qkv      transformer.blocks.N.attention.qkv
blocks.blocks.N.attn.proj     transformer.blocks.N.attention.out
blocks.blocks.N.mlp.fc1, fc2  transformer.blocks.N.mlp.0, mlp.2
norm                          transformer.norm
============================  ==============================

Its convolutions have windows of one point, so their weights, (out, in, 1), are the matrices of
linear layers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..config import PretrainConfig
from ..weights.checkpoint import load_weights
from ..weights.tensors import read_config

__all__ = ["read_point_mae", "rename"]

_NAMES = (
    (r"encoder\.first_conv\.0", "embed.local1"),
    (r"encoder\.first_conv\.1", "embed.norm1"),
    (r"encoder\.first_conv\.3", "embed.local2"),
    (r"encoder\.second_conv\.0", "embed.joint1"),
    (r"encoder\.second_conv\.1", "embed.norm2"),
    (r"encoder\.second_conv\.3", "embed.joint2"),
    (r"pos_embed\.([02])", r"position.\1"),
    (r"blocks\.blocks\.(\d+)\.(norm[12])", r"transformer.blocks.\1.\2"),
    (r"blocks\.blocks\.(\d+)\.attn\.qkv", r"transformer.blocks.\1.attention.qkv"),
    (r"blocks\.blocks\.(\d+)\.attn\.proj", r"transformer.blocks.\1.attention.out"),
    (r"blocks\.blocks\.(\d+)\.mlp\.fc1", r"transformer.blocks.\1.mlp.0"),
    (r"blocks\.blocks\.(\d+)\.mlp\.fc2", r"transformer.blocks.\1.mlp.2"),
    (r"norm", "transformer.norm"),
)
_HEAD_WIDTH = 64  # channels of an attention head in every configuration that Point-MAE published


def rename(name: str) -> str | None:
    """Return our name of one of Point-MAE's parameters.

    None if it is no part of the encoder.
    """
    whole = name.replace("module.", "")
    if whole.startswith("MAE_encoder."):
        whole = whole.removeprefix("MAE_encoder.")
    elif whole.startswith("MAE_decoder."):
        return None
    layer, _, kind = whole.rpartition(".")
    for pattern, ours in _NAMES:
        match = re.fullmatch(pattern, layer)
        if match:
            return f"{match.expand(ours)}.{kind}"
    return None


def read_point_mae(path: Path) -> tuple[PretrainConfig, dict[str, Tensor]]:
    """Read the point encoder of a checkpoint that Point-MAE wrote.

    Parameters
    ----------
    path : .pth file, of pretraining or fine-tuning

    Returns
    -------
    config : settings with the encoder's sizes, as its weights have them; others are the defaults
    weights : state dict of `network.PointEncoder`

    Raises
    ------
    ValueError : the file holds code, or no such encoder
    OSError : it cannot be read
    """
    weights = {}
    for name, value in _base_model(load_weights(path)).items():
        ours = rename(str(name))
        if ours is not None:
            # a convolution with windows of one point is a matrix
            matrix = value.squeeze(-1) if value.ndim == 3 else value
            weights[ours] = matrix.float() if matrix.is_floating_point() else matrix
    width = _channels(weights, "transformer.norm.weight")
    sizes = {
        "width": width,
        "heads": max(width // _HEAD_WIDTH, 1),
        "point_depth": sum(name.endswith("attention.qkv.weight") for name in weights),
        "mlp_ratio": _channels(weights, "transformer.blocks.0.mlp.0.bias") // width,
        "embed_width": _channels(weights, "embed.local1.bias"),
        "position_width": _channels(weights, "position.0.bias"),
    }
    return read_config(sizes, ()), weights


def _channels(weights: Mapping[str, Tensor], name: str) -> int:
    """Return the length of a vector of weights."""
    if name not in weights:
        raise ValueError(f"no {name} under the names of Point-MAE")
    if weights[name].ndim != 1 or not len(weights[name]):
        raise ValueError(f"{name} has shape {list(weights[name].shape)}, not that of a vector")
    return len(weights[name])


def _base_model(state: Mapping[Any, Any]) -> dict[Any, Tensor]:
    """Return the network's weights of a checkpoint.

    They are under `base_model` or at the top.
    """
    model = state.get("base_model", state)
    if not isinstance(model, Mapping):
        raise ValueError("base_model holds no weights")
    return {name: value for name, value in model.items() if isinstance(value, Tensor)}
