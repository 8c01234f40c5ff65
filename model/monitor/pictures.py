"""A run as pictures: its curves, and reconstructions of fixed samples over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .snapshot import Snapshot

__all__ = ["draw_curves", "draw_reconstructions", "epoch_means"]

_TITLES = {
    "loss_lmr": "local mask reconstruction: Chamfer distance",
    "loss_gsa": "global semantic alignment: InfoNCE",
    "retrieval": "retrieval within the batch: image by cloud, cloud by image",
    "mask_ratio": "masked point patches, after the collision rule",
    "probe": "linear probe of the frozen encoder: accuracy on held-out models",
    "lr": "learning rate",
}
_SHARES = ("retrieval", "mask_ratio", "probe")


def epoch_means(log: list[dict[str, Any]], name: str) -> NDArray[np.float64]:
    """Return the mean over each epoch's steps: (epochs,) float64."""
    epochs = np.array([line["epoch"] for line in log]) - 1
    values = np.array([line[name] for line in log], dtype=np.float64)
    # an epoch that the log lacks gets 0, not a division by zero: (epochs,)
    means: NDArray[np.float64] = np.bincount(epochs, values) / np.maximum(np.bincount(epochs), 1)
    return means


def draw_curves(
    log: list[dict[str, Any]],
    probes: list[dict[str, Any]],
    path: Path,
    *,
    curves: Sequence[str],
    batch: int,
) -> None:
    """Draw curves over the epochs, every step faintly and the epochs' means boldly.

    Parameters
    ----------
    log : lines of log.jsonl, at least one
    probes : lines of probe.jsonl
    path : PNG to write
    curves : names of the log's values, a panel each; `probe` for the probes
    batch : rows a step, among which a retrieval by chance finds one
    """
    rows = -(-len(curves) // 2)
    figure = Figure(figsize=(13, 2.9 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    per_epoch = max(sum(line["epoch"] == log[0]["epoch"] for line in log), 1)
    for i, name in enumerate(curves):
        axes = figure.add_subplot(rows, 2, i + 1)
        axes.set_title(_TITLES[name], loc="left", fontsize=10)
        axes.set_yscale("log" if name == "loss_lmr" else "linear")
        if name == "probe":
            _draw_probes(axes, probes)
        else:
            _draw_steps(axes, log, name, per_epoch)
        if name == "retrieval":
            axes.axhline(
                1 / batch,
                color="tab:red",
                linewidth=1,
                linestyle=":",
                label=f"by chance: 1 of {batch}",
            )
        if name in _SHARES:
            axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        axes.grid(visible=True, which="both", alpha=0.25)
        axes.legend(frameon=False, fontsize=8)
        axes.set_xlabel("epoch", fontsize=9)
    figure.savefig(path, format="png", dpi=100)


def _draw_steps(axes: Axes, log: list[dict[str, Any]], name: str, per_epoch: int) -> None:
    lines = [line for line in log if name in line]
    if not lines:
        return
    at, means = np.array([line["step"] for line in lines]) / per_epoch, epoch_means(lines, name)
    axes.plot(
        at, [line[name] for line in lines], color="tab:blue", alpha=0.3, linewidth=0.8, label="step"
    )
    axes.plot(
        np.arange(len(means)) + 0.5,
        means,
        color="tab:blue",
        linewidth=1.8,
        label="mean of an epoch",
    )


def _draw_probes(axes: Axes, probes: list[dict[str, Any]]) -> None:
    at = [line["epoch"] for line in probes]
    axes.plot(
        at,
        [line["accuracy"] for line in probes],
        "o-",
        color="tab:green",
        markersize=4,
        label="frozen encoder",
    )
    first, chance = probes[0], probes[0]["chance"]
    if first["epoch"] == 0:
        label = f"before the first step: {first['accuracy']:.0%}"
        axes.axhline(first["accuracy"], color="grey", linewidth=1, linestyle="--", label=label)
    axes.axhline(
        chance,
        color="tab:red",
        linewidth=1,
        linestyle=":",
        label=f"most frequent category: {chance:.0%}",
    )
    axes.set_ylim(0, 1)


# ---- reconstructions ----


def draw_reconstructions(
    snapshots: dict[int, Snapshot],
    images: NDArray[np.uint8],
    cam_from_obj: NDArray[np.float64],
    path: Path,
) -> None:
    """Draw samples as masked, as completed at some epochs, and as they are.

    Parameters
    ----------
    snapshots : by the number of epochs that were done, in rising order; all of the same samples
    images : (B, H, W, 3) uint8
    cam_from_obj : (B, 4, 4) float64; clouds are drawn as the image's camera stood, without
        perspective
    path : PNG to write
    """
    first = next(iter(snapshots.values()))
    titles = [
        "image, as masked",
        "visible patches",
        *(f"epoch {epoch}" for epoch in snapshots),
        "truth",
    ]
    samples = len(first.rows)
    figure = Figure(figsize=(2.1 * len(titles), 2.2 * samples), layout="constrained")
    FigureCanvasAgg(figure)
    for i in range(samples):
        panels = [
            figure.add_subplot(samples, len(titles), i * len(titles) + j + 1)
            for j in range(len(titles))
        ]
        # the image as masked, then clouds as its camera sees them
        panels[0].imshow(masked_image(images[i], first.masked_cells[i]))
        turn, masked = cam_from_obj[i, :3, :3], first.masked[i]
        whole = (first.patches[i] + first.centres[i][:, None]) @ turn.T  # (G, K, 3)
        # one frame for all panels of a sample, so that clouds compare
        frame = _frame(whole)
        visible = whole[~masked]
        _draw_cloud(panels[1], visible, whole[:0], frame)
        for axes, snapshot in zip(panels[2:-1], snapshots.values(), strict=True):
            # predictions are relative to the centres: back to the cloud's frame
            predicted = snapshot.predicted[i][masked] + snapshot.centres[i][masked][:, None]
            _draw_cloud(axes, visible, predicted @ turn.T, frame)
        _draw_cloud(panels[-1], visible, whole[masked], frame)
        for axes, title in zip(panels, titles, strict=True):
            axes.set_axis_off()
            if i == 0:
                axes.set_title(title, fontsize=10)
    figure.savefig(path, format="png", dpi=100)


def masked_image(image: NDArray[np.uint8], masked: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Grey out the masked cells of an image.

    (H, W, 3) uint8 and (C,) bool, True = masked, to (H, W, 3) uint8.
    """
    height, width = image.shape[:2]
    # cells are square, so their number and the aspect ratio give the grid
    columns = round((len(masked) * width / height) ** 0.5)
    grid = masked.reshape(-1, columns)
    # the row and column of the grid that each pixel falls in
    v, u = np.arange(height) * grid.shape[0] // height, np.arange(width) * columns // width
    return np.where(grid[v][:, u][..., None], np.uint8(150), image)


def _frame(points: NDArray[Any]) -> tuple[float, float, float]:
    """Return the square that holds (..., 3) points as the camera sees them.

    Its middle (x, y) and half of its side.
    """
    low, high = points[..., :2].min((0, 1)), points[..., :2].max((0, 1))
    middle = (low + high) / 2
    # one side for both axes keeps proportions; a tenth is margin
    return float(middle[0]), float(middle[1]), float((high - low).max() / 2 * 1.1)


def _draw_cloud(
    axes: Axes, visible: NDArray[Any], masked: NDArray[Any], frame: tuple[float, float, float]
) -> None:
    """Draw visible points in grey, masked ones in colours of depth.

    The points are (..., 3), in the camera's axes.
    """
    x, y, half = frame
    visible, masked = visible.reshape(-1, 3), masked.reshape(-1, 3)
    axes.scatter(visible[:, 0], -visible[:, 1], s=1.2, c="#9aa3ad", linewidths=0)
    axes.scatter(masked[:, 0], -masked[:, 1], s=1.2, c=-masked[:, 2], cmap="viridis", linewidths=0)
    # y points down in the camera's axes and up in the plot
    axes.set_xlim(x - half, x + half)
    axes.set_ylim(-y - half, -y + half)
    axes.set_aspect("equal")
