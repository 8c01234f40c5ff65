import math
from pathlib import Path

import pytest
import torch

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.settings import read_settings
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.train.data import EpochPlan
from shapenet3d_cma.model.train.pretraining import pretrain
from shapenet3d_cma.model.train.step import PretrainStep
from shapenet3d_cma.tests.model.runs import assert_same_run, log_of, quiet


def test_a_run_leaves_what_it_says(toy_shards: Path, tiny: PretrainConfig, tmp_path: Path) -> None:
    lines: list[str] = []
    run = tmp_path / "new" / "run"
    summary = pretrain(toy_shards, run, tiny.replace(picture_epochs=2), lines.append)
    names = {
        "run.json",
        "config.toml",
        "log.jsonl",
        "curves.png",
        "checkpoint.pt",
        "encoder.safetensors",
    }
    names |= {"reconstructions", "reconstructions.png", "run.html"}
    assert {path.name for path in run.iterdir()} == names | {".cma3d"}
    assert summary["epochs"] == 4
    assert summary["steps"] == 12
    assert summary["rows"] == 12
    log = log_of(run)
    assert [line["step"] for line in log] == list(range(1, 13))
    assert [line["epoch"] for line in log] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert all(
        math.isfinite(line[name])
        for line in log
        for name in ("loss", "loss_lmr", "loss_gsa", "grad_norm")
    )
    assert all(9 / 16 <= line["mask_ratio"] <= 0.9 for line in log)
    assert summary["first_loss"] == pytest.approx(sum(line["loss"] for line in log[:3]) / 3)
    assert all(0 <= line["retrieval"] <= 1 for line in log)
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in sorted((run / "reconstructions").iterdir())] == [
        f"epoch-{epoch:05}.npz" for epoch in (0, 2, 4)
    ]
    assert read_settings(PretrainConfig, run / "config.toml") == tiny.replace(picture_epochs=2)
    assert "on cpu, float32; 4 epochs of 3 steps of 4 rows" in lines[0]
    assert lines[1] == "12 rows, 0.00 GiB: held in memory"
    assert len([line for line in lines if line.startswith("epoch ")]) == 4


def test_the_loss_falls(toy_shards: Path, tiny: PretrainConfig, tmp_path: Path) -> None:
    changes = {
        "epochs": 40,
        "width": 32,
        "learning_rate": 3e-3,
        "contrast_weight": 1e-3,
        "checkpoint_seconds": 60,
    }
    summary = pretrain(toy_shards, tmp_path, tiny.replace(**changes, drop_path=0.0), quiet)
    assert (
        summary["last_loss"] < 0.75 * summary["first_loss"]
    )  # what is left is the noise of sixteen patches
    log = log_of(tmp_path)
    assert sum(line["loss_gsa"] for line in log[-5:]) < 0.8 * sum(
        line["loss_gsa"] for line in log[:5]
    )


@pytest.mark.parametrize("tasks", ["reconstruction", "contrast"])
def test_either_task_alone(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path, tasks: str
) -> None:
    lines: list[str] = []
    config = tiny.replace(tasks=tasks)  # type: ignore[arg-type]
    pretrain(toy_shards, tmp_path, config, lines.append)
    off = "loss_gsa" if tasks == "reconstruction" else "loss_lmr"
    assert all(line[off] == 0 for line in log_of(tmp_path))
    told = " ".join(line for line in lines if line.startswith("epoch "))
    assert off[5:] not in told.split()
    assert ("retrieval" in told) == (tasks == "contrast")


def test_how_the_shards_are_read_changes_nothing(
    toy_shards: Path, whole: tuple[Path, PretrainConfig], tmp_path: Path
) -> None:
    unbroken, config = whole
    pretrain(toy_shards, tmp_path, config.replace(data="files", workers=2), quiet)
    assert_same_run(tmp_path, unbroken)


def test_a_batch_shrinks_to_the_rows_there_are(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path
) -> None:
    lines: list[str] = []
    pretrain(toy_shards, tmp_path, tiny.replace(batch_size=128, epochs=2), lines.append)
    assert lines[0] == "the shards hold 12 rows, fewer than batch_size = 128: 12 a step"
    assert len(log_of(tmp_path)) == 2


def test_a_loss_that_is_not_finite_stops_with_its_name_and_rows(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = PretrainStep.step

    def step(self, number, batch):  # type: ignore[no-untyped-def]
        if number == 5:
            batch["points"][batch["rows"] == batch["rows"][2]] = math.nan
        return original(self, number, batch)

    monkeypatch.setattr(PretrainStep, "step", step)
    row = EpochPlan(12, 4, 4, 0).step_rows(5)[2]
    config = tiny.replace(tasks="reconstruction")
    with pytest.raises(InputError) as caught:
        pretrain(toy_shards, tmp_path, config, quiet)
    message = str(caught.value)
    assert "step 6 (epoch 2): loss_lmr is not finite" in message
    assert f"row {row} (03001627/model{row}, view 0)" in message
    assert "\n" not in message
    assert len(log_of(tmp_path)) == 5
    monkeypatch.undo()
    assert pretrain(toy_shards, tmp_path, config, quiet)["resumed_from"] == 5


def test_training_leaves_the_callers_random_numbers_alone(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path
) -> None:
    state = torch.get_rng_state()
    pretrain(toy_shards, tmp_path / "a", tiny, quiet)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    pretrain(toy_shards, tmp_path / "b", tiny, quiet)
    assert_same_run(tmp_path / "a", tmp_path / "b")
