"""`cma3d pretrain`: train CrossAlignNet on shards.

A step is a function of the state before it and of its number: rows, masks and dropped branches follow from
the seed (see `data.Plan` and `noise`). So a checkpoint is the network, the optimiser and a step, and a run
that was stopped anywhere goes on as if it had not been.
"""

from __future__ import annotations

import contextlib
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from .. import __version__
from ..errors import InputError, needs

try:
    import safetensors  # noqa: F401 - asked for here, so that its absence is told like torch's
    import torch
    from torch import Tensor, nn
except (ImportError, OSError) as error:  # OSError: a library that torch loads by itself
    name = getattr(error, "name", None) or "torch"
    raise needs(str(name).split(".")[0], "train", error) from error

from .config import PretrainConfig
from .data import Batch, Plan, ShardRows, batches
from .encoder import save_encoder
from .network import CrossAlignNet
from .noise import sample_seeds
from .picture import draw_losses, epoch_means
from .run import RunFolder, write_whole

__all__ = ["choose_device", "learning_rate", "pretrain"]

_FLUSH = {"cpu": 1, "cuda": 50}  # steps between looks at the losses: each look waits for the device
_LOGGED = ("loss", "loss_lmr", "loss_gsa", "mask_ratio", "grad_norm")
_PICTURE_SECONDS = _LINE_SECONDS = 60.0


def pretrain(shards: Path, run: Path, config: PretrainConfig, report: Callable[[str], None] = print) -> dict[str, Any]:
    """Pretrain CrossAlignNet; goes on where a run in the same folder was stopped.

    Parameters
    ----------
    shards : folder of shards
    run : folder of the run, see `run`; a new one, or one with the same settings and shards
    config : settings
    report : gets lines of progress

    Returns
    -------
    summary : epochs, steps, rows, parameters; first_loss and last_loss, means of the first and last epoch (NaN
        where someone removed the log); resumed_from, a step; seconds that this call trained; and the paths of
        what was written: run, log, picture, checkpoint, encoder

    Raises
    ------
    InputError : bad shards, settings or folder; a loss that is not finite
    """
    data = ShardRows(shards, config)
    plan = Plan(len(data), min(config.batch_size, len(data)), config.epochs, config.seed)
    training = Training(config, data.image_size, plan, choose_device(config.device))
    facts = {
        "rows": plan.rows,
        "steps": plan.steps,
        "parameters": training.parameters,
        "shards": str(shards),
        "versions": {"shapenet3d-cma": __version__, "torch": torch.__version__},
    }
    with threads(config.threads), RunFolder(run, config, data.fingerprint, facts) as folder:
        if plan.batch < config.batch_size:
            report(f"the shards hold {plan.rows} rows, fewer than batch_size = {config.batch_size}: a step takes all")
        start = resume(folder, training)
        if start == plan.steps:
            report(f"{run} is finished: {plan.epochs} epochs, {plan.steps} steps")
        else:
            report(
                f"{training.parameters:,} parameters on {training.device}; {plan.rows} rows, {plan.epochs} epochs of "
                f"{plan.steps_per_epoch} steps of {plan.batch} rows" + (f"; from step {start} on" if start else "")
            )
        begun = time.monotonic()
        train(training, data, folder, start, report)
        return finish(folder, training, seconds=time.monotonic() - begun, resumed_from=start)


class Training:
    """Network, optimiser and schedule of a run: all that a step changes.

    Parameters
    ----------
    config : settings
    shard_size : (H, W) of the shards' images
    plan : which rows make which step
    device : where to compute
    """

    def __init__(self, config: PretrainConfig, shard_size: tuple[int, int], plan: Plan, device: torch.device) -> None:
        self.config, self.plan, self.device = config, plan, device
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers are left alone
            torch.manual_seed(config.seed)
            self.network = CrossAlignNet(config, shard_size)
        self.network.to(device).train()
        self.parameters = sum(parameter.numel() for parameter in self.network.parameters())
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.network, config.weight_decay), lr=config.learning_rate, fused=True
        )

    def step(self, step: int, batch: Batch) -> dict[str, Tensor]:
        """Make one step.

        Parameters
        ----------
        step : its number, from 0
        batch : see `ShardRows.__getitems__`

        Returns
        -------
        result : see `CrossAlignNet.forward`, and `grad_norm`, (); on the device, nothing waited for
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, self.plan, self.config)
        seeds = sample_seeds(self.config.seed, self.plan.epoch(step), batch["rows"])
        result: dict[str, Tensor] = self.network({**batch, "seeds": seeds})
        result["loss"].backward()  # type: ignore[no-untyped-call]
        limit = self.config.clip_norm or math.inf
        result["grad_norm"] = nn.utils.clip_grad_norm_(self.network.parameters(), limit)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {name: value.detach() for name, value in result.items()}

    def state(self) -> dict[str, Any]:
        """Give what a checkpoint holds."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Take over a checkpoint's state."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])


