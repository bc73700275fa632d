"""What the page's scripts work on: settings and numbers of every cell, charts without their rows, samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from altair.utils.schemapi import debug_mode

from . import charts
from .answer import Answer
from .charts import theme
from .charts.rows import NOTHING, joined, numbers, settings
from .charts.spec import spec
from .comparisons import Judge
from .metric_words import adherence, better, family, quality, short_name, title
from .results import GIVEN, RUN, direction, metrics
from .sprites import Sprites

FACETS = {
    RUN: "Run", "model": "Model", "sampler": "Sampler", "spacing": "Spacing", "schedule": "Schedule", "steps": "Steps",
    "method": "Guidance", "scale": "Scale",
}  # fmt: skip
"""What cells are chosen by, with the names that a reader sees."""
AXES = {**{key: name for key, name in FACETS.items() if key not in ("method", "scale")}, "guidance": "Guidance"}
"""What rows of samples may vary."""
FIELDS = tuple(NOTHING)


def page_data(
    frame: pd.DataFrame, judge: Judge, found: Sequence[Answer], sprites: Sprites, prompts: Sequence[str],
    pictures: Mapping[str, str],
) -> dict[str, Any]:  # fmt: skip
    """Everything, ready for JSON. pictures: by cell, the folder of its images in full size."""
    cells, first = settings(frame), quality(frame)
    of_metric = {metric: numbers(frame, metric, judge) for metric in metrics(frame)}
    other = adherence(frame)
    drawn = {
        m: joined(
            [cell for cell in cells if cell["sampler"] != GIVEN],
            of_metric[m],
            of_metric.get(other or "", {}) if m != other else {},
        )
        for m in of_metric
    }
    return {
        "cells": cells,
        "fields": FIELDS,
        "numbers": {
            metric: {cell: [row[field] for field in FIELDS] for cell, row in rows.items()}
            for metric, rows in of_metric.items()
        },
        "metrics": [_metric(frame, metric) for metric in of_metric],
        "first": first or next(iter(of_metric), None),
        "across": other,
        "charts": {metric: _charts(frame, metric, rows) for metric, rows in drawn.items()},
        "exact": next((metric for metric in of_metric if family(metric) == "trajectory_error"), None),
        "facets": _choices(cells, FACETS),
        "axes": _choices([cell for cell in cells if cell["cell"] in sprites.uris], AXES),
        "picks": [answer.cell for answer in found if answer.cell],
        "prompts": list(prompts[: sprites.columns]),
        "seed": int(frame["seed"].dropna().iloc[0]) if frame["seed"].notna().any() else 0,
        "samples": {
            "uris": sprites.uris,
            "width": sprites.width,
            "height": sprites.height,
            "pictures": {cell: folder for cell, folder in pictures.items() if folder},
        },
        "dark": {**theme.COLOURS, **{kind["light"]: kind["dark"] for kind in (theme.INK, theme.SOFT, theme.RULE)}},
        "config": {name: theme.config(name) for name in ("light", "dark")},
    }


def _metric(frame: pd.DataFrame, metric: str) -> dict[str, Any]:
    return {
        "name": metric, "short": short_name(metric, metrics(frame)), "title": title(metric),
        "better": better(frame, metric), "higher": direction(frame, metric),
    }  # fmt: skip


def _charts(frame: pd.DataFrame, metric: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """By name; those that the results do not allow are left out."""
    with debug_mode(False):  # charts are checked by their tests, which takes longer than drawing them
        return {name: spec(chart) for name, chart in _drawn(frame, metric, rows) if chart is not None}


def _drawn(frame: pd.DataFrame, metric: str, rows: list[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    for cost in ("nfe", "seconds"):
        yield cost, charts.quality(frame, metric, cost, given=rows)
    for name, draw in (("ranking", charts.ranking), ("tradeoff", charts.tradeoff), ("heat", charts.heat)):
        yield name, draw(frame, metric, given=rows)


def _choices(cells: Sequence[dict[str, Any]], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Every setting in which cells differ, with its values in order."""
    out = []
    for key, name in names.items():
        values = {cell[key] for cell in cells} - {None, ""}
        if key == "guidance":
            ordered = sorted(cells, key=lambda cell: (cell["method"], cell["scale"] or 0.0, cell["guidance"]))
            listed = list(dict.fromkeys(cell[key] for cell in ordered))
        else:
            listed = sorted(values)
        if len(listed) > 1:
            out.append({"key": key, "name": name, "values": listed})
    return out
