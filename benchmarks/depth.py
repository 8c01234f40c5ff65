"""Depth against a ray cast of the source mesh, over all pixels of all views of all models.

    python benchmarks/depth.py [SHAPENET] [--views 8] [--size 224]

Without SHAPENET it makes procedural samples and pathologies. The mesh is read by trimesh and cast
by Open3D; its float32 hits are taken anew in float64 on the triangle that it names. Where ours
differs by more than 1e-4, or one hits and the other does not, a float64 cast at all triangles tells
who is right.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import open3d as o3d

from shapenet3d_cma.core.progress import track
from shapenet3d_cma.pack.surface import source_mesh
from shapenet3d_cma.render.config import RenderConfig
from shapenet3d_cma.render.render_file import Render, find_renders, open_render
from shapenet3d_cma.render.rendering import render_models
from shapenet3d_cma.render.shapenet.listing import find_models
from shapenet3d_cma.samples.config import SamplesConfig
from shapenet3d_cma.samples.shapenet_folder import write_samples

LIMIT = 1e-4


def pixel_rays(render: Render, view: int) -> np.ndarray:
    """(H, W, 6) float64: the camera's place, and the way to a pixel's centre at planar depth 1."""
    camera = render.camera(view)
    v, u = np.mgrid[: camera.height, : camera.width] + 0.5
    way = camera.unproject(np.stack([u, v], axis=-1), np.ones(u.shape)) - camera.eye
    return np.concatenate([np.broadcast_to(camera.eye, way.shape), way], axis=-1)


def exact_cast(triangles: np.ndarray, ray: np.ndarray) -> float:
    """Cast one ray at (T, 3, 3) triangles in float64; give the depth of the nearest hit, 0 where there is none."""
    along, across = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    away, way = ray[:3] - triangles[:, 0], ray[3:]
    with np.errstate(divide="ignore", invalid="ignore"):
        volume = np.einsum("tk,tk->t", np.cross(way, across), along)
        first = np.einsum("tk,tk->t", np.cross(way, across), away) / volume
        second = np.cross(away, along) @ way / volume
        depth = np.einsum("tk,tk->t", np.cross(away, along), across) / volume
        met = (first >= 0) & (second >= 0) & (first + second <= 1) & (depth > 0)
    return float(depth[met].min()) if met.any() else 0.0


def compare(render: Render, mesh) -> tuple[np.ndarray, int, int, int]:
    """Return errors where both hit, mismatched pixels, foreground pixels, and pixels that the exact cast denies."""
    errors, mismatched, foreground, wrong = [], 0, 0, 0
    scale = max(
        1.0, float(np.abs(mesh.triangles).max())
    )  # 1 for ShapeNet, whose models have unit size
    for view, depth in enumerate(render.depth):
        rays = pixel_rays(render, view)
        tensor = o3d.core.Tensor.from_numpy(rays.astype(np.float32))
        answer = mesh.scene.cast_rays(tensor)
        cast, triangle = answer["t_hit"].numpy().astype(np.float64), answer["primitive_ids"].numpy()
        hit, seen = np.isfinite(cast), depth > 0
        both = hit & seen
        corners = mesh.triangles[triangle[both]]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        origin, way = rays[both][:, :3], rays[both][:, 3:]
        with np.errstate(divide="ignore", invalid="ignore"):
            exact = np.einsum("mk,mk->m", normal, corners[:, 0] - origin) / np.einsum(
                "mk,mk->m", normal, way
            )
        exact = np.where(np.abs(exact - cast[both]) < LIMIT * scale, exact, cast[both])
        error = np.zeros(depth.shape)
        error[both] = np.abs(exact - depth[both]) / scale
        errors.append(error[both])
        mismatched += int((hit != seen).sum())
        foreground += int(hit.sum())
        doubtful = (hit != seen) | (error > LIMIT)
        for ray, ours in zip(rays[doubtful], depth[doubtful], strict=True):
            wrong += abs(exact_cast(mesh.triangles, ray) - ours) > LIMIT * scale
    return np.concatenate(errors), mismatched, foreground, wrong


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shapenet", type=Path, nargs="?")
    parser.add_argument("--views", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = words.shapenet or Path(scratch) / "shapenet"
        if words.shapenet is None:
            write_samples(root, SamplesConfig(per_category=2, pathologies=True))
        renders = Path(scratch) / "renders"
        config = RenderConfig(views=words.views, size=words.size, colour="best", samples=1)
        render_models(find_models(root), renders, config)
        errors, mismatched, foreground, wrong, worst = [], 0, 0, 0, ("", 0)
        paths = find_renders(renders)
        for path in track(paths, len(paths), "models"):
            with open_render(path) as render:
                mesh = source_mesh(root, render.synset, render.model_id)
                error, missed, pixels, bad = compare(render, mesh)
            errors.append(error)
            mismatched, foreground, wrong = mismatched + missed, foreground + pixels, wrong + bad
            worst = max(worst, (path.stem, missed), key=lambda pair: pair[1])
    error = np.concatenate(errors)
    print(f"{len(paths)} models, {words.views} views, {foreground:,} foreground pixels")
    print(
        f"median error {np.median(error):.1e}, 99.99 % {np.quantile(error, 0.9999):.1e}, maximum "
        f"{error.max():.1e}"
    )
    print(f"above {LIMIT:g}: {(error > LIMIT).sum()}")
    print(
        f"mask mismatches: {mismatched}, {1e4 * mismatched / foreground:.2f} in 10,000; most in "
        f"{worst[0]}: {worst[1]}"
    )
    print(f"of all these, {wrong} where a float64 cast at all triangles does not give our depth")


if __name__ == "__main__":
    main()
