"""Checks of weights from a file before a network takes them."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import torch
from torch import Tensor, nn

from ...core.errors import InputError
from ...core.settings import read_settings, setting_names
from ...core.untrusted import open_regular, parse_json, shown
from ..config import PretrainConfig

__all__ = ["check_weights", "fill", "read_config", "read_safetensors"]

Network = TypeVar("Network", bound=nn.Module)
_UNREADABLE = (
    safetensors.SafetensorError,  # the header is damaged, or tells of other bytes than there are
    *(RuntimeError, TypeError),  # torch makes no tensor of such a shape, such as one beyond 64 bits
    AttributeError,  # torch has no such type
)
_MOST_HEADER = 2**24  # bytes; the encoder's has 20,000
_ENCODER = ("width", "heads", "point_depth", "patches", "patch_points")
"""Settings that a file must hold.

The shapes of its tensors do not show them, or a default would be another network.
"""


def read_safetensors(path: Path, about: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the tensors of a file, and a JSON object of its metadata.

    Parameters
    ----------
    about : name of the metadata's entry

    Raises
    ------
    ValueError : it is damaged, or something else; one line says why
    OSError : it cannot be read
    """
    with os.fdopen(open_regular(path), "rb") as file:
        size, start = os.fstat(file.fileno()).st_size, file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        # the shortest header is `{}`
        if not 2 <= length <= min(size - 8, _MOST_HEADER):
            raise ValueError("it is cut short, or no file of safetensors")
        header = parse_json(file.read(length))
    if not isinstance(header, dict) or not isinstance(header.get("__metadata__"), dict):
        raise ValueError("its header has no metadata")
    entries = header["__metadata__"].get(about)
    if not isinstance(entries, str):
        raise ValueError(f"its metadata tells no {about}")
    content = parse_json(entries)
    if not isinstance(content, dict):
        raise ValueError(f"the {about} in its metadata is no JSON object")
    try:
        with safetensors.safe_open(path, framework="pt") as opened:
            return content, {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
    except _UNREADABLE as error:
        raise ValueError(f"its header and its content differ: {shown(str(error))}") from None


def read_config(entries: object, needed: tuple[str, ...] = _ENCODER) -> PretrainConfig:
    """Read settings from a file's entries; unknown names are left out.

    Raises
    ------
    ValueError : no settings, some that are missing, or one of the wrong type or out of range; names
        it
    """
    if not isinstance(entries, dict):
        raise ValueError("its config is no JSON object")
    missing = [name for name in needed if name not in entries]
    if missing:
        raise ValueError(f"its config has no {missing[0]}")
    known = setting_names(PretrainConfig)
    values = {name: value for name, value in entries.items() if name in known}
    strange = [name for name, value in values.items() if not isinstance(value, str | int | float)]
    if strange:
        raise ValueError(f"its config has a {strange[0]} that is no number and no text")
    try:
        return read_settings(PretrainConfig, None, values)
    except InputError as error:
        raise ValueError(f"its config says {shown(str(error))}") from None


def fill(
    make: Callable[[], Network], weights: Mapping[str, Any], depths: Mapping[str, int]
) -> Network:
    """Make a network and load weights that are checked first.

    Parameters
    ----------
    make : makes the network; called a first time where no memory is taken
    weights : of a file
    depths : what the settings claim of blocks, by the setting's name: each takes several tensors

    Raises
    ------
    ValueError : the weights are not those of this network, or not finite; names the tensor
    """
    # a depth of a billion must not build a billion blocks
    for name, depth in depths.items():
        if depth > len(weights):
            raise ValueError(
                f"its config says {name} = {depth}, but it holds {len(weights)} tensors"
            )
    try:
        # shapes without memory, to compare with before any is taken
        with torch.device("meta"):
            expected = make().state_dict()
    except (
        RuntimeError,
        TypeError,
    ):  # torch, of more bytes than 64 bits count, and of a size beyond 64 bits
        raise ValueError("its config describes a network that is larger than any") from None
    check_weights(expected, weights)
    # the weights fit: only now does the network take memory
    network = make()
    network.load_state_dict(weights)
    return network


def check_weights(
    expected: Mapping[str, Tensor], weights: Mapping[Any, Any], within: str = ""
) -> None:
    """Check tensors against a network's: names, shapes, types, finite numbers.

    Parameters
    ----------
    within : said before the name

    Raises
    ------
    ValueError : names the first tensor that is wrong
    """
    for name in sorted(set(expected) - set(weights)):
        raise ValueError(f"it lacks the tensor {within}{name}")
    for name in (name for name in weights if name not in expected):
        raise ValueError(f"it has a tensor too many: {within}{shown(name)}")
    for name, like in expected.items():
        value = weights[name]
        if not isinstance(value, Tensor) or value.layout != torch.strided:
            raise ValueError(f"{within}{name} is no tensor")
        if value.shape != like.shape:
            raise ValueError(
                f"{within}{name} has shape {list(value.shape)}, not {list(like.shape)}"
            )
        if value.dtype != like.dtype:
            raise ValueError(f"{within}{name} holds {_kind(value)}, not {_kind(like)}")
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f"{within}{name} holds NaN or infinity")
        # the root of a negative variance would be NaN
        positive = name.endswith(("running_var", "num_batches_tracked", "exp_avg_sq", "step"))
        if positive and bool((value < 0).any()):
            raise ValueError(f"{within}{name} holds a negative number")


def _kind(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")
