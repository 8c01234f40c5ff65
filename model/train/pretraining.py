"""`cma3d pretrain`: train CrossAlignNet on shards.

On one device or, started by torchrun, on many.

A step is a function of the state before it and of its number: rows, masks and dropped branches
follow from the seed (see `data.EpochPlan` and `noise`). So a checkpoint is the network, the
optimiser and a step, and a run that was stopped anywhere goes on as if it had not been.
"""

from __future__ import annotations

import contextlib
import functools
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ... import __version__
from ...core.errors import InputError, needs
from ...core.outputs import check_file, stamp_text, write_file

try:
    import safetensors  # noqa: F401 - asked for here, so that its absence is told like torch's
    import torch
except (ImportError, OSError) as error:  # OSError: a library that torch loads by itself
    name = getattr(error, "name", None) or "torch"
    raise needs(str(name).split(".")[0], "train", error) from error

from ..config import PretrainConfig
from ..distributed import ProcessGroup, join_processes
from ..monitor.pictures import epoch_means
from ..monitor.watch import TensorBoardLog, Watch, draw_run
from ..weights.encoder import encoder_bytes, load_encoder, start_from
from .data import BatchSource, EpochPlan, ShardRows
from .log import Interval, StepLog, sync_interval
from .run_folder import RunFolder, refuse_foreign
from .step import PretrainStep, choose_device

__all__ = ["export_encoder", "pretrain"]

_PICTURE_SECONDS = 60.0
# what `export_encoder` writes; a run's own bears no such stamp, so none is exported over it
_EXPORTED = "encoder"


def pretrain(
    shards: Path, run: Path, config: PretrainConfig, report: Callable[[str], None] = print
) -> dict[str, Any]:
    """Pretrain CrossAlignNet; goes on where a run in the same folder was stopped.

    Parameters
    ----------
    shards : folder of shards
    run : folder of the run, see `run`; a new one, or one with the same settings and shards
    config : settings
    report : gets lines of progress

    Returns
    -------
    summary : epochs, steps, rows, parameters; first_loss and last_loss, means of the first and last
        epoch (NaN where someone removed the log); resumed_from, a step; seconds that this call
        trained; probe, the accuracy of the last linear probe or None; rank, of this process; and
        the paths of what was written: run, log, picture, page, checkpoint, encoder

    Raises
    ------
    InputError : bad shards, settings or folder; a loss that is not finite
    """
    with threads(config.run.threads), join_processes(choose_device(config.run.device)) as group:
        return _pretrain(shards, run, config, group, report if group.leads else _say_nothing)


def _say_nothing(_: str) -> None: ...


def _pretrain(
    shards: Path,
    run: Path,
    config: PretrainConfig,
    group: ProcessGroup,
    report: Callable[[str], None],
) -> dict[str, Any]:
    # everything that can be refused is, before the folder is made
    data = ShardRows(shards, config)
    plan = make_plan(data, config, group)
    training = PretrainStep(config, data.image_size, plan, group)
    init = Path(config.optimiser.init) if config.optimiser.init else None
    # refused before the run has a folder
    if init and not (run / "checkpoint.pt").exists():
        start_from(training.network.point_encoder, init)
    facts = {
        "rows": plan.rows,
        "steps": plan.steps,
        "parameters": training.parameters,
        "shards": str(shards),
        "versions": {"shapenet3d-cma": __version__, "torch": torch.__version__},
    }
    folder = RunFolder(run, config, data.fingerprint, facts, inputs=[shards, init])
    with contextlib.ExitStack() as stack:

        def enter() -> None:
            stack.enter_context(folder)
            refuse_foreign(folder.output, [folder.encoder.name])

        # the leading process claims the folder; the others learn the outcome
        group.share(enter)  # the first rank's alone; all learn whether it may
        if plan.batch < config.optimiser.batch_size:
            report(
                f"the shards hold {plan.rows} rows, fewer than batch_size = "
                f"{config.optimiser.batch_size}: {plan.batch} a step"
            )
        start = resume(folder, training, group)
        feed = BatchSource(data, plan, config.run, group)
        if start == plan.steps:
            report(f"{run} is finished: {plan.epochs} epochs, {plan.steps} steps")
        else:
            report(
                f"{training.words}; {plan.epochs} epochs of {plan.steps_per_epoch} steps of "
                f"{plan.batch} rows" + (f"; from step {start} on" if start else "")
            )
            report(feed.description)
        begun = time.monotonic()
        board = TensorBoardLog(folder if config.run.tensorboard and group.leads else None, start)
        stack.callback(board.close)
        watch = Watch(training, feed, folder, board, report) if group.leads else None
        train(training, feed, folder, start, watch, board, report)
        if watch is not None:
            watch.observe(plan.steps)
            finish(folder, training, feed)
        return summary(folder, training, seconds=time.monotonic() - begun, resumed_from=start)


