"""The step: learning rate, groups of parameters, compiling, precision."""

import functools
import itertools
from pathlib import Path

import pytest
import torch

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.distributed import ProcessGroup
from shapenet3d_cma.model.train.data import EpochPlan
from shapenet3d_cma.model.train.pretraining import pretrain
from shapenet3d_cma.model.train.step import PretrainStep, choose_device, learning_rate
from shapenet3d_cma.tests.model.runs import (
    Killed,
    assert_same_run,
    log_of,
    quiet,
    stop_at,
    weights_of,
)


def test_cuda_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="device = cuda, but torch finds no CUDA device"):
        choose_device("cuda")
    assert choose_device("auto") == torch.device("cpu")


def test_the_learning_rate_warms_up_and_follows_a_cosine() -> None:
    config, plan = PretrainConfig(), EpochPlan(1280, 128, 300, 0)
    rates = [learning_rate(step, plan, config.optimiser) for step in range(plan.steps)]
    top = max(rates)
    assert top == rates[100] == 1e-3
    assert all(a < b for a, b in itertools.pairwise(rates[:101]))
    assert all(a > b for a, b in itertools.pairwise(rates[100:]))
    assert rates[100 + 1450] == pytest.approx((1e-3 + 1e-6) / 2)
    assert 1e-6 < rates[-1] < 1.001e-6
    short = [
        learning_rate(step, EpochPlan(8, 8, 1, 0), config.replace(epochs=1).optimiser)
        for step in range(1)
    ]
    assert short[0] > 0


def test_only_matrices_decay(tiny: PretrainConfig) -> None:
    training = PretrainStep(
        tiny, (64, 64), EpochPlan(4, 4, 1, 0), ProcessGroup(0, 1, torch.device("cpu"))
    )
    names = {id(parameter): name for name, parameter in training.network.named_parameters()}
    decayed, others = (
        [names[id(p)] for p in group["params"]] for group in training.optimizer.param_groups
    )
    assert len(decayed) + len(others) == len(names)
    assert all(name.endswith("weight") and "norm" not in name for name in decayed)
    assert all(
        "norm" in name or name.endswith(("bias", "mask_token", "position")) or ".1.weight" in name
        for name in others
    )
    assert [group["weight_decay"] for group in training.optimizer.param_groups] == [0.05, 0.0]


def test_what_cannot_be_compiled_runs_without_and_is_the_same(
    toy_shards: Path,
    whole: tuple[Path, PretrainConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unbroken, config = whole

    monkeypatch.setattr(torch, "compile", lambda network, **_: Broken(network))
    lines: list[str] = []
    pretrain(toy_shards, tmp_path, config.replace(compile="on"), lines.append)
    assert "torch.compile fails, so it runs without: RuntimeError: no compiler to be found" in lines
    assert_same_run(tmp_path, unbroken)


def test_a_compiled_run_goes_the_same_way(
    toy_shards: Path,
    whole: tuple[Path, PretrainConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of compiling but the compiler, whose rounding would differ."""
    unbroken, config = whole
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    lines: list[str] = []
    with monkeypatch.context() as patch:
        stop_at(patch, 5, "saved")
        with pytest.raises(Killed):
            pretrain(toy_shards, tmp_path, config.replace(compile="on"), lines.append)
    assert not any("torch.compile fails" in line for line in lines)
    pretrain(toy_shards, tmp_path, config.replace(compile="on"), lines.append)
    assert_same_run(tmp_path, unbroken)


class Broken(torch.nn.Module):
    """Fails, as compiled networks do, in the middle of the first backward pass."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, data: dict) -> dict:
        result: dict = self.network(data)
        result["loss"].register_hook(self.fail)
        return result

    @staticmethod
    def fail(_: torch.Tensor) -> None:
        raise RuntimeError("no compiler\nto be found")


def test_lower_precision_trains_nearly_alike(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path
) -> None:
    exact = tiny.replace(drop_path=0.0, decoder_drop_path=0.0)
    pretrain(toy_shards, tmp_path / "exact", exact, quiet)
    pretrain(toy_shards, tmp_path / "rounded", exact.replace(precision="bfloat16"), quiet)
    for a, b in zip(log_of(tmp_path / "exact"), log_of(tmp_path / "rounded"), strict=True):
        assert a["loss_lmr"] != b["loss_lmr"]
        assert b["loss_lmr"] == pytest.approx(a["loss_lmr"], rel=0.05)
    assert all(
        value.dtype in (torch.float32, torch.int64)
        for value in weights_of(tmp_path / "rounded").values()
    )
