import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.settings import read_settings
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.encoders import PointEncoder
from shapenet3d_cma.model.tasks.classify import (
    ClassifierWork,
    accuracy,
    load_classifier,
    predict,
    vote,
)
from shapenet3d_cma.model.tasks.config import (
    FinetuneConfig,
    SegmentConfig,
)
from shapenet3d_cma.model.tasks.finetune import finetune, read_splits
from shapenet3d_cma.model.tasks.segment import segment
from shapenet3d_cma.model.train.run_folder import RunFolder
from shapenet3d_cma.model.weights.encoder import encoder_bytes
from shapenet3d_cma.tests.model.runs import Killed, quiet


def run_weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_classifier(folder / "final.safetensors")[0].state_dict()


def test_a_table_tells_three_epochs_with_and_without_votes(
    tuned: tuple[Path, dict], encoder_file: Path
) -> None:
    run, results = tuned
    kept = ["final", "best_on_test", "chosen_on_held_out"]
    names = {"task.json", "results.md", "results.json", "seed-0", "seed-1"}
    assert {path.name for path in run.iterdir()} == names | {".cma3d"}
    assert json.loads((run / "results.json").read_text()) == results
    table = (run / "results.md").read_text()
    assert "best epoch on test (chosen on the test set)" in table
    assert "epoch chosen on held-out training shapes" in table
    assert "| one pass" in table
    assert "2 votes" in table
    for kind in ("single", "votes"):
        assert list(results["accuracy"][kind]) == kept
        assert all(
            len(values) == 2 and 0 <= min(values) for values in results["accuracy"][kind].values()
        )
    for each in results["runs"]:
        log = [
            json.loads(line)
            for line in (run / f"seed-{each['seed']}" / "log.jsonl").read_text().splitlines()
        ]
        assert [line["epoch"] for line in log] == [1, 2, 3]
        assert (
            each["single"]["best_on_test"]
            == max(line["test"] for line in log)
            >= each["single"]["final"]
        )
        assert each["single"]["final"] == log[-1]["test"]
        best = max(line["held_out"] for line in log)
        chosen = next(line for line in log if line["epoch"] == each["epochs"]["chosen_on_held_out"])
        assert chosen["held_out"] == best
        assert each["single"]["chosen_on_held_out"] == chosen["test"]
    assert not (run / "seed-0" / "checkpoint.pt").exists()
    assert results["encoder"]["width"] == 16
    assert str(encoder_file) in results["initial"]


def test_the_encoder_is_the_pretrained_one_and_learns(
    tuned: tuple[Path, dict], encoder_file: Path
) -> None:
    from shapenet3d_cma.model.weights.initial import load_initial

    start = load_initial(encoder_file).weights
    end = run_weights(tuned[0] / "seed-0")
    moved = [
        (end[f"encoder.{name}"] - start[name]).abs().max()
        for name in ("position.0.weight", "embed.local1.weight")
    ]
    assert all(0 < value < 0.1 for value in moved)


def test_finished_seeds_are_kept_and_more_can_be_added(
    tuned: tuple[Path, dict], benchmarks: dict[str, Path], encoder_file: Path, tmp_path: Path
) -> None:
    run, results = tuned
    shutil.copytree(run, tmp_path / "run")
    config = FinetuneConfig(**results["config"])
    lines: list[str] = []
    again = finetune(
        tmp_path / "run",
        "modelnet40",
        benchmarks["modelnet40-h5"],
        config,
        init=encoder_file,
        seeds=3,
        report=lines.append,
    )
    assert again["runs"][:2] == results["runs"]
    assert [line for line in lines if "finished before" in line] == [
        "seed 0: finished before",
        "seed 1: finished before",
    ]
    assert len(again["runs"]) == 3
    with pytest.raises(InputError, match="is a run with epochs = 3, not 4"):
        finetune(tmp_path / "run", "modelnet40", benchmarks["modelnet40-h5"], dataclasses.replace(config, epochs=4),
                 init=encoder_file, seeds=1, report=quiet)  # fmt: skip
    with pytest.raises(InputError, match=r"holds runs with initial = .*, not scratch"):
        finetune(
            tmp_path / "run",
            "modelnet40",
            benchmarks["modelnet40-h5"],
            config,
            scratch=True,
            seeds=1,
            report=quiet,
        )


