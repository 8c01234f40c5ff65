import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import shapenet3d_cma.model
from shapenet3d_cma.core.settings import read_settings
from shapenet3d_cma.model.config import MaskConfig, PretrainConfig
from shapenet3d_cma.model.encoders import ImageEncoder, MiniPointNet, PointEncoder
from shapenet3d_cma.model.layers import DropPath, pool
from shapenet3d_cma.model.masking import PatchSlots
from shapenet3d_cma.model.network import CrossAlignNet, Reconstruction
from shapenet3d_cma.model.noise import sample_seeds
from shapenet3d_cma.tests.model.conftest import TINY

SHIPPED = Path(shapenet3d_cma.model.__path__[0])


def count(module: nn.Module | None) -> int:
    assert module is not None
    return sum(parameter.numel() for parameter in module.parameters())


def make(config: PretrainConfig, size: int = 64, **changes: object) -> CrossAlignNet:
    torch.manual_seed(0)
    return CrossAlignNet(config.replace(changes), (size, size))  # type: ignore[arg-type]


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
def test_the_gradient_reaches_every_parameter(
    tiny: PretrainConfig, tasks: str, collisions: bool
) -> None:
    network = make(
        tiny,
        tasks=tasks,
        mask_collisions=collisions,
        drop_path=0.0,
        decoder_drop_path=0.0,
        contrast_weight=1.0,
    )
    network(data())["loss"].backward()
    without = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().max() > 0
    ]
    # a shift of all keys, or of the input of a batch norm, changes nothing: their gradient is zero
    # by nature
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
    torch.testing.assert_close(
        result["loss"], (result["loss_lmr"] + 0.25 * result["loss_gsa"]).mean()
    )


@pytest.mark.parametrize("collisions", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_point_features_ignore_masked_patches(
    tiny: PretrainConfig, collisions: bool, training: bool
) -> None:
    network = make(tiny, mask_collisions=collisions).train(training)
    batch = data()
    masked = network.masks(batch["pixels"], batch["seeds"]).points
    slots = PatchSlots(masked, 7, network.config.masks)
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
    assert not torch.equal(
        network.encode_points(centres, changed, slots, drop)[seen], features[seen]
    )


def test_hidden_slots_leave_no_trace_in_visible_features(tiny: PretrainConfig) -> None:
    encoder = PointEncoder(tiny.network).eval()
    centres, neighbours = torch.randn(1, 7, 3), torch.randn(1, 7, 8, 3)
    alone = encoder(centres[:, :4], neighbours[:, :4])
    hidden = torch.arange(7)[None] >= 4
    torch.testing.assert_close(encoder(centres, neighbours, hidden=hidden)[:, :4], alone)
    assert not torch.allclose(encoder(centres, neighbours)[:, :4], alone)


def test_patches_that_the_collision_rule_took_are_not_attended_to(tiny: PretrainConfig) -> None:
    network, batch = make(tiny).eval(), data()
    masked = network.masks(batch["pixels"], batch["seeds"]).points
    slots = PatchSlots(masked, 7, tiny.masks)
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
    encoder = network.image_encoder
    assert encoder is not None
    features = encoder(batch["rgb"], masked)
    blackened = encoder(torch.where(hidden, 0, batch["rgb"]), masked)
    assert torch.equal(blackened.visible, features.visible) == (tokens == "visible")
    changed = encoder(torch.where(hidden, batch["rgb"], 0), masked)
    assert not torch.equal(changed.visible, features.visible)
    assert features.whole.shape[1] == (
        6 + 1 if tokens == "visible" else 16
    )  # floor(0.6 * 16) = 9 of 16 are masked
    assert features.visible.shape[1] == 7


@pytest.mark.parametrize("strategy", ["complementary", "correspondence"])
@pytest.mark.parametrize("tokens", ["visible", "all"])
def test_exactly_masked_cells_leave_no_trace(
    tiny: PretrainConfig, strategy: str, tokens: str
) -> None:
    """However many cells are masked: what is hidden reaches neither the contrast nor the reconstruction."""
    network = make(tiny, masked_cells="exact", mask_strategy=strategy, image_tokens=tokens).eval()
    batch = data()
    masked = network.masks(batch["pixels"], batch["seeds"]).cells
    assert len(set(masked.sum(1).tolist())) > 1  # their number differs
    result = network(batch)
    hidden = cell_pixels(masked, 16, 4)[..., None]
    blackened = network(batch | {"rgb": torch.where(hidden, 0, batch["rgb"])})
    for name in ("loss_lmr", "loss_gsa"):
        assert torch.equal(result[name], blackened[name]) == (tokens == "visible")
    alone = network({name: values[1:2] for name, values in batch.items()})
    torch.testing.assert_close(alone["loss_lmr"], result["loss_lmr"][1:2])


@given(st.integers(0, 1000), st.integers(1, 5), st.integers(1, 5))
@settings(deadline=None)
def test_embedding_cells_is_the_convolution(seed: int, rows: int, columns: int) -> None:
    height, width = 16 * rows, 16 * columns
    encoder = ImageEncoder(TINY.network, TINY.masks, (height, width))
    generator = torch.Generator().manual_seed(seed)
    rgb = torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8, generator=generator)
    plain = encoder.embed(encoder.normalise(rgb).movedim(-1, 1)).flatten(2).transpose(1, 2)
    torch.testing.assert_close(
        encoder.embed_cells(encoder.patchify(rgb)), plain, rtol=1e-4, atol=1e-5
    )


