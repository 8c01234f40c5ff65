"""Text of OBJ and MTL files, in the styles of ShapeNet.

A style is drawn for each model. Nearly every genuine ShapeNet model is two-sided by doubled faces;
many carry normals averaged over hard edges, line elements and groups; most are off the origin.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import palette as materials
from .palette import Material, Part, Rng, between, chance, pick
from .primitives import FloatArray, IntArray, Mesh, area_vectors, next_corner

__all__ = [
    "ModelFiles",
    "Style",
    "draw_style",
    "model_files",
    "mtl_entry",
    "normalised",
    "rows_text",
]


@dataclass(frozen=True)
class Style:
    """The manner in which a model is written.

    Attributes
    ----------
    doubled : every face is written twice, the second time turned over and with another material
    repeated : the second faces have vertices of their own, at the same positions
    normals : normals are stored, averaged over hard edges
    polygons : flat convex faces stay whole; else triangles only
    grouping : "g", "o" or "none"
    lines : hard edges are also written as line elements
    offset : the centre of the bounding box, object units
    """

    doubled: bool = False
    repeated: bool = False
    normals: bool = False
    polygons: bool = False
    grouping: str = "g"
    lines: bool = False
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)


def draw_style(rng: Rng) -> Style:
    """Draw a style.

    60 % of models are doubled, 80 % are off the origin by up to 0.2.
    """
    doubled, repeated, normals, polygons, lines = (
        chance(rng, p) for p in (0.6, 0.4, 0.6, 0.35, 0.5)
    )
    grouping = pick(rng, "g", "g", "o", "none")
    direction = rng.normal(size=3)
    reach = between(rng, 0.02, 0.2) if chance(rng, 0.8) else 0.0
    x, y, z = reach * direction / np.linalg.norm(direction)
    return Style(
        doubled, repeated, normals, polygons, grouping, lines, (float(x), float(y), float(z))
    )


@dataclass(frozen=True, eq=False)
class ModelFiles:
    """A model's files as text and pictures.

    Attributes
    ----------
    obj, mtl : the text of model_normalized.obj and .mtl
    textures : file name in images/ -> (h, w, 3) uint8 picture
    json : what model_normalized.json holds, less the id
    """

    obj: str
    mtl: str
    textures: dict[str, NDArray[np.uint8]]
    json: dict[str, object]


def rows_text(template: str, rows: NDArray[np.generic]) -> str:
    """Format every row of an array by a template.

    One call of `%` for all rows: a mesh of 300,000 faces needs it.
    """
    return (template * len(rows)) % tuple(rows.ravel().tolist())


def normalised(parts: Sequence[Part], offset: Sequence[float]) -> list[Part]:
    """Scale to a bounding box of diagonal 1, centred at `offset`.

    Vertices are rounded as they will be written.
    """
    points = np.concatenate([part.mesh.vertices for part in parts])
    low, high = points.min(axis=0), points.max(axis=0)
    scale, centre = 1 / float(np.linalg.norm(high - low)), (low + high) / 2
    placed = []
    for part in parts:
        # Adding 0.0 turns -0.0 into 0.0, so that no zero is written with a sign.
        vertices = np.round((part.mesh.vertices - centre) * scale + np.asarray(offset), 6) + 0.0
        placed.append(
            dataclasses.replace(part, mesh=dataclasses.replace(part.mesh, vertices=vertices))
        )
    return placed


def triangulated(mesh: Mesh, *, keep_flat: bool) -> Mesh:
    """Cut faces into fans of triangles.

    With `keep_flat` only faces that are not flat: readers would cut those differently, into different
    surfaces.
    """
    # (f,) faces that may stay as they are; all others are cut.
    intact = mesh.sizes == 3
    if keep_flat:
        normals = area_vectors(mesh)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        face = np.repeat(np.arange(len(mesh.sizes)), mesh.sizes)
        first = mesh.vertices[mesh.corners[mesh.starts]]
        # (corners,) distance of each corner from the plane of its face.
        height = np.abs(((mesh.vertices[mesh.corners] - first[face]) * normals[face]).sum(axis=1))
        intact |= np.maximum.reduceat(height, mesh.starts) < 2e-6
    pieces = []
    # Faces of one size are a table (faces, size) of corners.
    for size in np.unique(mesh.sizes):
        for chosen, fan in (
            ((mesh.sizes == size) & intact, False),
            ((mesh.sizes == size) & ~intact, True),
        ):
            corner = mesh.starts[chosen][:, None] + np.arange(size)
            if fan:
                # A fan from the first corner: (faces, size - 2, 3), then one row for each triangle.
                corner = corner[:, [[0, i, i + 1] for i in range(1, size - 1)]].reshape(-1, 3)
            pieces.append(corner)
    order = np.concatenate([piece.ravel() for piece in pieces]).astype(np.int64)
    sizes = np.concatenate([np.full(len(piece), piece.shape[1]) for piece in pieces])
    return drop_degenerate(Mesh(mesh.vertices, sizes, mesh.corners[order], mesh.uvs[order]))


def drop_degenerate(mesh: Mesh) -> Mesh:
    """Drop faces that rounding has collapsed, with an area below 1e-10."""
    keep = np.linalg.norm(area_vectors(mesh), axis=1) > 1e-10
    corner = np.repeat(keep, mesh.sizes)
    return Mesh(mesh.vertices, mesh.sizes[keep], mesh.corners[corner], mesh.uvs[corner])


def vertex_normals(mesh: Mesh) -> FloatArray:
    """Average the normals of all faces at a vertex.

    Hard edges are ignored, as in ShapeNet's files.
    """
    normals = np.zeros_like(mesh.vertices)
    # Sum of the face normals at each vertex, weighted by area.
    np.add.at(normals, mesh.corners, np.repeat(area_vectors(mesh), mesh.sizes, axis=0))
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    up = np.array([0.0, 1.0, 0.0])
    averaged: FloatArray = np.where(lengths > 1e-14, normals / np.maximum(lengths, 1e-14), up)
    return averaged


def hard_edges(mesh: Mesh) -> IntArray:
    """Return edges, (k, 2) int64, whose faces differ by over 40 degrees."""
    normals = area_vectors(mesh)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    face = np.repeat(np.arange(len(mesh.sizes)), mesh.sizes)
    # One edge from each corner to the next, (corners, 2), its lower vertex first.
    edges = np.sort(np.stack([mesh.corners, mesh.corners[next_corner(mesh)]], axis=-1), axis=1)
    # Equal edges stand side by side after sorting: neighbours in the list share one.
    order = np.lexsort((edges[:, 1], edges[:, 0]))
    edges, face = edges[order], face[order]
    twin = (edges[1:] == edges[:-1]).all(axis=1)
    sharp = twin & (
        (normals[face[1:]] * normals[face[:-1]]).sum(axis=1) < math.cos(math.radians(40))
    )
    return edges[1:][sharp]


def faces_text(sizes: IntArray, columns: Sequence[IntArray | None]) -> str:
    """Write faces.

    Parameters
    ----------
    sizes : (f,) int64, corners of each face
    columns : indices of vertex, texture coordinate and normal of each corner, counted from 1, or
        None
    """
    present = [column for column in columns if column is not None]
    corner = {1: " %d", 2: " %d/%d" if columns[2] is None else " %d//%d", 3: " %d/%d/%d"}[
        len(present)
    ]
    lines = {int(size): "f" + corner * int(size) + "\n" for size in np.unique(sizes)}
    # One template for all faces, filled by a single `%`.
    template = "".join([lines[size] for size in sizes.tolist()])
    return template % tuple(np.stack(present, axis=-1).ravel().tolist())


def mtl_entry(name: str, material: Material, texture: str | None = None) -> str:
    """Write one material; its colours are display values.

    `texture` is the path that the file names.
    """
    # MTL multiplies the picture by Kd: white leaves it as it is.
    colour = (1.0, 1.0, 1.0) if texture else material.colour
    lines = [
        f"newmtl {name}",
        f"Ns {material.shininess:.6f}",
        "Ka 0.000000 0.000000 0.000000",
        "Kd {:.6f} {:.6f} {:.6f}".format(*colour),
        f"Ks {material.specular:.6f} {material.specular:.6f} {material.specular:.6f}",
        f"d {material.alpha:.6f}",
        "illum 2",
    ]
    if texture:
        lines.append(f"map_Kd {texture}")
    return "\n".join(lines) + "\n\n"


class Materials:
    """The materials of one model in order of use, and their text."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        # Keeps the objects alive, so that no id is used twice
        self.kept: list[Material] = []
        self.text = "# Procedural sample\n\n"
        self.textures: dict[str, NDArray[np.uint8]] = {}

    def name(self, material: Material) -> str:
        """Return a material's name; at its first use, write its entry."""
        if id(material) not in self.names:
            name, path = f"material_{len(self.kept)}_24", None
            if material.texture is not None:
                file = f"texture{len(self.textures)}.png"
                self.textures[file], path = material.texture, f"../images/{file}"
            self.names[id(material)] = name
            self.kept.append(material)
            self.text += mtl_entry(name, material, path)
        return self.names[id(material)]


