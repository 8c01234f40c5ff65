"""Laws of the procedural samples: in form what ShapeNet is, sound where they should be and faulty where not."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.outputs import HIDDEN
from shapenet3d_cma.core.settings import read_settings
from shapenet3d_cma.samples.categories import BUILDERS, CATEGORIES
from shapenet3d_cma.samples.config import SamplesConfig
from shapenet3d_cma.samples.obj_writer import Style, model_files, normalised, triangulated
from shapenet3d_cma.samples.pathologies import PATHOLOGIES, Pathology
from shapenet3d_cma.samples.primitives import area_vectors, next_corner, signed_volume
from shapenet3d_cma.samples.shapenet_folder import build_parts, random_stream, write_samples

COUNT = 2
OBJ, MTL = "models/model_normalized.obj", "models/model_normalized.mtl"


def tree_hashes(root: Path, *parts: str) -> dict[str, str]:
    files = sorted(
        path
        for path in root.joinpath(*parts).rglob("*")
        if path.is_file() and HIDDEN not in path.parts
    )
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@dataclasses.dataclass
class Read:
    """An OBJ file, read as plainly as its definition says."""

    vertices: np.ndarray
    uvs: np.ndarray
    normals: np.ndarray
    faces: list[list[list[int]]]  # corners of (vertex, uv, normal), from 0, -1 where not given
    materials: list[str]
    lines: int
    groups: int


def read_obj(path: Path) -> Read:
    rows: dict[str, list[list[float]]] = {"v": [], "vt": [], "vn": []}
    faces, materials, count, material = [], [], Counter(), ""
    for line in path.read_text(encoding="utf-8").splitlines():
        key, _, rest = line.partition(" ")
        count[key] += 1
        if key in rows:
            rows[key].append([float(word) for word in rest.split()])
        elif key == "usemtl":
            material = rest
        elif key == "f":
            faces.append(
                [[int(n or 0) - 1 for n in (word + "//").split("/")[:3]] for word in rest.split()]
            )
            materials.append(material)
    v, vt, vn = (np.array(rows[key]) for key in rows)
    return Read(v, vt, vn, faces, materials, count["l"], count["g"] + count["o"])


def corner_points(read: Read, face: list[list[int]]) -> np.ndarray:
    return read.vertices[[corner[0] for corner in face]]


def face_area(points: np.ndarray) -> float:
    return float(np.linalg.norm(np.cross(points, np.roll(points, -1, axis=0)).sum(axis=0)) / 2)


def canonical(points: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """A face's corners in their order, from the least on: the same for the same face however it begins."""
    rows = [tuple(point) for point in (points + 0.0).tolist()]
    start = rows.index(min(rows))
    return tuple(rows[start:] + rows[:start])


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("samples") / "shapenet"
    write_samples(out, SamplesConfig(COUNT, seed=0, pathologies=True))
    return out


@pytest.fixture(scope="module")
def regular(samples: Path) -> dict[Path, Read]:
    models = [
        path for path in sorted(samples.glob("*/*")) if re.fullmatch("[0-9a-f]{32}", path.name)
    ]
    return {path: read_obj(path / OBJ) for path in models}


def pathology(fault: str) -> Pathology:
    return next(entry for entry in PATHOLOGIES if entry.fault == fault)


# --- the same settings give the same bytes


def test_same_seed_gives_same_bytes_in_another_process(samples: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from shapenet3d_cma.samples.shapenet_folder import write_samples\n"
        "from shapenet3d_cma.samples.config import SamplesConfig\n"
        f"write_samples(Path(sys.argv[1]), SamplesConfig({COUNT}, seed=0, pathologies=True))\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "TZ": "Pacific/Auckland"}
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "again")], check=True, env=environment
    )
    assert tree_hashes(tmp_path / "again") == tree_hashes(samples)


