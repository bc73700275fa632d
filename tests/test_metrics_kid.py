"""The kernel distance: torchmetrics' value, blocks of any size, and an honest standard error."""

import warnings

import numpy as np
import pytest

from sigmabench.eval.metrics import kid
from sigmabench.eval.metrics.kid import kernel_distance
from sigmabench.eval.metrics.reference import Reference

NAME = "features/test-00000000/none"


def reference(tmp_path, features, name="real.npz"):
    moments = {"mu": features.mean(axis=0), "sigma": np.cov(features.T)}
    np.savez(tmp_path / name, features=features.astype(np.float32), **moments)
    return Reference(name, moments["mu"], moments["sigma"], len(features), tmp_path / name)


def naive(x, y):
    d = x.shape[1]
    xx, yy, xy = ((a @ b.T / d + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    n, m = len(x), len(y)
    return (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1)) - 2 * xy.mean()


def test_the_value_is_that_of_torchmetrics_with_one_subset_of_everything(tmp_path):
    import torch
    from torchmetrics.image.kid import KernelInceptionDistance

    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((120, 32)).astype(np.float32) + shift for shift in (0.2, 0.0))
    with warnings.catch_warnings(), torch.random.fork_rng():  # it draws its subsets from torch's global generator
        warnings.simplefilter("ignore")
        metric = KernelInceptionDistance(feature=torch.nn.Identity(), subsets=1, subset_size=120)
        metric.update(torch.from_numpy(x).double(), real=False)
        metric.update(torch.from_numpy(y).double(), real=True)
        theirs = float(metric.compute()[0])
    assert kernel_distance([{NAME: x}], NAME, reference(tmp_path, y)).value == pytest.approx(theirs, rel=1e-9)


def test_blocks_and_shards_do_not_change_the_value_or_the_influences(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    x, y = (rng.standard_normal((n, 20)).astype(np.float32) for n in (150, 90))
    ref = reference(tmp_path, y)
    whole = kernel_distance([{NAME: x}], NAME, ref)
    assert whole.value == pytest.approx(naive(x.astype(float), y.astype(float)), abs=1e-12)
    monkeypatch.setattr(kid, "BLOCK", 40 * 20)
    assert [len(block) for block in kid._blocks(x[i : i + 17] for i in range(0, 150, 17))] == [51, 51, 48]
    split = kernel_distance([{NAME: x[i : i + 17]} for i in range(0, 150, 17)], NAME, ref)
    assert split.value == pytest.approx(whole.value, abs=1e-13)
    np.testing.assert_allclose(split.influence, whole.influence, atol=1e-6)


def test_it_has_no_bias_and_its_standard_error_is_the_spread_over_repetitions(tmp_path):
    rng = np.random.default_rng(2)
    ref = reference(tmp_path, rng.standard_normal((400, 3)))
    truth = kernel_distance([{NAME: np.float32(rng.standard_normal((6_000, 3)) * 1.3 + 0.4)}], NAME, ref)
    small = [
        kernel_distance([{NAME: np.float32(rng.standard_normal((100, 3)) * 1.3 + 0.4)}], NAME, ref) for _ in range(500)
    ]
    values = np.array([v.value for v in small])
    spread = values.std(ddof=1)
    assert values.mean() == pytest.approx(truth.value, abs=3 * spread / np.sqrt(500) + 2 * truth.se)
    assert np.mean([v.se for v in small]) == pytest.approx(spread, rel=0.12)


def test_a_reference_of_moments_alone_is_refused_with_the_remedy(tmp_path):
    y = np.random.default_rng(3).standard_normal((50, 4))
    np.savez(tmp_path / "moments.npz", mu=y.mean(axis=0), sigma=np.cov(y.T))
    ref = Reference("moments", y.mean(axis=0), np.cov(y.T), 50, tmp_path / "moments.npz")
    with pytest.raises(ValueError, match=r"moments but no feature rows.*folder of images"):
        kernel_distance([{NAME: y}], NAME, ref)
