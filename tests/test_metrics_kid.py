"""The kernel distance: torchmetrics' value, blocks of any size, and an honest standard error."""

import warnings

import numpy as np
import pytest

from sigmabench.eval.metrics import cmmd, mmd
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
    monkeypatch.setattr(mmd, "BLOCK", 40 * 20)
    assert [len(block) for block in mmd.blocks(x[i : i + 17] for i in range(0, 150, 17))] == [51, 51, 48]
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


def wide(rng, n, shift=0.0):
    return (rng.standard_normal((n, 24)) + shift).astype(np.float32)


def test_mode_clean_fid_is_clean_fids_number(tmp_path):
    from cleanfid.fid import kernel_distance as theirs

    rng = np.random.default_rng(4)
    x, y = wide(rng, 130, 0.1), wide(rng, 90)
    ours = kernel_distance([{NAME: x[:50]}, {NAME: x[50:]}], NAME, reference(tmp_path, y), "clean-fid")
    state = np.random.get_state()
    np.random.seed(0)
    expected = theirs(y.astype(np.float64), x.astype(np.float64))
    np.random.set_state(state)
    assert ours.value == pytest.approx(expected, rel=1e-9)
    assert ours.card["mode"] == "clean-fid"


def test_mode_torchmetrics_is_torchmetrics_number(tmp_path):
    import torch
    from torchmetrics.image.kid import KernelInceptionDistance

    rng = np.random.default_rng(5)
    x, y = wide(rng, 1100, 0.05), wide(rng, 1200)
    ours = kernel_distance([{NAME: x}], NAME, reference(tmp_path, y), "torchmetrics")
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        metric = KernelInceptionDistance(feature=torch.nn.Identity())
        metric.update(torch.from_numpy(x).double(), real=False)
        metric.update(torch.from_numpy(y).double(), real=True)
        torch.manual_seed(0)
        value, spread = metric.compute()
    assert ours.value == pytest.approx(float(value), rel=1e-9)
    assert ours.card["spread_over_subsets"] == pytest.approx(float(spread), rel=1e-9)
    assert ours.se != pytest.approx(float(spread), rel=0.3)  # which is not the error
    with pytest.raises(ValueError, match=r"needs 1000 images .* there are 1100 and 200; use mode='clean-fid'"):
        kernel_distance([{NAME: x}], NAME, reference(tmp_path, y[:200], "few.npz"), "torchmetrics")


def test_the_standard_error_of_a_mean_over_subsets_is_the_spread_over_repetitions(tmp_path):
    rng = np.random.default_rng(6)
    ref = reference(tmp_path, rng.standard_normal((60, 3)))
    found = [
        kernel_distance([{NAME: rng.standard_normal((150, 3)) * 1.3 + 0.4}], NAME, ref, "clean-fid", size=40)
        for _ in range(250)
    ]
    spread = np.std([value.value for value in found], ddof=1)
    assert np.mean([value.se for value in found]) == pytest.approx(spread, rel=0.15)


# CMMD


def biased(x, y):
    """The estimator of the paper's published code, in float64."""

    def kernel(a, b):
        return np.exp(-((a[:, None] - b[None]) ** 2).sum(axis=2) / 200)

    return 1000 * (kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean()), kernel


def unit(rng, n, shift):
    z = rng.standard_normal((n, 12)) + shift
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def test_cmmd_is_the_unbiased_form_of_the_published_codes_number(tmp_path):
    rng = np.random.default_rng(7)
    x, y = unit(rng, 70, 0.5).astype(np.float32), unit(rng, 50, 0.0).astype(np.float32)
    value = cmmd.cmmd([{NAME: x[:30]}, {NAME: x[30:]}], NAME, reference(tmp_path, y))
    theirs, kernel = biased(x.astype(float), y.astype(float))
    inside = [1000 * (1 - (kernel(z, z).sum() - len(z)) / (len(z) * (len(z) - 1))) / len(z)
              for z in (x.astype(float), y.astype(float))]  # fmt: skip
    assert value.value == pytest.approx(theirs - sum(inside), rel=1e-6)
    assert value.card["scale"] == 1000


def test_cmmd_has_no_bias_and_an_honest_error(tmp_path):
    rng = np.random.default_rng(8)
    ref = reference(tmp_path, unit(rng, 400, 0.0))
    truth = cmmd.cmmd([{NAME: unit(rng, 5000, 0.3)}], NAME, ref)
    found = [cmmd.cmmd([{NAME: unit(rng, 40, 0.3)}], NAME, ref) for _ in range(300)]
    spread = np.std([value.value for value in found], ddof=1)
    assert np.mean([value.value for value in found]) == pytest.approx(truth.value, abs=4 * spread / np.sqrt(300))
    assert np.mean([value.se for value in found]) == pytest.approx(spread, rel=0.12)


def test_cmmd_without_a_reference_says_what_to_give():
    with pytest.raises(ValueError, match=r"must be a folder of images, an \.npz with feature rows or"):
        cmmd.CMMD().observers("cpu")
