"""Materials of a model: MTL files and their textures.

Textures are looked for inside the model's folder only; faults become notes.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...core.errors import ModelError
from ...core.untrusted import read_bytes, shown
from .bounds import MOST_LINE_BYTES, MOST_LOOKUPS, MOST_MATERIALS, error_reason
from .images import MOST_IN_MODEL, Picture, examine_picture
from .obj import decode

__all__ = [
    "GREY",
    "LOST_TEXTURE",
    "METALLIC",
    "Material",
    "Pictures",
    "find_inside",
    "library_lines",
    "map_file",
    "read_alpha",
    "read_library",
    "read_materials",
]


@dataclass(frozen=True)
class Material:
    """The look of one side of a surface.

    Attributes
    ----------
    colour : (r, g, b) in [0, 1], display values (sRGB) as modelling programs write them
    alpha : in (0, 1]; 1 is opaque
    texture : image file that takes the colour's place
    mask : image file whose alpha or brightness multiplies `alpha`
    highlight : in [0, 1], how strong highlights are; 0 is matt
    gloss : in [0, 1], how sharp they are, from the specular exponent
    metal : whether its reflections have its own colour
    """

    colour: tuple[float, float, float] = (0.8, 0.8, 0.8)
    alpha: float = 1.0
    texture: Path | None = None
    mask: Path | None = None
    highlight: float = 0.0
    gloss: float = 0.0
    metal: bool = False


GREY = Material()
"""Stands in for a material that no MTL defines."""

LOST_TEXTURE = "texture"
"""The first word of a note on a missing, refused or unreadable texture."""

METALLIC = ("3", "4", "5", "6", "7", "8", "9")
"""Values of `illum` that stand for reflections, to some programs for metal."""

MATT = ("0", "1")
"""Values of `illum` without highlights."""

_MOST_BYTES = 2**26  # of an MTL; ShapeNet's largest have a hundredth of it

# options of a map line that take one word; -o, -s, -t and -mm take numbers
_WORD_OPTIONS = (
    "-blendu",
    "-blendv",
    "-boost",
    "-cc",
    "-clamp",
    "-imfchan",
    "-texres",
    "-bm",
    "-type",
)


def read_materials(
    folder: Path,
    libraries: tuple[str, ...],
    base: str = "models",
    *,
    forgive_paths: bool = True,
    opaque_zero: bool = True,
    metal: bool = False,
) -> tuple[dict[str, Material], list[str]]:
    """Read the MTL files that an OBJ names.

    Parameters
    ----------
    folder : the model's folder, `<synset>/<id>`. Nothing outside is read.
    libraries : names as `mtllib` gives them
    base : where the OBJ lies in it
    forgive_paths : see `find_inside`
    opaque_zero : whether an entirely invisible part is taken as opaque: exporters that mix up `d`
        and `Tr` write exactly 0 for surfaces that are there, and a part that depth shows should be
        seen
    metal : whether `illum` 3 and above, reflections, makes a metal

    Returns
    -------
    materials : by name
    notes : warnings, one line each, without repetition
    """
    materials: dict[str, Material] = {}
    notes: list[str] = []
    pictures = Pictures(folder, base, forgive_paths)
    done: set[Path] = set()
    for name in libraries[:MOST_LOOKUPS]:
        path, note = find_inside(folder, name, base, forgive=forgive_paths)
        if path is None:
            notes.append(f"material library {note}")
        elif path not in done:
            done.add(path)
            try:
                _take_library(read_library(path), pictures, materials, notes)
            except ModelError as error:
                notes.append(f"material library {shown(name)!r} {error}")
    for name, material in materials.items():
        visible = 1.0 if opaque_zero and material.alpha <= 0 else material.alpha
        materials[name] = replace(material, alpha=visible, metal=material.metal and metal)
    return materials, list(dict.fromkeys(notes))


def read_library(path: Path) -> bytes:
    """Read an MTL file of a bounded size.

    Raises
    ------
    ModelError : it cannot be read, or is larger than any; the message goes on after the file's name
    """
    try:
        return read_bytes(path, _MOST_BYTES).removeprefix(codecs.BOM_UTF8)
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot be read: {error_reason(error)}") from None


def library_lines(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield keyword, in lower case, and rest of each line of an MTL.

    Lines that are too long are skipped.
    """
    for line in data.splitlines():
        if len(line) <= MOST_LINE_BYTES:
            key, rest = [*decode(line).split(maxsplit=1), "", ""][:2]
            yield key.lower(), rest.strip()


