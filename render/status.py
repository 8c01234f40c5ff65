"""The state of a run: its plan and its sign of life.

What is done is not written down a second time: a model is done when its file is there. So runs that
share a folder, such as the tasks of a job array, need not agree on anything, and a killed run
leaves nothing that is wrong.
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

from ..core.errors import InputError
from ..core.outputs import Output
from ..core.progress import duration
from ..core.untrusted import MOST_BYTES, parse_json, read_bytes, read_json, read_json_lines, shown
from .shapenet.synsets import V2_NAMES

__all__ = [
    "FAILURES",
    "SETTINGS",
    "announce",
    "check_places",
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
REASONS = 5  # examples of each kind of failure in the table
MOST_VIEWS, MOST_SECONDS = 2**16 - 1, 1e11  # of a plan that can be believed
RECENT = 300.0  # seconds over which the rate is averaged

Key = tuple[str, str]
"""Synset and model id."""


@contextmanager
def announce(output: Output, keys: Sequence[Key], identity: str, views: int) -> Iterator[None]:
    """Announce to other processes, during the block, that a run is active.

    Parameters
    ----------
    keys : all models of the run, the finished ones included
    identity : hash of the render settings
    """
    plan = {"keys": keys, "config_hash": identity, "views": views}
    # The same models give the same name: a resumed run replaces its own plan.
    digest = hashlib.sha256(json.dumps(sorted(keys)).encode()).hexdigest()[:16]
    name = f"{RUNS}/{digest}.json"
    run = {"started": time.time(), "host": socket.gethostname(), "pid": os.getpid(), "ended": None}
    if output.earlier:
        with contextlib.suppress(OSError, ValueError):
            if _is_plan(read_json(output.path / name)):
                output.adopt(name)
    output.write_text(name, json.dumps(run | plan))
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(BEAT):
            with contextlib.suppress(OSError):
                output.touch(name)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        # on a full disk: others notice by the missing sign of life
        with contextlib.suppress(OSError):
            output.write_text(name, json.dumps(run | {"ended": time.time()} | plan))


def check_places(renders: Path, synsets: Iterable[str]) -> None:
    """Refuse a file in the place of a folder, or the reverse.

    Raises
    ------
    InputError : names the path that is in the way
    """
    folders = [renders / RUNS, *(renders / synset for synset in sorted(synsets))]
    places = [(path, Path.is_dir, "a folder") for path in folders]
    places += [(renders / name, Path.is_file, "a file") for name in (SETTINGS, FAILURES)]
    for path, fits, what in places:
        if os.path.lexists(path) and not fits(path):
            raise InputError(
                f"{shown(path, 4096)} is not {what}, as it must be: move it away, or choose "
                "another folder"
            )


def read_failures(renders: Path) -> list[dict[str, Any]]:
    """Read the last failure of each model that has no file, from `failures.jsonl`.

    Lines that are not entries are skipped.

    Such a line is one that a kill cut short, or that no release of this program wrote.

    Raises
    ------
    InputError : it is not a plain file, or cannot be read
    """
    path = renders / FAILURES
    last: dict[Key, dict[str, Any]] = {}
    try:
        for entry in read_json_lines(path):
            if _is_failure(entry):
                last[entry["synset"], entry["model_id"]] = entry
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}; move it away: it lists failures alone"
        ) from None
    return [
        entry
        for (synset, model), entry in last.items()
        if not _is_there(renders / synset / f"{model}.h5")
    ]


def _is_failure(entry: Any) -> bool:
    """Check whether a line is a failure entry with harmless names."""
    if not isinstance(entry, dict) or not isinstance(entry.get("tries", 1), int):
        return False
    texts = ("synset", "model_id", "kind", "reason")
    if not all(isinstance(entry.get(name), str) for name in texts):
        return False
    return isinstance(entry.get("config_hash", ""), str) and all(
        map(_is_name, (entry["synset"], entry["model_id"]))
    )


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name not in ("", ".", "..") and not {"/", "\0"} & set(name)


def _is_there(path: Path) -> bool:
    """Check whether a file exists.

    A name that no disk accepts, such as one of 300 bytes, has no file.
    """
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def forget_failures(output: Output, keys: Iterable[Key]) -> None:
    """Drop the failures of models that are tried again; keep all other lines.

    Raises
    ------
    InputError : it cannot be read
    """
    again, path = set(keys), output.path / FAILURES
    try:
        lines = read_bytes(path, MOST_BYTES).splitlines(keepends=True)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read: {error}; move it away: it lists failures alone"
        ) from None
    output.write_bytes(
        FAILURES, b"".join(line for line in lines if _failed_key(line) not in again), live=True
    )


def _failed_key(line: bytes) -> Key | None:
    """Return the model of a failure line, or None."""
    try:
        entry = parse_json(line)
    except ValueError:
        return None
    return (entry["synset"], entry["model_id"]) if _is_failure(entry) else None


def read_status(out: Path) -> dict[str, Any]:
    """Read the progress of the renders in a folder.

    Parameters
    ----------
    out : folder of renders, or one that `build` or `demo` made

    Returns
    -------
    status : "planned", "done", "failed", "left" (models), "running" (bool), "models_per_second" and
        "views_per_second" (over the last minutes, 0 where nothing runs), "seconds_left" (None where
        unknown), "synsets": synset -> {"planned", "done", "failed"}, and "failures": kind -> list
        of {synset, model_id, reason, tries}

    Raises
    ------
    InputError : no renders there
    """
    renders = next(
        (folder for folder in (out, out / "renders") if (folder / SETTINGS).is_file()), None
    )
    if renders is None:
        raise InputError(
            f"{out} is not a folder of renders: `cma3d render SHAPENET RENDERS` or `cma3d build` "
            "makes one"
        )
    identity = _identity(renders / SETTINGS)
    plans = [plan for plan in _read_plans(renders) if plan["config_hash"] == identity]
    running = [plan for plan in plans if _lives(plan)]
    written = _written(renders)
    failures = {
        (entry["synset"], entry["model_id"]): entry
        for entry in read_failures(renders)
        if entry.get("config_hash") == identity
    }
    # Without a plan, only what is there is known.
    planned = {(synset, model) for plan in plans for synset, model in plan["keys"]} or {
        *written,
        *failures,
    }
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


def _identity(path: Path) -> str:
    """Read the hash of the settings of a folder of renders."""
    try:
        settings = read_json(path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}; check the file and its permissions"
        ) from None
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}; `cma3d render` writes it again") from None
    if not isinstance(settings, dict) or not isinstance(settings.get("config_hash"), str):
        raise InputError(f"{path} does not state what was rendered: `cma3d render` writes it again")
    return str(settings["config_hash"])


def _recent_rate(written: list[float], running: list[dict[str, Any]]) -> float:
    """Compute files a second in the last minutes; 0 without a live run.

    Counted from the start of the oldest live run.
    """
    if not running:
        return 0.0
    begin = max(time.time() - RECENT, min(plan["started"] for plan in running))
    return sum(moment >= begin for moment in written) / max(time.time() - begin, 1.0)


def _by_synset(planned: set[Key], done: set[Key], failed: set[Key]) -> dict[str, dict[str, int]]:
    counts = {"planned": planned, "done": done, "failed": failed}
    counted = {name: Counter(synset for synset, _ in keys) for name, keys in counts.items()}
    return {
        synset: {name: counted[name][synset] for name in counts}
        for synset in sorted(counted["planned"])
    }


def _by_kind(failures: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    kinds: dict[str, list[dict[str, Any]]] = {}
    for failure in failures:
        entry = {name: failure.get(name) for name in ("synset", "model_id", "reason", "tries")}
        kinds.setdefault(failure["kind"], []).append(entry)
    return kinds


def status_table(status: dict[str, Any]) -> str:
    """Format a status: totals, categories, the most frequent reasons of failures."""
    lines = [
        f"{status['done']} of {status['planned']} models done, {status['failed']} failed, "
        f"{status['left']} left"
    ]
    if status["running"]:
        rates = f"{status['models_per_second']:.3g} models, {status['views_per_second']:.3g} views a second"
        seconds = status["seconds_left"]
        lines.append(
            f"running: {rates}, "
            + ("time left unknown" if seconds is None else f"{duration(seconds)} left")
        )
    else:
        lines.append(
            "finished" if not status["left"] else "not running: the same command as before goes on"
        )
    lines += _synset_table(status["synsets"])
    for kind, entries in sorted(status["failures"].items()):
        lines.append(f"{len(entries)} failed by {shown(kind)}:")
        reasons = Counter(entry["reason"] for entry in entries).most_common(REASONS)
        for reason, count in reasons:
            example = next(entry for entry in entries if entry["reason"] == reason)
            name = shown(f"{example['synset']}/{example['model_id']}", 600)
            lines.append(f"  {count} x {shown(reason, 1000)}, such as {name}")
    return "\n".join(lines)


def _synset_table(synsets: dict[str, dict[str, int]]) -> list[str]:
    """Return a line for each category: done, failed, left."""
    lines = [f"{'category':<26}{'done':>8}{'failed':>8}{'left':>8}"]
    for synset, count in synsets.items():
        left = count["planned"] - count["done"] - count["failed"]
        name = f"{shown(synset)} {V2_NAMES.get(synset, '')}"
        lines.append(f"{name:<26}{count['done']:>8,}{count['failed']:>8,}{left:>8,}")
    return lines


def _read_plans(renders: Path) -> list[dict[str, Any]]:
    """Read the plans of all runs, with their last sign of life."""
    plans = []
    for path in sorted((renders / RUNS).glob("[!.]*.json")):
        with contextlib.suppress(OSError, ValueError):
            plan = read_json(path)
            if _is_plan(plan):
                plans.append(plan | {"seen": path.stat().st_mtime})
    return plans


def _is_plan(plan: Any) -> bool:
    """Check whether a file of `.runs` is what `announce` writes."""
    match plan:
        case {
            "keys": list(keys),
            "config_hash": str(),
            "views": int(views),
            "started": int() | float() as started,
            "host": str(),
            "pid": int(pid),
            "ended": ended,
        }:
            times = [started] if ended is None else [started, ended]
            return (
                all(
                    isinstance(key, list) and len(key) == 2 and all(map(_is_name, key))
                    for key in keys
                )
                and all(
                    isinstance(time, int | float) and 0 <= time <= MOST_SECONDS for time in times
                )
                and 0 <= views <= MOST_VIEWS
                and 0 < pid < 2**31
            )
    return False


def _lives(plan: dict[str, Any]) -> bool:
    """Check whether a run is alive, by sign and process.

    A process on another machine cannot be checked.
    """
    if plan["ended"] is not None or time.time() - plan["seen"] > SILENT:
        return False
    return plan["host"] != socket.gethostname() or psutil.pid_exists(plan["pid"])


def _written(renders: Path) -> dict[Key, float]:
    """Return the models that have a file, with the time of writing."""
    found = {}
    for synset in os.scandir(renders):
        if not synset.is_dir() or synset.name.startswith("."):
            continue
        # a folder that may not be looked into
        with contextlib.suppress(OSError):
            for file in os.scandir(synset):
                if file.name.endswith(".h5") and not file.name.startswith(".") and file.is_file():
                    # Replaced in this moment
                    with contextlib.suppress(OSError):
                        found[synset.name, file.name.removesuffix(".h5")] = file.stat().st_mtime
    return found
