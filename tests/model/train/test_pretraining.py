import functools
import itertools
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.settings import by_name, read_settings
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.distributed import ProcessGroup
from shapenet3d_cma.model.encoders import PointEncoder
from shapenet3d_cma.model.train.data import EpochPlan
from shapenet3d_cma.model.train.pretraining import pretrain
from shapenet3d_cma.model.train.run_folder import RunFolder
from shapenet3d_cma.model.train.step import PretrainStep, choose_device, learning_rate
from shapenet3d_cma.model.weights.encoder import load_encoder
from shapenet3d_cma.tests.waiting import count_lines, wait_for


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


def test_the_exported_encoder_is_the_trained_one(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path
) -> None:
    summary = pretrain(toy_shards, tmp_path, tiny, quiet)
    encoder, config = load_encoder(Path(summary["encoder"]))
    assert config == tiny
    trained = weights_of(tmp_path)
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, trained[f"point_encoder.{name}"])
    assert sum(name.startswith("point_encoder.") for name in trained) == len(encoder.state_dict())


def test_what_is_no_encoder_is_named(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path
) -> None:
    file = tmp_path / "encoder.safetensors"
    with pytest.raises(
        InputError, match=r"encoder\.safetensors is no point encoder that `cma3d pretrain` wrote"
    ):
        load_encoder(file)
    for content in (b"", b"garbage" * 100, save({"weight": torch.zeros(3)})):
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"encoder\.safetensors is no point encoder"):
            load_encoder(file)


def test_an_encoder_is_taken_over_whole_or_not_at_all(tiny: PretrainConfig, tmp_path: Path) -> None:
    weights, about = (
        PointEncoder(tiny.network).state_dict(),
        {"config": json.dumps(by_name(tiny))},
    )
    file, name = tmp_path / "encoder.safetensors", "embed.norm1.running_var"
    for others, says in (
        (
            {key: value for key, value in weights.items() if key != name},
            f"it lacks the tensor {name};",
        ),
        ({**weights, "another": torch.zeros(1)}, "it has a tensor too many: another;"),
    ):
        file.write_bytes(save(others, metadata=about))
        with pytest.raises(InputError, match=says):
            load_encoder(file)


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


@pytest.fixture(scope="module")
def whole(
    toy_shards: Path, tiny: PretrainConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, PretrainConfig]:
    """An unbroken run of twelve steps, with branches dropped."""
    run, config = tmp_path_factory.mktemp("whole"), tiny.replace(drop_path=0.2)
    pretrain(toy_shards, run, config, quiet)
    return run, config


