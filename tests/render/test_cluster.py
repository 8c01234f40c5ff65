"""Laws of rendering on a Dask cluster: a real scheduler and real workers on loopback, one of them killed."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from shapenet3d_cma.render import cluster as cluster_module
from shapenet3d_cma.render.rendering import read_failures, render_models
from shapenet3d_cma.render.shapenet.listing import Model, find_models
from shapenet3d_cma.render.workers import Limits
from shapenet3d_cma.tests.render.long_runs import CONFIG, WORDS, Run, blenders, rendered, start
from shapenet3d_cma.tests.same import assert_same_renders
from shapenet3d_cma.tests.waiting import PATIENCE, ended, wait_for

pytest.importorskip("distributed")


class Cluster:
    """A scheduler and workers, in processes of their own, as dask's own commands start them."""

    def __init__(self, folder: Path) -> None:
        self.file, self.folder = folder / "scheduler.json", folder
        self.log = (folder / "log").open("ab")
        self.scheduler = self.dask(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"
        )
        wait_for(self.file.is_file)
        self.address = json.loads(self.file.read_text())["address"]
        self.workers = [self.add_worker() for _ in range(2)]

    def dask(self, *words: str) -> subprocess.Popen[bytes]:
        line = [sys.executable, "-m", "dask", *words, "--scheduler-file", str(self.file)]
        return subprocess.Popen(line, stdout=self.log, stderr=self.log)

    def add_worker(self) -> subprocess.Popen[bytes]:
        words = (
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
            "--local-directory",
            str(self.folder),
        )
        return self.dask("worker", *words)

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
        self.log.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    yield made
    made.stop()


def below(workers: list[subprocess.Popen[bytes]]) -> list[psutil.Process]:
    return [
        blender
        for worker in workers
        if worker.poll() is None
        for blender in blenders(psutil.Process(worker.pid))
    ]


def test_a_killed_dask_worker_costs_nothing(
    world: Path, unbroken: Path, tmp_path: Path, cluster: Cluster
) -> None:
    """Nothing is lost, nothing is done twice, and the content is that of a run on one machine."""
    writes: dict[Path, int] = {}
    stop = threading.Event()

    def watch() -> None:  # a file that is written twice shows with two inodes
        while not stop.wait(0.01):
            for path in rendered(tmp_path):
                assert writes.setdefault(path, path.stat().st_ino) == path.stat().st_ino, (
                    "rendered twice"
                )

    def kill_in_the_middle() -> None:
        wait_for(lambda: len(rendered(tmp_path)) >= random.Random(5).randrange(2, 5))
        victim = cluster.workers.pop(0)
        orphans = below([victim])
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        wait_for(lambda: ended(orphans))
        cluster.workers.append(cluster.add_worker())

    threads = [threading.Thread(target=act, daemon=True) for act in (watch, kill_in_the_middle)]
    for thread in threads:
        thread.start()
    done = render_models(find_models(world), tmp_path, CONFIG, scheduler=cluster.address)
    threads[1].join()
    stop.set()
    threads[0].join()
    assert (done.rendered, done.failures) == (8, [])
    assert set(writes) == set(rendered(tmp_path))
    assert_same_renders(unbroken, tmp_path)
    wait_for(lambda: not below(cluster.workers))


def test_blenders_end_after_their_run_was_killed(
    world: Path, tmp_path: Path, cluster: Cluster
) -> None:
    process = start("render", world, tmp_path, *WORDS, "--scheduler", cluster.address)
    wait_for(lambda: len(rendered(tmp_path)) >= 2)
    assert below(cluster.workers)
    process.kill()
    process.communicate()
    wait_for(lambda: not below(cluster.workers), cluster_module.IDLE + 15)


def test_ctrl_c_stops_the_blenders_of_the_cluster_and_the_run_goes_on(
    world: Path, unbroken: Path, tmp_path: Path, cluster: Cluster, cma3d: Run
) -> None:
    words = ("render", world, tmp_path, *WORDS, "--scheduler", cluster.address)
    begun = time.monotonic()
    process = start(*words)
    wait_for(lambda: len(rendered(tmp_path)) >= 3)
    assert below(cluster.workers)
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert time.monotonic() - asked < 10 + 2 * (asked - begun), (
        "a stop takes seconds, of the machine's own"
    )
    assert process.returncode == 130, err
    assert err.splitlines()[-1].startswith("cma3d: stopped; what was finished is kept"), err
    assert "Traceback" not in err
    wait_for(lambda: not below(cluster.workers))
    assert read_failures(tmp_path) == []
    again = cma3d(*words)
    assert again.returncode == 0, again.stderr
    assert_same_renders(unbroken, tmp_path)


def test_a_killed_supervisor_is_followed_by_another(
    world: Path, unbroken: Path, tmp_path: Path, cluster: Cluster
) -> None:
    process = start("render", world, tmp_path, *WORDS, "--scheduler", cluster.address)
    wait_for(lambda: len(rendered(tmp_path)) >= 3)
    process.kill()
    process.communicate()
    done = render_models(find_models(world), tmp_path, CONFIG, scheduler=cluster.address)
    assert done.present >= 3
    assert done.failures == []
    assert_same_renders(unbroken, tmp_path)
    wait_for(lambda: not below(cluster.workers))


def test_a_faulty_model_is_recorded_on_a_cluster_too(
    world: Path, tmp_path: Path, cluster: Cluster
) -> None:
    (tmp_path / "hollow").mkdir()
    models = [Model("03797390", "hollow", tmp_path / "hollow"), *find_models(world)[:2]]
    done = render_models(models, tmp_path / "renders", CONFIG, scheduler=cluster.address)
    assert done.rendered == 2
    (failure,) = done.failures
    assert (failure["kind"], failure["tries"]) == ("model", 1)
    assert "it has no models/model_normalized.obj" in failure["reason"]


def test_a_task_that_runs_again_renders_nothing_twice(tmp_path: Path) -> None:
    """A worker may die after it wrote the file and before it said so: the task goes to another one."""
    setup = cluster_module.Setup("run", CONFIG, Limits(), str(tmp_path / "nothing"), {})
    job = {"out": str(tmp_path / "a.h5"), "config_hash": "abc"}
    asked = []
    reply = cluster_module._render(
        setup, job, lambda out, identity: asked.append((out, identity)) or True
    )
    assert reply == {"status": "done", "seconds": {}}
    assert asked == [(tmp_path / "a.h5", "abc")]


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("nonsense://x", "--scheduler nonsense://x is not the address of a Dask scheduler"),
        ("tcp://127.0.0.1:1", "no Dask scheduler answers at tcp://127.0.0.1:1 ("),
    ],
)
def test_an_absent_scheduler_is_reported(
    world: Path,
    tmp_path: Path,
    cma3d_inside: Run,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    says: str,
) -> None:
    monkeypatch.setattr(cluster_module, "WAIT", 2)
    done = cma3d_inside("render", world, tmp_path / "out", *WORDS, "--scheduler", address)
    assert done.returncode == 2
    line = done.stderr.splitlines()[-1]  # before it, what was found in the input
    assert says in line
    assert "start one with `dask scheduler`" in line
