"""`cma3d build`: from ShapeNet to shards in one run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .core.errors import InputError
from .core.outputs import claim
from .core.settings import read_settings, read_toml
from .core.wording import shorten
from .pack.config import PackConfig
from .render.choice import Choice
from .render.config import RenderConfig

if TYPE_CHECKING:
    from .pack.packing import PackSummary
    from .render.rendering import RenderSummary
    from .render.shapenet.listing import Model

__all__ = ["build_dataset", "pack_names", "read_build_settings"]


def pack_names() -> tuple[set[str], set[str]]:
    """Return the settings that packing shares with rendering, and its own.

    In a build, the option of a shared setting is `--pack-NAME`.
    """
    own = {field.name for field in dataclasses.fields(PackConfig)}
    shared = own & {field.name for field in dataclasses.fields(RenderConfig)}
    return shared, own - shared


def read_build_settings(
    config_file: Path | None, option_values: Mapping[str, Any]
) -> tuple[RenderConfig, PackConfig]:
    """Merge defaults, TOML file and options to settings of both stages.

    The file has the tables [render] and [pack]; an option that was not set is None.

    By default colour is rendered for the views that are packed.

    Raises
    ------
    InputError : as `read_settings`; an unknown table; packed views would have no colour
    """
    tables = {} if config_file is None else read_toml(config_file)
    unknown = sorted(
        name
        for name in tables
        if name not in ("render", "pack") or not isinstance(tables[name], dict)
    )
    if unknown:
        raise InputError(
            f"{config_file}: {shorten(repr(unknown[0]))} is out of place; "
            "the settings of a build belong into [render] and [pack]"
        )
    shared, own = pack_names()
    pack_values = {name: option_values.get(name) for name in own} | {
        name: option_values.get(f"pack_{name}") for name in shared
    }
    pack = read_settings(PackConfig, config_file, pack_values, table="pack")
    values = {
        field.name: option_values.get(field.name) for field in dataclasses.fields(RenderConfig)
    }
    if values["colour"] is None and "colour" not in tables.get("render", {}):
        # only the views that are packed need colour
        values["colour"] = pack.keep
    render = read_settings(RenderConfig, config_file, values, table="render")
    if pack.keep == "all" and render.colour != "all":
        raise InputError(
            f"--keep all packs views that --colour {render.colour} leaves without colour: "
            "give --colour all"
        )
    return render, pack


def build_dataset(
    models: Sequence[Model],
    out: Path,
    render_config: RenderConfig,
    pack_config: PackConfig,
    choice: Choice | None = None,
    *,
    jobs: int | None = None,
    **run: Any,
) -> tuple[RenderSummary, PackSummary]:
    """Render models to `out/renders` and pack them to `out/shards`.

    A second call resumes a stopped one.

    Parameters
    ----------
    choice : renders to pack, which may be more than these models; all if None
    jobs : processes; the number of cores if None
    run : further keyword arguments of `render_models`

    Raises
    ------
    InputError : a stage cannot run here, or no row can be packed
    """
    from .pack.packing import check_settings, pack_renders
    from .render.rendering import render_models

    choice, redo = choice or Choice(), bool(run.get("redo", False))
    with claim(out, "dataset", inputs=[run.get("source")], shared=True, earlier=_is_earlier):
        if not redo:  # fail before days are spent on rendering
            check_settings(
                out / "shards",
                {"config": dataclasses.asdict(pack_config), "selection": choice.manifest_entry()},
            )
        rendered = render_models(models, out / "renders", render_config, jobs=jobs, **run)
        return rendered, pack_renders(
            out / "renders", out / "shards", pack_config, choice, jobs=jobs, redo=redo
        )


def _is_earlier(folder: Path) -> bool:
    """Recognise a dataset of version 0.1.

    Or the output of `cma3d render` and `cma3d pack` in the same folders.
    """
    from .pack.manifest import read_record
    from .render.rendering import read_render_settings

    return read_render_settings(folder / "renders") is not None or bool(
        read_record(folder / "shards")[0]
    )
