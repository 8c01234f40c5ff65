"""Progress: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TypeVar

from .wording import visible

__all__ = ["Progress", "duration", "say", "track"]

T = TypeVar("T")
_PLAIN_EVERY = 10.0  # seconds between plain lines


def say(line: str) -> None:
    """Print a line on standard error; standard output is for results."""
    print(visible(line), file=sys.stderr, flush=True)


class Progress(AbstractContextManager["Progress"]):
    """Show the items done of `total`, their rate and the time left.

    Parameters
    ----------
    what : names the items, in the plural: "models"
    parts : number and name of what each item consists of, such as (24, "views"): their rate is
        shown, too

    Attributes
    ----------
    note : a few words that are shown with the next items
    """

    note = ""

    def __init__(self, total: int, what: str, parts: tuple[int, str] | None = None) -> None:
        self.total, self.what, self.parts, self.done, self.failed = total, what, parts, 0, 0
        self._begin = self._last = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._bar, self._task = _bar(self.what, self.total)
            self._bar.start()
        return self

    def advance(self, count: int = 1, *, failed: int = 0) -> None:
        """Count items as done, `failed` of them without success."""
        self.done += count
        self.failed += failed
        now = time.monotonic()
        rate = self.done / max(now - self._begin, 1e-9)
        if self._bar is not None:
            self._bar.update(self._task, advance=count, rate=self._rate(rate))
        elif now - self._last >= _PLAIN_EVERY or self.done == self.total:
            self._last = now
            left = duration((self.total - self.done) / rate)
            say(f"{self.done} of {self.total} {self.what}, {self._rate(rate)}, {left} left")

    def _rate(self, rate: float) -> str:
        words = f"{rate:.3g} a second"
        if self.parts:
            words += f", {rate * self.parts[0]:.3g} {self.parts[1]} a second"
        return (
            words
            + (f", {self.failed} failed" if self.failed else "")
            + (f", {self.note}" if self.note else "")
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def track(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Pass items on and show their progress."""
    with Progress(total, what) as progress:
        for item in items:
            yield item
            progress.advance()


def _bar(what: str, total: int) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    bar = RichProgress(*columns, console=Console(stderr=True))
    return bar, bar.add_task(what, total=total, rate="")


def duration(seconds: float) -> str:
    """Format a time in words: 2 h 05 min, 3 min 20 s, 4 s."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02} min"
        if hours
        else f"{minutes} min {seconds:02} s"
        if minutes
        else f"{seconds} s"
    )
