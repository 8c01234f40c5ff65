"""The shipped recipes of the tasks."""

import dataclasses
from pathlib import Path

import pytest

from shapenet3d_cma.core.settings import read_settings
from shapenet3d_cma.model.tasks import engine
from shapenet3d_cma.model.tasks.config import (
    FewShotConfig,
    FinetuneConfig,
    SegmentConfig,
)

RECIPES = Path(engine.__file__).parent


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("modelnet40", FinetuneConfig), ("fewshot", FewShotConfig), ("shapenetpart", SegmentConfig),
    ],
)  # fmt: skip
def test_recipes_write_out_the_defaults(name: str, kind: type) -> None:
    assert read_settings(kind, RECIPES / f"{name}.toml") == kind()


def test_other_recipes_are_read() -> None:
    scans = read_settings(FinetuneConfig, RECIPES / "scanobjectnn.toml")
    assert scans == dataclasses.replace(FinetuneConfig(), points=2048, patches=128)
    for kind in (FinetuneConfig, FewShotConfig, SegmentConfig):
        assert read_settings(kind, RECIPES / "small.toml").epochs == 30
    assert read_settings(SegmentConfig, RECIPES / "small-parts.toml").points == 512
