"""manifest.json, render.json, failures.jsonl and plans with drawn faults: read, or refused in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapenet3d_cma.core.outputs import HIDDEN, claim
from shapenet3d_cma.pack.manifest import read_record
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.render.config import RenderConfig
from shapenet3d_cma.render.rendering import read_render_settings
from shapenet3d_cma.render.status import announce, read_failures, read_status, status_table
from shapenet3d_cma.tests.fuzz.bounds import bounded, corpus, fuzz
from shapenet3d_cma.tests.fuzz.made import RENDER, config_hash, make_renders, make_shards

KINDS = ("manifest.json", "unfinished.json", "render.json", "failures.jsonl", ".runs/a.json")
ODD = st.one_of(
    st.sampled_from(
        [
            None,
            True,
            -1,
            0,
            2**63,
            10**400,
            1e300,
            float("nan"),
            float("inf"),
            "",
            "..",
            "a/b",
            "\ud800",
        ]
    ),
    st.sampled_from(["\x1b[2J", "x" * 300, "/etc/passwd", [], {}, [[]], [{}], {"a": []}]),
    st.integers(),
    st.text(max_size=8),
)
BYTES = st.one_of(
    st.just(b"[" * 200_000),
    st.just(b'{"a":' * 100_000),
    st.just(b"9" * 5000),
    st.just(b'"\\ud800"'),
    st.binary(max_size=40),
)
FAILURE = {
    "synset": "03001627",
    "model_id": "x",
    "config_hash": config_hash(RENDER),
    "kind": "failed",
    "reason": "w",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards and renders in one folder, with a failure, a plan and the record of an unfinished packing."""
    folder = make_renders(tmp_path_factory.mktemp("world") / "renders")
    shards = make_shards(folder, folder.with_name("shards"))
    shutil.copytree(shards, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(HIDDEN))
    (folder / "failures.jsonl").write_text(json.dumps(FAILURE | {"tries": 2}) + "\n")
    with (
        claim(folder, "renders", earlier=lambda _: True) as output,
        announce(output, [("03001627", "x")], config_hash(RenderConfig()), 2),
    ):
        pass
    next((folder / ".runs").glob("*.json")).rename(folder / ".runs/a.json")
    shutil.copy(folder / "manifest.json", folder / "unfinished.json")
    return folder


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the way to each value of a document."""
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [path, *(place for key, each in inner for place in places(each, (*path, key)))]


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = document.copy()
    copy[path[0]] = replaced(document[path[0]], path[1:], value)
    return copy


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    document = json.loads(content)
    if draw(st.booleans()):
        for _ in range(draw(st.integers(1, 3))):
            document = replaced(document, draw(st.sampled_from(places(document))), draw(ODD))
        return json.dumps(document).encode() + b"\n"
    begin, end = sorted(draw(st.tuples(*[st.integers(0, len(content))] * 2)))
    return content[:begin] + draw(BYTES) + content[draw(st.sampled_from([begin, end])) :]


def read_all(folder: Path, name: str, content: bytes) -> None:
    whole = (folder / name).read_bytes()
    try:
        (folder / name).write_bytes(content)
        for read in (Shards, read_record, read_render_settings, read_failures):
            with bounded("json_lines", content, inside=folder):
                read(folder)
        with bounded("json_lines", content, inside=folder):
            status_table(read_status(folder)).encode()
    finally:
        (folder / name).write_bytes(whole)


@fuzz
@given(data=st.data())
@pytest.mark.parametrize("name", KINDS)
def test_drawn_faults_are_answered(world: Path, name: str, data: st.DataObject) -> None:
    read_all(world, name, data.draw(damaged((world / name).read_bytes())))


@pytest.mark.parametrize("path", corpus("json_lines"), ids=lambda path: path.name)
def test_past_failures_are_answered(world: Path, path: Path) -> None:
    for name in KINDS:
        read_all(world, name, path.read_bytes())
