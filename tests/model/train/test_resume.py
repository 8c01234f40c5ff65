"""Runs that were stopped, killed or damaged, and folders that hold another run."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.train.pretraining import pretrain
from shapenet3d_cma.model.train.run_folder import RunFolder
from shapenet3d_cma.tests.model.runs import Killed, assert_same_run, log_of, quiet, stop_at
from shapenet3d_cma.tests.waiting import count_lines, wait_for


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


def test_a_killed_process_is_resumed_exactly(
    toy_shards: Path, tiny: PretrainConfig, tmp_path: Path
) -> None:
    config = tiny.replace(epochs=15)
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
    assert 0 < pretrain(toy_shards, run, config, quiet)["resumed_from"] < 45
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
    tiny = tiny.replace(epochs=1)
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
    tiny = tiny.replace(epochs=1)
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
    tiny = tiny.replace(epochs=1)
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
