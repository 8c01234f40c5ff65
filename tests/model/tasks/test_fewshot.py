"""Few-shot classification."""

import dataclasses
import json
from pathlib import Path

import pytest

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.model.tasks.config import (
    FewShotConfig,
)
from shapenet3d_cma.model.tasks.fewshot import fewshot
from shapenet3d_cma.tests.model.runs import quiet


def test_few_shot_folds_are_drawn_stored_and_learned(
    benchmarks: dict[str, Path], fewshot_config: FewShotConfig, encoder_file: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(fewshot_config, epochs=2)
    settings = [(2, 2), (3, 4)]
    given = {"init": encoder_file, "settings": settings, "folds": 2, "report": quiet}
    results = fewshot(tmp_path / "a", benchmarks["modelnet40-dat"], config, **given)
    listed = json.loads((tmp_path / "a" / "folds.json").read_text())["folds"]
    assert [(each["way"], each["shot"], each["fold"]) for each in listed] == [
        (2, 2, 0),
        (2, 2, 1),
        (3, 4, 0),
        (3, 4, 1),
    ]
    assert [len(each["train"]) for each in listed] == [4, 4, 12, 12]
    for name in ("2way_2shot", "3way_4shot"):
        assert len(results["accuracy"][name]["single"]["final"]) == 2
    table = (tmp_path / "a" / "results.md").read_text()
    assert "2 way, 2 shot" in table
    assert "mean ± deviation over 2 folds" in table
    assert not list((tmp_path / "a").rglob("*.safetensors"))
    again = fewshot(tmp_path / "b", benchmarks["modelnet40-dat"], config, **given)
    assert again["accuracy"] == results["accuracy"]
    with pytest.raises(InputError, match="5 way, 10 shot needs 5 classes"):
        fewshot(
            tmp_path / "c", benchmarks["modelnet40-dat"], config, init=encoder_file, report=quiet
        )


def test_few_shot_reads_pickled_folds_first(
    fewshot_config: FewShotConfig, encoder_file: Path, tmp_path: Path
) -> None:
    from .benchmarks.test_layouts import write_fold

    write_fold(tmp_path / "data" / "5way_2shot" / "0.pkl", 5, 2, points=80)
    config = dataclasses.replace(fewshot_config, epochs=1)
    lines: list[str] = []
    results = fewshot(tmp_path / "run", tmp_path / "data", config, init=encoder_file, settings=[(5, 2)], folds=1,
                      report=lines.append)  # fmt: skip
    assert results["folds"] == "pickles"
    assert ", one fold\n" in results["table"]
    assert "±" not in results["table"]
    assert lines[0].startswith("fewshot: fewshot-pickle in")
    with pytest.raises(InputError, match=r"has no 5way_2shot/1\.pkl"):
        fewshot(
            tmp_path / "run2",
            tmp_path / "data",
            config,
            init=encoder_file,
            settings=[(5, 2)],
            folds=2,
            report=quiet,
        )
    assert not (tmp_path / "run2").exists()