@pytest.mark.parametrize("step", [0, 1, 5, 11])
@pytest.mark.parametrize("where", ["step", "log", "save", "saved"])
def test_a_run_that_is_stopped_and_resumed_is_an_unbroken_one(
    toy_shards: Path,
    whole: tuple[Path, PretrainConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
    where: str,
) -> None:
    unbroken, config = whole
    with monkeypatch.context() as patch:
        stop_at(patch, step, where)
        with pytest.raises(Killed):
            pretrain(toy_shards, tmp_path, config, quiet)
    summary = pretrain(toy_shards, tmp_path, config, quiet)
    assert summary["resumed_from"] == (step + 1 if where == "saved" else step)
    assert_same_run(tmp_path, unbroken)


def test_how_the_shards_are_read_changes_nothing(
    toy_shards: Path, whole: tuple[Path, PretrainConfig], tmp_path: Path
) -> None:
    unbroken, config = whole
    pretrain(toy_shards, tmp_path, config.replace(data="files", workers=2), quiet)
    assert_same_run(tmp_path, unbroken)


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


def test_a_killed_process_is_resumed_exactly(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path
) -> None:
    config = tiny.replace(epochs=30)
    program = (
        "import sys; from pathlib import Path; from shapenet3d_cma.core.settings import by_name, read_settings;"
        "from shapenet3d_cma.model.config import PretrainConfig;"
        "from shapenet3d_cma.model.train.pretraining import pretrain;"
        "pretrain(Path(sys.argv[1]), Path(sys.argv[2]), read_settings(PretrainConfig, Path(sys.argv[3])))"
    )
    with RunFolder(tmp_path / "settings", config, ""):
        settings = tmp_path / "settings" / "config.toml"
    run = tmp_path / "killed"
    arguments = [toy_shards, run, settings]
    with subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)], stdout=subprocess.DEVNULL
    ) as process:
        wait_for(lambda: process.poll() is not None or count_lines(run / "log.jsonl") >= 6)
        process.send_signal(signal.SIGSTOP)  # so that it does not come to its end meanwhile
        with pytest.raises(InputError, match="is being written by another process"):
            pretrain(toy_shards, run, config, quiet)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert 0 < pretrain(toy_shards, run, config, quiet)["resumed_from"] < 90
    pretrain(toy_shards, tmp_path / "whole", config, quiet)
    assert_same_run(run, tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_keeps_every_step_it_made(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C and a cluster's SIGTERM end the step, save it, and end the run; the rest is as unbroken."""
    config = tiny.replace(checkpoint_seconds=300.0)
    pretrain(toy_shards, tmp_path / "whole", config, quiet)

    def strike(line: str) -> None:
        if line.startswith("epoch 1"):
            signal.raise_signal(number)

    with pytest.raises(KeyboardInterrupt):
        pretrain(toy_shards, tmp_path / "stopped", config, strike)
    made = log_of(tmp_path / "stopped")
    assert 0 < len(made) < len(log_of(tmp_path / "whole"))
    resumed = pretrain(toy_shards, tmp_path / "stopped", config, quiet)
    assert resumed["resumed_from"] == len(made)
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")


def test_a_torn_log_is_cut_at_the_checkpoint(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrain(toy_shards, tmp_path / "whole", tiny, quiet)
    with monkeypatch.context() as patch:
        stop_at(patch, 6, "saved")
        with pytest.raises(Killed):
            pretrain(toy_shards, tmp_path / "broken", tiny, quiet)
    with (tmp_path / "broken" / "log.jsonl").open("a") as file:
        file.write('{"step": 8, "epoch": 3, "loss": 1}\n{"step": 9, "lo')
    pretrain(toy_shards, tmp_path / "broken", tiny, quiet)
    assert_same_run(tmp_path / "broken", tmp_path / "whole")


def test_a_finished_run_says_so_and_stays(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path
) -> None:
    first = pretrain(toy_shards, tmp_path, tiny, quiet)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    lines: list[str] = []
    again = pretrain(toy_shards, tmp_path, tiny, lines.append)
    assert lines[0] == f"{tmp_path} is finished: 4 epochs, 12 steps"
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    for name in ("first_loss", "last_loss", "parameters", "steps"):
        assert again[name] == first[name]


def flip_a_bit(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda _: b"",
        lambda _: b"garbage" * 1000,
        flip_a_bit,
    ],
    ids=["truncated", "empty", "garbage", "bit"],
)
def test_a_damaged_checkpoint_is_named_with_its_remedy(
    toy_shards: Path, tiny, tmp_path: Path, damage
) -> None:  # type: ignore[no-untyped-def]
    pretrain(toy_shards, tmp_path, tiny, quiet)
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    with pytest.raises(
        InputError, match=r"checkpoint\.pt is damaged \(.*\): restore it from a copy, or remove it"
    ):
        pretrain(toy_shards, tmp_path, tiny, quiet)
    checkpoint.unlink()
    assert pretrain(toy_shards, tmp_path, tiny, quiet)["resumed_from"] == 0


def test_a_checkpoint_of_another_network_is_refused(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path
) -> None:
    pretrain(toy_shards, tmp_path / "a", tiny, quiet)
    wider = tiny.replace(width=32)
    pretrain(toy_shards, tmp_path / "b", wider, quiet)
    (tmp_path / "b" / "checkpoint.pt").write_bytes((tmp_path / "a" / "checkpoint.pt").read_bytes())
    with pytest.raises(
        InputError, match=r"checkpoint\.pt belongs to a run with width = 16, not 32: restore"
    ):
        pretrain(toy_shards, tmp_path / "b", wider, quiet)


class Code:
    """What a pickle may smuggle in: it makes a folder when it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.folder),)


def test_a_checkpoint_that_holds_code_is_refused_and_not_run(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path
) -> None:
    pretrain(toy_shards, tmp_path, tiny, quiet)
    torch.save({"step": 3, "network": Code(tmp_path / "made")}, tmp_path / "checkpoint.pt")
    message = r"checkpoint\.pt is damaged \(it holds code, \w+\.mkdir, which is not run\): restore it from a copy"
    with pytest.raises(InputError, match=message):
        pretrain(toy_shards, tmp_path, tiny, quiet)
    assert not (tmp_path / "made").exists()


def test_another_configuration_or_other_shards_are_refused(
    toy_shards: Path, make_shards, tiny: PretrainConfig, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    run = tmp_path / "run"
    pretrain(toy_shards, run, tiny, quiet)
    with pytest.raises(
        InputError, match=r"is a run with epochs = 4, not 9: give --config .*config\.toml to go on"
    ):
        pretrain(toy_shards, run, tiny.replace(epochs=9), quiet)
    with pytest.raises(
        InputError, match=r"is a run with patches = 16, not 8, epochs = 4, not 9: give"
    ):
        pretrain(toy_shards, run, tiny.replace(epochs=9, patches=8), quiet)
    with pytest.raises(InputError, match="is a run on other shards"):
        pretrain(make_shards(rows=12, points=128), run, tiny, quiet)
    elsewhere = tiny.replace(workers=1, checkpoint_seconds=7, memory_gib=1)  # not another run
    assert pretrain(toy_shards, run, elsewhere, quiet)["resumed_from"] == 12


def test_a_folder_that_holds_something_else_is_left_alone(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(
        InputError,
        match=r"is not empty \(it holds 'thesis\.tex'\) and no pretraining that cma3d made: choose",
    ):
        pretrain(toy_shards, tmp_path, tiny, quiet)
    with pytest.raises(InputError, match=r"thesis\.tex"):
        pretrain(toy_shards, tmp_path / "thesis.tex", tiny, quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


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


def test_cuda_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="device = cuda, but torch finds no CUDA device"):
        choose_device("cuda")
    assert choose_device("auto") == torch.device("cpu")


def test_the_learning_rate_warms_up_and_follows_a_cosine() -> None:
    config, plan = PretrainConfig(), EpochPlan(1280, 128, 300, 0)
    rates = [learning_rate(step, plan, config) for step in range(plan.steps)]
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


def test_training_leaves_the_callers_random_numbers_alone(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path
) -> None:
    state = torch.get_rng_state()
    pretrain(toy_shards, tmp_path / "a", tiny, quiet)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    pretrain(toy_shards, tmp_path / "b", tiny, quiet)
    assert_same_run(tmp_path / "a", tmp_path / "b")


# ---- compiling, precision, starting from other weights ----


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


def test_a_run_starts_from_the_encoder_of_another(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path
) -> None:
    pretrain(toy_shards, tmp_path / "a", tiny.replace(epochs=1), quiet)
    config = tiny.replace(
        init=str(tmp_path / "a"), learning_rate=0.0, final_learning_rate=0.0, epochs=1
    )
    summary = pretrain(toy_shards, tmp_path / "b", config, quiet)
    assert pretrain(toy_shards, tmp_path / "b", config, quiet)["resumed_from"] == summary["steps"]
    first, _ = load_encoder(tmp_path / "a")
    second, _ = load_encoder(tmp_path / "b")
    for (name, value), other in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(value, other), name  # nothing was learned at a rate of zero


def test_an_encoder_of_other_sizes_is_named(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path
) -> None:
    pretrain(toy_shards, tmp_path / "a", tiny.replace(epochs=1), quiet)
    (tmp_path / "a" / "encoder.safetensors").rename(tmp_path / "other.safetensors")
    with pytest.raises(
        InputError, match=r"a holds no encoder\.safetensors, which a run writes at its end"
    ):
        pretrain(toy_shards, tmp_path / "b", tiny.replace(init=str(tmp_path / "a")), quiet)
    wider = tiny.replace(width=32, init=str(tmp_path / "other.safetensors"))
    message = r"holds an encoder of other sizes: embed\.joint2\.bias is \[16\], the settings make it \[32\]"
    with pytest.raises(InputError, match=message):
        pretrain(toy_shards, tmp_path / "c", wider, quiet)