def back_sides(rng: Rng, parts: Sequence[Part]) -> dict[int, Material]:
    """Draw a back material for each front material, by its id."""
    backs: dict[int, Material] = {}
    for part in parts:
        if id(part.material) not in backs:
            backs[id(part.material)] = materials.back(rng, part.material)
    return backs


def model_files(parts: Sequence[Part], style: Style, rng: Rng) -> ModelFiles:
    """Write a model in a style; `rng` draws the back materials.

    Parameters
    ----------
    parts : metres, object frame, at any position

    Returns
    -------
    files : faces of all parts, wound counter-clockwise; a doubled model holds each part's faces a
        second time, turned over
    """
    points = np.concatenate([part.mesh.vertices for part in parts])
    placed = normalised(parts, style.offset)
    # A doubled model has another material behind each of its own.
    backs = back_sides(rng, parts) if style.doubled else {}
    library, heads, bodies = Materials(), [[], [], []], []  # type: tuple[Materials, list[list[str]], list[str]]
    counts = [1, 1, 1]
    for number, part in enumerate(placed):
        mesh = triangulated(part.mesh, keep_flat=style.polygons)
        mesh = dataclasses.replace(mesh, uvs=mesh.uvs * part.material.repeat)
        sides = [(mesh, part.material, part.name)]
        if style.doubled:
            other = dataclasses.replace(
                mesh.flipped(), uvs=mesh.flipped().uvs * [-1.3, 1.3] + [0.21, 0.37]
            )
            sides.append((other, backs[id(part.material)], part.name + "_back"))
        for side, (surface, material, name) in enumerate(sides):
            # The second side uses the vertices of the first, or copies of them.
            first = counts[0] - (len(mesh.vertices) if side and not style.repeated else 0)
            if not side or style.repeated:
                heads[0].append(rows_text("v %.6f %.6f %.6f\n", surface.vertices))
                counts[0] += len(surface.vertices)
            # Equal texture coordinates are written once.
            uvs, uv_index = np.unique(np.round(surface.uvs, 6) + 0.0, axis=0, return_inverse=True)
            heads[1].append(rows_text("vt %.6f %.6f\n", uvs))
            normal_index = None
            if style.normals:
                heads[2].append(
                    rows_text("vn %.6f %.6f %.6f\n", np.round(vertex_normals(surface), 6) + 0.0)
                )
                normal_index = surface.corners + counts[2]
                counts[2] += len(surface.vertices)
            # Indices of vertex, texture coordinate and normal, from 1.
            columns = [surface.corners + first, uv_index.reshape(-1) + counts[1], normal_index]
            counts[1] += len(uvs)
            header = "" if style.grouping == "none" else f"{style.grouping} mesh{number}_{name}\n"
            bodies.append(
                f"{header}usemtl {library.name(material)}\n" + faces_text(surface.sizes, columns)
            )
            # Hard edges as line elements, once a part.
            if style.lines and not side:
                bodies.append(rows_text("l %d %d\n", hard_edges(surface) + first))
    head = "# Procedural sample, CC0\n\nmtllib model_normalized.mtl\n\n"
    text = head + "\n".join("".join(block) for block in (*heads, bodies) if block)
    # The JSON file holds the bounds before the model is normalised.
    low, high = points.min(axis=0), points.max(axis=0)
    numbers = {"max": high, "centroid": points.mean(axis=0), "min": low}
    record: dict[str, object] = {key: np.round(value, 6).tolist() for key, value in numbers.items()}
    return ModelFiles(
        text, library.text, library.textures, {**record, "numVertices": counts[0] - 1}
    )
