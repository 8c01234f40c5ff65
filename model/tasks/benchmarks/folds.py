"""Few-shot folds: which shapes are learned from and which are asked for.

A fold is a list of indices: of `way` classes, `shot` training shapes each, and `queries` test
shapes each. Folds are drawn from (way, shot, fold) alone, or read from the pickles that the field
shares, which hold the shapes.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ....core.errors import InputError
from ..config import Task
from .modelnet import MODELNET40
from .shapes import ArrayShapes, Dataset, IntArray, Layout, Shapes, check_labels, label_numbers
from .unpickle import read_pickle

__all__ = ["LAYOUTS", "Fold", "draw_fold", "fold_shapes", "open_fold"]

FOLDS = 10
SETTINGS = ((5, 10), (5, 20), (10, 10), (10, 20))
"""Way and shot of the paper's table."""
_NAME = re.compile(r"(?P<way>\d{1,4})way_?(?P<shot>\d{1,6})shot")


@dataclass(frozen=True)
class Fold:
    """Indices of a fold.

    Attributes
    ----------
    way, shot, fold : which it is
    classes : (way,), labels in the data set; the fold's own labels are their places in this list
    train : (way * shot,), indices into the data set's training shapes, class after class
    test : (way * queries,), indices into its test shapes
    """

    way: int
    shot: int
    fold: int
    classes: list[int]
    train: list[int]
    test: list[int]

    def as_json(self) -> dict[str, Any]:
        """Return what JSON writes."""
        return asdict(self)


def draw_fold(
    train: IntArray, test: IntArray, way: int, shot: int, fold: int, queries: int = 20
) -> Fold:
    """Draw a fold from (way, shot, fold) alone: the same in every run and on every machine.

    Parameters
    ----------
    train, test : (N,) int64, labels of both splits
    queries : test shapes a class

    Raises
    ------
    InputError : fewer than `way` classes have `shot` training and `queries` test shapes
    """
    labels = np.unique(np.concatenate([train, test]))
    fit = [int(k) for k in labels if (train == k).sum() >= shot and (test == k).sum() >= queries]
    if len(fit) < way:
        raise InputError(
            f"{way} way, {shot} shot needs {way} classes with {shot} training and {queries} "
            f"test shapes; "
            f"{len(fit)} of {len(labels)} classes have them: give a smaller --way or --shot, "
            f"or fewer --queries"
        )
    rng = np.random.default_rng([way, shot, fold])
    # sorted, so that the fold's labels keep the data set's order
    classes = sorted(rng.choice(fit, way, replace=False).tolist())
    chosen: dict[str, list[int]] = {"train": [], "test": []}
    for label in classes:
        for split, of, count in (("train", train, shot), ("test", test, queries)):
            chosen[split] += sorted(
                rng.choice(np.flatnonzero(of == label), count, replace=False).tolist()
            )
    return Fold(way, shot, fold, classes, chosen["train"], chosen["test"])


def fold_shapes(fold: Fold, train: IntArray, test: IntArray) -> tuple[IntArray, IntArray]:
    """Return the labels of a fold's training and test shapes, 0 to way - 1."""
    place = {label: i for i, label in enumerate(fold.classes)}
    of = [np.array([place[int(labels[i])] for i in index], dtype=np.int64)
          for labels, index in ((train, fold.train), (test, fold.test))]  # fmt: skip
    return of[0], of[1]


# ---- the pickles: {way}way_{shot}shot/{fold}.pkl ----


def fold_file(folder: Path, way: int, shot: int, fold: int) -> Path:
    """Return the pickle of a fold.

    Raises
    ------
    InputError : there is none
    """
    tried = [folder / f"{way}way{gap}{shot}shot" / f"{fold}.pkl" for gap in ("_", "")]
    for path in tried:
        if path.is_file():
            return path
    raise InputError(
        f"{folder} has no {tried[0].relative_to(folder)}: the folds are 0.pkl to {FOLDS - 1}.pkl"
    )


def open_fold(folder: Path, way: int, shot: int, fold: int) -> Dataset:
    """Read one fold: a dictionary of "train" and "test", each a list of (points, label, index).

    Raises
    ------
    InputError : it is missing, refused (see `unpickle`), or holds too few shapes
    """
    path = fold_file(folder, way, shot, fold)
    content = read_pickle(path)
    splits = {}
    for split in ("train", "test"):
        entries = content.get(split) if isinstance(content, dict) else None
        if not isinstance(entries, list | tuple) or not entries or not all(map(_is_entry, entries)):
            raise InputError(f"{path}: expected lists named train and test, of points and labels")
        labels = check_labels(
            label_numbers([entry[1] for entry in entries], str(path)), way, str(path)
        )
        points = [entry[0] for entry in entries]
        splits[split] = Shapes(
            labels, [f"{split} {i}" for i in range(len(labels))], ArrayShapes(points, str(path))
        )
    # `minlength`, so that a class without shapes is counted as 0: (way,)
    counts = np.bincount(splits["train"].labels, minlength=way)
    if counts.min() < shot:
        raise InputError(
            f"{path}: class {counts.argmin()} has {counts.min()} training shapes, "
            f"{shot} shot needs {shot}"
        )
    return Dataset("fewshot", "fewshot-pickle", folder, tuple(map(str, range(way))), splits)


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, list | tuple) and len(entry) >= 2


def open_first(folder: Path, _: Task) -> Dataset:
    """Open the first fold that there is, to see what the pickles hold."""
    for path in sorted(folder.glob("*way*shot")):
        match = _NAME.fullmatch(path.name)
        if match and 1 <= int(match["way"]) <= len(MODELNET40):
            return open_fold(folder, int(match["way"]), int(match["shot"]), 0)
    raise InputError(f"{folder} has no folder such as 5way_10shot")


LAYOUTS = (
    Layout(
        "fewshot-pickle", ("fewshot",), "ModelNetFewshot",
        "5way_10shot/0.pkl … 9.pkl, 5way_20shot, 10way_10shot, 10way_20shot",
        "https://github.com/Julie-tang00/Point-BERT/blob/master/DATASET.md",
        lambda folder: any(folder.glob("*way*shot/*.pkl")), open_first,
    ),
)  # fmt: skip
