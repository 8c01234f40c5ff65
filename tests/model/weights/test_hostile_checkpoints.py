"""Checkpoints and logs of a run that are not what they say: refused in one line, or left out; never "finished"."""

import io
import json
import math
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.monitor.figures import read_trained
from shapenet3d_cma.model.train.pretraining import pretrain
from shapenet3d_cma.model.train.run_folder import RunFolder
from shapenet3d_cma.model.weights.checkpoint import load_weights
from shapenet3d_cma.model.weights.encoder import load_encoder
from shapenet3d_cma.model.weights.initial import load_initial
from shapenet3d_cma.tests.model.methods.test_point_mae import point_mae_weights

STEPS, PARAMETER = 3, "point_encoder.embed.local1.bias"
Content = dict[str, Any]


def quiet(_: str) -> None: ...


@pytest.fixture(scope="module")
def finished(
    toy_shards: Path, tiny: PretrainConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, PretrainConfig]:
    run, config = (
        tmp_path_factory.mktemp("finished"),
        tiny.replace(epochs=1, picture_epochs=1),
    )
    assert pretrain(toy_shards, run, config, quiet)["steps"] == STEPS
    return run, config


@pytest.fixture
def run(finished: tuple[Path, PretrainConfig], tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished[0], tmp_path / "run"))


def at(*path: object, to: object) -> Callable[[Content], None]:
    """Change what stands at a place of a checkpoint."""

    def change(content: Content) -> None:
        for name in path[:-1]:
            content = content[name]
        old = content.get(path[-1])
        content[path[-1]] = to(old) if callable(to) else to

    return change


def gone(*path: object) -> Callable[[Content], None]:
    def change(content: Content) -> None:
        for name in path[:-1]:
            content = content[name]
        del content[path[-1]]

    return change


def filled(number: float) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda value: torch.full_like(value, number)


MOMENT = ("optimizer", "state", 0, "exp_avg")
BAD = {
    "step-huge": (at("step", to=10**9), r"its step is 1000000000, of a run of 3 steps"),
    "step-beyond": (at("step", to=10**30), r"its step is"),
    "step-negative": (at("step", to=-1), r"its step is -1, no number of steps done"),
    "step-zero": (at("step", to=0), r"its step is 0, no number of steps done"),
    "step-nan": (at("step", to=math.nan), r"its step is nan"),
    "step-float": (at("step", to=1.5), r"its step is 1\.5"),
    "step-text": (at("step", to="3"), r"its step is 3"),
    "step-true": (at("step", to=True), r"its step is"),
    "step-tensor": (at("step", to=torch.tensor(3)), r"its step is a Tensor"),
    "step-none": (gone("step"), r"it has no step"),
    "step-other": (at("step", to=2), r"its step is 2, that of its optimiser 3"),
    "network-none": (gone("network"), r"it has no network"),
    "network-list": (at("network", to=[]), r"its network is no table"),
    "key-none": (gone("network", PARAMETER), rf"it lacks the tensor {PARAMETER}"),
    "key-more": (at("network", "more", to=torch.zeros(1)), r"a tensor too many: more"),
    "nan": (at("network", PARAMETER, to=filled(math.nan)), rf"{PARAMETER} holds NaN or infinity"),
    "infinity": (
        at("network", PARAMETER, to=filled(math.inf)),
        rf"{PARAMETER} holds NaN or infinity",
    ),
    "text": (at("network", PARAMETER, to="abc"), rf"{PARAMETER} is no tensor"),
    "double": (at("network", PARAMETER, to=torch.Tensor.double), rf"{PARAMETER} holds float64"),
    "optimizer-none": (gone("optimizer"), r"it has no optimizer"),
    "optimizer-empty": (at("optimizer", to={}), r"its optimiser is one of other parameters"),
    "groups": (at("optimizer", "param_groups", to=[]), r"its optimiser is one of other parameters"),
    "moments-none": (at("optimizer", "state", to={}), r"its step is 3, that of its optimiser 0"),
    "moment-shape": (
        at(*MOMENT, to=torch.zeros(5)),
        r"moments of parameter 0: exp_avg has shape \[5\]",
    ),
    "moment-nan": (at(*MOMENT, to=filled(math.nan)), r"moments of parameter 0: exp_avg holds NaN"),
    "moment-negative": (
        at(*MOMENT[:-1], "exp_avg_sq", to=filled(-1)),
        r"exp_avg_sq holds a negative number",
    ),
    "moment-none": (gone(*MOMENT), r"lacks the tensor moments of parameter 0: exp_avg"),
    "moment-of-nothing": (
        at("optimizer", "state", 10**6, to={}),
        r"moments of no parameter: 1000000",
    ),
    "config-none": (gone("config"), r"it has no config"),
    "config-list": (at("config", to=[1]), r"its config is no table"),
    "config-tensor": (
        at("config", "width", to=torch.zeros(3)),
        r"belongs to a run with width = a Tensor, not 16",
    ),
    "fingerprint": (at("fingerprint", to=torch.zeros(3)), r"belongs to a run on other shards"),
}