def test_another_seed_gives_other_models(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_samples(tmp_path / str(seed), SamplesConfig(1, seed, categories="mug,chair"))
    one, two = tree_hashes(tmp_path / "1"), tree_hashes(tmp_path / "2")
    objs = [
        {digest for name, digest in tree.items() if name.endswith(".obj")} for tree in (one, two)
    ]
    assert len(objs[0]) == len(objs[1]) == 2
    assert not objs[0] & objs[1]
    assert not {name for name in one if name.endswith(".obj")} & set(two)


def test_shapes_differ_from_seed_to_seed() -> None:
    shapes = {build_parts("mug", seed, 0)[0][0].mesh.vertices.tobytes() for seed in range(30)}
    assert len(shapes) == 30  # of five kinds, so the kind alone doesn't tell them apart


def test_a_model_does_not_depend_on_how_many_there_are(samples: Path, tmp_path: Path) -> None:
    write_samples(tmp_path / "one", SamplesConfig(1, 0, categories="lamp,airplane"))
    few, many = tree_hashes(tmp_path / "one"), tree_hashes(samples)
    models = {name: digest for name, digest in few.items() if "/" in name}
    assert models
    assert models.items() <= many.items()


def test_models_differ_from_one_another(regular: dict[Path, Read]) -> None:
    digests = [hashlib.sha256((path / OBJ).read_bytes()).digest() for path in regular]
    assert len(set(digests)) == len(digests)


# --- the layout


def test_layout_is_that_of_shapenet(samples: Path, regular: dict[Path, Read]) -> None:
    assert len(CATEGORIES) >= 14
    assert set(BUILDERS) == set(CATEGORIES)
    assert Counter(path.parent.name for path in regular) == dict.fromkeys(
        CATEGORIES.values(), COUNT
    )
    for path, read in regular.items():
        record = json.loads((path / "models/model_normalized.json").read_text(encoding="utf-8"))
        assert set(record) == {"max", "centroid", "id", "numVertices", "min"}
        assert record["id"] == path.name
        assert record["numVertices"] == len(read.vertices)
        assert (path / OBJ).read_text(encoding="utf-8").count("mtllib model_normalized.mtl\n") == 1


def test_taxonomy_counts_the_folders_and_names_parents(samples: Path) -> None:
    taxonomy = json.loads((samples / "taxonomy.json").read_text(encoding="utf-8"))
    folders = {path.name: len(list(path.iterdir())) for path in samples.glob("[0-9]*")}
    entries = {entry["synsetId"]: entry for entry in taxonomy}
    assert {s: entries[s]["numInstances"] for s in folders} == folders
    assert all(set(entry) == {"synsetId", "name", "children", "numInstances"} for entry in taxonomy)
    parents = [entry for entry in taxonomy if entry["synsetId"] not in folders]
    assert parents
    assert all(set(parent["children"]) <= set(folders) for parent in parents)


def test_readme_says_what_it_is(samples: Path) -> None:
    text = (samples / "README.txt").read_text(encoding="utf-8")
    assert "CC0" in text
    assert f"cma3d samples OUT --seed 0 --per-category {COUNT} --pathologies" in text


# --- sound geometry


def test_box_has_unit_diagonal_and_is_mostly_off_the_origin(regular: dict[Path, Read]) -> None:
    offsets = []
    for read in regular.values():
        low, high = read.vertices.min(axis=0), read.vertices.max(axis=0)
        assert np.linalg.norm(high - low) == pytest.approx(1, abs=3e-6)
        offsets.append(np.linalg.norm((low + high) / 2))
    assert np.mean(np.array(offsets) > 0.05) > 0.4
    assert np.mean(np.array(offsets) < 1e-5) > 0.05
    assert max(offsets) <= 0.2 + 1e-5


def test_numbers_are_finite_and_indices_valid(regular: dict[Path, Read]) -> None:
    for path, read in regular.items():
        assert 50 < len(read.faces) < 60_000, path
        for rows, width in ((read.vertices, 3), (read.uvs, 2), (read.normals, 3)):
            assert not rows.size or rows.shape[1] == width
            assert np.isfinite(rows).all()
        corners = np.array([corner for face in read.faces for corner in face])
        assert corners[:, :2].min() >= 0
        assert (
            corners.max(axis=0) < [len(read.vertices), len(read.uvs), max(len(read.normals), 1)]
        ).all()
        assert np.abs(read.uvs).max() < 200


def polygons(read: Read) -> list[np.ndarray]:
    """The corners' positions, (n, size, 3) for each size of face."""
    sizes = sorted({len(face) for face in read.faces})
    return [
        read.vertices[
            np.array([[corner[0] for corner in face] for face in read.faces if len(face) == size])
        ]
        for size in sizes
    ]


def test_no_face_is_degenerate_and_polygons_are_flat_and_convex(regular: dict[Path, Read]) -> None:
    whole = 0
    for path, read in regular.items():
        for points in polygons(read):
            spokes = points - points[:, :1]
            normals = np.cross(spokes, np.roll(spokes, -1, axis=1)).sum(axis=1, keepdims=True)
            lengths = np.linalg.norm(normals, axis=2, keepdims=True)
            assert lengths.min() > 1e-10, path
            if points.shape[1] > 3:
                whole += len(points)
                edges = np.roll(points, -1, axis=1) - points
                turns = (np.cross(edges, np.roll(edges, -1, axis=1)) * normals / lengths).sum(
                    axis=2
                )
                assert turns.min() > -1e-8, path
                assert np.abs((spokes * normals / lengths).sum(axis=2)).max() < 1e-5, path
    assert whole > 200


def test_another_reader_sees_the_same(regular: dict[Path, Read]) -> None:
    for path in list(regular)[::7]:
        mesh = trimesh.load(path / OBJ, force="mesh", process=False)
        read = regular[path]
        assert len(mesh.faces) == sum(len(face) - 2 for face in read.faces)
        assert mesh.area == pytest.approx(
            sum(face_area(corner_points(read, face)) for face in read.faces), rel=1e-4
        )


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(CATEGORIES)), st.integers(0, 2**32), st.integers(0, 5000))
def test_parts_are_closed_solids_that_look_outward(name: str, seed: int, number: int) -> None:
    for part in build_parts(name, seed, number)[0]:
        mesh = part.mesh
        assert np.isfinite(mesh.vertices).all()
        assert np.isfinite(mesh.uvs).all()
        edges = list(
            zip(mesh.corners.tolist(), mesh.corners[next_corner(mesh)].tolist(), strict=True)
        )
        assert len(set(edges)) == len(edges), part.name
        if not part.sheet:
            assert {(b, a) for a, b in edges} == set(edges), part.name
            assert signed_volume(mesh) > 0, part.name


