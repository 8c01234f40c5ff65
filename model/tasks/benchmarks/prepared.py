"""Shapes made ready: normalised, in farthest point order, all of one size."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import joblib
import numpy as np

from ....core.errors import InputError
from ....core.processes import results_in_order, workers
from ....core.progress import Progress
from ....reconstruct.sample import farthest_point_order
from ..config import Normalise
from .shapes import Dataset, FloatArray, IntArray, Read, Shape

__all__ = ["Clouds", "normalises", "prepare", "spare_points", "split_held_out"]

_SPARE = 1200 / 1024  # Point-MAE takes 1,024 points of the 1,200 farthest, others each time
_CHUNK = 64  # shapes handed to a process at a time


@dataclass(frozen=True)
class Clouds:
    """Shapes as arrays.

    Attributes
    ----------
    points : (N, P, 3) float32, farthest point order, so a prefix is a sample; where a shape has
        fewer points than P, they are repeated at the end
    labels : (N,) int64, index into classes
    classes : names
    parts : (N, P) int64 or None, the part of each point
    names : (N,), what to call a shape
    """

    points: FloatArray
    labels: IntArray
    classes: tuple[str, ...]
    parts: IntArray | None
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def pick(self, index: IntArray | Sequence[int]) -> Clouds:
        """Take some of the shapes, in the order of the index."""
        index = np.asarray(index, dtype=np.int64)
        parts = None if self.parts is None else self.parts[index]
        names = tuple(self.names[i] for i in index)
        return Clouds(self.points[index], self.labels[index], self.classes, parts, names)

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that stand for the content."""
        digest = hashlib.sha256()
        for array in (self.points, self.labels, self.parts):
            if array is not None:
                # the shape, too: the same bytes can be another array
                digest.update(str(array.shape).encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]


def spare_points(points: int) -> int:
    """Return the number of farthest points that are kept of a shape.

    Training and voting take `points` of them at random.
    """
    return round(points * _SPARE)


def normalises(task: str, normalise: Normalise) -> bool:
    """Check whether a task's clouds are moved and scaled into the unit ball.

    By Point-MAE's convention all are but ScanObjectNN's, whose scans stay as they come.
    """
    return not task.startswith("scanobjectnn") if normalise == "auto" else normalise == "yes"


def prepare(
    dataset: Dataset, split: str, points: int, *, normalise: bool, jobs: int | None = None
) -> Clouds:
    """Read a split, shape by shape.

    Parameters
    ----------
    points : P, kept of each shape
    normalise : subtract the centroid of all its points, divide by the largest norm that remains
    jobs : processes, where each shape is a file; the number of cores where None

    Raises
    ------
    InputError : a shape that cannot be read, or a split that has none
    """
    shapes = dataset.splits[split]
    if not len(shapes):
        raise InputError(f"{dataset.folder}: the {split} split of {dataset.task} has no shapes")
    chunks = [range(i, min(i + _CHUNK, len(shapes))) for i in range(0, len(shapes), _CHUNK)]
    # processes pay only if each shape is a file that has to be parsed
    several = shapes.read.files and len(chunks) > 1 and jobs != 1
    work = (
        joblib.delayed(_prepare_chunk)(shapes.read, chunk, points, normalise) for chunk in chunks
    )
    shapes_read: list[Shape] = []
    with (
        results_in_order(workers(jobs if several else 1), work) as results,
        Progress(len(shapes), f"{split} shapes") as progress,
    ):
        for result in results:
            shapes_read += result
            progress.advance(len(result))
    parts = (
        None
        if shapes_read[0][1] is None
        else np.stack([cast(IntArray, part) for _, part in shapes_read])
    )
    return Clouds(
        np.stack([cloud for cloud, _ in shapes_read]),
        shapes.labels,
        dataset.classes,
        parts,
        tuple(shapes.names),
    )


def _prepare_chunk(read: Read, numbers: Sequence[int], points: int, normalise: bool) -> list[Shape]:
    return [prepare_shape(read(number), points, normalise=normalise) for number in numbers]


def prepare_shape(shape: Shape, points: int, *, normalise: bool) -> Shape:
    """Normalise a shape and bring it into farthest point order, `points` of them.

    Points that coincide count once; where too few are left, they are repeated in their order.
    """
    cloud, parts = shape
    if normalise:
        # centroid to the origin, farthest point to radius 1: (P, 3)
        centred = cloud.astype(np.float64) - cloud.mean(axis=0, dtype=np.float64)
        radius = np.sqrt((centred**2).sum(axis=1).max())
        # a cloud whose points all coincide has radius 0 and becomes zeros
        cloud = (centred / (radius or 1.0)).astype(np.float32)
    # points that coincide count once, in their order
    _, distinct = np.unique(cloud, axis=0, return_index=True)
    distinct.sort()
    # indices into the whole cloud, at most `points` of them
    order = distinct[farthest_point_order(cloud[distinct], min(points, len(distinct)))]
    # too few distinct points are repeated
    order = np.resize(order, points)
    return cloud[order], None if parts is None else parts[order]


def split_held_out(labels: IntArray, share: float, seed: int) -> tuple[IntArray, IntArray]:
    """Part a training set in two, class by class, by the seed.

    Parameters
    ----------
    labels : (N,) int64
    share : of each class, rounded, that is held out; a class of one shape is never split

    Returns
    -------
    kept, held_out : indices, in order
    """
    rng = np.random.default_rng([seed, 0x4E1D])
    held: list[int] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        # at least one shape of each class stays for training
        count = min(round(share * len(members)), len(members) - 1)
        held += rng.permutation(members)[:count].tolist()
    held_out = np.array(sorted(held), dtype=np.int64)
    return np.setdiff1d(np.arange(len(labels)), held_out), held_out
