"""The fast scan counts what reading and repairing count."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from shapenet3d_cma.render.mesh.obj import parse_obj
from shapenet3d_cma.render.mesh.repair import repair
from shapenet3d_cma.render.shapenet import scan
from shapenet3d_cma.render.shapenet.scan import scan_obj
from shapenet3d_cma.samples.config import SamplesConfig
from shapenet3d_cma.samples.shapenet_folder import write_samples


@st.composite
def objs(draw: st.DrawFn) -> bytes:
    """Draw OBJ text full of faults; coordinates are few, so that vertices and faces coincide."""
    coordinate = st.sampled_from(
        ["0", "0.5", "-0.25", "1.0000000001", "1", "-0", "1e-1", "nan", "inf"]
    )
    vertices = draw(st.lists(st.tuples(coordinate, coordinate, coordinate), max_size=8))
    form = draw(st.sampled_from(["{0}", "{0}/{0}", "{0}//{0}", "{0}/1/1"]))
    index = st.integers(
        draw(st.sampled_from([1, 1, 1, -2])), draw(st.sampled_from([len(vertices), 12])) or 1
    )
    face = st.lists(index, min_size=draw(st.sampled_from([1, 3])), max_size=5)
    faces = draw(st.lists(st.one_of(face, st.lists(index, min_size=3, max_size=3)), max_size=12))
    faces += [[*reversed(face)] for face in faces if draw(st.booleans())]
    lines = [f"v {' '.join(vertex)}" for vertex in vertices] + ["vt 0 0"] * draw(st.integers(0, 2))
    for number, corners in enumerate(faces):
        lines += draw(
            st.sampled_from([[], [], [f"usemtl m{number % 2}"], ["l 1 2"], ["g a"], ["# é"], [""]])
        )
        lines.append(
            "f "
            + " ".join(form.format(corner) for corner in corners)
            + draw(st.sampled_from(["", "", " "]))
        )
    head = draw(st.sampled_from(["", "mtllib a b.mtl\n"]))
    return (
        (head + "\n".join(lines) + draw(st.sampled_from(["", "\n"])))
        .replace("\n", draw(st.sampled_from(["\n", "\r\n"])))
        .encode()
    )


def assert_alike(data: bytes) -> None:
    mesh = parse_obj(data)
    surface = repair(mesh)
    found = scan_obj(data)
    assert found.counts == surface.repairs
    assert found.vertices == len(mesh.vertices)
    assert found.materials == [name for name in mesh.material_names if name]
    assert found.libraries == [name for name in dict.fromkeys(mesh.libraries) if name]
    assert bool(found.usable) == bool(len(surface.front))
    if found.usable:
        finite = mesh.vertices[np.isfinite(mesh.vertices).all(axis=1)]
        assert np.array_equal([found.low, found.high], [finite.min(axis=0), finite.max(axis=0)])


SQUARE = b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"


@given(objs())
@example(SQUARE + b"f 1 2 3 4\nf 3 4 1 2\nf 2 1 4 3\nf 1 3 2 4\n")
@example(SQUARE + b"f 1 2 3 1\nf 1 2 3 4 2\n")  # a corner twice, and yet an area
def test_the_scan_counts_what_repair_counts(data: bytes) -> None:
    assert_alike(data)


@given(st.binary(max_size=80) | st.text("vf/ 12.-\nn", max_size=60).map(str.encode))
def test_any_bytes_are_scanned(data: bytes) -> None:
    assert_alike(data)


def test_the_samples_are_scanned_alike_and_fast(tmp_path_factory) -> None:
    out = tmp_path_factory.mktemp("scan") / "shapenet"
    write_samples(out, SamplesConfig(per_category=1, pathologies=True))
    paths = sorted(out.rglob("*.obj"))
    for path in paths:
        assert_alike(path.read_bytes())
    assert sum(scan_obj(path.read_bytes()).fast for path in paths) >= len(paths) - 5


def test_common_text_takes_the_fast_way(monkeypatch) -> None:
    monkeypatch.setattr(scan, "_scan_slowly", None)
    text = "mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvn 0 0 1\nvt 0 0\nusemtl a\n"
    text += "f 1/1/1 2/1/1 3/1/1\nf 3/1/1 2/1/1 1/1/1\n"
    found = scan_obj(text.encode())
    assert (found.faces, found.counts, found.stray_normals) == (
        2,
        {"opposite pairs merged": 1},
        0.0,
    )
    turned = scan_obj(text.replace("vn 0 0 1", "vn 1 0 0").encode())
    assert turned.stray_normals == 1.0
