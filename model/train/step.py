"""Network, optimiser and schedule of a run: all that a step changes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ...core.errors import InputError
from ..config import PretrainConfig
from ..distributed import ProcessGroup, all_gather
from ..network import CrossAlignNet
from ..noise import sample_seeds
from ..weights.checkpoint import restore
from .data import Batch, EpochPlan

__all__ = ["PER_SAMPLE", "PretrainStep", "choose_device", "learning_rate"]

PER_SAMPLE = ("loss_lmr", "loss_gsa", "mask_ratio", "retrieval")
"""The values of each sample that a step returns, see `CrossAlignNet.loss`."""


class PretrainStep:
    """The pretraining step: network, optimiser and schedule.

    Parameters
    ----------
    config : settings
    shard_size : (H, W) of the shards' images
    plan : which rows make which step
    group : this process, its device, and those that train with it

    Attributes
    ----------
    network : the network itself, whatever is wrapped around it
    bfloat16 : whether matrix products are computed in it
    compiled : whether the network runs compiled; known after `prepare`
    """

    def __init__(
        self,
        config: PretrainConfig,
        shard_size: tuple[int, int],
        plan: EpochPlan,
        group: ProcessGroup,
    ) -> None:
        self.config, self.plan, self.group, self.device = config, plan, group, group.device
        optimiser = config.optimiser
        # initial weights follow from the seed
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers are left alone
            torch.manual_seed(optimiser.seed)
            self.network = CrossAlignNet(config, shard_size)
        # weights are drawn on the CPU and moved: the same ones on every device
        self.network.to(self.device).train()
        self.parameters = sum(parameter.numel() for parameter in self.network.parameters())
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.network, optimiser.weight_decay),
            lr=optimiser.learning_rate,
            fused=True,
        )
        self.bfloat16 = optimiser.precision == "bfloat16" or (
            optimiser.precision == "auto"
            and self.device.type == "cuda"
            and torch.cuda.is_bf16_supported()
        )
        self.compiled = False
        self._module: nn.Module | None = None

    def prepare(self, batch: Batch, report: Callable[[str], None]) -> None:
        """Compile the network, if wanted, and join it with the other processes.

        To be called before the first step.

        Compiling is tried on a batch, both ways; what fails is said, and the network runs as it is.
        The trial leaves no trace.
        """
        module: nn.Module = self.network
        compiles = self.config.run.compile == "on" or (
            self.config.run.compile == "auto" and self.device.type == "cuda"
        )
        if compiles:
            compiled = cast(nn.Module, torch.compile(self.network, dynamic=False))
            failure = self._try(compiled, batch)
            # all processes run compiled, or none does
            self.compiled = not self.group.any(failure is not None)
            if self.compiled:
                module = compiled
            else:
                report(
                    f"torch.compile fails, so it runs without: {failure or 'on another process'}"
                )
        if self.group.size > 1:
            devices = [self.device.index] if self.device.type == "cuda" else None
            # batch norms see all ranks' rows, so their buffers are alike without a broadcast
            module = DistributedDataParallel(
                module, device_ids=devices, broadcast_buffers=False, gradient_as_bucket_view=True
            )
        self._module = module

    def _try(self, module: nn.Module, batch: Batch) -> str | None:
        """Try a module forwards and backwards; return the reason if it fails.

        What the trial changes is undone.
        """
        # running statistics change in a trial and are put back
        buffers = {name: buffer.clone() for name, buffer in self.network.named_buffers()}
        try:
            self._forward(module, 0, batch)["loss"].backward()  # type: ignore[no-untyped-call]
        except (
            Exception
        ) as error:  # a missing compiler, a broken driver, a fault of torch: all end alike
            return " ".join(f"{type(error).__name__}: {error}".split())[:300]
        finally:
            for name, buffer in self.network.named_buffers():
                buffer.copy_(buffers[name])
            self.optimizer.zero_grad(set_to_none=True)
        return None

    def _forward(self, module: nn.Module, step: int, batch: Batch) -> dict[str, Tensor]:
        # masks and dropped branches follow from these: (B,)
        seeds = sample_seeds(self.config.optimiser.seed, self.plan.epoch(step), batch["rows"])
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            result: dict[str, Tensor] = module({**batch, "seeds": seeds})
        return result

    def step(self, step: int, batch: Batch) -> dict[str, Tensor]:
        """Make one step.

        Parameters
        ----------
        step : its number, from 0
        batch : this rank's rows, see `ShardRows.__getitems__`

        Returns
        -------
        result : `loss`, `grad_norm`, () float32; `rows` (B,) int64; and PER_SAMPLE, (B,) float32
            each, of the rows of all ranks. On the device, nothing waited for
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, self.plan, self.config.optimiser)
        module = self.network if self._module is None else self._module
        result = self._forward(module, step, batch)
        result["loss"].backward()  # type: ignore[no-untyped-call]
        # the norm is measured, and logged, without a limit, too
        limit = self.config.optimiser.clip_norm or math.inf
        grad_norm = nn.utils.clip_grad_norm_(self.network.parameters(), limit)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        # all processes see the same results, so they decide alike
        loss = all_gather(result["loss"].detach()[None]).mean()
        # stacked, so that one exchange serves all four: (rows of all ranks, 4)
        samples = all_gather(
            torch.stack([result[name].detach() for name in PER_SAMPLE], dim=1)
        ).unbind(1)
        return {
            "loss": loss,
            "grad_norm": grad_norm.detach(),
            "rows": all_gather(batch["rows"]),
            **dict(zip(PER_SAMPLE, samples, strict=True)),
        }

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Take over a checkpoint's state, whole or not at all; see `checkpoint.restore`."""
        restore(self.network, self.optimizer, state)

    @property
    def words(self) -> str:
        """Describe the device, the precision and the size of the network."""
        how = ["bfloat16" if self.bfloat16 else "float32"] + ["compiled"] * self.compiled
        where = str(self.device) + (
            f" and {self.group.size - 1} more" if self.group.size > 1 else ""
        )
        return f"{self.parameters:,} parameters on {where}, {', '.join(how)}"


