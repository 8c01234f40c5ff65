"""Evaluation of a fine-tuned classifier."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.model.tasks.evaluate import confusion_matrix, evaluate
from shapenet3d_cma.tests.model.runs import quiet


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
