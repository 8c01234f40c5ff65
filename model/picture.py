"""The loss curve of a run as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

__all__ = ["draw_losses", "epoch_means"]

_TITLES = {
    "loss_lmr": "local mask reconstruction: Chamfer distance, squared",
    "loss_gsa": "global semantic alignment: InfoNCE",
}


def epoch_means(log: list[dict[str, Any]], name: str) -> NDArray[np.float64]:
    """Give the mean over each epoch's steps: (epochs,) float64."""
    epochs = np.array([line["epoch"] for line in log]) - 1
    values = np.array([line[name] for line in log], dtype=np.float64)
    means: NDArray[np.float64] = np.bincount(epochs, values) / np.maximum(np.bincount(epochs), 1)
    return means


def draw_losses(log: list[dict[str, Any]], path: Path, *, losses: tuple[str, ...]) -> None:
    """Draw each loss over the epochs, every step faintly and the epochs' means boldly.

    Parameters
    ----------
    log : lines of log.jsonl, at least one
    path : PNG to write
    losses : names of the log's losses, one panel each
    """
    figure = Figure(figsize=(8, 3.2 * len(losses)), layout="constrained")
    FigureCanvasAgg(figure)
    per_epoch = max(sum(line["epoch"] == log[0]["epoch"] for line in log), 1)
    at = np.array([line["step"] for line in log]) / per_epoch
    for i, name in enumerate(losses):
        axes = figure.add_subplot(len(losses), 1, i + 1)
        means = epoch_means(log, name)
        axes.plot(at, [line[name] for line in log], color="tab:blue", alpha=0.3, linewidth=0.8, label="step")
        axes.plot(np.arange(len(means)) + 0.5, means, color="tab:blue", linewidth=1.8, label="mean of an epoch")
        axes.set_title(_TITLES[name], loc="left", fontsize=10)
        axes.set_yscale("log" if name == "loss_lmr" else "linear")
        axes.set_ylabel("loss")
        axes.grid(visible=True, which="both", alpha=0.25)
        axes.legend(frameon=False, fontsize=8)
    axes.set_xlabel("epoch")
    figure.savefig(path, format="png", dpi=120)
