"""A pretraining run as saved: its settings and checkpoint.

The one reader of a run that somebody else may still train: the inspector takes the whole network
from here, the tasks take the point encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from ...core.errors import InputError
from ...core.untrusted import read_json
from ..config import PretrainConfig
from ..encoders import PointEncoder
from ..network import CrossAlignNet
from .checkpoint import first_line, part, read_checkpoint
from .tensors import fill, read_config

__all__ = ["MOST_ABOUT", "SavedRun", "read_run"]

MOST_ABOUT = 2**22
"""Most bytes of run.json and other descriptions of a run; they have some thousand."""
_DEPTHS = ("point_depth", "image_depth", "global_depth", "reconstruction_depth")
_PREFIX = "point_encoder."

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class SavedRun:
    """A run's settings and the network of its last checkpoint.

    Attributes
    ----------
    run : the folder
    config : settings
    weights : of the network, not checked yet
    step : number of steps done
    steps : of the whole run; `step` if run.json does not hold it
    """

    run: Path
    config: PretrainConfig
    weights: Mapping[Any, Any]
    step: int
    steps: int

    @property
    def checkpoint(self) -> Path:
        """Path of the checkpoint."""
        return self.run / "checkpoint.pt"

    def network(self, shard_size: tuple[int, int]) -> CrossAlignNet:
        """Return the whole network for images of (H, W) pixels, in evaluation.

        Raises
        ------
        InputError : the weights are not those of this network, or not finite
        """
        depths = {name: getattr(self.config.network, name) for name in _DEPTHS}
        make = lambda: CrossAlignNet(self.config, shard_size)  # noqa: E731 - called twice by `fill`
        return self._fill(make, self.weights, depths).eval()

    def encoder(self) -> PointEncoder:
        """Return the point encoder alone.

        Raises
        ------
        InputError : the weights are not those of this encoder, or not finite
        """
        names = [name for name in map(str, self.weights) if name.startswith(_PREFIX)]
        weights = {name.removeprefix(_PREFIX): self.weights[name] for name in names}
        sizes = self.config.network
        depths = {"point_depth": sizes.point_depth}
        return self._fill(lambda: PointEncoder(sizes), weights, depths)

    def _fill(
        self, make: Callable[[], Network], weights: Mapping[str, Any], depths: Mapping[str, int]
    ) -> Network:
        try:
            with torch.random.fork_rng(devices=[]):  # the caller's random numbers are left alone
                return fill(make, weights, depths)
        except ValueError as error:
            raise InputError(_unreadable(self.checkpoint, error)) from None


def read_run(run: Path) -> SavedRun:
    """Read a run's settings and its last checkpoint.

    Parameters
    ----------
    run : folder of a run, see `train.run_folder`

    Raises
    ------
    InputError : no run, no checkpoint yet, or a file that cannot be read
    """
    about, checkpoint = run / "run.json", run / "checkpoint.pt"
    try:
        content = read_json(about, most_bytes=MOST_ABOUT)
        config = read_config(content.get("config") if isinstance(content, dict) else None)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{run} is not a run folder: `cma3d pretrain SHARDS RUN` makes one"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{about} cannot be read: {first_line(error)}; give another RUN") from None
    if not checkpoint.is_file():
        raise InputError(
            f"{run} has no checkpoint yet: "
            "`cma3d pretrain` writes one every few minutes and at the end"
        )
    try:
        step, state = read_checkpoint(checkpoint)
        weights = part(state, "network")
    except (OSError, ValueError) as error:
        raise InputError(_unreadable(checkpoint, error)) from None
    # the checkpoint decides where run.json tells fewer steps than are done
    steps = content.get("steps")
    return SavedRun(
        run, config, weights, step, steps if type(steps) is int and steps >= step else step
    )


def _unreadable(path: Path, error: Exception) -> str:
    return f"{path} cannot be read ({first_line(error)}): restore it from a copy, or train again"
