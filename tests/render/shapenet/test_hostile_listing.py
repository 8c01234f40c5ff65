"""Hostile names, pipes and devices in a ShapeNet: all are listed or refused, none is opened."""

from __future__ import annotations

import json
import os
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.core.errors import InputError, ModelError
from shapenet3d_cma.core.outputs import claim
from shapenet3d_cma.core.progress import say
from shapenet3d_cma.pack.surface import source_mesh
from shapenet3d_cma.render.mesh.load import read_model
from shapenet3d_cma.render.mesh.repair import repair
from shapenet3d_cma.render.shapenet.doctor import diagnose, diagnosis_text
from shapenet3d_cma.render.shapenet.listing import (
    Model,
    category_names,
    fetch,
    list_models,
    safe_id,
)
from shapenet3d_cma.render.shapenet.selection import Selection, read_ids, read_split
from shapenet3d_cma.render.status import forget_failures, read_failures
from shapenet3d_cma.tests.fuzz.bounds import bounded
from shapenet3d_cma.tests.render.mesh.broken_models import (
    TRIANGLE,
    V2,
    put_model,
    reading_error,
)

NAMES = [
    b"a" * 255,
    b"\xff\xfe-latin",
    b".partial-host@1-abc",
    b".hidden",
    b"a](http:x)b",
    b"\x1b[31mred\x1b[0m",
    b"two\nlines",
    "right-to-left\u202eflip".encode(),
    b"<script>",
    b"  blanks  ",
    b"plain",
]


def test_models_with_unusable_names_are_listed_under_safe_ids(
    tmp_path: Path,
) -> None:
    for name in NAMES:
        put_model(tmp_path, name=os.fsdecode(name))
    (tmp_path / "03001627" / "broken-link").symlink_to("nowhere")
    (tmp_path / "03001627" / "ring").symlink_to("ring")
    listing = list_models(tmp_path)
    ids = [model.model_id for model in listing.models]
    assert len(set(ids)) == len(NAMES) + 2
    assert {"plain", "broken-link", "ring"} < set(ids)
    assert all(
        name.isprintable() and not name.startswith(".") and len(name.encode()) <= 200
        for name in ids
    )
    assert not any(set(name) & set("<>[]()\\\"'`|*?:") for name in ids)
    (note,) = listing.notes
    assert note.startswith("10 models are called otherwise")
    assert note.isprintable()
    found = diagnose(listing, jobs=1)
    assert {model.key for model in found.models} == {model.key for model in listing.models}
    assert [model.key for model in found.fatal] == ["03001627/broken-link", "03001627/ring"]
    assert all(line.isprintable() for line in diagnosis_text(found).splitlines())
    for model in listing.models:
        assert Model.from_job(json.loads(json.dumps(model.job()))) == model
        if not (tmp_path / "03001627" / model.folder.name).is_symlink():
            assert len(read_model(model.folder, model.file, tmp_path)[0].sizes) == 1
            assert len(source_mesh(tmp_path, model.synset, model.model_id).triangles) == 1


@given(
    name=st.binary(min_size=1, max_size=60).filter(
        lambda name: b"/" not in name and b"\0" not in name
    )
)
def test_ids_are_printable_and_differ_for_different_names(name: bytes) -> None:
    text = os.fsdecode(name)
    made = safe_id(text)
    assert made.isprintable()
    assert not made.startswith(".")
    assert "/" not in made
    assert safe_id(text + "\x1b") != made
    assert safe_id(made) == made


def test_a_listing_notes_what_it_leaves_out(tmp_path: Path) -> None:
    put_model(tmp_path)
    (tmp_path / "chairs\x1b[31m" / "abc").mkdir(parents=True)
    (tmp_path / "03001628.zip").write_bytes(b"")
    assert list_models(tmp_path).notes == [
        "folders left out, as their names are no synsets: 1, chairs\\x1b[31m",
        "zip archives left out, as there are folders beside them: 1, 03001628.zip",
    ]
    flat = tmp_path / "flat"
    (flat / ".git").mkdir(parents=True)
    (flat / "a.obj").write_text(TRIANGLE)
    (flat / "._a.obj").write_text("")
    (flat / "link").symlink_to(tmp_path / "03001627")
    assert list_models(flat, Selection(layout="flat")).notes == [
        "model files and folders left out, as their names begin with a dot: 2, .git, ._a.obj",
        "folders left out, as they are links, or cannot be read: 1, link",
    ]