@pytest.mark.parametrize("step", [0, 2, 5])
def test_a_run_that_is_stopped_and_resumed_is_an_unbroken_one(
    tuned: tuple[Path, dict], benchmarks: dict[str, Path], encoder_file: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, step: int,
) -> None:  # fmt: skip
    run, results = tuned
    config = FinetuneConfig(**results["config"])
    arguments = ("modelnet40", benchmarks["modelnet40-h5"], config)
    with monkeypatch.context() as patch:
        original = RunFolder.save

        def save(self: RunFolder, steps: int, state: dict) -> None:
            original(self, steps, state)
            if steps == step + 1:
                raise Killed

        patch.setattr(RunFolder, "save", save)
        with pytest.raises(Killed):
            finetune(tmp_path, *arguments, init=encoder_file, seeds=1, report=quiet)
    again = finetune(tmp_path, *arguments, init=encoder_file, seeds=1, report=quiet)
    assert again["runs"] == results["runs"][:1]
    assert (tmp_path / "seed-0" / "log.jsonl").read_text() == (
        run / "seed-0" / "log.jsonl"
    ).read_text()
    weights, others = run_weights(tmp_path / "seed-0"), run_weights(run / "seed-0")
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_running_statistics_are_averages_over_the_run_s_own_shapes_at_first(
    benchmarks: dict[str, Path],
    finetune_config: FinetuneConfig,
    encoder_config: PretrainConfig,
    tmp_path: Path,
) -> None:
    """After three steps a variance of 1 would still weigh 0.73 and hide the true ones, which are tiny.

    The head's is its initial one. The encoder's is what torch's own norms leave after some steps.
    """
    encoder = PointEncoder(encoder_config.network)
    encoder.embed.norm1.num_batches_tracked.fill_(16)
    (tmp_path / "encoder.safetensors").write_bytes(encoder_bytes(encoder, encoder_config))
    config, run = dataclasses.replace(finetune_config, epochs=1, held_out=0), tmp_path / "run"
    start = tmp_path / "encoder.safetensors"
    finetune(
        run, "modelnet40", benchmarks["modelnet40-h5"], config, init=start, seeds=1, report=quiet
    )
    weights = run_weights(run / "seed-0")
    for norm in ("head.1", "encoder.embed.norm1"):
        assert weights[f"{norm}.num_batches_tracked"] == 3
        assert weights[f"{norm}.running_var"].max() < 0.5


