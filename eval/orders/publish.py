"""``sigmabench orders``: measure, print the table, and write tables, figures and the page."""

from __future__ import annotations

import contextlib
import logging
import platform
import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from time import process_time

import pandas as pd
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ...reports.atomic import replace
from ...reports.orders_figure import orders_figure, peers_figure
from ...reports.orders_page import orders_page, rows_by_method
from ..provenance import versions
from .measure import measure
from .methods import Method, methods


def run(names: Sequence[str], *, with_peers: bool, out: Path | None, as_json: bool) -> None:
    """Measure the samplers of those names, or all, and print the table or JSON; with ``out`` write the report too.

    Raises:
        UsageError: for a name that is not registered, before any work starts.
    """
    chosen, started, versions_now = methods(names), process_time(), versions()
    if with_peers:
        chosen += _peers(names, chosen)
    torch.set_num_threads(1)
    with _quiet(), _bar(len(chosen)) as done:
        orders, errors = measure(chosen, done=done)
    if as_json:
        print(orders.to_json(orient="records", indent=1))
    else:
        console = Console()
        console.print(table(orders), width=max(console.width, 120))
    if out:
        command = " ".join(["sigmabench orders", *map(_quoted, names), *(["--peers"] if with_peers else [])])
        write(out, orders, errors, about(f"{command} --out {out}", versions_now, process_time() - started))
        Console(stderr=True).print(f"Report: {out / 'README.md'}")


def write(folder: Path, orders: pd.DataFrame, errors: pd.DataFrame, about: dict[str, str]) -> None:
    """orders.csv, error_nfe.csv, errors.svg and .png, peers.svg and .png if there are peers, README.md."""
    for name, frame in (("orders.csv", orders), ("error_nfe.csv", errors)):
        replace(folder / name, lambda part, frame=frame: frame.to_csv(part, index=False, float_format="%.4g"))  # type: ignore[misc]
    figures = {"errors": orders_figure(errors, orders), "peers": peers_figure(errors, orders)}
    for name, figure in figures.items():
        if figure:
            for suffix in (".svg", ".png"):
                replace(folder / f"{name}{suffix}", lambda part, draw=figure: draw(part))  # type: ignore[misc]
    shown = [name for name, figure in figures.items() if figure]
    replace(folder / "README.md", lambda part: part.write_text(orders_page(orders, about, shown), encoding="utf-8"))


def about(command: str, found: Mapping[str, str], seconds: float) -> dict[str, str]:
    """What the numbers depend on."""
    named = {name: text for name, text in found.items() if name in ("sigmabench", "git", "python", "torch")}
    when = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    return {"command": command, **named, "on": f"{platform.machine()}, {seconds:.0f} s of one core, {when}"}


def table(orders: pd.DataFrame) -> Table:
    """A row per method: what it declares, what was measured."""
    heading, *rows = rows_by_method(orders)
    shown = Table(*heading, title="order of convergence", title_justify="left", row_styles=["", "dim"])
    shown.columns[0].no_wrap = True
    for row in rows:
        shown.add_row(*row)
    return shown


def _peers(names: Sequence[str], chosen: Sequence[Method]) -> list[Method]:
    """All of them, or with names those that are the same method as one chosen."""
    from ..peers import peers

    texts = {method.name for method in chosen}
    return [peer for peer in peers() if not names or peer.counterpart in texts or not peer.solve]


def _quoted(text: str) -> str:
    return f"'{text}'" if "(" in text else text


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the remarks of other programs about their own settings."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


@contextlib.contextmanager
def _bar(total: int) -> Iterator:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("starting", total=total)
        yield lambda method: progress.update(task, advance=1, description=method.name)