@given(st.integers(0, 1000), st.floats(0.57, 0.95))
@settings(deadline=None)
def test_mask_tokens_stand_where_patches_are_masked(seed: int, ratio: float) -> None:
    # at least nine of 16 are masked, so that seven slots hold all visible ones
    order = torch.rand(3, 16, generator=torch.Generator().manual_seed(seed)).argsort(1)
    masked = order < max(9, round(16 * ratio))
    slots = PatchSlots(masked, 7, MaskConfig())
    token = torch.full((4,), 5.0)
    tokens = slots.add_mask_tokens(torch.zeros(3, 7, 4), token)
    assert torch.equal(tokens[..., 0] == 5, masked.gather(1, slots.order) | (torch.arange(16) >= 7))


def test_every_masked_patch_and_no_other_is_reconstructed(tiny: PretrainConfig) -> None:
    network, batch = make(tiny), data()
    masked = network.masks(batch["pixels"], batch["seeds"]).points
    slots = PatchSlots(masked, 7, tiny.masks)
    assert torch.equal(slots.masked.sum(1), masked.sum(1))
    neighbours = torch.randn(3, 16, 8, 3)
    predicted = torch.randn(3, 16 - slots.first, 8, 3)
    target = slots.sort(neighbours)[:, slots.first :]
    loss = Reconstruction(predicted, target, slots).chamfer()
    other = torch.where(
        masked[..., None, None], neighbours, 100.0
    )  # what is visible does not count
    changed = Reconstruction(predicted, slots.sort(other)[:, slots.first :], slots)
    assert torch.equal(changed.chamfer(), loss)
    named = changed.by_patch().isfinite().all(3).all(2)  # (3, 16)
    assert torch.equal(named, masked)


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
    network = make(tiny.replace(image_size=32), size=64)
    assert network.num_cells == 4
    assert network(data())["loss"].isfinite()
    encoder = ImageEncoder(tiny.network, tiny.masks, (32, 32))
    flat = torch.full((1, 64, 64, 3), 128, dtype=torch.uint8)
    cells = encoder.patchify(flat)
    assert cells.shape == (1, 4, 16, 16, 3)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(encoder.normalise(cells)[0, 1, 5, 5], (128 / 255 - mean) / deviation)
    half = ImageEncoder(tiny.replace(image_normalisation="half").network, tiny.masks, (32, 32))
    torch.testing.assert_close(
        half.normalise(torch.tensor([0.0, 127.5, 255.0])), torch.tensor([-1.0, 0, 1])
    )


