"""Drawn sequences of commands and of the user's own acts: nothing of the user's is lost."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shapenet3d_cma.core.errors import InputError
from shapenet3d_cma.core.outputs import HIDDEN, Output, claim
from shapenet3d_cma.tests.layouts import clear, make_files

OURS = (
    "a.txt",
    "b.txt",
    "folder",
    "folder/x.txt",
    "folder/sub/a.txt",
    "sub/a.txt",
    "sub",
    "a.txt/b.txt",
)


class Folder(RuleBasedStateMachine):
    """Two write to one folder, this project and its user: whatever the user wrote last is there as it was written."""

    places: ClassVar[list[Path]] = []

    @initialize()
    def begin(self) -> None:
        self.root = clear(self.places[0])
        self.out, self.mine, self.count = self.root / "out", {}, 0
        (self.root / "elsewhere").mkdir()

    def ours(self, attempt: Callable[[Output], object]) -> None:
        with suppress(InputError, OSError), claim(self.out, "kind") as output:
            attempt(output)

    @rule(name=st.sampled_from(OURS), text=st.sampled_from(["x", "y"]))
    def write(self, name: str, text: str) -> None:
        self.ours(lambda output: output.write_text(name, text))

    @rule(
        name=st.sampled_from(OURS),
        files=st.dictionaries(st.sampled_from(["x.txt", "sub/a.txt"]), st.just(b"x")),
    )
    def write_folder(self, name: str, files: dict[str, bytes]) -> None:
        def attempt(output: Output) -> None:
            with output.write_folder(name, "made") as folder:
                make_files(folder, files)

        self.ours(attempt)

    @rule(name=st.sampled_from(OURS))
    def remove(self, name: str) -> None:
        self.ours(lambda output: output.remove(name))

    @rule(name=st.sampled_from(OURS))
    def make_folder(self, name: str) -> None:
        self.ours(lambda output: output.folder(name))

    @rule(name=st.sampled_from(OURS))
    def put(self, name: str) -> None:
        path = self.out / name
        if path.is_dir() or any(parent.is_file() for parent in path.parents):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self.count += 1
        path.write_text(f"mine {self.count}")
        self.mine[os.path.realpath(path)] = (path.read_text(), path.stat().st_mtime_ns)

    @rule(name=st.sampled_from(OURS))
    def take_away(self, name: str) -> None:
        path = self.out / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()
        for known in list(self.mine):
            if not os.path.lexists(known):
                del self.mine[known]

    @rule(name=st.sampled_from(["folder", "sub", "a.txt"]))
    def move_away_and_link(self, name: str) -> None:
        path, there = self.out / name, self.root / "elsewhere" / name
        if os.path.lexists(there) or not os.path.lexists(path) or path.is_symlink():
            return
        moved = {
            known: what
            for known, what in self.mine.items()
            if Path(known).is_relative_to(os.path.realpath(path))
        }
        place = os.path.realpath(path)
        path.rename(there)
        path.symlink_to(there)
        for known, what in moved.items():
            del self.mine[known]
            self.mine[os.path.realpath(there) + known[len(place) :]] = what
        for left in [there, *there.rglob("*")]:  # what is elsewhere is the user's, whoever wrote it
            if left.is_file():
                self.mine[os.path.realpath(left)] = (left.read_text(), left.stat().st_mtime_ns)

    @invariant()
    def nothing_is_lost(self) -> None:
        for name, what in getattr(self, "mine", {}).items():
            assert (Path(name).read_text(), Path(name).stat().st_mtime_ns) == what

    @precondition(lambda self: hasattr(self, "out") and self.out.is_dir())
    @invariant()
    def nothing_is_left_over(self) -> None:
        tmp = self.out / HIDDEN / "tmp"
        assert not tmp.is_dir() or list(tmp.iterdir()) == []


def test_whatever_the_user_wrote_stays(tmp_path: Path) -> None:
    Folder.places = [tmp_path / "law"]
    settings = hypothesis.settings(
        max_examples=30, stateful_step_count=25, suppress_health_check=list(hypothesis.HealthCheck)
    )
    hypothesis.stateful.run_state_machine_as_test(Folder, settings=settings)
