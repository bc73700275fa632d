"""What charts are drawn from: one row per cell, with its settings and one metric, missing numbers as None."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ..compare import marks
from ..comparisons import Judge
from ..lines import guidance_text, line_of, lines, setting
from ..metric_words import adherence
from ..numbers import DASH, interval, number, probability
from ..results import GIVEN, RUN, STANDING, cells, measured

Row = dict[str, Any]


def chart_rows(results: pd.DataFrame, metric: str, judge: Judge | None = None) -> list[Row]:
    """Rows of ``settings``, each with ``numbers`` of the metric and, as ``across``, those of the adherence metric.

    Images of which no steps are known are not among them.
    """
    results = results[results["sampler"] != GIVEN]
    other = adherence(results)
    beside = numbers(results, other, judge) if other and other != metric else {}
    return joined(settings(results), numbers(results, metric, judge), beside)


def joined(cells: Sequence[Row], values: Mapping[str, Row], beside: Mapping[str, Row]) -> list[Row]:
    """Settings with the numbers of one metric, and beside them those of another."""
    rows = []
    for cell in cells:
        over = beside.get(cell["cell"], {})
        across = {name: over.get(key) for key, name in ACROSS.items()}
        rows.append({**cell, **values.get(cell["cell"], NOTHING), **across})
    return rows


ACROSS = {"value": "across", "low": "across_low", "high": "across_high", "text": "across_text"}


def settings(results: pd.DataFrame) -> list[Row]:
    """Of each cell what does not depend on a metric.

    ``line`` is its sampler with what else tells lines apart, ``variant`` that rest alone; ``curve`` the line with its
    guidance, along which steps vary; ``path`` the line with its guidance method and steps, along which scales vary;
    ``panel`` the line with its model where there are several.
    """
    named, out = lines(results), []
    every, several = cells(results), results["model"].nunique() > 1
    for _, row in every.iterrows():
        label, guidance = named[line_of(row)], guidance_text(row)
        out.append({
            "cell": row["cell"], "status": row["status"], "run": row.get(RUN, ""), "model": row["model"],
            "sampler": row["sampler"], "schedule": row["schedule"], "spacing": row["spacing"],
            "steps": _plain(row["steps"]), "guidance": guidance, "method": row["method"], "scale": _plain(row["scale"]),
            "nfe": _plain(row["nfe"]), "seconds": _plain(row["seconds"]), "images": _plain(row["images"]),
            "line": label, "variant": label.removeprefix(row["sampler"]).removeprefix(" · "),
            "curve": f"{row['model']} · {label} · {guidance}",
            "path": f"{row['model']} · {label} · {row['method']} · {row['steps']}",
            "panel": f"{row['model']} · {label}" if several else label,
            "setting": setting(row, among=every) or row["sampler"],
        })  # fmt: skip
    return out


def numbers(results: pd.DataFrame, metric: str, judge: Judge | None = None) -> dict[str, Row]:
    """By cell: value, low, high, their text, whether it is among the best, and where comparisons leave it."""
    best = marks(results, metric, judge or Judge())
    rows = measured(results, metric)
    known = [column for column in STANDING if column in rows]
    return {row["cell"]: _numbers(row, row["cell"] in best, known) for _, row in rows.iterrows()}


def _numbers(row: pd.Series, best: bool, known: list[str]) -> Row:
    value, low, high = row["value"], row["low"], row["high"]
    found = {**NOTHING, **{column: _plain(row[column]) for column in known}}
    shown = {
        "value": _plain(value), "low": _plain(low), "high": _plain(high), "best": best,
        "short": number(value, low, high), "text": f"{number(value, low, high)} {interval(value, low, high)}".rstrip(),
    }  # fmt: skip
    return found | shown | {"rank": _rank(found), "chance": _chance(found)}


def _rank(found: Row) -> str:
    low, high = found["rank_low"], found["rank_high"]
    if low is None or high is None:
        return ""
    return f"{low:.0f}" if low == high else f"{low:.0f}{DASH}{high:.0f}"


def _chance(found: Row) -> str:
    said = "" if found["p_best"] is None else probability(found["p_best"])
    return said.replace("less than ", "< ").replace("more than ", "> ")


NOTHING: Row = {
    "value": None, "low": None, "high": None, "best": False, "short": "", "text": "", "rank": "", "chance": "",
    **dict.fromkeys(STANDING),
}  # fmt: skip


def _plain(value: Any) -> float | int | None:
    """A number of JSON: None for what is missing or not finite."""
    if pd.isna(value) or not math.isfinite(value):
        return None
    return int(value) if value == int(value) else float(value)
