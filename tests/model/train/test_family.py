"""No process of a training outlives what started it: loaders' workers, and the ranks of torchrun."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.train.run_folder import RunFolder
from shapenet3d_cma.tests.family import CLI, Family, wait_until

TORCHRUN = (
    sys.executable,
    "-m",
    "torch.distributed.run",
    "--nproc-per-node",
    "2",
    "--master-port",
    "0",
)
RENDEZVOUS = ("--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0")
STARTS: dict[str, tuple[str, ...]] = {
    "loaders": CLI,
    "ranks": (*TORCHRUN, *RENDEZVOUS, *CLI[1:]),
}


@pytest.mark.parametrize("name", STARTS)
def test_no_process_outlives_a_killed_training(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path, name: str
) -> None:
    config = tiny.replace(epochs=100_000, data="files", workers=2)
    with RunFolder(tmp_path / "settings", config, "", {"steps": 0}):
        settings = tmp_path / "settings" / "config.toml"
    log = tmp_path / "run" / "log.jsonl"
    line = [*STARTS[name], "pretrain", toy_shards, tmp_path / "run", "--config", settings]
    family = Family(line, {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}, tmp_path / "output")
    try:
        wait_until(lambda: log.exists() and log.read_bytes().count(b"\n") > 4, 120, "steps")
        assert len(family.below()) >= (
            2 if name == "loaders" else 6
        )  # each rank has two of its own
        family.kill_head()
        wait_until(lambda: not family.members(), 60, "processes that end")
    finally:
        family.end()
