import torch
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.model.noise import draw, mix, sample_seeds, uniform

INT64 = st.integers(-(2**63), 2**63 - 1)


def splitmix(x: int) -> int:
    x &= 2**64 - 1
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2**64
    x ^= x >> 31
    return x - 2**64 if x >= 2**63 else x


@given(st.lists(INT64, min_size=1, max_size=20))
def test_mix_is_splitmix64_in_unbounded_integers(values: list[int]) -> None:
    assert mix(torch.tensor(values)).tolist() == [splitmix(value) for value in values]


@given(
    st.integers(0, 2**31 - 1),
    st.integers(0, 10_000),
    st.lists(st.integers(0, 10**9), min_size=1, max_size=8),
)
def test_a_sample_alone_draws_what_it_draws_in_a_batch(
    seed: int, epoch: int, rows: list[int]
) -> None:
    batch = draw(sample_seeds(seed, epoch, torch.tensor(rows)), 3, 50)
    for i, row in enumerate(rows):
        assert torch.equal(draw(sample_seeds(seed, epoch, torch.tensor([row])), 3, 50)[0], batch[i])


@given(INT64, st.integers(0, 100), st.integers(1, 40))
def test_numbers_follow_from_seed_stream_and_position(seed: int, stream: int, count: int) -> None:
    step = 0x9E3779B97F4A7C15
    expected = [
        (splitmix(seed + ((stream << 20) + i) * step) % 2**64) >> 24 for i in range(1, count + 1)
    ]
    assert draw(torch.tensor([seed]), stream, count).tolist() == [expected]


def test_seed_epoch_row_and_stream_each_change_the_numbers() -> None:
    rows = torch.arange(100)
    drawn = [
        draw(sample_seeds(seed, epoch, rows), stream, 4)
        for seed, epoch, stream in ((0, 0, 1), (1, 0, 1), (0, 1, 1), (0, 0, 2), (1, 1, 1))
    ]
    assert len(torch.cat(drawn).flatten().unique()) == 5 * 100 * 4
    assert all(0 <= numbers.min() and numbers.max() < 2**40 for numbers in drawn)


def test_uniform_is_uniform() -> None:
    numbers = uniform(sample_seeds(0, 0, torch.arange(1000)), 5, 100)
    assert numbers.dtype == torch.float32
    assert 0 <= numbers.min()
    assert numbers.max() < 1
    counts = numbers.flatten().mul(10).long().bincount(minlength=10)
    assert (counts - 10_000).abs().max() < 500  # five deviations of 95
    assert torch.corrcoef(numbers.T[:20]).fill_diagonal_(0).abs().max() < 0.16
