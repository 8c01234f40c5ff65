"""One model for each known fault of ShapeNet's files, and what must come of it.

Every entry of `PATHOLOGIES` says in words and figures what a renderer has to make of the model;
`pathologies.json` beside the samples repeats that for programs.
"""

from __future__ import annotations

import dataclasses
import math
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from . import furniture, objects, textures, vehicles
from . import palette as materials
from .categories import CATEGORIES
from .obj_writer import ModelFiles, Style, model_files, rows_text
from .palette import Material, Part, Rng, rgb
from .primitives import box, fit_uv
from .rigging import write_model, write_text

__all__ = ["PATHOLOGIES", "Pathology"]

OBJ, MTL = "model_normalized.obj", "model_normalized.mtl"
Writer = Callable[[Path, Rng], None]
Edit = Callable[[ModelFiles], ModelFiles]


@dataclass(frozen=True)
class Pathology:
    """A faulty model.

    Attributes
    ----------
    category : the category that it stands in
    fault : its name; the model's id is `pathology-` and this
    outcome : "rendered" where something can be shown, "failed" where there is no surface at all
    expected : what must come of it, in words
    writer : writes its files
    properties : what can be checked: `faces` in the file, `faces_after_repair`, `texture_shown`;
        `pairs`: repair makes one face of each two
    suffix : added to the id
    """

    category: str
    fault: str
    outcome: Literal["rendered", "failed"]
    expected: str
    writer: Writer
    properties: dict[str, Any] = field(default_factory=dict)
    suffix: str = ""

    @property
    def synset(self) -> str:
        """The synset id of its category."""
        return CATEGORIES[self.category]

    @property
    def model_id(self) -> str:
        """The name of its folder."""
        return f"pathology-{self.fault}{self.suffix}"

    def write(self, folder: Path, rng: Rng) -> None:
        """Write the model into a folder that doesn't exist yet."""
        self.writer(folder, rng)

    def record(self) -> dict[str, Any]:
        """Return what pathologies.json says of it."""
        return {
            "synset": self.synset,
            "model_id": self.model_id,
            "fault": self.fault,
            "outcome": self.outcome,
            "expected": self.expected,
            **({"properties": self.properties} if self.properties else {}),
        }


def crate(material: Material) -> list[Part]:
    """Return a box with a picture on each side, a lid and a foot: 36 triangles, easy to count."""
    lid = Part("lid", box((0.9, 0.08, 0.5), (0, 0.66, 0), 0), materials.plain("3a6ea5"))
    foot = Part("foot", box((0.7, 0.1, 0.3), (0.1, -0.03, 0), 0), materials.plain("c98a1b"))
    return [Part("crate", fit_uv(box((0.8, 0.65, 0.4), (0, 0.32, 0), 0)), material), lid, foot]


CRATE_FACES = 36


def printed(rng: Rng) -> Material:
    """Return a picture on which left and right, up and down can be told."""
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
    """Return a writer of one of the ordinary models in a manner, its files changed."""

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
    """Store the picture under one name and let the MTL file call it by another path."""

    def edit(files: ModelFiles) -> ModelFiles:
        mtl = files.mtl.replace("../images/texture0.png", named)
        pictures = {stored: next(iter(files.textures.values()))} if stored else {}
        return dataclasses.replace(files, mtl=mtl, textures=pictures)

    return edit