@pytest.mark.parametrize("name", sorted(CATEGORIES))
def test_no_two_parts_share_a_surface(name: str) -> None:
    for number in (0, 1, 2):
        assert shared_surfaces(name, number) == set()


def shared_surfaces(name: str, number: int) -> set[tuple[str, str]]:
    """Pairs of parts of which a face of one lies in a face of the other: either may show when rendered."""
    parts = normalised(build_parts(name, 0, number)[0], (0, 0, 0))
    meshes = [triangulated(part.mesh, keep_flat=False) for part in parts]
    corners = np.concatenate([mesh.vertices[mesh.corners].reshape(-1, 3, 3) for mesh in meshes])
    owner = np.repeat(np.arange(len(meshes)), [len(mesh.sizes) for mesh in meshes])
    areas = np.concatenate([area_vectors(mesh) for mesh in meshes])
    large = np.linalg.norm(areas, axis=1) > 1e-6
    corners, owner, normals = corners[large], owner[large], areas[large]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    normals *= np.sign(np.take_along_axis(normals, np.abs(normals).argmax(axis=1)[:, None], axis=1))
    planes = np.floor(np.c_[500 * normals, 5000 * (normals * corners[:, 0]).sum(axis=1)] + 0.25)
    found = set()
    _, group = np.unique(planes, axis=0, return_inverse=True)
    order = np.argsort(group.reshape(-1), kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(group.reshape(-1)[order])) + 1):
        if len(set(owner[members])) < 2:
            continue
        for place, i in enumerate(members):
            for j in members[:place]:
                if owner[i] != owner[j] and overlap(corners[i], corners[j], normals[i]) > 1e-3:
                    found.add((parts[owner[j]].name, parts[owner[i]].name))
    return found


def overlap(a: np.ndarray, b: np.ndarray, normal: np.ndarray) -> float:
    """How deep two triangles of one plane reach into one another (separating axes)."""
    keep = [axis for axis in range(3) if axis != np.abs(normal).argmax()]
    depth = np.inf
    for triangle in (a[:, keep], b[:, keep]):
        for edge in np.roll(triangle, -1, axis=0) - triangle:
            across = np.array([-edge[1], edge[0]]) / np.linalg.norm(edge)
            p, q = a[:, keep] @ across, b[:, keep] @ across
            depth = min(depth, p.max() - q.min(), q.max() - p.min())
    return float(depth)


# --- materials


