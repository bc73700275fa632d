"""The Frechet distance of the second and later cells against one reference, at 2048 dimensions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.linalg

from ..metrics.gaussian import distance, root, trace_alone, transport
from .row import Row, compared
from .timing import in_turns, ready, spread

DIMENSION, IMAGES, ROUNDS, GOAL, CLOSE = 2048, 6000, 1, 0.12, 1e-6


def rows(device: str) -> Iterator[Row]:
    """On the CPU whatever the device: features come to it once, and the distance is float64."""
    generator = np.random.default_rng(0)
    mix = generator.standard_normal((DIMENSION, DIMENSION)) / DIMENSION**0.5
    mean, cov = _moments(generator.standard_normal((IMAGES, DIMENSION)) @ mix)
    mean_r, cov_r = _moments(generator.standard_normal((IMAGES, DIMENSION)) @ mix * 1.1 + 0.1)
    root_r, found = root(cov_r), {}  # once for each reference

    def value() -> None:
        found["ours"] = distance(mean, cov, mean_r, cov_r, trace_alone(cov, root_r))

    def with_parts() -> None:
        trace, _ = transport(cov, root_r)
        distance(mean, cov, mean_r, cov_r, trace)

    def theirs() -> None:
        shared = scipy.linalg.sqrtm(cov @ cov_r).trace().real
        found["theirs"] = ((mean - mean_r) ** 2).sum() + cov.trace() + cov_r.trace() - 2 * shared

    runs = {"value": value, "with parts": with_parts, "theirs": theirs}
    times = in_turns({name: ready(run) for name, run in runs.items()}, ROUNDS, "cpu")
    what, peer, unit = f"Frechet distance, {DIMENSION} dimensions, later cells", "scipy.linalg.sqrtm", ("CPU s", 1.0)
    yield compared(what, peer, times["value"], times["theirs"], GOAL, unit)
    note = "sqrtm gives no such parts; they are what standard errors and paired comparisons come from"
    yield compared(f"{what}, with every image's part", peer, times["with parts"], times["theirs"], GOAL, unit, note)
    off = float(abs(found["ours"] / found["theirs"] - 1))
    yield Row("its relative difference", peer, spread([off]), CLOSE)


def _moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return rows.mean(0), np.cov(rows, rowvar=False)