def test_kept_weights_are_those_of_their_epoch(
    benchmarks: dict[str, Path],
    finetune_config: FinetuneConfig,
    encoder_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores = iter(
        [
            {"test": 0.5, "held_out": 0.1},
            {"test": 0.4, "held_out": 0.9},
            {"test": 0.3, "held_out": 0.2},
        ]
    )
    monkeypatch.setattr(ClassifierWork, "measure", lambda _: next(scores))
    data = benchmarks["modelnet40-h5"]
    results = finetune(
        tmp_path, "modelnet40", data, finetune_config, init=encoder_file, seeds=1, report=quiet
    )
    assert results["runs"][0]["epochs"] == {"final": 3, "best_on_test": 1, "chosen_on_held_out": 2}
    monkeypatch.undo()
    test = read_splits(data, "modelnet40", finetune_config, report=quiet)[0]["test"]
    heads = []
    for name, epoch in results["runs"][0]["epochs"].items():
        network, encoder, about = load_classifier(tmp_path / "seed-0" / f"{name}.safetensors")
        assert about["epoch"] == epoch
        heads.append(network.head[0].weight)
        logits = predict(network, test, finetune_config, encoder.patch_points, torch.device("cpu"))
        assert accuracy(logits, test) == results["accuracy"]["single"][name][0]
    assert not any(torch.equal(heads[i], heads[i - 1]) for i in range(3))


def test_a_loss_that_is_not_finite_stops_with_a_line(
    benchmarks: dict[str, Path], finetune_config: FinetuneConfig, encoder_file: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(finetune_config, learning_rate=1e30, warmup_epochs=0, clip_norm=0)
    with pytest.raises(InputError, match="the loss is not finite; the last checkpoint stands"):
        finetune(
            tmp_path,
            "modelnet40",
            benchmarks["modelnet40-h5"],
            config,
            init=encoder_file,
            seeds=1,
            report=quiet,
        )


def test_bfloat16_says_nearly_the_same(
    tuned: tuple[Path, dict], benchmarks: dict[str, Path]
) -> None:
    network, encoder, about = load_classifier(tuned[0] / "seed-0" / "final.safetensors")
    config = FinetuneConfig(**about["config"])
    test = read_splits(benchmarks["modelnet40-h5"], "modelnet40", config, report=quiet)[0]["test"]
    low = dataclasses.replace(config, precision="bfloat16")
    full, half = (
        predict(network, test, each, encoder.patch_points, torch.device("cpu"))
        for each in (config, low)
    )
    assert not torch.equal(full, half)
    torch.testing.assert_close(half, full, atol=0.05, rtol=0.05)


def test_training_in_bfloat16_runs(
    benchmarks: dict[str, Path],
    finetune_config: FinetuneConfig,
    segment_config: SegmentConfig,
    encoder_file: Path,
    tmp_path: Path,
) -> None:
    config = dataclasses.replace(finetune_config, precision="bfloat16", epochs=1)
    finetune(
        tmp_path / "a",
        "modelnet40",
        benchmarks["modelnet40-h5"],
        config,
        init=encoder_file,
        seeds=1,
        report=quiet,
    )
    parts = dataclasses.replace(segment_config, precision="bfloat16", epochs=1)
    segment(tmp_path / "b", benchmarks["shapenetpart-h5"], parts, init=encoder_file, report=quiet)


def test_other_data_in_the_same_folder_are_refused(
    tuned: tuple[Path, dict], benchmarks: dict[str, Path], encoder_file: Path, tmp_path: Path
) -> None:
    shutil.copytree(tuned[0], tmp_path / "run")
    config = FinetuneConfig(**tuned[1]["config"])
    with pytest.raises(InputError, match="holds runs with data = "):
        finetune(
            tmp_path / "run",
            "modelnet40",
            benchmarks["modelnet40-off"],
            config,
            init=encoder_file,
            report=quiet,
        )


def test_votes_are_drawn_from_the_seed_and_averaged(
    tuned: tuple[Path, dict], benchmarks: dict[str, Path]
) -> None:
    network, encoder, about = load_classifier(tuned[0] / "seed-0" / "final.safetensors")
    config = FinetuneConfig(**about["config"])
    test = read_splits(benchmarks["modelnet40-h5"], "modelnet40", config, report=quiet)[0]["test"]
    given = (network, test, config, encoder.patch_points, torch.device("cpu"))
    draws = [predict(*given, draw=draw) for draw in range(3)]
    assert not torch.equal(draws[0], draws[1])
    torch.testing.assert_close(vote(*given, 3), torch.stack(draws).mean(0))
    assert torch.equal(vote(*given, 3), vote(*given, 3))


def test_a_benchmark_that_is_learned_from_its_own_kind_is_learned(
    benchmarks: dict[str, Path], finetune_config: FinetuneConfig, tmp_path: Path
) -> None:
    """A bottle, a cup and a laptop are told apart within seconds."""
    config = dataclasses.replace(
        finetune_config, epochs=60, learning_rate=5e-3, held_out=0, dropout=0.1, measure_every=20
    )
    small = tmp_path / "encoder.safetensors"
    from shapenet3d_cma.model.encoders import PointEncoder
    from shapenet3d_cma.model.weights.encoder import encoder_bytes
    from shapenet3d_cma.tests.model.conftest import ENCODER

    small.write_bytes(encoder_bytes(PointEncoder(ENCODER.network), ENCODER))
    results = finetune(tmp_path / "run", "modelnet40", benchmarks["modelnet40-dat"], config, init=small, scratch=True,
                       seeds=1, report=quiet)  # fmt: skip
    assert list(results["accuracy"]["single"]) == ["final", "best_on_test"]
    assert results["accuracy"]["single"]["final"][0] >= 5 / 6


def test_scans_are_fine_tuned_on_as_they_come(
    benchmarks: dict[str, Path], finetune_config: FinetuneConfig, encoder_file: Path, tmp_path: Path
) -> None:
    for task in ("scanobjectnn-bg", "scanobjectnn-only", "scanobjectnn-pb"):
        config = dataclasses.replace(finetune_config, epochs=1)
        results = finetune(
            tmp_path / task,
            task,
            benchmarks["scanobjectnn-h5"],
            config,
            init=encoder_file,
            seeds=1,
            report=quiet,
        )
        assert results["task"] == task
        assert (
            len(json.loads((tmp_path / task / "seed-0" / "run.json").read_text())["classes"]) == 15
        )


def test_what_does_not_fit_is_told(
    benchmarks: dict[str, Path], finetune_config: FinetuneConfig, encoder_file: Path, tmp_path: Path
) -> None:
    few = dataclasses.replace(finetune_config, points=7, patches=4)
    with pytest.raises(InputError, match="points = 7 are fewer than the 8 of a patch"):
        finetune(
            tmp_path / "a",
            "modelnet40",
            benchmarks["modelnet40-h5"],
            few,
            init=encoder_file,
            report=quiet,
        )
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").touch()
    with pytest.raises(
        InputError,
        match=r"is not empty \(it holds 'thesis.tex'\) and no finetune results that cma3d made",
    ):
        finetune(
            tmp_path / "b",
            "modelnet40",
            benchmarks["modelnet40-h5"],
            finetune_config,
            init=encoder_file,
            report=quiet,
        )
    with pytest.raises(InputError, match="patches = 128 are more than points = 64"):
        read_settings(FinetuneConfig, None, {"patches": 128, "points": 64})
    with pytest.raises(InputError, match=r"scale_low = 2.0 is above scale_high = 1.0"):
        read_settings(FinetuneConfig, None, {"scale_low": 2.0, "scale_high": 1.0})
