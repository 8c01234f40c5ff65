"""The law of all commands that write: whatever was there before and is not ours is as it was, byte for byte."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import hypothesis
import pytest
from click.testing import CliRunner
from hypothesis import strategies as st

from shapenet3d_cma.cli import cli
from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.outputs import HIDDEN
from shapenet3d_cma.tests.layouts import FILES, assert_kept, clear, make_files, snapshot

few = hypothesis.settings(
    max_examples=6,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)

INTO_FOLDER: dict[str, list[str]] = {
    "samples": ["samples", "OUT", "--per-category", "1", "--categories", "chair"],
    "samples --task": ["samples", "OUT", "--task", "modelnet40", "--train", "1", "--test", "1"],
    "render": ["render", "SHAPENET", "OUT", "--views", "1", "--size", "16", "--jobs", "1"],
    "build": ["build", "SHAPENET", "OUT", "--views", "1", "--size", "16", "--jobs", "1"],
    "pack": ["pack", "RENDERS", "OUT", "--jobs", "1", "--points", "64"],
    "reconstruct": ["reconstruct", "RENDERS", "OUT", "--jobs", "1"],
    "export": ["export", "SHARDS", "OUT", "--jobs", "1", "--format", "ply"],
    "inspect": ["inspect", "SHARDS", "--rows", "0:2", "-o", "OUT"],
    "pretrain": ["pretrain", "SHARDS", "OUT", "--config", "small"],
    "finetune": ["finetune", "OUT", "--task", "modelnet40", "--data", "DATA", "--config", "small"],
    "fewshot": ["fewshot", "OUT", "--data", "DATA", "--config", "small"],
    "segment": ["segment", "OUT", "--data", "DATA"],
    "evaluate": ["evaluate", "RUN", "-o", "OUT"],
    "ablate": ["ablate", "SHARDS", "OUT", "--table", "6", "--task", "modelnet40", "--data", "DATA"],
    "demo": ["demo", "OUT", "--jobs", "1"],
}
"""Every command that writes to a folder, in words."""
INTO_FILE: dict[str, tuple[str, list[str]]] = {
    "inspect": (".html", ["inspect", "SHARDS", "--row", "0", "-o", "OUT"]),
    "inspect png": (".png", ["inspect", "SHARDS", "--row", "0", "-o", "OUT"]),
    "inspect --sheet": (".png", ["inspect", "SHARDS", "--rows", "0:2", "--sheet", "OUT"]),
    "report": (".html", ["report", "SHARDS", "-o", "OUT", "--most", "2"]),
    "probe": (".json", ["probe", "--shards", "SHARDS", "--init", "RUN", "-o", "OUT"]),
    "export-encoder": (".safetensors", ["export-encoder", "RUN", "OUT"]),
}
"""Every command that writes to a file: how its name ends, and the words."""
MORE: dict[str, Sequence[Sequence[str]]] = {
    "render": [["--redo"], ["--retry-failed"]],
    "build": [["--redo"]],
    "pack": [["--redo"], ["--num-samples", "2"]],
    "reconstruct": [["--redo"], ["--format", "npz"], ["--keep", "all"]],
    "export": [
        ["--redo"],
        ["--format", "png"],
        ["--format", "bop", "--redo"],
        ["--format", "nerf"],
        ["--full"],
    ],
}
NEEDS = {"render": "bpy", "build": "bpy", "demo": "bpy"} | dict.fromkeys(
    ("pretrain", "finetune", "fewshot", "segment", "evaluate", "ablate", "probe", "export-encoder"),
    "torch",
)


def marked(names: Any) -> list[Any]:
    """Mark the commands that need what may not be installed."""
    return [
        pytest.param(name, marks=pytest.mark.needs(NEEDS[name])) if name in NEEDS else name
        for name in names
    ]


Call = Callable[..., tuple[int, str]]


@pytest.fixture(scope="session")
def inputs(
    shapenet: Path, renders: Path, shards: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """What commands read: of the words in capitals, what stands for which."""
    data, run = tmp_path_factory.mktemp("law") / "data", tmp_path_factory.mktemp("law") / "run"
    CliRunner().invoke(
        cli, ["samples", str(data), "--task", "modelnet40", "--train", "2", "--test", "2"]
    )
    make_files(run, {"run.json": b"{}", "encoder.safetensors": b"not one"})
    return {"SHAPENET": shapenet, "RENDERS": renders, "SHARDS": shards, "DATA": data, "RUN": run}


@pytest.fixture
def call(inputs: dict[str, Path]) -> Call:
    """Run a command, given in words; return its status and what it says on errors. What it reads must be as before."""

    def run(words: Sequence[str], out: Path | str) -> tuple[int, str]:
        places = inputs | {"OUT": out}
        result = CliRunner().invoke(cli, [str(places.get(word, word)) for word in words])
        error = result.exception
        if isinstance(error, InputError | click.ClickException):
            assert "\n" not in str(error)
            return 2, str(error)
        if error is not None and not isinstance(error, SystemExit):
            raise error
        assert result.exit_code in (0, 1), result.output
        return result.exit_code, result.output

    return run


def test_every_command_that_writes_is_held_to_the_law() -> None:
    """A new command must be told here, or be known to write nothing."""
    known = {words[0] for words in INTO_FOLDER.values()} | {
        words[0] for _, words in INTO_FILE.values()
    }
    assert set(cli.commands) - known == {"doctor", "status", "verify", "model-info"}


# ---- folders that are not ours ----


@pytest.mark.parametrize("name", marked(INTO_FOLDER))
@few
@hypothesis.given(data=st.data())
def test_a_folder_of_the_users_is_refused_untouched(
    call: Call, tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    top = clear(tmp_path_factory.getbasetemp() / "refused" / name.replace(" ", ""))
    make_files(top / "mine", data.draw(FILES))
    (top / "link").symlink_to("mine")
    place = data.draw(
        st.sampled_from(["mine", "mine/", "link", "mine/new/..", "new/../mine", "link/."])
    )
    more = data.draw(st.sampled_from([[], *MORE.get(name, [])]))
    before = snapshot(top)
    status, error = call([*INTO_FOLDER[name], *more], f"{top}/{place}")
    assert snapshot(top) == before
    assert status == 2
    if name != "evaluate":  # has read RUN by then
        assert str(top / "mine") in error or str(top / "link") in error


@pytest.mark.parametrize(
    "name", marked(name for name, words in INTO_FOLDER.items() if words[0] != "samples")
)
def test_an_output_in_or_around_an_input_is_refused(
    call: Call, inputs: dict[str, Path], tmp_path: Path, name: str
) -> None:
    words = INTO_FOLDER[name]
    for key in [word for word in words if word in inputs and word != "DATA"]:
        given, before = inputs[key], snapshot(inputs[key].parent)
        (tmp_path / key).symlink_to(given)
        for out in (
            given,
            given / "new",
            given.parent,
            tmp_path / key,
            tmp_path / key / "new",
            given / "new" / "..",
        ):
            for more in ([], *MORE.get(name, [])):
                status, error = call([*words, *more], out)
                assert (status, snapshot(given.parent) == before) == (2, True), (out, more, error)


@pytest.mark.parametrize("to", ["ply", "png", "bop", "nerf"])
@pytest.mark.parametrize("redo", [True, False])
def test_an_export_to_the_models_themselves_is_refused(
    call: Call, inputs: dict[str, Path], tmp_path: Path, to: str, redo: bool
) -> None:
    """The case that lost 312 files of 313: OUT has a folder of the same name for each model."""
    models = tmp_path / "ShapeNetCore.v2"
    shutil.copytree(inputs["SHAPENET"], models, ignore=shutil.ignore_patterns(HIDDEN, "README.txt"))
    before = snapshot(models)
    for out in (models, tmp_path, models / "03001627", *models.glob("*/*"), models / "new" / ".."):
        for words in (
            ["export", "SHARDS", "OUT", "--jobs", "1", "--format", to],
            [
                "reconstruct",
                "RENDERS",
                "OUT",
                "--jobs",
                "1",
                "--format",
                "npz" if to == "png" else "ply",
            ],
        ):
            status, error = call([*words, *["--redo"] * redo], out)
            assert status == 2
            assert "is not empty" in error
            assert snapshot(models) == before


# ---- files that are not ours, in folders that are ----


@pytest.mark.parametrize("name", ["samples", "pack", "reconstruct", "export", "inspect"])
@few
@hypothesis.given(data=st.data())
def test_a_file_of_the_users_in_our_folder_stays(
    call: Call, tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    """Some are among ours, some in the place of ours, some have names of ours that are not written yet."""
    top = tmp_path_factory.getbasetemp() / "kept"
    words = INTO_FOLDER[name]
    if not (top / name).exists():
        top.mkdir(exist_ok=True)
        assert call(words, top / name)[0] == 0
    out = top / f"{name}-again"
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(top / name, out)
    own = sorted(
        key for key in snapshot(out) if not key.startswith(HIDDEN) and not key.endswith("/")
    )
    changed = data.draw(st.sets(st.sampled_from(own), max_size=2))
    mine = {key: what for key, what in data.draw(FILES).items() if not (out / key).exists()}
    make_files(out, mine)
    for key in changed:
        (out / key).write_bytes(b"mine, in its place")
    before = {key: what for key, what in snapshot(out).items() if key in mine or key in changed}
    for more in data.draw(st.permutations([[], *MORE.get(name, [])])):
        status, error = call([*words, *more], out)
        assert status in (0, 1, 2), error
        assert_kept(before, out)


@pytest.mark.needs("bpy")
def test_a_file_of_the_users_among_renders_stays(
    call: Call, inputs: dict[str, Path], tmp_path: Path
) -> None:
    words = [*INTO_FOLDER["render"], "--synset", "chair", "--limit", "1", "--samples", "1"]
    assert call(words, tmp_path / "renders")[0] == 0
    (render,) = (tmp_path / "renders").glob("*/*.h5")
    mine = {
        ".partial-x": b"mine",
        f"{render.parent.name}/.partial-x.h5": b"mine",
        "notes/a.h5": b"mine",
    }
    make_files(tmp_path / "renders", mine)
    before = {key: what for key, what in snapshot(tmp_path / "renders").items() if key in mine}
    assert call([*words, "--redo", "--size", "24"], tmp_path / "renders")[0] == 0
    assert_kept(before, tmp_path / "renders")
    render.write_bytes(b"mine")
    status, error = call([*words, "--redo"], tmp_path / "renders")
    assert status in (1, 2), error
    assert render.read_bytes() == b"mine"
    assert_kept(before, tmp_path / "renders")


# ---- single files ----


@pytest.mark.parametrize("name", marked(INTO_FILE))
@few
@hypothesis.given(data=st.data())
def test_a_file_of_the_users_is_not_replaced(
    call: Call, tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    top = clear(tmp_path_factory.getbasetemp() / "file" / name.replace(" ", ""))
    suffix, words = INTO_FILE[name]
    make_files(top, data.draw(FILES) | {f"mine{suffix}": data.draw(st.binary(max_size=20))})
    (top / f"link{suffix}").symlink_to(f"mine{suffix}")
    (top / f"dangling{suffix}").symlink_to("nothing")
    make_files(top / f"folder{suffix}", data.draw(FILES))
    sort = data.draw(st.sampled_from(["mine", "link", "dangling", "folder", "new/../mine"]))
    before = snapshot(top)
    status, error = call(words, f"{top}/{sort}{suffix}")
    assert snapshot(top) == before
    assert status == 2
    assert sort.rpartition("/")[2] in error


@pytest.mark.parametrize("name", marked(INTO_FILE))
def test_a_file_of_an_input_is_not_replaced(
    call: Call, inputs: dict[str, Path], tmp_path: Path, name: str
) -> None:
    """`probe -o SHARDS/manifest.json` and `export-encoder RUN SHARDS/shard-00000.h5` lost shards."""
    shards = shutil.copytree(inputs["SHARDS"], tmp_path / "shards")
    suffix, words = INTO_FILE[name]
    before = snapshot(shards)
    for out in ("manifest.json", "shard-00000.h5", f"new{suffix}", f"../{shards.name}/index.csv"):
        words = [str(shards) if word == "SHARDS" else word for word in words]
        if "SHARDS" not in INTO_FILE[name][1] and out.startswith("new"):
            continue  # not read by this command
        status, error = call(words, shards / out)
        assert (status, snapshot(shards) == before) == (2, True), error


@pytest.mark.parametrize("name", ["inspect", "inspect png", "inspect --sheet", "report"])
def test_only_a_file_of_the_same_kind_is_replaced(call: Call, tmp_path: Path, name: str) -> None:
    suffix, words = INTO_FILE[name]
    out = tmp_path / f"ours{suffix}"
    for _ in range(2):
        assert call(words, out)[0] == 0
    others = {other: INTO_FILE[other] for other in ("inspect", "report") if other != name}
    before = snapshot(tmp_path)
    for other_suffix, other in others.values():
        if other_suffix == suffix:
            status, error = call(other, out)
            assert status == 2
            assert "is not a" in error
            assert snapshot(tmp_path) == before


def test_pages_of_the_users_beside_a_report_stay(call: Call, tmp_path: Path) -> None:
    make_files(tmp_path, {"report-rows/row-000000.html": b"mine"})
    before = snapshot(tmp_path)
    status, error = call(INTO_FILE["report"][1], tmp_path / "report.html")
    assert status == 2
    assert "report-rows is not empty" in error
    assert snapshot(tmp_path) == before
    make_files(tmp_path, {"pages/row-000000.html": b"mine"})
    before = snapshot(tmp_path)
    assert call(INTO_FOLDER["inspect"], tmp_path / "pages")[0] == 2
    assert snapshot(tmp_path) == before
