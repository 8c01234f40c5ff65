"""The verbs `pretrain`, `model-info`, `export-encoder`, and the pages `inspect` and `report`.

The pages stand here, above pack, because they may show what a trained network reconstructs.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..core.errors import InputError
from ..core.progress import say
from ..core.settings import (
    FOLDER,
    JSON,
    WholeRange,
    assignments,
    options,
    read_settings,
    setting_names,
)
from ..core.streams import tell
from .config import PretrainConfig

__all__ = ["SHIPPED", "export_encoder", "inspect", "model_info", "pretrain", "report"]

SHIPPED = {path.stem: path for path in Path(__file__).parent.glob("*.toml")}
"""The shipped files of settings for `cma3d pretrain`, by name."""


def row_range(text: str) -> tuple[int, int]:
    """Read rows A:B, the first and the one behind the last; either may be left out."""
    first, colon, end = text.partition(":")
    if not colon or not all(part == "" or part.isdecimal() for part in (first, end)):
        raise click.BadParameter(f"{text!r} is no range of rows such as 0:64.")
    return int(first or 0), int(end) if end else sys.maxsize


@click.command()
@click.argument("data", type=FOLDER)
@click.option("--row", type=WholeRange(0), help="Index of the row; of renders, of the model.")
@click.option(
    "--rows", type=row_range, metavar="A:B", help="The rows from A to B - 1, in place of --row."
)
@click.option("--model", help="Id of the model (or synset/id), in place of --row.")
@click.option("--view", type=WholeRange(0), help="A view of the model, in place of the row's.")
@click.option(
    "--views",
    type=click.Choice(["one", "all"]),
    default="one",
    show_default=True,
    help="all: every view of the model.",
)
@click.option(
    "--run", type=FOLDER, help="A run of `cma3d pretrain`: show what its network reconstructs."
)
@click.option(
    "-o", "--out", type=FOLDER, help="A page, a .png, or a folder of pages.  [default: page.html]"
)
@click.option("--sheet", type=FOLDER, help="Draw a contact sheet to this PNG.")
@click.option(
    "--show",
    type=click.Choice(["rgb", "depth", "points"]),
    multiple=True,
    help="What --sheet shows of each row; may be repeated.  [default: rgb]",
)
@click.option("--open", "opens", is_flag=True, help="Open what was written in the browser.")
def inspect(
    data: Path,
    row: int | None,
    rows: tuple[int, int] | None,
    model: str | None,
    view: int | None,
    views: str,
    run: Path | None,
    out: Path | None,
    sheet: Path | None,
    show: tuple[str, ...],
    opens: bool,
) -> None:
    """Look at rows of DATA, shards or renders, in a page that links every pixel and its point.

    It is one HTML file that needs no network: open it from the disk, copy it from a server, mail
    it. It shows the stored arrays, says how many points re-project to their pixel, and draws image,
    depth, normals, patches and the masks of training. A single row comes with the rows beside it.

    \b
    Examples:
      cma3d inspect shards --row 0 --open
      cma3d inspect shards --model 1006be65e7bc937e9141f9b58470d646 -o chair.html
      cma3d inspect renders --row 0 --views all          every view of a model, with all cameras
      cma3d inspect shards --row 0 --run run             what a trained network reconstructs
      cma3d inspect shards --rows 0:500 -o pages         a folder of linked pages
      cma3d inspect shards --row 0 -o row.png            one row as a picture
      cma3d inspect shards --rows 0:64 --sheet sheet.png --show rgb --show depth --show points
    """
    from ..pack.page.inspect import ViewRequest, draw_contact_sheet, inspect_data, open_in_browser
    from .monitor.annotate import NetworkAnnotator

    if sheet is not None:
        if any(value is not None for value in (row, model, view, run, out)) or views != "one":
            raise InputError(
                "--sheet draws many rows: of the others, give it only --rows A:B and --show"
            )
        written = draw_contact_sheet(data, sheet, rows=rows, shows=show or ("rgb",))
    else:
        if show:
            raise InputError("--show chooses what --sheet draws: give it with --sheet PNG")
        asked = ViewRequest(
            row=row, rows=rows, model=model, view=view, every=views == "all", run=run
        )
        written = inspect_data(data, out or Path("page.html"), asked, NetworkAnnotator)
    tell(written)
    if opens and not open_in_browser(written):
        say("no browser was found here: copy the file to a machine that has one")


@click.command()
@click.argument("shards", type=FOLDER)
@click.option(
    "-o",
    "--out",
    type=FOLDER,
    default=Path("report.html"),
    show_default=True,
    help="The page to write.",
)
@click.option(
    "--most", type=WholeRange(0), default=64, show_default=True, help="Thumbnails, and pages."
)
@click.option("--open", "opens", is_flag=True, help="Open the report in the browser.")
def report(shards: Path, out: Path, most: int, opens: bool) -> None:
    """Write one page on the dataset SHARDS, with thumbnails.

    It shows counts, points, depth, view directions, failures and repairs.

    Each thumbnail opens its inspection page, as `cma3d inspect` makes it; these lie in a folder
    beside the report.

    \b
    Examples:
      cma3d report shards --open
      cma3d report shards -o report.html --most 200
    """
    from ..pack.page.inspect import open_in_browser, report_dataset
    from .monitor.annotate import NetworkAnnotator

    written = report_dataset(shards, out, NetworkAnnotator(), most=most)
    tell(written)
    if opens and not open_in_browser(written):
        say("no browser was found here: copy the report and its folder to a machine that has one")


def network_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Add the settings of the network and its training, passed on as one `PretrainConfig`."""
    assign = click.option(
        "--set",
        "assigned",
        metavar="NAME=VALUE",
        multiple=True,
        help="Any setting by its name; may be repeated.",
    )

    @functools.wraps(command)
    def with_config(config_file: Path | None, assigned: tuple[str, ...], **values: Any) -> None:
        names = set(setting_names(PretrainConfig))
        settings = assignments(assigned) | {
            name: values[name] for name in names & set(values) if values[name] is not None
        }
        if config_file is not None and str(config_file) in SHIPPED:
            config_file = SHIPPED[str(config_file)]
        config = read_settings(PretrainConfig, config_file, settings)
        command(
            config=config, **{name: value for name, value in values.items() if name not in names}
        )

    return assign(options(PretrainConfig)(with_config))


