"""Encoder files with drawn faults: refused in a line, or read whole; no crash, no hang, no memory that is claimed."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from shapenet3d_cma.core.settings import by_name
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.encoders import PointEncoder
from shapenet3d_cma.model.weights.encoder import load_encoder
from shapenet3d_cma.tests.fuzz.bounds import bounded, corpus, fuzz

TINY = PretrainConfig.of(
    patches=16, patch_points=8, width=8, heads=2, point_depth=1, embed_width=4, position_width=4
)
WHOLE = save(
    PointEncoder(TINY.network).state_dict(), metadata={"config": json.dumps(by_name(TINY))}
)
LENGTH = struct.unpack("<Q", WHOLE[:8])[0]
HEADER: dict[str, Any] = json.loads(WHOLE[8 : 8 + LENGTH])
DATA = WHOLE[8 + LENGTH :]
NAMES = sorted(set(HEADER) - {"__metadata__"})

NUMBERS = st.sampled_from(
    [0, 1, -1, 3, 7, 2**31, 2**32, 2**53, 2**63, 2**64, 10**30, 0.5, float("nan"), float("inf")]
)
ODD = st.one_of(
    NUMBERS,
    st.none(),
    st.booleans(),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.lists(NUMBERS),
)
DEEP = st.integers(1, 200_000).map(lambda depth: b"[" * depth + b"]" * depth)


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """A header with faults of structure: entries changed, dropped, added, doubled; settings changed."""
    header = {name: dict(value) for name, value in HEADER.items()}
    for _ in range(draw(st.integers(1, 3))):
        entry = header.get(draw(st.sampled_from(NAMES)), {})
        kind = draw(st.integers(0, 5))
        if kind == 0:
            entry[draw(st.sampled_from(["dtype", "shape", "data_offsets", "more"]))] = draw(ODD)
        elif kind == 1:
            entry["dtype"] = draw(
                st.sampled_from(
                    ["F64", "F16", "BF16", "I64", "I32", "U8", "BOOL", "F8_E4M3", "C64"]
                )
            )
        elif kind == 2:
            header.pop(draw(st.sampled_from(NAMES)), None)
        elif kind == 3:
            header[draw(st.text(max_size=8))] = draw(
                st.sampled_from([*HEADER.values(), 3, None, []])
            )
        elif kind == 4:
            offsets = draw(st.lists(st.integers(-4, len(DATA) + 4), min_size=2, max_size=2))
            entry["data_offsets"] = offsets
        else:
            config = by_name(TINY)
            config[draw(st.sampled_from(sorted(config)))] = draw(ODD)
            text = json.dumps(draw(st.sampled_from([config, [config], 3, None, "x"])))
            header["__metadata__"] = draw(
                st.sampled_from([{"config": text}, {"config": config}, [text], text, {}])
            )
    return json.dumps(header).encode()


@st.composite
def files(draw: st.DrawFn) -> bytes:
    kind = draw(st.integers(0, 6))
    if kind <= 2:
        header = draw(headers())
        length = draw(
            st.sampled_from(
                [len(header)] * 4 + [0, 2**63, 2**64 - 1, len(header) + 1, len(header) - 1]
            )
        )
        return (
            struct.pack("<Q", length)
            + header
            + draw(st.sampled_from([DATA, DATA[:-1], DATA + b"0", b""]))
        )
    if kind == 3:
        deep = draw(DEEP)
        return struct.pack("<Q", len(deep)) + deep
    if kind == 4:
        return WHOLE[: draw(st.integers(0, len(WHOLE)))]
    if kind == 5:
        return draw(st.binary(max_size=200))
    content = bytearray(WHOLE)
    for _ in range(draw(st.integers(1, 4))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content)


def check(folder: Path, content: bytes) -> None:
    path = folder / "encoder.safetensors"
    path.write_bytes(content)
    with bounded("safetensors", content, inside=folder, mib=256):
        encoder, config = load_encoder(path)
        assert all(bool(torch.isfinite(value).all()) for value in encoder.state_dict().values())
        assert encoder.state_dict().keys() == PointEncoder(config.network).state_dict().keys()


@fuzz
@given(content=files())
def test_encoders(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    check(tmp_path_factory.getbasetemp(), content)


@pytest.mark.parametrize("path", corpus("safetensors"), ids=lambda path: path.name)
def test_past_failures(tmp_path: Path, path: Path) -> None:
    check(tmp_path, path.read_bytes())


def test_the_whole_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(WHOLE)
    assert load_encoder(tmp_path / "a.safetensors")[1] == TINY
