import csv
import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.settings import read_settings
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.encoders import PointEncoder
from shapenet3d_cma.model.tasks import engine
from shapenet3d_cma.model.tasks.ablate import TABLES, ablate
from shapenet3d_cma.model.tasks.classify import (
    ClassifierWork,
    accuracy,
    load_classifier,
    predict,
    vote,
)
from shapenet3d_cma.model.tasks.config import (
    FewShotConfig,
    FinetuneConfig,
    ProbeConfig,
    SegmentConfig,
)
from shapenet3d_cma.model.tasks.evaluate import confusion_matrix, evaluate
from shapenet3d_cma.model.tasks.fewshot import fewshot
from shapenet3d_cma.model.tasks.finetune import finetune, read_splits
from shapenet3d_cma.model.tasks.probe import choose_c, probe, shard_clouds
from shapenet3d_cma.model.tasks.segment import segment
from shapenet3d_cma.model.train.run_folder import RunFolder
from shapenet3d_cma.model.weights.encoder import encoder_bytes

RECIPES = Path(engine.__file__).parent


def quiet(_: str) -> None: ...


class Killed(BaseException):
    """Stands for whatever ends a process in the middle."""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("modelnet40", FinetuneConfig), ("fewshot", FewShotConfig), ("shapenetpart", SegmentConfig),
    ],
)  # fmt: skip
def test_recipes_write_out_the_defaults(name: str, kind: type) -> None:
    assert read_settings(kind, RECIPES / f"{name}.toml") == kind()


def test_other_recipes_are_read() -> None:
    scans = read_settings(FinetuneConfig, RECIPES / "scanobjectnn.toml")
    assert scans == dataclasses.replace(FinetuneConfig(), points=2048, patches=128)
    for kind in (FinetuneConfig, FewShotConfig, SegmentConfig):
        assert read_settings(kind, RECIPES / "small.toml").epochs == 30
    assert read_settings(SegmentConfig, RECIPES / "small-parts.toml").points == 512


def run_weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_classifier(folder / "final.safetensors")[0].state_dict()


@pytest.fixture(scope="module")
def tuned(
    benchmarks: dict[str, Path], encoder_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict]:
    """Two seeds on the smallest ModelNet40, from a pretrained encoder."""
    from .conftest import TRAIN

    run = tmp_path_factory.mktemp("tuned") / "run"
    config = FinetuneConfig(**TRAIN, votes=2, held_out=0.25)
    return run, finetune(
        run,
        "modelnet40",
        benchmarks["modelnet40-h5"],
        config,
        init=encoder_file,
        seeds=2,
        report=quiet,
    )


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


# ---- evaluate ----


