"""Progress for people: a bar with rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["say", "track"]

T = TypeVar("T")
_PLAIN_EVERY = 10.0  # seconds between plain lines


def say(line: str) -> None:
    """Print a line for the reader on standard error, where progress belongs; standard output is for results."""
    print(line, file=sys.stderr, flush=True)


def track(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Pass items on and show how many of `total` have come, at which rate, and the time left.

    Parameters
    ----------
    what : names the items, in the plural: "models"
    """
    if sys.stderr.isatty():
        yield from _bar(items, total, what)
        return
    begin = last = time.monotonic()
    for count, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= _PLAIN_EVERY or count == total:
            last, rate = now, count / max(now - begin, 1e-9)
            say(f"{count} of {total} {what}, {rate:.3g} a second, {_duration((total - count) / rate)} left")


def _bar(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    begin = time.monotonic()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total, rate="")
        for count, item in enumerate(items, start=1):
            yield item
            rate = count / max(time.monotonic() - begin, 1e-9)
            progress.update(task, advance=1, rate=f"{rate:.3g}/s")


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"
