"""The linear SVM on frozen features."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.model.tasks.config import (
    ProbeConfig,
)
from shapenet3d_cma.model.tasks.probe import choose_c, probe, shard_clouds
from shapenet3d_cma.tests.model.runs import quiet


def test_the_probe_holds_on_to_the_encoder(
    benchmarks: dict[str, Path], encoder_file: Path, tmp_path: Path
) -> None:
    config = ProbeConfig(points=64, patches=8, device="cpu", threads=1)
    out = tmp_path / "new" / "probe.json"
    found = probe(benchmarks["modelnet40-h5"], config, init=encoder_file, out=out, report=quiet)
    assert json.loads(out.read_text()) == found
    assert found["features"] == 32
    assert found["accuracy"] > found["chance"]
    assert found == probe(benchmarks["modelnet40-h5"], config, init=encoder_file, report=quiet)
    scratch = probe(
        benchmarks["modelnet40-h5"], config, init=encoder_file, scratch=True, report=quiet
    )
    assert scratch["initial_hash"] == "scratch"


def test_a_small_set_s_c_is_not_left_to_one_lucky_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[float] = []

    def accuracy(*parts: object) -> float:
        tried.append(float(str(parts[-1])))
        return (
            1.0 if len(tried) <= 6 or tried[-1] == 0.1 else 0.5
        )  # in the first draw all are equal

    monkeypatch.setattr("shapenet3d_cma.model.tasks.probe.svm_accuracy", accuracy)
    labels = np.repeat(np.arange(4), 20)
    assert choose_c(np.zeros((80, 2), np.float32), labels, seed=0) == 0.1
    assert len(tried) == 60
    tried.clear()
    choose_c(np.zeros((6000, 2), np.float32), np.repeat(np.arange(4), 1500), seed=0)
    assert len(tried) == 6  # 600 shapes tell enough


def test_shards_are_probed_by_synset_with_models_on_one_side(
    shards: Path, encoder_file: Path
) -> None:
    config = ProbeConfig(points=64, patches=8, device="cpu", threads=1, test_share=0.5)
    found = probe(shards, config, shards=True, init=encoder_file, report=quiet)
    assert (found["train"], found["test"], found["classes"]) == (4, 4, 4)


def test_rows_of_a_model_stay_together(make_shards: Callable[..., Path]) -> None:
    def two_views_of_each(rows: list[dict]) -> None:
        for i, row in enumerate(rows):
            row.update(synset=f"0{i // 8}", model_id=f"model{i // 2}", view=i % 2)

    shards = make_shards(rows=16, change=two_views_of_each)
    train, test, _ = shard_clouds(shards, ProbeConfig(points=64, patches=8, test_share=0.5))
    assert (len(train), len(test)) == (8, 8)
    assert not set(train.names) & set(test.names)
    assert train.classes == ("00", "01")


def test_shards_of_one_synset_cannot_be_probed(toy_shards: Path, encoder_file: Path) -> None:
    config = ProbeConfig(points=64, patches=8, device="cpu", threads=1)
    with pytest.raises(InputError, match="at least 2 classes, found 1"):
        probe(toy_shards, config, shards=True, init=encoder_file, report=quiet)
