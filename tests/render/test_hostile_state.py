"""render.json, failures.jsonl, plans and folders of any shape: one line, or left out; never another error."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from shapenet3d_cma.core.outputs import claim
from shapenet3d_cma.pack.packing import pack_renders
from shapenet3d_cma.render.rendering import (
    _is_earlier,
    _present,
    _what_is_left,
    read_render_settings,
)
from shapenet3d_cma.render.shapenet.listing import Model
from shapenet3d_cma.render.status import (
    check_places,
    forget_failures,
    read_failures,
    read_status,
    status_table,
)
from shapenet3d_cma.tests.fuzz import bounds
from shapenet3d_cma.tests.fuzz.bounds import bounded
from shapenet3d_cma.tests.fuzz.made import PACK, RENDER, config_hash, make_renders

refusal = partial(bounds.refusal, "state")
SHAPES = [
    b"",
    b"[]",
    b"{}",
    b"null",
    b"5",
    b'"x"',
    b"\xff\xfe",
    b"[" * 10**6,
    b'{"a":' * 10**5,
    b"9" * 5000,
]
GOOD = {
    "synset": "03001627",
    "model_id": "x",
    "config_hash": "h",
    "kind": "failed",
    "reason": "why",
    "tries": 1,
}
BAD_ENTRIES = [
    *(
        GOOD | {name: value}
        for name in ("synset", "model_id")
        for value in (5, None, [], "", "..", "a/b", "../x")
    ),
    *(GOOD | {"kind": value} for value in (5, [], None)),
    *(GOOD | {"reason": value} for value in ([], {}, 1e999)),
    GOOD | {"config_hash": []},
    GOOD | {"tries": "many"},
    {},
    [],
    5,
]
PLAN = {
    "keys": [["03001627", "x"]],
    "config_hash": config_hash(RENDER),
    "views": 2,
    "started": 1.0,
    "host": "h",
    "pid": 5,
    "ended": None,
}
BAD_PLANS = [
    *(
        PLAN | {"keys": keys}
        for keys in (5, {}, [5], [["a"]], [["a", 5]], [[[], []]], [["a", "b", "c"]], [["..", "x"]])
    ),
    *(PLAN | {"pid": pid} for pid in (-1, 0, 10**400, 2**31, 1.5, "5", None)),
    *(PLAN | {"views": views} for views in (-1, "x", None, 1e300, 10**30)),
    *(PLAN | {"started": value} for value in ("x", None, float("nan"), float("inf"), 10**400)),
    *(PLAN | {"ended": value} for value in ("x", [], float("nan"))),
    *(PLAN | {"host": value} for value in (5, None)),
    {},
    [],
    5,
    None,
]


@pytest.fixture
def renders(tmp_path: Path) -> Path:
    return make_renders(tmp_path / "renders")


@pytest.mark.parametrize("content", SHAPES)
def test_a_render_json_of_another_shape_is_refused(renders: Path, content: bytes) -> None:
    (renders / "render.json").write_bytes(content)
    assert read_render_settings(renders) is None
    assert "render.json" in refusal(lambda: read_status(renders), renders)
    with bounded("state", inside=renders.parent):
        assert pack_renders(renders, renders.parent / "s", PACK, jobs=1).rows == 6


@pytest.mark.parametrize("views", [0, -1, True, 1e300, "2", None, [], 10**30])
def test_impossible_settings_of_a_run_are_refused(renders: Path, views: object) -> None:
    settings = json.loads((renders / "render.json").read_text())
    settings["config"]["views"] = views
    (renders / "render.json").write_text(json.dumps(settings))
    assert "have views = " in refusal(
        lambda: pack_renders(renders, renders.parent / "s", PACK, jobs=1), renders.parent
    )
    assert not (renders.parent / "s").exists()


@pytest.mark.parametrize(
    "content", [*SHAPES, *(json.dumps(entry).encode() for entry in BAD_ENTRIES)]
)
def test_a_line_of_another_shape_is_no_failure(renders: Path, content: bytes) -> None:
    good = json.dumps(GOOD).encode()
    (renders / "failures.jsonl").write_bytes(content + b"\n" + good + b"\n")
    with bounded("state", inside=renders):
        assert read_failures(renders) == [GOOD]
        status_table(read_status(renders))
        forget(renders, [("03001627", "x")])
    assert read_failures(renders) == []


def test_failures_with_names_too_long_for_a_disk_are_listed(renders: Path) -> None:
    entries = [
        GOOD | {"model_id": name, "config_hash": config_hash(RENDER)}
        for name in ("x" * 255, "\ud800", "a\x1b[2J")
    ]
    (renders / "failures.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    with bounded("state", inside=renders):
        assert read_failures(renders) == entries
        table = status_table(read_status(renders))
        table.encode()
        assert "\x1b" not in table


def forget(renders: Path, keys: list[tuple[str, str]]) -> None:
    with claim(renders, "renders", shared=True, earlier=_is_earlier) as output:
        output.adopt("failures.jsonl", live=True)
        forget_failures(output, keys)


def left(models: list[Model], renders: Path) -> object:
    with claim(renders, "renders", shared=True, earlier=_is_earlier) as output:
        return _what_is_left(models, output, "h", retry_failed=False)


def make_folder(path: Path) -> None:
    path.mkdir()
    (path / "x").touch()


def make_link(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize("what", [make_folder, os.mkfifo, make_link])
@pytest.mark.parametrize("name", ["failures.jsonl", "render.json"])
def test_a_folder_or_pipe_in_place_of_a_file_is_refused_without_waiting(
    renders: Path, name: str, what: Callable[[Path], None]
) -> None:
    (renders / name).unlink(missing_ok=True)
    what(renders / name)
    assert f"{name} is not a file" in refusal(lambda: check_places(renders, ["03001627"]), renders)
    if name == "failures.jsonl" and what is not make_link:
        assert name in refusal(lambda: read_failures(renders), renders)
        assert name in refusal(
            lambda: pack_renders(renders, renders.parent / "s", PACK, jobs=1), renders.parent
        )
    else:
        refusal(lambda: read_status(renders), renders) if name == "render.json" else read_failures(
            renders
        )


@pytest.mark.parametrize("name", [".runs", "03001627"])
def test_a_file_where_a_folder_belongs_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    (tmp_path / "render.json").write_text(json.dumps({"config_hash": "h", "config": {}}))
    assert f"{name} is not a folder" in refusal(
        lambda: check_places(tmp_path, ["03001627"]), tmp_path
    )
    with bounded("state", inside=tmp_path):
        read_status(tmp_path)
    refusal(lambda: pack_renders(tmp_path, tmp_path.parent / "s", PACK, jobs=1), tmp_path.parent)


@pytest.mark.parametrize("plan", [*SHAPES, *(json.dumps(plan).encode() for plan in BAD_PLANS)])
def test_a_plan_of_another_shape_is_left_out(renders: Path, plan: bytes) -> None:
    (renders / ".runs").mkdir()
    (renders / ".runs/a.json").write_bytes(plan)
    (renders / ".runs/b.json").mkdir()
    with bounded("state", inside=renders):
        assert read_status(renders)["planned"] == 3, "the files that are there"
    (renders / ".runs/c.json").write_text(json.dumps(PLAN))
    with bounded("state", inside=renders):
        assert read_status(renders)["planned"] == 1


def test_a_folder_where_a_render_belongs_is_named(renders: Path) -> None:
    path = renders / "03001627/c.h5"
    path.unlink()
    path.mkdir()
    models = [Model("03001627", "c", renders)]
    assert "c.h5 is a folder" in refusal(lambda: left(models, renders), renders)
    with bounded("state", inside=renders.parent):
        assert read_status(renders)["done"] == 2
        packed = pack_renders(renders, renders.parent / "s", PACK, jobs=1)
        assert [entry["file"] for entry in packed.failures] == ["03001627/c.h5"]


def test_a_pipe_in_the_place_of_a_render_does_not_hang(renders: Path) -> None:
    path = renders / "03001627/c.h5"
    path.unlink()
    os.mkfifo(path)
    with bounded("state", inside=renders.parent):
        assert not _present(path, "h")
        packed = pack_renders(renders, renders.parent / "s", PACK, jobs=1)
        assert [entry["file"] for entry in packed.failures] == ["03001627/c.h5"]
