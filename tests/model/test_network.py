import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.network import CrossAlignNet, DropPath, ImageEncoder, MiniPointNet, PatchSlots, PointEncoder
from shapenet3d_cma.model.noise import sample_seeds


def count(module: nn.Module | None) -> int:
    assert module is not None
    return sum(parameter.numel() for parameter in module.parameters())


def make(config: PretrainConfig, size: int = 64, **changes: object) -> CrossAlignNet:
    torch.manual_seed(0)
    return CrossAlignNet(dataclasses.replace(config, **changes), (size, size))  # type: ignore[arg-type]


def data(samples: int = 3, size: int = 64, points: int = 64) -> dict[str, Tensor]:
    rng = np.random.default_rng(0)
    return {
        "points": torch.from_numpy(rng.normal(size=(samples, points, 3)).astype(np.float32)),
        "pixels": torch.from_numpy(rng.integers(0, size, (samples, points, 2)).astype(np.int32)),
        "rgb": torch.from_numpy(rng.integers(0, 256, (samples, size, size, 3)).astype(np.uint8)),
        "seeds": sample_seeds(0, 0, torch.arange(samples)),
    }


def test_parameters_of_the_papers_network() -> None:
    with torch.device("meta"):
        network = CrossAlignNet(PretrainConfig(), (224, 224))
    alignment, reconstruction = network.alignment, network.reconstruction
    assert alignment is not None
    assert reconstruction is not None
    assert count(network.point_encoder) == 21_825_024
    assert count(network.image_encoder) == 21_664_896
    assert count(alignment.decoder) == 3_547_392
    assert count(reconstruction.decoder) == 9_467_136
    assert count(alignment.position) + count(reconstruction.position) == 100_096
    assert alignment.mask_token.numel() + reconstruction.mask_token.numel() == 768
    assert count(reconstruction.head) == 36_960
    assert count(alignment.point_head) + count(alignment.image_head) == 1_052_160
    assert count(network) == 57_694_432


@pytest.mark.parametrize("tasks", ["both", "reconstruction", "contrast"])
@pytest.mark.parametrize("collisions", [True, False])
def test_the_gradient_reaches_every_parameter(tiny: PretrainConfig, tasks: str, collisions: bool) -> None:
    network = make(tiny, tasks=tasks, mask_collisions=collisions, drop_path=0.0, contrast_weight=1.0)
    network(data())["loss"].backward()
    without = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().max() > 0
    ]
    # a shift of all keys, or of the input of a batch norm, changes nothing: their gradient is zero by nature
    assert [name for name in without if not name.endswith(("qkv.bias", "kv.bias"))] == []


def test_single_tasks_build_and_report_only_their_part(tiny: PretrainConfig) -> None:
    reconstruction, contrast = make(tiny, tasks="reconstruction"), make(tiny, tasks="contrast")
    assert reconstruction.alignment is None
    assert contrast.reconstruction is None
    result = reconstruction(data())
    assert torch.equal(result["loss"], result["loss_lmr"].mean())
    assert result["loss_gsa"].tolist() == [0, 0, 0]
    result = contrast(data())
    assert torch.equal(result["loss"], result["loss_gsa"].mean())
    assert result["loss_lmr"].tolist() == [0, 0, 0]


def test_the_loss_is_the_weighted_sum(tiny: PretrainConfig) -> None:
    result = make(tiny, contrast_weight=0.25)(data())
    torch.testing.assert_close(result["loss"], (result["loss_lmr"] + 0.25 * result["loss_gsa"]).mean())