def test_evaluation_writes_logits_and_the_confusion_matrix(
    tuned: tuple[Path, dict], tmp_path: Path
) -> None:
    run, results = tuned
    found = evaluate(
        run / "seed-1", tmp_path / "look", which="best_on_test", cpu_threads=1, report=quiet
    )
    assert found["accuracy"] == results["runs"][1]["single"]["best_on_test"]
    with (tmp_path / "look" / "logits.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["shape", "true", "predicted", "bottle", "cup", "laptop"]
    assert len(rows) == 7
    for _, _, predicted, *logits in rows[1:]:
        assert rows[0][3:][max(range(3), key=lambda i: float(logits[i]))] == predicted
    with (tmp_path / "look" / "confusion.csv").open() as file:
        matrix = [[int(value) for value in row[1:]] for row in list(csv.reader(file))[1:]]
    assert [sum(row) for row in matrix] == [2, 2, 2]
    assert sum(matrix[i][i] for i in range(3)) / 6 == found["accuracy"]
    with Image.open(found["picture"]) as picture:
        assert min(picture.size) > 300
    voted = evaluate(run, tmp_path / "votes", votes=2, cpu_threads=1, report=quiet)
    assert voted["accuracy"] == results["runs"][0]["votes"]["final"]
    assert voted["text"].startswith(
        f"{run / 'seed-0' / 'final.safetensors'}, 2 votes over 6 shapes: "
    )


def test_a_confusion_matrix_counts_rows_as_truth() -> None:
    import numpy as np

    matrix = confusion_matrix(np.array([0, 0, 2]), np.array([0, 1, 2]), 4)
    assert matrix.tolist() == [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_classes_that_do_not_match_the_checkpoint_are_told(
    tuned: tuple[Path, dict], benchmarks: dict[str, Path], tmp_path: Path
) -> None:
    run, _ = tuned
    shutil.copytree(benchmarks["modelnet40-text"], tmp_path / "data")
    names = next((tmp_path / "data").rglob("modelnet40_shape_names.txt"))
    names.write_text(names.read_text() + "vase\n")
    with pytest.raises(InputError, match=r"tells 3 classes apart, .* has 4 of them, or others"):
        evaluate(run, tmp_path / "look", data=tmp_path / "data", report=quiet)
    with pytest.raises(InputError, match=r"has no best\.safetensors"):
        evaluate(run, tmp_path / "look", which="best", report=quiet)
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="is no classifier that `cma3d finetune` wrote"):
        evaluate(tmp_path / "a.safetensors", tmp_path / "look", report=quiet)


# ---- the other tasks ----


def test_few_shot_folds_are_drawn_stored_and_learned(
    benchmarks: dict[str, Path], fewshot_config: FewShotConfig, encoder_file: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(fewshot_config, epochs=2)
    settings = [(2, 2), (3, 4)]
    given = {"init": encoder_file, "settings": settings, "folds": 2, "report": quiet}
    results = fewshot(tmp_path / "a", benchmarks["modelnet40-dat"], config, **given)
    listed = json.loads((tmp_path / "a" / "folds.json").read_text())["folds"]
    assert [(each["way"], each["shot"], each["fold"]) for each in listed] == [
        (2, 2, 0),
        (2, 2, 1),
        (3, 4, 0),
        (3, 4, 1),
    ]
    assert [len(each["train"]) for each in listed] == [4, 4, 12, 12]
    for name in ("2way_2shot", "3way_4shot"):
        assert len(results["accuracy"][name]["single"]["final"]) == 2
    table = (tmp_path / "a" / "results.md").read_text()
    assert "2 way, 2 shot" in table
    assert "mean ± deviation over 2 folds" in table
    assert not list((tmp_path / "a").rglob("*.safetensors"))
    again = fewshot(tmp_path / "b", benchmarks["modelnet40-dat"], config, **given)
    assert again["accuracy"] == results["accuracy"]
    with pytest.raises(InputError, match="5 way, 10 shot needs 5 classes"):
        fewshot(
            tmp_path / "c", benchmarks["modelnet40-dat"], config, init=encoder_file, report=quiet
        )


def test_few_shot_reads_pickled_folds_first(
    fewshot_config: FewShotConfig, encoder_file: Path, tmp_path: Path
) -> None:
    from .benchmarks.test_layouts import write_fold

    write_fold(tmp_path / "data" / "5way_2shot" / "0.pkl", 5, 2, points=80)
    config = dataclasses.replace(fewshot_config, epochs=1)
    lines: list[str] = []
    results = fewshot(tmp_path / "run", tmp_path / "data", config, init=encoder_file, settings=[(5, 2)], folds=1,
                      report=lines.append)  # fmt: skip
    assert results["folds"] == "pickles"
    assert ", one fold\n" in results["table"]
    assert "±" not in results["table"]
    assert lines[0].startswith("fewshot: fewshot-pickle in")
    with pytest.raises(InputError, match=r"has no 5way_2shot/1\.pkl"):
        fewshot(
            tmp_path / "run2",
            tmp_path / "data",
            config,
            init=encoder_file,
            settings=[(5, 2)],
            folds=2,
            report=quiet,
        )
    assert not (tmp_path / "run2").exists()


@pytest.mark.parametrize("train_on", ["train", "trainval"])
def test_segmentation_leaves_scores_a_page_and_coloured_points(
    benchmarks: dict[str, Path],
    segment_config: SegmentConfig,
    encoder_file: Path,
    tmp_path: Path,
    train_on: str,
) -> None:
    config = dataclasses.replace(segment_config, train_on=train_on)  # type: ignore[arg-type]
    results = segment(
        tmp_path / "run", benchmarks["shapenetpart-text"], config, init=encoder_file, report=quiet
    )
    scores = results["runs"][0]["scores"]
    assert list(scores) == ["final", "best_on_test"] + ["chosen_on_val"] * (train_on == "train")
    assert list(scores["final"]["categories"]) == ["Laptop", "Mug"]
    assert 0 < scores["final"]["instance"] <= scores["best_on_test"]["instance"] <= 1
    table = (tmp_path / "run" / "results.md").read_text()
    assert "over instances" in table
    assert "| Laptop" in table
    page = (tmp_path / "run" / "page.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert "http" not in page
    plys = sorted((tmp_path / "run" / "ply").iterdir())
    assert len(plys) == 8
    import trimesh

    cloud = trimesh.load(plys[0])
    assert cloud.vertices.shape == (64, 3)
    assert len(set(map(tuple, cloud.colors.tolist()))) <= 2
    again = segment(
        tmp_path / "run", benchmarks["shapenetpart-text"], config, init=encoder_file, report=quiet
    )
    assert again["runs"] == results["runs"]


def test_parts_are_learned(
    benchmarks: dict[str, Path], segment_config: SegmentConfig, encoder_file: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(
        segment_config, epochs=40, learning_rate=1e-2, dropout=0.0, measure_every=40
    )
    still = dataclasses.replace(config, epochs=1, learning_rate=0.0)
    before = segment(
        tmp_path / "a", benchmarks["shapenetpart-h5"], still, init=encoder_file, report=quiet
    )
    after = segment(
        tmp_path / "b", benchmarks["shapenetpart-h5"], config, init=encoder_file, report=quiet
    )
    first, last = (each["runs"][0]["scores"]["final"]["instance"] for each in (before, after))
    assert last > max(0.5, first + 0.1)


def test_the_probe_holds_on_to_the_encoder(
    benchmarks: dict[str, Path], encoder_file: Path, tmp_path: Path
) -> None:
    config = ProbeConfig(points=64, patches=8, device="cpu", threads=1)
    out = tmp_path / "new" / "probe.json"
    found = probe(benchmarks["modelnet40-h5"], config, init=encoder_file, out=out, report=quiet)
    assert json.loads(out.read_text()) == found
    assert found["features"] == 32
    assert found["accuracy"] > found["chance"]
    assert found == probe(benchmarks["modelnet40-h5"], config, init=encoder_file, report=quiet)
    scratch = probe(
        benchmarks["modelnet40-h5"], config, init=encoder_file, scratch=True, report=quiet
    )
    assert scratch["initial_hash"] == "scratch"


def test_a_small_set_s_c_is_not_left_to_one_lucky_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[float] = []

    def accuracy(*parts: object) -> float:
        tried.append(float(str(parts[-1])))
        return (
            1.0 if len(tried) <= 6 or tried[-1] == 0.1 else 0.5
        )  # in the first draw all are equal

    monkeypatch.setattr("shapenet3d_cma.model.tasks.probe.svm_accuracy", accuracy)
    labels = np.repeat(np.arange(4), 20)
    assert choose_c(np.zeros((80, 2), np.float32), labels, seed=0) == 0.1
    assert len(tried) == 60
    tried.clear()
    choose_c(np.zeros((6000, 2), np.float32), np.repeat(np.arange(4), 1500), seed=0)
    assert len(tried) == 6  # 600 shapes tell enough


def test_shards_are_probed_by_synset_with_models_on_one_side(
    shards: Path, encoder_file: Path
) -> None:
    config = ProbeConfig(points=64, patches=8, device="cpu", threads=1, test_share=0.5)
    found = probe(shards, config, shards=True, init=encoder_file, report=quiet)
    assert (found["train"], found["test"], found["classes"]) == (4, 4, 4)


def test_rows_of_a_model_stay_together(make_shards: Callable[..., Path]) -> None:
    def two_views_of_each(rows: list[dict]) -> None:
        for i, row in enumerate(rows):
            row.update(synset=f"0{i // 8}", model_id=f"model{i // 2}", view=i % 2)

    shards = make_shards(rows=16, change=two_views_of_each)
    train, test, _ = shard_clouds(shards, ProbeConfig(points=64, patches=8, test_share=0.5))
    assert (len(train), len(test)) == (8, 8)
    assert not set(train.names) & set(test.names)
    assert train.classes == ("00", "01")


def test_shards_of_one_synset_cannot_be_probed(toy_shards: Path, encoder_file: Path) -> None:
    config = ProbeConfig(points=64, patches=8, device="cpu", threads=1)
    with pytest.raises(InputError, match="at least 2 classes, found 1"):
        probe(toy_shards, config, shards=True, init=encoder_file, report=quiet)


def test_an_ablation_goes_on_where_it_was_stopped(
    benchmarks: dict[str, Path],
    toy_shards: Path,
    tiny: PretrainConfig,
    finetune_config: FinetuneConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretraining, config = (
        tiny.replace(epochs=1),
        dataclasses.replace(finetune_config, epochs=1),
    )
    given = (
        toy_shards,
        tmp_path / "out",
        8,
        "modelnet40",
        benchmarks["modelnet40-h5"],
        pretraining,
        config,
    )
    with monkeypatch.context() as patch:
        calls = []
        original = engine.train
        from shapenet3d_cma.model.tasks import finetune as module

        def train(*arguments: object) -> object:
            calls.append(1)
            if len(calls) == 2:
                raise Killed
            return original(*arguments)  # type: ignore[arg-type]

        patch.setattr(module, "train", train)
        with pytest.raises(Killed):
            ablate(*given, report=quiet)
    assert "1 of 4 rows" in (tmp_path / "out" / "table-8.md").read_text()
    content = ablate(*given, report=quiet)
    assert list(content["rows"]) == list(TABLES[8])
    table = (tmp_path / "out" / "table-8.md").read_text()
    assert "4 of 4 rows" in table
    assert "both, lambda 0.0001" in table
    assert json.loads((tmp_path / "out" / "table-8.json").read_text()) == content
    for name in ("code", "shards_hash", "data_hash", "pretraining", "finetuning"):
        assert content[name]
    with pytest.raises(InputError, match="holds runs with table = 8, not 6"):
        ablate(
            toy_shards,
            tmp_path / "out",
            6,
            "modelnet40",
            benchmarks["modelnet40-h5"],
            pretraining,
            config,
            report=quiet,
        )
    with pytest.raises(InputError, match="the ablations are tables 6, 7, 8"):
        ablate(
            toy_shards,
            tmp_path / "o",
            5,
            "modelnet40",
            benchmarks["modelnet40-h5"],
            pretraining,
            config,
            report=quiet,
        )
