"""How sure a ranking is: where each cell may stand, and the probability that the order holds.

Two answers of different kinds. Ranks have a simultaneous interval: a cell is surely behind those that are measurably
better and surely before those that are measurably worse (Klein, Wright, Wieczorek 2020, doi:10.1111/rssa.12558).
Probabilities are shares of joint draws around the values, which is what a flat prior says.
"""

from __future__ import annotations

import numpy as np


def rank_interval(better: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest possible rank of each of C cells, 1 the best; better[i, j]: i is measurably better than j."""
    return 1 + better.sum(axis=0), len(better) - better.sum(axis=1)


def best_probability(scores: np.ndarray) -> np.ndarray:
    """Share of draws (rows) in which each cell has the highest score; equal scores share."""
    top = scores == scores.max(axis=1, keepdims=True)
    return (top / top.sum(axis=1, keepdims=True)).mean(axis=0)


def order_probability(values: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Of each cell: share of draws whose best k are those of ``values`` (C,) in the same order, k the cell's rank.

    The first is the probability that the best is the best, the last that the whole ranking holds.
    """
    order = np.argsort(-values, kind="stable")
    lined = scores[:, order]
    best_of_rest = np.maximum.accumulate(lined[:, ::-1], axis=1)[:, ::-1]
    holds = np.logical_and.accumulate(lined >= best_of_rest, axis=1).mean(axis=0)
    probability = np.empty(len(values))
    probability[order] = holds
    return probability