@click.command()
@click.argument("shards", type=FOLDER)
@click.argument("run", type=FOLDER)
@network_settings
def pretrain(shards: Path, run: Path, config: PretrainConfig) -> None:
    """Pretrain CrossAlignNet on SHARDS; log, pictures and checkpoints go to RUN.

    The same command resumes a run that was stopped. --config takes a file, or the name of a shipped
    one: paper, small, point-mae (reconstruction without the image), contrast (alignment alone).
    RUN/run.html shows how it goes.

    \b
    Examples:
      cma3d pretrain shards run                          the paper's recipe
      cma3d pretrain shards run --config small           a network that learns on two CPU cores
      cma3d pretrain shards run --set mask_ratio=0.8 --set epochs=100
      cma3d pretrain shards run --config point-mae       Point-MAE's task, to compare with
      cma3d pretrain shards run --init pretrain.pth      start from Point-MAE's published weights
      torchrun --nproc-per-node 8 -m shapenet3d_cma.cli pretrain shards run --batch-size 1024
    """
    from .train.pretraining import pretrain as train

    summary = train(shards, run, config, report=say)
    if summary["rank"] == 0:
        tell(
            f"loss {summary['first_loss']:.4f} at first, {summary['last_loss']:.4f} at last; "
            f"the run is in {run}"
        )


@click.command("model-info")
@network_settings
@click.option(
    "--classes", type=WholeRange(1), default=40, show_default=True, help="Of the classifier."
)
@click.option(
    "--shard-size",
    type=WholeRange(1),
    default=224,
    help="Side of the shards' images.",
    show_default=True,
)
@click.option(
    "--rows", type=WholeRange(1), default=41_928, help="Rows of the shards.", show_default=True
)
@JSON
def model_info(
    config: PretrainConfig, classes: int, shard_size: int, rows: int, as_json: bool
) -> None:
    """Report the size of the network: parameters, operations, memory, and a whole run.

    Nothing is computed and no shards are needed. The settings are those of `cma3d pretrain`.

    \b
    Examples:
      cma3d model-info                                   the paper's network
      cma3d model-info --config small --shard-size 128
      cma3d model-info --batch-size 512 --precision bfloat16 --json
    """
    from .info import info_table, model_info

    info = model_info(config, classes=classes, shard_size=shard_size, rows=rows)
    tell(json.dumps(info.as_json(), indent=1) if as_json else info_table(info))


@click.command("export-encoder")
@click.argument("source", type=FOLDER)
@click.argument("out", type=FOLDER)
def export_encoder(source: Path, out: Path) -> None:
    """Write the point encoder of SOURCE as safetensors, which hold no code, to OUT.

    SOURCE is a finished run, or a checkpoint of Point-MAE, pretrained or fine-tuned, whose
    parameters are renamed.

    \b
    Examples:
      cma3d export-encoder run encoder.safetensors
      cma3d export-encoder pretrain.pth point-mae.safetensors      Point-MAE's published weights
    """
    from .train.pretraining import export_encoder as export

    tell(export(source, out))
