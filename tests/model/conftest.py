"""Toy shards: dotted ellipsoids seen by a camera, written in the schema's layout."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from shapenet3d_cma.core.camera import Camera
from shapenet3d_cma.core.schema import FORMAT, LIBVER, SCHEMA_VERSION, SHARD_FIELDS, create_field
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.encoders import PointEncoder
from shapenet3d_cma.model.train.pretraining import pretrain
from shapenet3d_cma.model.weights.encoder import encoder_bytes
from shapenet3d_cma.tests.model.runs import quiet


def farthest_first(points: np.ndarray, count: int) -> np.ndarray:
    chosen = [0]
    nearest = np.full(len(points), np.inf)
    for _ in range(count - 1):
        nearest = np.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(-1))
        chosen.append(int(nearest.argmax()))
    return np.array(chosen)


def toy_row(rng: np.random.Generator, points: int, size: int) -> dict:
    """One view of an ellipsoid; each point lies on its pixel's ray, as the reconstruction makes it."""
    eye = rng.normal(size=3) * [1, 0.5, 1]
    camera = Camera.from_fov(40, size, size).look_at(2 * eye / np.linalg.norm(eye), np.zeros(3))
    axes = rng.uniform(0.2, 0.55, 3)
    directions = rng.normal(size=(4 * points + 200, 3))
    surface = axes * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    surface = surface[(surface / axes**2) @ (camera.eye) > 1]  # the side that faces the camera
    uv, depth = camera.project(surface)
    pixels = np.floor(uv).astype(int)
    surface = camera.unproject(pixels + 0.5, depth)
    order = farthest_first(surface, points)
    rgb = np.full((size, size, 3), 255, np.uint8)
    colour = rng.integers(0, 200, 3)
    rgb[pixels[:, 1], pixels[:, 0]] = colour
    image = np.zeros((size, size), np.float32)
    image[pixels[:, 1], pixels[:, 0]] = depth
    return {
        "rgb": rgb,
        "depth": image,
        "intrinsics": camera.intrinsics,
        "cam_from_obj": camera.cam_from_obj,
        "points": surface[order],
        "pixels": pixels[order],
        "num_points": len(surface),
        "synset": "03001627",
        "view": 0,
    }


def write_shards(folder: Path, rows: list[dict], shards: int = 1) -> Path:
    """Write rows as a folder of shards with its manifest."""
    folder.mkdir(parents=True)
    listed = []
    for number, part in enumerate(np.array_split(np.arange(len(rows)), shards)):
        path = folder / f"shard-{number:05}.h5"
        height, width = rows[0]["rgb"].shape[:2]
        with h5py.File(path, "w", libver=LIBVER) as file:
            file.attrs.update({"format": FORMAT, "kind": "shard", "schema_version": SCHEMA_VERSION})
            for field in SHARD_FIELDS:
                dataset = create_field(
                    file, field, len(part), H=height, W=width, P=len(rows[0]["points"])
                )
                for i, row in enumerate(part):
                    dataset[i] = {"model_id": f"model{row}", **rows[row]}[field.name]
        content = path.read_bytes()
        digits = hashlib.sha256(content).hexdigest()
        listed.append(
            {"file": path.name, "rows": len(part), "bytes": len(content), "sha256": digits}
        )
    manifest = {"format": FORMAT, "schema_version": SCHEMA_VERSION, "shards": listed}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """On busy cores, torch's threads wait for one another far longer than such small work takes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """Every test draws the same numbers, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def toy_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve rows of 128 points and 64 x 64 pixels, in two shards."""
    rng = np.random.default_rng(0)
    rows = [toy_row(rng, points=128, size=64) for _ in range(12)]
    return write_shards(tmp_path_factory.mktemp("toy") / "shards", rows, shards=2)


@pytest.fixture
def make_shards(tmp_path: Path) -> Callable[..., Path]:
    """Write other shards: `make_shards(rows=3, points=64, size=32, change=lambda rows: ...)`."""

    def make(
        rows: int,
        points: int = 64,
        size: int = 64,
        change: Callable[[list[dict]], object] | None = None,
    ) -> Path:
        rng = np.random.default_rng(1)
        made = [toy_row(rng, points, size) for _ in range(rows)]
        if change:
            change(made)
        return write_shards(tmp_path / "shards", made)

    return make


@pytest.fixture(scope="session")
def tiny() -> PretrainConfig:
    """Every part of the network, as small as it gets; a step takes milliseconds."""
    return TINY


TINY = PretrainConfig.of(
    patches=16,
    patch_points=8,
    image_size=0,
    width=16,
    heads=2,
    point_depth=2,
    image_depth=2,
    global_depth=1,
    reconstruction_depth=2,
    embed_width=8,
    position_width=8,
    head_width=16,
    shared_width=8,
    epochs=4,
    batch_size=4,
    warmup_epochs=1,
    device="cpu",
    threads=1,
    workers=0,
    checkpoint_seconds=0,
    probe_epochs=0,
    picture_epochs=0,
)


ENCODER = PretrainConfig.of(
    patches=16,
    patch_points=8,
    width=16,
    heads=2,
    point_depth=3,
    embed_width=8,
    position_width=8,
    device="cpu",
)


@pytest.fixture(scope="session")
def encoder_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A point encoder as pretraining exports it."""
    path = tmp_path_factory.mktemp("run") / "encoder.safetensors"
    torch.manual_seed(1)
    path.write_bytes(encoder_bytes(PointEncoder(ENCODER.network), ENCODER))
    return path


@pytest.fixture
def encoder_config() -> PretrainConfig:
    return ENCODER


@pytest.fixture(scope="session")
def whole(
    toy_shards: Path, tiny: PretrainConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, PretrainConfig]:
    """An unbroken run of twelve steps, with branches dropped."""
    run, config = tmp_path_factory.mktemp("whole"), tiny.replace(drop_path=0.2)
    pretrain(toy_shards, run, config, quiet)
    return run, config