def make_plan(data: ShardRows, config: PretrainConfig, group: ProcessGroup) -> EpochPlan:
    """Make the plan: the rows of each step.

    Raises
    ------
    InputError : a batch that cannot be shared evenly among the ranks
    """
    if config.optimiser.batch_size % group.size:
        raise InputError(
            f"batch_size = {config.optimiser.batch_size}, all processes together, "
            f"cannot be shared by {group.size}: "
            f"give a multiple of {group.size}"
        )
    optimiser = config.optimiser
    # few rows make a smaller batch, still one that all processes share evenly
    batch = min(optimiser.batch_size, len(data) // group.size * group.size)
    # the contrast needs a second row as a negative; several processes have one anyway
    if batch < group.size * (2 if config.losses.contrasts and group.size == 1 else 1):
        raise InputError(
            f"{data.folder} holds {len(data)} rows, too few for {group.size} processes: start fewer"
        )
    return EpochPlan(len(data), batch, optimiser.epochs, optimiser.seed)


@contextlib.contextmanager
def threads(number: int) -> Iterator[None]:
    """Set the number of CPU threads for a block; 0: torch's choice.

    The number from before is restored at the end.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def resume(folder: RunFolder, training: PretrainStep, group: ProcessGroup) -> int:
    """Load the checkpoint, if any, and return the number of steps done.

    The log is cut there, so that no step is logged twice.
    """
    state = group.share(lambda: folder.load(training.plan.steps))
    steps = 0 if state is None else int(state["step"])
    if state is not None:
        folder.restore(state, training.load)
    if group.leads:
        folder.truncate(steps, training.plan.steps_per_epoch)
    return steps


@contextlib.contextmanager
def stop_between_steps() -> Iterator[list[int]]:
    """Defer SIGINT and SIGTERM until the current step is saved.

    A second signal interrupts at once. Yields the list of received signals.
    """
    signals: list[int] = []

    def ask(number: int, _: object) -> None:
        if signals:
            raise KeyboardInterrupt
        signals.append(number)

    if threading.current_thread() is not threading.main_thread():  # only there may handlers be set
        yield signals
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train(
    training: PretrainStep,
    feed: BatchSource,
    folder: RunFolder,
    start: int,
    watch: Watch | None,
    board: TensorBoardLog,
    report: Callable[[str], None],
) -> None:
    """Run the steps from `start` to the end of the plan.

    With log, pictures, checkpoints and progress.

    Parameters
    ----------
    watch : of the first rank, which alone writes; None on the others
    """
    plan, group = training.plan, training.group
    if start == plan.steps:
        return
    save, draw = Interval(training.config.run.checkpoint_seconds), Interval(_PICTURE_SECONDS)
    with contextlib.ExitStack() as stack:
        write = functools.partial(folder.append, folder.log) if group.leads else None
        signals = stack.enter_context(stop_between_steps())
        log = stack.enter_context(
            StepLog(write, training, feed.data, start, report, more=board.line)
        )
        for step, batch in enumerate(feed.steps(start), start):
            # the first batch is also the one on which compiling is tried
            if step == start:
                training.prepare(batch, report)
            if watch is not None:
                # before step number `step`, as many steps are done
                watch.observe(step)
            log.add(step, training.step(step, batch))
            last = step + 1 == plan.steps
            # several processes agree on it, so that none waits for another in a step that this one
            # does not make
            agree = group.size == 1 or (step + 1) % sync_interval(training.device) == 0
            stop = agree and group.any(bool(signals))
            # losses are checked by the flush, so a checkpoint holds none that is not
            # finite
            if stop or last or (group.leads and save.due()):
                log.flush()
                if group.leads:
                    folder.save(step + 1, training.state())
            # a signal in the last step comes too late: the run is finished
            if stop and not last:
                raise KeyboardInterrupt
            # pictures cost seconds, so they are drawn by the clock
            if watch is not None and draw.due() and not last:
                log.flush()
                draw_run(folder, training, feed, finished=False)


def finish(folder: RunFolder, training: PretrainStep, feed: BatchSource) -> None:
    """Draw the run and export the point encoder."""
    draw_run(folder, training, feed, finished=True)
    folder.write(
        folder.encoder.name, encoder_bytes(training.network.point_encoder, training.config)
    )


def export_encoder(source: Path, out: Path) -> str:
    """Write an encoder as safetensors and return a line about it.

    Raises
    ------
    InputError : see `load_encoder`; the file cannot be written, or is there and no encoder that was
        exported before
    """
    check_file(out, _EXPORTED, [source])
    encoder, config = load_encoder(source)
    write_file(
        out, _EXPORTED, encoder_bytes(encoder, config, stamp_text(_EXPORTED)), inputs=[source]
    )
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    sizes = config.network
    return f"{out}: {parameters:,} parameters, {sizes.point_depth} blocks of width {sizes.width}"


def summary(
    folder: RunFolder, training: PretrainStep, *, seconds: float, resumed_from: int
) -> dict[str, Any]:
    """Sum up a run."""
    log, probes = folder.read_lines(folder.log), folder.read_lines(folder.probes)
    means = epoch_means(log, "loss")
    return {
        "run": str(folder.folder),
        "epochs": training.plan.epochs,
        "steps": training.plan.steps,
        "rows": training.plan.rows,
        "parameters": training.parameters,
        "first_loss": float(means[0]) if log else math.nan,
        "last_loss": float(means[-1]) if log else math.nan,
        "probe": probes[-1]["accuracy"] if probes else None,
        "rank": training.group.rank,
        "resumed_from": resumed_from,
        "seconds": round(seconds, 3),
        "log": str(folder.log),
        "picture": str(folder.picture),
        "page": str(folder.page),
        "checkpoint": str(folder.checkpoint),
        "encoder": str(folder.encoder),
    }
