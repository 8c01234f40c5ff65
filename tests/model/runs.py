"""Runs compared, and stopped on purpose."""

import json
from pathlib import Path

import pytest
import torch

from shapenet3d_cma.model.train.run_folder import RunFolder
from shapenet3d_cma.model.train.step import PretrainStep


class Killed(BaseException):
    """Stands for whatever ends a process in the middle."""


def quiet(_: str) -> None: ...


def log_of(run: Path) -> list[dict]:
    """The log without what depends on the clock."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in line.items() if name != "samples_per_s"} for line in lines
    ]


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    moments = {
        f"{i}.{name}": value
        for i, each in state["optimizer"]["state"].items()
        for name, value in each.items()
    }
    return {**state["network"], **moments}


def assert_same_run(run: Path, other: Path) -> None:
    assert log_of(run) == log_of(other)
    weights, others = weights_of(run), weights_of(other)
    assert weights.keys() == others.keys()
    assert [name for name in weights if not torch.equal(weights[name], others[name])] == []


def stop_at(patch: pytest.MonkeyPatch, step: int, where: str) -> None:
    """Stop at a step: within it, after it was logged, halfway through writing the checkpoint, or after that."""
    original_step, original_save, original_write = PretrainStep.step, RunFolder.save, torch.save

    def step_or_stop(self, number, batch):  # type: ignore[no-untyped-def]
        result = original_step(self, number, batch)
        if number == step:
            raise Killed
        return result

    def save_or_stop(self, done, state):  # type: ignore[no-untyped-def]
        if where == "log" and done == step + 1:
            raise Killed
        original_save(self, done, state)
        if where == "saved" and done == step + 1:
            raise Killed

    def half_write(content, path):  # type: ignore[no-untyped-def]
        original_write(content, path)
        if content["step"] == step + 1:
            path.write_bytes(path.read_bytes()[:1000])
            raise Killed

    if where == "step":
        patch.setattr(PretrainStep, "step", step_or_stop)
    elif where == "save":
        patch.setattr(torch, "save", half_write)
    else:
        patch.setattr(RunFolder, "save", save_or_stop)
