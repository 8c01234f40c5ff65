from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from shapenet3d_cma.core.camera import Camera
from shapenet3d_cma.model.masking import (
    Masks,
    align_masks,
    cell_states,
    image_cells,
    mask_cells,
    mask_collisions,
    mask_patches,
    num_visible,
    visible_first,
)
from shapenet3d_cma.model.noise import draw, sample_seeds
from shapenet3d_cma.pack.reader import Shards

STRATEGIES = ("complementary", "correspondence", "random")
SEEDS = st.integers(0, 10**6)
RATIOS = st.floats(0.05, 0.95)


def batch(seed: int, patches: int, num_cells: int, spread: int) -> tuple[Tensor, Tensor]:
    """Cells of `patches` centres that lie in `spread` of the cells, and the samples' seeds."""
    rng = np.random.default_rng(seed)
    allowed = np.stack([rng.permutation(num_cells)[:spread] for _ in range(3)])
    cells = np.take_along_axis(allowed, rng.integers(0, spread, (3, patches)), axis=1)
    return torch.from_numpy(cells), sample_seeds(seed, 0, torch.arange(3))


def masks_of(cells: Tensor, seeds: Tensor, num_cells: int, **given: object) -> Masks:
    options = {
        "strategy": "complementary",
        "ratio": 0.6,
        "collisions": True,
        "max_ratio": 0.9,
    } | given
    return align_masks(cells, seeds, num_cells, **options)  # type: ignore[arg-type]


def test_the_papers_numbers() -> None:
    assert num_visible(64, 0.6) == 26
    assert num_visible(196, 0.6) == 79


@given(st.integers(2, 500), RATIOS)
def test_some_tokens_are_visible_and_some_masked(count: int, ratio: float) -> None:
    assert 1 <= num_visible(count, ratio) <= count - 1
    assert abs(count - num_visible(count, ratio) - ratio * count) <= 1


