"""Progress of a sweep: images done, rate, time left, the cell at work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .cells import Cell
from .making import Progress as Callback


@contextmanager
def bar(total: int) -> Iterator[Callback]:
    """A progress bar on standard error for ``total`` images; yields what the runner calls."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("images"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), speed_estimate_period=120) as progress:
        task = progress.add_task("starting", total=total)

        def advance(images: int, cell: Cell) -> None:
            progress.update(task, advance=images, description=f"{cell.sampler} {cell.steps} steps {cell.guidance}")

        yield advance
