"""What every command that sweeps does: make the images with a progress bar, publish, and say how it ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import typer

from ...plugins.names import resolve
from ..cells import Planned
from ..leading import Leader
from ..making import Outcome, Progress
from ..plans import Plan
from ..progress import bar
from ..publish import publish, unmeasured
from ..reporting import summary
from ..runner import Runner
from ..store import Store
from ..sweep import Sweep
from ..until import deciding_metric, undecided
from ..workers import launcher, run_with

Make = Callable[[Sequence[Planned], int, Progress], Outcome]
"""Brings cells to a number of images."""


def run_sweep(checked: Sweep, out: Path, workers: str = "", *, as_json: bool = False) -> None:
    """Run it and exit with 0, with 1 if cells failed, or with 130 if it was interrupted."""
    started = launcher(workers) if workers else None
    for pair in map(resolve, checked.pairs):
        on = f" on {pair.schedule}" if pair.schedule else ""
        typer.echo(f"{pair.name}: {pair.sampler}, {pair.spacing}{on}. {pair.note}".rstrip(), err=as_json)
    runner = Runner(checked, out)
    if checked.until:
        deciding_metric(runner.plan)
    try:
        outcome = _make(runner, partial(run_with, started, runner) if started else runner.extend)
    except KeyboardInterrupt:
        typer.echo(f"Interrupted. What was finished is kept; `sigmabench resume {out}` goes on from there.", err=True)
        raise typer.Exit(130) from None
    try:
        page = publish(runner.plan, out)
    except OSError as error:  # such as a disk that is full
        for key, reason in outcome.failed.items():
            typer.echo(f"failed {key}: {reason}", err=True)
        typer.echo(f"The report cannot be written: {error}. `sigmabench report {out}` writes it later.", err=True)
        raise typer.Exit(1) from None
    outcome.failed = {**unmeasured(out), **outcome.failed}
    if as_json:
        typer.echo(json.dumps(_summary(outcome, out, page), indent=1))
    else:
        _say(runner.plan, outcome, page)
    raise typer.Exit(1 if outcome.failed else 0)


def _make(runner: Runner, make: Make) -> Outcome:
    """All images, then more for the cells that may be the best, if the sweep asks for it."""
    plan, store = runner.plan, Store(runner.folder)
    leader = Leader(plan, store)

    def bring(cells: Sequence[Planned], images: int) -> Outcome:
        kept = {planned.cell.key: runner.have(store, planned.cell, images) for planned in cells}
        with bar(cells, images, kept, leader.look) as progress:
            return make(cells, images, progress)

    outcome = bring(plan.runnable, runner.sweep.images)
    for images, cells in undecided(plan, store):
        typer.echo(f"{len(cells)} cells may be the best: on to {images} images each", err=True)
        more = bring(cells, images)
        outcome.made, outcome.failed = outcome.made + more.made, {**outcome.failed, **more.failed}
    return outcome


def _say(plan: Plan, outcome: Outcome, page: Path) -> None:
    refused = len(plan.cells) - len(plan.runnable)
    for answer in summary(page.parent)["answers"]:
        typer.echo(answer["answer"])
    typer.echo(f"Report: {page}")
    typer.echo(
        f"{outcome.made} images made, {outcome.kept} were there; "
        f"{len(outcome.failed)} cells failed, {refused} refused (see the report)"
    )
    for key, reason in outcome.failed.items():
        typer.echo(f"failed {key}: {reason}", err=True)


def _summary(outcome: Outcome, folder: Path, page: Path) -> dict[str, Any]:
    """The end of a sweep for scripts."""
    made = {"folder": str(folder), "report": str(page), "made": outcome.made, "kept": outcome.kept}
    return {**made, **summary(page.parent), "failed": outcome.failed}
