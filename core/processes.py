"""Worker processes that end with the process that started them.

The pools are joblib's; only the end is added here, since joblib's workers wait for five more
minutes after their parent was killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import Any

import joblib
from joblib import Parallel

from .errors import InputError

__all__ = ["count_cores", "end_with_parent", "results_in_order", "workers"]

_LOOK = 0.5  # seconds between two looks at whether the parent lives


def count_cores() -> int:
    """Return the number of cores that this process may use.

    Affinity and the limits of containers and batch systems count, which `os.cpu_count` ignores.
    """
    cores: int = joblib.cpu_count()
    return cores


def workers(jobs: int | None = None, **settings: Any) -> Parallel:
    """Make a pool whose processes end with this one, even by SIGKILL.

    Left to themselves they would wait five more minutes for tasks, and hold their memory.

    Parameters
    ----------
    jobs : processes; the number of cores if None
    settings : further arguments of `joblib.Parallel`; results come as a generator
    """
    return Parallel(
        n_jobs=jobs or count_cores(),
        return_as="generator",
        initializer=end_with_parent,
        # the id is taken here: a late worker may already have another parent
        initargs=(os.getpid(),),
        **settings,
    )


@contextmanager
def results_in_order(
    parallel: Parallel, tasks: Iterable[Callable[..., Any]]
) -> Iterator[Iterator[Any]]:
    """Yield the results of tasks, in the order of the tasks.

    Where the block is left early, by an error such as a full disk, no further task is begun, and
    those under way end: joblib would report each of them on the terminal, after the one line that
    matters.

    Parameters
    ----------
    parallel : with `return_as="generator"`
    tasks : of `joblib.delayed`

    Raises
    ------
    InputError : a worker died
    """
    is_left = False

    def until_left() -> Iterator[Callable[..., Any]]:
        for task in tasks:
            # checked before each task, since joblib takes tasks one after the other
            if is_left:
                return
            yield task

    results = parallel(until_left())
    try:
        yield results
    except BrokenProcessPool:
        raise InputError(
            "a worker process died: killed, as where memory runs out, or by a damaged file; "
            "the same command goes on from there, best with fewer --jobs"
        ) from None
    finally:
        is_left = True
        # wait for the tasks that still run, and drop their results
        with suppress(BrokenProcessPool):
            for _ in results:
                pass


def end_with_parent(parent: int, *, by_kernel: bool = False) -> None:
    """End this process as soon as its parent has ended.

    Parameters
    ----------
    parent : id of the process that started this one, as that process knows it: it may have ended
        since
    by_kernel : have Linux kill this process, at once and in the midst of any call. It does so
        already where the *thread* ends that started the process: only for one that shall not
        outlive that thread either. Otherwise, and on other systems, a thread looks
    """
    if by_kernel and sys.platform == "linux":
        # PR_SET_PDEATHSIG of Linux's sys/prctl.h
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    else:
        # a daemon thread does not delay the end of this process
        threading.Thread(target=_look_after, args=(parent,), name="parent", daemon=True).start()
    _end_without(parent)  # which may have ended before anybody looked


def _look_after(parent: int) -> None:
    while True:
        _end_without(parent)
        time.sleep(_LOOK)


def _end_without(parent: int) -> None:
    """End this process if its parent has changed."""
    if os.getppid() != parent:
        os._exit(1)
