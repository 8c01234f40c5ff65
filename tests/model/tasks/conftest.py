"""Miniatures small enough for tests, and networks that train on them in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shapenet3d_cma.model.tasks.config import FewShotConfig, FinetuneConfig, SegmentConfig
from shapenet3d_cma.model.tasks.finetune import finetune
from shapenet3d_cma.samples import miniatures
from shapenet3d_cma.tests.model.runs import quiet

SMALL = {"train": 4, "test": 2, "val": 1}


@pytest.fixture(scope="session")
def benchmarks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every layout but the folds, few shapes of few classes: layout -> folder above it."""
    top = tmp_path_factory.mktemp("benchmarks")
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            miniatures, "MODELNET", {"bottle": "bottle", "cup": "mug", "laptop": "laptop"}
        )
        patch.setattr(miniatures, "SCANS", {"chair": "chair", "bed": "bed"})
        patch.setattr(miniatures, "CATEGORY", {"Laptop": "laptop", "Mug": "mug"})
        patch.setattr(miniatures, "POINTS", 256)
        for task, layouts in miniatures.MINIATURES.items():
            for layout in layouts:
                if layout != "fewshot-pickle":
                    miniatures.write_miniature(top / layout, task, layout=layout, **SMALL)
                    made[layout] = top / layout
    return made


TRAIN = {
    "points": 64,
    "patches": 8,
    "epochs": 3,
    "batch_size": 4,
    "learning_rate": 2e-3,
    "warmup_epochs": 1,
    "drop_path": 0.1,
    "device": "cpu",
    "threads": 1,
    "checkpoint_seconds": 0,
}


@pytest.fixture
def finetune_config() -> FinetuneConfig:
    return FinetuneConfig(**TRAIN, votes=2, held_out=0.25)


@pytest.fixture
def fewshot_config() -> FewShotConfig:
    return FewShotConfig(**TRAIN, votes=2, queries=2)


@pytest.fixture
def segment_config() -> SegmentConfig:
    return SegmentConfig(**TRAIN, propagated_width=16, head_width=16)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def tuned(
    benchmarks: dict[str, Path], encoder_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict]:
    """Two seeds on the smallest ModelNet40, from a pretrained encoder."""
    run = tmp_path_factory.mktemp("tuned") / "run"
    config = FinetuneConfig(**TRAIN, votes=2, held_out=0.25)
    return run, finetune(
        run,
        "modelnet40",
        benchmarks["modelnet40-h5"],
        config,
        init=encoder_file,
        seeds=2,
        report=quiet,
    )