def spoil(file: Path, change: Callable[[Content], None]) -> None:
    content = torch.load(file, weights_only=True)
    change(content)
    torch.save(content, file)


@pytest.mark.parametrize("case", BAD)
def test_a_checkpoint_that_is_none_of_the_run_s_is_refused(
    finished: tuple[Path, PretrainConfig], run: Path, toy_shards: Path, case: str
) -> None:
    change, says = BAD[case]
    spoil(run / "checkpoint.pt", change)
    lines: list[str] = []
    with pytest.raises(InputError, match=rf"checkpoint\.pt .*{says}.*: restore ") as caught:
        pretrain(toy_shards, run, finished[1], lines.append)
    assert "\n" not in str(caught.value)
    assert not any("finished" in line for line in lines)


@pytest.mark.parametrize(
    "case", ["step-negative", "network-none", "key-none", "nan", "infinity", "text", "double"]
)
def test_others_refuse_such_a_checkpoint_too(run: Path, case: str) -> None:
    change, says = BAD[case]
    (run / "encoder.safetensors").unlink()
    spoil(run / "checkpoint.pt", change)
    for read in (load_initial, lambda path: read_trained(path, (64, 64))):
        with pytest.raises(InputError, match=says.replace("point_encoder.", "(point_encoder.)?")):
            read(run)


@pytest.mark.parametrize(
    "told",
    [
        "[]",
        "{",
        '{"config": []}',
        '{"config": {}}',
        "[" * 10**6,
        '{"config": {"width": ' + "[" * 10**6,
        "\x00",
    ],
)
def test_what_a_run_tells_of_itself_is_bounded(
    finished: tuple[Path, PretrainConfig], run: Path, toy_shards: Path, told: str
) -> None:
    (run / "run.json").write_text(told)
    (run / "encoder.safetensors").unlink()
    for read in (
        load_initial,
        lambda path: read_trained(path, (64, 64)),
        lambda path: pretrain(toy_shards, path, finished[1], quiet),
    ):
        with pytest.raises(InputError, match=r"; give another|restore it from a copy") as caught:
            read(run)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change", [{"heads": 0}, {"image_depth": 10**9}, {"width": 2**40}, {"reconstruction_depth": -1}]
)
def test_sizes_that_a_run_claims_take_no_memory(run: Path, change: dict) -> None:
    told = json.loads((run / "run.json").read_text())
    told["config"].update(change)
    (run / "run.json").write_text(json.dumps(told))
    with pytest.raises(InputError, match=r"cannot be read"):
        read_trained(run, (64, 64))


# ---- files of torch.save ----


