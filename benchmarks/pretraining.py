"""Speed of a pretraining step on this device, its share of the peak, and its parts.

    python benchmarks/pretraining.py [--config NAME] [--batch 128 512] [--steps 30] [--set
    name=value] [--shards DIR]

For each batch size, before and after torch.compile: full steps (forward, backward, clipping, AdamW)
on made-up rows on the device: samples/s, TFLOP/s, peak memory, the share of time outside of matrix
products, hours for the paper's recipe. Operations are counted from the shapes of the products, see
`cma3d model-info`. --shards measures the loader, too. Without arguments on a CPU: the small
network, batch 16, few steps.
"""

from __future__ import annotations

import argparse
import platform
import time
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from shapenet3d_cma.core.settings import assignments, read_settings
from shapenet3d_cma.model.commands import SHIPPED
from shapenet3d_cma.model.config import PretrainConfig
from shapenet3d_cma.model.distributed import ProcessGroup
from shapenet3d_cma.model.info import count_flops
from shapenet3d_cma.model.train.data import Batch, BatchSource, EpochPlan, ShardRows
from shapenet3d_cma.model.train.step import PretrainStep, choose_device

PEAKS = {  # dense bf16, TFLOP/s, from the makers' data sheets
    "H200": 989.0,
    "H100": 989.0,
    "A100": 312.0,
    "L40S": 362.0,
    "RTX A6000": 155.0,
    "RTX 4090": 165.0,
}
PRODUCTS = (
    "mm",
    "addmm",
    "bmm",
    "baddbmm",
    "convolution",
    "scaled_dot_product",
    "flash_attention",
    "efficient_attention",
)
PAPER_SAMPLES = 300 * (41_928 // 128 * 128)
POINTS, SIZE, WARM = 2048, 224, 5


def made_up(config: PretrainConfig, batch: int, device: torch.device) -> Batch:
    """Rows with the shapes and dtypes of real ones."""
    generator = torch.Generator().manual_seed(0)
    rows = {
        "rows": torch.arange(batch),
        "points": torch.randn(batch, POINTS, 3, generator=generator),
        "pixels": torch.randint(
            40, 184, (batch, config.network.patches, 2), generator=generator, dtype=torch.int32
        ),
        "rgb": torch.randint(
            0, 256, (batch, SIZE, SIZE, 3), generator=generator, dtype=torch.uint8
        ),
    }
    return {name: values.to(device) for name, values in rows.items()}


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def seconds_a_step(training: PretrainStep, batch: Batch, steps: int) -> float:
    """Mean over steps that wait for nothing in between."""
    for step in range(min(WARM, steps)):
        training.step(step, batch)
    wait(training.device)
    begun = time.perf_counter()
    for step in range(steps):
        training.step(step, batch)
    wait(training.device)
    return (time.perf_counter() - begun) / steps


def forward_seconds(training: PretrainStep, batch: Batch, passes: int) -> float:
    """Mean of a forward pass alone, without gradients."""
    data = {**batch, "seeds": batch["rows"]}
    with (
        torch.no_grad(),
        torch.autocast(training.device.type, torch.bfloat16, enabled=training.bfloat16),
    ):
        training.network(data)
        wait(training.device)
        begun = time.perf_counter()
        for _ in range(passes):
            training.network(data)
        wait(training.device)
    return (time.perf_counter() - begun) / passes


def outside_products(training: PretrainStep, batch: Batch) -> float:
    """Share of the device's time that goes into something else than matrix products."""
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (training.device.type == "cuda")
    with profile(activities=activities) as told:
        for step in range(3):
            training.step(step, batch)
        wait(training.device)
    name = "self_device_time_total" if training.device.type == "cuda" else "self_cpu_time_total"
    times = {event.key: getattr(event, name) for event in told.key_averages()}
    products = sum(
        spent
        for key, spent in times.items()
        if any(word in key.split("::")[-1] for word in PRODUCTS)
    )
    return 1 - products / max(sum(times.values()), 1e-9)


def measure(config: PretrainConfig, mine: ProcessGroup, steps: int, peak: float | None) -> None:
    """Print a line for one batch size, compiled or not."""
    plan = EpochPlan(10**6, config.optimiser.batch_size, 300, 0)
    training = PretrainStep(config, (SIZE, SIZE), plan, mine)
    batch = made_up(config, config.optimiser.batch_size, mine.device)
    if mine.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    begun = time.perf_counter()
    training.prepare(batch, print)
    compiling = time.perf_counter() - begun
    if config.run.compile == "on" and not training.compiled:
        return
    seconds = seconds_a_step(training, batch, steps)
    flops = count_flops(config, SIZE)[1] * config.optimiser.batch_size / seconds / 1e12
    memory = (
        f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB"
        if mine.device.type == "cuda"
        else "-"
    )
    rate = config.optimiser.batch_size / seconds
    print(
        f"{config.optimiser.batch_size:>6}  {'yes' if training.compiled else 'no':>8}  {rate:>9,.1f}  "
        f"{flops:>8.3f}  "
        f"{f'{flops / peak:.1%}' if peak else '-':>7}  {memory:>9}  "
        f"{outside_products(training, batch):>8.0%}  "
        f"{PAPER_SAMPLES / rate / 3600:>8.1f}  {compiling if training.compiled else 0:>8.1f}",
        flush=True,
    )


def loader(shards: Path, config: PretrainConfig, mine: ProcessGroup) -> None:
    """Print how many rows a second come from the files, and from memory."""
    data = ShardRows(shards, config)
    batch = min(config.optimiser.batch_size, len(data))
    for place, workers in (("files", 0), ("files", 1), ("files", 2), ("memory", 0)):
        plan = EpochPlan(len(data), batch, max(2, 2000 // len(data)), 0)
        feed = BatchSource(data, plan, config.replace(data=place, workers=workers).run, mine)
        feed.held()
        begun, rows = time.perf_counter(), 0
        for given in feed.steps(0):
            rows += len(given["rows"])
        print(f"{place}, {workers} workers: {rows / (time.perf_counter() - begun):,.0f} rows/s")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", help="paper, small, point-mae, contrast, or a TOML file")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--batch", type=int, nargs="+")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--shards", type=Path)
    parser.add_argument(
        "--peak", type=float, help="dense bf16 TFLOP/s of the card, where the table here lacks it"
    )
    parser.add_argument("--no-compile", action="store_true")
    words = parser.parse_args()
    given = assignments(words.set)
    device = choose_device(str(given.get("device", "auto")))
    cuda = device.type == "cuda"
    name = words.config or ("paper" if cuda else "small")
    config = read_settings(
        PretrainConfig, SHIPPED.get(name, Path(name)), {"image_size": SIZE, **given}
    )
    if config.run.threads:
        torch.set_num_threads(config.run.threads)
    mine = ProcessGroup(0, 1, device)
    card = (
        torch.cuda.get_device_name()
        if cuda
        else f"{platform.processor() or platform.machine()} CPU"
    )
    peak = words.peak or next((value for key, value in PEAKS.items() if key in card), None)
    print(f"{card}, torch {torch.__version__}, {torch.get_num_threads()} threads, network {name}")
    print(" batch  compiled  samples/s   TFLOP/s  of peak     memory   outside  hours to  compiled")
    print("                                                         products     paper   in s")
    batches = words.batch or ([128, 512] if cuda else [16])
    for batch in batches:
        for compiling in ("off",) if words.no_compile else ("off", "on"):
            each = config.replace(batch_size=batch, compile=compiling)
            measure(each, mine, words.steps or (30 if cuda else 4), peak)
    each = config.replace(batch_size=64 if cuda else batches[0])
    training = PretrainStep(each, (SIZE, SIZE), EpochPlan(10**6, each.batch_size, 300, 0), mine)
    seconds = forward_seconds(training, made_up(each, each.batch_size, device), 20 if cuda else 2)
    print(
        f"forward pass at batch {each.batch_size}: {seconds:.4f} s (table 9: 0.381 s at batch 64 "
        "on an RTX A6000)"
    )
    if words.shards:
        loader(words.shards, config, mine)


if __name__ == "__main__":
    main()
