"""Damage, full disks and folders that cannot be written: one clear line, the right exit status, finished work kept."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.pack.packing import pack_renders
from shapenet3d_cma.pack.reader import Shards
from shapenet3d_cma.pack.verify import verify_shards
from shapenet3d_cma.render.choice import Choice
from shapenet3d_cma.render.render_file import find_renders
from shapenet3d_cma.tests.fuzz.made import vouch
from shapenet3d_cma.tests.pack.packed import FULL_DISK, PACK, everything

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def damaged(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy whose middle shard is damaged again and again."""
    return Path(shutil.copytree(shards, tmp_path_factory.mktemp("damaged") / "shards"))


@settings(max_examples=25)
@given(st.floats(0, 1, exclude_max=True))
def test_a_shard_that_is_cut_anywhere_is_refused(shards: Path, damaged: Path, share: float) -> None:
    name = "shard-00001.h5"
    whole = (shards / name).read_bytes()
    (damaged / name).write_bytes(whole[: int(share * len(whole))])
    shutil.copy(shards / "manifest.json", damaged)
    with pytest.raises(
        InputError, match=rf"{name} has \d+ bytes, the manifest says {len(whole)}: it was cut off"
    ):
        Shards(damaged)
    vouch(damaged)  # and where the manifest is of no help
    with pytest.raises(InputError, match=name):
        everything(damaged)


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.binary(min_size=1, max_size=64))
def test_no_garbage_in_a_shard_gets_through_or_stops_verify(
    shards: Path, damaged: Path, position: int, garbage: bytes
) -> None:
    """Whatever bytes stand there: a refusal that names the file, or a broken law; never another error."""
    name = "shard-00001.h5"
    data = bytearray((shards / name).read_bytes())
    begin = position % len(data)
    data[begin : begin + len(garbage)] = garbage[: len(data) - begin]
    changed = bytes(data) != (shards / name).read_bytes()
    (damaged / name).write_bytes(data)
    shutil.copy(shards / "manifest.json", damaged)
    try:
        broken = [verdict for verdict in verify_shards(damaged, jobs=1) if verdict.broken]
        assert bool(broken) == changed
    except InputError as error:
        named = name in str(error)
        assert named


@pytest.mark.parametrize(
    "verb", ["reconstruct ply", "reconstruct npz", "export png", "export nerf"]
)
def test_a_full_disk_ends_other_writers_in_one_line(
    cma3d_inside: Run, renders: Path, shards: Path, tmp_path: Path, verb: str
) -> None:
    """With several workers. A limit on the size of files is an error of writing, as a full disk is."""
    command, kind = verb.split()
    source = renders if command == "reconstruct" else shards
    words = [command, str(source), str(tmp_path / "out"), "--format", kind, "--jobs", "2"]
    command = [sys.executable, "-c", FULL_DISK, "1500", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"cma3d: {tmp_path / 'out'}")
    assert (
        "cannot be written: File too large; free some space, then the same command goes on" in line
    )
    record = json.loads(next((tmp_path / "out").glob("*.json")).read_text())
    assert "last_run" not in record
    again = cma3d_inside(*words)
    assert again.returncode == 0, again.stderr
    assert len(list((tmp_path / "out").glob("0*/*"))) == 8


def test_a_packing_that_stops_at_a_full_disk_keeps_what_is_finished(
    renders: Path, shards: Path, tmp_path: Path
) -> None:
    sizes = [(shards / f"shard-0000{number}.h5").stat().st_size for number in range(3)]
    limit = sorted(sizes)[1]  # the largest does not fit
    words = [
        "pack",
        str(renders),
        str(tmp_path / "s"),
        "--points",
        "256",
        "--shard-rows",
        "3",
        "--jobs",
        "1",
    ]
    line = [sys.executable, "-c", FULL_DISK, str(limit), *words]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "s").glob("*.h5")}
    assert len(finished) == sizes.index(max(sizes))
    assert pack_renders(renders, tmp_path / "s", PACK, jobs=1).rows == 8
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in finished.items())


def test_renders_given_as_shards_are_refused(cma3d_inside: Run, renders: Path) -> None:
    done = cma3d_inside("verify", renders)
    assert done.returncode == 2
    assert done.stderr.startswith(f"cma3d: {renders} holds renders, not shards: ")


def test_a_choice_without_models_is_refused(
    cma3d_inside: Run, renders: Path, tmp_path: Path
) -> None:
    words = ("--split-shares", 1, 0, 0, "--split", "test")
    done = cma3d_inside("pack", renders, tmp_path / "shards", *words)
    assert done.returncode == 2
    assert done.stderr == f"cma3d: {renders}: none of its 8 models is in the split test\n"
    assert not (tmp_path / "shards").exists()


def test_a_render_that_is_cut_anywhere_is_listed_and_the_rest_is_packed(
    renders: Path, tmp_path: Path
) -> None:
    world = Path(shutil.copytree(renders, tmp_path / "renders"))
    paths = find_renders(world)
    for position, path in enumerate(paths[:4]):
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * (position + 1) // 5])
    packed = pack_renders(world, tmp_path / "shards", PACK, jobs=1)
    assert packed.rows == 4
    assert [failure["file"] for failure in packed.failures] == [
        f"{p.parent.name}/{p.name}" for p in paths[:4]
    ]
    assert all("cannot be opened as HDF5" in failure["reason"] for failure in packed.failures)


def test_a_render_that_opens_but_cannot_be_read_is_listed(renders: Path, tmp_path: Path) -> None:
    world = Path(shutil.copytree(renders, tmp_path / "renders"))
    first = find_renders(world)[0]
    data = bytearray(first.read_bytes())
    with h5py.File(first) as file:
        chunk = file["depth"].id.get_chunk_info(0)
    data[chunk.byte_offset + 9] ^= 255
    first.write_bytes(data)
    (failure,) = pack_renders(world, tmp_path / "shards", PACK, Choice(), jobs=1).failures
    assert failure["file"] == f"{first.parent.name}/{first.name}"


DYING = """
import os, sys, time
from pathlib import Path
from joblib import Parallel, delayed
from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.processes import results_in_order

seen = Path(sys.argv[1])

def die() -> None:
    while not seen.exists():  # the first result has come: a pool that breaks before gives none
        time.sleep(0.01)
    os._exit(9)

tasks = [delayed(abs)(-1), *[delayed(die)()] * 9]
try:
    with results_in_order(Parallel(n_jobs=2, return_as="generator", batch_size=1), tasks) as results:
        print(next(results))
        seen.touch()
        list(results)
except InputError as error:
    print(error)
"""


def test_the_death_of_a_worker_is_reported_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DYING, str(tmp_path / "seen")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    one, line = done.stdout.splitlines()
    assert one == "1"
    assert line.startswith(
        "a worker process died: killed, as where memory runs out, or by a damaged file; "
    )
    assert "Traceback" not in done.stderr