@pytest.mark.parametrize("collisions", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_point_features_ignore_masked_patches(tiny: PretrainConfig, collisions: bool, training: bool) -> None:
    network = make(tiny, mask_collisions=collisions).train(training)
    batch = data()
    masked = network.masks(batch["pixels"], batch["seeds"]).points
    slots = PatchSlots(masked, 7, network.config)
    centres, neighbours = torch.randn(3, 16, 3), torch.randn(3, 16, 8, 3)
    drop = DropPath(batch["seeds"], 0.0)
    features = network.encode_points(centres, neighbours, slots, drop)
    seen = ~slots.hidden if slots.hidden is not None else torch.ones(3, 7, dtype=torch.bool)
    if collisions:
        assert not seen.all()  # the rule is at work
    changed = torch.where(masked[..., None, None], 100.0, neighbours)
    moved = torch.where(masked[..., None], 100.0, centres)
    assert torch.equal(network.encode_points(moved, changed, slots, drop)[seen], features[seen])
    changed = torch.where(masked[..., None, None], neighbours, neighbours + 1)
    assert not torch.equal(network.encode_points(centres, changed, slots, drop)[seen], features[seen])


def test_hidden_slots_leave_no_trace_in_visible_features(tiny: PretrainConfig) -> None:
    encoder = PointEncoder(tiny).eval()
    centres, neighbours = torch.randn(1, 7, 3), torch.randn(1, 7, 8, 3)
    alone = encoder(centres[:, :4], neighbours[:, :4])
    hidden = torch.arange(7)[None] >= 4
    torch.testing.assert_close(encoder(centres, neighbours, hidden=hidden)[:, :4], alone)
    assert not torch.allclose(encoder(centres, neighbours)[:, :4], alone)


def test_patches_that_the_collision_rule_took_are_not_attended_to(tiny: PretrainConfig) -> None:
    network, batch = make(tiny).eval(), data()
    masked = network.masks(batch["pixels"], batch["seeds"]).points
    slots = PatchSlots(masked, 7, tiny)
    centres, neighbours = torch.randn(3, 16, 3), torch.randn(3, 16, 8, 3)
    features = network.encode_points(centres, neighbours, slots, DropPath(batch["seeds"], 0.0))
    for i in range(3):
        seen = ~masked[i]
        assert seen.sum() < 7
        alone = network.point_encoder(centres[i : i + 1, seen], neighbours[i : i + 1, seen])
        torch.testing.assert_close(features[i : i + 1, : int(seen.sum())], alone)


def cell_pixels(masked: Tensor, side: int, grid: int) -> Tensor:
    """(B, C) cells to (B, H, W) pixels."""
    return masked.view(-1, grid, grid).repeat_interleave(side, 1).repeat_interleave(side, 2)


@pytest.mark.parametrize("tokens", ["visible", "all"])
def test_image_features_ignore_masked_cells(tiny: PretrainConfig, tokens: str) -> None:
    network, batch = make(tiny, image_tokens=tokens), data()
    masked = network.masks(batch["pixels"], batch["seeds"]).cells
    hidden = cell_pixels(masked, 16, 4)[..., None]
    features, visible = network.image_encoder(batch["rgb"], masked)
    _, blackened = network.image_encoder(torch.where(hidden, 0, batch["rgb"]), masked)
    assert torch.equal(blackened, visible) == (tokens == "visible")
    _, changed = network.image_encoder(torch.where(hidden, batch["rgb"], 0), masked)
    assert not torch.equal(changed, visible)
    assert features.shape[1] == (6 + 1 if tokens == "visible" else 16)  # floor(0.6 * 16) = 9 of 16 are masked
    assert visible.shape[1] == 7


def test_mask_tokens_stand_where_patches_are_masked(tiny: PretrainConfig) -> None:
    masked = torch.rand(3, 16) < 0.7
    slots = PatchSlots(masked, 7, tiny)
    token = torch.full((4,), 5.0)
    tokens = slots.add_mask_tokens(torch.zeros(3, 7, 4), token)
    assert torch.equal(tokens[..., 0] == 5, masked.gather(1, slots.order) | (torch.arange(16) >= 7))


def test_every_masked_patch_and_no_other_is_reconstructed(tiny: PretrainConfig) -> None:
    network, batch = make(tiny), data()
    masked = network.masks(batch["pixels"], batch["seeds"]).points
    slots = PatchSlots(masked, 7, tiny)
    assert torch.equal(slots.masked.sum(1), masked.sum(1))
    neighbours = torch.randn(3, 16, 8, 3)
    predicted = torch.randn(3, 16 - slots.first, 8, 3)
    loss = slots.compare(predicted, slots.sort(neighbours))
    other = torch.where(masked[..., None, None], neighbours, 100.0)  # what is visible does not count
    assert torch.equal(slots.compare(predicted, slots.sort(other)), loss)


def test_mini_pointnet_is_its_plain_form_and_ignores_the_order_of_points() -> None:
    network = MiniPointNet(4, 10)
    neighbours = torch.randn(2, 3, 8, 3)
    x = neighbours.reshape(-1, 3)
    x = network.local2(network.norm1(network.local1(x)).relu()).view(6, 8, 8)
    x = torch.cat([x.amax(1, keepdim=True).expand_as(x), x], dim=2).flatten(0, 1)
    x = network.joint2(network.norm2(network.joint1(x)).relu()).view(6, 8, 10).amax(1)
    torch.testing.assert_close(network(neighbours), x.view(2, 3, 10))
    torch.testing.assert_close(network(neighbours[:, :, torch.randperm(8)]), network(neighbours))


def test_dropped_branches_follow_from_the_seeds_at_the_rates_asked_for() -> None:
    seeds = sample_seeds(0, 0, torch.arange(20_000))
    scales = DropPath(seeds, 0.4).scales(1, 3, 2)
    assert scales is not None
    assert scales.shape == (3, 2, 20_000, 1, 1)
    assert (scales[0] == 1).all()
    kept = (scales > 0).float().mean((2, 3, 4))
    assert (kept - torch.tensor([[1.0, 1.0], [0.8, 0.8], [0.6, 0.6]])).abs().max() < 0.02
    assert (scales.mean((2, 3, 4)) - 1).abs().max() < 0.03  # the expectation is kept
    alone = DropPath(seeds[7:8], 0.4).scales(1, 3, 2)
    assert alone is not None
    assert torch.equal(alone, scales[:, :, 7:8])


def test_an_image_of_another_size_is_resized(tiny: PretrainConfig) -> None:
    network = make(dataclasses.replace(tiny, image_size=32), size=64)
    assert network.image_encoder.num_cells == 4
    assert network(data())["loss"].isfinite()
    encoder = ImageEncoder(tiny, (32, 32))
    flat = torch.full((1, 64, 64, 3), 128, dtype=torch.uint8)
    normalised = encoder.normalise(flat)
    assert normalised.shape == (1, 3, 32, 32)

    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(normalised[0, :, 5, 5], (128 / 255 - mean) / deviation)


def test_the_forward_pass_is_one_graph_of_fixed_shapes(tiny: PretrainConfig) -> None:
    """No value of a tensor decides what is computed, so nothing waits for the device: one graph holds the pass."""
    network = make(tiny, drop_path=0.2)
    whole = torch.compile(network, backend="eager", fullgraph=True)
    torch.testing.assert_close(whole(data())["loss"], network(data())["loss"])
