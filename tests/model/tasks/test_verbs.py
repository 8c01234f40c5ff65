"""The verbs as a user types them: exit status, one line for what is wrong, and what is left behind."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

TINY = [
    "--points",
    64,
    "--patches",
    8,
    "--epochs",
    1,
    "--batch-size",
    4,
    "--device",
    "cpu",
    "--threads",
    1,
]


def test_samples_and_doctor_know_benchmarks(cma3d: Callable, tmp_path: Path) -> None:
    words = [
        "--task",
        "shapenetpart",
        "--layout",
        "shapenetpart-h5",
        "--train",
        1,
        "--test",
        1,
        "--val",
        1,
        "--seed",
        3,
    ]
    done = cma3d("samples", tmp_path / "small", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("shapenetpart-h5 in ")
    found = cma3d("doctor", tmp_path / "small", "--task", "shapenetpart", "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["counts"] == {"train": 8, "val": 8, "test": 8}
    wrong = cma3d("doctor", tmp_path / "small", "--task", "modelnet40")
    assert wrong.returncode == 1
    assert "is shapenetpart-h5, data of shapenetpart" in wrong.stdout
    refused = cma3d("samples", tmp_path / "b", "--task", "modelnet40", "--pathologies")
    assert refused.returncode == 2
    assert refused.stderr == "cma3d: --pathologies is for the procedural ShapeNet, not for --task\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["doctor", "D", "--task", "modelnet40", "--limit", "3"],
            "--limit is for the models of a ShapeNet",
        ),
        (
            ["doctor", "D", "--task", "modelnet40", "--jobs", "1"],
            "--jobs is for the models of a ShapeNet",
        ),
        (["samples", "OUT", "--layout", "modelnet40-off"], "--layout is for a benchmark: give"),
        (["samples", "OUT", "--train", "24"], "--train is for a benchmark: give it with --task"),
    ],
)
def test_options_that_would_be_ignored_are_refused(
    cma3d_inside: Callable, tmp_path: Path, words: list[str], says: str
) -> None:
    places = {"D": tmp_path, "OUT": tmp_path / "out"}
    done = cma3d_inside(*(places.get(word, word) for word in words))
    assert done.returncode == 2
    assert says in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_finetune_then_evaluate(
    cma3d: Callable, benchmarks: dict[str, Path], encoder_file: Path, tmp_path: Path
) -> None:
    data = benchmarks["modelnet40-text"]
    words = [
        "--task",
        "modelnet40",
        "--data",
        data,
        "--init",
        encoder_file,
        "--seeds",
        1,
        "--votes",
        2,
    ]
    done = cma3d("finetune", tmp_path / "run", *words, *TINY)
    assert done.returncode == 0, done.stderr
    assert "| final epoch" in done.stdout
    assert "modelnet40-text in" in done.stderr
    looked = cma3d("evaluate", tmp_path / "run", "-o", tmp_path / "look", "--device", "cpu")
    assert looked.returncode == 0, looked.stderr
    assert "6 shapes" in looked.stdout
    assert {path.name for path in (tmp_path / "look").iterdir()} == {
        ".cma3d",
        "logits.csv", "confusion.csv", "confusion.png", "evaluation.json", "evaluation.md",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["finetune", "OUT", "--task", "modelnet40", "--data", "DATA"],
            "give --init RUN (or a file)",
        ),
        (
            ["finetune", "OUT", "--task", "shapenetpart", "--data", "DATA", "--scratch"],
            "Invalid value for '--task'",
        ),
        (
            ["segment", "OUT", "--data", "DATA", "--scratch"],
            "data of modelnet40; shapenetpart needs",
        ),
        (
            [
                "fewshot",
                "OUT",
                "--data",
                "DATA",
                "--init",
                "ENCODER",
                "--points",
                "64",
                "--patches",
                "8",
            ],
            "needs 5 classes",
        ),
        (["probe", "--init", "ENCODER"], "give either --data MODELNET40 or --shards SHARDS"),
        (["evaluate", "OUT", "-o", "LOOK"], "has no final.safetensors"),
        (["ablate", "DATA", "OUT", "--table", "6", "--data", "DATA"], "manifest.json"),
    ],
)
def test_wrong_use_is_one_line(
    cma3d_inside: Callable,
    benchmarks: dict[str, Path],
    encoder_file: Path,
    tmp_path: Path,
    words: list[str],
    says: str,
) -> None:
    places = {
        "DATA": benchmarks["modelnet40-h5"],
        "ENCODER": encoder_file,
        "OUT": tmp_path / "o",
        "LOOK": tmp_path / "l",
    }
    done = cma3d_inside(*(places.get(word, word) for word in words))
    assert done.returncode == 2, done.stderr
    last = [line for line in done.stderr.splitlines() if line.startswith("cma3d: ")]
    assert len(last) == 1
    assert says in last[0]
    assert not (tmp_path / "o").exists()
