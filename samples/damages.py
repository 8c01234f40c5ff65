"""Writers of faulty models, each with one of ShapeNet's faults."""

from __future__ import annotations

import dataclasses
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from . import palette as materials
from . import textures
from .model_folder import write_model, write_text
from .obj_writer import ModelFiles, Style, model_files, rows_text
from .palette import Material, Part, Rng, rgb
from .primitives import box, fit_uv
from .shapes import tableware

__all__ = [
    "CRATE_FACES",
    "MTL",
    "Writer",
    "built",
    "crate",
    "edited",
    "emptied",
    "enlarged",
    "flat_sheet",
    "in_mtl",
    "in_obj",
    "many_faces",
    "more_obj",
    "non_ascii",
    "only_texture",
    "relative",
    "rename_texture",
    "scattered_normals",
    "wire",
    "with_mask",
    "without_files",
]

OBJ, MTL = "model_normalized.obj", "model_normalized.mtl"
Writer = Callable[[Path, Rng], None]
Edit = Callable[[ModelFiles], ModelFiles]


def crate(material: Material) -> list[Part]:
    """Return a box with pictures on its sides, lid and foot.

    It has 36 triangles.
    """
    lid = Part("lid", box((0.9, 0.08, 0.5), (0, 0.66, 0), 0), materials.plain("3a6ea5"))
    foot = Part("foot", box((0.7, 0.1, 0.3), (0.1, -0.03, 0), 0), materials.plain("c98a1b"))
    return [Part("crate", fit_uv(box((0.8, 0.65, 0.4), (0, 0.32, 0), 0)), material), lid, foot]


CRATE_FACES = 36


def printed(rng: Rng) -> Material:
    """Return a material whose picture has no symmetry."""
    return Material(
        rgb("f4efe2"), texture=textures.label(rng, rgb("f4efe2"), rgb("1d2430"), rgb("c0392b"))
    )


def edited(*edits: Edit, style: Style | None = None) -> Writer:
    """Return a writer of the crate with its files changed."""

    def write(folder: Path, rng: Rng) -> None:
        files = model_files(crate(printed(rng)), style or Style(), rng)
        for edit in edits:
            files = edit(files)
        write_model(folder, files)

    return write


def built(
    builder: Callable[[Rng, int], list[Part]], number: int, style: Style, *edits: Edit
) -> Writer:
    """Return a writer of an ordinary model with its files changed."""

    def write(folder: Path, rng: Rng) -> None:
        files = model_files(builder(rng, number), style, rng)
        for edit in edits:
            files = edit(files)
        write_model(folder, files)

    return write


def in_mtl(pattern: str, replacement: str) -> Edit:
    """Change the MTL file by a regular expression."""

    def edit(files: ModelFiles) -> ModelFiles:
        text = re.sub(pattern, lambda _: replacement, files.mtl, flags=re.MULTILINE)
        return dataclasses.replace(files, mtl=text)

    return edit


def in_obj(pattern: str, replacement: str | Callable[[re.Match[str]], str], count: int = 0) -> Edit:
    """Change the OBJ file by a regular expression."""

    def edit(files: ModelFiles) -> ModelFiles:
        text = re.sub(pattern, replacement, files.obj, count=count, flags=re.MULTILINE)
        return dataclasses.replace(files, obj=text)

    return edit


def more_obj(text: str) -> Edit:
    """Append lines to the OBJ file."""
    return lambda files: dataclasses.replace(files, obj=files.obj + text)


def rename_texture(stored: str, named: str) -> Edit:
    """Store the picture under one name; refer to it by another path."""

    def edit(files: ModelFiles) -> ModelFiles:
        mtl = files.mtl.replace("../images/texture0.png", named)
        pictures = {stored: next(iter(files.textures.values()))} if stored else {}
        return dataclasses.replace(files, mtl=mtl, textures=pictures)

    return edit


