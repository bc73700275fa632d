"""An estimate for people and for scripts."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

import pandas as pd
from rich.table import Table

from .estimate import Estimate
from .measuring import Spread


def words(found: Estimate, workers: int) -> Iterator[str]:
    """How much there is to do, how long it takes and where the time goes."""
    images, evaluations = sum(c.images for c in found.cells), sum(c.evaluations for c in found.cells)
    refused = f"; {found.refused} cells are refused" if found.refused else ""
    cells = "1 cell" if len(found.cells) == 1 else f"{len(found.cells)} cells"
    yield f"{cells}, {images:,} images to make, {evaluations:,} evaluations of the network{refused}."
    begin = f"the start {span(found.start)}, " if found.start else ""
    yield (
        f"{within(found.seconds())} on one {found.device}: {begin}predictions {span(found.network.median)}, "
        f"images beside them {span(found.beside.median)}, the report {span(found.report.median)}."
    )
    if workers > 1:
        whole = span(found.network.median + found.beside.median)
        yield f"{within(found.seconds(workers))} with {workers} workers, {whole} of {found.device} time in all."
    if found.worst > 1:
        most = found.seconds(workers, found.worst)
        yield f"Up to {within(most)} if until: separated goes on with every cell to its budget."


def table(found: Estimate) -> Table:
    """A row for each sampler: its cells, its evaluations an image, its share of the time."""
    whole = max(found.network.median + found.beside.median, 1e-9)
    shown = Table("sampler", "cells", "evaluations an image", "time", "share", box=None, pad_edge=False)
    for sampler, rows in _frame(found).groupby("sampler", sort=False):
        each = rows["evaluations"] / rows["images"].clip(lower=1)
        most = f"{each.min():.0f} to {each.max():.0f}" if each.min() < each.max() else f"{each.max():.0f}"
        share = f"{rows['seconds'].sum() / whole:.0%}"
        shown.add_row(str(sampler), str(len(rows)), most, span(rows["seconds"].sum()), share)
    return shown


def as_json(found: Estimate, workers: int) -> str:
    """All numbers, a row for each cell."""
    fields = {f.name: _plain(getattr(found, f.name)) for f in dataclasses.fields(found) if f.name != "cells"}
    rows, (seconds, low, high) = _frame(found).to_dict("records"), found.seconds(workers)
    interval = {"seconds": seconds, "seconds_low": low, "seconds_high": high}
    return json.dumps({**fields, "workers": workers, **interval, "cells": rows}, indent=1)


def within(seconds: Spread) -> str:
    """ "42 s (37 s to 48 s)"."""
    return f"{span(seconds.median)} ({span(seconds.low)} to {span(seconds.high)})"


def span(seconds: float) -> str:
    """ "45 s", "3 min 20 s", "2 h 5 min", "12 days"."""
    whole = round(seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if whole < 120:
        return f"{whole} s"
    if whole < 2 * 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 3 * 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole / 86400:,.0f} days"


def _plain(value: object) -> object:
    return value.median if isinstance(value, Spread) else value


def _frame(found: Estimate) -> pd.DataFrame:
    names = ("sampler", "schedule", "spacing", "steps", "guidance", "model")
    return pd.DataFrame(
        [
            {
                "cell": cost.cell.key, **{name: getattr(cost.cell, name) for name in names},
                "images": cost.images, "evaluations": cost.evaluations, "seconds": cost.seconds,
            }
            for cost in found.cells
        ]
    )  # fmt: skip
