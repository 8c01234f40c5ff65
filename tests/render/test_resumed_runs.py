"""Runs that are stopped, shared or of an earlier version go on, and give the same files."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest

from shapenet3d_cma.core.outputs import HIDDEN
from shapenet3d_cma.render.render_file import find_renders
from shapenet3d_cma.render.rendering import render_models
from shapenet3d_cma.render.shapenet.listing import find_models
from shapenet3d_cma.render.status import read_status
from shapenet3d_cma.tests.render.long_runs import CONFIG, WORDS, Run, blenders, rendered, start
from shapenet3d_cma.tests.same import assert_same_renders, leftovers
from shapenet3d_cma.tests.waiting import PATIENCE, ended, wait_for


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_run_leaves_whole_files_and_no_blender_and_is_resumed(
    world: Path, unbroken: Path, tmp_path: Path, cma3d: Run, how: signal.Signals
) -> None:
    words = ("render", world, tmp_path, *WORDS, "--jobs", 2)
    moment = random.Random(int(how)).randrange(1, 4)
    begun = time.monotonic()
    process = start(*words)
    wait_for(lambda: len(rendered(tmp_path)) >= moment)
    workers = blenders(psutil.Process(process.pid))
    assert workers
    stop_time = time.monotonic()
    process.send_signal(how)
    out, err = process.communicate(timeout=PATIENCE)
    assert time.monotonic() - stop_time < 5 + 2 * (stop_time - begun), (
        "a stop takes seconds, of the machine's own"
    )
    if how == signal.SIGKILL:
        assert process.returncode == -9
    else:
        assert (process.returncode, out) == (130, "")
        assert (
            err.splitlines()[-1]
            == "cma3d: stopped; what was finished is kept, the same command goes on from there"
        )
        assert "Traceback" not in err
        assert not leftovers(tmp_path)
    wait_for(lambda: ended(workers))
    assert not read_status(tmp_path)["running"]
    there = {path: path.stat().st_mtime_ns for path in rendered(tmp_path)}
    assert 0 < len(there) < 8
    assert cma3d(*words).returncode == 0
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in there.items()), (
        "nothing is rendered twice"
    )
    assert_same_renders(unbroken, tmp_path)
    assert not leftovers(tmp_path)


def test_build_renders_and_packs_and_goes_on(
    world: Path, tmp_path: Path, cma3d: Run, cma3d_inside: Run
) -> None:
    words = (
        "build",
        world,
        tmp_path,
        "--synset",
        "mug",
        "--views",
        3,
        "--size",
        64,
        "--samples",
        1,
        "--points",
        64,
    )
    done = cma3d(*words)
    assert done.returncode == 0, done.stderr
    assert "2 models rendered, 0 there before, 0 failed" in done.stdout
    assert f"2 rows of 1 category in {tmp_path / 'shards'}" in done.stdout
    settings = json.loads((tmp_path / "renders" / "render.json").read_text())["config"]
    assert settings["colour"] == "best"
    stamps = {
        path: path.stat().st_mtime_ns
        for path in [*find_renders(tmp_path / "renders"), *tmp_path.rglob("shard-*")]
    }
    assert "0 models rendered, 2 there before" in cma3d(*words).stdout
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    refused = cma3d_inside(*words, "--keep", "all", "--colour", "best")
    assert refused.returncode == 2
    assert "--keep all packs views that --colour best leaves without colour" in refused.stderr
    (tmp_path / "b.toml").write_text("[render]\nviews = 3\n[paint]\n")
    assert "'paint' is out of place" in cma3d_inside(*words, "--config", tmp_path / "b.toml").stderr


def test_two_runs_may_share_a_folder(world: Path, unbroken: Path, tmp_path: Path) -> None:
    """As the tasks of a job array do: neither sweeps away what the other is writing."""
    models = find_models(world)
    processes = [
        start("render", world, tmp_path, *WORDS, "--jobs", 1, "--synset", name)
        for name in ("mug", "bed")
    ]
    outs = [process.communicate(timeout=PATIENCE) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outs
    status = read_status(tmp_path)
    assert (status["planned"], status["done"]) == (4, 4)
    assert render_models(models, tmp_path, CONFIG, jobs=2).rendered == 4
    assert_same_renders(unbroken, tmp_path)


def test_a_folder_of_the_previous_version_is_resumed(
    world: Path, unbroken: Path, tmp_path: Path, cma3d: Run
) -> None:
    """It has no record: its files are known by their content."""
    renders = Path(shutil.copytree(unbroken, tmp_path / "renders"))
    shutil.rmtree(renders / HIDDEN)
    (renders / "notes.txt").write_text("mine")
    assert cma3d("render", world, renders, *WORDS, "--jobs", 1).returncode == 0
    assert_same_renders(unbroken, renders)
    other = ("--views", 1, "--size", 16, "--samples", 1, "--jobs", 2, "--redo")
    assert cma3d("render", world, renders, *other).returncode == 0
    assert cma3d("render", world, renders, *WORDS, "--jobs", 2, "--redo").returncode == 0
    assert_same_renders(unbroken, renders)
    assert (renders / "notes.txt").read_text() == "mine"
