"""torch-fidelity's numbers on the same features, to 1e-6: a third opinion beside clean-fid and torchmetrics."""

import warnings

import numpy as np
import pytest
import torch

from sigmabench.eval.metrics.balls import FORMULAS
from sigmabench.eval.metrics.frechet import frechet
from sigmabench.eval.metrics.inception_score import inception_score
from sigmabench.eval.metrics.kid import subset_distance
from sigmabench.eval.metrics.reference import Reference

fidelity = pytest.importorskip("torch_fidelity", reason="pip install 'sigmabench[dev]'")
NAME = "features/test-00000000/none"


@pytest.fixture(scope="module")
def features():
    """Correlated rows of images and of a reference, in float64 as torch-fidelity's own extractors give them."""
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((24, 24)) / 5
    return rng.standard_normal((300, 24)) @ mixing + 0.2, rng.standard_normal((400, 24)) @ mixing


@pytest.fixture(scope="module")
def reference(features, tmp_path_factory):
    real = features[1]
    path = tmp_path_factory.mktemp("fidelity") / "real.npz"
    np.savez(path, features=real)
    return Reference("real", real.mean(axis=0), np.cov(real.T), len(real), path)


def test_the_frechet_distance(features, reference):
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    statistics = [fid_features_to_statistics(torch.from_numpy(rows)) for rows in features]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet([{NAME: features[0]}], NAME, reference).value == pytest.approx(theirs, rel=1e-6)
    np.testing.assert_allclose(statistics[1]["mu"], reference.mean, rtol=1e-9)
    np.testing.assert_allclose(statistics[1]["sigma"], reference.cov, rtol=1e-9, atol=1e-12)


def test_the_kernel_distance_of_the_same_subsets(features):
    from torch_fidelity.metric_kid import kid_features_to_metric

    options = {"kid_subsets": 12, "kid_subset_size": 100, "kid_degree": 3, "kid_gamma": None, "kid_coef0": 1.0}
    more = {"kid_kernel": "poly", "rng_seed": 2020, "verbose": False}
    theirs = kid_features_to_metric(*map(torch.from_numpy, features), **options, **more)
    random = np.random.RandomState(2020)
    draws = [tuple(random.choice(len(rows), 100, replace=False) for rows in features) for _ in range(12)]
    value, _, spread = subset_distance(*features, iter(draws))
    assert value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6)
    assert spread == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-6)


def test_the_inception_score_of_one_split():
    from torch_fidelity.metric_isc import isc_features_to_metric

    logits = torch.randn(200, 10, generator=torch.Generator().manual_seed(0)).double()
    theirs = isc_features_to_metric(logits, splits=1)["inception_score_mean"]
    assert inception_score(torch.softmax(logits, 1).numpy(), {}).value == pytest.approx(theirs, rel=1e-6)


def test_precision_and_recall(features, reference):
    from torch_fidelity.metric_prc import prc_features_to_metric

    x = np.float64(np.float32(features[0]))
    real = np.float64(reference.features())
    options = {"prc_neighborhood": 3, "prc_batch_size": 128, "save_cpu_ram": False, "verbose": False}
    theirs = prc_features_to_metric(torch.from_numpy(x), torch.from_numpy(real), **options)
    for name in ("precision", "recall"):
        assert FORMULAS[name](x, reference, 3)[0] == pytest.approx(theirs[name], abs=1e-6)
