import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.encoders import PointEncoder
from shapenet3d_cma.model.network import initialise
from shapenet3d_cma.model.norm import BatchNorm, has_no_statistics, recalibrate_batch_norm


def batches(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(8, 4, generator=generator) * 1e-3 + 5 for _ in range(count)]


@given(st.integers(0, 1000), st.integers(2, 40), st.floats(1e-3, 1e3))
@settings(deadline=None)
def test_alone_batch_norm_normalises_as_torch_s_does(seed: int, rows: int, scale: float) -> None:
    ours, theirs = BatchNorm(4), torch.nn.BatchNorm1d(4)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for norm in (ours, theirs):
        norm.load_state_dict({**norm.state_dict(), "weight": torch.tensor([1.0, 2, 3, 4])})
    x = scale * torch.randn(rows, 4, generator=torch.Generator().manual_seed(seed))
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outputs = [norm(each) for norm, each in zip((ours, theirs), inputs, strict=True)]
    assert torch.equal(*outputs)
    for output in outputs:
        output.square().sum().backward()
    assert torch.equal(inputs[0].grad, inputs[1].grad)
    assert torch.equal(ours.weight.grad, theirs.weight.grad)
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours.eval()(x), theirs.eval()(x))
    with pytest.raises(ValueError, match="more than 1 value"):
        ours.train()(x[:1])


@pytest.mark.parametrize("count", [1, 2, 10])
def test_running_statistics_are_averages_over_the_first_ten_batches(count: int) -> None:
    norm, seen = BatchNorm(4), batches(count)
    for batch in seen:
        norm(batch)
    assert norm.num_batches_tracked == count
    torch.testing.assert_close(
        norm.running_mean, torch.stack([batch.mean(0) for batch in seen]).mean(0)
    )
    torch.testing.assert_close(
        norm.running_var, torch.stack([batch.var(0) for batch in seen]).mean(0)
    )


def test_thereafter_they_follow_as_torch_s_do_and_a_long_run_does_not_notice() -> None:
    ours, theirs = BatchNorm(4), torch.nn.BatchNorm1d(4)
    for i, batch in enumerate(batches(300)):
        if i == 150:  # by now torch's have forgotten where they began, to seven digits of 5
            torch.testing.assert_close(ours.running_mean, theirs.running_mean)
        before = ours.running_mean.clone()
        ours(batch)
        theirs(batch)
        if i >= 10:
            torch.testing.assert_close(ours.running_mean, before.lerp(batch.mean(0), 0.1))
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)


def test_a_norm_that_is_saved_and_loaded_goes_on_where_it_was() -> None:
    whole, first = BatchNorm(4), BatchNorm(4)
    for i, batch in enumerate(batches(20)):
        whole(batch)
        if i == 5:
            second = BatchNorm(4)
            second.load_state_dict(first.state_dict())
            first = second
        first(batch)
    assert all(
        torch.equal(value, whole.state_dict()[name]) for name, value in first.state_dict().items()
    )


@pytest.mark.parametrize("steps", [1, 3, 16])
def test_an_encoder_of_few_steps_sees_in_evaluation_what_it_saw_in_training(
    tiny: PretrainConfig, steps: int
) -> None:
    """Initial variances of 1 would leave 0.2 of themselves after 16 steps, where the true ones are below 0.001."""
    torch.manual_seed(0)
    encoder = PointEncoder(tiny.network).apply(initialise)
    centres, neighbours = torch.randn(4, 6, 3), torch.randn(4, 6, 8, 3) * 0.1
    with torch.no_grad():
        for _ in range(steps):
            seen = encoder.train()(centres, neighbours)
        found = encoder.eval()(centres, neighbours)
    assert seen.std(1).min() > 0.1  # tokens differ
    torch.testing.assert_close(found, seen, atol=0.05, rtol=0)


def test_settling_averages_over_all_batches_and_changes_nothing_else() -> None:
    network, seen = (
        torch.nn.Sequential(BatchNorm(4), torch.nn.Linear(4, 4), BatchNorm(4)),
        batches(20),
    )
    network(batches(1)[0] - 3)  # is forgotten
    assert not has_no_statistics(network)
    for mode in (True, False):
        recalibrated = copy.deepcopy(network).train(mode)
        recalibrate_batch_norm(recalibrated, [(batch,) for batch in seen])
        torch.testing.assert_close(
            recalibrated[0].running_mean, torch.stack([batch.mean(0) for batch in seen]).mean(0)
        )
        torch.testing.assert_close(
            recalibrated[0].running_var, torch.stack([batch.var(0) for batch in seen]).mean(0)
        )
        assert recalibrated.training == recalibrated[0].training == mode
        assert (recalibrated[0].momentum, recalibrated[0].alone) == (0.1, False)
        assert all(map(torch.equal, recalibrated.parameters(), network.parameters()))
    assert has_no_statistics(torch.nn.Sequential(BatchNorm(4)))
