"""``sigmabench compare``: two cells, or two runs cell by cell, answered in a sentence with numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..plugins.registry import build
from ..reports.compare import rounded
from ..reports.metric_words import decisive
from ..reports.numbers import count, digits, number, short
from .cells import Cell
from .comparable import Measurement, refusal
from .errors import UsageError
from .plans import PLAN, Plan, load_plan
from .results import covered
from .selection import describe, select
from .statistics import Differences, Joint, images_needed, simultaneous
from .statistics.simultaneous import LEVEL
from .store import Store


class Side(NamedTuple):
    """A cell where it is kept."""

    store: Store
    plan: Plan
    cell: Cell


class Finding(NamedTuple):
    """What the data say: a sentence for people, its numbers for programs."""

    sentence: str
    facts: dict[str, Any]


def compare(a: str, b: str, folder: Path, chosen: Sequence[str]) -> Iterator[Finding]:
    """Findings about two cells or two folders of runs, one for each chosen metric.

    Raises:
        UsageError: for cells that cannot be found or are not comparable, with the reason.
    """
    if is_run(Path(a)) and is_run(Path(b)):
        return compare_runs(Path(a), Path(b), chosen)
    sides = find(a, folder), find(b, folder)
    return (_of_two(*sides, metric) for metric in chosen or [_default(*sides)])


def compare_runs(a: Path, b: Path, chosen: Sequence[str]) -> Iterator[Finding]:
    """Of each metric: how many of the cells that both runs have differ, then each of those."""
    plans = load_plan(a), load_plan(b)
    stores = Store(a), Store(b)
    others = {_settings(planned.cell): planned.cell for planned in plans[1].runnable}
    matched = [
        (Side(stores[0], plans[0], planned.cell), Side(stores[1], plans[1], others[_settings(planned.cell)]))
        for planned in plans[0].runnable
        if _settings(planned.cell) in others
    ]
    if not matched:
        raise UsageError(
            f"{a} and {b} have no cell in common: sampler, schedule, spacing, steps and guidance all count"
        )
    return (line for metric in chosen or [_default(*matched[0])] for line in _of_runs(a, b, matched, metric))


def find(text: str, folder: Path) -> Side:
    """The cell that ``text`` means in the folder, or in another with ``other/folder:text``."""
    elsewhere, _, words = text.rpartition(":")
    if elsewhere and is_run(Path(elsewhere)):
        folder, text = Path(elsewhere), words
    plan = load_plan(folder)
    return Side(Store(folder), plan, select(text, [planned.cell for planned in plan.runnable]))


def is_run(folder: Path) -> bool:
    return (folder / PLAN).is_file()


def _settings(cell: Cell) -> tuple[Any, ...]:
    return cell.sampler, cell.schedule, cell.spacing, cell.steps, cell.guidance


def _default(a: Side, b: Side) -> str:
    common = [metric for metric in a.plan.sweep.metrics if metric in b.plan.sweep.metrics]
    metric = decisive({text: build("metric", text).higher_is_better for text in common})
    if metric is None:
        raise UsageError("the runs have no metric in common that says which is better; name one with --metric")
    return metric


def _measure(a: Side, b: Side, metric: str) -> tuple[Measurement, Measurement]:
    """Both numbers over the images that both cells have."""
    images = min(covered(side.store, side.cell) for side in (a, b))
    instance = build("metric", metric)
    if images < instance.minimum:
        raise UsageError(f"{metric} needs {instance.minimum} common images, there are {images}; run the sweep again")
    try:
        one, other = (
            Measurement(side.cell, metric, instance.evaluate(side.store.observations(side.cell, images)))
            for side in (a, b)
        )
    except (ValueError, KeyError, OSError) as error:
        raise UsageError(f"{metric}: {error}") from error
    if reason := refusal(one, other):
        raise UsageError(f"{describe(a.cell)} and {describe(b.cell)} are not comparable: {reason}")
    return one, other


def _differ(plan: Plan, one: Measurement, other: Measurement, level: float = LEVEL) -> Differences:
    values = {"a": one.value, "b": other.value}
    return simultaneous(Joint.of(values, plan.clusters(one.value.n)), level)


def _of_two(a: Side, b: Side, metric: str) -> Finding:
    one, other = _measure(a, b, metric)
    names = _names(a, b)
    found, higher = _differ(a.plan, one, other), build("metric", metric).higher_is_better
    said = sentence(*names, metric, one, other, found, higher, _whose(a.plan, one.value.n))
    return Finding(said, _facts(*names, metric, one, other, found))


def _facts(a: str, b: str, metric: str, one: Measurement, other: Measurement, found: Differences) -> dict[str, Any]:
    """Of a and b; the difference is a less b, with its interval."""
    n, d, se = one.value.n, found.pairs.difference[0], found.pairs.se[0]
    return {
        "metric": metric, "a": a, "b": b, "values": [one.value.value, other.value.value], "images": n,
        "difference": float(d), "low": float(found.low[0]), "high": float(found.high[0]), "p": float(found.p[0]),
        "differ": bool(found.separated[0]), "images_needed": rounded(float(images_needed(d, se, n, found.critical))),
    }  # fmt: skip


def _whose(plan: Plan, images: int) -> str:
    """Of which prompts the images are, where they share some, and whether the claim is about others too."""
    prompts = len({plan.prompts[i % len(plan.prompts)] for i in range(images)})
    like = ", for prompts like these" if plan.sweep.intervals == "prompts" else ""
    return f" of {count(prompts, 'prompt')}{like}" if prompts < images or like else ""


def _names(a: Side, b: Side) -> tuple[str, str]:
    """The cells in words, with their folders or models where those are what differs."""
    first, second = describe(a.cell), describe(b.cell)
    if first != second:
        return first, second
    if a.cell.model != b.cell.model:
        return f"{first} on {a.cell.model}", f"{second} on {b.cell.model}"
    return f"{a.store.root.name}:{first}", f"{b.store.root.name}:{second}"


def sentence(
    a: str, b: str, metric: str, one: Measurement, other: Measurement, found: Differences, higher: bool | None,
    whose: str = "",
) -> str:  # fmt: skip
    """What the data say about a and b, in one sentence with numbers."""
    n, d, se = one.value.n, found.pairs.difference[0], found.pairs.se[0]
    low, high = sorted((float(found.low[0]), float(found.high[0])))
    half = (high - low) / 2
    values = [number(m.value.value, m.value.value - half, m.value.value + half) for m in (one, other)]
    images = count(n, "common image") + whose
    against = f"{metric} is {values[0]} against {values[1]}"
    if d == 0 and se == 0:
        return f"{a} and {b} are the same: {against} over {images}, each of which counts the same."
    places = digits(d, low, high)
    interval = f"[{low:+.{places}f}, {high:+.{places}f}]"
    difference = f"{against}, a difference of {d:+.{places}f} {interval} over {images}"
    if found.separated[0]:
        verb = "has more" if higher is None and d > 0 else "has less" if higher is None else ""
        better = verb or ("is better than" if (d > 0) == higher else "is worse than")
        subject = f"{a} {better} {metric} than {b}" if verb else f"{a} {better} {b}"
        gain = found.pairs.gain[0]
        paired = f"; without pairing it would take {short(round(gain, 1))} times as many" if gain > 1 else ""
        return f"{subject}: {difference} (p {_p(found.p[0])}{paired})."
    needed = rounded(float(images_needed(d, se, n, found.critical)))
    more = f"if it is real, about {short(needed)} images would show it" if needed else "no number of images would help"
    return f"The data cannot tell {a} from {b}: {difference} (p {_p(found.p[0])}); {more}."


def _p(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"= {p:.2g}"


def _of_runs(a: Path, b: Path, matched: Sequence[tuple[Side, Side]], metric: str) -> Iterator[Finding]:
    level, higher = 1 - (1 - LEVEL) / len(matched), build("metric", metric).higher_is_better
    lines, same, apart = [], 0, 0
    for first, second in matched:
        one, other = _measure(first, second, metric)
        found = _differ(first.plan, one, other, level)
        same += bool(found.pairs.difference[0] == 0 and found.pairs.se[0] == 0)
        if found.separated[0]:
            apart += 1
            names = (f"{a.name}:{describe(first.cell)}", f"{b.name}:{describe(second.cell)}")
            whose = _whose(first.plan, one.value.n)
            said = sentence(*names, metric, one, other, found, higher, whose)
            lines.append(Finding(said, _facts(*names, metric, one, other, found)))
    summary = (
        f"Of {count(len(matched), 'cell')} that {a} and {b} have in common, {apart} "
        f"{'differs' if apart == 1 else 'differ'} measurably in {metric}, {same} are the same image by image, and the "
        f"data cannot tell the other {len(matched) - apart - same} apart ({LEVEL:.0%} for all cells together)."
    )
    yield Finding(summary, {"metric": metric, "cells": len(matched), "differ": apart, "same": same})
    yield from lines