def test_pooling_leaves_out_what_is_hidden() -> None:
    tokens, hidden = torch.randn(3, 5, 4), torch.arange(5)[None].expand(3, 5) > 2
    for how, channels in (("both", 8), ("max", 4), ("mean", 4)):
        pooled = pool(tokens, how, hidden)
        assert pooled.shape == (3, channels)
        torch.testing.assert_close(pooled, pool(tokens[:, :3], how))


def test_the_parameters_of_point_mae_come_out_of_its_settings() -> None:
    """Table 9 prints 29.00 million for Point-MAE; its own network has 29,006,432 parameters."""
    config = read_settings(PretrainConfig, SHIPPED / "point-mae.toml")
    with torch.device("meta"):
        network = CrossAlignNet(config, (224, 224))
    assert network.image_encoder is None
    assert network.alignment is None
    assert count(network) == 29_006_432


@pytest.mark.parametrize(
    "changes",
    [
        {"reconstruct_from": "points"},
        {"reconstruct_from": "points", "tasks": "reconstruction", "embedded_patches": "all"},
        {"chamfer": "distance", "pooling": "mean", "image_normalisation": "half"},
        {"masked_cells": "exact", "mask_strategy": "correspondence"},
        {"embedded_patches": "all", "image_tokens": "all"},
    ],
)
def test_every_option_trains_every_parameter(tiny: PretrainConfig, changes: dict) -> None:
    network = make(tiny, drop_path=0.0, decoder_drop_path=0.0, contrast_weight=1.0, **changes)
    network(data())["loss"].backward()
    without = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().max() > 0
    ]
    assert [name for name in without if not name.endswith(("qkv.bias", "kv.bias"))] == []


def test_in_lower_precision_geometry_and_losses_stay_exact(tiny: PretrainConfig) -> None:
    network, batch = make(tiny, drop_path=0.0).eval(), data()
    exact = network(batch)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(batch)
        centres, neighbours = network.make_patches(batch["points"])
    assert {result.dtype for result in rounded.values()} == {torch.float32}
    expected = network.make_patches(batch["points"])
    assert torch.equal(centres, expected[0])
    assert torch.equal(neighbours, expected[1])
    assert not torch.equal(
        rounded["loss_lmr"], exact["loss_lmr"]
    )  # the products in between are rounded
    torch.testing.assert_close(rounded["loss_lmr"], exact["loss_lmr"], rtol=0.05, atol=0)


def test_the_forward_pass_is_one_graph_of_fixed_shapes(tiny: PretrainConfig) -> None:
    """No value of a tensor decides what is computed, so nothing waits for the device: one graph holds the pass."""
    network = make(tiny, drop_path=0.2)
    whole = torch.compile(network, backend="eager", fullgraph=True)
    torch.testing.assert_close(whole(data())["loss"], network(data())["loss"])


# a bare Debian has no compiler, and training then says so and goes on uncompiled, which is tested
# by itself
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile wants a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, on its way to the compiler
def test_compiled_it_computes_the_same(tiny: PretrainConfig) -> None:
    """By the real compiler, forwards and backwards; without the image, for which it takes three times as long."""
    config = tiny.replace(point_depth=1, reconstruction_depth=1, drop_path=0.2)
    network, batch = make(config, tasks="reconstruction", reconstruct_from="points"), data()
    compiled = torch.compile(copy.deepcopy(network), dynamic=False)
    for each in (network, compiled):
        each(batch)["loss"].backward()
    torch.testing.assert_close(compiled(batch)["loss"], network(batch)["loss"])
    for (name, parameter), other in zip(
        network.named_parameters(), compiled.parameters(), strict=True
    ):
        torch.testing.assert_close(other.grad, parameter.grad, rtol=1e-3, atol=1e-4, msg=name)
