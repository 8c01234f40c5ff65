"""Checkpoints with drawn faults, of structure and of bytes, and drawn pickles: an answer, never a crash or code."""

from __future__ import annotations

import copy
import io
import math
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.settings import by_name
from shapenet3d_cma.model.tasks.benchmarks.unpickle import read_pickle
from shapenet3d_cma.model.train.run_folder import RunFolder
from shapenet3d_cma.model.train.step import parameter_groups
from shapenet3d_cma.model.weights.checkpoint import check_step, load_weights, restore
from shapenet3d_cma.model.weights.encoder import load_encoder
from shapenet3d_cma.tests.fuzz.bounds import bounded, corpus, fuzz
from shapenet3d_cma.tests.fuzz.test_safetensors import TINY

STEPS = 2


def make() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2)
    )
    return network, torch.optim.AdamW(parameter_groups(network, 0.1), lr=1e-3, fused=True)


def trained() -> bytes:
    network, optimizer = make()
    for _ in range(STEPS):
        network(torch.randn(5, 3)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    state = {"step": STEPS, "fingerprint": "f", "config": by_name(TINY)}
    content = io.BytesIO()
    torch.save(
        {**state, "network": network.state_dict(), "optimizer": optimizer.state_dict()}, content
    )
    return content.getvalue()


WHOLE = trained()
ODD = st.sampled_from(
    [None, True, 0, -1, 3, 10**9, 10**30, math.nan, math.inf, "x", b"x", [], {}, (), torch.zeros(0), torch.zeros(2, 2),
     torch.tensor(math.nan), torch.tensor(-1.0), torch.zeros(4, dtype=torch.float64), torch.zeros(1).expand(1000)]
)  # fmt: skip


def change(draw: st.DrawFn, content: Any) -> None:
    """Change something of nested containers."""
    while isinstance(content, dict | list) and content:
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        key = draw(st.sampled_from(keys))
        if not isinstance(content[key], dict | list) or draw(st.integers(0, 3)) == 0:
            kind = draw(st.integers(0, 3))
            if kind == 0:
                del content[key]
            elif kind == 1 and isinstance(content, dict):
                content[draw(st.sampled_from(["more", 7, "step", "exp_avg"]))] = copy.deepcopy(
                    draw(ODD)
                )  # a later step may change it
            elif kind == 2 and isinstance(content[key], torch.Tensor) and content[key].numel():
                content[key] = content[key].clone()
                values = (
                    [math.nan, math.inf, -1.0, 1e38]
                    if content[key].is_floating_point()
                    else [0, -1, 10**9]
                )
                content[key].view(-1)[0] = draw(st.sampled_from(values))
            else:
                content[key] = copy.deepcopy(draw(ODD))  # a later step may change it
            return
        content = content[key]


@st.composite
def structures(draw: st.DrawFn) -> bytes:
    content = torch.load(io.BytesIO(WHOLE), weights_only=True)
    for _ in range(draw(st.integers(1, 3))):
        change(draw, content)
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


@st.composite
def bent(draw: st.DrawFn, whole: bytes) -> bytes:
    """Bytes with some changed, dropped or doubled."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, len(content)))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            del content[place : place + draw(st.integers(1, 20))]
        elif kind == 1:
            content[place:place] = draw(st.binary(min_size=1, max_size=10))
        elif place < len(content):
            content[place] = draw(st.integers(0, 255))
    return bytes(content)


@st.composite
def inner(draw: st.DrawFn) -> bytes:
    """A sound archive whose pickle is bent, so that checksums hold, or whose entries are of other sizes."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as source, zipfile.ZipFile(file, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("data.pkl"):
                data = draw(bent(data))
            elif draw(st.integers(0, 20)) == 0:
                data = data[: draw(st.integers(0, len(data)))]
            target.writestr(name, data)
    return file.getvalue()


CODES = st.sampled_from([bytes([code]) for code in range(256)])
NAMES = st.sampled_from(
    [b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"cnumpy.core.multiarray\n_reconstruct\n", b"c_codecs\nencode\n",
     b"c__builtin__\nset\n", b"c__builtin__\nbytearray\n", b"ccollections\nOrderedDict\n", b"cos\nsystem\n",
     b"cnumpy.core.multiarray\nscalar\n", b"c__builtin__\neval\n", b"ctorch._utils\n_rebuild_tensor_v2\n",
     b"c__builtin__\ncomplex\n", b"cnumpy.core.numeric\n_frombuffer\n", b"ctorch\nFloatStorage\n"]
)  # fmt: skip
SIZES = [
    b"K\x01",
    b"K\x00",
    b"J\xff\xff\xff\x7f",
    b"\x8a\x06" + bytes(5) + b"\x10",
    b"G\x7f\xf0" + bytes(6),
    b"I9\n",
]
TEXTS = [
    b"U\x02f4",
    b"U\x02S0",
    b"U\x04\x00\x00\x80\x7f",
    b"X\x01\x00\x00\x00a",
    b"\x96" + b"\xff" * 8,
]
MEMO = [b"\x80\x02", b"q\x00", b"h\x00", b"r\xff\xff\xff\x7f"]
SINGLE = [bytes([code]) for code in b"()]}Nt\x85\x86\x87Rbsuae201dl\x8f\x90\x91\x94Q\x81\x92o\x88"]
PIECES = st.sampled_from([*SIZES, *TEXTS, *MEMO, *SINGLE])
PICKLES = st.lists(st.one_of(PIECES, PIECES, NAMES, CODES), max_size=60).map(
    lambda pieces: b"".join(pieces) + b"."
)


def check(folder: Path, content: bytes) -> None:
    network, optimizer = make()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with RunFolder(folder / "run", TINY, "f") as run:
        run.checkpoint.write_bytes(content)
        check_load(run, content, network, optimizer, before)


def check_load(
    run: RunFolder,
    content: bytes,
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    before: dict[str, torch.Tensor],
) -> None:
    with bounded("checkpoints", content, inside=run.folder, mib=256, seconds=10):
        state = run.load(STEPS)
        assert state is not None
        assert check_step(state, STEPS) == STEPS
        try:
            run.restore(state, lambda found: restore(network, optimizer, found))
        except InputError:
            assert all(
                torch.equal(value, before[name]) for name, value in network.state_dict().items()
            )
            raise
        network(torch.randn(5, 3)).sum().backward()
        optimizer.step()


@fuzz
@given(content=st.one_of(structures(), structures(), inner(), bent(WHOLE)))
def test_checkpoints(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    check(tmp_path_factory.getbasetemp(), content)


@pytest.mark.parametrize("path", corpus("checkpoints"), ids=lambda path: path.name)
def test_past_failures(tmp_path: Path, path: Path) -> None:
    check(tmp_path, path.read_bytes())


def check_pickle(folder: Path, content: bytes) -> None:
    (folder / "a.pkl").write_bytes(content)
    with bounded("pickles", content, inside=folder, mib=256, seconds=10):
        read_pickle(folder / "a.pkl")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", content)
    (folder / "a.pth").write_bytes(file.getvalue())
    with bounded("pickles", content, inside=folder, mib=256, seconds=10, allowed=(ValueError,)):
        load_weights(folder / "a.pth")
    with bounded("pickles", content, inside=folder, mib=256, seconds=10):
        load_encoder(folder / "a.pth")


@fuzz
@given(content=PICKLES)
def test_pickles(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    check_pickle(tmp_path_factory.getbasetemp(), content)


@fuzz
@given(
    content=bent(
        pickle.dumps(
            {"a": [torch.zeros(3).numpy(), {1, 2}, frozenset(["x"]), b"x", bytearray(b"x"), 1j]},
            protocol=2,
        )
    )
)
def test_bent_pickles(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    check_pickle(tmp_path_factory.getbasetemp(), content)


@pytest.mark.parametrize("path", corpus("pickles"), ids=lambda path: path.name)
def test_past_failures_of_pickles(tmp_path: Path, path: Path) -> None:
    check_pickle(tmp_path, path.read_bytes())


def test_the_whole_checkpoint_is_read(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(WHOLE)
    network, optimizer = make()
    state = load_weights(tmp_path / "checkpoint.pt")
    restore(network, optimizer, state)
    assert torch.equal(network.state_dict()["0.weight"], state["network"]["0.weight"])