@given(
    SEEDS,
    st.integers(2, 80),
    st.integers(4, 100),
    RATIOS,
    st.sampled_from(STRATEGIES),
    st.booleans(),
)
@settings(deadline=None)
def test_numbers_of_visible_tokens(
    seed: int, patches: int, num_cells: int, ratio: float, strategy: str, collisions: bool
) -> None:
    cells, seeds = batch(seed, patches, num_cells, num_cells // 2)
    masks = masks_of(cells, seeds, num_cells, ratio=ratio, strategy=strategy, collisions=collisions)
    visible = (~masks.points).sum(1)
    if collisions:
        assert (visible <= num_visible(patches, ratio)).all()
        assert (visible >= min(num_visible(patches, ratio), num_visible(patches, 0.9))).all()
    else:
        assert (visible == num_visible(patches, ratio)).all()
    assert ((~masks.cells).sum(1) == num_visible(num_cells, ratio)).all()


@given(SEEDS, st.integers(2, 80), st.integers(4, 100), st.sampled_from(STRATEGIES), st.booleans())
@settings(deadline=None)
def test_a_sample_alone_is_masked_as_in_a_batch(
    seed: int, patches: int, num_cells: int, strategy: str, collisions: bool
) -> None:
    cells, seeds = batch(seed, patches, num_cells, num_cells)
    together = masks_of(cells, seeds, num_cells, strategy=strategy, collisions=collisions)
    for i in range(3):
        alone = masks_of(
            cells[i : i + 1], seeds[i : i + 1], num_cells, strategy=strategy, collisions=collisions
        )
        assert torch.equal(alone.points[0], together.points[i])
        assert torch.equal(alone.cells[0], together.cells[i])


def test_masks_are_drawn_anew_in_each_epoch_and_for_each_row() -> None:
    noise = [draw(sample_seeds(0, epoch, torch.arange(50)), 1, 64) for epoch in range(2)]
    masked = torch.cat([mask_patches(numbers, 0.6) for numbers in noise])
    assert len(masked.unique(dim=0)) == 100
    assert (masked.float().mean(0) - 38 / 64).abs().max() < 0.25  # no patch is preferred


@given(SEEDS, st.integers(2, 80), st.integers(4, 100), RATIOS)
@settings(deadline=None)
def test_correspondence_and_complementary_are_disjoint_where_both_speak(
    seed: int, patches: int, num_cells: int, ratio: float
) -> None:
    cells, seeds = batch(seed, patches, num_cells, num_cells // 3 + 1)
    masked = mask_patches(draw(seeds, 1, patches), ratio)
    holds_masked, holds_visible = cell_states(masked, cells, num_cells)
    noise = draw(seeds, 2, num_cells)
    follows = mask_cells(masked, cells, noise, "correspondence", ratio)
    opposes = mask_cells(masked, cells, noise, "complementary", ratio)
    keep = num_visible(num_cells, ratio)
    for i in range(3):
        # cells against the strategy are shown only where all others are shown already
        if (~holds_masked[i]).sum() >= keep:
            assert not (holds_masked[i] & ~follows[i]).any()
        if (~holds_visible[i]).sum() >= keep:
            assert not (holds_visible[i] & ~opposes[i]).any()
        if min((~holds_masked[i]).sum(), (~holds_visible[i]).sum()) >= keep:
            assert not ((holds_masked | holds_visible)[i] & ~follows[i] & ~opposes[i]).any()
        # and cells with points come before cells without
        assert (~follows[i] & holds_visible[i]).sum() == min(keep, holds_visible[i].sum())
        assert (~opposes[i] & holds_masked[i]).sum() == min(keep, holds_masked[i].sum())


@given(SEEDS, st.integers(2, 80), st.integers(4, 100), RATIOS, st.floats(0, 1))
@settings(deadline=None)
def test_the_collision_rule(
    seed: int, patches: int, num_cells: int, ratio: float, max_ratio: float
) -> None:
    cells, seeds = batch(seed, patches, num_cells, num_cells // 2)
    noise = draw(seeds, 1, patches)
    before = mask_patches(noise, ratio)
    after = mask_collisions(before, cells, noise, max_ratio)
    assert (after | ~before).all()  # what was masked stays so
    for i in range(3):
        reference = [
            bool(before[i, j])
            or any(bool(before[i, k]) and cells[i, k] == cells[i, j] for k in range(patches))
            for j in range(patches)
        ]
        assert not (after[i] & ~torch.tensor(reference)).any()  # nothing but collisions is taken
        least = min(num_visible(patches, max_ratio), int((~before[i]).sum()))
        assert (~after[i]).sum() == max(patches - sum(reference), least)


@given(SEEDS, st.integers(2, 80), st.integers(4, 100), st.sampled_from(STRATEGIES), RATIOS)
def test_exact_masks_are_the_cells_that_the_strategy_names(
    seed: int, patches: int, num_cells: int, strategy: str, ratio: float
) -> None:
    cells, seeds = batch(seed, patches, num_cells, num_cells // 2)
    masks = masks_of(cells, seeds, num_cells, strategy=strategy, ratio=ratio, exact=True)
    holds_masked, holds_visible = cell_states(masks.points, cells, num_cells)
    if strategy == "random":
        assert ((~masks.cells).sum(1) == num_visible(num_cells, ratio)).all()
        return
    named = holds_visible if strategy == "complementary" else holds_masked
    for i in range(3):
        assert torch.equal(masks.cells[i], named[i]) or (
            named[i].all() and (~masks.cells[i]).sum() == 1
        )


@given(SEEDS, st.integers(10, 80), st.sampled_from(STRATEGIES), st.booleans(), st.floats(0.6, 1))
def test_to_the_image_the_collision_rule_makes_no_difference(
    seed: int, patches: int, strategy: str, exact: bool, max_ratio: float
) -> None:
    """It masks no patch whose cell holds no masked one already; so there is no question which of both comes first."""
    cells, seeds = batch(seed, patches, 49, 12)
    given = {"strategy": strategy, "exact": exact, "max_ratio": max_ratio}
    with_rule = masks_of(cells, seeds, 49, **given)
    assert torch.equal(with_rule.cells, masks_of(cells, seeds, 49, **given, collisions=False).cells)


@pytest.mark.parametrize("ratio", [0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
def test_the_ratios_of_the_paper_on_its_grid(ratio: float) -> None:
    cells, seeds = batch(1, 64, 196, 90)
    for strategy in STRATEGIES:
        masks = masks_of(cells, seeds, 196, ratio=ratio, strategy=strategy, collisions=False)
        assert (masks.points.float().mean(1) - ratio).abs().max() < 1 / 64
        assert (masks.cells.float().mean(1) - ratio).abs().max() < 1 / 196


@given(SEEDS, st.integers(2, 60))
@settings(deadline=None)
def test_after_the_full_rule_no_cell_holds_both_kinds(seed: int, patches: int) -> None:
    cells, seeds = batch(seed, patches, 49, 20)
    masked = masks_of(cells, seeds, 49, max_ratio=1.0).points
    state = [
        {bool(m) for m, c in zip(masked[0], cells[0], strict=True) if c == cell}
        for cell in range(49)
    ]
    spared = num_visible(patches, 1.0)
    assume((~masked[0]).sum() > spared)
    assert all(len(kinds) <= 1 for kinds in state)


@given(SEEDS, st.sampled_from([(224, 16), (96, 16), (64, 8)]), st.integers(1, 200))
@settings(deadline=None)
def test_the_cell_of_a_pixel_is_the_cell_of_its_projected_point(
    seed: int, size: tuple[int, int], count: int
) -> None:
    rng = np.random.default_rng(seed)
    (side, patch), eye = size, rng.normal(size=3)
    camera = Camera.from_fov(40, side, side).look_at(2 * eye / np.linalg.norm(eye), np.zeros(3))
    pixels = rng.integers(0, side, (count, 2))
    points = camera.unproject(pixels + 0.5, rng.uniform(1, 3, count)).astype(np.float32)
    uv, _ = camera.project(points)  # equation 1
    expected = np.floor(uv[:, 1] / patch) * (side // patch) + np.floor(
        uv[:, 0] / patch
    )  # equation 2
    cells = image_cells(torch.from_numpy(pixels), (side, side), (side, side), patch)
    assert cells.tolist() == expected.tolist()


def test_the_cell_of_every_stored_centre_is_the_cell_that_it_projects_to(shards: Path) -> None:
    """On every row of rendered shards: equations 1 and 2 from the stored points and camera."""
    rows = Shards(shards).read(range(len(Shards(shards))))
    assert len(rows["points"]) == 8
    homogeneous = np.concatenate(
        [rows["points"].astype(np.float64), np.ones((*rows["points"].shape[:2], 1))], axis=-1
    )
    camera = rows["intrinsics"] @ rows["cam_from_obj"][:, :3]  # K [R | t]
    projected = homogeneous @ camera.transpose(0, 2, 1)
    u, v = projected[..., 0] / projected[..., 2], projected[..., 1] / projected[..., 2]
    for patch in (8, 16, 20):
        expected = np.floor(v / patch) * (80 // patch) + np.floor(u / patch)
        cells = image_cells(
            torch.from_numpy(rows["pixels"].astype(np.int32)), (80, 80), (80, 80), patch
        )
        assert np.array_equal(cells.numpy(), expected)


@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(1, 32),
)
def test_cells_of_a_resized_image(
    height: int, width: int, rows: int, columns: int, patch: int
) -> None:
    v, u = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    pixels = torch.from_numpy(np.stack([u, v], -1))
    cells = image_cells(pixels, (height, width), (rows * patch, columns * patch), patch).numpy()
    row = np.floor((v + 0.5) / height * rows + 1e-9)  # the scaled centre of the pixel
    column = np.floor((u + 0.5) / width * columns + 1e-9)
    assert (cells == row * columns + column).all()
    assert cells.max() < rows * columns


@given(SEEDS, st.integers(2, 50), RATIOS)
@settings(deadline=None)
def test_visible_first_is_a_stable_order(seed: int, count: int, ratio: float) -> None:
    masked = mask_patches(draw(sample_seeds(seed, 0, torch.arange(3)), 1, count), ratio)
    for order, row in zip(visible_first(masked).tolist(), masked.tolist(), strict=True):
        assert order == [i for i in range(count) if not row[i]] + [
            i for i in range(count) if row[i]
        ]


def test_an_unknown_strategy_is_named() -> None:
    cells, seeds = batch(0, 4, 9, 9)
    with pytest.raises(
        ValueError,
        match="strategy = 'blockwise'; known are complementary, correspondence and random",
    ):
        masks_of(cells, seeds, 9, strategy="blockwise")
