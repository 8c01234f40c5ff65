"""Ablations: tables 6 to 8."""

import dataclasses
import json
from pathlib import Path

import pytest

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.tasks import engine
from shapenet3d_cma.model.tasks.ablate import TABLES, ablate
from shapenet3d_cma.model.tasks.config import (
    FinetuneConfig,
)
from shapenet3d_cma.tests.model.runs import Killed, quiet


def test_an_ablation_goes_on_where_it_was_stopped(
    benchmarks: dict[str, Path],
    toy_shards: Path,
    tiny: PretrainConfig,
    finetune_config: FinetuneConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretraining, config = (
        tiny.replace(epochs=1),
        dataclasses.replace(finetune_config, epochs=1),
    )
    given = (
        toy_shards,
        tmp_path / "out",
        8,
        "modelnet40",
        benchmarks["modelnet40-h5"],
        pretraining,
        config,
    )
    with monkeypatch.context() as patch:
        calls = []
        original = engine.train
        from shapenet3d_cma.model.tasks import finetune as module

        def train(*arguments: object) -> object:
            calls.append(1)
            if len(calls) == 2:
                raise Killed
            return original(*arguments)  # type: ignore[arg-type]

        patch.setattr(module, "train", train)
        with pytest.raises(Killed):
            ablate(*given, report=quiet)
    assert "1 of 4 rows" in (tmp_path / "out" / "table-8.md").read_text()
    content = ablate(*given, report=quiet)
    assert list(content["rows"]) == list(TABLES[8])
    table = (tmp_path / "out" / "table-8.md").read_text()
    assert "4 of 4 rows" in table
    assert "both, lambda 0.0001" in table
    assert json.loads((tmp_path / "out" / "table-8.json").read_text()) == content
    for name in ("code", "shards_hash", "data_hash", "pretraining", "finetuning"):
        assert content[name]
    with pytest.raises(InputError, match="holds runs with table = 8, not 6"):
        ablate(
            toy_shards,
            tmp_path / "out",
            6,
            "modelnet40",
            benchmarks["modelnet40-h5"],
            pretraining,
            config,
            report=quiet,
        )
    with pytest.raises(InputError, match="the ablations are tables 6, 7, 8"):
        ablate(
            toy_shards,
            tmp_path / "o",
            5,
            "modelnet40",
            benchmarks["modelnet40-h5"],
            pretraining,
            config,
            report=quiet,
        )
