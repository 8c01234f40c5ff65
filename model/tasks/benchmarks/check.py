"""`cma3d doctor --task`: the layout of a folder, and whether it is whole.

For a missing benchmark it names what to download.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ....core.errors import InputError
from ..config import Task
from .folds import FOLDS, SETTINGS, fold_file, open_fold
from .layouts import KNOWN_COUNTS, LAYOUTS, find_layout
from .shapes import Dataset

__all__ = ["TaskDiagnosis", "diagnose_task", "diagnosis_text"]

_NO_FOLDS = "none are needed: `cma3d fewshot --data MODELNET40` draws folds of its own"


@dataclass(frozen=True)
class TaskDiagnosis:
    """The data of a task in a folder.

    Attributes
    ----------
    layout, place : what was found, and where; None where nothing was
    counts : shapes of each split
    known : those of the real benchmark
    classes : name -> shapes of each split
    notes : what to know
    faults : what is wrong, with the remedy; where there are some, the commands will refuse the data
    """

    task: Task
    folder: Path
    layout: str | None
    place: Path | None
    counts: dict[str, int]
    known: dict[str, int]
    classes: dict[str, dict[str, int]]
    notes: list[str]
    faults: list[str]

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        paths = {"folder": str(self.folder), "place": str(self.place) if self.place else None}
        return {
            **self.__dict__,
            **paths,
            "complete": not self.faults and (not self.known or self.counts == self.known),
        }


def diagnose_task(folder: Path, task: Task) -> TaskDiagnosis:
    """Check a task's data.

    It reads the lists, the presence of every file, all labels, and the first shape of each
    split.
    """
    known = KNOWN_COUNTS.get(task, {})
    try:
        layout, place = find_layout(folder, task)
    except InputError as error:
        notes = [_NO_FOLDS] if task == "fewshot" else []
        return TaskDiagnosis(task, folder, None, None, {}, known, {}, notes, [str(error)])
    if task == "fewshot":
        return TaskDiagnosis(
            task, folder, layout.name, place, _folds(place), known, {}, [], _fold_faults(place)
        )
    dataset, faults = None, []
    try:
        dataset = layout.open(place, task)
        for split, shapes in dataset.splits.items():
            if len(shapes):
                shapes.read(0)
            else:
                faults.append(f"the {split} split has no shapes")
    except InputError as error:
        faults.append(str(error))
    counts = {split: len(shapes) for split, shapes in dataset.splits.items()} if dataset else {}
    notes = [*(dataset.notes if dataset else ()), *_compare(counts, known)]
    return TaskDiagnosis(
        task, folder, layout.name, place, counts, known, _classes(dataset), notes, faults
    )


def _compare(counts: dict[str, int], known: dict[str, int]) -> list[str]:
    """Return a message if counts differ from the benchmark's."""
    return [
        f"{counts[split]:,} {split} shapes, the benchmark has {known[split]:,}: "
        f"no result compares with the paper's"
        for split in counts
        if split in known and counts[split] != known[split]
    ]


def _classes(dataset: Dataset | None) -> dict[str, dict[str, int]]:
    if dataset is None:
        return {}
    of = {split: Counter(shapes.labels.tolist()) for split, shapes in dataset.splits.items()}
    return {
        name: {split: of[split][label] for split in of}
        for label, name in enumerate(dataset.classes)
    }


def _folds(place: Path) -> dict[str, int]:
    """Count the folds of each setting."""
    return {
        f"{w} way {s} shot": sum(_has(place, w, s, fold) for fold in range(FOLDS))
        for w, s in SETTINGS
    }


def _has(place: Path, way: int, shot: int, fold: int) -> bool:
    try:
        fold_file(place, way, shot, fold)
    except InputError:
        return False
    return True


def _fold_faults(place: Path) -> list[str]:
    """Name missing folds, and open the first of each setting."""
    faults = []
    for way, shot in SETTINGS:
        missing = [fold for fold in range(FOLDS) if not _has(place, way, shot, fold)]
        if missing:
            faults.append(
                f"{place / f'{way}way_{shot}shot'} lacks "
                f"{', '.join(f'{fold}.pkl' for fold in missing)}"
            )
        if 0 not in missing:
            try:
                open_fold(place, way, shot, 0)
            except InputError as error:
                faults.append(str(error))
    return faults


def diagnosis_text(diagnosis: TaskDiagnosis) -> str:
    """Write a diagnosis for a reader."""
    lines = [
        f"{diagnosis.task}: {diagnosis.layout} in {diagnosis.place}"
        if diagnosis.layout
        else f"{diagnosis.task}: nothing in {diagnosis.folder}"
    ]
    for split, count in diagnosis.counts.items():
        known = diagnosis.known.get(split)
        lines.append(f"  {split:14} {count:7,}" + (f" of {known:,}" if known else ""))
    if diagnosis.classes:
        shapes = np.array([sum(each.values()) for each in diagnosis.classes.values()])
        empty = [name for name, count in zip(diagnosis.classes, shapes, strict=True) if not count]
        lines.append(
            f"  {'classes':14} {len(shapes):7}"
            + (f", {len(empty)} without a shape" if empty else "")
        )
    lines += [f"  note: {note}" for note in diagnosis.notes] + [
        f"  fault: {fault}" for fault in diagnosis.faults
    ]
    if diagnosis.faults or (diagnosis.known and diagnosis.counts != diagnosis.known):
        lines.append(
            "  the benchmark comes as one of these, each found by itself at or below the "
            "folder that is given:"
        )
        for layout in LAYOUTS:
            if diagnosis.task in layout.tasks:
                lines.append(f"    {layout.folder}/ with {layout.holds}")
                lines.append(f"      from {layout.source}")
    return "\n".join(lines)
