"""Encoder files that are not what they say: refused in one line that names the tensor, by all that take one."""

import json
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.settings import by_name
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.encoders import PointEncoder
from shapenet3d_cma.model.train.pretraining import export_encoder, pretrain
from shapenet3d_cma.model.weights.encoder import load_encoder
from shapenet3d_cma.model.weights.initial import load_initial

Weights = dict[str, Tensor]
NAME = "embed.local1.bias"


def state(tiny: PretrainConfig) -> Weights:
    return PointEncoder(tiny.network).state_dict()


def changed(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[Weights], Weights]:
    return lambda weights: {**weights, name: change(weights[name].clone())}


def without(name: str) -> Callable[[Weights], Weights]:
    return lambda weights: {key: value for key, value in weights.items() if key != name}


def put(number: float) -> Callable[[Tensor], Tensor]:
    def change(value: Tensor) -> Tensor:
        value.view(-1)[-1] = number
        return value

    return change


BAD_WEIGHTS = {
    "lacks-counter": (
        without("embed.norm1.num_batches_tracked"),
        "lacks the tensor embed.norm1.num_batches_tracked",
    ),
    "lacks-weight": (without(NAME), f"lacks the tensor {NAME}"),
    "too-many": (
        lambda weights: {**weights, "another": torch.zeros(1)},
        "a tensor too many: another",
    ),
    "control": (
        lambda weights: {**weights, "a\x1b[2J\nb": torch.zeros(1)},
        r"too many: a\\x1b\[2J\\nb",
    ),
    "shape": (
        changed(NAME, lambda value: value[:-1].clone()),
        rf"{NAME} has shape \[7\], not \[8\]",
    ),
    "float64": (changed(NAME, Tensor.double), f"{NAME} holds float64, not float32"),
    "int": (changed(NAME, Tensor.long), f"{NAME} holds int64, not float32"),
    "nan": (changed(NAME, put(float("nan"))), f"{NAME} holds NaN or infinity"),
    "infinity": (changed(NAME, put(float("-inf"))), f"{NAME} holds NaN or infinity"),
    "variance": (
        changed("embed.norm1.running_var", put(-1.0)),
        "embed.norm1.running_var holds a negative number",
    ),
    "nothing": (lambda _: {"x": torch.zeros(1)}, "it holds 1 tensors"),
}


@pytest.mark.parametrize("case", BAD_WEIGHTS)
def test_weights_that_are_no_encoder_s_are_refused_by_name(
    tiny: PretrainConfig, tmp_path: Path, case: str
) -> None:
    change, says = BAD_WEIGHTS[case]
    file = tmp_path / "encoder.safetensors"
    file.write_bytes(save(change(state(tiny)), metadata={"config": json.dumps(by_name(tiny))}))
    for read in (
        load_encoder,
        load_initial,
        lambda path: export_encoder(path, tmp_path / "out.safetensors"),
    ):
        with pytest.raises(
            InputError, match=rf"encoder\.safetensors is no point encoder .*{says}.*; give "
        ) as caught:
            read(file)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.safetensors").exists()


def test_pretraining_refuses_such_weights_before_it_makes_a_folder(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path
) -> None:
    file = tmp_path / "encoder.safetensors"
    weights = changed(NAME, put(float("nan")))(state(tiny))
    file.write_bytes(save(weights, metadata={"config": json.dumps(by_name(tiny))}))
    with pytest.raises(InputError, match=rf"{NAME} holds NaN or infinity"):
        pretrain(toy_shards, tmp_path / "run", tiny.replace(init=str(file)), lambda _: None)
    assert not (tmp_path / "run").exists()


