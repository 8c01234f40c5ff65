"""Headers of PLY, OFF, STL and glTF, checked against file sizes.

The check comes before trimesh reads the file.

Each function takes a file's bytes and refuses impossible counts: more than the file has bytes for,
or more than any model needs. The messages are for the owner of the file.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

from ...core.errors import ModelError
from ...core.untrusted import parse_json, shown
from .bounds import MOST_BYTES, MOST_ELEMENTS

__all__ = ["check_header"]

_MOST_HEADER = 2**20  # bytes of a PLY's header
_MOST_FIELDS = 256
_MOST_PARTS = 100_000  # of each kind in a scene
_MOST_DEEP = 100  # nodes below each other
_SIZES = {
    **dict.fromkeys(("char", "uchar", "int8", "uint8"), 1),
    **dict.fromkeys(("short", "ushort", "int16", "uint16"), 2),
    **dict.fromkeys(("int", "uint", "int32", "uint32", "float", "float32"), 4),
    **dict.fromkeys(("double", "float64"), 8),
}
_COMPONENTS = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_HARMLESS = re.compile(
    r"KHR_(materials_\w+|texture_\w+|lights_\w+|mesh_quantization|xmp\w*)|EXT_texture_webp"
)
"""Extensions of glTF that a file may require: without them the surface is where it is."""


def check_header(data: bytes, kind: str, size_of: Callable[[str], int]) -> None:
    """Refuse a file with an impossible header.

    Parameters
    ----------
    kind : its ending without the dot, in small letters: glb, gltf, ply, stl or off
    size_of : gives the bytes of a file that it names; 0 where that may not be read

    Raises
    ------
    ModelError : the header is impossible; the message says why
    """
    if not data:
        raise ModelError(f"its {kind.upper()} is empty")
    if kind in ("glb", "gltf"):
        _check_document(
            kind.upper(), _document(data) if kind == "glb" else data, len(data), size_of
        )
    else:
        _CHECKS[kind](data)


def _check_count(kind: str, what: str, word: str | int, room: int) -> int:
    """Parse a count and check that the file is large enough for it."""
    number = (
        word
        if isinstance(word, int)
        else int(word)
        if re.fullmatch(r"[+-]?[0-9]{1,18}", word)
        else None
    )
    if number is None or number < 0:
        raise ModelError(f"its {kind} says {shown(str(word), 40)!r} {what}, which is not a count")
    if number > room:
        raise ModelError(f"its {kind} says {number:,} {what}, and is too short for them")
    return number


def _check_off(data: bytes) -> None:
    words = re.sub(rb"#[^\n]*", b"", data[: 1 << 16]).split(None, 3)
    found = re.match(rb"(?:ST|N|C|4)*OFF", words[0] if words else b"")
    if not found:
        raise ModelError("its OFF does not begin with the word OFF")
    if rest := words[0][
        found.end() :
    ]:  # as ModelNet writes it, OFF and the first number without a blank
        words = [words[0][: found.end()], rest, *words[1:]]
    if len(words) < 3:
        raise ModelError("its OFF ends before it says how many vertices and faces it has")
    vertices, faces = words[1].decode("latin-1"), words[2].decode("latin-1")
    # Three digits with blanks
    _check_count("OFF", "vertices", vertices, len(data) // 6)
    _check_count("OFF", "faces", faces, len(data) // 2)


def _check_stl(data: bytes) -> None:
    # Text, or a binary file of the stated length: 84 bytes, and 50 for each triangle.
    if b"facet" in data[:4096] or len(data) == 84 + 50 * int.from_bytes(data[80:84], "little"):
        return
    if data[:512].lstrip().startswith(b"solid") and b"endsolid" in data[-4096:]:
        raise ModelError("its STL is empty")
    if len(data) < 84:
        raise ModelError("its STL is too short to say how many triangles it has")
    number = int.from_bytes(data[80:84], "little")
    raise ModelError(f"its STL says {number:,} triangles, and has not the length for them")


def _check_ply(data: bytes) -> None:
    end = re.search(rb"(?:^|\n)[ \t]*end_header[ \t]*\r?(?:\n|\Z)", data[:_MOST_HEADER])
    if not data.startswith(b"ply") or end is None:
        raise ModelError(
            "its PLY has no header"
            if data.startswith(b"ply")
            else "its PLY does not begin with ply"
        )
    try:
        lines = [line.split() for line in data[: end.start()].decode("utf-8").splitlines()]
    except UnicodeDecodeError:
        raise ModelError("its PLY has a header that is not UTF-8") from None
    form = next((line[1] for line in lines if len(line) > 1 and line[0] == "format"), "")
    if form not in ("ascii", "binary_little_endian", "binary_big_endian"):
        raise ModelError(f"its PLY is of the unknown format {shown(form, 40)!r}")
    elements: dict[str, tuple[str, list[list[str]]]] = {}
    for line in lines:
        if line[:1] == ["element"]:
            if len(line) != 3 or line[1] in elements or len(elements) >= _MOST_FIELDS:
                raise ModelError("its PLY has a header that lists an element twice, or wrongly")
            elements[line[1]] = (line[2], [])
        elif line[:1] == ["property"]:
            _take_property(line, elements)
    _check_elements(elements, len(data) - end.end(), ascii_text=form == "ascii")


def _take_property(line: list[str], elements: dict[str, tuple[str, list[list[str]]]]) -> None:
    types = line[2:4] if line[1:2] == ["list"] else line[1:2]
    whole = len(line) == (5 if line[1:2] == ["list"] else 3)
    if not elements or not whole or any(kind not in _SIZES for kind in types):
        raise ModelError(f"its PLY has an invalid property: {shown(' '.join(line), 60)!r}")
    properties = next(reversed(elements.values()))[1]
    properties.append(line)
    if len(properties) > _MOST_FIELDS:
        raise ModelError(f"its PLY has an element of more than {_MOST_FIELDS} properties")


def _check_elements(
    elements: dict[str, tuple[str, list[list[str]]]], room: int, *, ascii_text: bool
) -> None:
    """Check the counts of a PLY's elements against the bytes behind its header."""
    names = {name: [line[-1] for line in properties] for name, (_, properties) in elements.items()}
    if "vertex" not in elements or not {"x", "y", "z"} <= set(names["vertex"]):
        raise ModelError("its PLY has no vertices with x, y and z")
    for name, (count, properties) in elements.items():
        if len(set(names[name])) < len(properties):
            raise ModelError("its PLY has a property twice")
        # a number in text takes a digit and a blank; a list its count at least
        size = sum(
            2 if ascii_text else _SIZES[line[2] if line[1] == "list" else line[1]]
            for line in properties
        )
        _check_count("PLY", f"elements {shown(name, 40)!r}", count, (room + 1) // max(size, 1))


def _document(data: bytes) -> bytes:
    """Return the JSON of a GLB."""
    if len(data) < 20 or data[:4] != b"glTF":
        raise ModelError("its GLB does not begin with the word glTF")
    version, _, size, kind = struct.unpack("<4I", data[4:20])
    if version != 2:
        raise ModelError(f"its GLB is of version {version}: version 2 is read")
    if kind != 0x4E4F534A or size > len(data) - 20:
        raise ModelError(
            "its GLB ends before its JSON does" if kind == 0x4E4F534A else "its GLB has no JSON"
        )
    return data[20 : 20 + size]


def _check_document(kind: str, text: bytes, size: int, size_of: Callable[[str], int]) -> None:
    """Check the claims of a glTF document against the sizes of its data.

    Its data are its own bytes and the files that it names.
    """
    try:
        document = parse_json(text.removeprefix(b"\xef\xbb\xbf"), most_bytes=MOST_BYTES)
    except ValueError as error:
        raise ModelError(f"its {kind} is not a glTF document: {error}") from None
    if not isinstance(document, dict):
        raise ModelError(f"its {kind} is not a glTF document")
    required = document.get("extensionsRequired", [])
    for name in required if isinstance(required, list) else [required]:
        if not (isinstance(name, str) and _HARMLESS.fullmatch(name)):
            raise ModelError(
                f"its {kind} needs the extension {shown(name, 60)}, which is not read: save it "
                "without"
            )
    buffers = _objects(document, "buffers", kind)
    for entry in (*buffers, *_objects(document, "images", kind)):
        _check_uri(entry.get("uri"), kind)
    names = {
        uri
        for buffer in buffers
        if (uri := buffer.get("uri")) is not None and not uri.startswith("data:")
    }
    room = size + sum(size_of(name) for name in names)
    if room > MOST_BYTES:
        raise ModelError(f"its {kind} and its files have {room:,} bytes: more than any model has")
    _check_views(document, room, kind)
    _check_scene(document, kind)
    _check_tree(_objects(document, "nodes", kind), kind)


def _check_uri(uri: Any, kind: str) -> None:
    """Refuse a URI that is neither a file beside the model nor embedded data.

    `find_inside` checks the path itself.
    """
    if uri is None:
        return
    if not isinstance(uri, str):
        raise ModelError(f"its {kind} names a file whose name is not text")
    if uri.startswith("data:"):
        if ";base64," not in uri[:200]:
            raise ModelError(f"its {kind} holds data that is not base64")
        return
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", uri) or b"\0" in unquote_to_bytes(uri):
        raise ModelError(
            f"its {kind} names {shown(uri, 60)!r}, which is not a file of the model: refused"
        )


def _check_views(document: dict[str, Any], room: int, kind: str) -> None:
    """Refuse views and accessors that read the same bytes again and again."""
    views = sum(
        _whole(view.get("byteLength", 0), "bytes", kind)
        for view in _objects(document, "bufferViews", kind)
    )
    accessors = 0
    for accessor in _objects(document, "accessors", kind):
        width = _WIDTHS.get(str(accessor.get("type")), 16) * _bytes_of(
            accessor.get("componentType")
        )
        count = _whole(accessor.get("count", 0), "elements", kind)
        _check_count(kind, "elements of an accessor", count, room)
        accessors += count * width
    if max(views, accessors) > 8 * room + 2**20:
        raise ModelError(
            f"its {kind} says {max(views, accessors):,} bytes of data, and has {room:,}"
        )


def _bytes_of(component: Any) -> int:
    return _COMPONENTS.get(component, 4) if isinstance(component, int) else 4


def _check_scene(document: dict[str, Any], kind: str) -> None:
    """Refuse a scene that repeats its parts too often."""
    counts = [
        _whole(accessor.get("count", 0), "elements", kind)
        for accessor in _objects(document, "accessors", kind)
    ]
    meshes, once = [], 0
    for mesh in _objects(document, "meshes", kind):
        parts = 0
        for part in _objects(mesh, "primitives", kind):
            used = [part.get("indices"), *_attributes(part, kind)]
            parts += sum(
                counts[index]
                for index in used
                if isinstance(index, int) and 0 <= index < len(counts)
            )
        meshes.append(parts)
        once += parts
    repeated = 0
    for node in _objects(document, "nodes", kind):
        index = node.get("mesh")
        repeated += meshes[index] if isinstance(index, int) and 0 <= index < len(meshes) else 0
    if max(once, repeated) > MOST_ELEMENTS:
        raise ModelError(
            f"its {kind} shows {max(once, repeated):,} vertices and indices: more than memory holds"
        )


def _check_tree(nodes: list[dict[str, Any]], kind: str) -> None:
    """Refuse nodes that are not a tree, or a tree that is too deep."""
    parent: dict[int, int] = {}
    for number, node in enumerate(nodes):
        for child in _list(node, "children", kind):
            if not isinstance(child, int) or not 0 <= child < len(nodes):
                raise ModelError(f"its {kind} has a node whose child does not exist")
            if child in parent:
                raise ModelError(f"its {kind} has a node with two parents: its scene is not a tree")
            parent[child] = number
    for number in range(len(nodes)):
        # The walk up to the root is bounded, as a ring has no end.
        steps = 0
        while number in parent and steps <= _MOST_DEEP:
            number, steps = parent[number], steps + 1  # noqa: PLW2901
        if steps > _MOST_DEEP:
            raise ModelError(f"its {kind} has nodes more than {_MOST_DEEP} deep, or in a ring")


def _attributes(part: dict[str, Any], kind: str) -> list[Any]:
    attributes = part.get("attributes", {})
    if not isinstance(attributes, dict):
        raise ModelError(f"its {kind} has attributes that are no object")
    return list(attributes.values())


def _list(document: dict[str, Any], name: str, kind: str) -> list[Any]:
    values = document.get(name, [])
    if not isinstance(values, list):
        raise ModelError(f"its {kind} has {name} that are no list")
    if len(values) > _MOST_PARTS:
        raise ModelError(f"its {kind} has more than {_MOST_PARTS:,} {name}")
    return values


def _objects(document: dict[str, Any], name: str, kind: str) -> list[dict[str, Any]]:
    values = _list(document, name, kind)
    if not all(isinstance(value, dict) for value in values):
        raise ModelError(f"its {kind} has {name} that are no list of objects")
    return values


def _whole(value: Any, what: str, kind: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ModelError(f"its {kind} says {shown(value, 40)} {what}, which is not a count")
    return value


_CHECKS: dict[str, Callable[[bytes], None]] = {
    "off": _check_off,
    "ply": _check_ply,
    "stl": _check_stl,
}
