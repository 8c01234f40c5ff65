"""One model for each known fault of ShapeNet's files; expected results.

Each entry of `PATHOLOGIES` states in words and figures how the model must be rendered;
`pathologies.json` beside the samples repeats this for programs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .categories import CATEGORIES
from .damages import (
    CRATE_FACES,
    MTL,
    Writer,
    built,
    edited,
    emptied,
    enlarged,
    flat_sheet,
    in_mtl,
    in_obj,
    many_faces,
    more_obj,
    non_ascii,
    only_texture,
    relative,
    rename_texture,
    scattered_normals,
    wire,
    with_mask,
    without_files,
)
from .obj_writer import Style
from .palette import Rng
from .shapes import cars, seats

__all__ = ["PATHOLOGIES", "Pathology"]


@dataclass(frozen=True)
class Pathology:
    """A faulty model.

    Attributes
    ----------
    category : category of the model
    fault : name of the fault; the model's id is `pathology-` and this name
    outcome : "rendered", or "failed" for a model without any surface
    expected : the expected result, in words
    writer : writes its files
    properties : figures that tests check: `faces` in the file, `faces_after_repair`, `texture_shown`;
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
        """Return the entry of pathologies.json."""
        return {
            "synset": self.synset,
            "model_id": self.model_id,
            "fault": self.fault,
            "outcome": self.outcome,
            "expected": self.expected,
            **({"properties": self.properties} if self.properties else {}),
        }


TWICE = Style(doubled=True, repeated=True, normals=True)
SHOWN = {"texture_shown": True, "faces": CRATE_FACES}
NOT_SHOWN = {"texture_shown": False, "faces": CRATE_FACES}

PATHOLOGIES: tuple[Pathology, ...] = (
    Pathology(
        "chair",
        "doubled-faces",
        "rendered",
        "Every face is there twice, the second turned over, with another material and vertices of "
        "its own. Only the "
        "front's material may be seen from outside; each pair becomes one face.",
        built(seats.chair, 2, TWICE),
        {"pairs": True},
    ),
    Pathology(
        "car",
        "doubled-shared-vertices",
        "rendered",
        "As doubled-faces, with both faces of a pair on the same vertices: an importer that "
        "validates meshes "
        "throws one away.",
        built(cars.car, 0, Style(doubled=True)),
        {"pairs": True},
    ),
    Pathology(
        "mug",
        "wrong-normals",
        "rendered",
        "Stored normals point anywhere. Shading must come from the geometry: smooth, without "
        "stains.",
        scattered_normals,
    ),
    Pathology(
        "table",
        "duplicate-faces",
        "rendered",
        "Every face is written twice with the same winding and material. One of each stays; no "
        "speckles.",
        edited(in_obj(r"^(f .*\n)", r"\1\1")),
        {"faces": 2 * CRATE_FACES, "faces_after_repair": CRATE_FACES},
    ),
    Pathology(
        "cabinet",
        "missing-texture",
        "rendered",
        "The MTL file names a picture that does not exist. The material's plain colour is shown, "
        "not purple, and "
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
        "d 0.5 everywhere. Depth is that of the nearest surface, as if it were opaque; only "
        "colour may show through.",
        edited(in_mtl(r"^d .*$", "d 0.500000")),
        SHOWN,
    ),
    Pathology(
        "bottle",
        "alpha-zero",
        "rendered",
        "One material has d 0, the crate between lid and foot. Depth and mask agree on it, one "
        "way or the other, "
        "in every pixel.",
        edited(in_mtl(r"^d .*(?=\nillum 2\nmap_Kd)", "d 0.000000")),
        {"faces": CRATE_FACES},
    ),
    Pathology(
        "bottle",
        "tr-instead-of-d",
        "rendered",
        "Tr 0.7 stands in place of d. Programs disagree whether it is opacity or its opposite, so "
        "it is ignored: "
        "opaque.",
        edited(in_mtl(r"^d .*$", "Tr 0.700000")),
        SHOWN,
    ),
    Pathology(
        "lamp",
        "map-d",
        "rendered",
        "map_d cuts holes into the crate's sides. Depth is that of the nearest surface, as if it "
        "were opaque.",
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
        "One vertex is NaN. The faces that use it are dropped, the rest is rendered, and framing "
        "takes finite "
        "vertices only.",
        edited(more_obj("v nan nan nan\nf 1 2 25\nf -1 3 4\n")),
        {"faces": CRATE_FACES + 2, "faces_after_repair": CRATE_FACES},
    ),
    Pathology(
        "bench",
        "zero-area",
        "rendered",
        "Faces whose corners coincide or lie on one line. They are dropped without a word to the "
        "user; the rest "
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
        "Lines end in carriage return and line feed in OBJ and MTL. Names must not carry the "
        "return with them.",
        edited(in_obj(r"\n", "\r\n"), in_mtl(r"\n", "\r\n")),
        SHOWN,
    ),
    Pathology(
        "bed",
        "non-ascii",
        "rendered",
        "The model's id, a group, a material and a picture have names outside ASCII. The picture "
        "is shown; the id "
        "is kept as it is.",
        non_ascii,
        SHOWN,
        "-naïve-écaille-模型",
    ),
    Pathology(
        "bed",
        "line-elements",
        "rendered",
        "Hard edges are written as line elements, too. They are ignored: no wires in colour or "
        "depth, and no loss "
        "of faces.",
        edited(style=Style(lines=True)),
        SHOWN,
    ),
    Pathology(
        "bed",
        "not-normalised",
        "rendered",
        "The model is 40 units large and 100 off the origin. It fills the picture all the same; "
        "points are in the "
        "file's own coordinates.",
        edited(in_obj(r"^v (.*)$", enlarged)),
        SHOWN,
    ),
    Pathology(
        "table",
        "flat-sheet",
        "rendered",
        "One square without thickness. It is rendered from both sides; a view along it may be "
        "empty.",
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
        "The picture's path leads out of the collection. That file is not read; the plain colour "
        "is shown, and a "
        "warning is kept.",
        edited(rename_texture("", "../../../../etc/hostname")),
        NOT_SHOWN,
    ),
    Pathology(
        "laptop",
        "path-absolute",
        "rendered",
        "The picture's path is absolute and leads out of the collection. That file is not read; "
        "the plain colour "
        "is shown, and a warning is kept.",
        edited(rename_texture("", "/etc/hostname")),
        NOT_SHOWN,
    ),
)
