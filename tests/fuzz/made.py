"""Renders and shards that are valid and tiny, made in a moment and without Blender: what faults are put into."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import matplotlib.font_manager  # noqa: F401 - reads its list of fonts now, not within bounds
import numpy as np

from shapenet3d_cma.core.settings import config_hash
from shapenet3d_cma.pack.config import PackConfig
from shapenet3d_cma.pack.packing import pack_renders
from shapenet3d_cma.render.cameras import place_cameras
from shapenet3d_cma.render.config import RenderConfig
from shapenet3d_cma.render.render_file import write_render

RENDER = RenderConfig(views=2, size=16, samples=1)
PACK = PackConfig(points=32, keep="all", shard_rows=4)
MODELS = ("02691156/a", "02691156/b", "03001627/c")


def make_renders(out: Path) -> Path:
    """Write three render files of two views, each a bent square before a grey ground."""
    corners = np.array([[x, y, z] for x in (-0.3, 0.3) for y in (-0.3, 0.3) for z in (-0.3, 0.3)])
    v, u = np.mgrid[:16, :16]
    inside = (np.abs(v - 7) < 5) & (np.abs(u - 8) < 5)
    for number, key in enumerate(MODELS):
        synset, model_id = key.split("/")
        cameras = place_cameras(corners, RENDER, key)
        depths = [
            np.where(inside, 1 + 0.01 * u + 0.003 * (number + view) * v, 0)
            for view in range(len(cameras))
        ]
        rgb = np.where(
            inside[..., None], np.stack([9 * u, 9 * v, 5 * u + 5 * v], axis=-1), 200
        ).astype(np.uint8)
        attributes = {"synset": synset, "model_id": model_id, "config": dataclasses.asdict(RENDER)}
        attributes |= {
            "config_hash": config_hash(RENDER),
            "repairs": {},
            "notes": [],
            "materials": [],
        }
        path = out / synset / f"{model_id}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        colour = {view: {"rgb": rgb} for view in range(len(cameras))}
        write_render(
            path, cameras, {"depth": np.stack(depths).astype(np.float32)}, colour, attributes
        )
    settings = {"config_hash": config_hash(RENDER), "config": dataclasses.asdict(RENDER)}
    (out / "render.json").write_text(json.dumps(settings))
    return out


def make_shards(renders: Path, out: Path) -> Path:
    """Pack them: two shards, of four rows and of two."""
    assert pack_renders(renders, out, PACK, jobs=1).rows == 2 * len(MODELS)
    return out


def vouch(folder: Path) -> None:
    """Let the manifest vouch for the shards as they are now, as one who changes them on purpose would."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for entry in manifest["shards"]:
        content = (folder / entry["file"]).read_bytes()
        entry["bytes"], entry["sha256"] = len(content), hashlib.sha256(content).hexdigest()
    path.write_text(json.dumps(manifest))
