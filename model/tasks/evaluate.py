"""`cma3d evaluate`: predictions of a fine-tuned classifier.

The class of every test shape, and the confusion matrix.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError, needs
from ...core.outputs import Output, refuse_overlap
from ..config import NetworkConfig
from ..train.pretraining import threads
from ..train.run_folder import write_to
from ..train.step import choose_device
from .benchmarks.prepared import Clouds
from .benchmarks.shapes import IntArray
from .classifier import Classifier
from .classify import load_classifier, predict, vote
from .config import FinetuneConfig
from .finetune import read_splits
from .results import claim_results, read_json, voted, write_results

__all__ = ["confusion_matrix", "evaluate"]

_MOST_CONFUSED = 10
_RESULTS = ("logits.csv", "confusion.csv", "confusion.png", "evaluation.md", "evaluation.json")


def evaluate(
    run: Path,
    out: Path,
    *,
    data: Path | None = None,
    which: str = "final",
    votes: int = 0,
    device: str = "auto",
    cpu_threads: int = 0,
    report: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Classify the test shapes with the weights of a fine-tuning.

    Parameters
    ----------
    run : folder of `cma3d finetune`, one of its seeds, or a .safetensors of these
    out : folder for logits.csv, confusion.csv, confusion.png, evaluation.json and .md
    data : the benchmark; where the run found it, if None
    which : weights, where `run` is a folder: final, best_on_test, chosen_on_held_out
    votes : draws that are averaged; 0: one pass over the points as they are

    Returns
    -------
    result : accuracy, class_accuracy (mean over classes), the most confused pairs, and paths

    Raises
    ------
    InputError : no such run or weights; data of other classes than the classifier's
    """
    try:
        import sklearn  # noqa: F401 - asked for here, so that its absence is told before the work
    except ImportError as error:
        raise needs("scikit-learn", "train", error) from None
    file = weights_file(run, which)
    refuse_overlap(out, [run, file, data])
    classifier = load_classifier(file)  # what is none is told at once
    data = data or known_data(file)
    with claim_results(out, "evaluate", [run, file, data], _RESULTS) as output:
        test, logits = classify(file, classifier, data, votes, device, cpu_threads, report)
        return write_evaluation(output, file, test, logits, votes)


def classify(
    file: Path,
    classifier: tuple[Classifier, NetworkConfig, dict[str, Any]],
    data: Path,
    votes: int,
    device: str,
    cpu_threads: int,
    report: Callable[[str], None],
) -> tuple[Clouds, NDArray[np.float32]]:
    """Return test shapes and logits, (N, classes), of a classifier from `file`."""
    network, encoder, about = classifier
    config = FinetuneConfig(**about["config"])
    clouds, dataset = read_splits(data, about["task"], config, report=report)
    if dataset.classes != tuple(about["classes"]):
        raise InputError(
            f"{file} tells {len(about['classes'])} classes apart, "
            f"{dataset.folder} has {len(dataset.classes)} "
            "of them, or others: give the data that it was trained on"
        )
    test, where = clouds["test"], choose_device(device)
    network.to(where)
    with threads(cpu_threads):
        if votes:
            logits = vote(network, test, config, encoder.patch_points, where, votes)
        else:
            logits = predict(network, test, config, encoder.patch_points, where)
    scores = logits.numpy()
    if not np.isfinite(scores).all():
        raise InputError(
            f"{file}: its weights give logits that are not finite: give other weights, "
            f"or train again"
        )
    return test, scores


def weights_file(run: Path, which: str) -> Path:
    """Find a classifier's file."""
    for path in (run, run / f"{which}.safetensors", run / "seed-0" / f"{which}.safetensors"):
        if path.is_file():
            return path
    raise InputError(
        f"{run} has no {which}.safetensors: give the folder of a finished `cma3d finetune` run"
    )


def known_data(file: Path) -> Path:
    """Return the data that a run was trained on, as its results say."""
    path = file.parent.parent / "results.json"
    if not path.exists():
        raise InputError(f"{file} does not say where its data lie: give --data")
    data = read_json(path).get("data")
    if not isinstance(data, str):
        raise InputError(f"{path} does not say where the data lie: give --data")
    return Path(data)


