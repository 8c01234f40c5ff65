"""The verbs of the paper's evaluation, from `finetune` to `ablate`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click

from ...core.errors import InputError
from ...core.progress import say
from ...core.settings import FOLDER, JOBS, WholeRange, options, read_settings
from ...core.streams import tell
from ..commands import SHIPPED
from ..config import PretrainConfig
from .config import FewShotConfig, FinetuneConfig, ProbeConfig, SegmentConfig, Task

__all__ = ["ablate", "evaluate", "fewshot", "finetune", "probe", "segment"]

RECIPES = {path.stem: path for path in Path(__file__).parent.glob("*.toml")}
"""The shipped files of settings for the tasks, by name."""


def task_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of all tasks: the encoder's source, and the number of reading processes."""
    command = JOBS(command)
    command = click.option(
        "--scratch", is_flag=True, help="Start at random; with --init in the same sizes."
    )(command)
    text = "A `cma3d pretrain` run, its encoder.safetensors, or Point-MAE's pretrain.pth."
    return click.option("--init", type=FOLDER, help=text)(command)


def recipe(config_file: Path | None, name: str) -> Path:
    """Return the file of settings: one by name, the user's own, or the task's shipped one."""
    return RECIPES.get(str(config_file), config_file) if config_file is not None else RECIPES[name]


@click.command()
@click.argument("run", type=FOLDER)
@click.option("--task", type=click.Choice(get_args(Task)[:4]), required=True, help="The benchmark.")
@click.option(
    "--data",
    type=FOLDER,
    required=True,
    help="At or above the benchmark's folder; its layout is found.",
)
@click.option(
    "--seeds",
    type=WholeRange(1),
    default=3,
    show_default=True,
    help="Runs, over which means are taken.",
)
@task_options
@options(FinetuneConfig)
def finetune(
    run: Path,
    task: Task,
    data: Path,
    seeds: int,
    init: Path | None,
    scratch: bool,
    jobs: int | None,
    config_file: Path | None,
    **values: Any,
) -> None:
    """Fine-tune a classifier on ModelNet40 or ScanObjectNN (tables 1 and 2).

    Runs and tables go to RUN. The table has three accuracies: of the final epoch, of the best epoch
    on the test set (as the paper does, which chooses on what it reports), and of the epoch that a
    held-out tenth of the training set chooses; each of one pass and of ten votes. The same command
    goes on where it was stopped. Without --config each task has its own recipe, Point-MAE's;
    --config takes a file in its place, or a shipped one: modelnet40, scanobjectnn, small.

    \b
    Examples:
      cma3d finetune ft --task modelnet40 --data data/ModelNet --init run
      cma3d finetune ft0 --task modelnet40 --data data/ModelNet --init run --scratch
      cma3d finetune pb --task scanobjectnn-pb --data ScanObjectNN --init pretrain.pth --held-out 0
      cma3d finetune try --task modelnet40 --data small --init run --config small --seeds 1
    """
    from .finetune import finetune as train

    config = read_settings(FinetuneConfig, recipe(config_file, task.partition("-")[0]), values)
    results = train(
        run, task, data, config, init=init, scratch=scratch, seeds=seeds, jobs=jobs, report=say
    )
    tell(results["table"])


@click.command()
@click.argument("run", type=FOLDER)
@click.option(
    "--data",
    type=FOLDER,
    required=True,
    help="Pickled folds, or ModelNet40, of which folds are drawn.",
)
@click.option(
    "--way",
    type=WholeRange(2),
    multiple=True,
    help="Classes of a fold; may be given twice.  [default: 5, 10]",
)
@click.option(
    "--shot", type=WholeRange(1), multiple=True, help="Shapes of a class.  [default: 10, 20]"
)
@click.option(
    "--folds", type=WholeRange(1, 10), default=10, show_default=True, help="Folds of each setting."
)
@task_options
@options(FewShotConfig)
def fewshot(
    run: Path,
    data: Path,
    way: tuple[int, ...],
    shot: tuple[int, ...],
    folds: int,
    init: Path | None,
    scratch: bool,
    jobs: int | None,
    config_file: Path | None,
    **values: Any,
) -> None:
    """Fine-tune on few shapes of few classes, ten folds each (table 3); runs and tables go to RUN.

    Folds are read from {way}way_{shot}shot/{fold}.pkl where there are such, without running what a
    pickle may hold; else drawn from ModelNet40 by way, shot and fold alone, and their indices
    written to folds.json.

    \b
    Examples:
      cma3d fewshot fs --data data/ModelNetFewshot --init run           all four settings, 40 folds
      cma3d fewshot fs --data data/ModelNet --init run --way 5 --shot 10
      cma3d fewshot try --data small --init run --config small --folds 2
    """
    from .fewshot import fewshot as train

    config = read_settings(FewShotConfig, recipe(config_file, "fewshot"), values)
    settings = [(w, s) for w in way or (5, 10) for s in shot or (10, 20)]
    results = train(
        run,
        data,
        config,
        init=init,
        scratch=scratch,
        settings=settings,
        folds=folds,
        jobs=jobs,
        report=say,
    )
    tell(results["table"])


