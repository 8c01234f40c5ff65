"""Everything that may befall a long run, at once: `make soak`, or `python tools/soak.py --help`.

Procedural models go through render, pack, verify and export twice: once undisturbed, and once while
processes are killed at random, two commands share each folder, the disk fills up and is freed, and
the clock jumps. Each command is given again until it ends well. Exit status 0 where the two
outcomes are equal, nothing half written and no process is left, and memory, file descriptors and
processes stay flat.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from shapenet3d_cma.core.outputs import HIDDEN
from shapenet3d_cma.tests.family import CLI, Family, command_line
from shapenet3d_cma.tests.same import assert_same_renders, assert_same_shards

RENDER = ("--views", 3, "--size", 40, "--samples", 1, "--colour", "best", "--jobs")
PACK = ("--points", 64, "--shard-rows", 50, "--jobs", 2)
CATEGORIES = 16  # of the procedural models
KINDS = {
    "render.blender.worker": "Blender",
    "popen_loky_posix": "worker",
    "shapenet3d_cma.cli": "command",
}
OFFSETS = (0, -10_800, 7_200, -604_800, -60)  # seconds, that the clock is off
JUMPING = """
import time
_time = time.time
def _jumped():
    with open({clock!r}) as file:
        return _time() + float(file.read() or 0)
time.time, time.time_ns = _jumped, lambda: int(1e9 * _jumped())
"""
"""What Python runs as it begins (`sitecustomize`): a clock that is off by what a file says. The
clock of the machine is not ours to set, and libfaketime breaks Python's `time.sleep`."""
END = 60.0  # seconds in which processes end whose command has ended
LONG = 1800.0  # seconds after which a command hangs
MOST, MOST_REFUSALS = 100, 1000  # times that one command is given
FLAT_MIB, FLAT_SHARE, FLAT_OTHERS = 64, 1.25, 16  # by which a last quarter may exceed the first
BUSY = re.compile(r"\b(another|other|busy|in use|being|at work)\b")
DIED = re.compile(r"a worker process died")
FULL = re.compile(r"is full|No space left on device")


def kind(process: psutil.Process) -> str:
    """Name what a process is: Blender, worker, command, other."""
    line = command_line(process)
    return next((name for mark, name in KINDS.items() if mark in line), "other")


@dataclass
class Sample:
    """The most that processes of a kind took at a moment: MiB, descriptors; and how many there were."""

    mib: float
    descriptors: int
    processes: int


@dataclass
class Record:
    """The record of what was done to the runs, and of what was found."""

    kills: Counter[str] = field(default_factory=Counter)
    starts: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    last_end: float = 0.0  # seconds that processes took to end after their command
    fillings: int = 0
    jumps: int = 0


class Disk:
    """A small disk that can be filled: a tmpfs, where this user may mount one; else a folder that cannot be filled."""

    def __init__(self, folder: Path, mib: int) -> None:
        self.folder, self.filler, self.lock = folder, folder / ".filler", threading.Lock()
        folder.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)]
        self.mounted = subprocess.run(words, capture_output=True, check=False).returncode == 0
        self.filled_until = 0.0

    def fill(self) -> None:
        """Take all room."""
        with self.lock, self.filler.open("wb") as file:
            self.filled_until = float("inf")
            for _ in range(3):  # others free and take some meanwhile
                free = shutil.disk_usage(self.folder).free
                with contextlib.suppress(OSError):
                    if free:
                        os.posix_fallocate(file.fileno(), file.tell(), free)
                        file.seek(0, os.SEEK_END)

    def free(self) -> None:
        """Free the room again."""
        with self.lock:
            if self.filler.exists():
                self.filler.unlink()
                self.filled_until = time.monotonic()

    @property
    def lately_full(self) -> bool:
        """Whether a command that ended just now may have met a full disk."""
        return time.monotonic() - self.filled_until < 60

    def close(self) -> None:
        """Unmount it; what it holds is gone."""
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.folder)], check=False)


