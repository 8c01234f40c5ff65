"""Reading a model: OBJ by this package, other formats by trimesh."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ModelError
from ...core.untrusted import shown
from ..colour import srgb_from_linear
from .bounds import MOST_ELEMENTS, check_faces, mesh_path, read_mesh_bytes, unusable_vertex
from .headers import check_header
from .images import bounded_pictures
from .mtl import Material, find_inside, read_materials
from .obj import Mesh, check_materials, check_obj, parse_obj, usable_mesh

__all__ = ["check_mesh", "load_geometries", "read_model"]

_MOST_NOTES = 1000


def read_model(
    folder: Path, file: str, scratch: Path, **reading: bool
) -> tuple[Mesh, dict[str, Material], list[str]]:
    """Read a model's geometry and materials.

    Units and axes are those of the file. The transforms of a scene are applied.

    Parameters
    ----------
    folder : the model's folder; nothing outside is read
    file : the mesh, relative to `folder`
    scratch : a folder of the model's own, for pictures that stand inside a GLB
    reading : how an OBJ's materials are read, see `read_materials`

    Returns
    -------
    mesh, materials by name, and warnings, one line each

    Raises
    ------
    ModelError : there is no such file, or it cannot be read
    """
    kind = Path(file).suffix[1:].upper()
    if kind != "OBJ":
        mesh, materials, notes = _convert(load_geometries(folder, file), scratch)
        if not len(mesh.sizes) and "faces with a vertex that is not finite" in mesh.faults:
            raise ModelError(
                f"its {kind} has no usable face: coordinates not finite, or too large for a render"
            )
    else:
        data = read_mesh_bytes(mesh_path(folder, file))
        check_obj(data)
        mesh = parse_obj(data)
        if len(mesh.vertices) and not len(mesh.sizes) and (why := unusable_vertex(data)):
            raise ModelError(f"its OBJ has no usable face: {why}")
        materials, notes = read_materials(folder, mesh.libraries, str(Path(file).parent), **reading)
        undefined = [name for name in mesh.material_names if name and name not in materials]
        notes += [f"material {shown(name)!r} is not defined" for name in undefined]
    check_faces(len(mesh.sizes))
    if len(notes) > _MOST_NOTES:
        notes = [*notes[:_MOST_NOTES], f"and {len(notes) - _MOST_NOTES:,} more notes"]
    return mesh, materials, notes


def check_mesh(folder: Path, file: str, data: bytes) -> None:
    """Refuse a mesh whose bytes show that it cannot be read.

    Parameters
    ----------
    folder, file : as for `read_model`
    data : what the file holds

    Raises
    ------
    ModelError : it cannot be read; the message says why
    """
    kind = Path(file).suffix[1:].lower()
    if kind == "obj":
        check_obj(data)
    else:
        check_header(data, kind, _InsideResolver(folder, str(Path(file).parent)).size)


class _InsideResolver:
    """The files that a GLTF or PLY names, only inside the model's folder."""

    def __init__(self, folder: Path, base: str) -> None:
        self.folder, self.base = folder, base

    def get(self, name: str) -> bytes:
        """Return the bytes of a file that the model names."""
        if (
            name == "model.gltf"
        ):  # trimesh's guess where a file is no JSON; it may be another model's
            raise ModelError("it is not a glTF document")
        path, note = find_inside(self.folder, unquote(name), self.base)
        if path is None:
            raise ModelError(f"its file {note}")
        return read_mesh_bytes(path)

    def size(self, name: str) -> int:
        """Return the bytes of a file, 0 where `get` would refuse it."""
        path, _ = find_inside(self.folder, unquote(name), self.base)
        return path.stat().st_size if path is not None else 0

    __getitem__ = get


def load_geometries(folder: Path, file: str) -> list[Any]:
    """Load a model by trimesh: triangle meshes in the file's frame.

    The transforms of its scene are applied.

    Raises
    ------
    ModelError : trimesh cannot read it, or a file that it needs is not inside `folder`
    """
    import trimesh

    logging.getLogger("trimesh").setLevel(
        logging.CRITICAL
    )  # its warnings come back as notes and reasons
    data = read_mesh_bytes(mesh_path(folder, file))
    kind = Path(file).suffix[1:].lower()
    try:
        check_mesh(folder, file, data)
        with bounded_pictures(), np.errstate(all="ignore"):
            # process=False keeps vertices and faces as the file has them.
            loaded = trimesh.load(
                io.BytesIO(data),
                file_type=kind,
                resolver=_InsideResolver(folder, str(Path(file).parent)),
                process=False,
                maintain_order=True,
            )
            parts = _parts(loaded)
    except ModelError as error:
        raise ModelError(f"{shown(file)} cannot be read: {error}") from None
    except MemoryError:
        raise ModelError(
            f"{shown(file)} cannot be read: it needs more memory than there is"
        ) from None
    except Exception:  # trimesh raises any kind of error, in words for programmers
        raise ModelError(
            f"{shown(file)} cannot be read: its {kind.upper()} is damaged, or of a kind unknown"
        ) from None
    for part in parts:
        if part.vertices.ndim != 2 or part.vertices.shape[1] != 3 or part.faces.ndim != 2:
            raise ModelError(
                f"{shown(file)} cannot be read: its vertices have not three coordinates"
            )
    return parts


