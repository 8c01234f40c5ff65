"""Kills of packing and flipped bits of shards: nothing is lost or unnoticed.

    python benchmarks/shard_faults.py [RENDERS] [KILLS] [FLIPS]

After each kill (of the command and its workers) a copy of what is left is given the same command,
and the result is compared to an unbroken one, array by array and attribute by attribute; what is
left goes on to the next kill. Each flip is one bit of a shard, found or not by `verify`, with and
without the help of the checksum in the manifest.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import psutil

from shapenet3d_cma.benchmarks._made import renders_of, repeat_renders, timed
from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.pack.config import PackConfig
from shapenet3d_cma.pack.packing import pack_renders
from shapenet3d_cma.pack.verify import verify_shards
from shapenet3d_cma.tests.same import assert_same_shards

WORDS = ("--points", "1024", "--shard-rows", "12", "--jobs", "2")


def command(renders: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "shapenet3d_cma.cli", "pack", str(renders), str(out), *WORDS]


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    for worker in workers:
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.kill()


def kills(renders: Path, folder: Path, count: int) -> str:
    unbroken, out, draw = folder / "unbroken", folder / "killed", random.Random(0)
    seconds = timed(
        lambda: subprocess.run(command(renders, unbroken), check=True, capture_output=True)
    )
    standing, finished = [], 0
    while len(standing) < count:
        process = subprocess.Popen(
            command(renders, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(draw.uniform(0, seconds))
            assert process.returncode == 0
            finished += 1
            assert_same_shards(unbroken, out)
            shutil.rmtree(out)
        except subprocess.TimeoutExpired:
            kill_tree(process)
            standing.append(len(list(out.glob("shard-*.h5"))) if out.exists() else 0)
            resumed = folder / "resumed"
            if out.exists():
                shutil.copytree(out, resumed)
            subprocess.run(command(renders, resumed), check=True, capture_output=True)
            assert_same_shards(unbroken, resumed)
            shutil.rmtree(resumed)
    return (
        f"{count} kills within {seconds:.1f} s, the time of an unbroken run, {finished} runs "
        "ended before; "
        f"{sorted(standing)} shards stood; each time the resumed result was equal to the unbroken "
        "one"
    )


def flips(renders: Path, folder: Path, count: int) -> str:
    shards = folder / "flips"
    pack_renders(renders, shards, PackConfig(points=1024, shard_rows=6), jobs=2)
    shard = shards / "shard-00000.h5"
    whole, draw = shard.read_bytes(), np.random.default_rng(0)
    reported = by_others = refused = 0
    for place, bit in zip(
        draw.integers(0, len(whole), count).tolist(),
        draw.integers(0, 8, count).tolist(),
        strict=True,
    ):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << bit
        shard.write_bytes(flipped)
        try:
            broken = {
                verdict.law.name for verdict in verify_shards(shards, jobs=1) if verdict.broken
            }
            reported += "sha256" in broken
            by_others += bool(broken - {"sha256"})
        except InputError as error:
            named = shard.name in str(error)
            reported, by_others, refused = reported + named, by_others + named, refused + 1
    shard.write_bytes(whole)
    assert not [verdict for verdict in verify_shards(shards, jobs=1) if verdict.broken]
    return (
        f"{count} bits flipped, one at a time, in {len(whole):,} bytes: {reported} reported, "
        f"{refused} of them by "
        f"refusing the file; without the checksum it would be {by_others}"
    )


def main() -> None:
    given = sys.argv[1] if len(sys.argv) > 1 else None
    count, bits = (
        int(sys.argv[place]) if len(sys.argv) > place else default
        for place, default in ((2, 25), (3, 200))
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        renders = repeat_renders(renders_of(given, folder), folder / "many", 60)
        print(kills(renders, folder, count), flush=True)
        for path in sorted((folder / "many").glob("*/*.h5"))[18:]:
            path.unlink()
        print(flips(renders, folder, bits), flush=True)


if __name__ == "__main__":
    main()