@dataclass
class Pictures:
    """The pictures that a model's materials name, each looked up once.

    Attributes
    ----------
    folder, base, forgive : see `find_inside`
    """

    folder: Path
    base: str = "models"
    forgive: bool = True
    _found: dict[str, tuple[Path | None, str]] = field(default_factory=dict)
    _seen: dict[Path, Picture] = field(default_factory=dict)
    _folders: dict[Path, dict[str, str]] = field(default_factory=dict)
    _pixels: int = 0

    def find(self, reference: str) -> tuple[Path | None, str]:
        """Find a picture; return its path, or None and the reason."""
        if reference not in self._found:
            if len(self._found) >= MOST_LOOKUPS:
                return (
                    None,
                    f"of which more than {MOST_LOOKUPS:,} are named: the rest is not looked for",
                )
            path, note = self.locate(reference)
            if path is not None and (fault := self.fault(path)):
                path, note = None, f"{shown(reference)!r} cannot be read: {fault}"
            self._found[reference] = path, note
        return self._found[reference]

    def locate(self, reference: str) -> tuple[Path | None, str]:
        """Find the file of a picture, whatever it holds; see `find_inside`."""
        return find_inside(
            self.folder, reference, self.base, forgive=self.forgive, folders=self._folders
        )

    def fault(self, path: Path) -> str:
        """Return why a picture cannot be shown; empty if it can."""
        if path not in self._seen:
            picture = examine_picture(path)
            # All pictures of a model share one budget: those that come late lose.
            if self._pixels + picture.pixels > MOST_IN_MODEL:
                picture = Picture(
                    fault=f"the model's pictures have more than {MOST_IN_MODEL:,} pixels together"
                )
            self._pixels += picture.pixels
            self._seen[path] = picture
        return self._seen[path].fault


def _take_library(
    data: bytes, pictures: Pictures, materials: dict[str, Material], notes: list[str]
) -> None:
    name = ""
    matt: set[str] = set()
    for key, rest in library_lines(data):
        if key == "newmtl":
            if len(materials) >= MOST_MATERIALS:
                raise ModelError(
                    f"defines more than {MOST_MATERIALS:,} materials: the rest is not read"
                )
            name = rest
            materials[name] = GREY
        elif name not in materials or not rest:
            continue
        elif key in ("map_kd", "map_d"):
            path, note = pictures.find(map_file(rest))
            if path is None:
                notes.append(f"{LOST_TEXTURE} {note}")
            elif key == "map_kd":
                materials[name] = replace(materials[name], texture=path)
            else:
                materials[name] = replace(materials[name], mask=path)
        else:
            materials[name] = _read_value(materials[name], key, rest)
            if key == "illum":
                (matt.add if rest in MATT else matt.discard)(name)
    # a matt material has no highlights, whether `Ks` comes before or after `illum`
    for name in matt:
        materials[name] = replace(materials[name], highlight=0.0)


def _read_value(material: Material, key: str, rest: str) -> Material:
    """Change a material by a line that holds numbers."""
    if key == "kd":
        return replace(material, colour=_colour(rest, material.colour))
    if key == "d":
        return replace(material, alpha=read_alpha(rest, material.alpha))
    if key == "ks":
        return replace(material, highlight=sum(_colour(rest, (0.0, 0.0, 0.0))) / 3)
    if key == "ns":
        return replace(material, gloss=min(1.0, max(0.0, _number(rest, 0.0) / 1000)))
    if key == "illum":
        return replace(material, metal=rest in METALLIC)
    return material


def _is_number(word: str) -> bool:
    return _number(word, -1.0) == _number(word, 1.0)


def _number(word: str, default: float) -> float:
    try:
        value = float(word.split(maxsplit=1)[0])
    except (ValueError, IndexError):
        return default
    # the comparison is false for NaN, too
    return value if abs(value) < 1e9 else default


def _colour(rest: str, default: tuple[float, float, float]) -> tuple[float, float, float]:
    words = rest.split()
    # One number is a grey
    if len(words) == 1:
        words = words * 3
    if len(words) < 3:
        return default
    red, green, blue = (
        min(1.0, max(0.0, _number(word, value)))
        for word, value in zip(words, default, strict=False)
    )
    return red, green, blue


def read_alpha(rest: str, default: float) -> float:
    """Read `d`; 1 is opaque.

    `Tr` is not read: programs disagree on whether it is opacity or transparency.
    """
    return min(1.0, max(0.0, _number(rest.removeprefix("-halo").strip(), default)))


