"""Monitoring of a run: linear probes, reconstructions, curves, a page.

TensorBoard's files are written on demand.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ...core.errors import InputError, needs
from ...core.settings import by_name
from ..train.data import BatchSource
from ..train.log import losses
from ..train.run_folder import RunFolder, naming_failures
from ..train.step import PretrainStep
from .linear_probe import probe
from .pictures import draw_curves, draw_reconstructions
from .run_page import page_text
from .snapshot import Snapshot, epochs_shown, fixed_rows, reconstruct

__all__ = ["TensorBoardLog", "Watch", "draw_run"]


class Watch:
    """Monitor of the network between epochs.

    It changes nothing in the training.

    A probe or a reconstruction belongs to a number of steps done. Whatever is due at a step and not
    there yet is made, so a resumed run has all of them.

    Parameters
    ----------
    report : gets a line for each probe
    """

    def __init__(
        self,
        training: PretrainStep,
        feed: BatchSource,
        folder: RunFolder,
        board: TensorBoardLog,
        report: Callable[[str], None],
    ) -> None:
        self.training, self.feed, self.folder, self.board, self.report = (
            training,
            feed,
            folder,
            board,
            report,
        )
        self.probed = {line["step"] for line in folder.read_lines(folder.probes)}
        self.probes = True

    def observe(self, steps: int) -> None:
        """Probe and reconstruct with the network after `steps` steps, if either is due."""
        plan, config = self.training.plan, self.training.config
        epoch, within = divmod(steps, plan.steps_per_epoch)
        if within:
            return

        def due(every: int) -> bool:
            return every > 0 and (epoch % every == 0 or epoch == plan.epochs)

        if due(config.run.picture_epochs) and config.losses.reconstructs:
            self._reconstruct(epoch)
        if due(config.run.probe_epochs) and steps not in self.probed and self.probes:
            self._probe(steps, epoch)

    def _reconstruct(self, epoch: int) -> None:
        path = self.folder.snapshots / f"epoch-{epoch:05}.npz"
        if path.exists():
            return
        network, rows = self.training.network, fixed_rows(self.training.plan.rows)
        # the run's seed, and epoch 0 each time: the masks stay the same over the run
        snapshot = reconstruct(
            network, self.feed.take(rows), seed=self.training.config.optimiser.seed
        )
        self.folder.write(f"{path.parent.name}/{path.name}", snapshot.as_npz())

    def _probe(self, steps: int, epoch: int) -> None:
        try:
            import sklearn  # noqa: F401 - training itself goes on without
        except ImportError as error:
            self.probes = False
            self.report(f"no linear probe: {needs('scikit-learn', 'train', error)}")
            return
        outcome = probe(
            self.training.network.point_encoder, self.feed, self.training.config.network
        )
        if outcome is None:
            self.probes = False
            self.report(
                "no linear probe: the shards hold too few categories with models to train it "
                "and to try it on"
            )
            return
        self.probed.add(steps)
        self.folder.append(self.folder.probes, {"step": steps, "epoch": epoch, **outcome})
        self.board.scalars({"probe": outcome["accuracy"]}, steps)
        self.report(
            f"linear probe at epoch {epoch}: {outcome['accuracy']:.1%} of "
            f"{outcome['test_rows']} held-out rows, "
            f"{outcome['categories']} categories; the most frequent one is {outcome['chance']:.1%}"
        )


class TensorBoardLog:
    """TensorBoard's files of a run; without a folder it does nothing.

    Parameters
    ----------
    folder : of the run, or None
    start : what earlier calls wrote of later steps is dropped

    Raises
    ------
    InputError : TensorBoard is not installed
    """

    def __init__(self, folder: RunFolder | None, start: int) -> None:
        self.writer: Any = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise needs("tensorboard", "tensorboard", error) from error
        # This one library opens its file by itself, always a new one: its name has the time, host
        # and process in it.
        with naming_failures(folder.board):
            place = folder.output.folder(folder.board.name)
            before = set(place.iterdir())
            self.writer = SummaryWriter(str(place), purge_step=start + 1)
            for path in set(place.iterdir()) - before:
                folder.output.adopt(f"{place.name}/{path.name}", live=True)

    def line(self, line: dict[str, Any]) -> None:
        """Write a line of the log."""
        self.scalars(
            {name: value for name, value in line.items() if name not in ("step", "epoch")},
            line["step"],
        )

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Write values of a step."""
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush everything to the disk."""
        if self.writer is not None:
            self.writer.close()


def draw_run(
    folder: RunFolder, training: PretrainStep, feed: BatchSource, *, finished: bool
) -> None:
    """Draw the run's curves and reconstructions, and the page that shows both."""
    log, probes = folder.read_lines(folder.log), folder.read_lines(folder.probes)
    if not log:
        return
    config = training.config
    curves = [
        *losses(config.losses),
        *["retrieval"] * config.losses.contrasts,
        *["probe"] * bool(probes),
        "mask_ratio",
        "lr",
    ]
    batch = training.plan.batch
    folder.write(
        folder.picture.name, lambda path: draw_curves(log, probes, path, curves=curves, batch=batch)
    )
    snapshots = read_snapshots(folder, training)
    if snapshots:
        rows = next(iter(snapshots.values())).rows.tolist()
        data = feed.data.shards.read(rows, ["rgb", "cam_from_obj"])
        folder.write(
            folder.reconstructions.name,
            lambda path: draw_reconstructions(snapshots, data["rgb"], data["cam_from_obj"], path),
        )
    facts = {**folder.facts, "config": by_name(folder.settings)}
    pictures = [path for path in (folder.picture, folder.reconstructions) if path.exists()]
    folder.write(folder.page.name, page_text(facts, log, probes, pictures, finished=finished))


def read_snapshots(folder: RunFolder, training: PretrainStep) -> dict[int, Snapshot]:
    """Read some of the run's reconstructions, by the number of epochs done.

    The first and the last are among them.

    Raises
    ------
    InputError : one that is damaged, or of another run
    """
    paths = {}
    for path in sorted(folder.snapshots.glob("epoch-*.npz")):
        number = re.fullmatch(r"epoch-(\d+)\.npz", path.name)
        if number:
            paths[int(number[1])] = path
    shown = (
        {epoch: Snapshot.load(paths[epoch]) for epoch in epochs_shown(sorted(paths))}
        if paths
        else {}
    )
    config = training.config.network
    expected = (config.patches, config.patch_points, training.network.num_cells)
    for epoch, snapshot in shown.items():
        sizes = (*snapshot.patches.shape[1:3], snapshot.masked_cells.shape[1])
        if snapshot.rows.tolist() != fixed_rows(training.plan.rows) or sizes != expected:
            raise InputError(
                f"{paths[epoch]} holds reconstructions of another run: remove it, it is made again"
            )
    return shown
