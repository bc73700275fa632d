"""The same Frechet distance by the code of torchmetrics and clean-fid, on moments that are already there.

Both work with the product S S_r and its eigenvalues or root, so they lose digits when covariances are singular: good as
second opinions, and where a number must come from the library that others used.
"""

from __future__ import annotations

import inspect
import types
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

LIBRARIES = ("sigmabench", "torchmetrics", "clean-fid")


def torchmetrics_distance(blocks: Iterable[np.ndarray], mean: np.ndarray, cov: np.ndarray, n: int) -> float:
    """FrechetInceptionDistance fed with feature rows through an identity network, in float64.

    The reference's moments are written into its states. torchmetrics sums features without centring them, so a large
    common offset costs digits there.
    """
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    identity = torch.nn.Identity()
    identity.num_features = len(mean)  # type: ignore[assignment]
    metric = FrechetInceptionDistance(feature=identity)
    for block in blocks:
        metric.update(torch.from_numpy(np.ascontiguousarray(block, dtype=np.float64)), real=False)
    metric.real_features_sum = torch.from_numpy(n * mean)
    metric.real_features_cov_sum = torch.from_numpy((n - 1) * cov + n * np.outer(mean, mean))
    metric.real_features_num_samples = torch.tensor(n)
    return float(metric.compute())


def cleanfid_distance(
    mean: np.ndarray, cov: np.ndarray, reference_mean: np.ndarray, reference_cov: np.ndarray
) -> float:
    """cleanfid.fid.frechet_distance, also with SciPy >= 1.18.

    Raises:
        ValueError: clean-fid's own, when its root of the product becomes complex; use via='sigmabench'.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return float(_frechet_distance()(mean, cov, reference_mean, reference_cov))
        except ValueError as error:
            raise ValueError(f"clean-fid: {error}; covariances are singular, use via='sigmabench'") from error


def _frechet_distance() -> Any:
    """clean-fid's function; where SciPy's sqrtm no longer has ``disp``, the same code with one that accepts it."""
    import cleanfid.fid
    from scipy import linalg

    original = cleanfid.fid.frechet_distance
    if "disp" in inspect.signature(linalg.sqrtm).parameters:
        return original

    def sqrtm(matrix: np.ndarray, disp: bool = True) -> Any:
        return linalg.sqrtm(matrix) if disp else (linalg.sqrtm(matrix), np.nan)

    names = {**original.__globals__, "linalg": types.SimpleNamespace(sqrtm=sqrtm)}
    return types.FunctionType(original.__code__, names, original.__name__, original.__defaults__)
