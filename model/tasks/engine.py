"""The training loop of the tasks: steps, measurements, checkpoints.

Measurements follow each epoch; a stopped run resumes exactly.

As in pretraining, a step is a function of the state before it and of its number. A run's folder
holds what `model.run` says; its log has a line an epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ...core.errors import InputError
from ...core.progress import duration
from ...core.untrusted import shown
from ..noise import sample_seeds
from ..norm import reset_running_stats
from ..train.data import EpochPlan
from ..train.log import Interval
from ..train.pretraining import stop_between_steps
from ..train.run_folder import RunFolder
from ..train.step import learning_rate, parameter_groups
from ..weights.checkpoint import part, restore
from ..weights.tensors import check_weights
from .config import TrainConfig

__all__ = ["TaskRun", "TrainingTask", "autocast", "train"]

_LINE_SECONDS = 20.0
State = dict[str, Tensor]


class TrainingTask(Protocol):
    """A network, its training data and its measurements."""

    @property
    def network(self) -> nn.Module:
        """Return the network, on its device."""

    @property
    def rows(self) -> int:
        """Return the number of shapes that are learned from."""

    @property
    def chooses(self) -> dict[str, str]:
        """Return the measure that chooses each of the kept weights.

        Such as {"best_on_test": "test"}: the highest value on test chooses them.
        """

    def loss(self, rows: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and accuracy, () each, of shapes (B,) with their seeds (B,)."""

    def measure(self) -> dict[str, float]:
        """Measure the network on shapes outside of the training."""