def choose_device(name: str) -> torch.device:
    """Turn auto, cpu or cuda into a device.

    Raises
    ------
    InputError : cuda is asked for and there is none
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device = cuda, but torch finds no CUDA device: give --device cpu, or install torch for CUDA")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


@contextlib.contextmanager
def threads(number: int) -> Iterator[None]:
    """Compute with this many CPU threads, 0 for torch's own choice, and give back what was set before."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split parameters for AdamW: matrices decay; biases, norms, positions and mask tokens do not."""
    matrices = {id(module.weight) for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)}
    decayed = [parameter for parameter in network.parameters() if id(parameter) in matrices]
    others = [parameter for parameter in network.parameters() if id(parameter) not in matrices]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def learning_rate(step: int, plan: Plan, config: PretrainConfig) -> float:
    """Give a step's learning rate: linear warm-up, then a cosine down to the final rate."""
    low, high = config.final_learning_rate, config.learning_rate
    warmup = min(config.warmup_epochs, config.epochs / 2) * plan.steps_per_epoch
    if step < warmup:
        return low + (high - low) * (step + 1) / (warmup + 1)
    return low + (high - low) * (1 + math.cos(math.pi * (step - warmup) / (plan.steps - warmup))) / 2


def resume(folder: RunFolder, training: Training) -> int:
    """Load the checkpoint, if there is one, and cut the log there: the number of steps that are done."""
    state = folder.load()
    steps = 0 if state is None else int(state["step"])
    if state is not None:
        folder.restore(state, training.load)
    folder.cut_log(steps)
    return steps


