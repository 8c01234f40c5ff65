"""The verb `samples`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..core.errors import InputError
from ..core.settings import FOLDER, WholeRange, given_options, options, read_settings
from ..core.streams import tell
from ..core.wording import count_text
from .config import SamplesConfig

__all__ = ["samples"]


@click.command()
@click.argument("out", type=FOLDER)
@options(SamplesConfig)
@click.option(
    "--task",
    type=click.Choice(["modelnet40", "fewshot", "scanobjectnn", "shapenetpart"]),
    help="Write this benchmark instead of a ShapeNet.",
)
@click.option(
    "--layout",
    help="Layout of the benchmark, as `cma3d doctor --task` names it.  [default: its first]",
)
@click.option(
    "--train",
    type=WholeRange(1),
    default=24,
    show_default=True,
    help="With --task: training shapes of each class.",
)
@click.option(
    "--test",
    type=WholeRange(1),
    default=20,
    show_default=True,
    help="With --task: test shapes of each class.",
)
@click.option(
    "--val",
    type=WholeRange(1),
    default=4,
    show_default=True,
    help="With --task: validation shapes of each class.",
)
def samples(
    out: Path,
    config_file: Path | None,
    task: str | None,
    layout: str | None,
    train: int,
    test: int,
    val: int,
    **values: Any,
) -> None:
    """Write a small procedural ShapeNet to OUT, or a small benchmark.

    The ShapeNet has the layout of V2; --task chooses a benchmark.

    \b
    Examples:
      cma3d samples shapenet-small
      cma3d samples shapenet-broken --per-category 1 --pathologies
      cma3d samples small --task modelnet40                          pickled, as Point-BERT's
      cma3d samples small --task modelnet40 --layout modelnet40-off  or modelnet40-text, -h5
      cma3d samples small --task fewshot                             the forty folds, pickled
      cma3d samples small --task shapenetpart
    """
    from .shapenet_folder import write_samples

    if task is not None:
        from .miniatures import write_miniature

        wrong = [name for name, value in values.items() if value is not None and name != "seed"]
        if wrong or config_file is not None:
            raise InputError(
                f"--{(wrong or ['config'])[0].replace('_', '-')} is for the procedural ShapeNet, "
                "not for --task"
            )
        written = write_miniature(
            out, task, layout=layout, train=train, test=test, val=val, seed=values["seed"] or 0
        )
        tell(f"{written['layout']} in {written['folder']}")
        return
    if names := given_options({"layout", "train", "test", "val"}):
        raise InputError(f"{names[0]} is for a benchmark: give it with --task")
    summary = write_samples(out, read_settings(SamplesConfig, config_file, values))
    models, categories = sum(summary["models"].values()), len(summary["models"])
    tell(f"{count_text(models, 'model')} of {count_text(categories, 'category')} in {out}")
