"""Rendering on a running Dask cluster: a model is a task.

Each Dask worker keeps a Blender of its own.

The futures are awaited directly, not through joblib's dask backend: that one gives up the whole
run when one task's workers died too often, and hands out tasks in batches that a dead worker loses
together. Here each model is a task of its own and ends in a reply, whatever happens to the workers.

Storage is shared: every worker reads the models and writes the renders under the same paths as the
supervisor.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..core.errors import InputError, needs
from ..core.processes import count_cores
from ..core.wording import shorten
from .config import RenderConfig
from .workers import Limits, Pool, check_blender

__all__ = ["Setup", "check_scheduler", "render_on_cluster"]

WAIT = 30.0  # seconds for the scheduler to answer, and for its first worker
REFRESH = 10.0  # seconds between two looks at how many workers there are
# seconds without a model after which a run's Blenders end: the run may be gone
IDLE = 15.0


@dataclass(frozen=True)
class Setup:
    """The settings that the tasks of one run share; `run` names the run."""

    run: str
    config: RenderConfig
    limits: Limits
    mark: str  # a file that every worker must see, if storage is shared
    threads: dict[str, int]  # a host's Dask threads: its cores are shared among them


def render_on_cluster(
    scheduler: str,
    jobs: Sequence[dict[str, Any]],
    config: RenderConfig,
    limits: Limits,
    mark: Path,
    is_present: Callable[[Path, str], bool],
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Render models by the workers of a Dask cluster.

    Parameters
    ----------
    scheduler : its address, tcp://host:port
    jobs : see `blender.worker.render_model`; paths are absolute
    mark : a file that shows a worker that storage is shared
    is_present : (out, config_hash) -> whether a model's file exists; a task that runs a second
        time renders nothing

    Yields
    ------
    number, reply : index of the job, and as from `Pool.render`; in the order in which they end

    Raises
    ------
    InputError : dask is not installed, the scheduler does not answer or goes away, or it has no
        worker
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise needs("dask", "distributed", error) from None
    client = _connect(Client, scheduler)
    run = uuid.uuid4().hex
    try:
        setup = Setup(run, config, limits, str(mark), _threads_by_host(client))
        yield from _replies(
            client, lambda job: client.submit(_render, setup, job, is_present, pure=False), jobs
        )
    finally:
        _leave(client, run)


def check_scheduler(scheduler: str) -> None:
    """Check that a scheduler answers and has a worker, before anything is written.

    A Dask client is not made for that: one that finds nobody, or somebody else, holds the program
    for a minute.

    Raises
    ------
    InputError : as `render_on_cluster`
    """
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise needs("dask", "distributed", error) from None
    remedy = "start one with `dask scheduler`, and give the address that it prints, such as tcp://host:8786"
    _check_address(scheduler, remedy)
    quiet = logging.getLogger("distributed")
    level = quiet.level
    # its log has each try, with tracebacks
    quiet.setLevel(logging.CRITICAL + 1)
    try:
        workers = asyncio.run(asyncio.wait_for(_count_workers(scheduler), 2 * WAIT))
    except Exception as error:  # whatever answered there, or did not
        reason = " ".join(str(error).split()) or "it does not answer"
        raise InputError(
            f"no Dask scheduler answers at {scheduler} ({shorten(reason)}): {remedy}"
        ) from None
    finally:
        quiet.setLevel(level)
    if not workers:
        raise InputError(
            f"the Dask scheduler {scheduler} has no worker: `dask worker {scheduler}` starts one"
        )


async def _count_workers(scheduler: str) -> int:
    """Count a scheduler's workers, once it has one or `WAIT` seconds have passed."""
    from distributed.core import connect, send_recv
    from distributed.security import Security

    comm = await asyncio.wait_for(
        connect(scheduler, timeout=WAIT, **Security().get_connection_args("scheduler")), WAIT
    )
    try:
        begin, workers = time.monotonic(), 0
        while not workers and time.monotonic() - begin < WAIT:
            identity = await asyncio.wait_for(send_recv(comm, op="identity"), WAIT)
            if not isinstance(identity, dict) or identity.get("type") != "Scheduler":
                raise OSError("another kind of server answers there")
            workers = len(identity.get("workers") or ())
            if not workers:
                await asyncio.sleep(0.2)
        return workers
    finally:
        comm.abort()


def _check_address(scheduler: str, remedy: str) -> None:
    try:
        address = urlsplit(scheduler)
        right = (
            address.scheme in ("tcp", "tls")
            and address.hostname is not None
            and address.port is not None
        )
    except ValueError:
        right = False
    if not right or not scheduler.isprintable():
        raise InputError(
            f"--scheduler {shorten(scheduler)} is not the address of a Dask scheduler: {remedy}"
        )


