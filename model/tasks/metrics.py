"""Scores of predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .benchmarks.shapes import IntArray

__all__ = ["PartScores", "in_words", "mean_deviation", "part_scores", "shape_iou"]


def shape_iou(predicted: IntArray, true: IntArray, parts: Sequence[int]) -> float:
    """Measure one shape: intersection over union, averaged over the parts of its category.

    By the benchmark's convention (Yi et al. 2016) a part that is neither there nor predicted counts
    1.

    Parameters
    ----------
    predicted, true : (P,) part labels
    parts : labels of the shape's category
    """
    scores = []
    for part in parts:
        # (P,) bool each
        here, there = predicted == part, true == part
        union = np.count_nonzero(here | there)
        scores.append(np.count_nonzero(here & there) / union if union else 1.0)
    return fmean(scores)


@dataclass(frozen=True)
class PartScores:
    """Part segmentation's scores, in [0, 1].

    Attributes
    ----------
    instance : mean over shapes
    category : mean over categories of their own means
    categories : mean of each category that has shapes
    accuracy : share of points with the right part
    """

    instance: float
    category: float
    categories: dict[str, float]
    accuracy: float

    def as_json(self) -> dict[str, Any]:
        """Return what JSON writes."""
        return dict(self.__dict__)


def part_scores(
    predicted: IntArray,
    true: IntArray,
    labels: IntArray,
    classes: Sequence[str],
    parts: Mapping[str, Sequence[int]],
) -> PartScores:
    """Measure a split.

    Parameters
    ----------
    predicted, true : (N, P) part labels
    labels : (N,) index into classes
    classes : names of the categories
    parts : category -> its part labels
    """
    # (N,)
    ious = np.array(
        [
            shape_iou(p, t, parts[classes[k]])
            for p, t, k in zip(predicted, true, labels, strict=True)
        ]
    )
    # only categories that have shapes, so that no mean is of nothing
    categories = {classes[k]: float(ious[labels == k].mean()) for k in np.unique(labels)}
    accuracy = float((predicted == true).mean())
    return PartScores(float(ious.mean()), fmean(categories.values()), categories, accuracy)


def restrict_parts(
    logits: NDArray[np.float32],
    label: int,
    classes: Sequence[str],
    parts: Mapping[str, Sequence[int]],
) -> IntArray:
    """Choose each point's part among those of its category: (P, parts) to (P,)."""
    # (parts of the category,): labels of other categories cannot be chosen
    category_parts = np.asarray(parts[classes[label]])
    chosen: IntArray = category_parts[logits[:, category_parts].argmax(axis=1)]
    return chosen


def mean_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Return mean and sample deviation; None for the deviation of a single value."""
    return fmean(values), stdev(values) if len(values) > 1 else None


def in_words(values: Sequence[float | None]) -> str:
    """Write shares as percent, mean ± deviation; a dash where there are none."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    mean, deviation = mean_deviation(known)
    return f"{100 * mean:.1f}" + ("" if deviation is None else f" ± {100 * deviation:.1f}")
