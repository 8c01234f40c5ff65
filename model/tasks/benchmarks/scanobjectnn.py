"""ScanObjectNN: the three variants that the paper reports, in its own HDF5 files."""

from __future__ import annotations

from pathlib import Path

from ....core.errors import InputError
from ..config import Task
from .shapes import ArrayShapes, Dataset, Layout, Shapes, check_labels, read_h5

__all__ = ["FILES", "LAYOUTS", "SCANOBJECTNN"]

_CLASSES = "bag bin box cabinet chair desk display door shelf table bed pillow sink sofa toilet"
SCANOBJECTNN = tuple(_CLASSES.split())
"""The fifteen classes, by label."""

FILES: dict[str, tuple[str, str]] = {
    "scanobjectnn-bg": ("main_split", "objectdataset.h5"),
    "scanobjectnn-only": ("main_split_nobg", "objectdataset.h5"),
    "scanobjectnn-pb": ("main_split", "objectdataset_augmentedrot_scale75.h5"),
}
"""Task -> folder and file name behind `training_` or `test_`: OBJ-BG, OBJ-ONLY and PB-T50-RS of the paper."""


def open_scans(folder: Path, task: Task) -> Dataset:
    """Open one variant of ScanObjectNN."""
    within, name = FILES[task]
    splits = {}
    for split, prefix in (("train", "training"), ("test", "test")):
        path = folder / within / f"{prefix}_{name}"
        if not path.is_file():
            raise InputError(
                f"{folder} has no {path.relative_to(folder)}, which {task} consists of: "
                f"unpack h5_files.zip again"
            )
        values = read_h5(path, ("data", "label"))
        labels = check_labels(values["label"], len(SCANOBJECTNN), str(path))
        names = [f"{path.stem} {i}" for i in range(len(labels))]
        splits[split] = Shapes(labels, names, ArrayShapes(values["data"], str(path)))
    return Dataset(task, "scanobjectnn-h5", folder, tuple(SCANOBJECTNN), splits)


LAYOUTS = (
    Layout(
        "scanobjectnn-h5", ("scanobjectnn-bg", "scanobjectnn-only", "scanobjectnn-pb"), "h5_files",
        "main_split/training_objectdataset.h5 and test_…, "
        "the same with _augmentedrot_scale75, main_split_nobg/…",
        "https://hkust-vgd.github.io/scanobjectnn/ (h5_files.zip)",
        lambda folder: any(folder.glob("main_split*/*_objectdataset*.h5")), open_scans,
    ),
)  # fmt: skip
