import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.model.noise import sample_seeds
from shapenet3d_cma.model.tasks.benchmarks.augment import augment, choose_points
from shapenet3d_cma.model.tasks.benchmarks.modelnet import sample_surface
from shapenet3d_cma.model.tasks.benchmarks.prepared import (
    normalises,
    prepare_shape,
    spare_points,
    split_held_out,
)
from shapenet3d_cma.model.tasks.benchmarks.shapes import checked_points
from shapenet3d_cma.model.tasks.config import FinetuneConfig
from shapenet3d_cma.reconstruct.sample import greedy_excess

CLOUDS = arrays.arrays(
    "f4", st.tuples(st.integers(1, 60), st.just(3)), elements=st.floats(-4, 4, width=16)
)


@given(cloud=CLOUDS, points=st.integers(1, 40))
def test_a_prepared_shape_is_a_farthest_point_sample_with_its_parts(
    cloud: np.ndarray, points: int
) -> None:
    parts = np.arange(len(cloud))
    sample, of = prepare_shape((cloud, parts), points, normalise=False)
    assert sample.shape == (points, 3)
    np.testing.assert_array_equal(sample, cloud[of])
    distinct = len(np.unique(cloud, axis=0))
    assert len(np.unique(sample, axis=0)) == min(points, distinct)
    taken = min(points, distinct)
    assert greedy_excess(cloud, sample[:taken]) < 1e-4
    np.testing.assert_array_equal(sample[taken:], np.resize(sample[:taken], (points, 3))[taken:])


@given(cloud=CLOUDS)
def test_normalised_shapes_fill_the_unit_ball(cloud: np.ndarray) -> None:
    sample, _ = prepare_shape((cloud, None), len(cloud), normalise=True)
    norms = np.linalg.norm(sample, axis=1)
    assert norms.max() == pytest.approx(1 if np.ptp(cloud, axis=0).any() else 0, abs=1e-5)


def test_scans_stay_as_they_come_unless_asked() -> None:
    assert [
        normalises(task, "auto") for task in ("modelnet40", "scanobjectnn-pb", "shapenetpart")
    ] == [
        True,
        False,
        True,
    ]
    assert normalises("scanobjectnn-bg", "yes")
    assert not normalises("modelnet40", "no")
    assert (spare_points(1024), spare_points(2048)) == (1200, 2400)


@given(
    labels=arrays.arrays("i8", st.integers(1, 80), elements=st.integers(0, 5)),
    share=st.floats(0, 0.9),
    seed=st.integers(0, 9),
)
def test_held_out_shapes_are_a_share_of_each_class(
    labels: np.ndarray, share: float, seed: int
) -> None:
    kept, held = split_held_out(labels, share, seed)
    assert sorted([*kept, *held]) == list(range(len(labels)))
    for label in np.unique(labels):
        count = (labels == label).sum()
        assert (labels[held] == label).sum() == min(round(share * count), count - 1)
    again = split_held_out(labels, share, seed)
    np.testing.assert_array_equal(held, again[1])


def test_points_of_a_surface_lie_on_it_and_follow_its_area(rng: np.random.Generator) -> None:
    corners = rng.normal(size=(4, 3, 3))
    corners[3] = corners[3, 0]  # no area
    points, faces = sample_surface(corners, 20_000, rng)
    edges = corners[:, 1:] - corners[:, :1]
    normals = np.cross(edges[:, 0], edges[:, 1])
    areas = np.linalg.norm(normals, axis=1)
    assert np.abs(((points - corners[faces, 0]) * normals[faces]).sum(1)).max() < 1e-9
    np.testing.assert_allclose(
        np.bincount(faces, minlength=4) / 20_000, areas / areas.sum(), atol=0.02
    )
    for k in range(3):
        inside = np.linalg.lstsq(edges[k].T, (points[faces == k] - corners[k, 0]).T, rcond=None)[0]
        assert inside.min() > -1e-9
        assert inside.sum(0).max() < 1 + 1e-9
        np.testing.assert_allclose(points[faces == k].mean(0), corners[k].mean(0), atol=0.06)
    assert len(sample_surface(corners[3:], 5, rng)[0]) == 0


@pytest.mark.parametrize(
    "values", [np.zeros((3, 2)), np.zeros((0, 3)), np.zeros(3), np.array([["a", "b", "c"]])]
)
def test_what_is_no_cloud_is_named(values: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"here: expected \(n, 3 or more\) numbers"):
        checked_points(values, "here")


def test_augmentation_follows_from_the_seed_and_stays_in_its_range() -> None:
    config = FinetuneConfig()
    rows = torch.arange(500)
    seeds = sample_seeds(0, 3, rows)
    corners = torch.eye(4, 3).expand(500, 4, 3)  # the axes and the origin
    moved = augment(corners, seeds, config)
    torch.testing.assert_close(moved[7:8], augment(corners[7:8], seeds[7:8], config))
    shift = moved[:, 3]
    scale = torch.stack([moved[:, k, k] - shift[:, k] for k in range(3)], 1)
    assert shift.abs().max() <= 0.2
    assert shift.abs().max() > 0.19
    assert scale.min() >= 2 / 3 - 1e-6
    assert scale.max() <= 1.5 + 1e-6
    assert not torch.allclose(scale[:, 0], scale[:, 1])
    alike = augment(corners, seeds, config, alike=True)
    scale = torch.stack([alike[:, k, k] - alike[:, 3, k] for k in range(3)], 1)
    torch.testing.assert_close(scale[:, 0], scale[:, 2], atol=1e-6, rtol=0)


def test_chosen_points_are_distinct_in_order_and_even() -> None:
    seeds = sample_seeds(1, 0, torch.arange(400))
    index = choose_points(seeds, 30, 20)
    assert (index.diff(dim=1) > 0).all()
    counts = torch.bincount(index.flatten(), minlength=30)
    assert (counts.float() / 400 - 2 / 3).abs().max() < 0.12
    assert choose_points(seeds, 20, 20).tolist()[3] == list(range(20))
