"""Ctrl-C and SIGTERM: a stop that no library swallows, exit status 130.

Python turns Ctrl-C into one KeyboardInterrupt, raised wherever the program happens to be. For a
command that runs for days inside of large libraries this is not enough, for four reasons:

1.  Batch systems (Slurm, Docker, systemd) send SIGTERM, which by default ends Python at once: no
    `finally` block runs, and worker processes go on without a parent. Here SIGTERM is handled as
    Ctrl-C.
2.  Libraries swallow the exception. Some catch every error while they import an optional package,
    and take the stop for a missing package; others run our code in a callback (`__del__`, a hook of
    the garbage collector, a callback of C++), from which nothing can be raised, and Python prints
    the exception and goes on. So the first signal starts an interval timer (SIGALRM) that raises
    again every `_AGAIN` seconds until the command has noticed, as if the user pressed Ctrl-C again.
    A stop that was lost in a callback is repeated after 0.05 s.
3.  A repeated signal must not break the clean-up that the first one started: while a
    KeyboardInterrupt is being handled, further signals do nothing.
4.  When the interpreter exits, C++ libraries that were stopped in the middle of their import may
    crash, which would replace the exit status 130 by that of a crash. So the exit runs the
    functions registered with `atexit`, which end the workers, and then leaves by `os._exit`.

`stop_is_pending` checks whether the timer runs: an error that arrives meanwhile is only an effect
of the stop, and is not reported as one of its own.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from typing import NoReturn

from .progress import say

__all__ = ["catch_stops", "exit_stopped", "stop_is_pending"]

_AGAIN = 2.0  # seconds after which a stop that had no effect is repeated
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)


def catch_stops() -> None:
    """Install the handlers of SIGINT, SIGTERM and the timer's SIGALRM."""
    for name in _SIGNALS:
        signal.signal(name, _stop)
    sys.unraisablehook = _unraisable


def stop_is_pending() -> bool:
    """Check whether a stop is under way: its timer runs."""
    return signal.getitimer(signal.ITIMER_REAL)[0] > 0


def exit_stopped() -> NoReturn:
    """Report the stop, end the workers, and exit with status 130."""
    # a second Ctrl-C from here on would only cut the clean-up short
    for name in _SIGNALS:
        signal.signal(name, signal.SIG_IGN)
    say("cma3d: stopped; what was finished is kept, the same command goes on from there")
    atexit._run_exitfuncs()  # ends workers
    sys.stdout.flush()
    # not sys.exit: libraries whose import was interrupted may crash at a regular exit
    os._exit(130)


def _stop(*_: object) -> None:
    """Raise KeyboardInterrupt, now and every `_AGAIN` seconds, unless one is being handled."""
    signal.setitimer(signal.ITIMER_REAL, _AGAIN)
    # a KeyboardInterrupt anywhere in the chain of exceptions being handled: clean-up is running
    error = sys.exc_info()[1]
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return
        error = error.__context__
    raise KeyboardInterrupt


def _unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """Repeat a stop lost in a callback; show other errors as usual."""
    if unraisable.exc_type is KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
    else:
        sys.__unraisablehook__(unraisable)
