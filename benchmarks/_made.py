"""Data for benchmarks: renders of procedural models, and large sets by repetition."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import h5py

from shapenet3d_cma.core.files import sha256
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.pack.writer import ShardWriter, encode_row
from shapenet3d_cma.render.config import RenderConfig
from shapenet3d_cma.render.render_file import find_renders
from shapenet3d_cma.render.rendering import render_models
from shapenet3d_cma.render.shapenet.listing import find_models
from shapenet3d_cma.samples.config import SamplesConfig
from shapenet3d_cma.samples.shapenet_folder import write_samples

RENDER = RenderConfig(views=8, samples=16, colour="best")


def renders_of(given: str | None, folder: Path) -> Path:
    """Return the renders that were named, or render one procedural model of each category."""
    if given:
        return Path(given)
    write_samples(folder / "shapenet", SamplesConfig(per_category=1))
    render_models(find_models(folder / "shapenet"), folder / "renders", RENDER)
    return folder / "renders"


def repeat_renders(renders: Path, out: Path, models: int) -> Path:
    """Copy render files over and over under new names."""
    sources = find_renders(renders)
    for number in range(models):
        source = sources[number % len(sources)]
        path = out / source.parent.name / f"{number:032x}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, path)
        with h5py.File(path, "a") as file:
            file.attrs["model_id"] = path.stem
    shutil.copy(renders / "render.json", out / "render.json")
    return out


def repeat_rows(shards: Path, out: Path, rows: int, shard_rows: int = 512) -> Path:
    """Write as many rows, those of `shards` over and over; every model id is new."""
    source = Shards(shards)
    encoded = [encode_row(row) for row in source]
    attributes = {
        name: source.manifest[name]
        for name in ("config", "render_config", "selection", "seed", "source")
    }
    out.mkdir(parents=True)
    with ShardWriter(out / "shard-00000.h5", attributes, max_rows=shard_rows) as shard:
        for number in range(rows):
            row = encoded[number % len(encoded)]
            row.values["model_id"] = f"{number:032x}"
            shard.append(row)
    sizes = [min(shard_rows, rows - begin) for begin in range(0, rows, shard_rows)]
    entries = [
        {"file": file.name, "rows": size, "bytes": file.stat().st_size, "sha256": sha256(file)}
        for file, size in zip(shard.files, sizes, strict=True)
    ]
    (out / "manifest.json").write_text(
        json.dumps(source.manifest | {"shards": entries, "rows": rows})
    )
    return out


def by_turns(rounds: int, *acts: Callable[[], float]) -> list[float]:
    """Run acts one after the other, again and again; give the best time of each, seconds."""
    return [
        min(times) for times in zip(*([act() for act in acts] for _ in range(rounds)), strict=True)
    ]


def timed(act: Callable[[], object]) -> float:
    """Return the seconds that an act takes."""
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin
