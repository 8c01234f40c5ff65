"""Two commands in one folder at once: one refuses in one line, or both go on; none tears what the other writes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from shapenet3d_cma.core.outputs import claim, reading
from shapenet3d_cma.tests.same import assert_same_shards, content
from shapenet3d_cma.tests.waiting import PATIENCE

Run = Callable[..., subprocess.CompletedProcess[str]]
PACK = ("--points", 256, "--shard-rows", 3, "--jobs", 1)


@pytest.fixture
def mine(renders: Path, tmp_path: Path) -> Path:
    """Copy the renders."""
    return Path(shutil.copytree(renders, tmp_path / "renders"))


@pytest.fixture
def packed(shards: Path, tmp_path: Path) -> Path:
    """Copy the shards."""
    return Path(shutil.copytree(shards, tmp_path / "shards"))


def held(folder: Path, kind: str, *, shared: bool = False) -> AbstractContextManager[object]:
    """Hold a folder as a command that writes to it does."""
    return claim(folder, kind, shared=shared, earlier=lambda _: True)


def test_a_folder_that_is_written_to_is_refused(
    cma3d: Run, mine: Path, packed: Path, tmp_path: Path
) -> None:
    cases = (
        (held(packed, "shards"), packed, ["pack", mine, packed, *PACK]),
        (
            held(packed, "shards"),
            packed,
            ["export", packed, tmp_path / "ply", "--format", "ply", "--jobs", 1],
        ),
        (held(mine, "renders", shared=True), mine, ["pack", mine, tmp_path / "new", *PACK]),
        (
            held(mine, "renders", shared=True),
            mine,
            ["reconstruct", mine, tmp_path / "clouds", "--jobs", 1],
        ),
    )
    for hold, folder, words in cases:
        before = {path: content(path) for path in (mine, packed)}
        with hold:
            done = cma3d(*words)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert f"{folder} is being written by another process" in done.stderr.splitlines()[-1]
        assert {path: content(path) for path in before} == before
        assert sorted(path.name for path in tmp_path.iterdir()) == ["renders", "shards"], (
            "nothing is left behind"
        )
        assert words[0] != "pack" or cma3d(*words).returncode == 0, "afterwards it goes on"
        shutil.rmtree(tmp_path / "new", ignore_errors=True)


def test_render_refuses_a_folder_that_is_being_read(cma3d: Run, shapenet: Path, mine: Path) -> None:
    with held(mine, "renders", shared=True):
        pass  # from now on it has a record, and so a lock
    words = ("render", shapenet, mine, "--views", 4, "--size", 80, "--samples", 4, "--jobs", 1)
    before = content(mine)
    with reading(mine):
        done = cma3d(*words)
    assert done.returncode == 2
    assert f"{mine} is being read by another command" in done.stderr.splitlines()[-1]
    assert content(mine) == before


def test_two_commands_at_once_give_the_result_of_one(
    renders: Path, shards: Path, tmp_path: Path
) -> None:
    def at_once(*words: object) -> None:
        line = [sys.executable, "-m", "shapenet3d_cma.cli", *map(str, words)]
        both = [
            subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        errors = [process.communicate(timeout=PATIENCE)[1] for process in both]
        assert {process.returncode for process in both} <= {0, 2}, errors
        assert 0 in {process.returncode for process in both}, errors
        for process, text in zip(both, errors, strict=True):
            if process.returncode:
                assert "is being written by another process" in text.splitlines()[-1]

    for number in range(2):
        at_once("pack", renders, tmp_path / f"packed-{number}", *PACK)
        assert_same_shards(shards, tmp_path / f"packed-{number}")
    for verb, source, more in (
        ("export", shards, ["--format", "ply"]),
        ("reconstruct", renders, []),
    ):
        once = tmp_path / f"{verb}-once"
        subprocess.run(
            [sys.executable, "-m", "shapenet3d_cma.cli", verb, source, once, *more, "--jobs", "1"],
            check=True,
            capture_output=True,
            timeout=PATIENCE,
        )
        at_once(verb, source, tmp_path / verb, *more, "--jobs", 1)
        models = [
            {name: data for name, data in content(path).items() if "/" in name}
            for path in (once, tmp_path / verb)
        ]
        assert models[0] == models[1]