def test_textures_and_materials_are_there(samples: Path, regular: dict[Path, Read]) -> None:
    textured = 0
    for path, read in regular.items():
        mtl = (path / MTL).read_text(encoding="utf-8")
        assert set(read.materials) == set(re.findall(r"^newmtl (.+)$", mtl, flags=re.MULTILINE))
        pictures = re.findall(r"^map_Kd (.+)$", mtl, flags=re.MULTILINE)
        assert {Path(name).name for name in pictures} == {
            file.name for file in path.glob("images/*")
        }
        for name in pictures:
            assert name.startswith("../images/")
            with Image.open(path / "models" / name) as picture:
                assert picture.mode == "RGB"
                assert 64 <= min(picture.size) <= max(picture.size) <= 256
        textured += bool(pictures)
    assert textured > len(regular) / 3


def test_doubled_models_hold_exact_opposites_with_other_materials(
    regular: dict[Path, Read],
) -> None:
    doubled = 0
    for path, read in regular.items():
        faces = [canonical(corner_points(read, face)) for face in read.faces]
        turned = [canonical(corner_points(read, face)[::-1]) for face in read.faces]
        material_of = dict(zip(faces, read.materials, strict=True))
        opposite = [material_of.get(face) for face in turned]
        assert len(material_of) == len(faces), (
            f"{path}: a face is there twice with the same winding"
        )
        if any(opposite):
            doubled += 1
            assert all(opposite), path
            assert all(a != b for a, b in zip(opposite, read.materials, strict=True)), path
    assert doubled >= 0.4 * len(regular)


def test_manners_of_writing_vary(regular: dict[Path, Read]) -> None:
    reads = regular.values()
    for share in (
        np.mean([read.normals.size > 0 for read in reads]),
        np.mean([read.lines > 0 for read in reads]),
        np.mean([read.groups > 0 for read in reads]),
        np.mean([max(len(face) for face in read.faces) > 3 for read in reads]),
    ):
        assert 0.1 < share < 0.95


def test_pictures_on_the_front_are_upright_and_unmirrored() -> None:
    """Seen from the front, -X is on the right: there u must grow toward -X, and v upward."""
    for name, part_name in (
        ("mug", "body"),
        ("clock", "dial"),
        ("laptop", "screen"),
        ("bottle", "label"),
    ):
        parts, _ = build_parts(name, 0, 0)
        mesh = next(part.mesh for part in parts if part.name == part_name)
        face = np.repeat(np.arange(len(mesh.sizes)), mesh.sizes)
        fronts = area_vectors(mesh)
        seen = fronts[:, 2] < -0.6 * np.linalg.norm(fronts, axis=1)
        points, uvs = mesh.vertices[mesh.corners][seen[face]], mesh.uvs[seen[face]]
        points, uvs = points - points.mean(axis=0), uvs - uvs.mean(axis=0)
        assert (points[:, 0] * uvs[:, 0]).sum() < 0, name
        assert (points[:, 1] * uvs[:, 1]).sum() > 0, name


# --- faults


def test_list_of_pathologies_is_that_of_the_folders(samples: Path) -> None:
    records = json.loads((samples / "pathologies.json").read_text(encoding="utf-8"))
    listed = {(record["synset"], record["model_id"]) for record in records}
    assert listed == {(path.parent.name, path.name) for path in samples.glob("*/pathology-*")}
    assert len(listed) == len(records) == len(PATHOLOGIES)
    assert {r["fault"] for r in records if r["outcome"] == "failed"} == {
        "empty-obj",
        "no-obj",
        "no-faces",
    }
    assert all(
        record["expected"] and record["outcome"] in ("rendered", "failed") for record in records
    )


def fault_text(samples: Path, fault: str, file: str = OBJ) -> str:
    entry = pathology(fault)
    return (samples / entry.synset / entry.model_id / file).read_bytes().decode()


def fault_read(samples: Path, fault: str) -> Read:
    entry = pathology(fault)
    return read_obj(samples / entry.synset / entry.model_id / OBJ)


@pytest.mark.parametrize(
    "fault", [entry.fault for entry in PATHOLOGIES if "faces" in entry.properties]
)
def test_faces_are_as_many_as_stated(samples: Path, fault: str) -> None:
    assert fault_text(samples, fault).count("\nf ") == pathology(fault).properties["faces"]


