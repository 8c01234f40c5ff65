"""Packing: where the time goes, how fast points are sampled, and that memory stays flat.

    python benchmarks/packing.py [RENDERS] [MODELS]

Without RENDERS it renders procedural models. They are repeated under new names to 1,000 models for
the profile, which is of one process, and to 200 and 2,000 for memory (shards of 100 rows, so that
none is a whole run).
"""

from __future__ import annotations

import cProfile
import pstats
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from shapenet3d_cma.benchmarks._made import by_turns, renders_of, repeat_renders, timed
from shapenet3d_cma.pack.config import PackConfig
from shapenet3d_cma.pack.packing import pack_renders
from shapenet3d_cma.reconstruct.sample import farthest_point_order

PEAK = """
import sys
from pathlib import Path
import psutil
from shapenet3d_cma.cli import cli

def peak(pid):
    # not ru_maxrss, which a process inherits from the one that started it
    words = Path(f"/proc/{pid}/status").read_text().split()
    return int(words[words.index("VmHWM:") + 1]) / 1024

try:
    cli.main(sys.argv[1:], standalone_mode=False)
finally:
    workers = psutil.Process().children(recursive=True)
    print("PEAK", peak("self"), max(peak(worker.pid) for worker in workers))
"""
GROUPS = (
    ("farthest point sampling", ("bucket_fps_kdline_sampling",)),
    ("HDF5, nearly all of it reading", ("h5py",)),
    ("sha256", ("file_digest", "sha256", "readinto", "openssl")),
    ("compressing (zlib)", ("zlib.compress",)),
    ("the picture of the card, once", ("ImagingEncoder", "PIL", "matplotlib")),
)


def sampling() -> str:
    points = np.random.default_rng(0).normal(size=(30_000, 3)).astype(np.float32)

    def plain() -> None:
        distance, chosen = np.full(len(points), np.inf, dtype=np.float32), 0
        for _ in range(2048):
            np.minimum(distance, ((points - points[chosen]) ** 2).sum(axis=1), out=distance)
            chosen = int(distance.argmax())

    slow, fast = by_turns(
        2, lambda: timed(plain), lambda: timed(lambda: farthest_point_order(points, 2048))
    )
    return f"sampling 2,048 of 30,000 points: {fast * 1e3:.0f} ms, {slow / fast:.0f} times as fast as the NumPy loop"


def profile(renders: Path, out: Path) -> str:
    profiler = cProfile.Profile()
    profiler.runcall(pack_renders, renders, out, PackConfig(), jobs=1)
    stats = pstats.Stats(profiler)
    total, shares = stats.total_tt, dict.fromkeys([name for name, _ in GROUPS], 0.0)
    rest = 0.0
    for (file, _, function), (_, _, own, _, _) in stats.stats.items():
        text = f"{file} {function}"
        group = next((name for name, words in GROUPS if any(word in text for word in words)), None)
        if group:
            shares[group] += own
        else:
            rest += own
    told = ", ".join(f"{name} {share / total:.0%}" for name, share in shares.items())
    top = sorted(stats.stats.items(), key=lambda item: -item[1][2])[:8]
    lines = [
        f"   {own / total:5.1%} {Path(file).name} {function}"
        for (file, _, function), (_, _, own, _, _) in top
    ]
    return (
        f"profile of {total:.1f} s: {told}, all else {rest / total:.0%}; the largest:\n"
        + "\n".join(lines)
    )


def peak(*words: object) -> tuple[float, float]:
    line = [sys.executable, "-c", PEAK, *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    own, worker = done.stdout.rpartition("PEAK ")[2].split()
    return float(own), float(worker)


def main() -> None:
    given = sys.argv[1] if len(sys.argv) > 1 else None
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    print(sampling(), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        renders = renders_of(given, folder)
        print(
            profile(repeat_renders(renders, folder / "many", count), folder / "shards"), flush=True
        )
        found = {}
        for models in (200, 2000):
            world, shards = (
                repeat_renders(renders, folder / f"r{models}", models),
                folder / f"s{models}",
            )
            found[models] = (
                peak("pack", world, shards, "--shard-rows", 100, "--jobs", 2),
                peak("verify", shards, "--jobs", 2),
            )
        for place, what in enumerate(("packing", "verifying")):
            (own, worker), (own_more, worker_more) = (
                found[models][place] for models in (200, 2000)
            )
            print(
                f"{what}: at most {own:.0f} MiB and {worker:.0f} a worker for 200 rows, "
                f"{own_more:.0f} and {worker_more:.0f} for 2,000",
                flush=True,
            )


if __name__ == "__main__":
    main()
