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


def test_chamfer_laws() -> None:
    a, b = drawn(0, 4, 8, 3), drawn(1, 4, 8, 3)
    assert torch.equal(chamfer_distance(a, a), torch.zeros(4))
    assert torch.equal(chamfer_distance(a, a[:, torch.randperm(8)]), torch.zeros(4))
    torch.testing.assert_close(chamfer_distance(a, b), chamfer_distance(b, a))


def test_the_gradient_of_chamfer_is_that_of_the_full_minimum() -> None:
    a, b = drawn(0, 5, 8, 3).float().requires_grad_(), drawn(1, 5, 8, 3).float()
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


def test_info_nce_laws() -> None:
    p, q = drawn(0, 8, 16), drawn(1, 8, 16)
    torch.testing.assert_close(nce(p, q, 0.1), nce(q, p, 0.1))  # symmetric
    torch.testing.assert_close(
        nce(3 * p, q / 7, 0.1), nce(p, q, 0.1)
    )  # cosine: lengths do not matter
    assert nce(p, p, 0.1).mean() < nce(p, q, 0.1).mean()
    assert nce(torch.ones(8, 4), q[:, :4], 0.1).mean() > math.log(8)


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


def test_masked_mean_counts_true_only() -> None:
    values = torch.tensor([[1.0, 2, 3], [4, math.nan, 6]])
    masked = torch.tensor([[True, True, False], [True, False, False]])
    assert masked_mean(values, masked).tolist() == [1.5, 4.0]


def test_losses_stay_in_float32_under_autocast() -> None:
    p, q = drawn(0, 8, 16).float(), drawn(1, 8, 16).float()
    a, b = drawn(2, 4, 8, 3).float(), drawn(3, 4, 8, 3).float()
    with torch.autocast("cpu", torch.bfloat16):
        contrast, chamfer = info_nce(p, q, 0.07), chamfer_distance(a, b)
    assert torch.equal(contrast[0], info_nce(p, q, 0.07)[0])
    assert torch.equal(chamfer, chamfer_distance(a, b))
