"""Hostile input for hours: `make fuzz`, or `python tools/fuzz.py [MINUTES] [FOUND] [FILE]…`.

Every file of tests/fuzz/ is run again and again, a process a core, with other draws and more of
them each time, until the time is over. A case that breaks a bound is kept in FOUND, also where its
process died of it; it belongs into tests/fuzz/corpus/<topic>/, which `make test` replays. Exit
status 1 where a bound broke.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests" / "fuzz"
FIRST, MOST = 250, 64_000  # drawn cases of each test, in the first round and at most
STUCK = 180.0  # seconds at one case after which its process hangs in a way that Python cannot end
LEAST = 5.0  # seconds that are left for a process at least: it takes some to begin
GRACE = 30.0  # seconds in which a process ends that is asked to
RUNNING = ".running"


@dataclass
class Tally:
    """The outcome so far; of each topic the counts and the peak memory of its processes, MiB."""

    topics: dict[str, Counter[str]] = field(default_factory=dict)
    peak: dict[str, float] = field(default_factory=dict)
    breaches: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    processes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, report: dict[str, Any]) -> None:
        """Add what a process told."""
        with self.lock:
            self.processes += 1
            for topic, counts in report["topics"].items():
                self.topics.setdefault(topic, Counter()).update(counts)
                self.peak[topic] = max(self.peak.get(topic, 0.0), report["peak_mib"])
            for name, breach in report["breaches"].items():
                known = self.breaches.setdefault(name, breach | {"times": 0})
                known["times"] += breach["times"]

    def add_death(self, topic: str, kind: str, words: str, name: str) -> None:
        """Add a case that its process could not tell of."""
        with self.lock:
            self.topics.setdefault(topic, Counter())
            self.breaches[name] = {
                "topic": topic,
                "kind": kind,
                "words": words,
                "times": 1,
                "bytes": None,
            }

    def table(self) -> str:
        """Format it: a line a topic, then a line a breach, and a line a test that failed otherwise."""
        names = ("cases", "refused", "accepted", "crashes", "hangs")
        lines = [f"{'topic':<20}" + "".join(f"{name:>12}" for name in names) + f"{'peak MiB':>12}"]
        for topic, counts in sorted(self.topics.items()):
            shown = [f"{counts[name]:>12,}" for name in names[:3]]
            shown += [f"{self.different(topic, name):>12,}" for name in names[3:]]
            lines.append(f"{topic:<20}" + "".join(shown) + f"{self.peak.get(topic, 0):>12,.0f}")
        total = sum((counts for counts in self.topics.values()), Counter[str]())
        lines.append(f"{'all':<20}" + "".join(f"{total[name]:>12,}" for name in names[:3]))
        lines += [
            f"{one['kind']}: {name}, {one['times']} times: {one['words']}"
            for name, one in self.breaches.items()
        ]
        return "\n".join(
            lines + [f"failed: {name}: {words}" for name, words in self.failed.items()]
        )

    def different(self, topic: str, kind: str) -> int:
        """Count the different breaches of a topic: hypothesis repeats one many times as it looks for the least."""
        return sum(
            breach["topic"] == topic and breach["kind"] == kind for breach in self.breaches.values()
        )


def fuzz(
    files: list[Path],
    seconds: float,
    found: Path,
    scratch: Path,
    jobs: int,
    rounds: float = math.inf,
) -> Tally:
    """Run files of tests in rounds until the time, or the number of rounds, is over.

    Parameters
    ----------
    found : where cases that break a bound are kept
    scratch : for the reports of processes, and all that tests write
    jobs : processes side by side
    """
    tally, end, turns = Tally(), time.monotonic() + seconds, itertools.count()

    def work(number: int) -> None:
        while time.monotonic() < end - LEAST:
            turn = next(turns)
            round_, place = divmod(turn, len(files))
            if round_ >= rounds:
                return
            examples = min(MOST, FIRST * 2**round_)
            _run(files[place], examples, end, found, scratch / f"{turn}", tally)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(work, range(jobs)))
    return tally


def _run(file: Path, examples: int, end: float, found: Path, folder: Path, tally: Tally) -> None:
    """Run a file of tests with a seed of its own, to the end of the time at most."""
    folder.mkdir()
    report, output, seed = folder / "report.json", folder / "output", secrets.randbelow(2**31)
    line = [sys.executable, "-m", "pytest", str(file), "-q", "-p", "no:cacheprovider", "--tb=short"]
    line += [
        "-c",
        str(ROOT / "pyproject.toml"),
        f"--hypothesis-seed={seed}",
        f"--basetemp={folder / 'files'}",
    ]
    given = {"FUZZ_EXAMPLES": str(examples), "FUZZ_REPORT": str(report), "FUZZ_FOUND": str(found)}
    with output.open("wb") as log:
        process = subprocess.Popen(line, stdout=log, stderr=log, env=os.environ | given, cwd=ROOT)
        asked, stuck = _wait(process, end, Path(f"{report}{RUNNING}"))
    if report.exists():
        tally.add(json.loads(report.read_text(encoding="utf-8")))
    died = process.returncode < 0 and (stuck or not asked)
    if died:
        _bury(process.returncode, stuck, Path(f"{report}{RUNNING}"), found, tally)
    if died or (process.returncode and not asked) or " failed" in _last_line(output):
        where = f"{file.name} --hypothesis-seed={seed}, {examples} examples"
        found.mkdir(parents=True, exist_ok=True)
        kept = found / f"{file.stem}-{seed}.txt"
        output.replace(kept)
        with tally.lock:
            tally.failed[where] = f"exit status {process.returncode}, see {kept}"
    shutil.rmtree(folder, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], end: float, running: Path) -> tuple[bool, bool]:
    """Wait for a process; return whether it was asked to end, and whether it was killed for hanging at one case."""
    asked = False
    while process.poll() is None:
        time.sleep(0.1)
        if time.monotonic() > end and not asked:
            process.send_signal(signal.SIGINT)
            asked = True
        age = time.time() - running.stat().st_mtime if running.exists() else 0.0
        if age > STUCK or (asked and time.monotonic() > end + GRACE):
            process.kill()
            process.wait()
            return asked, age > GRACE
    return asked, False


def _bury(code: int, stuck: bool, running: Path, found: Path, tally: Tally) -> None:
    """Keep the case that a process died at."""
    if not running.exists():
        return
    topic, _, content = running.read_bytes().partition(b"\n")
    name = f"{topic.decode()}-{secrets.token_hex(6)}"
    found.mkdir(parents=True, exist_ok=True)
    (found / name).write_bytes(content)
    words = (
        f"still at work after {STUCK:g} s"
        if stuck
        else f"the process died of {signal.Signals(-code).name}"
    )
    tally.add_death(topic.decode(), "hangs" if stuck else "crashes", words, name)


def _last_line(output: Path) -> str:
    lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1] if lines else ""


def main() -> None:
    """Read the command line, fuzz, print the table."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    found = Path(
        sys.argv[2] if len(sys.argv) > 2 else Path(tempfile.gettempdir()) / "cma3d-fuzz"
    ).absolute()
    files = [Path(name).absolute() for name in sys.argv[3:]]
    files = files or [
        path for path in sorted(TESTS.glob("test_*.py")) if path.name != "test_bounds.py"
    ]
    if not files:
        sys.exit(f"fuzz: there is no test in {TESTS} but the harness's own")
    jobs = joblib.cpu_count()
    print(f"{len(files)} files of tests, {jobs} processes, {minutes:g} minutes", flush=True)
    with tempfile.TemporaryDirectory(
        prefix="fuzzing-"
    ) as scratch:  # "cma3d-" is where the program itself may write
        tally = fuzz(files, 60 * minutes, found, Path(scratch), jobs)
    print(tally.table())
    broken = bool(tally.breaches or tally.failed)
    print(
        f"{tally.processes} processes; "
        + (f"broken cases are in {found}" if broken else "no bound broke")
    )
    sys.exit(broken)


if __name__ == "__main__":
    main()
