"""Bounds that hostile input is read within: time, memory, the errors that may come of it, the files it may open."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis

from shapenet3d_cma.core.errors import InputError, ModelError

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "40"))
"""Drawn cases of each test: few in `make test`, many in `make fuzz`."""
LONG = "FUZZ_EXAMPLES" in os.environ
CORPUS = Path(__file__).parent / "corpus"
FOUND = Path(os.environ.get("FUZZ_FOUND", Path(tempfile.gettempdir()) / "cma3d-fuzz"))
"""Where the bytes of a case that breaks a bound are kept; such a file belongs into the corpus."""
REPORT = os.environ.get("FUZZ_REPORT")
"""JSON file that tells `make fuzz` what came out; now and then, and at the end."""
RUNNING = ".running"
"""Ending of the file beside REPORT that holds the case at work: what a process that dies died of."""
SELF = "self"
"""Topic of the harness's own tests, whose breaches are no findings."""

fuzz = hypothesis.settings(
    max_examples=EXAMPLES,
    derandomize=not LONG,
    deadline=None,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    phases=[
        hypothesis.Phase.explicit,
        hypothesis.Phase.generate,
        hypothesis.Phase.shrink,
    ],  # to explain takes long
)
counts: Counter[str] = Counter()
"""Cases, refused, accepted, crashes, hangs; hypothesis comes back to a case that breaks a bound many times."""
topics: defaultdict[str, Counter[str]] = defaultdict(Counter)
"""The same of each topic."""
breaches: dict[str, dict[str, Any]] = {}
"""Different ways in which bounds broke, by a short name: topic, what happened, how often, bytes of the least case."""

_told = time.monotonic()  # when REPORT was written last
_roots: list[Path] | None = None
_strays: list[str] = []


class Hang(BaseException):
    """A case took longer than it may. No Exception: code under test that catches those must not swallow it."""


def corpus(topic: str) -> list[Path]:
    """List the past failures of a topic, for `pytest.mark.parametrize`."""
    return sorted((CORPUS / topic).glob("*"))


@contextlib.contextmanager
def bounded(
    topic: str,
    content: bytes = b"",
    *,
    inside: Path,
    seconds: float = 20.0,
    mib: int = 1024,
    allowed: Any = (),
) -> Iterator[None]:
    """Run a block on one hostile case; InputError and ModelError are answers, any other exception breaks a bound.

    Parameters
    ----------
    topic, content : name what is read, and the bytes that are kept where a bound breaks
    inside : the only folder in which the block may open files that are not Python's own
    seconds, mib : time and additional address space that the block may take
    allowed : further exceptions that are answers
    """
    _begin(topic, content)
    strays: list[str] = []
    try:
        with _limits(seconds, mib, inside, strays):
            yield
        outcome = "accepted"
    except (InputError, ModelError, *allowed) as error:
        outcome = "refused"
        with _breach(topic, content):
            _check_words(str(error))
    except Hang as error:
        _note(topic, content, "hangs", error)
        raise AssertionError(f"{topic}: still at work after {seconds} seconds") from error
    except BaseException as error:
        if not isinstance(error, KeyboardInterrupt):
            _note(topic, content, "crashes", error)
        raise
    with _breach(topic, content):
        assert not strays, f"{topic}: opened files outside its folder: {strays}"
    _count(topic, outcome)


def refusal(topic: str, act: Callable[[], object], inside: Path) -> str:
    """Run what must refuse a hostile case, within bounds; return the words of the InputError."""
    said = None
    with bounded(topic, inside=inside):
        try:
            act()
        except InputError as error:
            said = error
            raise
    assert said is not None, "it was accepted"
    return str(said)


@contextlib.contextmanager
def _limits(seconds: float, mib: int, inside: Path, strays: list[str]) -> Iterator[None]:
    """Bound time and memory of a block, and note which files it opens outside; all as before at its end."""
    before = signal.signal(signal.SIGALRM, _hang)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    _watch([inside.resolve(), Path(tempfile.gettempdir()).resolve() / "cma3d-"])
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + mib * 2**20, hard))
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        strays += _watch(None)


def _check_words(message: str) -> None:
    assert message, "an error without words"
    assert "\n" not in message, f"not one line: {message!r}"
    assert len(message) < 2000, f"too long a line: {len(message)} characters"


@contextlib.contextmanager
def _breach(topic: str, content: bytes) -> Iterator[None]:
    try:
        yield
    except AssertionError as error:
        _note(topic, content, "crashes", error)
        raise


def _count(topic: str, what: str) -> None:
    counts[what] += 1
    topics[topic][what] += 1


def _begin(topic: str, content: bytes) -> None:
    """Count a case, and in a long run put it down: the process may not live to tell of it."""
    global _told  # noqa: PLW0603
    _count(topic, "cases")
    if REPORT:
        Path(REPORT + RUNNING).write_bytes(topic.encode() + b"\n" + content)
        if time.monotonic() - _told > 5:
            _told = time.monotonic()
            tell()


def tell() -> None:
    """Write REPORT."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {name: breach for name, breach in breaches.items() if breach["topic"] != SELF}
    report = {
        "topics": {name: dict(one) for name, one in topics.items() if name != SELF},
        "breaches": found,
    }
    partial = Path(f"{REPORT}.new")
    partial.write_text(json.dumps(report | {"peak_mib": peak}), encoding="utf-8")
    partial.replace(str(REPORT))


def _end() -> None:
    tell()
    Path(f"{REPORT}{RUNNING}").unlink(missing_ok=True)


def _hang(*_: object) -> None:
    raise Hang


def _note(topic: str, content: bytes, what: str, error: BaseException) -> None:
    """Count a breach, and keep its case where none as small of this kind is kept."""
    _count(topic, what)
    where = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "/tests/" not in frame.filename
    ]
    place = f"{Path(where[-1].filename).name}:{where[-1].lineno}" if where else ""
    name = f"{topic}-{hashlib.sha256(f'{topic} {what} {type(error).__name__} {place}'.encode()).hexdigest()[:12]}"
    words = f"{type(error).__name__} at {place}: {' '.join(str(error).split())[:200]}"
    one = breaches.setdefault(
        name, {"topic": topic, "kind": what, "words": words, "times": 0, "bytes": None}
    )
    one["times"] += 1
    if content and topic != SELF and (one["bytes"] is None or len(content) < one["bytes"]):
        one["bytes"] = len(content)
        FOUND.mkdir(parents=True, exist_ok=True)
        (FOUND / name).write_bytes(content)
    if REPORT and one["times"] == 1:  # the process may die of the next
        tell()


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
    if not any(path.startswith(str(root)) for root in _roots) and (
        writes or not path.startswith((*system, own))
    ):
        _strays.append(path)


sys.addaudithook(_audit)
if REPORT:
    atexit.register(_end)