def _parts(loaded: Any) -> list[Any]:
    """Return the triangle meshes of a scene, repeated as shown.

    Raises
    ------
    ModelError : more than memory holds
    """
    import trimesh

    if isinstance(loaded, trimesh.Scene):
        nodes = [loaded.graph[name][1] for name in loaded.graph.nodes_geometry]
        repeated = [loaded.geometry[name] for name in nodes if name in loaded.geometry]
        meshes = [part for part in repeated if isinstance(part, trimesh.Trimesh)]
        # Both sizes count three numbers for each row.
        if sum(part.faces.size + part.vertices.size for part in meshes) > 3 * MOST_ELEMENTS:
            raise ModelError("it shows its parts more often than memory holds")
        loaded = loaded.dump(concatenate=False)
    parts = np.atleast_1d(np.array(loaded, dtype=object))
    return [part for part in parts if isinstance(part, trimesh.Trimesh)]


def _convert(parts: list[Any], scratch: Path) -> tuple[Mesh, dict[str, Material], list[str]]:
    """Put trimesh's meshes together, a material each."""
    vertices, uvs, faces, owner = [], [], [], []
    materials: dict[str, Material] = {}
    notes: list[str] = []
    offset = 0
    for number, part in enumerate(parts):
        points, triangles = (
            np.asarray(part.vertices, dtype=np.float64),
            np.asarray(part.faces, dtype=np.int64),
        )
        materials[f"part {number}"] = _material(
            part.visual, scratch / f"texture{number}.png", notes
        )
        uv = getattr(part.visual, "uv", None)
        plain = uv is None or len(uv) != len(points)
        uvs.append(np.zeros((len(points), 2)) if plain else np.asarray(uv, dtype=np.float64)[:, :2])
        vertices.append(points)
        # All parts share one table of vertices: indices move up by those before.
        faces.append(triangles + offset)
        owner.append(np.full(len(triangles), number))
        offset += len(points)
    check_materials(len(materials))
    # The empty tables give the right shape if there is no part.
    corners = np.concatenate([*faces, np.zeros((0, 3), dtype=np.int64)]).ravel()
    mesh = usable_mesh(
        np.concatenate([*vertices, np.zeros((0, 3))]),
        np.nan_to_num(np.concatenate([*uvs, np.zeros((0, 2))]), nan=0.0, posinf=0.0, neginf=0.0),
        np.stack([corners, corners], axis=1),
        np.full(len(corners) // 3, 3),
        np.concatenate([*owner, np.zeros(0, dtype=np.int64)]),
        tuple(materials),
    )
    return mesh, materials, list(dict.fromkeys(notes))


def _material(visual: Any, texture: Path, notes: list[str]) -> Material:
    """Describe the look of a part.

    A picture inside the file is written to `texture`.
    """
    if not getattr(visual, "defined", False):
        return Material()
    if visual.kind in ("vertex", "face"):
        colours = (
            np.asarray(visual.vertex_colors if visual.kind == "vertex" else visual.face_colors)[
                :, :3
            ]
            / 255
        )
        if len(np.unique(colours, axis=0)) > 1:
            notes.append(f"{visual.kind} colours are shown by their mean")
        return Material(colour=_triple(colours.mean(axis=0)))
    material = visual.material
    if type(material).__name__ == "MultiMaterial":
        notes.append("of several materials on one part the first is shown")
        material = next(iter(material.materials), None)
    if type(material).__name__ == "PBRMaterial":
        return _pbr_material(material, texture)
    colour = np.asarray(getattr(material, "diffuse", [204, 204, 204, 255]))[:3] / 255
    image = _saved(getattr(material, "image", None), texture, np.ones(3))
    return Material(colour=_triple(colour), texture=image)


def _pbr_material(material: Any, texture: Path) -> Material:
    """Describe a glTF material by its base colour.

    The factor of a glTF is linear light; colours here are display values.
    """
    factor = np.array([1.0, 1.0, 1.0, 1.0])
    if material.baseColorFactor is not None:
        base = np.asarray(material.baseColorFactor)
        # Whole numbers are eight-bit values; others are in [0, 1] already.
        base = base / 255 if np.issubdtype(base.dtype, np.integer) else base.astype(np.float64)
        factor[: len(base)] = base
    colour = srgb_from_linear(np.clip(factor[:3], 0, 1))
    image = _saved(material.baseColorTexture, texture, colour)
    see_through = material.alphaMode in ("BLEND", "MASK")
    masked = see_through and image is not None and "A" in material.baseColorTexture.getbands()
    alpha = float(factor[3]) if see_through else 1.0
    rough = 1.0 if material.roughnessFactor is None else float(material.roughnessFactor)
    return Material(
        colour=_triple(colour),
        alpha=alpha if alpha > 0 else 1.0,
        texture=image,
        mask=image if masked else None,
        highlight=float(np.clip(1 - rough, 0, 1)),
        gloss=float(np.clip(1 - rough, 0, 1)),
    )


def _saved(image: Any, path: Path, factor: NDArray[np.float64]) -> Path | None:
    """Write a picture, its colours times a factor; None without a picture."""
    if image is None:
        return None
    from PIL import Image

    bands = "RGBA" if "A" in image.getbands() or "transparency" in image.info else "RGB"
    image = image.convert(bands)
    # A texture takes the colour's place, so the factor must go into its pixels.
    if (factor < 1).any():
        pixels = np.asarray(image, dtype=np.float64)
        pixels[..., :3] *= factor
        image = Image.fromarray(pixels.round().astype(np.uint8))
    image.save(path, compress_level=1)
    return path


def _triple(colour: NDArray[np.float64]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in colour)
    return red, green, blue
