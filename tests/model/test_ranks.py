"""Two processes on a CPU, started as users start them, against one with the same batch."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import shapenet3d_cma
from shapenet3d_cma.errors import InputError
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.norm import BatchNorm, settle
from shapenet3d_cma.model.pretrain import make_plan, pretrain
from shapenet3d_cma.model.ranks import Ranks, ranks
from shapenet3d_cma.model.run import RunFolder

ROOT = Path(shapenet3d_cma.__file__).parent
CPU = torch.device("cpu")


def together(shards: Path, run: Path, config: PretrainConfig, settings: Path) -> subprocess.Popen[str]:
    """Start two processes that train together."""
    with RunFolder(settings, config, "", {"steps": 0}):
        pass
    line = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0"]
    line += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    line += ["-m", "shapenet3d_cma.cli", "pretrain", str(shards), str(run), "--config", str(settings / "config.toml")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def log_of(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_two_processes_make_the_steps_of_one(toy_shards: Path, tiny: PretrainConfig, tmp_path: Path) -> None:
    """Contrast and batch normalisation see the rows of both; a stop and a resumption in the middle change nothing."""
    config = dataclasses.replace(tiny, epochs=60, drop_path=0.2, contrast_weight=0.1)
    one, two = tmp_path / "one", tmp_path / "two"
    pretrain(toy_shards, one, config, lambda _: None)

    process = together(toy_shards, two, config, tmp_path / "settings")
    limit = time.monotonic() + 120
    while not (two / "log.jsonl").exists() or len((two / "log.jsonl").read_text().splitlines()) < 5:
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < limit
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)  # torchrun hands it on
    said = process.communicate(timeout=60)[0]
    made = log_of(two)
    assert 5 <= len(made) < 180, said
    assert torch.load(two / "checkpoint.pt", weights_only=True)["step"] == len(made)

    process = together(toy_shards, two, config, tmp_path / "settings")
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    assert f"from step {len(made)} on" in said
    assert "on cpu and 1 more" in said

    alone, joint = log_of(one), log_of(two)
    assert len(alone) == len(joint) == 180
    for a, b in zip(alone[:20], joint[:20], strict=True):  # rounding grows from step to step
        for name in ("loss", "loss_lmr", "loss_gsa", "grad_norm"):
            assert b[name] == pytest.approx(a[name], rel=1e-3 if name == "grad_norm" else 1e-4), (name, a["step"])
        assert b["mask_ratio"] == pytest.approx(a["mask_ratio"], abs=1e-6)
    assert joint[-1]["loss"] == pytest.approx(alone[-1]["loss"], rel=0.2)


def test_what_ranks_cannot_share_is_named(tmp_path: Path, tiny: PretrainConfig, make_shards) -> None:  # type: ignore[no-untyped-def]
    from shapenet3d_cma.model.data import ShardRows

    data = ShardRows(make_shards(rows=5), tiny)

    def plan(size: int, batch: int) -> int:
        return make_plan(data, dataclasses.replace(tiny, batch_size=batch), Ranks(0, size, CPU)).batch

    with pytest.raises(InputError, match="batch_size = 4, all processes together, cannot be shared by 3: give a mult"):
        plan(3, 4)
    with pytest.raises(InputError, match="holds 5 rows, too few for 8 processes: start fewer"):
        plan(8, 8)
    assert plan(2, 8) == 4  # shared evenly


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match="process 1 of this machine finds 1 GPUs"), ranks(torch.device("cuda")):
        pass


def halves(rank: int, port: int, results: object) -> None:
    """In one of two processes: normalise and compare half of the rows."""
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "RANK": str(rank)}
    from shapenet3d_cma.model.losses import info_nce

    torch.set_num_threads(1)
    x, target = rows()
    with ranks(CPU):
        norm = BatchNorm(4)
        if rank == 0:
            settle(norm, [(x,)])  # asks nothing of the other one
            norm.reset_running_stats()
        mine = x[rank * 3 : rank * 3 + 3].clone().requires_grad_()
        z = norm(mine)
        loss, retrieved = info_nce(z, target[rank * 3 : rank * 3 + 3], 0.5)
        loss.mean().backward()
        results.put((rank, loss.tolist(), retrieved.tolist(), mine.grad.tolist(), norm.running_var.tolist()))  # type: ignore[attr-defined, union-attr]


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 4, generator=generator), torch.randn(6, 4, generator=generator)


def test_gradients_flow_between_the_rows_of_two_processes() -> None:
    x, target = rows()
    from shapenet3d_cma.model.losses import info_nce

    norm, whole = BatchNorm(4), x.clone().requires_grad_()
    loss, retrieved = info_nce(norm(whole), target, 0.5)
    loss.mean().backward()

    context = torch.multiprocessing.get_context("spawn")
    results = context.Queue()
    port = 29000 + os.getpid() % 1000
    processes = [context.Process(target=halves, args=(rank, port, results)) for rank in range(2)]
    for process in processes:
        process.start()
    told = sorted(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(60)
    torch.testing.assert_close(torch.tensor(told[0][1] + told[1][1]), loss.detach())
    assert told[0][2] + told[1][2] == retrieved.tolist()
    gradient = torch.tensor(told[0][3] + told[1][3])
    assert whole.grad is not None
    torch.testing.assert_close(gradient / 2, whole.grad)  # the mean over ranks is taken where the gradients are joined
    torch.testing.assert_close(torch.tensor(told[1][4]), norm.running_var)