def _replies(
    client: Any, submit: Callable[[dict[str, Any]], Any], jobs: Sequence[dict[str, Any]]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield replies as they arrive; keep a few more tasks queued than workers."""
    ended: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    # Under way; without a reference the scheduler forgets them
    futures: dict[int, Any] = {}
    waiting, again = iter(range(len(jobs))), set()

    def start(number: int) -> None:
        futures[number] = submit(jobs[number])
        futures[number].add_done_callback(lambda future: ended.put((number, future)))

    # In the past, so that the first round looks at once.
    looked = -REFRESH
    while True:
        # Workers come and go
        if time.monotonic() - looked >= REFRESH:
            looked, room = time.monotonic(), 2 * max(1, sum(client.nthreads().values()))
        while len(futures) < room and (number := next(waiting, None)) is not None:
            start(number)
        if not futures:
            return
        try:
            number, future = ended.get(timeout=REFRESH)
        except queue.Empty:
            continue
        del futures[number]
        reply = _result(future)
        # tried once more: tasks whose Dask workers died, and those that another run stopped
        if reply["status"] == "failed" and (
            reply["kind"] == "stopped" or ("lost" in reply and number not in again)
        ):
            again.add(number)
            start(number)
        else:
            yield number, reply


def _result(future: Any) -> dict[str, Any]:
    """Return the reply of a task.

    It is a failure of kind "lost" if the scheduler gave up on the task because its Dask workers
    died.
    """
    try:
        reply: dict[str, Any] = future.result()
    except Exception as error:
        if future.cancelled():
            raise InputError(
                "the Dask scheduler went away: start it, and give the same command again"
            ) from None
        return {
            "status": "failed",
            "kind": "crash",
            "reason": str(error),
            "tries": 2,
            "log": [],
            "lost": True,
        }
    return reply


def _connect(make: Any, scheduler: str) -> Any:
    """Make a Dask client, once a scheduler is known to be there."""
    check_scheduler(scheduler)
    try:
        client = make(scheduler, timeout=WAIT, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"the Dask scheduler {scheduler} went away ({reason}): start it again"
        ) from None
    try:
        client.wait_for_workers(1, timeout=WAIT)
    except TimeoutError:
        client.close()
        raise InputError(
            f"the Dask scheduler {scheduler} has no worker: `dask worker {scheduler}` starts one"
        ) from None
    return client


def _threads_by_host(client: Any) -> dict[str, int]:
    threads: dict[str, int] = {}
    for address, number in client.nthreads().items():
        host = _host(address)
        threads[host] = threads.get(host, 0) + number
    return threads


def _host(address: str) -> str:
    return address.rpartition(":")[0]


def _leave(client: Any, run: str) -> None:
    """End the run's Blenders on all workers, and the connection."""
    try:
        client.run(_close, run, on_error="ignore")
    except Exception:  # the cluster is gone, and its Blenders with it
        pass
    finally:
        client.close(timeout=5)


# ---- in the Dask workers ----

_POOLS: dict[str, Pool] = {}
_CLOSED: set[str] = set()
_LOCK = threading.Lock()


def _render(
    setup: Setup, job: dict[str, Any], is_present: Callable[[Path, str], bool]
) -> dict[str, Any]:
    """Render one model in the Blender of this Dask worker."""
    out = Path(job["out"])
    if is_present(
        out, job["config_hash"]
    ):  # another worker wrote it, and died before it could say so
        return {"status": "done", "seconds": {}}
    try:
        pool = _pool(setup)
    except InputError as error:
        return {"status": "failed", "kind": "start", "reason": f"{os.uname().nodename}: {error}"}
    if pool is None:
        return {"status": "failed", "kind": "stopped", "reason": "the run was stopped"}
    return pool.render(job)


def _pool(setup: Setup) -> Pool | None:
    """Return the pool of a run here; None once stopped."""
    from distributed import get_worker

    with _LOCK:
        if setup.run in _CLOSED:
            return None
        if setup.run not in _POOLS:
            if not Path(setup.mark).is_file():
                raise InputError(
                    f"{setup.mark} is not there: storage must be shared, under the same paths"
                )
            check_blender()
            for run, idle in list(_POOLS.items()):
                # Of a run that was killed, or rests: it starts anew if need be
                if not idle.busy:
                    _POOLS.pop(run).close()
            worker = get_worker()
            shared = setup.threads.get(_host(worker.address), worker.state.nthreads)
            threads = max(1, count_cores() // max(1, shared))
            pool = _POOLS[setup.run] = Pool(setup.config, threads, setup.limits)
            threading.Thread(target=_end_idle, args=(setup.run, pool), daemon=True).start()
        return _POOLS[setup.run]


def _end_idle(run: str, pool: Pool) -> None:
    """Stop a run's Blenders that have no more work.

    A later model starts new ones.
    """
    last = time.monotonic()
    while time.monotonic() - last < IDLE:
        time.sleep(1)
        if pool.busy:
            last = time.monotonic()
    with _LOCK:
        if _POOLS.get(run) is pool:
            del _POOLS[run]
    # Outside the lock, as the end of a pool may take seconds.
    pool.close()


def _close(run: str) -> None:
    with _LOCK:
        # Remembered, so that a task that comes late starts no Blender.
        _CLOSED.add(run)
        pool = _POOLS.pop(run, None)
    if pool is not None:
        pool.close()
