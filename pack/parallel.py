"""Work of many processes that ends quietly, also where it ends early."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from joblib import Parallel

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
    finally:
        left = True
        for _ in results:
            pass
