"""Work of many processes that ends quietly, also where it ends early."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import Any

from joblib import Parallel

from ..errors import InputError

__all__ = ["each"]


@contextmanager
def each(parallel: Parallel, tasks: Iterable[Callable[..., Any]]) -> Iterator[Iterator[Any]]:
    """Give the results of tasks in their order, as they come.

    Where the block is left early, by an error such as a full disk, no further task is begun, and those under way end:
    joblib would report each of them on the terminal, after the one line that matters.

    Parameters
    ----------
    parallel : with `return_as="generator"`
    tasks : of `joblib.delayed`

    Raises
    ------
    InputError : a worker died
    """
    left = False

    def until_left() -> Iterator[Callable[..., Any]]:
        for task in tasks:
            if left:
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
        left = True
        with suppress(BrokenProcessPool):
            for _ in results:
                pass
