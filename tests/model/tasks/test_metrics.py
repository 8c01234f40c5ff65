import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import jaccard_score

from shapenet3d_cma.model.tasks.benchmarks.shapenetpart import PARTS
from shapenet3d_cma.model.tasks.metrics import (
    in_words,
    mean_deviation,
    part_scores,
    restrict_parts,
    shape_iou,
)

LABELS = arrays.arrays("i8", 12, elements=st.integers(12, 15))


def test_the_worked_example() -> None:
    true = np.array([12, 12, 13, 13, 14, 14])
    predicted = np.array([12, 12, 12, 13, 14, 14])
    # back: 2 of 3; seat: 1 of 2; leg: 2 of 2; arm: neither there nor predicted, 1
    assert shape_iou(predicted, true, PARTS["Chair"]) == pytest.approx((2 / 3 + 1 / 2 + 1 + 1) / 4)
    # an arm that is predicted where there is none counts 0
    predicted[5] = 15
    assert shape_iou(predicted, true, PARTS["Chair"]) == pytest.approx(
        (2 / 3 + 1 / 2 + 1 / 2 + 0) / 4
    )


@given(predicted=LABELS, true=LABELS)
def test_scikit_learn_measures_the_same(predicted: np.ndarray, true: np.ndarray) -> None:
    each = jaccard_score(true, predicted, labels=PARTS["Chair"], average=None, zero_division=1.0)
    assert shape_iou(predicted, true, PARTS["Chair"]) == pytest.approx(each.mean())


def test_averages_over_shapes_and_over_categories_differ() -> None:
    true = np.array([[36, 37], [36, 37], [36, 37], [28, 29]])
    predicted = np.array([[36, 37], [36, 37], [36, 37], [29, 28]])
    scores = part_scores(predicted, true, np.array([1, 1, 1, 0]), ("Laptop", "Mug"), PARTS)
    assert scores.instance == pytest.approx(0.75)
    assert scores.category == pytest.approx(0.5)
    assert scores.categories == {"Laptop": 0.0, "Mug": 1.0}
    assert scores.accuracy == pytest.approx(0.75)


@given(logits=arrays.arrays("f4", (7, 50), elements=st.floats(-9, 9, width=32)))
def test_only_parts_of_the_shape_s_category_are_chosen(logits: np.ndarray) -> None:
    chosen = restrict_parts(logits, 1, ("Mug", "Chair"), PARTS)
    assert set(chosen) <= set(PARTS["Chair"])
    for each, row in zip(chosen, logits, strict=True):
        assert row[each] == row[list(PARTS["Chair"])].max()


def test_means_are_told_with_their_deviation() -> None:
    assert mean_deviation([0.5]) == (0.5, None)
    assert in_words([0.9, 0.8]) == "85.0 ± 7.1"
    assert in_words([0.912]) == "91.2"
    assert in_words([None]) == "–"
