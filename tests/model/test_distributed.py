"""Two processes on a CPU, started as users start them, against one with the same batch."""

import copy
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch.distributed import TCPStore

import shapenet3d_cma
from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.distributed import ProcessGroup, join_processes
from shapenet3d_cma.model.losses import info_nce
from shapenet3d_cma.model.norm import BatchNorm, recalibrate_batch_norm
from shapenet3d_cma.model.train.data import BatchSource, ShardRows
from shapenet3d_cma.model.train.pretraining import make_plan, pretrain
from shapenet3d_cma.model.train.run_folder import RunFolder
from shapenet3d_cma.model.train.step import PretrainStep
from shapenet3d_cma.tests.waiting import PATIENCE, count_lines, wait_for

ROOT = Path(shapenet3d_cma.__file__).parent
CPU = torch.device("cpu")


def together(
    shards: Path, run: Path, config: PretrainConfig, settings: Path
) -> subprocess.Popen[str]:
    """Start two processes that train together."""
    with RunFolder(settings, config, "", {"steps": 0}):
        pass
    line = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        "0",
    ]
    line += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    line += ["--rdzv-conf", f"join_timeout={PATIENCE:.0f},read_timeout={PATIENCE:.0f}"]
    line += [
        "-m",
        "shapenet3d_cma.cli",
        "pretrain",
        str(shards),
        str(run),
        "--config",
        str(settings / "config.toml"),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    return subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def log_of(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def in_two(work: Callable[..., None], *arguments: object) -> None:
    """Run `work(rank, *arguments)` in two processes that train together; what it raises fails the test."""
    store = TCPStore(
        "localhost", 0, is_master=True, wait_for_workers=False
    )  # holds a port that is surely free
    torch.multiprocessing.start_processes(
        _join, (store.port, work, arguments), nprocs=2, start_method="spawn"
    )


def _join(rank: int, port: int, work: Callable[..., None], arguments: Sequence[object]) -> None:
    os.environ |= {
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "RANK": str(rank),
    }
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = (
        "True"  # as under torchrun: another process holds the store
    )
    torch.set_num_threads(1)
    work(rank, *arguments)


class Precise:
    """A training in float64, in which rounding weighs nothing, and its rows."""

    def __init__(self, shards: Path, config: PretrainConfig, group: ProcessGroup) -> None:
        data = ShardRows(shards, config)
        self.plan = make_plan(data, config, group)
        self.feed = BatchSource(data, self.plan, config.run, group)
        self.training = PretrainStep(config, data.image_size, self.plan, group)
        self.training.network.double()
        for parameters in self.training.optimizer.param_groups:
            parameters["eps"] = (
                1e-3  # AdamW scales small gradients up: not those that are zero but for rounding
            )

    def step(self, step: int) -> dict:
        """Make one step: what it tells, and the state after it."""
        batch = next(self.feed.steps(step))
        batch["points"] = batch["points"].double()
        if self.training._module is None:
            self.training.prepare(batch, print)
        told = self.training.step(step, batch)
        return {"told": told, **copy.deepcopy(self.training.state())}


def step_together(
    rank: int, shards: Path, config: PretrainConfig, states: Path, number: int
) -> None:
    """In one of two processes: make each step from the state that one process had before it."""
    with join_processes(CPU) as group:
        joint = Precise(shards, config, group)
        for step in range(number):
            if step:
                joint.training.load(torch.load(states / f"{step - 1}.pt"))
            torch.save(joint.step(step), states / f"{step}-{rank}.pt")


def test_a_step_of_two_processes_is_that_of_one(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path
) -> None:
    """From the same state and in float64: losses, gradients, batch statistics and weights, to eleven digits.

    The moments of AdamW stand for the gradient: a sum over the processes in place of their mean
    would double them.
    """
    config = tiny.replace(drop_path=0.2, decoder_drop_path=0.2, contrast_weight=0.1, clip_norm=0)
    steps, alone = 4, Precise(toy_shards, config, ProcessGroup(0, 1, CPU))
    expected = [alone.step(step) for step in range(steps)]
    for step, state in enumerate(expected):
        torch.save(state | {"step": step + 1}, tmp_path / f"{step}.pt")
    assert expected[0]["network"]["point_encoder.embed.norm1.running_var"].dtype == torch.float64
    in_two(step_together, toy_shards, config, tmp_path, steps)
    for step, state in enumerate(expected):
        assert state["told"]["rows"].tolist() == alone.plan.step_rows(step)
        for rank in range(2):
            assert_same_state(
                torch.load(tmp_path / f"{step}-{rank}.pt"), state, f"step {step} of rank {rank}"
            )


def assert_same_state(found: object, expected: object, where: str) -> None:
    """Two nests of dictionaries and lists hold the same, tensors of float64 to eleven digits of their largest."""
    if isinstance(expected, dict):
        assert isinstance(found, dict), where
        assert found.keys() == expected.keys(), where
        for name, value in expected.items():
            assert_same_state(found[name], value, f"{where}, {name}")
    elif isinstance(expected, list):
        assert isinstance(found, list), where
        assert len(found) == len(expected), where
        for number, value in enumerate(expected):
            assert_same_state(found[number], value, f"{where}, {number}")
    elif isinstance(expected, torch.Tensor) and expected.is_floating_point():
        assert isinstance(found, torch.Tensor), where
        largest = float(expected.abs().max())
        torch.testing.assert_close(
            found,
            expected,
            rtol=0,
            atol=1e-11 * largest + 1e-11,
            msg=lambda said: f"{where}: {said}",
        )
    elif isinstance(expected, torch.Tensor):
        assert isinstance(found, torch.Tensor), where
        assert torch.equal(found, expected), where
    else:
        assert found == expected, where


def test_two_processes_make_the_run_of_one(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path
) -> None:
    """As users start it, in float32; a stop and a resumption in the middle change nothing.

    Rounding grows from step to step, the faster the larger the steps are. At this rate, an error of
    the last digit in every weight at the start changes no loss of the run by more than 2e-4 of it;
    at ten times this rate, by half.
    """
    config = tiny.replace(epochs=30, learning_rate=1e-4, drop_path=0.2, contrast_weight=0.1)
    one, two = tmp_path / "one", tmp_path / "two"
    pretrain(toy_shards, one, config, lambda _: None)

    process = together(toy_shards, two, config, tmp_path / "settings")
    wait_for(lambda: process.poll() is not None or count_lines(two / "log.jsonl") >= 5)
    process.send_signal(signal.SIGTERM)  # torchrun hands it on
    said = process.communicate(timeout=PATIENCE)[0]
    made = log_of(two)
    assert 5 <= len(made) < 90, said
    assert torch.load(two / "checkpoint.pt", weights_only=True)["step"] == len(made)

    process = together(toy_shards, two, config, tmp_path / "settings")
    said = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 0, said
    assert f"from step {len(made)} on" in said
    assert "on cpu and 1 more" in said

    alone, joint = log_of(one), log_of(two)
    assert len(alone) == len(joint) == 90
    for a, b in zip(alone, joint, strict=True):
        assert (b["step"], b["epoch"]) == (a["step"], a["epoch"])
        assert b["mask_ratio"] == pytest.approx(a["mask_ratio"], abs=1e-6), a[
            "step"
        ]  # rows and masks: not of weights
        for name in ("loss", "loss_lmr", "loss_gsa"):
            assert b[name] == pytest.approx(a[name], rel=1e-2), (name, a["step"])
    assert joint[-1]["loss_gsa"] < 0.7 * joint[0]["loss_gsa"]  # so there were steps to compare


def test_what_ranks_cannot_share_is_named(
    tmp_path: Path, tiny: PretrainConfig, make_shards
) -> None:  # type: ignore[no-untyped-def]
    data = ShardRows(make_shards(rows=5), tiny)

    def plan(size: int, batch: int) -> int:
        return make_plan(data, tiny.replace(batch_size=batch), ProcessGroup(0, size, CPU)).batch

    with pytest.raises(
        InputError,
        match="batch_size = 4, all processes together, cannot be shared by 3: give a mult",
    ):
        plan(3, 4)
    with pytest.raises(InputError, match="holds 5 rows, too few for 8 processes: start fewer"):
        plan(8, 8)
    assert plan(2, 8) == 4  # shared evenly


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with (
        pytest.raises(InputError, match="process 1 of this machine finds 1 GPUs"),
        join_processes(torch.device("cuda")),
    ):
        pass


def halves(rank: int, folder: Path) -> None:
    """In one of two processes: normalise and compare half of the rows."""
    x, target = rows()
    half_rows = slice(rank * 3, rank * 3 + 3)
    with join_processes(CPU):
        norm = BatchNorm(4).double()
        if rank == 0:
            recalibrate_batch_norm(norm, [(x,)])  # asks nothing of the other one
            norm.reset_running_stats()
        half = x[half_rows].clone().requires_grad_()
        loss, retrieved = info_nce(norm(half), target[half_rows], 0.5)
        loss.mean().backward()
        told = {
            "loss": loss.detach(),
            "retrieved": retrieved,
            "gradient": half.grad,
            "variance": norm.running_var,
        }
        torch.save(told, folder / f"{rank}.pt")


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, target = torch.randn(2, 6, 4, generator=generator, dtype=torch.float64)
    return x, target


def test_gradients_flow_between_the_rows_of_two_processes(tmp_path: Path) -> None:
    x, target = rows()
    norm, whole = BatchNorm(4).double(), x.clone().requires_grad_()
    loss, retrieved = info_nce(norm(whole), target, 0.5)
    loss.mean().backward()

    in_two(halves, tmp_path)
    told = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    torch.testing.assert_close(torch.cat([each["loss"] for each in told]), loss.detach())
    assert torch.equal(torch.cat([each["retrieved"] for each in told]), retrieved)
    gradient = torch.cat([each["gradient"] for each in told])
    assert whole.grad is not None
    torch.testing.assert_close(
        gradient / 2, whole.grad
    )  # the mean over ranks is taken where the gradients are joined
    torch.testing.assert_close(told[1]["variance"], norm.running_var)
