"""Which numbers may be compared: of the same metric, on the same images."""

from __future__ import annotations

from typing import NamedTuple

from .cells import Cell
from .protocols import Value

IDENTITY = (
    "metric", "mode", "extractor", "network", "model", "judge", "dimension", "reference", "reference_n",
    "reference_rows", "kernel", "via", "scale", "formula", "distance", "neighbours",
)  # fmt: skip
"""Entries of a metric's card that say what was measured; numbers whose cards differ in one are of different metrics."""


class Measurement(NamedTuple):
    """A number of a cell."""

    cell: Cell
    metric: str
    value: Value


def images_of(measurement: Measurement) -> tuple[object, ...]:
    """What decides which images are meant: equal for measurements that may be paired image by image."""
    cell = measurement.cell
    return cell.prompts, cell.seed, measurement.value.n


def identity(measurement: Measurement) -> tuple[object, ...]:
    """What decides which metric is meant."""
    card = measurement.value.card
    return (measurement.metric, *(repr(card.get(name)) for name in IDENTITY))


def refusal(a: Measurement, b: Measurement) -> str:
    """Why two numbers may not be compared; empty if they may."""
    facts = {
        "number of images": (a.value.n, b.value.n), "prompts": (a.cell.prompts, b.cell.prompts),
        "first seed": (a.cell.seed, b.cell.seed), "metric": (a.metric, b.metric),
        **{name: (a.value.card.get(name), b.value.card.get(name)) for name in IDENTITY},
    }  # fmt: skip
    for what, (first, second) in facts.items():
        if repr(first) != repr(second):
            return f"their {what} differ, {first} and {second}; only numbers of the same metric and images compare"
    return ""
