"""Going on with the cells that nothing beats yet, until one is left or the budget is spent."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pandas as pd

from ..plugins.registry import build
from ..reports.compare import GROUP, unbeaten
from ..reports.comparisons import Judge
from ..reports.metric_words import decisive
from ..reports.results import conform, measured
from .cells import Planned
from .errors import UsageError
from .plans import Plan
from .results import evaluate
from .store import Store
from .valued import Values


def deciding_metric(plan: Plan) -> str:
    """
    Raises:
        UsageError: if no metric of the sweep says which images are better.
    """
    metric = decisive({text: build("metric", text).higher_is_better for text in plan.sweep.metrics})
    if metric is None:
        raise UsageError(
            "until = 'separated' needs a metric that says which images are better, such as fd or clip_score"
        )
    return metric


def undecided(plan: Plan, store: Store) -> Iterator[tuple[int, list[Planned]]]:
    """The number of images at the next look, and the cells to bring there; ends when the best cell is clear.

    The caller makes the images before asking for the next look. A cell that lost is not looked at again.
    """
    if not plan.sweep.until:
        return
    metric = deciding_metric(plan)
    one = dataclasses.replace(plan, sweep=plan.sweep.model_copy(update={"metrics": [metric]}))
    values = Values(store)
    for images in plan.sweep.looks()[1:]:
        keys = _open(one, values, metric)
        if not keys:
            return
        yield images, [planned for planned in plan.runnable if planned.cell.key in keys]


def _open(plan: Plan, values: Values, metric: str) -> set[str]:
    """Cells of groups in which two or more different ones are unbeaten."""
    results, comparisons, _ = evaluate(plan, values.store, values)
    judge, rows, found = Judge(comparisons), measured(conform(results), metric), set()
    for _, group in rows.groupby(GROUP, sort=False, dropna=False):
        left = unbeaten(group, bool(group["higher_is_better"].iloc[0]), judge)
        first = left.iloc[0]
        if any(not _same(judge, first, row) for _, row in left.iloc[1:].iterrows()):
            found |= set(left["cell"])
    return found


def _same(judge: Judge, a: pd.Series, b: pd.Series) -> bool:
    """Whether two cells made the same images, so that no number of them would separate the two."""
    pair = judge.pair(a, b)
    return pair is not None and pair.low == pair.high == 0
