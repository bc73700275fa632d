"""The Frechet distance of the second and later cells against one reference, at 2048 dimensions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.linalg

from ..metrics.gaussian import distance, factor, influence, trace_alone, transport
from .row import Row, compared
from .timing import in_turns, ratios, ready, spread

DIMENSION, IMAGES, ROUNDS, GOAL, CLOSE = 2048, 6000, 1, 0.12, 1e-6


def rows(device: str) -> Iterator[Row]:
    """On the CPU whatever the device: features come to it once, and the distance is float64."""
    generator = np.random.default_rng(0)
    mix = generator.standard_normal((DIMENSION, DIMENSION)) / DIMENSION**0.5
    images = generator.standard_normal((IMAGES, DIMENSION)) @ mix
    mean, cov = _moments(images)
    mean_r, cov_r = _moments(generator.standard_normal((IMAGES, DIMENSION)) @ mix * 1.1 + 0.1)
    reference, found = factor(cov_r), dict[str, Any]()  # once for each reference
    product = reference.gram(cov)

    def value() -> None:
        found["ours"] = distance(mean, cov, mean_r, cov_r, trace_alone(cov, reference))

    def with_map() -> None:
        trace, found["form"] = transport(cov, reference)
        distance(mean, cov, mean_r, cov_r, trace)

    def parts() -> None:
        influence(images, mean, mean_r, found["form"])

    def eigenvectors() -> None:
        scipy.linalg.eigh(product, driver="evd")

    def theirs() -> None:
        shared = scipy.linalg.sqrtm(cov @ cov_r).trace().real
        found["theirs"] = ((mean - mean_r) ** 2).sum() + cov.trace() + cov_r.trace() - 2 * shared

    runs = {"value": value, "map": with_map, "parts": parts, "eigenvectors": eigenvectors, "theirs": theirs}
    times = in_turns({name: ready(run) for name, run in runs.items()}, ROUNDS, "cpu")
    what, peer, unit = f"Frechet distance, {DIMENSION} dimensions, later cells", "scipy.linalg.sqrtm", ("CPU s", 1.0)
    yield compared(what, peer, times["value"], times["theirs"], GOAL, unit)
    floor = ratios(times["eigenvectors"], times["theirs"]).median
    note = (
        f"sqrtm gives no such map; standard errors and paired comparisons come from it. LAPACK's dsyevd alone takes "
        f"{floor:.3f}; the parts of {IMAGES:,} images take {spread(times['parts']).median:.2g} CPU s more"
    )
    yield compared(f"{what}, with the map of every image's part", peer, times["map"], times["theirs"], GOAL, unit, note)
    off = float(abs(found["ours"] / found["theirs"] - 1))
    yield Row("its relative difference", peer, spread([off]), CLOSE)


def _moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return rows.mean(0), np.cov(rows, rowvar=False)
