import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shapenet3d_cma.model.losses import chamfer_distance, info_nce, masked_mean


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


@given(st.integers(0, 1000), st.integers(1, 12), st.integers(1, 12))
@settings(deadline=None)
def test_chamfer_is_the_plain_loop(seed: int, k: int, m: int) -> None:
    a, b = drawn(seed, 2, 3, k, 3), drawn(seed + 1, 2, 3, m, 3)
    distance = chamfer_distance(a, b)
    assert distance.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            there = [min(float(((p - q) ** 2).sum()) for q in b[i, j]) for p in a[i, j]]
            back = [min(float(((p - q) ** 2).sum()) for p in a[i, j]) for q in b[i, j]]
            assert math.isclose(distance[i, j], sum(there) / k + sum(back) / m, rel_tol=1e-5)


@given(st.integers(0, 1000), st.integers(1, 12), st.permutations(range(8)))
@settings(deadline=None)
def test_chamfer_is_zero_of_equal_sets_and_symmetric(seed: int, m: int, order: list[int]) -> None:
    a, b = drawn(seed, 4, 8, 3), drawn(seed + 1, 4, m, 3)
    assert torch.equal(chamfer_distance(a, a), torch.zeros(4))
    assert torch.equal(chamfer_distance(a, a[:, order]), torch.zeros(4))
    torch.testing.assert_close(chamfer_distance(a, b), chamfer_distance(b, a))


@given(st.integers(0, 1000), st.integers(1, 12), st.integers(1, 12))
@settings(deadline=None)
def test_the_gradient_of_chamfer_is_that_of_the_full_minimum(seed: int, k: int, m: int) -> None:
    a, b = drawn(seed, 5, k, 3).float().requires_grad_(), drawn(seed + 1, 5, m, 3).float()
    (gradient,) = torch.autograd.grad(chamfer_distance(a, b).sum(), a)
    squared = ((a[:, :, None] - b[:, None]) ** 2).sum(-1)
    (expected,) = torch.autograd.grad((squared.amin(2).mean(1) + squared.amin(1).mean(1)).sum(), a)
    torch.testing.assert_close(gradient, expected)


@given(st.integers(0, 1000), st.integers(2, 8), st.floats(0.05, 2))
@settings(deadline=None)
def test_info_nce_is_the_plain_loop(seed: int, n: int, tau: float) -> None:
    p, q = drawn(seed, n, 6), drawn(seed + 1, n, 6)
    loss, _ = info_nce(p, q, tau)

    def similarity(x: torch.Tensor, y: torch.Tensor) -> float:
        return math.exp(float(x @ y / x.norm() / y.norm()) / tau)

    for i in range(n):
        there = -math.log(similarity(p[i], q[i]) / sum(similarity(p[i], q[k]) for k in range(n)))
        back = -math.log(similarity(q[i], p[i]) / sum(similarity(q[i], p[k]) for k in range(n)))
        assert math.isclose(loss[i], (there + back) / 2, rel_tol=1e-3, abs_tol=1e-4)


def nce(p: torch.Tensor, q: torch.Tensor, tau: float) -> torch.Tensor:
    return info_nce(p, q, tau)[0]


@given(st.integers(0, 1000), st.integers(2, 12), st.floats(0.05, 2), st.floats(0.01, 100))
@settings(deadline=None)
def test_info_nce_is_symmetric_and_knows_directions_only(
    seed: int, n: int, tau: float, factor: float
) -> None:
    p, q = drawn(seed, n, 16), drawn(seed + 1, n, 16)
    torch.testing.assert_close(nce(p, q, tau), nce(q, p, tau))
    # cosine: lengths do not matter
    torch.testing.assert_close(nce(factor * p, q / 7, tau), nce(p, q, tau), rtol=1e-4, atol=1e-5)
    # no pairing is better than a vector with itself
    assert nce(p, p, tau).mean() < nce(p, q, tau).mean()


@given(st.integers(0, 1000), st.integers(2, 12))
@settings(deadline=None)
def test_clouds_that_are_all_alike_do_no_better_than_chance(seed: int, n: int) -> None:
    assert nce(torch.ones(n, 4), drawn(seed, n, 4), 0.1).mean() > math.log(n)


@given(st.integers(0, 1000), st.integers(2, 8))
def test_retrieved_is_what_is_nearest_both_ways(seed: int, n: int) -> None:
    p, q = drawn(seed, n, 3), drawn(seed + 1, n, 3)
    _, retrieved = info_nce(p, q, 0.1)
    cosine = (p / p.norm(dim=1, keepdim=True)) @ (q / q.norm(dim=1, keepdim=True)).T
    for i in range(n):
        assert (
            retrieved[i] == (float(cosine[i].argmax() == i) + float(cosine[:, i].argmax() == i)) / 2
        )
    assert torch.equal(info_nce(p, p, 0.1)[1], torch.ones(n))


@given(st.integers(0, 1000))
def test_plain_chamfer_is_the_plain_loop_and_has_a_gradient_at_zero(seed: int) -> None:
    a, b = drawn(seed, 2, 5, 3), drawn(seed + 1, 2, 7, 3)
    distance = chamfer_distance(a, b, squared=False)
    for i in range(2):
        there = [min(float((p - q).norm()) for q in b[i]) for p in a[i]]
        back = [min(float((p - q).norm()) for p in a[i]) for q in b[i]]
        assert math.isclose(distance[i], (sum(there) / 5 + sum(back) / 7) / 2, rel_tol=1e-5)
    same = a.clone().requires_grad_()
    chamfer_distance(same, a, squared=False).sum().backward()
    assert same.grad is not None
    assert same.grad.isfinite().all()


@given(st.integers(0, 1000), st.integers(1, 9), st.sampled_from([0.0, math.nan, math.inf]))
@settings(deadline=None)
def test_masked_mean_counts_true_only(seed: int, n: int, other: float) -> None:
    values, masked = drawn(seed, 3, n), drawn(seed + 1, 3, n) > 0
    masked[:, 0] = True  # every sample has a masked patch
    means = masked_mean(torch.where(masked, values, other), masked)
    expected = [float(row[chosen].mean()) for row, chosen in zip(values, masked, strict=True)]
    torch.testing.assert_close(means, torch.tensor(expected, dtype=means.dtype))


def test_losses_stay_in_float32_under_autocast() -> None:
    p, q = drawn(0, 8, 16).float(), drawn(1, 8, 16).float()
    a, b = drawn(2, 4, 8, 3).float(), drawn(3, 4, 8, 3).float()
    with torch.autocast("cpu", torch.bfloat16):
        contrast, chamfer = info_nce(p, q, 0.07), chamfer_distance(a, b)
    assert torch.equal(contrast[0], info_nce(p, q, 0.07)[0])
    assert torch.equal(chamfer, chamfer_distance(a, b))