@pytest.mark.parametrize("fault", ["doubled-faces", "doubled-shared-vertices"])
def test_fault_doubled(samples: Path, fault: str) -> None:
    read = fault_read(samples, fault)
    faces = {
        canonical(corner_points(read, face)): m
        for face, m in zip(read.faces, read.materials, strict=True)
    }
    assert all(
        faces[canonical(corner_points(read, face)[::-1])] != m
        for face, m in zip(read.faces, read.materials, strict=True)
    )
    assert (len(set(map(tuple, read.vertices.tolist()))) < len(read.vertices) * 0.6) == (
        fault == "doubled-faces"
    )


def test_fault_normals(samples: Path) -> None:
    read = fault_read(samples, "wrong-normals")
    points = [corner_points(read, face) for face in read.faces]
    normals = np.array([np.cross(p[1] - p[0], p[2] - p[0]) for p in points])
    stored = np.array([read.normals[face[0][2]] for face in read.faces])
    assert np.mean((normals * stored).sum(axis=1) < 0) > 0.3


def test_fault_duplicates(samples: Path) -> None:
    read = fault_read(samples, "duplicate-faces")
    assert set(Counter(canonical(corner_points(read, face)) for face in read.faces).values()) == {2}


@pytest.mark.parametrize(
    ("fault", "named", "found"),
    [
        ("missing-texture", "../images/nowhere.png", False),
        ("parent-path", "../images/texture0.png", True),
        ("backslash-path", "..\\images\\texture0.png", False),
        ("letter-case", "../Images/Texture0.PNG", False),
        ("spaces-in-name", "../images/my texture 0.png", True),
        ("non-ascii", "../images/tëxtüre_纹理.png", True),
        ("path-outside", "../../../../etc/hostname", False),
        ("path-absolute", "/etc/hostname", None),
    ],
)
def test_fault_texture(samples: Path, fault: str, named: str, found: bool | None) -> None:
    entry = pathology(fault)
    folder = samples / entry.synset / entry.model_id
    assert re.findall(r"^map_Kd (.+)$", fault_text(samples, fault, MTL), flags=re.MULTILINE) == [
        named
    ]
    if found is not None:
        assert (folder / "models" / named).is_file() == found or fault == "letter-case"
    assert bool(list(folder.glob("images/*.png"))) == entry.properties["texture_shown"]


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("alpha-half", "d 0.500000"),
        ("alpha-zero", "d 0.000000"),
        ("tr-instead-of-d", "Tr 0.700000"),
        ("map-d", "map_d ../images/mask.png"),
        ("illum-7", "illum 7"),
    ],
)
def test_fault_material(samples: Path, fault: str, line: str) -> None:
    assert f"\n{line}\n" in fault_text(samples, fault, MTL)


def test_fault_files(samples: Path) -> None:
    def there(fault: str, file: str) -> bool:
        return (samples / pathology(fault).synset / pathology(fault).model_id / file).exists()

    assert not there("missing-mtl", MTL)
    assert not there("missing-json", "models/model_normalized.json")
    assert not there("no-obj", OBJ)
    assert there("no-obj", "images/texture0.png")
    assert fault_text(samples, "empty-obj") == ""
    assert "usemtl nowhere\n" in fault_text(samples, "undefined-material")
    assert "nowhere" not in fault_text(samples, "undefined-material", MTL)


def test_fault_geometry(samples: Path) -> None:
    assert np.isnan(fault_read(samples, "nan-vertex").vertices).any(axis=1).sum() == 1
    zero = fault_read(samples, "zero-area")
    assert sum(face_area(corner_points(zero, face)) == 0 for face in zero.faces) == 3
    assert max(c[0] for f in fault_read(samples, "index-out-of-range").faces for c in f) == 999_999
    assert "\nf -" in fault_text(samples, "relative-indices")
    assert "\r\nusemtl" in fault_text(samples, "crlf")
    assert fault_read(samples, "line-elements").lines > 20
    assert fault_read(samples, "not-normalised").vertices.min() > 50
    wire = fault_read(samples, "no-faces")
    assert (len(wire.faces), wire.lines > 0, len(wire.vertices) > 0) == (0, True, True)
    entry = pathology("non-ascii")
    assert not entry.model_id.isascii()
    assert "usemtl matière_é_木" in fault_text(samples, "non-ascii")
    assert "newmtl matière_é_木" in fault_text(samples, "non-ascii", MTL)


