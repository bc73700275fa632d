"""What raising the guidance scale does, all else the same, in a sentence."""

from __future__ import annotations

import pandas as pd

from .compare import GROUP, with_intervals
from .comparisons import Judge
from .lines import steps_text
from .metric_words import adherence, short_name
from .numbers import short, with_interval
from .results import RUN, direction, metrics


def along_scale(results: pd.DataFrame, pick: pd.Series, metric: str, name: str, judge: Judge) -> list[str]:
    """What raising the guidance scale does to adherence and quality, all else as in the pick."""
    other = adherence(results)
    if other is None or other == metric:
        return []
    same = pd.Series(True, index=results.index)
    run = [RUN] if RUN in results else []
    for column in ("sampler", "spacing", "schedule", "steps", "method", *GROUP, *run):
        same &= results[column] == pick[column]
    rows = with_intervals(results[same & (results["status"] == "ok") & results["scale"].notna()])
    both = set(rows.loc[rows["metric"] == metric, "cell"]) & set(rows.loc[rows["metric"] == other, "cell"])
    ends = rows[rows["cell"].isin(both)].sort_values("scale", kind="stable")
    first, last = (ends[ends["scale"] == scale] for scale in (ends["scale"].min(), ends["scale"].max()))
    if ends["scale"].nunique() < 2:
        return []
    said = [
        _moves(first[first["metric"] == m].iloc[0], last[last["metric"] == m].iloc[0], word, results, judge)
        for m, word in ((other, short_name(other, metrics(results))), (metric, name))
    ]
    scales = f"from {short(ends['scale'].min())} to {short(ends['scale'].max())}"
    where = f"{pick['sampler']} at {steps_text(pick['steps'])}"
    return [f"Raising the guidance scale of {where} {scales} {said[0]} and {said[1]}."]


def _moves(a: pd.Series, b: pd.Series, name: str, results: pd.DataFrame, judge: Judge) -> str:
    first, last = (with_interval(row["value"], row["low"], row["high"]) for row in (a, b))
    text, higher = f"{name} from {first} to {last}", bool(direction(results, a["metric"]))
    if judge.better(b, a, higher):
        return "improves " + text
    return "worsens " + text if judge.better(a, b, higher) else "does not measurably change " + text
