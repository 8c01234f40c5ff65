"""SIGKILL at drawn moments; the resumed run must equal the unbroken one.

Killed are Blender, Dask workers and the supervisor.

    python benchmarks/kill.py [KILLS] [blender|worker|main]…

For each victim as many kills as asked (20), over as many runs as that takes.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from shapenet3d_cma.render.rendering import read_failures, render_models
from shapenet3d_cma.render.shapenet.listing import find_models
from shapenet3d_cma.samples.config import SamplesConfig
from shapenet3d_cma.samples.shapenet_folder import write_samples
from shapenet3d_cma.tests.render.test_cluster import Cluster
from shapenet3d_cma.tests.render.test_workers import CONFIG, WORDS, blenders, start
from shapenet3d_cma.tests.same import assert_same_renders


def kill_blenders(world: Path, unbroken: Path, out: Path, kills: int, draw: random.Random) -> str:
    """Kill a Blender each 0.2 to 3 s while runs follow one another."""
    done, stop, lost, runs = 0, threading.Event(), 0, 0

    def killer() -> None:
        nonlocal done
        while done < kills and not stop.wait(draw.uniform(0.2, 3)):
            victims = blenders(psutil.Process())
            if victims:
                draw.choice(victims).kill()
                done += 1

    thread = threading.Thread(target=killer, daemon=True)
    thread.start()
    while thread.is_alive():
        shutil.rmtree(out, ignore_errors=True)
        summary = render_models(find_models(world), out, CONFIG, jobs=2)
        runs, lost = runs + 1, lost + len(summary.failures)
        while summary.failures:
            assert {failure["kind"] for failure in summary.failures} == {"crash"}
            summary = render_models(find_models(world), out, CONFIG, jobs=2, retry_failed=True)
        assert_same_renders(unbroken, out)
    return f"{done} Blenders killed in {runs} runs; {lost} models killed twice in a row and quarantined until asked"


def kill_workers(world: Path, unbroken: Path, out: Path, kills: int, draw: random.Random) -> str:
    """Kill one of two Dask workers each 0.5 to 4 s, and start another in its place."""
    done, runs, cluster, stop = 0, 0, Cluster(out.parent), threading.Event()

    def killer() -> None:
        nonlocal done
        while done < kills and not stop.wait(draw.uniform(0.5, 4)):
            victim = cluster.workers.pop(draw.randrange(2))
            victim.kill()
            victim.wait()
            done += 1
            cluster.workers.append(cluster.add_worker())

    thread = threading.Thread(target=killer, daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            shutil.rmtree(out, ignore_errors=True)
            summary = render_models(find_models(world), out, CONFIG, scheduler=cluster.address)
            runs += 1
            assert (summary.rendered, summary.failures) == (len(find_models(world)), [])
            assert_same_renders(unbroken, out)
    finally:
        stop.set()
        cluster.stop()
    return f"{done} Dask workers killed in {runs} runs; nothing lost"


def kill_supervisors(
    world: Path, unbroken: Path, out: Path, kills: int, draw: random.Random
) -> str:
    """Kill the command at any moment of its life, start it again, and so on; when it is done, begin anew."""
    words, runs, done = ("render", world, out, *WORDS, "--jobs", "2"), 0, 0
    while done < kills:
        process = start(*words)
        try:
            process.communicate(timeout=draw.uniform(0.2, 5))
            assert process.returncode == 0
            assert_same_renders(unbroken, out)
            shutil.rmtree(out)
            runs += 1
        except subprocess.TimeoutExpired:
            children = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            process.communicate()
            done += 1
            _, alive = psutil.wait_procs(children, timeout=5)
            assert not alive, "Blender outlived its supervisor"
    assert start(*words).wait(timeout=300) == 0
    assert_same_renders(unbroken, out)
    return f"{done} supervisors killed, {runs + 1} sets finished; nothing lost"


def main() -> None:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    chosen = sys.argv[2:] or ["blender", "worker", "main"]
    acts = {"blender": kill_blenders, "worker": kill_workers, "main": kill_supervisors}
    with tempfile.TemporaryDirectory() as folder:
        world, unbroken = Path(folder) / "shapenet", Path(folder) / "unbroken"
        write_samples(world, SamplesConfig(per_category=4, categories="mug,lamp,chair,bed"))
        render_models(find_models(world), unbroken, CONFIG, jobs=2)
        for name in chosen:
            out = Path(folder) / name / "renders"
            out.parent.mkdir()
            begin = time.monotonic()
            told = acts[name](world, unbroken, out, kills, random.Random(name))
            assert read_failures(out) == []
            print(
                f"{told}; content equal to the unbroken run; {time.monotonic() - begin:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
