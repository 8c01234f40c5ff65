from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from shapenet3d_cma.render.mesh.mtl import (
    LOST_TEXTURE,
    Material,
    find_inside,
    map_file,
    read_materials,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder with one texture, and a secret beside it."""
    model = tmp_path / "03001627" / "abc"
    (model / "models").mkdir(parents=True)
    (model / "images").mkdir()
    Image.new("RGB", (2, 2)).save(model / "images" / "Wood Grain.PNG")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (model / "images" / "way-out.png").symlink_to(tmp_path / "secret.png")
    return model


def read(folder: Path, text: str) -> tuple[dict[str, Material], list[str]]:
    (folder / "models" / "model_normalized.mtl").write_text(text)
    return read_materials(folder, ("model_normalized.mtl",))


@pytest.mark.parametrize(
    "reference",
    [
        "../images/Wood Grain.PNG",
        "..\\images\\Wood Grain.PNG",
        "../images/wood grain.png",
        "../IMAGES/wood grain.png",
        "Wood Grain.PNG",
        "images/Wood Grain.PNG",
        "./../images//Wood Grain.PNG",
        "textures\\elsewhere\\wood grain.png",
    ],
)
def test_a_texture_is_found_however_it_is_written(folder: Path, reference: str) -> None:
    path, note = find_inside(folder, reference)
    assert path == (folder / "images" / "Wood Grain.PNG").resolve()
    assert note == ""


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("../../../secret.png", "leads outside"),
        ("..\\..\\..\\secret.png", "leads outside"),
        ("../images/../../../secret.png", "leads outside"),
        ("../images/way-out.png", "leads outside"),
        ("/etc/hostname", "absolute"),
        ("C:\\windows\\win.ini", "absolute"),
        ("../images/none.png", "missing"),
        ("../images", "missing"),
    ],
)
def test_nothing_outside_the_model_is_read(folder: Path, reference: str, says: str) -> None:
    path, note = find_inside(folder, reference)
    assert path is None
    assert says in note
    assert repr(reference) in note


@pytest.mark.parametrize("reference", ["a\0b.png", "a" * 5000, "a/" * 3000])
def test_a_reference_that_no_file_system_takes(folder: Path, reference: str) -> None:
    path, note = find_inside(folder, reference)
    assert path is None
    assert note


def test_a_reference_out_and_back_names_the_models_own_file(folder: Path) -> None:
    own = (folder / "images" / "Wood Grain.PNG").resolve()
    assert find_inside(folder, "../abc/images/wood grain.png", "")[0] == own


def test_a_library_outside_is_refused_too(folder: Path) -> None:
    (folder.parent / "other.mtl").write_text("newmtl a\nKd 1 0 0\n")
    materials, notes = read_materials(folder, ("../../other.mtl",))
    assert materials == {}
    assert "leads outside" in notes[0]


def test_a_library_with_names_maps_and_grey_values_is_read(folder: Path) -> None:
    materials, notes = read(
        folder,
        "newmtl a b\nKd 1 0.5 0\nd 0.5\nNs 500\nKs 0.2 0.4 0.6\nillum 2\n"
        "newmtl grey\nKd 0.3\nKs 0.9\n"
        "newmtl matt\nillum 1\nKs 0.9 0.9 0.9\n"
        "newmtl wood\nmap_Kd -s 2 2 1 -clamp on ../images/Wood Grain.PNG\nmap_d ../images/Wood Grain.PNG\n",
    )
    texture = (folder / "images" / "Wood Grain.PNG").resolve()
    assert materials["a b"] == Material(
        colour=(1, 0.5, 0), alpha=0.5, highlight=pytest.approx(0.4), gloss=0.5
    )
    assert (materials["grey"].colour, materials["grey"].highlight) == (
        (0.3, 0.3, 0.3),
        pytest.approx(0.9),
    )
    assert materials["matt"] == Material()  # illum 1 has no highlights, whatever Ks says
    assert (materials["wood"].texture, materials["wood"].mask) == (texture, texture)
    assert notes == []


@pytest.mark.parametrize(
    ("line", "alpha"),
    [
        ("d 0.25", 0.25),
        ("d 0", 1),
        ("d -1", 1),
        ("d 7", 1),
        ("d nan", 1),
        ("d", 1),
        ("Tr 0.7", 1),
        ("d -halo 0.5", 0.5),
    ],
)
def test_no_part_becomes_invisible(folder: Path, line: str, alpha: float) -> None:
    materials, _ = read(folder, f"newmtl m\n{line}\n")
    assert materials["m"].alpha == alpha


def test_nothing_is_forgiven_if_the_settings_say_so(folder: Path) -> None:
    text = (
        "newmtl a\nd 0\nillum 3\nmap_Kd ../images/Wood Grain.PNG\n"
        "newmtl b\nmap_Kd ../images/wood grain.png\n"
        "newmtl c\nmap_Kd ..\\images\\Wood Grain.PNG\n"
        "newmtl d\nmap_Kd ../../../secret.png\n"
        "newmtl e\nmap_Kd ../images/way-out.png\n"
        "newmtl f\nmap_Kd /etc/hostname\n"
    )
    (folder / "models" / "model_normalized.mtl").write_text(text)
    materials, notes = read_materials(
        folder, ("model_normalized.mtl",), forgive_paths=False, opaque_zero=False, metal=True
    )
    texture = (folder / "images" / "Wood Grain.PNG").resolve()
    assert materials.pop("a") == Material(alpha=0, metal=True, texture=texture)
    assert set(materials.values()) == {Material()}
    assert [note.rsplit(" ", 1)[-1] for note in notes] == [
        "missing",
        "missing",
        "folder",
        "folder",
        "path",
    ]
    assert all(note.startswith(LOST_TEXTURE) for note in notes)


def test_missing_textures_leave_the_colour_and_a_note(folder: Path) -> None:
    materials, notes = read(
        folder, "newmtl m\nKd 0 1 0\nmap_Kd gone.png\nnewmtl n\nmap_Kd gone.png\n"
    )
    assert materials["m"] == Material(colour=(0, 1, 0))
    assert notes == ["texture 'gone.png' is missing"]


def test_tabs_and_old_encodings_are_read(folder: Path) -> None:
    data = "newmtl\tGrün\nKd\t0 1 0\n".encode("latin-1")
    (folder / "models" / "model_normalized.mtl").write_bytes(b"\xef\xbb\xbf" + data)
    materials, _ = read_materials(folder, ("model_normalized.mtl",))
    assert materials == {"Grün": Material(colour=(0, 1, 0))}


unit = st.floats(0, 1)
MATERIALS = st.builds(
    Material,
    colour=st.tuples(unit, unit, unit),
    alpha=st.floats(0.01, 1),
    highlight=unit,
    gloss=unit,
)


@given(materials=st.lists(MATERIALS, min_size=1, max_size=4), data=st.data())
def test_the_values_of_materials_are_read_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, materials: list[Material], data: st.DataObject
) -> None:
    lines = []
    for number, material in enumerate(materials):
        values = [
            "Kd " + " ".join(map(repr, material.colour)),
            f"d {material.alpha!r}",
            f"Ks {material.highlight!r}",
            f"Ns {1000 * material.gloss!r}",
            "illum 2",
        ]
        lines += [f"newmtl material {number}", *data.draw(st.permutations(values))]
    folder = tmp_path_factory.mktemp("library")
    (folder / "a.mtl").write_text("\n".join(lines) + "\n")
    read_back, notes = read_materials(folder, ("a.mtl",), base="")
    assert notes == []
    assert list(read_back) == [f"material {number}" for number in range(len(materials))]
    for material, other in zip(materials, read_back.values(), strict=True):
        assert (other.colour, other.alpha) == (material.colour, material.alpha)
        assert other.highlight == pytest.approx(material.highlight)
        assert other.gloss == pytest.approx(material.gloss)


@given(value=st.floats(allow_nan=True, width=32), keyword=st.sampled_from(["d", "Tr", "d -halo"]))
def test_no_opacity_makes_a_part_invisible_unless_it_is_said_so(
    tmp_path_factory: pytest.TempPathFactory, value: float, keyword: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "a.mtl").write_text(f"newmtl m\n{keyword} {value!r}\n")
    alpha = read_materials(folder, ("a.mtl",), base="")[0]["m"].alpha
    if keyword != "Tr" and 0 < value < 1:
        assert alpha == value
    else:
        assert alpha == 1


@given(
    cases=st.lists(st.booleans(), min_size=14, max_size=14),
    backslashes=st.booleans(),
    top=st.sampled_from(["../", "", "./../", "nowhere/../../"]),
)
def test_letter_case_and_slashes_of_a_path_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, cases: list[bool], backslashes: bool, top: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "written"
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "models").mkdir(exist_ok=True)
    (folder / "images" / "Wood.PNG").touch()
    pairs = zip("images/wood.png", [*cases, False], strict=True)
    written = top + "".join(letter.upper() if upper else letter for letter, upper in pairs)
    path, note = find_inside(folder, written.replace("/", "\\") if backslashes else written)
    assert (path, note) == ((folder / "images" / "Wood.PNG").resolve(), "")


@pytest.mark.parametrize("reference", ["a\0b.png", "x" * 5000, "ring/a.png"])
def test_names_that_cannot_be_looked_up_are_noted(folder: Path, reference: str) -> None:
    (folder / "models" / "ring").symlink_to("ring")
    path, note = find_inside(folder, reference)
    assert path is None
    assert note


@pytest.mark.parametrize(
    "text", ["Kd 1 1 1\n", "newmtl m\nKd red\nKd nan 2 -1\nmap_Kd\nd x\n", "\0\xff\n"]
)
def test_nonsense_leaves_valid_colours(folder: Path, text: str) -> None:
    materials, notes = read(folder, text)
    assert all(0 <= value <= 1 for material in materials.values() for value in material.colour)
    assert notes == []


OPTION_WORDS = [
    "-clamp",
    "on",
    "-s",
    "1",
    "0.5",
    "-bm",
    "-imfchan",
    "r",
    "-o",
    "my",
    "wood.png",
    "-",
]


@given(words=st.lists(st.sampled_from(OPTION_WORDS), min_size=1, max_size=6))
@example(words=["-clamp", "on"])
def test_a_map_line_ends_with_its_name_whatever_options_come_before(words: list[str]) -> None:
    line = " ".join(words)
    assert line.endswith(map_file(line))


def test_a_map_without_a_name_is_noted_and_the_rest_is_read(folder: Path) -> None:
    materials, notes = read(folder, "newmtl wood\nKd 1 0 0\nmap_Kd -clamp on\nnewmtl b\nKd 0 1 0\n")
    assert materials["b"].colour == (0, 1, 0)
    assert materials["wood"].texture is None
    assert [note.startswith(LOST_TEXTURE) for note in notes] == [True]
