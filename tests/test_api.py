"""The package's face: its names, and that every example of docs/api.md runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import shapenet3d_cma as cma
from shapenet3d_cma.tests.waiting import PATIENCE

ROOT = Path(cma.__file__).parent
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.mark.needs("torch")
def test_every_name_loads_and_is_listed() -> None:
    for name in cma.__all__:
        assert getattr(cma, name).__name__ == name
    assert set(cma.__all__) <= set(dir(cma))


def test_every_name_is_in_the_documents() -> None:
    assert [name for name in cma.__all__ if f"`{name}`" not in PAGE] == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Shard'"):
        cma.Shard  # noqa: B018


def test_importing_the_package_loads_no_large_library() -> None:
    code = (
        "import sys, shapenet3d_cma; dir(shapenet3d_cma); shapenet3d_cma.InputError\n"
        "print({'numpy', 'torch', 'h5py', 'click', 'bpy', 'open3d'} & set(sys.modules))"
    )
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert done.stdout == "set()\n"


@pytest.mark.needs("torch")
def test_every_example_runs(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the blocks in the order of the page, in one namespace, as a reader would."""
    import torch

    from shapenet3d_cma.model.network import PointEncoder
    from shapenet3d_cma.model.weights.encoder import encoder_bytes

    config = cma.PretrainConfig.of(width=48, heads=6, point_depth=1, patches=16, patch_points=8)
    torch.manual_seed(1)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "encoder.safetensors").write_bytes(
        encoder_bytes(PointEncoder(config.network), config)
    )
    (tmp_path / "shards").symlink_to(shards)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) >= 6
    names: dict[str, object] = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"docs/api.md, block {number}", "exec"), names)
