"""``plan``: what a sweep takes before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .groups import RUN, examples
from .options import Json

group = typer.Typer()


@group.command(
    rich_help_panel=RUN,
    epilog=examples("sigmabench plan first.yaml", "sigmabench plan first.yaml --images 50000 --workers 64"),
)
def plan(
    file: Annotated[Path, typer.Argument(help="A sweep file.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A run's folder, as of `sweep`: what it has is not counted.")
    ] = None,
    images: Annotated[int | None, typer.Option(help="Images a cell, instead of the file's.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Workers, each with a device like this one.")] = 1,
    json: Json = False,
) -> None:
    """Say what a sweep takes before it starts.

    Evaluations are counted exactly. Seconds come from a short calibration on this machine: rounds of predictions, a
    batch of images looked at and reported. They are said with the interval in which they lie.
    """
    import time

    from ..costs.estimate import estimate
    from ..costs.words import as_json, table, words
    from ..runner import Runner
    from ..sweep import load_sweep

    folder = out or Path("runs", file.stem)
    imported, began = time.process_time(), time.perf_counter()
    runner = Runner(load_sweep(file, {"images": images} if images else {}), folder)
    found = estimate(runner, folder, start=imported + time.perf_counter() - began)
    if json:
        typer.echo(as_json(found, workers))
        return
    from rich.console import Console

    Console().print(table(found))
    for sentence in words(found, workers):
        typer.echo(sentence)
