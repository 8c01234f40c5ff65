"""The one table of layouts, and which of them a folder holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ....core.errors import InputError
from ..config import Task
from . import folds, modelnet, scanobjectnn, shapenetpart
from .shapes import Dataset, Layout

__all__ = ["KNOWN_COUNTS", "LAYOUTS", "find_layout", "open_dataset"]

LAYOUTS: tuple[Layout, ...] = (
    *modelnet.LAYOUTS,
    *scanobjectnn.LAYOUTS,
    *shapenetpart.LAYOUTS,
    *folds.LAYOUTS,
)
"""If a folder holds several layouts of a task, the first is read.

Pickled clouds come before the text that they were made of.
"""

KNOWN_COUNTS: dict[str, dict[str, int]] = {
    "modelnet40": {"train": 9843, "test": 2468},
    "scanobjectnn-bg": {"train": 2309, "test": 581},
    "scanobjectnn-only": {"train": 2309, "test": 581},
    "scanobjectnn-pb": {"train": 11416, "test": 2882},
    "shapenetpart": {"train": 12137, "val": 1870, "test": 2874},
}
"""Shapes of each split of the real benchmarks."""
_DEPTH = 2  # folders below the one given in which a layout is looked for


def folders(top: Path) -> Iterator[Path]:
    """Return a folder and the two levels below it, nearest first.

    A split's own folder stands for its parent.
    """
    level = [
        top.parent if top.name in ("main_split", "main_split_nobg", "train_test_split") else top
    ]
    for _ in range(_DEPTH + 1):
        yield from level
        level = [
            path
            for folder in level
            if os.access(folder, os.R_OK | os.X_OK)
            for path in sorted(folder.iterdir())
        ]
        level = [path for path in level if path.is_dir()]


def find_layout(folder: Path, task: Task) -> tuple[Layout, Path]:
    """Find a task's data at or below a folder.

    Returns
    -------
    layout, place : which of the table, and the folder that holds it

    Raises
    ------
    InputError : no such folder, nothing known in it, or another task's data; says what was looked
        for
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: give the one that holds the data of {task}")
    places = list(folders(folder))
    for layout in LAYOUTS:
        if task in layout.tasks:
            for place in places:
                if layout.matches(place):
                    return layout, place
    looked = "; or ".join(
        f"{each.folder} with {each.holds}" for each in LAYOUTS if task in each.tasks
    )
    for layout in LAYOUTS:
        for place in places:
            if layout.matches(place):
                raise InputError(
                    f"{place} is {layout.name}, data of {' or '.join(layout.tasks)}; "
                    f"{task} needs {looked}"
                )
    raise InputError(
        f"{folder} holds no data of {task}: expected {looked} (`cma3d doctor --task {task}` "
        f"tells more)"
    )


def open_dataset(folder: Path, task: Task) -> Dataset:
    """Find and open a task's data.

    Raises
    ------
    InputError : see `find_layout` and the readers
    """
    layout, place = find_layout(folder, task)
    return layout.open(place, task)
