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


def test_coinciding_points_normalise_to_finite_zeros() -> None:
    assert torch.equal(normalise_cloud(torch.full((1, 8, 3), 0.5)), torch.zeros(1, 8, 3))


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
