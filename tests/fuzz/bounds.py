"""Bounds that hostile input is read within: time, memory, the errors that may come of it, the files it may open."""

from __future__ import annotations

import contextlib
import hashlib
import os
import resource
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis

from shapenet3d_cma.errors import InputError, ModelError

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "40"))
"""Drawn cases of each test: few in `make test`, many in `make fuzz`."""
LONG = "FUZZ_EXAMPLES" in os.environ
CORPUS = Path(__file__).parent / "corpus"
FOUND = Path(os.environ.get("FUZZ_FOUND", Path(tempfile.gettempdir()) / "cma3d-fuzz"))
"""Where the bytes of a case that breaks a bound are kept; such a file belongs into the corpus."""

fuzz = hypothesis.settings(
    max_examples=EXAMPLES,
    derandomize=not LONG,
    deadline=None,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
counts: Counter[str] = Counter()
"""What `make fuzz` reports: cases, refused, accepted, crashes, hangs."""

_roots: list[Path] | None = None
_strays: list[str] = []


class Hang(BaseException):
    """A case took longer than it may. No Exception: code under test that catches those must not swallow it."""


def corpus(topic: str) -> list[Path]:
    """List the past failures of a topic, for `pytest.mark.parametrize`."""
    return sorted((CORPUS / topic).glob("*"))


@contextlib.contextmanager
def bounded(
    topic: str, content: bytes = b"", *, inside: Path, seconds: float = 20.0, mib: int = 1024, allowed: Any = ()
) -> Iterator[None]:
    """Run a block on one hostile case; InputError and ModelError are answers, any other exception breaks a bound.

    Parameters
    ----------
    topic, content : name what is read, and the bytes that are kept where a bound breaks
    inside : the only folder in which the block may open files that are not Python's own
    seconds, mib : time and additional address space that the block may take
    allowed : further exceptions that are answers
    """
    counts["cases"] += 1
    before = signal.signal(signal.SIGALRM, _hang)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    _watch([inside.resolve(), Path(tempfile.gettempdir()).resolve() / "cma3d-"])
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + mib * 2**20, hard))
        yield
        counts["accepted"] += 1
    except (InputError, ModelError, *allowed) as error:
        counts["refused"] += 1
        message = str(error)
        assert message, "an error without words"
        assert "\n" not in message, f"not one line: {message!r}"
        assert len(message) < 2000, f"too long a line: {len(message)} characters"
    except BaseException as error:
        counts["hangs" if isinstance(error, Hang) else "crashes"] += 1
        _keep(topic, content)
        if isinstance(error, Hang):
            raise AssertionError(f"{topic}: still at work after {seconds} seconds") from error
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        strays = _watch(None)
    assert not strays, f"{topic}: opened files outside its folder: {strays}"


def _hang(*_: object) -> None:
    raise Hang


def _keep(topic: str, content: bytes) -> None:
    if content:
        FOUND.mkdir(parents=True, exist_ok=True)
        (FOUND / f"{topic}-{hashlib.sha256(content).hexdigest()[:12]}").write_bytes(content)


def _address_space() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    return int(pages) * resource.getpagesize()


def _watch(roots: list[Path] | None) -> list[str]:
    """Begin to note files that are opened outside of `roots`, or end it where None; give what was noted."""
    global _roots  # noqa: PLW0603
    strays, _strays[:] = list(_strays), []
    _roots = roots
    return strays


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if _roots is None or event != "open" or not isinstance(args[0], str | bytes):
        return
    path = os.path.realpath(os.fsdecode(args[0]))
    system = (sys.prefix, sys.base_prefix, "/proc/", "/sys/", "/dev/", "/etc/", "/usr/", "/lib")
    own = str(Path(__file__).parents[2])
    writes = bool((args[2] or 0) & (os.O_WRONLY | os.O_RDWR))
    if not any(path.startswith(str(root)) for root in _roots) and (writes or not path.startswith((*system, own))):
        _strays.append(path)


sys.addaudithook(_audit)