class Soak:
    """One run of all of it.

    Parameters
    ----------
    out : an empty folder
    every : seconds between two kills, on average
    least : kills that each stage takes at least
    """

    def __init__(self, out: Path, models: int, seed: int, every: float, least: int) -> None:
        self.out, self.models, self.seed, self.every, self.least = out, models, seed, every, least
        self.draw = random.Random(seed)
        self.record = Record()
        self.stage, self.families, self.stop = "", list[Family](), threading.Event()
        self.lock = threading.Lock()
        self.killed: set[int] = set()
        self.ended: dict[int, float] = {}  # when a command of each number ended last
        self.disk = Disk(out / "disk", 256 + models // 3)
        self.clock = out / "clock" / "offset"
        self.clock.parent.mkdir()
        self.clock.write_text(str(OFFSETS[0]))
        (self.clock.parent / "sitecustomize.py").write_text(JUMPING.format(clock=str(self.clock)))

    # ---- what befalls the runs ----

    def members(self) -> list[tuple[Family, psutil.Process]]:
        """List all processes of the commands that run."""
        with self.lock:
            families = list(self.families)
        return [(family, process) for family in families for process in family.members()]

    def look(self) -> None:
        """Sample every second what each kind of process takes."""
        while not self.stop.wait(1):
            found: dict[str, list[tuple[float, int]]] = {}
            for _, process in self.members():
                with contextlib.suppress(psutil.Error):
                    taken = process.memory_info().rss / 2**20, process.num_fds()
                    found.setdefault(kind(process), []).append(taken)
            for name, taken_by in found.items():
                sample = Sample(
                    max(mib for mib, _ in taken_by),
                    max(number for _, number in taken_by),
                    len(taken_by),
                )
                self.record.samples.setdefault((self.stage, name), []).append(sample)

    def kill(self) -> None:
        """Kill a process of a drawn kind now and then."""
        while not self.stop.wait(self.every * self.draw.uniform(0.5, 1.5)):
            found: dict[str, list[psutil.Process]] = {}
            for _, process in self.members():
                found.setdefault(kind(process), []).append(process)
            found.pop("other", None)
            if found and self.may_kill():
                name = self.draw.choice(sorted(found))
                victim = self.draw.choice(found[name])
                with contextlib.suppress(psutil.Error):
                    self.killed.add(victim.pid)
                    victim.kill()
                    self.record.kills[f"{self.stage} {name}"] += 1

    def may_kill(self) -> bool:
        """Check whether the stage takes more kills: where they come faster than a command begins, it would not end."""
        most = max(self.least, self.models // 20) if self.stage == "render" else self.least
        return self.kills_of(self.stage) < most

    def kills_of(self, stage: str) -> int:
        """Count the kills in a stage."""
        return sum(
            number for name, number in self.record.kills.items() if name.startswith(f"{stage} ")
        )

    def fill(self) -> None:
        """Fill the disk now and then, for a while."""
        while not self.stop.wait(3 * self.every * self.draw.uniform(0.5, 1.5)):
            if self.families:
                self.disk.fill()
                self.record.fillings += 1
                self.stop.wait(self.every / 2)
                self.disk.free()
        self.disk.free()

    def jump(self) -> None:
        """Let the clock of all runs jump; and date files into the future, as those written before a jump back are."""
        while not self.stop.wait(self.every * self.draw.uniform(0.5, 1.5)):
            self.clock.write_text(str(self.draw.choice(OFFSETS)))
            self.record.jumps += 1
            ahead = time.time() + 86_400
            for path in self.disk.folder.rglob("*"):
                if (
                    self.draw.random() < 0.1 and not (path.parent / "manifest.json").exists()
                ):  # a reader would notice
                    with contextlib.suppress(OSError):
                        os.utime(path, (ahead, ahead))

    @contextlib.contextmanager
    def around(self, *acts: Any) -> Iterator[None]:
        """Run acts beside the runs, until the block ends."""
        self.stop.clear()
        threads = [threading.Thread(target=self.guarded, args=(act,), daemon=True) for act in acts]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()

    def guarded(self, act: Any) -> None:
        """Run an act that must go on to the end."""
        try:
            act()
        except Exception as error:  # a soak whose killer has died proves nothing
            self.fault(f"the soak's own {act.__name__} ended: {type(error).__name__}: {error}")

    # ---- the runs ----

    def fault(self, words: str) -> None:
        """Record something that must not be, and print it at once."""
        self.record.faults.append(words)
        print(f"FAULT {words}", flush=True)

    def environment(self) -> dict[str, str]:
        """Return what runs find in their environment: a folder for scratch files, and a clock that jumps."""
        given = {"TMPDIR": str(self.out / "scratch")}
        if not self.stage.startswith("unbroken"):
            given["PYTHONPATH"] = str(self.clock.parent)
        return given

    def run(self, stage: str, *commands: Sequence[object]) -> None:
        """Run commands side by side, each again until it ends well."""
        self.stage, begin = stage, time.monotonic()
        threads = [
            threading.Thread(target=self.insist, args=(number, line))
            for number, line in enumerate(commands)
        ]
        for thread in threads:
            thread.start()
            time.sleep(0.3)
        for thread in threads:
            thread.join()
        self.record.seconds[stage] = self.record.seconds.get(stage, 0.0) + time.monotonic() - begin

    def insist(self, number: int, line: Sequence[object]) -> None:
        """Run a command again and again until it ends with status 0."""
        log, more = (
            self.out / "logs" / f"{self.stage.replace(' ', '-')}-{number}.txt",
            list[object](),
        )
        tries = refusals = 0
        while tries < MOST and refusals < MOST_REFUSALS:
            before, begin = log.stat().st_size if log.exists() else 0, time.monotonic()
            family = Family([*CLI, *line, *more], self.environment(), log)
            self.record.starts[self.stage] += 1
            with self.lock:
                self.families.append(family)
            status = self.wait(family)
            said = log.read_bytes()[before:].decode(errors="replace")
            beside = len(self.families) > 1 or self.ended.get(1 - number, 0.0) > begin
            self.bury(family)
            self.ended[number] = time.monotonic()
            if status == 0:
                return
            answer = self.judge(status, family, said, beside=beside)
            self.record.answers[answer] += 1
            more = ["--retry-failed"] if answer == "models failed" else []
            refused = answer.startswith("refused")
            tries, refusals = tries + (not refused), refusals + refused
            if refused:
                time.sleep(1)
            elif answer == "a full disk":
                self.disk.free()
        self.fault(f"{self.stage}: given {tries + refusals} times and not done: {log}")

    def wait(self, family: Family) -> int:
        """Wait for a command's end; return its exit status."""
        try:
            return family.head.wait(LONG)
        except subprocess.TimeoutExpired:
            self.fault(f"{self.stage}: a command hangs, {LONG:g} s")
            family.kill_head()
            return 0

    def bury(self, family: Family) -> None:
        """Check that nothing is left of a command that has ended."""
        begin = time.monotonic()
        while family.members() and time.monotonic() - begin < END:
            time.sleep(0.05)
        self.record.last_end = max(self.record.last_end, time.monotonic() - begin)
        for process in family.members():
            self.fault(
                f"{self.stage}: left after {END:g} s: {kind(process)} {command_line(process)[:120]}"
            )
        family.end()
        with self.lock:
            self.families.remove(family)

    def judge(self, status: int, family: Family, said: str, *, beside: bool) -> str:
        """Return in words how a command ended; a fault where it must not end so.

        `beside` says that another command was at work in the same folder.
        """
        last = (said.strip().splitlines() or ["nothing was said"])[-1]
        if "Traceback" in said:
            self.fault(f"{self.stage}: a traceback: {last}")
        if status == -9 and family.head.pid in self.killed:
            return "killed"
        if status == 2 and DIED.search(last):
            return "a worker was killed"
        if status == 2 and FULL.search(last) and self.disk.lately_full:
            return "a full disk"
        if status == 1 and self.stage == "render":
            return "models failed"
        if status == 2 and beside and BUSY.search(last):
            words = re.sub(r"\d+", "N", last.replace(str(self.out), "OUT"))
            return f"refused: {words}"
        self.fault(f"{self.stage}: exit status {status}: {last}")
        return "a fault"

    # ---- the whole ----

    def unbroken(self) -> None:
        """Run all stages without any disturbance."""
        out = self.out
        each = max(1, round(self.models / CATEGORIES))
        self.run(
            "unbroken samples",
            ["samples", out / "shapenet", "--per-category", each, "--seed", self.seed],
        )
        with self.around(self.look):
            self.run("unbroken render", ["render", out / "shapenet", out / "renders", *RENDER, 2])
            self.run("unbroken pack", ["pack", out / "renders", out / "shards", *PACK])
            self.run("unbroken verify", ["verify", out / "shards", "--jobs", 2])
            self.run(
                "unbroken export",
                ["export", out / "shards", out / "export", "--format", "ply", "--jobs", 2],
            )

    def disturbed(self) -> None:
        """Run them again, with all that may happen; compare after each stage."""
        out, disk = self.out, self.disk.folder
        acts = (self.look, self.kill, self.jump, *((self.fill,) if self.disk.mounted else ()))
        with self.around(*acts):
            line = ["render", out / "shapenet", disk / "renders", *RENDER, 1]
            self.run("render", line, [*line, "--shard", "1/2"])
        self.compare("render", lambda: assert_same_renders(out / "renders", disk / "renders"))
        for number in self.rounds("pack"):
            made = disk / f"shards-{number}"
            with self.around(*acts):
                self.run("pack", *[["pack", disk / "renders", made, *PACK]] * 2)
            self.compare("pack", lambda made=made: assert_same_shards(out / "shards", made))
        for _ in self.rounds("verify"):
            with self.around(*acts):
                self.run("verify", ["verify", disk / "shards-0", "--jobs", 2])
        for number in self.rounds("export"):
            made = disk / f"export-{number}"
            line = ["export", disk / "shards-0", made, "--format", "ply", "--jobs", 2]
            with self.around(*acts):
                self.run("export", line, line)
            self.compare("export", lambda made=made: same_files(out / "export", made))

    def rounds(self, stage: str) -> Iterator[int]:
        """Repeat a stage until it has been killed often enough."""
        number = 0
        while number == 0 or (self.kills_of(stage) < self.least and number < 10 * self.least):
            yield number
            number += 1

    def compare(self, what: str, act: Any) -> None:
        """Run a comparison, and record a difference."""
        try:
            act()
        except (AssertionError, OSError) as error:
            self.fault(f"{what}: other than unbroken: {' '.join(str(error).split())[:300]}")

    def sweep(self) -> None:
        """Check that nothing half written is left."""
        for path in sorted(self.disk.folder.rglob(f"{HIDDEN}/tmp/*")):
            self.fault(f"left half written: {path.relative_to(self.out)}")

    # ---- what is told ----

    def judge_samples(self) -> list[str]:
        """Compare what processes took in the last quarter of each stage with the first; a fault where it grew."""
        head = f"{'stage':<18}{'process':<10}{'MiB, first':>12}{'last':>7}{'files, first':>14}{'last':>6}"
        lines = [head + f"{'number, first':>15}{'last':>6}{'samples':>9}"]
        for (stage, name), samples in self.record.samples.items():
            quarter = max(1, len(samples) // 4)
            first, last = (
                [
                    max(getattr(one, what) for one in part)
                    for what in ("mib", "descriptors", "processes")
                ]
                for part in (samples[:quarter], samples[-quarter:])
            )
            lines.append(
                f"{stage:<18}{name:<10}{first[0]:>12.0f}{last[0]:>7.0f}{first[1]:>14}{last[1]:>6}{first[2]:>15}"
                f"{last[2]:>6}{len(samples):>9}"
            )
            grown = last[0] > FLAT_SHARE * first[0] + FLAT_MIB or last[1] > first[1] + FLAT_OTHERS
            if len(samples) >= 40 and (grown or last[2] > first[2] + FLAT_OTHERS):
                self.fault(f"{stage}, {name}: not flat, from the first quarter to the last")
        return lines

    def report(self) -> str:
        """Format what was done and found."""
        record = self.record
        disk = (
            f"filled {record.fillings} times (tmpfs)"
            if self.disk.mounted
            else "not filled: no right to mount one"
        )
        lines = self.judge_samples()
        lines += [
            "",
            *(f"{name:<26}{seconds:>8.0f} s" for name, seconds in record.seconds.items()),
            "",
        ]
        lines += [f"killed: {name:<18}{number:>6}" for name, number in sorted(record.kills.items())]
        lines += [f"killed in all     {sum(record.kills.values()):>14}"]
        lines += [
            f"starts: {name:<18}{number:>6}"
            for name, number in record.starts.items()
            if "unb" not in name
        ]
        lines += [f"{number:>4} times: {name}" for name, number in record.answers.most_common()]
        peak = max((one.mib for samples in record.samples.values() for one in samples), default=0)
        lines += [f"clock jumped {record.jumps} times; disk {disk}"]
        lines += [
            f"largest process {peak:.0f} MiB; the last process ended {record.last_end:.1f} s after its command"
        ]
        return "\n".join([*lines, f"differences and faults: {len(record.faults)}", *record.faults])


def same_files(one: Path, two: Path) -> None:
    """Both folders hold the same files with the same bytes, but for the records of runs at their top."""
    names = [
        {
            path.relative_to(top)
            for path in top.rglob("*")
            if path.is_file() and not is_record(path, top)
        }
        for top in (one, two)
    ]
    assert names[0] == names[1], (
        f"{len(names[0] ^ names[1])} files stand in one alone, {min(names[0] ^ names[1])}"
    )
    for name in sorted(names[0]):
        assert (one / name).read_bytes() == (two / name).read_bytes(), f"{name} differs"


def is_record(path: Path, top: Path) -> bool:
    """Check whether a file says how a folder was made, and when, rather than being part of what was made."""
    return HIDDEN in path.relative_to(top).parts or (path.parent == top and path.suffix == ".json")


def main() -> None:
    """Read the command line, soak, print the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, help="a folder that is empty or not there")
    parser.add_argument("--models", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--every", type=float, default=20.0, help="seconds between kills, on average"
    )
    parser.add_argument(
        "--least", type=int, default=5, help="kills that pack, verify and export take each"
    )
    given = parser.parse_args()
    out = given.out.absolute()
    if out.exists() and any(out.iterdir()):
        sys.exit(f"soak: {out} is not empty: give another folder")
    for folder in (out, out / "logs", out / "scratch"):
        folder.mkdir(parents=True, exist_ok=True)
    soak, begin = Soak(out, given.models, given.seed, given.every, given.least), time.monotonic()
    try:
        soak.unbroken()
        soak.disturbed()
        soak.sweep()
        print(soak.report())
    finally:
        for family in list(soak.families):
            family.end()
        soak.disk.close()
    print(f"{time.monotonic() - begin:.0f} s in all")
    sys.exit(bool(soak.record.faults))


if __name__ == "__main__":
    main()