def test_relative_indices_mean_the_same(samples: Path) -> None:
    plain, relative = fault_read(samples, "parent-path"), fault_read(samples, "relative-indices")
    n = len(plain.vertices)
    assert [[c[0] for c in f] for f in plain.faces] == [
        [c[0] + 1 + n for c in f] for f in relative.faces
    ]


# --- settings and targets


def test_summary_counts_what_is_there(tmp_path: Path) -> None:
    seen: list[object] = []

    def watch(jobs):  # type: ignore[no-untyped-def]
        for job in jobs:
            seen.append(job)
            yield job

    summary = write_samples(
        tmp_path / "new" / "out", SamplesConfig(2, categories="mug, bottle"), watch
    )
    files = [
        path
        for path in (tmp_path / "new" / "out").rglob("*")
        if path.is_file() and HIDDEN not in path.parts
    ]
    assert summary["models"] == {CATEGORIES["bottle"]: 2, CATEGORIES["mug"]: 2}
    assert (summary["files"], summary["bytes"]) == (
        len(files),
        sum(path.stat().st_size for path in files),
    )
    assert len(seen) == 4
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]


def test_again_into_the_same_folder_changes_nothing_and_more_adds(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_samples(out, SamplesConfig(1, categories="mug"))
    (out / "notes.txt").write_text("mine")
    before = tree_hashes(out)
    write_samples(out, SamplesConfig(1, categories="mug"))
    assert tree_hashes(out) == before
    write_samples(out, SamplesConfig(2, categories="mug"))
    assert len(list(out.glob("[0-9]*/*"))) == 2
    assert (out / "notes.txt").read_text() == "mine"
    with pytest.raises(
        InputError, match=r"holds 2 models that these settings do not make .* another folder"
    ):
        write_samples(out, SamplesConfig(2, seed=1, categories="mug"))


def test_wrong_targets_are_refused_and_left_alone(tmp_path: Path) -> None:
    config = SamplesConfig(1, categories="mug")
    full, file, link = tmp_path / "full", tmp_path / "file", tmp_path / "link"
    full.mkdir()
    (full / "thesis.tex").write_text("years")
    file.write_text("x")
    link.symlink_to(tmp_path / "nothing")
    for target, words in (
        (full, "is not empty .* and no samples that cma3d made: choose an empty folder"),
        (file, "is a file: choose another"),
        (file / "below", "cannot be written: .* choose another folder"),
        (link, "is a link to nothing"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            write_samples(target, config)
        assert str(target) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full", "link"]
    assert [path.name for path in full.iterdir()] == ["thesis.tex"]


def test_a_broken_run_goes_on(tmp_path: Path) -> None:
    def stop(jobs):  # type: ignore[no-untyped-def]
        yield from list(jobs)[:1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_samples(tmp_path / "out", SamplesConfig(2, categories="mug"), stop)
    write_samples(tmp_path / "out", SamplesConfig(2, categories="mug"))
    write_samples(tmp_path / "unbroken", SamplesConfig(2, categories="mug"))
    assert tree_hashes(tmp_path / "out") == tree_hashes(tmp_path / "unbroken")


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    write_samples(tmp_path, SamplesConfig(1, categories="mug"))
    assert (tmp_path / "taxonomy.json").is_file()


def test_settings_are_checked() -> None:
    assert read_settings(SamplesConfig, given={"per_category": 2}) == SamplesConfig(2)
    assert SamplesConfig(categories="mug,bed, mug").chosen == ("bed", "mug")
    with pytest.raises(
        InputError, match=r"categories: 'unicorn' is unknown; the names are airplane, bed"
    ):
        read_settings(SamplesConfig, given={"categories": "mug,unicorn"})
    with pytest.raises(InputError, match="per_category"):
        read_settings(SamplesConfig, given={"per_category": 0})


def test_manner_leaves_the_surface_alone() -> None:
    """Front faces are the same triangles whatever the manner, so one surface is what every reader finds."""
    parts, _ = build_parts("chair", 0, 1)
    plain, rich = (
        model_files(parts, style, random_stream("x"))
        for style in (
            Style(),
            Style(doubled=True, repeated=True, normals=True, grouping="o", lines=True),
        )
    )
    vertices = [line for line in plain.obj.splitlines() if line.startswith("v ")]
    assert set(vertices) == {line for line in rich.obj.splitlines() if line.startswith("v ")}
    assert rich.obj.count("\nf ") == 2 * plain.obj.count("\nf ")
