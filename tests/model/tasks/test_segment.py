"""Part segmentation, from the data to the page."""

import dataclasses
from pathlib import Path

import pytest

from shapenet3d_cma.model.tasks.config import (
    SegmentConfig,
)
from shapenet3d_cma.model.tasks.segment import segment
from shapenet3d_cma.tests.model.runs import quiet


@pytest.mark.parametrize("train_on", ["train", "trainval"])
def test_segmentation_leaves_scores_a_page_and_coloured_points(
    benchmarks: dict[str, Path],
    segment_config: SegmentConfig,
    encoder_file: Path,
    tmp_path: Path,
    train_on: str,
) -> None:
    config = dataclasses.replace(segment_config, train_on=train_on)  # type: ignore[arg-type]
    results = segment(
        tmp_path / "run", benchmarks["shapenetpart-text"], config, init=encoder_file, report=quiet
    )
    scores = results["runs"][0]["scores"]
    assert list(scores) == ["final", "best_on_test"] + ["chosen_on_val"] * (train_on == "train")
    assert list(scores["final"]["categories"]) == ["Laptop", "Mug"]
    assert 0 < scores["final"]["instance"] <= scores["best_on_test"]["instance"] <= 1
    table = (tmp_path / "run" / "results.md").read_text()
    assert "over instances" in table
    assert "| Laptop" in table
    page = (tmp_path / "run" / "page.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert "http" not in page
    plys = sorted((tmp_path / "run" / "ply").iterdir())
    assert len(plys) == 8
    import trimesh

    cloud = trimesh.load(plys[0])
    assert cloud.vertices.shape == (64, 3)
    assert len(set(map(tuple, cloud.colors.tolist()))) <= 2
    again = segment(
        tmp_path / "run", benchmarks["shapenetpart-text"], config, init=encoder_file, report=quiet
    )
    assert again["runs"] == results["runs"]


def test_parts_are_learned(
    benchmarks: dict[str, Path], segment_config: SegmentConfig, encoder_file: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(
        segment_config, epochs=40, learning_rate=1e-2, dropout=0.0, measure_every=40
    )
    still = dataclasses.replace(config, epochs=1, learning_rate=0.0)
    before = segment(
        tmp_path / "a", benchmarks["shapenetpart-h5"], still, init=encoder_file, report=quiet
    )
    after = segment(
        tmp_path / "b", benchmarks["shapenetpart-h5"], config, init=encoder_file, report=quiet
    )
    first, last = (each["runs"][0]["scores"]["final"]["instance"] for each in (before, after))
    assert last > max(0.5, first + 0.1)
