"""What a run leaves for those who look at it from outside: its plan and a sign of life. And how to read them.

What is done is not written down a second time: a model is done when its file is there. So runs that share a folder,
such as the tasks of a job array, need not agree on anything, and a killed run leaves nothing that is wrong.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from ..errors import InputError
from ..files import PARTIAL, write_text
from ..progress import duration
from ..untrusted import shown
from .synsets import V2_NAMES

__all__ = [
    "FAILURES",
    "SETTINGS",
    "announce",
    "forget_failures",
    "read_failures",
    "read_status",
    "status_table",
]

SETTINGS = "render.json"
FAILURES = "failures.jsonl"
RUNS = ".runs"
BEAT = 20.0  # seconds between signs of life
SILENT = 90.0  # seconds without one after which a run is taken for dead
REASONS = 5  # of each kind of failure that are told to people
RECENT = 300.0  # seconds over which the rate is told

Key = tuple[str, str]
"""Synset and model id."""


@contextmanager
def announce(renders: Path, keys: Sequence[Key], identity: str, views: int) -> Iterator[None]:
    """Tell other processes, for as long as the block lasts, that a run is at work on some models.

    Parameters
    ----------
    keys : all models that the run was asked for, those that are done among them
    identity : hash of the render settings
    """
    plan = {"keys": keys, "config_hash": identity, "views": views}
    digest = hashlib.sha256(json.dumps(sorted(keys)).encode()).hexdigest()[:16]
    path = renders / RUNS / f"{digest}.json"
    path.parent.mkdir(exist_ok=True)
    run = {"started": time.time(), "host": socket.gethostname(), "pid": os.getpid(), "ended": None}
    write_text(path, json.dumps(run | plan))
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(BEAT):
            with contextlib.suppress(OSError):
                os.utime(path)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        with contextlib.suppress(OSError):  # the disk may be full: the silence will tell
            write_text(path, json.dumps(run | {"ended": time.time()} | plan))


def read_failures(renders: Path) -> list[dict[str, Any]]:
    """Read `failures.jsonl`: the last entry of each model that has no file; a line cut short by a kill is left out."""
    path = renders / FAILURES
    last: dict[Any, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            entry = json.loads(line)
            last[str(entry["synset"]), str(entry["model_id"])] = entry
        except (ValueError, KeyError, TypeError):
            continue
    # a name that no file can have is that of no file, where pathlib would raise
    return [entry for key, entry in last.items() if not os.path.isfile(f"{renders}/{key[0]}/{key[1]}.h5")]  # noqa: PTH113


def forget_failures(renders: Path, keys: Iterable[Key]) -> None:
    """Drop the failures of models that are tried again."""
    again = set(keys)
    kept = [entry for entry in read_failures(renders) if (entry["synset"], entry["model_id"]) not in again]
    if (renders / FAILURES).is_file():
        write_text(renders / FAILURES, "".join(json.dumps(entry) + "\n" for entry in kept))


def read_status(out: Path) -> dict[str, Any]:
    """Tell how far the renders of a folder are.

    Parameters
    ----------
    out : folder of renders, or one that `build` or `demo` made

    Returns
    -------
    status : "planned", "done", "failed", "left" (models), "running" (bool), "models_per_second" and
        "views_per_second" (over the last minutes, 0 where nothing runs), "seconds_left" (None where unknown),
        "synsets": synset -> {"planned", "done", "failed"}, and "failures": kind -> list of {synset, model_id, reason,
        tries}

    Raises
    ------
    InputError : no renders there
    """
    renders = next((folder for folder in (out, out / "renders") if (folder / SETTINGS).is_file()), None)
    if renders is None:
        raise InputError(f"{out} is no folder of renders: `cma3d render SHAPENET RENDERS` or `cma3d build` makes one")
    identity = json.loads((renders / SETTINGS).read_text(encoding="utf-8"))["config_hash"]
    plans = [plan for plan in _read_plans(renders) if plan["config_hash"] == identity]
    running = [plan for plan in plans if _lives(plan)]
    written = _written(renders)
    failures = {
        (entry["synset"], entry["model_id"]): entry
        for entry in read_failures(renders)
        if entry.get("config_hash") == identity
    }
    planned = {(synset, model) for plan in plans for synset, model in plan["keys"]} or {*written, *failures}
    done, failed = planned & set(written), planned & set(failures)
    left = len(planned) - len(done) - len(failed)
    rate = _recent_rate([written[key] for key in done], running)
    return {
        "planned": len(planned),
        "done": len(done),
        "failed": len(failed),
        "left": left,
        "running": bool(running),
        "models_per_second": rate,
        "views_per_second": rate * max((plan["views"] for plan in running), default=0),
        "seconds_left": left / rate if rate else None,
        "synsets": _by_synset(planned, done, failed),
        "failures": _by_kind([failures[key] for key in sorted(failed)]),
    }


def _recent_rate(written: list[float], running: list[dict[str, Any]]) -> float:
    """Give files a second over the last minutes, since the first of the runs that live began; 0 where none does."""
    if not running:
        return 0.0
    begin = max(time.time() - RECENT, min(plan["started"] for plan in running))
    return sum(moment >= begin for moment in written) / max(time.time() - begin, 1.0)


def _by_synset(planned: set[Key], done: set[Key], failed: set[Key]) -> dict[str, dict[str, int]]:
    counts = {"planned": planned, "done": done, "failed": failed}
    counted = {name: Counter(synset for synset, _ in keys) for name, keys in counts.items()}
    return {synset: {name: counted[name][synset] for name in counts} for synset in sorted(counted["planned"])}


def _by_kind(failures: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    kinds: dict[str, list[dict[str, Any]]] = {}
    for failure in failures:
        entry = {name: failure.get(name) for name in ("synset", "model_id", "reason", "tries")}
        kinds.setdefault(str(failure["kind"]), []).append(entry)
    return kinds


def status_table(status: dict[str, Any]) -> str:
    """Lay a status out for people: totals, categories; of each kind of failure the most frequent reasons."""
    lines = [f"{status['done']} of {status['planned']} models done, {status['failed']} failed, {status['left']} left"]
    if status["running"]:
        rates = f"{status['models_per_second']:.3g} models, {status['views_per_second']:.3g} views a second"
        seconds = status["seconds_left"]
        lines.append(f"running: {rates}, " + ("time left unknown" if seconds is None else f"{duration(seconds)} left"))
    else:
        lines.append("finished" if not status["left"] else "not running: the same command as before goes on")
    lines += _synset_table(status["synsets"])
    for kind, entries in sorted(status["failures"].items()):
        lines.append(f"{len(entries)} failed by {kind}:")
        reasons = Counter(entry["reason"] for entry in entries).most_common(REASONS)
        for reason, count in reasons:
            example = next(entry for entry in entries if entry["reason"] == reason)
            lines.append(shown(f"  {count} x {reason}, such as {example['synset']}/{example['model_id']}", 2000))
    return "\n".join(lines)


def _synset_table(synsets: dict[str, dict[str, int]]) -> list[str]:
    """Give a line for each category: done, failed, left."""
    lines = [f"{'category':<26}{'done':>8}{'failed':>8}{'left':>8}"]
    for synset, count in synsets.items():
        left = count["planned"] - count["done"] - count["failed"]
        name = shown(f"{synset} {V2_NAMES.get(synset, '')}")
        lines.append(f"{name:<26}{count['done']:>8,}{count['failed']:>8,}{left:>8,}")
    return lines


def _read_plans(renders: Path) -> list[dict[str, Any]]:
    """Read the plans of all runs of a folder, with the time of their last sign of life."""
    plans = []
    for path in (renders / RUNS).glob("[!.]*.json"):
        with contextlib.suppress(OSError, ValueError):
            plans.append(json.loads(path.read_text(encoding="utf-8")) | {"seen": path.stat().st_mtime})
    return plans


def _lives(plan: dict[str, Any]) -> bool:
    """Tell whether a run goes on: it gave a sign of life of late, and its process, where it can be seen, is there."""
    if plan["ended"] is not None or time.time() - plan["seen"] > SILENT:
        return False
    return plan["host"] != socket.gethostname() or psutil.pid_exists(plan["pid"])


def _written(renders: Path) -> dict[Key, float]:
    """Give the models that have a file, with the time at which it was written."""
    found = {}
    for synset in os.scandir(renders):
        if not synset.is_dir() or synset.name.startswith("."):
            continue
        for file in os.scandir(synset):
            if file.name.endswith(".h5") and not file.name.startswith(PARTIAL):
                with contextlib.suppress(OSError):  # replaced in this moment
                    found[synset.name, file.name.removesuffix(".h5")] = file.stat().st_mtime
    return found
