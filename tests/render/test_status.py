"""The status of a run: what others see of it."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

from shapenet3d_cma.render.status import read_status
from shapenet3d_cma.tests.render.long_runs import WORDS, Run, rendered, start
from shapenet3d_cma.tests.waiting import PATIENCE, wait_for


def test_the_status_counts_models_done_failed_and_left(
    world: Path, unbroken: Path, tmp_path: Path, cma3d_inside: Run
) -> None:
    status = json.loads(cma3d_inside("status", unbroken, "--json").stdout)
    assert (
        status["planned"],
        status["done"],
        status["failed"],
        status["left"],
        status["running"],
    ) == (
        8,
        8,
        0,
        0,
        False,
    )
    out = tmp_path / "out" / "renders"
    shutil.copytree(unbroken, out)
    for path in rendered(out)[:3]:
        path.unlink()
    people = cma3d_inside("status", out.parent)
    assert people.returncode == 0
    lines = people.stdout.splitlines()
    assert lines[:2] == [
        "5 of 8 models done, 0 failed, 3 left",
        "not running: the same command as before goes on",
    ]
    table = [line.split() for line in lines[3:]]
    assert [row[0] for row in table] == sorted({path.parent.name for path in rendered(unbroken)})
    for synset, *_, done, failed, left in table:
        there = len(list((out / synset).glob("*.h5")))
        assert (int(done), int(failed), int(left)) == (
            there,
            0,
            len(list((unbroken / synset).glob("*.h5"))) - there,
        )
    nothing = cma3d_inside("status", tmp_path / "nothing")
    assert nothing.returncode == 2
    assert "is not a folder of renders" in nothing.stderr


def test_the_status_of_a_running_run_has_rate_and_time_left(world: Path, tmp_path: Path) -> None:
    process = start("render", world, tmp_path, *WORDS, "--jobs", 1)
    try:
        wait_for(lambda: len(rendered(tmp_path)) >= 3)
        status = read_status(tmp_path)
        assert status["running"]
        assert status["done"] >= 3
        assert status["left"] == 8 - status["done"]
        assert status["views_per_second"] == pytest.approx(4 * status["models_per_second"])
        assert status["seconds_left"] == pytest.approx(status["left"] / status["models_per_second"])
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
