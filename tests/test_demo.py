from __future__ import annotations

import json
from pathlib import Path

import pytest

from shapenet3d_cma import demo
from shapenet3d_cma.pack.config import PackConfig
from shapenet3d_cma.render.config import RenderConfig
from shapenet3d_cma.samples.config import SamplesConfig


@pytest.mark.needs("bpy", "torch")
def test_the_demo_runs_every_step_and_a_second_call_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same steps as for users, on fewer and smaller models."""
    monkeypatch.setattr(
        demo, "SAMPLES", SamplesConfig(per_category=1, categories="chair,mug,car,bed")
    )
    monkeypatch.setattr(demo, "RENDER", RenderConfig(views=4, size=64, samples=2, colour="best"))
    monkeypatch.setattr(demo, "PACK", PackConfig(points=512))
    monkeypatch.setattr(demo, "pretrain_settings", lambda: SMALL().replace(epochs=2, patches=16))
    summary, failed = demo.run_demo(tmp_path)
    assert failed == 0
    for line in (
        "4 procedural CAD models of 4 categories",
        "4 rows",
        "loss",
        "cma3d build ShapeNetCore.v2 dataset",
    ):
        assert line in summary
    for made in (
        "shapenet/taxonomy.json",
        "shards/manifest.json",
        "pictures/overview.png",
        "run/run.html",
    ):
        assert (tmp_path / made).stat().st_size > 0
    assert json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])["epoch"] == 2
    assert "every law holds" in capsys.readouterr().err
    renders = {path: path.stat().st_mtime_ns for path in (tmp_path / "renders").glob("*/*.h5")}
    shards = {path: path.stat().st_mtime_ns for path in (tmp_path / "shards").glob("*.h5")}
    demo.run_demo(tmp_path)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in (renders | shards).items())


SMALL = demo.pretrain_settings