DEEP = 10**6
BAD_CONFIGS = {
    "list": ("[1, 2]", "is no JSON object"),
    "pairs": ('[["width", 16]]', "is no JSON object"),
    "null": ("null", "is no JSON object"),
    "no-json": ("{", "it is not JSON"),
    "deep": ("[" * DEEP + "]" * DEEP, "nested deeper than 64 levels"),
    "deep-value": (
        '{"width": ' + '{"a":' * DEEP + "1" + "}" * DEEP + "}",
        "nested deeper than 64 levels",
    ),
    "empty": ("{}", "its config has no width"),
    "heads-0": ({"heads": 0}, "heads = 0"),
    "heads-negative": ({"heads": -2}, "heads = -2"),
    "heads-3": ({"heads": 3}, "no multiple of heads"),
    "width-huge": ({"width": 2**40, "heads": 1}, "has shape|larger than any"),
    "width-beyond": ({"width": 10**30, "heads": 1}, "more than 64 bits|larger than any|has shape"),
    "width-digits": ('{"width": ' + "9" * 5000 + "}", "it is not JSON"),
    "width-null": ({"width": None}, "width that is no number"),
    "width-text": ({"width": "16"}, "width = '16'"),
    "width-float": ({"width": 16.5}, "width = 16.5"),
    "depth-huge": ({"point_depth": 10**9}, "point_depth = 1000000000, but it holds"),
    "depth-more": ({"point_depth": 3}, "lacks the tensor transformer.blocks.2"),
    "mlp-huge": ({"mlp_ratio": 10**12}, "has shape|larger than any"),
    "embed-huge": ({"embed_width": 10**18}, "has shape|larger than any"),
    "ratio-nan": ({"mask_ratio": float("nan")}, "mask_ratio = nan"),
    "ratio-infinite": ({"drop_path": float("inf")}, "drop_path = inf"),
    "list-inside": ({"seed": [1]}, "seed that is no number"),
}


@pytest.mark.parametrize("case", BAD_CONFIGS)
def test_settings_that_are_none_are_refused_at_once(
    tiny: PretrainConfig, tmp_path: Path, case: str
) -> None:
    told, says = BAD_CONFIGS[case]
    config = json.dumps({**by_name(tiny), **told}) if isinstance(told, dict) else told
    file = tmp_path / "encoder.safetensors"
    file.write_bytes(save(state(tiny), metadata={"config": config}))
    begun = time.process_time()
    with pytest.raises(InputError, match=rf"is no point encoder .*: .*({says})") as caught:
        load_encoder(file)
    assert time.process_time() - begun < 5
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def framed(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def told(**tensors: object) -> bytes:
    return json.dumps(
        {"__metadata__": {"config": json.dumps(by_name(PretrainConfig()))}, **tensors}
    ).encode()


BAD_HEADERS = {
    "empty": b"",
    "short": b"\x10",
    "longer-than-the-file": framed(told(), length=2**40),
    "longest": framed(told(), length=2**64 - 1),
    "no-header": framed(b""),
    "deep": framed(b'{"a":' * DEEP + b"1" + b"}" * DEEP),
    "deep-unfinished": framed(b"[" * DEEP),
    "list": framed(b"[]"),
    "no-metadata": framed(b"{}"),
    "metadata-list": framed(b'{"__metadata__": []}'),
    "config-list": framed(b'{"__metadata__": {"config": []}}'),
    "not-utf8": framed(b'{"__metadata__": {"\xff": 1}}'),
    "tensor-null": framed(told(a=None)),
    "out-of-range": framed(
        told(a={"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}), b"0123"
    ),
    "overlapping": framed(
        told(
            a={"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
            b={"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
        ),
        b"0" * 12,
    ),
    "backwards": framed(told(a={"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}), b"0123"),
    "negative": framed(told(a={"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}), b"0123"),
    "huge": framed(
        told(a={"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]}), b"0123"
    ),
    "type": framed(told(a={"dtype": "O", "shape": [1], "data_offsets": [0, 4]}), b"0123"),
}


@pytest.mark.parametrize("case", BAD_HEADERS)
def test_headers_that_are_none_are_refused_at_once(tmp_path: Path, case: str) -> None:
    file = tmp_path / "encoder.safetensors"
    file.write_bytes(BAD_HEADERS[case])
    begun = time.process_time()
    with pytest.raises(
        InputError, match=r"encoder\.safetensors is no point encoder .*; give a run"
    ) as caught:
        load_encoder(file)
    assert time.process_time() - begun < 5
    assert "\n" not in str(caught.value)


def test_a_pipe_or_a_folder_is_no_encoder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "encoder.safetensors")
    (tmp_path / "a.pth").mkdir()
    for name in ("encoder.safetensors", "a.pth"):
        with pytest.raises(InputError, match=r"is no point encoder|holds no encoder"):
            load_encoder(tmp_path / name)
