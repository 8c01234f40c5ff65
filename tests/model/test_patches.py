import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shapenet3d_cma.model.patches import make_patches, normalise_cloud


def cloud(seed: int, points: int, scale: float = 1.0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(
        (rng.normal(size=(2, points, 3)) * scale + rng.normal(size=3)).astype(np.float32)
    )


@given(st.integers(0, 1000), st.integers(8, 200), st.floats(1e-3, 1e3))
@settings(deadline=None)
def test_a_normalised_cloud_is_centred_and_touches_the_unit_sphere(
    seed: int, points: int, scale: float
) -> None:
    normalised = normalise_cloud(cloud(seed, points, scale))
    tolerance = 1e-5 + 1e-6 / scale  # what float32 leaves of the cloud's distance from the origin
    assert normalised.mean(1).abs().max() < tolerance
    assert (normalised.norm(dim=-1).amax(1) - 1).abs().max() < 1e-6


@given(st.floats(-1e3, 1e3, width=32), st.integers(1, 50))
@settings(deadline=None)
def test_coinciding_points_normalise_to_finite_numbers(value: float, points: int) -> None:
    normalised = normalise_cloud(torch.full((1, points, 3), value))
    assert normalised.isfinite().all()
    # the mean of equal numbers may round, and the scale would enlarge that to the unit ball
    assert normalised.abs().max() <= 1


@given(st.integers(0, 1000), st.integers(8, 100), st.permutations(range(3)))
@settings(deadline=None)
def test_normalising_twice_changes_nothing_and_axes_are_alike(
    seed: int, points: int, axes: list[int]
) -> None:
    once = normalise_cloud(cloud(seed, points))
    torch.testing.assert_close(normalise_cloud(once), once, rtol=0, atol=1e-5)
    torch.testing.assert_close(
        normalise_cloud(cloud(seed, points)[..., axes]), once[..., axes], rtol=0, atol=1e-5
    )


@given(st.integers(0, 1000), st.integers(1, 20), st.integers(1, 20))
@settings(deadline=None)
def test_patches_are_the_nearest_neighbours_of_the_first_points(
    seed: int, patches: int, patch_points: int
) -> None:
    points = cloud(seed, 64)
    centres, neighbours = make_patches(points, patches, patch_points)
    assert torch.equal(centres, points[:, :patches])
    for sample in range(2):
        for i in range(patches):
            distances = ((points[sample] - points[sample, i]) ** 2).sum(-1)
            nearest = sorted(range(64), key=lambda j, d=distances: float(d[j]))[:patch_points]
            assert torch.equal(neighbours[sample, i], points[sample, nearest] - points[sample, i])


def test_small_distances_keep_their_order_far_from_the_origin() -> None:
    points = torch.tensor([[[100.0, 0, 0], [100.001, 0, 0], [100.0005, 0, 0], [90.0, 0, 0]]])
    points = torch.cat([points, torch.randn(1, 60, 3)], dim=1)
    _, neighbours = make_patches(points, 1, 3)
    assert torch.equal(neighbours[0, 0, :, 0], (points[0, [0, 2, 1], 0] - points[0, 0, 0]))
