"""The Pareto front of quality against cost: cells that nothing cheaper or equally cheap beats, with their uncertainty.

A front drawn through the best values alone is too good and too sure of itself. Here each cell has the probability of
being on the front, over joint draws of all values and, where costs are measured, of the costs.
"""

from __future__ import annotations

import numpy as np


def front_probability(scores: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Share of draws in which each cell is on the front.

    scores (draws, C): more is better. costs: (C,) where they are exact, such as network evaluations, or (draws, C).
    """
    return on_front(scores, np.broadcast_to(costs, scores.shape)).mean(axis=0)


def on_front(scores: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Whether no other cell of the same row costs at most as much and scores more, or costs less and scores as much.

    (rows, C) to (rows, C) of bool.
    """
    order = np.lexsort((-scores, costs), axis=1)  # by cost, the best score first among equal costs
    lined, price = np.take_along_axis(scores, order, 1), np.take_along_axis(costs, order, 1)
    before = np.maximum.accumulate(lined, axis=1)
    front = np.ones(lined.shape, dtype=bool)
    equal = (lined[:, 1:] == lined[:, :-1]) & (price[:, 1:] == price[:, :-1])
    for i in range(1, lined.shape[1]):
        front[:, i] = (lined[:, i] > before[:, i - 1]) | (equal[:, i - 1] & front[:, i - 1])
    result = np.empty_like(front)
    np.put_along_axis(result, order, front, 1)
    return result