def scattered_normals(folder: Path, rng: Rng) -> None:
    """Write a mug whose stored normals point anywhere."""
    files = model_files(tableware.mug(rng, 1), Style(normals=True), rng)
    count = len(re.findall(r"^vn ", files.obj, flags=re.MULTILINE))
    # Normal draws of length 1 are even over the sphere: (count, 3).
    normals = rng.normal(size=(count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    rows = iter(rows_text("vn %.6f %.6f %.6f\n", normals).splitlines())
    text = re.sub(r"^vn .*$", lambda _: next(rows), files.obj, flags=re.MULTILINE)
    write_model(folder, dataclasses.replace(files, obj=text))


def with_mask(folder: Path, rng: Rng) -> None:
    """Write a crate whose map_d cuts round holes into its sides."""
    edited(in_mtl(r"^map_Kd.*$", "map_Kd ../images/texture0.png\nmap_d ../images/mask.png"))(
        folder, rng
    )
    # (128, 128) offsets from the middle of each cell of 32 pixels: one hole a cell.
    rows, columns = np.indices((128, 128)) % 32 - 16
    mask = np.where(rows**2 + columns**2 < 100, 0, 255).astype(np.uint8)
    Image.fromarray(mask).save(folder / "images" / "mask.png", format="PNG")


def without_files(*names: str) -> Writer:
    """Return a writer that leaves files out."""

    def write(folder: Path, rng: Rng) -> None:
        edited()(folder, rng)
        for name in names:
            (folder / "models" / name).unlink()

    return write


def only_texture(folder: Path, rng: Rng) -> None:
    """Write a folder with a picture and no model.

    ShapeNet has some twenty such cars.
    """
    edited()(folder, rng)
    shutil.rmtree(folder / "models")


def emptied(folder: Path, rng: Rng) -> None:
    """Write an OBJ file of no bytes."""
    edited()(folder, rng)
    write_text(folder / "models" / OBJ, "")


def wire(folder: Path, rng: Rng) -> None:
    """Write vertices and line elements without a single face."""
    edited(in_obj(r"^f .*\n", ""), in_obj(r"^usemtl .*\n", ""), more_obj("l 1 2 3 4 1\nl 5 6\n"))(
        folder, rng
    )


def non_ascii(folder: Path, rng: Rng) -> None:
    """Write names outside ASCII for the group, a material and a picture."""
    edited(
        rename_texture("tëxtüre_纹理.png", "../images/tëxtüre_纹理.png"),
        in_mtl(r"material_0_24", "matière_é_木"),
        in_obj(r"material_0_24", "matière_é_木"),
        in_obj(r"mesh0_crate", "boîte_箱"),
    )(folder, rng)


def many_faces(folder: Path, rng: Rng) -> None:
    """Write a fluted vase of 300,000 triangles."""
    around, along = 500, 300
    # The wall of the vase: up the outside, down the inside, with flutes.
    angle = (np.arange(around) * (2 * math.pi / around))[None, :]
    half = np.linspace(0, 1, along // 2)
    outside = np.c_[0.16 + 0.12 * np.sin(math.pi * (half * 1.35 + 0.1)) ** 2, half * 0.8]
    profile = np.concatenate([outside, outside[::-1] - [0.02, 0]])
    flute = 0.012 * np.cos(24 * angle + 9 * profile[:, 1:]) * np.sin(math.pi * profile[:, 1:] / 0.8)
    radius = profile[:, :1] + flute
    # Points (along * around, 3), then the box of diagonal 1.
    points = np.stack(
        np.broadcast_arrays(radius * np.sin(angle), profile[:, 1:], radius * np.cos(angle)), axis=-1
    ).reshape(-1, 3)
    low, high = points.min(axis=0), points.max(axis=0)
    points = (points - (low + high) / 2) / np.linalg.norm(high - low)
    # Each quad of the grid, closed around and along, is two triangles.
    index = np.arange(around * along).reshape(along, around) + 1
    right, up, both = (
        np.roll(index, -1, axis=1),
        np.roll(index, -1, axis=0),
        np.roll(index, (-1, -1), axis=(0, 1)),
    )
    faces = np.stack([index, right, both, index, both, up], axis=-1).reshape(-1, 3)
    text = "mtllib model_normalized.mtl\n" + rows_text("v %.6f %.6f %.6f\n", points)
    text += "g vase\nusemtl material_0_24\n" + rows_text("f %d %d %d\n", faces)
    plain = model_files(crate(materials.paint(rng)), Style(), rng)
    record = {
        "max": high.tolist(),
        "centroid": points.mean(axis=0).tolist(),
        "min": low.tolist(),
        "numVertices": len(points),
    }
    write_model(folder, dataclasses.replace(plain, obj=text, json=record))


def enlarged(match: re.Match[str]) -> str:
    """Move a vertex line 100 units away and scale it by 40."""
    x, y, z = (40 * float(word) + 100 for word in match.group(1).split())
    return f"v {x:.6f} {y:.6f} {z:.6f}"


def relative(files: ModelFiles) -> ModelFiles:
    """Count the vertex indices of faces backward from the last vertex."""
    counts = {
        key: len(re.findall(rf"^{key} ", files.obj, flags=re.MULTILINE)) for key in ("v", "vt")
    }

    # OBJ calls the last vertex -1, so vertex n of N is n - N - 1.
    def corner(match: re.Match[str]) -> str:
        return f"{int(match.group(1)) - counts['v'] - 1}/{int(match.group(2)) - counts['vt'] - 1}"

    lines = [
        re.sub(r"(\d+)/(\d+)", corner, line) if line.startswith("f ") else line
        for line in files.obj.split("\n")
    ]
    return dataclasses.replace(files, obj="\n".join(lines))


def flat_sheet(folder: Path, rng: Rng) -> None:
    """Write a square without thickness; only its winding shows its front."""
    files = model_files(crate(printed(rng)), Style(), rng)
    text = (
        "mtllib model_normalized.mtl\nv 0.353553 -0.353553 0\nv -0.353553 -0.353553 0\nv "
        "-0.353553 0.353553 0\n"
        "v 0.353553 0.353553 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nusemtl material_0_24\nf 1/1 2/2 "
        "3/3 4/4\n"
    )
    write_model(folder, dataclasses.replace(files, obj=text))