class Code:
    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def archive(entries: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", kind) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return content.getvalue()


def tensor_pickle(claimed: int, sizes: tuple, strides: tuple, offset: int = 0) -> bytes:
    """The pickle of {"a": tensor} that claims a storage of float32."""

    class Pickler(pickle._Pickler):
        def persistent_id(self, value: object) -> object:
            return value.call if isinstance(value, Storage) else None

    class Storage:
        call = ("storage", torch.FloatStorage, "0", "cpu", claimed)

    content = io.BytesIO()
    rebuilt = Code(torch._utils._rebuild_tensor_v2, Storage(), offset, sizes, strides, False, {})
    Pickler(content, protocol=2).dump({"a": rebuilt})
    return content.getvalue()


def saved(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def lying(name: str, data: bytes) -> bytes:
    """An archive whose entry says 10^9 bytes where there are few."""
    made = archive({"a/data.pkl": pickle.dumps({}, protocol=2), name: data})
    size = struct.pack("<I", len(data))
    return made.replace(size + size, struct.pack("<I", len(data)) + struct.pack("<I", 10**9))


def beyond_the_end() -> bytes:
    """An archive whose last entry is 900 bytes long, of which the file has fewer."""
    content = io.BytesIO()
    content.write(bytes(1000))
    with zipfile.ZipFile(content, "a") as file:
        file.writestr("a/data.pkl", pickle.dumps({}, protocol=2))
        file.writestr("a/byteorder", b"little")
    made = bytearray(content.getvalue())
    at = made.rindex(b"PK\x01\x02") + 20
    made[at : at + 8] = struct.pack("<II", 900, 900)
    return bytes(made)


# of a storage that claims (((), ()), ((), ())) and so on numbers, too many to print
COUNTED = b"\x80\x02(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu)q\x00"
COUNTED += b"0h\x00h\x00\x86q\x00" * 60 + b"tQ."
HUGE = 10**12
FILES = {
    "storage-huge": archive({"a/data.pkl": tensor_pickle(HUGE, (1,), (1,)), "a/data/0": bytes(16)}),
    "storage-larger": archive({"a/data.pkl": tensor_pickle(5, (1,), (1,)), "a/data/0": bytes(16)}),
    "storage-endless": archive({"a/data.pkl": COUNTED, "a/data/0": bytes(16)}),
    "entry-beyond": beyond_the_end(),
    "storage-none": archive({"a/data.pkl": tensor_pickle(4, (1,), (1,))}),
    "size-larger": archive({"a/data.pkl": tensor_pickle(4, (5,), (1,)), "a/data/0": bytes(16)}),
    "size-of-one": archive({"a/data.pkl": tensor_pickle(4, (HUGE,), (0,)), "a/data/0": bytes(16)}),
    "stride-beyond": archive(
        {"a/data.pkl": tensor_pickle(4, (2,), (HUGE,)), "a/data/0": bytes(16)}
    ),
    "stride-negative": archive(
        {"a/data.pkl": tensor_pickle(4, (2,), (-1,)), "a/data/0": bytes(16)}
    ),
    "offset-beyond": archive(
        {"a/data.pkl": tensor_pickle(4, (1,), (1,), HUGE), "a/data/0": bytes(16)}
    ),
    "offset-negative": archive(
        {"a/data.pkl": tensor_pickle(4, (1,), (1,), -1), "a/data/0": bytes(16)}
    ),
    "bomb": archive(
        {"a/data.pkl": pickle.dumps({}), "a/data/0": bytes(10**8)}, zipfile.ZIP_DEFLATED
    ),
    "lying": lying("a/data/0", b"0" * 77),
    "memo": archive(
        {"a/data.pkl": b"\x80\x02}r\xff\xff\xff\x7fX\x01\x00\x00\x00aj\xff\xff\xff\x7fs" + b"(" * 9}
    ),
    "bytes-of-a-number": archive(
        {"a/data.pkl": b"\x80\x02c__builtin__\nbytearray\n\x8a\x06" + bytes(5) + b"\x10\x85R."}
    ),
    "byte-array": archive({"a/data.pkl": b"\x80\x05\x96" + struct.pack("<Q", HUGE) + b"a."}),
    "no-pickle": archive({"a/b": b""}),
    "list": archive({"a/data.pkl": pickle.dumps([], protocol=2)}),
    "byte-order": archive({"a/data.pkl": pickle.dumps({}, protocol=2), "a/byteorder": b"big"}),
    "empty": b"",
    "old": pickle.dumps(0x1950A86A20F9469CFC6C) * 3,
    "zip-without-end": archive({"a/data.pkl": b""})[:-10],
    "mkdir": saved({"a": Code(os.mkdir, "MADE")}),
    "system": saved({"a": Code(os.system, "mkdir MADE")}),
    "eval": saved({"a": Code(eval, "__import__('os').mkdir('MADE')")}),
    "load": saved({"a": Code(torch.load, "x")}),
    "rebuild": saved({"a": Code(torch._utils._rebuild_tensor, "x", 0, (1,), (1,))}),
    "path": saved({"a": Path("x")}),
    "hook": archive(
        {"a/data.pkl": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00aK\x01sb."}
    ),
    "ext": archive({"a/data.pkl": b"\x80\x02\x82\x01."}),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_of_torch_takes_no_more_than_it_holds_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.pth", "checkpoint.pt"):
        (tmp_path / name).write_bytes(FILES[case])
        with pytest.raises(ValueError, match=r"^it|^its") as caught:
            load_weights(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"a\.pth is no point encoder .*; give a run"):
        load_encoder(tmp_path / "a.pth")
    assert not (tmp_path / "MADE").exists()


def test_what_torch_saves_comes_back(tmp_path: Path) -> None:
    shared = torch.arange(12.0)
    content = {
        "a": shared[3:7],
        "b": shared.view(3, 4).t(),
        "c": torch.nn.Parameter(torch.ones(2)),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "none": torch.zeros(0, 3),
        "number": torch.tensor(7),
        "state": torch.nn.Linear(2, 2).state_dict(),
        "plain": [1, 2.5, "x", None, (True, b"z"), np.float64(0.5)],
    }
    torch.save(content, tmp_path / "a.pt")
    back = load_weights(tmp_path / "a.pt")
    assert all(
        torch.equal(back[name], content[name]) for name in ("a", "b", "c", "half", "none", "number")
    )
    assert all(torch.equal(back["state"][name], value) for name, value in content["state"].items())
    assert back["plain"] == content["plain"]


# ---- Point-MAE's ----


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (gone("norm.bias"), r"lacks the tensor transformer\.norm\.bias"),
        (
            gone("encoder.first_conv.1.num_batches_tracked"),
            r"lacks the tensor embed\.norm1\.num_batches_tracked",
        ),
        (at("norm.bias", to=filled(math.nan)), r"transformer\.norm\.bias holds NaN"),
        (at("norm.bias", to="text"), r"lacks the tensor transformer\.norm\.bias"),
        (at("norm.weight", to=torch.tensor(1.0)), r"has shape \[\], not that of a vector"),
        (at("norm.weight", to=torch.zeros(0)), r"has shape \[0\]"),
        (at("norm.weight", to=torch.zeros(7)), r"has shape|out of range|no multiple"),
        (
            at("blocks.blocks.99.attn.qkv.weight", to=torch.zeros(3, 3)),
            r"lacks the tensor|too many|has shape",
        ),
        (at("encoder.first_conv.1.running_var", to=filled(-1.0)), r"holds a negative number"),
        (at(7, to=torch.zeros(1)), None),
    ],
)
def test_a_checkpoint_of_point_mae_is_whole_and_finite(
    tmp_path: Path, change: Callable[[Content], None], says: str | None
) -> None:
    weights: Content = point_mae_weights()
    change(weights)
    torch.save({"base_model": weights}, tmp_path / "a.pth")
    if says is None:
        load_encoder(tmp_path / "a.pth")
        return
    with pytest.raises(InputError, match=rf"a\.pth is no point encoder .*{says}.*; give a run"):
        load_encoder(tmp_path / "a.pth")


# ---- logs, pictures ----

LINES = [
    b"\xff\xfe",
    b"[]",
    b"3",
    b"null",
    b'{"step": 1}',
    b'{"step": "1", "epoch": 1, "loss": 1}',
    b'{"step": 1, "epoch": 1000000000000, "loss": 1}',
    b'{"step": 1, "epoch": 0, "loss": 1}',
    b'{"step": 1, "epoch": -1, "loss": 1}',
    b'{"step": 1, "epoch": 1, "loss": NaN}',
    b'{"step": 1, "epoch": 1, "loss": "1"}',
    b'{"step": 1, "epoch": 1, "loss": 1, "lr": [1]}',
    b'{"step": 1e400, "epoch": 1, "loss": 1}',
    b'{"step": ' + b"9" * 5000 + b"}",
    b"[" * 100_000,
    b'{"step": 2, "epo',
]


def test_lines_that_are_none_are_left_out(tmp_path: Path, tiny: PretrainConfig) -> None:
    folder = RunFolder(tmp_path, tiny, "")
    good = b'{"step": 1, "epoch": 1, "loss": 0.5}'
    folder.log.write_bytes(b"\n".join([*LINES, good, *LINES]))
    assert folder.read_lines(folder.log) == [json.loads(good)]
    probe = b'{"step": 0, "epoch": 0, "accuracy": 0.5, "chance": 0.1}'
    folder.probes.write_bytes(b"\n".join([*LINES, good, probe]))
    assert folder.read_lines(folder.probes) == [json.loads(probe)]


def test_a_run_is_finished_whatever_its_log_says(
    finished: tuple[Path, PretrainConfig], run: Path, toy_shards: Path
) -> None:
    with (run / "log.jsonl").open("ab") as file:
        file.write(b"\n".join([*LINES, b""]))
    assert pretrain(toy_shards, run, finished[1], quiet)["resumed_from"] == STEPS
    assert len((run / "log.jsonl").read_text().splitlines()) == STEPS


def test_a_log_that_is_a_folder_is_told(
    finished: tuple[Path, PretrainConfig], run: Path, toy_shards: Path
) -> None:
    (run / "log.jsonl").unlink()
    (run / "log.jsonl").mkdir()
    with pytest.raises(
        InputError, match=r"log\.jsonl is not as cma3d wrote it, or not of cma3d: move it away"
    ):
        pretrain(toy_shards, run, finished[1], quiet)


def npy(descr: str, shape: str, data: bytes = b"") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        npy("'<i8'", "(1000000000000,)"),
        npy("'|O'", "(1,)", pickle.dumps([1])),
        npy("'<f8'", "(" * 900 + ")" * 900),
        npy("'<i8'", "(1,)", b"12345678"),
        npy("'<i8'", "(-1,)"),
        npy("'<i8'", f"(0, {2**70})"),
        npy("'<i8'", f"(0, {2**62})"),
        npy("[('a', '<i8')]", "(1,)", bytes(8)),
    ],
)
def test_reconstructions_take_no_more_than_they_hold(
    finished: tuple[Path, PretrainConfig], run: Path, toy_shards: Path, content: bytes
) -> None:
    path = sorted((run / "reconstructions").iterdir())[-1]
    with np.load(path) as held:
        arrays = {
            f"{name}.npy": npy(repr(v.dtype.str), str(v.shape), v.tobytes())
            for name, v in held.items()
        }
    path.write_bytes(archive({**arrays, "rows.npy": content}))
    with pytest.raises(
        InputError,
        match=r"epoch-00001\.npz holds (no )?reconstructions.*: remove it, it is made again",
    ):
        pretrain(toy_shards, run, finished[1], quiet)