def confusion_matrix(true: IntArray, predicted: IntArray, classes: int) -> IntArray:
    """Count shapes: (classes, classes) int64, rows are true classes, columns predicted ones."""
    from sklearn import metrics

    counts: IntArray = metrics.confusion_matrix(true, predicted, labels=np.arange(classes))
    return counts


def write_evaluation(
    output: Output, file: Path, test: Clouds, logits: NDArray[np.float32], votes: int
) -> dict[str, Any]:
    """Write tables and picture."""
    predicted = logits.argmax(axis=1)
    matrix = confusion_matrix(test.labels, predicted, len(test.classes))
    present = matrix.sum(axis=1) > 0
    recall = matrix.diagonal()[present] / matrix.sum(axis=1)[present]
    names = test.classes
    rows = [
        [name, names[label], names[guess], *(f"{value:.5f}" for value in each)]
        for name, label, guess, each in zip(test.names, test.labels, predicted, logits, strict=True)
    ]
    write_csv(output, "logits.csv", ["shape", "true", "predicted", *names], rows)
    write_csv(
        output,
        "confusion.csv",
        ["true \\ predicted", *names],
        [[n, *r] for n, r in zip(names, matrix.tolist(), strict=True)],
    )
    picture = write_to(output, "confusion.png", lambda path: draw_confusion(path, matrix, names))
    off = matrix - np.diag(matrix.diagonal())
    worst = [
        (int(off.flat[i]), *divmod(int(i), len(names)))
        for i in np.argsort(-off, axis=None, kind="stable")
    ]
    confused = [[names[t], names[p], n] for n, t, p in worst[:_MOST_CONFUSED] if n]
    accuracy = float((predicted == test.labels).mean())
    result = {
        "weights": str(file),
        "votes": votes,
        "shapes": len(test),
        "accuracy": accuracy,
        "class_accuracy": float(recall.mean()),
        "recall": {
            names[i]: float(value) for i, value in zip(np.flatnonzero(present), recall, strict=True)
        },
        "confused": confused,
        "picture": str(picture),
    }
    words = f"{file}, {voted(votes) if votes else 'one pass'} over {len(test):,} shapes: "
    words += f"{100 * accuracy:.1f} % right, {100 * recall.mean():.1f} % mean over classes"
    lines = [words, *(f"{true} taken for {guess}: {count}" for true, guess, count in confused)]
    write_results(output, "evaluation", "\n".join(lines), result)
    return {**result, "text": "\n".join(lines)}


def write_csv(output: Output, name: str, head: list[str], rows: list[list[Any]]) -> None:
    """Write a table whole or not at all."""
    content = io.StringIO(newline="")
    csv.writer(content).writerows([head, *rows])
    write_to(output, name, content.getvalue())


def draw_confusion(path: Path, matrix: IntArray, names: tuple[str, ...]) -> None:
    """Draw a confusion matrix: shades are shares of the true class, numbers are shapes."""
    from matplotlib.figure import Figure

    kept = np.flatnonzero(matrix.sum(axis=0) + matrix.sum(axis=1))
    shown, labels = matrix[np.ix_(kept, kept)], [names[i].replace("_", " ") for i in kept]
    shares = shown / np.maximum(shown.sum(axis=1, keepdims=True), 1)
    side = max(4.5, 0.34 * len(kept) + 2)
    figure = Figure(figsize=(side, side), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(kept)), labels, rotation=90)
    axes.set_yticks(range(len(kept)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    for (row, column), count in np.ndenumerate(shown):
        if count:
            tone = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=tone, fontsize=7)
    share = shown.diagonal().sum() / max(shown.sum(), 1)
    axes.set_title(
        f"{shown.diagonal().sum()} of {shown.sum()} right, {100 * share:.1f} %", fontsize=11
    )
    axes.tick_params(length=0)
    figure.savefig(path, format="png")