@contextlib.contextmanager
def stop_between_steps() -> Iterator[list[int]]:
    """Note SIGINT and SIGTERM in the list that it gives, so that a step ends and is saved; a second one strikes."""
    asked: list[int] = []

    def ask(number: int, _: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    if threading.current_thread() is not threading.main_thread():  # only there may handlers be set
        yield asked
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train(training: Training, data: ShardRows, folder: RunFolder, start: int, report: Callable[[str], None]) -> None:
    """Make the steps from `start` to the end of the plan, with log, pictures, checkpoints and progress."""
    plan, config = training.plan, training.config
    if start == plan.steps:
        return
    steps = batches(data, plan, start, config, training.device)
    save, draw = Pace(config.checkpoint_seconds), Pace(_PICTURE_SECONDS)
    with folder.log.open("a", encoding="utf-8") as file, stop_between_steps() as asked:
        log = Log(file, training, data, start, report)
        for step, batch in enumerate(steps, start):
            log.add(step, batch["rows"], training.step(step, batch))
            last = step + 1 == plan.steps
            if save.due() or last or asked:
                log.flush()
                folder.save(step + 1, training.state())
            if asked and not last:
                raise KeyboardInterrupt
            if draw.due() and not last:
                log.flush()
                draw_run(folder, config)


class Log:
    """The log of a run: collects results on the device, checks them, writes them and reports progress.

    Parameters
    ----------
    file : log.jsonl, open for writing
    start : steps that were done before this call
    """

    def __init__(
        self, file: TextIO, training: Training, data: ShardRows, start: int, report: Callable[[str], None]
    ) -> None:
        self.file, self.training, self.data, self.report = file, training, data, report
        self.waiting: list[tuple[int, Tensor, dict[str, Tensor]]] = []
        self.epoch: list[dict[str, Any]] = []  # this epoch's lines
        self.start, self.begun = start, time.monotonic()
        self.flushed, self.line = self.begun, Pace(_LINE_SECONDS)

    def add(self, step: int, rows: Tensor, result: dict[str, Tensor]) -> None:
        """Take the result of a step; looks at it at once or, on a GPU, once in a while and after each epoch."""
        self.waiting.append((step, rows, result))
        epoch_done = (step + 1) % self.training.plan.steps_per_epoch == 0
        if epoch_done or len(self.waiting) >= _FLUSH[self.training.device.type]:
            self.flush()
        if epoch_done or self.line.due():
            self.flush()
            self.report(self._progress(step))
            self.epoch = [] if epoch_done else self.epoch
            self.line = Pace(_LINE_SECONDS)

    def flush(self) -> None:
        """Check and write what waits.

        Raises
        ------
        InputError : a loss or the gradient is not finite
        """
        if not self.waiting:
            return
        steps = [torch.stack([result[name].mean() for name in _LOGGED]) for _, _, result in self.waiting]
        values = torch.stack(steps).tolist()  # the one look at the device
        now = time.monotonic()
        rate = len(steps) * self.training.plan.batch / max(now - self.flushed, 1e-9)
        waiting, self.waiting, self.flushed = self.waiting, [], now
        for each in zip(waiting, values, strict=True):
            line = {**self._line(*each), "samples_per_s": round(rate, 2)}
            self.file.write(json.dumps(line) + "\n")
            self.epoch.append(line)
        self.file.flush()

    def _line(self, waiting: tuple[int, Tensor, dict[str, Tensor]], values: list[float]) -> dict[str, Any]:
        step, rows, result = waiting
        means = dict(zip(_LOGGED, values, strict=True))
        if not math.isfinite(means["loss"]) or not math.isfinite(means["grad_norm"]):
            raise InputError(self._not_finite(step, rows, result))
        plan = self.training.plan
        rate = learning_rate(step, plan, self.training.config)
        return {"step": step + 1, "epoch": plan.epoch(step) + 1, **means, "lr": rate}

    def _not_finite(self, step: int, rows: Tensor, result: dict[str, Tensor]) -> str:
        bad = {name: ~result[name].isfinite() for name in ("loss_lmr", "loss_gsa")}  # (B,) each
        losses = [name for name, where in bad.items() if bool(where.any())] or ["the gradient"]
        where = bad["loss_lmr"] | bad["loss_gsa"]
        which = rows[where if bool(where.any()) else slice(None)].tolist()
        return (
            f"step {step + 1} (epoch {self.training.plan.epoch(step) + 1}): {' and '.join(losses)} is not finite, "
            f"in {self.data.describe(which)}. The last checkpoint stands. Look at these rows with "
            "`cma3d inspect`; if they are sound, start a new run with a lower learning_rate or clip_norm"
        )

    def _progress(self, step: int) -> str:
        plan = self.training.plan
        mean = {name: sum(line[name] for line in self.epoch) / len(self.epoch) for name in self.epoch[0]}
        seconds = (time.monotonic() - self.begun) / (step + 1 - self.start)
        parts = [f"epoch {plan.epoch(step) + 1}/{plan.epochs}", f"step {step + 1}/{plan.steps}"]
        parts += [f"loss {mean['loss']:.5f}"] + [
            f"{name[5:]} {mean[name]:.5f}" for name in losses(self.training.config)
        ]
        parts += [f"masked {mean['mask_ratio']:.0%}", f"{plan.batch / seconds:.1f} samples/s"]
        return "  ".join([*parts, f"{duration(seconds * (plan.steps - step - 1))} left"])


class Pace:
    """Says when something is due that shall happen once in a while."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.last = seconds, time.monotonic()

    def due(self) -> bool:
        """Tell whether the time has passed since the last time this was true."""
        now = time.monotonic()
        if now - self.last < self.seconds:
            return False
        self.last = now
        return True


def duration(seconds: float) -> str:
    """Write seconds as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def losses(config: PretrainConfig) -> tuple[str, ...]:
    """Name the log's losses that are trained."""
    return ("loss_lmr",) * config.reconstructs + ("loss_gsa",) * config.contrasts


def draw_run(folder: RunFolder, config: PretrainConfig) -> None:
    """Draw the run's log."""
    log = folder.read_log()
    if log:
        write_whole(folder.picture, lambda path: draw_losses(log, path, losses=losses(config)))


def finish(folder: RunFolder, training: Training, *, seconds: float, resumed_from: int) -> dict[str, Any]:
    """Draw the losses, export the point encoder and sum up."""
    log = folder.read_log()
    draw_run(folder, training.config)
    encoder = training.network.point_encoder
    write_whole(folder.encoder, lambda path: save_encoder(encoder, training.config, path))
    means = epoch_means(log, "loss")
    return {
        "run": str(folder.folder),
        "epochs": training.plan.epochs,
        "steps": training.plan.steps,
        "rows": training.plan.rows,
        "parameters": training.parameters,
        "first_loss": float(means[0]) if log else math.nan,
        "last_loss": float(means[-1]) if log else math.nan,
        "resumed_from": resumed_from,
        "seconds": round(seconds, 3),
        "log": str(folder.log),
        "picture": str(folder.picture),
        "checkpoint": str(folder.checkpoint),
        "encoder": str(folder.encoder),
    }