@click.command()
@click.argument("run", type=FOLDER)
@click.option(
    "--data",
    type=FOLDER,
    required=True,
    help="At or above ShapeNetPart's folder; its layout is found.",
)
@click.option(
    "--seeds",
    type=WholeRange(1),
    default=1,
    show_default=True,
    help="Runs, over which means are taken.",
)
@task_options
@options(SegmentConfig, leave_out=("held_out",))
def segment(
    run: Path,
    data: Path,
    seeds: int,
    init: Path | None,
    scratch: bool,
    jobs: int | None,
    config_file: Path | None,
    **values: Any,
) -> None:
    """Segment the parts of ShapeNetPart (table 4).

    Runs, tables, page.html and coloured PLY files go to RUN.

    \b
    Examples:
      cma3d segment seg --data shapenetcore_partanno_segmentation_benchmark_v0_normal --init run
      cma3d segment seg --data data/hdf5_data --init pretrain.pth --train-on trainval
      cma3d segment try --data small --init run --config small-parts
    """
    from .segment import segment as train

    config = read_settings(SegmentConfig, recipe(config_file, "shapenetpart"), values)
    results = train(
        run, data, config, init=init, scratch=scratch, seeds=seeds, jobs=jobs, report=say
    )
    tell(f"{results['table']}\n\nlook at {run / 'page.html'}")


@click.command()
@click.option("--data", type=FOLDER, help="At or above ModelNet40's folder.")
@click.option("--shards", type=FOLDER, help="Shards instead: their synsets are the classes.")
@click.option("-o", "--out", type=FOLDER, help="JSON file of the result.")
@task_options
@options(ProbeConfig)
def probe(
    data: Path | None,
    shards: Path | None,
    out: Path | None,
    init: Path | None,
    scratch: bool,
    jobs: int | None,
    config_file: Path | None,
    **values: Any,
) -> None:
    """Train a linear SVM on frozen features: what the encoder knows before any fine-tuning.

    \b
    Examples:
      cma3d probe --data data/ModelNet --init run
      cma3d probe --shards shards --init run
      cma3d probe --shards shards --init run --scratch          random features of the same size
    """
    from .probe import probe as test

    if (data is None) == (shards is None):
        raise InputError("give either --data MODELNET40 or --shards SHARDS")
    config = read_settings(ProbeConfig, config_file, values)
    where = data or shards
    assert where is not None
    results = test(
        where,
        config,
        shards=shards is not None,
        init=init,
        scratch=scratch,
        out=out,
        jobs=jobs,
        report=say,
    )
    tell(
        f"{100 * results['accuracy']:.1f} % of {results['test']:,} shapes right, "
        f"{results['classes']} classes "
        f"(always the most frequent: {100 * results['chance']:.1f} %); C = {results['c']:g}"
    )


@click.command()
@click.argument("run", type=FOLDER)
@click.option("-o", "--out", type=FOLDER, required=True, help="Folder for tables and picture.")
@click.option("--data", type=FOLDER, help="The benchmark; where the run found it, if left out.")
@click.option(
    "--which",
    default="final",
    show_default=True,
    help="Weights: final, best_on_test or chosen_on_held_out.",
)
@click.option(
    "--votes",
    type=WholeRange(0),
    default=0,
    show_default=True,
    help="Draws to average; 0: one pass.",
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
)
@click.option(
    "--threads", type=WholeRange(0), default=0, help="CPU threads that compute; 0: torch's choice."
)
def evaluate(
    run: Path, out: Path, data: Path | None, which: str, votes: int, device: str, threads: int
) -> None:
    """Classify the test shapes with the weights of RUN, a folder of `cma3d finetune`.

    Writes logits and a confusion matrix.

    \b
    Examples:
      cma3d evaluate ft -o look
      cma3d evaluate ft/seed-2 -o look --which chosen_on_held_out --votes 10
    """
    from .evaluate import evaluate as test

    results = test(
        run,
        out,
        data=data,
        which=which,
        votes=votes,
        device=device,
        cpu_threads=threads,
        report=say,
    )
    tell(f"{results['text']}\nlook at {results['picture']}")


@click.command()
@click.argument("shards", type=FOLDER)
@click.argument("out", type=FOLDER)
@click.option(
    "--table",
    type=click.Choice(["6", "7", "8"]),
    required=True,
    help="Mask ratio, strategy, or tasks.",
)
@click.option(
    "--task", type=click.Choice(get_args(Task)[:4]), default="scanobjectnn-pb", show_default=True
)
@click.option("--data", type=FOLDER, required=True, help="At or above the benchmark's folder.")
@click.option(
    "--pretrain-config", type=FOLDER, help="Settings of all pretrainings: a file, or paper, small."
)
@click.option(
    "--seeds", type=WholeRange(1), default=1, show_default=True, help="Fine-tunings of each row."
)
@JOBS
@options(FinetuneConfig)
def ablate(
    shards: Path,
    out: Path,
    table: str,
    task: Task,
    data: Path,
    pretrain_config: Path | None,
    seeds: int,
    jobs: int | None,
    config_file: Path | None,
    **values: Any,
) -> None:
    """Pretrain on SHARDS and fine-tune, once for each row of table 6, 7 or 8.

    Rows and tables go to OUT. Options and --config are those of the fine-tuning. A row that is done
    is kept, one that was stopped goes on.

    \b
    Examples:
      cma3d ablate shards t6 --table 6 --data data/ScanObjectNN
      cma3d ablate shards try --table 7 --task modelnet40 --data small --config small
    """
    from .ablate import ablate as run

    chosen = None if pretrain_config is None else SHIPPED.get(str(pretrain_config), pretrain_config)
    pretraining = read_settings(PretrainConfig, chosen)
    config = read_settings(FinetuneConfig, recipe(config_file, task.partition("-")[0]), values)
    results = run(
        shards, out, int(table), task, data, pretraining, config, seeds=seeds, jobs=jobs, report=say
    )
    tell(results["text"])
