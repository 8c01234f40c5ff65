"""Log of a run: a line a step in a file, and progress for people."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...core.errors import InputError
from ...core.progress import Progress, duration
from ..config import LossConfig
from .data import ShardRows
from .step import PER_SAMPLE, PretrainStep, learning_rate

__all__ = ["Interval", "StepLog", "losses", "sync_interval"]

_LOOK = {"cpu": 1, "cuda": 50}  # steps between looks at the losses: each look waits for the device
_LINE_SECONDS = 60.0
_LOGGED = ("loss", *PER_SAMPLE, "grad_norm")


def sync_interval(device: torch.device) -> int:
    """Return the number of steps between reads of the losses.

    Each read waits for the GPU.
    """
    return _LOOK[device.type]


class StepLog:
    """The log of a run.

    It collects results on the device, checks and writes them, and reports progress.

    Every rank holds one, since all see the same results; only the first writes and reports.

    Parameters
    ----------
    write : adds lines to log.jsonl; None: only check
    start : steps that were done before this call
    report : gets lines of progress where there is no terminal to draw a bar on
    """

    def __init__(
        self,
        write: Callable[..., None] | None,
        training: PretrainStep,
        data: ShardRows,
        start: int,
        report: Callable[[str], None],
        more: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.write, self.training, self.data, self.report, self.more = (
            write,
            training,
            data,
            report,
            more,
        )
        self.waiting: list[tuple[int, dict[str, Tensor]]] = []
        self.epoch: list[dict[str, Any]] = []  # this epoch's lines
        self.start, self.begun = start, time.monotonic()
        self.flushed, self.line = self.begun, Interval(_LINE_SECONDS)
        plan = training.plan
        self.bar = Progress(plan.steps - start, "steps", parts=(plan.batch, "samples"))
        self.draws = write is not None and sys.stderr.isatty()

    def __enter__(self) -> StepLog:
        if self.draws:
            self.bar.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.__exit__(None, None, None)

    def add(self, step: int, result: dict[str, Tensor]) -> None:
        """Add the result of a step.

        It is read at once or, on a GPU, once in a while and after each epoch.
        """
        self.waiting.append((step, result))
        epoch_done = (step + 1) % self.training.plan.steps_per_epoch == 0
        # a read waits for the GPU, so many steps share one
        if epoch_done or len(self.waiting) >= sync_interval(self.training.device):
            self.flush()
        if epoch_done or self.line.due():
            self.flush()
            if not self.draws:
                self.report(self._progress(step))
            self.epoch = [] if epoch_done else self.epoch
            self.line = Interval(_LINE_SECONDS)

    def flush(self) -> None:
        """Check and write what waits.

        Raises
        ------
        InputError : a loss or the gradient is not finite; the log cannot be written
        """
        if not self.waiting:
            return
        # one tensor for all waiting steps: a single read of the device
        steps = [
            torch.stack([result[name].mean() for name in _LOGGED]) for _, result in self.waiting
        ]
        values = torch.stack(steps).tolist()  # the one look at the device
        now = time.monotonic()
        rate = len(steps) * self.training.plan.batch / max(now - self.flushed, 1e-9)
        waiting, self.waiting, self.flushed = self.waiting, [], now
        lines: list[dict[str, Any]] = []
        try:
            for (step, result), means in zip(waiting, values, strict=True):
                lines.append({**self._line(step, result, means), "samples_per_s": round(rate, 2)})
        finally:  # what is sound before a loss that is not
            self._write(lines)
        if self.draws:
            self.bar.note = f"loss {self.epoch[-1]['loss']:.5f}"
            self.bar.advance(len(values))

    def _write(self, lines: list[dict[str, Any]]) -> None:
        self.epoch += lines
        if self.write is not None:
            self.write(*lines)
        if self.more is not None:
            for line in lines:
                self.more(line)

    def _line(self, step: int, result: dict[str, Tensor], values: list[float]) -> dict[str, Any]:
        means = dict(zip(_LOGGED, values, strict=True))
        if not math.isfinite(means["loss"]) or not math.isfinite(means["grad_norm"]):
            raise InputError(self._not_finite(step, result))
        plan = self.training.plan
        rate = learning_rate(step, plan, self.training.config.optimiser)
        return {"step": step + 1, "epoch": plan.epoch(step) + 1, **means, "lr": rate}

    def _not_finite(self, step: int, result: dict[str, Tensor]) -> str:
        bad = {name: ~result[name].isfinite() for name in ("loss_lmr", "loss_gsa")}  # (B,) each
        losses = [name for name, where in bad.items() if bool(where.any())] or ["the gradient"]
        where = bad["loss_lmr"] | bad["loss_gsa"]
        # where only the gradient is bad, any of the rows may be the cause
        which = result["rows"][where if bool(where.any()) else slice(None)].tolist()
        return (
            f"step {step + 1} (epoch {self.training.plan.epoch(step) + 1}): "
            f"{' and '.join(losses)} is not finite, "
            f"in {self.data.describe(which)}. The last checkpoint stands. Look at these rows with "
            "`cma3d inspect`; if they are sound, start a new run with a lower learning_rate or "
            "clip_norm"
        )

    def _progress(self, step: int) -> str:
        plan, config = self.training.plan, self.training.config
        mean = {
            name: sum(line[name] for line in self.epoch) / len(self.epoch) for name in self.epoch[0]
        }
        seconds = (time.monotonic() - self.begun) / (step + 1 - self.start)
        parts = [f"epoch {plan.epoch(step) + 1}/{plan.epochs}", f"step {step + 1}/{plan.steps}"]
        parts += [
            f"loss {mean['loss']:.5f}",
            *(f"{name[5:]} {mean[name]:.5f}" for name in losses(config.losses)),
        ]
        parts += [f"retrieval {mean['retrieval']:.0%}"] * config.losses.contrasts
        parts += [f"masked {mean['mask_ratio']:.0%}", f"{plan.batch / seconds:.1f} samples/s"]
        return "  ".join([*parts, f"{duration(seconds * (plan.steps - step - 1))} left"])


class Interval:
    """A timer: true at most once in a number of seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.last = seconds, time.monotonic()

    def due(self) -> bool:
        """Check whether the time has passed since the last time this was true."""
        now = time.monotonic()
        if now - self.last < self.seconds:
            return False
        self.last = now
        return True


def losses(config: LossConfig) -> tuple[str, ...]:
    """Name the log's losses that are trained."""
    return ("loss_lmr",) * config.reconstructs + ("loss_gsa",) * config.contrasts