def map_file(rest: str) -> str:
    """Return the file name of a map line without its options.

    The name may hold spaces.
    """
    words = rest.split(" ")
    # a line may end behind an option: then no name is left
    while len(words) > 1 and words[0].startswith("-"):
        if words.pop(0).lower() in _WORD_OPTIONS:
            words.pop(0)
        while len(words) > 1 and _is_number(words[0]):
            words.pop(0)
    return " ".join(words).strip()


def find_inside(
    folder: Path,
    reference: str,
    base: str = "models",
    *,
    forgive: bool = True,
    folders: dict[Path, dict[str, str]] | None = None,
) -> tuple[Path | None, str]:
    """Find the file that a model refers to, inside the model's folder.

    Where paths are forgiven, backslashes count as slashes, letter case does not matter, and a file
    that is not where it should be is also looked for in `images/`.

    Parameters
    ----------
    folder : the model's folder
    reference : path as written, relative to the folder's `base`
    base : where the file that refers lies, relative to `folder`; "" is the folder itself
    folders : a cache of the names in each folder

    Returns
    -------
    path : an existing plain file inside `folder` (links resolved), or None
    note : why the path is None, or ""
    """
    quoted = repr(shown(reference))
    try:
        if len(reference.encode(errors="surrogateescape")) > MOST_LINE_BYTES or "\0" in reference:
            raise ValueError
        top = folder.resolve()
        if forgive:
            return _find(
                top, reference.replace("\\", "/"), base, quoted, {} if folders is None else folders
            )
        return _find_exactly(top, reference, base, quoted)
    except ValueError:  # as that of half a surrogate pair is, which JSON may hold
        return None, f"{quoted} is not a file name"
    except (OSError, RuntimeError) as error:  # a name too long, links in a ring
        return None, f"{quoted} cannot be looked up: {error_reason(error)}"


def _find(
    top: Path, reference: str, base: str, quoted: str, folders: dict[Path, dict[str, str]]
) -> tuple[Path | None, str]:
    if reference.startswith("/") or reference[1:2] == ":":
        return None, f"{quoted} refused: an absolute path"
    # First as written, then from the folders where models keep pictures, then from the top.
    for start in dict.fromkeys((base, f"{base}/images", "images", "")):
        path = _forgiving(top, f"{start}/{reference}", folders)
        if path is not None:
            return path, ""
    name = reference.rsplit("/", 1)[-1]
    path = _forgiving(top, f"images/{name}", folders) if name else None
    if path is not None:
        return path, ""
    if not (top / base / reference).resolve().is_relative_to(top):
        return None, f"{quoted} refused: it leads outside the model's folder"
    return None, f"{quoted} is missing"


def _find_exactly(top: Path, reference: str, base: str, quoted: str) -> tuple[Path | None, str]:
    if reference.startswith("/"):
        return None, f"{quoted} refused: an absolute path"
    path = (top / base / reference).resolve()
    if not path.is_relative_to(top):
        return None, f"{quoted} refused: it leads outside the model's folder"
    return (path, "") if path.is_file() else (None, f"{quoted} is missing")


def _forgiving(top: Path, reference: str, folders: dict[Path, dict[str, str]]) -> Path | None:
    """Follow a path below `top`, never out of it; letter case may differ.

    Each part is looked up by its exact name first.

    `..` is taken back beforehand: `../<model_id>/texture.jpg` beside the OBJ names a file of the
    model's own.
    """
    inside = os.path.relpath(os.path.normpath(f"{top}/{reference}"), top)
    path = top
    for part in inside.split("/"):
        if part == "..":
            return None
        if not (path / part).exists() and path.is_dir():
            part = _alike(path, folders).get(part.casefold(), part)  # noqa: PLW2901
        path = path / part
        # Nothing lies below a name that is missing: a path of thousands of them ends here.
        if not os.path.lexists(path):
            return None
        # A link may lead out of the model's folder.
        if path.is_symlink() and not path.resolve().is_relative_to(top):
            return None
    return path.resolve() if path.is_file() else None


def _alike(folder: Path, folders: dict[Path, dict[str, str]]) -> dict[str, str]:
    """Return the names in a folder by their case-folded form.

    Of names that differ only in case the first is kept.
    """
    if folder not in folders:
        names: dict[str, str] = {}
        for name in sorted(child.name for child in folder.iterdir()):
            names.setdefault(name.casefold(), name)
        folders[folder] = names
    return folders[folder]
