"""The answer in words: which setting to use, what more evaluations buy, and where the data cannot tell.

Everything is said from paired comparisons (see ``compare``). The setting named first is the cheapest one that no other
setting is measurably better than; the lowest number alone never wins.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from .along_scale import along_scale
from .compare import GROUP, with_intervals
from .comparisons import Judge
from .metric_words import quality, short_name
from .numbers import count, with_interval
from .results import GIVEN, direction, measured, metrics
from .sentences import Rung, Words


class Answer(NamedTuple):
    """What the results say about one model."""

    model: str
    lead: str
    notes: list[str]
    budgets: list[Rung]
    scales: list[Rung]
    cell: str | None
    """The cell the lead recommends."""


def answers(results: pd.DataFrame, judge: Judge | None = None, metric: str | None = None) -> list[Answer]:
    """One answer per model, about this metric (by default the frame's quality metric)."""
    metric, judge = metric or quality(results), judge or Judge()
    models = list(dict.fromkeys(results["model"]))
    if metric is None or direction(results, metric) is None:
        lead = "No metric here says which images are better, so there is no best setting."
        return [Answer(model, lead, [], [], [], None) for model in models]
    name, higher = short_name(metric, metrics(results)), bool(direction(results, metric))
    return [_answer(results[results["model"] == model], metric, name, higher, judge) for model in models]


def _answer(results: pd.DataFrame, metric: str, name: str, higher: bool, judge: Judge) -> Answer:
    model = results["model"].iloc[0]
    rows, remarks = comparable(measured(results, metric))
    judged = with_intervals(rows)
    if rows.empty:
        return Answer(model, f"No cell has a value of {name}: there is nothing to compare.", [], [], [], None)
    if judged.empty:
        lead = f"None of the values of {name} has an interval, so the data cannot tell which setting is best."
        return Answer(model, lead, remarks, [], [], None)
    if len(judged) < len(rows):
        remarks.append(f"{count(len(rows) - len(judged), 'setting')} without an interval cannot be ranked.")
    if (judged["sampler"] == GIVEN).all():
        return _of_given_images(judged.iloc[0], name)
    words = Words(name, higher, judged, judge)
    lead, pick, notes = words.lead()
    notes = [*notes, *words.within_half(pick), *along_scale(results, pick, metric, name, judge), *remarks]
    return Answer(model, lead, notes, words.budgets(), words.scales(), pick["cell"])


def _of_given_images(row: pd.Series, name: str) -> Answer:
    lead = f"Images from a folder: {name} {with_interval(row['value'], row['low'], row['high'])}."
    note = (
        "Nothing is known of how they were made: sampler, steps, guidance, seeds, evaluations and time are blank. They"
        " are paired with those of other models by prompt, not by noise."
    )
    return Answer(row["model"], lead, [note], [], [], row["cell"])


def comparable(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The largest group with one number of images and one set of prompts, and a remark on the others."""
    groups = [group for _, group in rows.groupby(GROUP, sort=False, dropna=False)]
    if len(groups) < 2:
        return rows, []
    largest = max(groups, key=len)
    left = count(len(rows) - len(largest), "cell")
    return largest, [f"{left} with another number of images or other prompts cannot be compared with these."]