names = st.sampled_from(["a", "b.c", ".d", "e\x1b", "f" * 250, "\udcff", "g\n", "a-b", "A"])


@given(
    made=st.lists(
        st.tuples(st.sampled_from(["03001627", "02691156"]), names, st.booleans()),
        min_size=1,
        max_size=8,
    ),
    zipped=st.booleans(),
)
def test_no_model_vanishes(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[str, str, bool]], zipped: bool
) -> None:
    """Each folder of a model is listed once, and doctor and render find the same to be wrong."""
    top = tmp_path_factory.mktemp("tree")
    wanted = set()
    for synset, name, whole in made:
        if not (zipped and "\udcff" in name):
            wanted.add((synset, name))
            folder = top / synset / name / "models"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "model_normalized.obj").write_text(
                TRIANGLE if whole else "v 1e308 0 0\nf 1 1 1\n"
            )
    if not wanted:
        return
    root = top
    if zipped:
        root = top / "zips"
        root.mkdir()
        for synset in {synset for synset, _ in wanted}:
            with zipfile.ZipFile(root / f"{synset}.zip", "w") as file:
                for path in (top / synset).rglob("*.obj"):
                    file.write(path, path.relative_to(top))
    listing = list_models(root)
    assert len({model.key for model in listing.models}) == len(listing.models) == len(wanted)
    assert {(model.synset, model.folder.name) for model in listing.models} == wanted
    for examined, model in zip(diagnose(listing, jobs=1).models, listing.models, strict=True):
        assert examined.fatal == fails(model, tmp_path_factory)


def fails(model: Model, factory: pytest.TempPathFactory) -> bool:
    """Check whether the worker would record it as failed."""
    scratch = factory.mktemp("scratch")
    try:
        folder, _ = fetch(model, scratch)
        mesh, _, _ = read_model(folder, model.file, scratch)
    except ModelError:
        return True
    return not len(repair(mesh).front)


def test_printed_lines_hold_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1b[31m\nb\u202e\udcff")
    assert capsys.readouterr().err == "a\\x1b[31m\nb\\u202e\\xff\n"


def test_failures_with_impossible_names(tmp_path: Path) -> None:
    why = {"kind": "model", "reason": "none"}
    entries = [
        {"synset": "03001627", "model_id": name, **why}
        for name in ("a" * 300, "b", "c" * 10_000, "../../x")
    ]
    (tmp_path / "failures.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    assert read_failures(tmp_path) == entries[:3], "no name that leads elsewhere"
    with claim(tmp_path, "renders", earlier=lambda _: True) as output:
        output.adopt("failures.jsonl", live=True)
        forget_failures(output, [("03001627", "a" * 300)])
    assert read_failures(tmp_path) == entries[1:3]


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(path.parent)
        made.bind(path.name)
        os.chdir(here)


@pytest.mark.parametrize(
    "make", [os.mkfifo, make_socket, lambda path: path.symlink_to("/dev/zero")]
)
def test_pipes_sockets_and_devices_are_not_waited_for(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    folder = put_model(tmp_path)
    (folder / V2).unlink()
    make(folder / V2)
    make(tmp_path / "taxonomy.json")
    make(tmp_path / "03001627.zip")
    with bounded("pipes", inside=tmp_path, mib=200, seconds=5):
        assert category_names(tmp_path) == {}
        assert diagnose(list_models(tmp_path), jobs=1).fatal
        told = reading_error(folder)
        assert told in (
            "its OBJ is not a plain file",
            "its OBJ is a link that leads outside the model's folder",
        )
        for refused in (
            lambda: list_models(tmp_path / "03001627.zip"),
            lambda: list_models(tmp_path / "03001627.zip", Selection(layout="zip")),
            lambda: list_models(tmp_path / "03001627.zip", Selection(layout="flat")),
            lambda: list_models(tmp_path, Selection(layout="zip")),
            lambda: read_ids(tmp_path / "taxonomy.json"),
            lambda: read_split(tmp_path / "taxonomy.json", None),
        ):
            with pytest.raises(InputError):
                refused()


def test_oversized_tables_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    path.write_text(
        "id,synsetId,subSynsetId,modelId,split\n1,03001627,x," + "a" * 200_000 + ",train\n"
    )
    with pytest.raises(InputError, match="is not ShapeNet's split table"):
        read_split(path, None)
    (tmp_path / "taxonomy.json").write_text("[" * 100_000)
    assert category_names(tmp_path) == {}