class TaskRun:
    """The weights at the end of a run and those that it kept.

    Each name has an epoch and weights.
    """

    def __init__(self, final: tuple[int, State], kept: dict[str, dict[str, Any]]) -> None:
        self.epochs = {"final": final[0]} | {
            name: int(each["epoch"]) for name, each in kept.items()
        }
        self.weights = {"final": final[1]} | {name: each["weights"] for name, each in kept.items()}


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Autocast to bfloat16 if the precision asks for it.

    "auto" asks for it on a GPU that supports it.
    """
    able = device.type == "cuda" and torch.cuda.is_bf16_supported()
    low = precision == "bfloat16" or (precision == "auto" and able)
    return torch.autocast(device.type, torch.bfloat16, enabled=low)


def train(
    work: TrainingTask,
    config: TrainConfig,
    folder: RunFolder,
    device: torch.device,
    report: Callable[[str], None],
) -> TaskRun:
    """Train a task, from its checkpoint if there is one.

    Parameters
    ----------
    work : network, already on the device, and data
    folder : of the run, held
    report : gets lines of progress

    Raises
    ------
    InputError : a loss that is not finite; a damaged checkpoint
    """
    loop = TaskTrainer(work, config, folder, device, report)
    start = loop.resume()
    # steps seed torch's generators; the caller gets its own state back
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        stop_between_steps() as signals,
    ):
        save = Interval(config.checkpoint_seconds)
        for step in range(start, loop.plan.steps):
            loop.step(step)
            last = step + 1 == loop.plan.steps
            if save.due() or last or signals:
                loop.check(step)
                folder.save(step + 1, loop.state())
            if signals and not last:
                raise KeyboardInterrupt
    # a copy: the caller loads kept weights into the same network later
    final = {name: value.clone() for name, value in work.network.state_dict().items()}
    return TaskRun((config.epochs, final), loop.kept)


class TaskTrainer:
    """The state of a training run that a step changes."""

    def __init__(
        self,
        work: TrainingTask,
        config: TrainConfig,
        folder: RunFolder,
        device: torch.device,
        report: Callable[[str], None],
    ) -> None:
        self.work, self.config, self.folder, self.device, self.report = (
            work,
            config,
            folder,
            device,
            report,
        )
        self.plan = EpochPlan(
            work.rows, min(config.batch_size, work.rows), config.epochs, config.seed
        )
        groups = parameter_groups(work.network, config.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
        self.sums = torch.zeros(2, device=device)  # of losses and of shares right, in this epoch
        self.kept: dict[str, dict[str, Any]] = {}
        self.line, self.begun, self.first = Interval(_LINE_SECONDS), time.monotonic(), 0

    def resume(self) -> int:
        """Load the checkpoint, if any, and return the number of steps done."""
        state = self.folder.load(self.plan.steps)
        steps = 0 if state is None else int(state["step"])
        if state is None:
            # The encoder's are of other shapes, and wrong where few steps of torch's own norms made
            # them.
            reset_running_stats(self.work.network)
        else:
            self.folder.restore(state, self._load)
            self.report(f"from step {steps} of {self.plan.steps} on")
        self.folder.truncate(steps, self.plan.steps_per_epoch)
        self.first = steps
        return steps

    def _load(self, state: dict[str, Any]) -> None:
        check_weights({"sums": self.sums}, {"sums": state.get("sums")})
        kept = part(state, "kept")
        for name in kept:
            self._check_kept(name, part(kept, name))
        restore(self.work.network, self.optimizer, state)
        self.sums = state["sums"].to(self.device)
        self.kept = kept

    def _check_kept(self, name: str, entry: dict[Any, Any]) -> None:
        """Check the weights that a checkpoint kept; raises ValueError."""
        score, epoch = entry.get("score"), entry.get("epoch")
        if name not in self.work.chooses:
            raise ValueError(f"it has kept weights of no measure: {shown(name)}")
        if type(score) is not float or not math.isfinite(score):
            raise ValueError(f"the weights {name} have no score")
        if type(epoch) is not int or not 1 <= epoch <= self.config.epochs:
            raise ValueError(f"the weights {name} have no epoch")
        check_weights(self.work.network.state_dict(), part(entry, "weights"), f"{name}: ")

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        network, optimizer = self.work.network.state_dict(), self.optimizer.state_dict()
        return {"network": network, "optimizer": optimizer, "sums": self.sums, "kept": self.kept}

    def step(self, step: int) -> None:
        """Make one step, and what follows at the end of an epoch."""
        epoch = self.plan.epoch(step)
        rate = learning_rate(step, self.plan, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        rows = torch.tensor(self.plan.step_rows(step), device=self.device)
        # a step's dropout follows from its number, so a resumed run repeats it
        torch.manual_seed(self.config.seed * 1_000_003 + step)  # what the head drops
        self.work.network.train()
        with autocast(self.device, self.config.precision):
            loss, right = self.work.loss(rows, sample_seeds(self.config.seed, epoch, rows))
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.work.network.parameters(), self.config.clip_norm or math.inf)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        # sums stay on the device: no step waits for it
        self.sums += torch.stack([loss.detach().float(), right.float()])
        if (step + 1) % self.plan.steps_per_epoch == 0:
            self._end_epoch(step, epoch + 1, rate)

    def check(self, step: int) -> None:
        """Refuse to go on, or to save, after a loss that is not finite."""
        if not math.isfinite(float(self.sums[0])):
            raise InputError(
                f"epoch {self.plan.epoch(step) + 1}: the loss is not finite; "
                f"the last checkpoint stands. "
                "Start a new run with a lower learning_rate or clip_norm"
            )

    def _end_epoch(self, step: int, epoch: int, rate: float) -> None:
        """Measure, keep the best, write the line."""
        self.check(step)
        # one read of the device an epoch
        loss, right = (self.sums / self.plan.steps_per_epoch).tolist()
        self.sums.zero_()
        measured: dict[str, float] = {}
        if epoch % self.config.measure_every == 0 or epoch == self.config.epochs:
            measured = self.work.measure()
            self._keep(epoch, measured)
        line = {
            "step": step + 1,
            "epoch": epoch,
            "loss": loss,
            "train": right,
            **measured,
            "lr": rate,
        }
        self.folder.append(self.folder.log, line)
        if self.line.due() or epoch in (1, self.config.epochs):
            self._tell(step, line, measured)

    def _keep(self, epoch: int, measured: dict[str, float]) -> None:
        """Keep the best weights so far by each measure.

        Of equal scores the last wins, which learned longest.
        """
        for name, measure in self.work.chooses.items():
            score = measured.get(measure)
            if score is not None and (name not in self.kept or score >= self.kept[name]["score"]):
                # on the CPU, so that they take no memory of the GPU
                weights = {
                    key: value.detach().cpu().clone()
                    for key, value in self.work.network.state_dict().items()
                }
                self.kept[name] = {"score": score, "epoch": epoch, "weights": weights}

    def _tell(self, step: int, line: dict[str, Any], measured: dict[str, float]) -> None:
        seconds = (time.monotonic() - self.begun) / (step + 1 - self.first)
        shares = {"train": line["train"], **measured}
        parts = [f"epoch {line['epoch']}/{self.config.epochs}", f"loss {line['loss']:.4f}"]
        parts += [f"{name.replace('_', ' ')} {100 * value:.1f} %" for name, value in shares.items()]
        parts += [
            f"{self.plan.batch / seconds:.0f} shapes/s",
            f"{duration(seconds * (self.plan.steps - step - 1))} left",
        ]
        self.report("  ".join(parts))