def choose_device(name: str) -> torch.device:
    """Return the device of a name: auto, cpu or cuda.

    Raises
    ------
    InputError : cuda is asked for and there is none
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "device = cuda, but torch finds no CUDA device: give --device cpu, "
            "or install torch for CUDA"
        )
    return torch.device(
        "cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu"
    )


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split parameters for AdamW into those that decay and the others.

    Matrices decay; biases, norms, positions and mask tokens do not.
    """
    # a norm's scale is named `weight`, too, so the type of the layer decides
    matrices = {
        id(module.weight)
        for module in network.modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    }
    decayed = [parameter for parameter in network.parameters() if id(parameter) in matrices]
    others = [parameter for parameter in network.parameters() if id(parameter) not in matrices]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


class Schedule(Protocol):
    """The settings that decide the learning rate.

    Those of pretraining and of the tasks have them.
    """

    @property
    def learning_rate(self) -> float:
        """Highest learning rate."""

    @property
    def final_learning_rate(self) -> float:
        """Learning rate before the warm-up and after the cosine."""

    @property
    def warmup_epochs(self) -> int:
        """Epochs of linear warm-up; at most half of all."""


def learning_rate(step: int, plan: EpochPlan, schedule: Schedule) -> float:
    """Return a step's learning rate.

    Linear warm-up, then a cosine down to the final rate.
    """
    low, high = schedule.final_learning_rate, schedule.learning_rate
    warmup = min(schedule.warmup_epochs, plan.epochs / 2) * plan.steps_per_epoch
    # the warm-up ends at the highest rate, one step after its last
    if step < warmup:
        return low + (high - low) * (step + 1) / (warmup + 1)
    return (
        low + (high - low) * (1 + math.cos(math.pi * (step - warmup) / (plan.steps - warmup))) / 2
    )