def scattered_normals(folder: Path, rng: Rng) -> None:
    """Write a mug whose stored normals point anywhere."""
    files = model_files(objects.mug(rng, 1), Style(normals=True), rng)
    count = len(re.findall(r"^vn ", files.obj, flags=re.MULTILINE))
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
    """Write a folder that holds a picture and no model, as some twenty cars of ShapeNet do."""
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
    angle = (np.arange(around) * (2 * math.pi / around))[None, :]
    half = np.linspace(0, 1, along // 2)
    outside = np.c_[0.16 + 0.12 * np.sin(math.pi * (half * 1.35 + 0.1)) ** 2, half * 0.8]
    profile = np.concatenate([outside, outside[::-1] - [0.02, 0]])
    flute = 0.012 * np.cos(24 * angle + 9 * profile[:, 1:]) * np.sin(math.pi * profile[:, 1:] / 0.8)
    radius = profile[:, :1] + flute
    points = np.stack(
        np.broadcast_arrays(radius * np.sin(angle), profile[:, 1:], radius * np.cos(angle)), axis=-1
    ).reshape(-1, 3)
    low, high = points.min(axis=0), points.max(axis=0)
    points = (points - (low + high) / 2) / np.linalg.norm(high - low)
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
    """Count the indices of the faces backward from the last vertex, as OBJ allows."""
    counts = {
        key: len(re.findall(rf"^{key} ", files.obj, flags=re.MULTILINE)) for key in ("v", "vt")
    }

    def corner(match: re.Match[str]) -> str:
        return f"{int(match.group(1)) - counts['v'] - 1}/{int(match.group(2)) - counts['vt'] - 1}"

    lines = [
        re.sub(r"(\d+)/(\d+)", corner, line) if line.startswith("f ") else line
        for line in files.obj.split("\n")
    ]
    return dataclasses.replace(files, obj="\n".join(lines))


def flat_sheet(folder: Path, rng: Rng) -> None:
    """Write one square without thickness, seen from the front only by its winding."""
    files = model_files(crate(printed(rng)), Style(), rng)
    text = (
        "mtllib model_normalized.mtl\nv 0.353553 -0.353553 0\nv -0.353553 -0.353553 0\nv -0.353553 0.353553 0\n"
        "v 0.353553 0.353553 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nusemtl material_0_24\nf 1/1 2/2 3/3 4/4\n"
    )
    write_model(folder, dataclasses.replace(files, obj=text))


TWICE = Style(doubled=True, repeated=True, normals=True)
SHOWN = {"texture_shown": True, "faces": CRATE_FACES}
NOT_SHOWN = {"texture_shown": False, "faces": CRATE_FACES}

PATHOLOGIES: tuple[Pathology, ...] = (
    Pathology(
        "chair",
        "doubled-faces",
        "rendered",
        "Every face is there twice, the second turned over, with another material and vertices of its own. Only the "
        "front's material may be seen from outside; each pair becomes one face.",
        built(furniture.chair, 2, TWICE),
        {"pairs": True},
    ),
    Pathology(
        "car",
        "doubled-shared-vertices",
        "rendered",
        "As doubled-faces, with both faces of a pair on the same vertices: an importer that validates meshes "
        "throws one away.",
        built(vehicles.car, 0, Style(doubled=True)),
        {"pairs": True},
    ),
    Pathology(
        "mug",
        "wrong-normals",
        "rendered",
        "Stored normals point anywhere. Shading must come from the geometry: smooth, without stains.",
        scattered_normals,
    ),
    Pathology(
        "table",
        "duplicate-faces",
        "rendered",
        "Every face is written twice with the same winding and material. One of each stays; no speckles.",
        edited(in_obj(r"^(f .*\n)", r"\1\1")),
        {"faces": 2 * CRATE_FACES, "faces_after_repair": CRATE_FACES},
    ),
    Pathology(
        "cabinet",
        "missing-texture",
        "rendered",
        "The MTL file names a picture that does not exist. The material's plain colour is shown, not purple, and "
        "a warning is kept.",
        edited(rename_texture("", "../images/nowhere.png")),
        NOT_SHOWN,
    ),
    Pathology(
        "cabinet",
        "parent-path",
        "rendered",
        "The picture lies at ../images/, as in most of ShapeNet. It is found.",
        edited(),
        SHOWN,
    ),
    Pathology(
        "cabinet",
        "backslash-path",
        "rendered",
        "The path is written with backslashes. The picture is found on every system.",
        edited(rename_texture("texture0.png", "..\\images\\texture0.png")),
        SHOWN,
    ),
    Pathology(
        "cabinet",
        "letter-case",
        "rendered",
        "The picture's name is written in other letter case. It is found where just one file fits.",
        edited(rename_texture("texture0.png", "../Images/Texture0.PNG")),
        SHOWN,
    ),
    Pathology(
        "cabinet",
        "spaces-in-name",
        "rendered",
        "The picture's name holds spaces. It is found.",
        edited(rename_texture("my texture 0.png", "../images/my texture 0.png")),
        SHOWN,
    ),
    Pathology(
        "bottle",
        "alpha-half",
        "rendered",
        "d 0.5 everywhere. Depth is that of the nearest surface, as if it were opaque; only colour may show through.",
        edited(in_mtl(r"^d .*$", "d 0.500000")),
        SHOWN,
    ),
    Pathology(
        "bottle",
        "alpha-zero",
        "rendered",
        "One material has d 0, the crate between lid and foot. Depth and mask agree on it, one way or the other, "
        "in every pixel.",
        edited(in_mtl(r"^d .*(?=\nillum 2\nmap_Kd)", "d 0.000000")),
        {"faces": CRATE_FACES},
    ),
    Pathology(
        "bottle",
        "tr-instead-of-d",
        "rendered",
        "Tr 0.7 stands in place of d. Programs disagree whether it is opacity or its opposite, so it is ignored: "
        "opaque.",
        edited(in_mtl(r"^d .*$", "Tr 0.700000")),
        SHOWN,
    ),
    Pathology(
        "lamp",
        "map-d",
        "rendered",
        "map_d cuts holes into the crate's sides. Depth is that of the nearest surface, as if it were opaque.",
        with_mask,
        SHOWN,
    ),
    Pathology(
        "lamp",
        "illum-7",
        "rendered",
        "illum 7 asks for mirrors, which Blender takes for metal. The model is lit and not black.",
        edited(in_mtl(r"^illum .*$", "illum 7")),
        SHOWN,
    ),
    Pathology(
        "clock",
        "undefined-material",
        "rendered",
        "The faces use a material that the MTL file lacks. They are shown in grey.",
        edited(in_obj(r"^usemtl material_0_24$", "usemtl nowhere")),
        NOT_SHOWN,
    ),
    Pathology(
        "clock",
        "missing-mtl",
        "rendered",
        "There is no MTL file. Everything is shown in grey.",
        without_files(MTL),
        NOT_SHOWN,
    ),
    Pathology(
        "clock",
        "missing-json",
        "rendered",
        "There is no model_normalized.json. Nothing depends on it.",
        without_files("model_normalized.json"),
        SHOWN,
    ),
    Pathology(
        "car",
        "empty-obj",
        "failed",
        "The OBJ file has no bytes: nothing to render. The reason names the file.",
        emptied,
    ),
    Pathology(
        "car",
        "no-obj",
        "failed",
        "The folder holds a picture and no OBJ file. The reason names the file that is missing.",
        only_texture,
    ),
    Pathology(
        "sofa",
        "no-faces",
        "failed",
        "The OBJ file holds vertices and line elements and no face: no surface to render.",
        wire,
    ),
    Pathology(
        "sofa",
        "nan-vertex",
        "rendered",
        "One vertex is NaN. The faces that use it are dropped, the rest is rendered, and framing takes finite "
        "vertices only.",
        edited(more_obj("v nan nan nan\nf 1 2 25\nf -1 3 4\n")),
        {"faces": CRATE_FACES + 2, "faces_after_repair": CRATE_FACES},
    ),
    Pathology(
        "bench",
        "zero-area",
        "rendered",
        "Faces whose corners coincide or lie on one line. They are dropped without a word to the user; the rest "
        "is rendered.",
        edited(
            more_obj(
                "v 0 0.7 0\nv 0 0.8 0\nv 0 0.9 0\nv 0 0.7 0\nf 25 26 27\nf 25 26 28\nf 1 1 2\n"
            )
        ),
        {"faces_after_repair": CRATE_FACES},
    ),
    Pathology(
        "bench",
        "index-out-of-range",
        "rendered",
        "Two faces use vertices that don't exist. Those faces are dropped, the rest is rendered.",
        edited(more_obj("f 1 2 999\nf 1000000 3 4\n")),
        {"faces_after_repair": CRATE_FACES},
    ),
    Pathology(
        "bench",
        "relative-indices",
        "rendered",
        "Negative indices count backward, as OBJ allows. The same model as parent-path comes out.",
        edited(relative),
        SHOWN,
    ),
    Pathology(
        "bench",
        "crlf",
        "rendered",
        "Lines end in carriage return and line feed in OBJ and MTL. Names must not carry the return with them.",
        edited(in_obj(r"\n", "\r\n"), in_mtl(r"\n", "\r\n")),
        SHOWN,
    ),
    Pathology(
        "bed",
        "non-ascii",
        "rendered",
        "The model's id, a group, a material and a picture have names outside ASCII. The picture is shown; the id "
        "is kept as it is.",
        non_ascii,
        SHOWN,
        "-naïve-écaille-模型",
    ),
    Pathology(
        "bed",
        "line-elements",
        "rendered",
        "Hard edges are written as line elements, too. They are ignored: no wires in colour or depth, and no loss "
        "of faces.",
        edited(style=Style(lines=True)),
        SHOWN,
    ),
    Pathology(
        "bed",
        "not-normalised",
        "rendered",
        "The model is 40 units large and 100 off the origin. It fills the picture all the same; points are in the "
        "file's own coordinates.",
        edited(in_obj(r"^v (.*)$", enlarged)),
        SHOWN,
    ),
    Pathology(
        "table",
        "flat-sheet",
        "rendered",
        "One square without thickness. It is rendered from both sides; a view along it may be empty.",
        flat_sheet,
        {"faces": 1},
    ),
    Pathology(
        "bottle",
        "many-faces",
        "rendered",
        "300,000 triangles. Rendered, in time that grows no faster than the count.",
        many_faces,
        {"faces": 300_000, "faces_after_repair": 300_000},
    ),
    Pathology(
        "laptop",
        "path-outside",
        "rendered",
        "The picture's path leads out of the collection. That file is not read; the plain colour is shown, and a "
        "warning is kept.",
        edited(rename_texture("", "../../../../etc/hostname")),
        NOT_SHOWN,
    ),
    Pathology(
        "laptop",
        "path-absolute",
        "rendered",
        "The picture's path is absolute and leads out of the collection. That file is not read; the plain colour "
        "is shown, and a warning is kept.",
        edited(rename_texture("", "/etc/hostname")),
        NOT_SHOWN,
    ),
)
