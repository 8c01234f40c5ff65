"""A run as one page: run.html, with its pictures inside.

It opens in any browser and can be sent by mail.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["page_text"]

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 1320px; margin: 1.5rem auto; padding: 0 1rem; }
img { max-width: 100%; height: auto; background: white; border-radius: 6px; }
table { border-collapse: collapse; } td, th { padding: .1rem .8rem .1rem 0; text-align: left; vertical-align: top; }
dl { display: flex; flex-wrap: wrap; gap: .4rem 2.2rem; } dt { opacity: .7; } dd { margin: 0; font-size: 1.25rem; }
"""


def page_text(
    facts: dict[str, Any],
    log: Sequence[dict[str, Any]],
    probes: Sequence[dict[str, Any]],
    pictures: Sequence[Path],
    *,
    finished: bool,
) -> str:
    """Make the page: HTML.

    Parameters
    ----------
    facts : content of run.json
    log : lines of log.jsonl, at least one
    probes : lines of probe.jsonl
    pictures : PNG files, which the page then holds
    finished : else the page reloads itself each minute
    """
    last, config = log[-1], facts["config"]
    figures = {
        "steps": f"{last['step']:,} of {facts['steps']:,}",
        "epoch": f"{last['epoch']} of {config['epochs']}",
        "loss": f"{last['loss']:.5f}",
        "samples a second": f"{last.get('samples_per_s', 0):,.1f}",
        "parameters": f"{facts['parameters']:,}",
        "rows": f"{facts['rows']:,}",
    }
    if probes:
        figures["linear probe"] = f"{probes[-1]['accuracy']:.1%} after {probes[-1]['epoch']} epochs"
    numbers = "".join(
        f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>"
        for name, value in figures.items()
    )
    images = "".join(
        f'<p><img alt="{_text(picture.stem)}" src="{_embedded(picture)}"></p>'
        for picture in pictures
    )
    settings = "".join(
        f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in config.items()
    )
    again = "" if finished else '<meta http-equiv="refresh" content="60">'
    title = f"pretraining on {_text(facts.get('shards', ''))}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">{again}'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1><dl>{numbers}</dl>{images}"
        f"<details><summary>settings</summary><table>{settings}</table></details></html>\n"
    )


def _text(value: object) -> str:
    return html.escape(str(value))


def _embedded(picture: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode("ascii")
