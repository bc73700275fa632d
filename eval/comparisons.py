"""All paired comparisons of a run, and where they leave each cell.

A family is what compares: cells of one model with the same prompts, seeds, number of images and metric. When a sweep
goes on until cells are separated, a family is looked at again on more images, with the cells that nothing beats so far;
look k may be wrong with probability 0.05 / 2^k, so that all looks together are with less than 0.05.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..reports.comparisons import COLUMNS
from ..reports.results import STANDING
from .comparable import Measurement, identity, images_of
from .statistics import (
    Differences,
    Joint,
    best_probability,
    front_probability,
    images_needed,
    order_probability,
    rank_interval,
    simultaneous,
)
from .statistics.simultaneous import LEVEL


class Look(NamedTuple):
    """All pairs of some cells, once."""

    joint: Joint
    level: float
    found: Differences

    def better(self, higher: bool) -> np.ndarray:
        """[i, j]: cell i is measurably better than cell j."""
        pairs, above, below = self.found.pairs, self.found.low > 0, self.found.high < 0
        matrix = np.zeros((len(self.joint.cells),) * 2, dtype=bool)
        matrix[pairs.a, pairs.b] = above if higher else below
        matrix[pairs.b, pairs.a] = below if higher else above
        return matrix

    def unbeaten(self, higher: bool) -> list[str]:
        """The cells that none is measurably better than."""
        better = self.better(higher)
        return [cell for i, cell in enumerate(self.joint.cells) if not better[:, i].any()]


class Costs(NamedTuple):
    """Of an image of a cell: network evaluations, seconds, and the standard error of the seconds."""

    nfe: float
    seconds: float
    error: float


def look(joint: Joint, number: int = 0, *, sequential: bool = False) -> Look:
    """Compare all pairs; the first of several looks spends half of the 5 %, each next one half of what is left."""
    level = 1 - (1 - LEVEL) / 2 ** (number + 1) if sequential else LEVEL
    return Look(joint, level, simultaneous(joint, level))


def families(measurements: Iterable[Measurement]) -> list[list[Measurement]]:
    """Groups of measurements that may be compared, in order of appearance."""
    groups: dict[Any, list[Measurement]] = {}
    for one in measurements:
        groups.setdefault((one.cell.model, *images_of(one), *identity(one)), []).append(one)
    return list(groups.values())


def compared(metric: str, looks: Sequence[Look]) -> pd.DataFrame:
    """One row per pair of cells, from the last look that had both. See ``reports.comparisons.COLUMNS``."""
    frame = pd.concat([_pairs(metric, one) for one in looks], ignore_index=True)
    return frame.drop_duplicates(["a", "b"], keep="last").reset_index(drop=True)


def _pairs(metric: str, one: Look) -> pd.DataFrame:
    found, n = one.found, one.joint.images
    cells = np.array(one.joint.cells, dtype=object)
    needed = images_needed(found.pairs.difference, found.pairs.se, n, found.critical)
    columns = (
        metric, cells[found.pairs.a], cells[found.pairs.b], n, found.pairs.difference, found.pairs.se, found.low,
        found.high, found.p, one.level, found.pairs.gain, needed,
    )  # fmt: skip
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def standing(looks: Sequence[Look], higher: bool, costs: Mapping[str, Costs]) -> dict[str, dict[str, float]]:
    """Of each cell: its possible ranks and its chances to be the best, to be in order and to be on the Pareto front.

    Fronts are of the first look, which has all cells. Ranks and chances are of the last look that a cell was in; a cell
    that has dropped out is not the best.
    """
    found: dict[str, dict[str, float]] = {}
    fronts = _fronts(looks[0].joint, higher, costs)
    for one in looks:
        sign = 1 if higher else -1
        scores = sign * (one.joint.values + one.joint.errors)
        low, high = rank_interval(one.better(higher))
        columns = (low, high, best_probability(scores), order_probability(sign * one.joint.values, scores))
        for dropped in found.keys() - set(one.joint.cells):
            found[dropped]["p_best"] = 0.0
        for cell, *ranks in zip(one.joint.cells, *columns, strict=True):
            numbers = (costs[cell].error, *ranks, *fronts[cell])
            found[cell] = dict(zip(STANDING, map(float, numbers), strict=True))
    return found


def _fronts(joint: Joint, higher: bool, costs: Mapping[str, Costs]) -> dict[str, tuple[float, float]]:
    """Probabilities of being on the front over network evaluations and over seconds; nan where costs are unknown."""
    scores = (1 if higher else -1) * (joint.values + joint.errors)
    nfe, seconds, error = np.array([costs[cell] for cell in joint.cells], dtype=np.float64).T
    noise = np.random.default_rng(2).standard_normal(scores.shape)
    fronts = [
        front_probability(scores, cost) if np.isfinite(cost).all() else np.full(len(nfe), np.nan)
        for cost in (nfe, seconds + error * noise)
    ]
    return dict(zip(joint.cells, zip(*(front.tolist() for front in fronts), strict=True), strict=True))
