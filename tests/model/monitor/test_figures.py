"""What pictures show of the network is what training does: the same patches, masks and loss."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.monitor.annotate import NETWORK_SEEDS, RATIOS, SEEDS, NetworkAnnotator
from shapenet3d_cma.model.monitor.figures import STRATEGIES, all_masks, patch_indices, read_trained
from shapenet3d_cma.model.network import CrossAlignNet
from shapenet3d_cma.model.noise import sample_seeds
from shapenet3d_cma.model.patches import make_patches, normalise_cloud
from shapenet3d_cma.model.train.pretraining import pretrain
from shapenet3d_cma.pack.page.inspect import ViewRequest, ViewSource, inspect_data
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.tests.waiting import PATIENCE

SMALL = PretrainConfig.of(
    patches=16, patch_points=8, image_size=64, width=24, heads=2, point_depth=1, image_depth=1, global_depth=1,
    reconstruction_depth=1, embed_width=8, position_width=8, head_width=16, shared_width=8, epochs=1, batch_size=4,
    mask_strategy="correspondence", mask_ratio=0.55, threads=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def run(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    pretrain(shards, folder, SMALL, report=lambda _: None)
    return folder


@given(st.integers(0, 2**32 - 1), st.integers(8, 60))
def test_patch_indices_point_at_what_training_cuts_out(seed: int, count: int) -> None:
    points = np.random.default_rng(seed).random((count, 3)).astype(np.float32)
    indices = patch_indices(points, 8, 5)
    cloud = normalise_cloud(torch.from_numpy(points)[None])
    centres, neighbours = make_patches(cloud, 8, 5)
    taken = cloud[0][torch.from_numpy(indices.astype(np.int64))] - centres[0][:, None]
    assert torch.equal(taken, neighbours[0])
    assert (indices[:, 0] == np.arange(8)).all()


@pytest.mark.parametrize("image_size", [64, 224])
def test_masks_are_those_of_a_step_of_training(shards: Path, image_size: int) -> None:
    row = Shards(shards)[3]
    seeds, ratios = (0, 5), (0.4, 0.6)
    base = SMALL.replace(image_size=image_size)
    points, cells, grid = all_masks(row["pixels"], 3, (80, 80), base, ratios, seeds)
    assert grid == (image_size // 16, image_size // 16)
    for t, strategy in enumerate(STRATEGIES):
        for r, ratio in enumerate(ratios):
            for s, seed in enumerate(seeds):
                for rule in (0, 1):
                    config = base.replace(
                        mask_strategy=strategy, mask_ratio=ratio, mask_collisions=bool(rule)
                    )
                    network = CrossAlignNet(config, (80, 80))
                    drawn = sample_seeds(seed, 0, torch.tensor([3]))
                    masks = network.masks(
                        torch.from_numpy(row["pixels"].astype(np.int64))[None], drawn
                    )
                    assert np.array_equal(points[r, s, rule], masks.points[0].numpy())
                    assert np.array_equal(cells[t, r, s, rule], masks.cells[0].numpy())


def test_pixels_outside_the_image_have_no_cell() -> None:
    pixels = np.full((20, 2), 80, dtype=np.uint16)
    with pytest.raises(InputError, match="pixels outside its image"):
        all_masks(pixels, 0, (80, 80), SMALL, (0.6,), (0,))
    with pytest.raises(
        InputError, match="images of 80 x 60 pixels cannot be cut into patches of 16"
    ):
        all_masks(pixels // 9, 0, (60, 80), SMALL.replace(image_size=0), (0.6,), (0,))


def test_a_reconstruction_has_the_loss_that_training_would_tell(shards: Path, run: Path) -> None:
    row = Shards(shards)[2]
    trained = read_trained(run, (80, 80))
    assert (trained.step, trained.steps) == (2, 2)
    made = trained.reconstruct(row["points"], row["pixels"], row["rgb"], 2, (0, 3))
    batch: dict[str, Any] = {
        "points": torch.from_numpy(row["points"])[None].expand(2, -1, -1),
        "pixels": torch.from_numpy(row["pixels"].astype(np.int64))[None].expand(2, -1, -1),
        "rgb": torch.from_numpy(row["rgb"])[None].expand(2, -1, -1, -1),
        "seeds": torch.cat([sample_seeds(seed, 0, torch.tensor([2])) for seed in (0, 3)]),
    }
    with torch.inference_mode():
        told = trained.network(batch)
    assert np.allclose(made["chamfer"], told["loss_lmr"].numpy(), rtol=1e-4)
    assert np.allclose(made["masked"].mean(1), told["mask_ratio"].numpy())
    # and the patches, taken back to the normalised frame, are at that distance of the true ones
    middle = row["points"].mean(axis=0)
    radius = np.linalg.norm(row["points"] - middle, axis=1).max()
    truth = patch_indices(row["points"], SMALL.network.patches, SMALL.network.patch_points)
    for s in range(2):
        apart = []
        for g in np.flatnonzero(made["masked"][s]):
            one, two = (
                cloud / radius for cloud in (made["patches"][s, g], row["points"][truth[g]])
            )
            squared = ((one[:, None] - two[None]) ** 2).sum(-1)
            apart.append(squared.min(0).mean() + squared.min(1).mean())
        assert np.isclose(np.mean(apart), made["chamfer"][s], rtol=1e-3)
        assert not made["patches"][s][~made["masked"][s]].any()


def test_a_page_takes_masks_and_reconstruction_from_a_run(shards: Path, run: Path) -> None:
    source = ViewSource(shards)
    annotator = NetworkAnnotator(run)
    view = annotator.add(source.read(1)[0])
    assert view.aligned is not None
    assert view.reconstruction is not None
    assert view.aligned.preferred == {
        "strategy": "correspondence",
        "ratio": 0.55,
        "collisions": True,
    }
    assert sorted({*RATIOS, 0.55}) == list(view.aligned.ratios)
    assert view.aligned.points.shape == (len(RATIOS) + 1, len(SEEDS), 2, 16)
    assert view.aligned.cells.shape == (3, len(RATIOS) + 1, len(SEEDS), 2, 16)
    assert view.reconstruction.patches.shape == (len(NETWORK_SEEDS), 16, 8, 3)
    assert view.reconstruction.about == "Step 2 of 2, correspondence masks of ratio 0.55."


def test_what_is_no_run_is_said(tmp_path: Path, run: Path) -> None:
    with pytest.raises(
        InputError, match="is not a run folder: `cma3d pretrain SHARDS RUN` makes one"
    ):
        read_trained(tmp_path, (80, 80))
    (tmp_path / "run.json").write_text((run / "run.json").read_text())
    with pytest.raises(InputError, match="has no checkpoint yet"):
        read_trained(tmp_path, (80, 80))
    (tmp_path / "checkpoint.pt").write_bytes(b"torn")
    with pytest.raises(InputError, match=r"checkpoint\.pt cannot be read"):
        read_trained(tmp_path, (80, 80))
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputError, match=r"run\.json cannot be read"):
        read_trained(tmp_path, (80, 80))


def test_few_points_make_no_patches_and_the_page_says_so(shards: Path, tmp_path: Path) -> None:
    source = ViewSource(shards)
    view = source.read(0)[0]
    view = dataclasses.replace(view, points=view.points[:40], pixels=view.pixels[:40])
    assert (
        NetworkAnnotator().add(view).missing
        == "No patches and masks: 40 points are no 64 patches of 32."
    )
    outside = dataclasses.replace(source.read(0)[0], pixels=np.full((256, 2), 999, np.uint16))
    assert "pixels outside its image" in NetworkAnnotator().add(outside).missing
    nowhere = dataclasses.replace(source.read(0)[0], points=np.full((256, 3), np.nan, np.float32))
    assert "points that are not finite" in NetworkAnnotator().add(nowhere).missing


def test_without_torch_the_page_comes_without_masks_and_says_so(
    shards: Path, tmp_path: Path
) -> None:
    out = tmp_path / "page.html"
    code = (
        "import sys\nsys.modules['torch'] = None\nfrom pathlib import Path\n"
        "from shapenet3d_cma.model.monitor.annotate import NetworkAnnotator as Annotator\n"
        "from shapenet3d_cma.pack.page.inspect import ViewRequest, inspect_data\n"
        f"inspect_data(Path({str(shards)!r}), Path({str(out)!r}), ViewRequest(row=0), Annotator)\n"
        "from shapenet3d_cma.core.errors import InputError\n"
        f"try: inspect_data(Path({str(shards)!r}), Path({str(out)!r}), ViewRequest(row=0, run=Path('x')), Annotator)\n"
        "except InputError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert done.stdout.startswith("torch is not installed: pip install 'shapenet3d-cma[train]'")
    text = out.read_text(encoding="utf-8")
    assert re.search(r'"mask": "No patches and masks: torch is not installed here', text)
    assert '"masks"' not in text
    inspect_data(shards, out, ViewRequest(row=0), NetworkAnnotator)
    assert '"masks"' in out.read_text(encoding="utf-8")
