"""Do 95 % intervals hold in 95 of 100 repetitions? Each number's own, those of differences, those of all differences
together, and those for prompts like these; and rankings as often as they say?"""

import numpy as np
import pytest

from sigmabench.eval.metrics.clip_score import ClipScore
from sigmabench.eval.metrics.cmmd import cmmd
from sigmabench.eval.metrics.fd_infinity import infinity
from sigmabench.eval.metrics.frechet import frechet
from sigmabench.eval.metrics.kid import kernel_distance
from sigmabench.eval.metrics.reference import Reference
from sigmabench.eval.statistics import Joint, clusters, draws, interval, order_probability, simultaneous
from sigmabench.eval.statistics.clusters import by_cluster

NAME, COSINE, REPETITIONS = "features/t-00000000/none", "cosine/cifarclip-00000000/none", 400
MIXING = np.array([[1.2, 0.4, 0.0, 0.1], [0.0, 0.8, 0.3, 0.0], [0.2, 0.0, 1.0, 0.3], [0.0, 0.1, 0.0, 0.6]])
SAMPLERS = (0.00, 0.02, 0.02)
"""How far each of three samplers is off; they share most of their noise, as samplers on the same seeds do."""


def features(rng, n):
    """Correlated and skewed, as features after a GELU are."""
    return (rng.exponential(size=(n, 4)) - 0.7) @ MIXING


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    real = np.random.default_rng(99).standard_normal((400, 4))
    path = tmp_path_factory.mktemp("reference") / "real.npz"
    moments = {"mu": real.mean(axis=0), "sigma": np.cov(real.T)}
    np.savez(path, features=real.astype(np.float32), **moments)
    return Reference("real", moments["mu"], moments["sigma"], 400, path)


def fd(rng, reference):
    return frechet([{NAME: features(rng, 300)}], NAME, reference)


def fd_inf(rng, reference):
    return infinity(features(rng, 300), NAME, reference)


def kd(rng, reference):
    return kernel_distance([{NAME: features(rng, 100).astype(np.float32)}], NAME, reference)


def cmmd_(rng, reference):
    return cmmd([{NAME: features(rng, 100).astype(np.float32)}], NAME, reference)


def clip_score(rng, reference):
    cosines = 0.3 - 0.05 * rng.exponential(size=60)
    return ClipScore().evaluate([{COSINE: np.stack([cosines, np.zeros(60)], axis=1)}])


@pytest.mark.parametrize("metric", [fd, fd_inf, kd, cmmd_, clip_score], ids=lambda metric: metric.__name__)
def test_the_interval_of_a_number_covers_it(metric, reference):
    """The number is what images of this count give on average; for the unbiased ones that is the truth."""
    rng = np.random.default_rng(0)
    values = [metric(rng, reference) for _ in range(REPETITIONS)]
    truth = np.mean([value.value for value in values])
    found = [interval(value.value, value.influence) for value in values]
    assert 0.92 <= np.mean([one.low <= truth <= one.high for one in found]) <= 0.98


def three(rng, reference, n=200):
    """Frechet distances of three samplers on common noise."""
    common = features(rng, n)
    cells = [common * (1.3 + off) + 0.05 * features(rng, n) for off in SAMPLERS]
    return {str(i): frechet([{NAME: x}], NAME, reference) for i, x in enumerate(cells)}


def test_intervals_of_paired_frechet_differences_cover_them_alone_and_together(reference):
    rng = np.random.default_rng(1)
    joints = [Joint.of(three(rng, reference)) for _ in range(REPETITIONS)]
    truth = np.mean([joint.values for joint in joints], axis=0)
    alone, together = [], []
    for joint in joints:
        difference = joint.values[0] - joint.values[1]
        one = interval(difference, joint.influences[:, 0] - joint.influences[:, 1])
        alone.append(one.low <= truth[0] - truth[1] <= one.high)
        found = simultaneous(joint, count=300)
        exact = truth[found.pairs.a] - truth[found.pairs.b]
        together.append(((found.low <= exact) & (exact <= found.high)).all())
    assert 0.92 <= np.mean(alone) <= 0.98
    assert 0.92 <= np.mean(together) <= 0.985


def test_rankings_of_frechet_distances_hold_as_often_as_they_say(reference):
    """Truths are drawn anew each time from a law wide beside the errors, as the probability takes for granted."""
    rng, said, held = np.random.default_rng(2), [], []
    for _ in range(300):
        off = rng.uniform(0, 0.06, 3)
        common = features(rng, 150)
        cells = [common * (1.3 + shift) + 0.3 * features(rng, 150) for shift in off]
        joint = Joint.of({str(i): frechet([{NAME: x}], NAME, reference) for i, x in enumerate(cells)})
        said.append(order_probability(-joint.values, -joint.values - draws(joint.influences, 300)).min())
        held.append((np.argsort(off) == np.argsort(joint.values)).all())
    said, held = np.array(said), np.array(held)
    assert held.mean() == pytest.approx(said.mean(), abs=0.08)
    sure = said > np.median(said)
    assert held[sure].mean() > held[~sure].mean() + 0.15


# Prompts


PROMPTS = [f"prompt {i}" for i in range(12)]


def scores(rng, effects, n=96):
    """Of images of which every prompt has eight, some prompts being easier than others."""
    return effects[clusters(PROMPTS, n)] + rng.standard_normal(n)


def test_intervals_over_prompts_cover_what_other_prompts_would_give_and_those_over_images_do_not():
    rng, over_prompts, over_images = np.random.default_rng(3), [], []
    for _ in range(REPETITIONS):
        own = scores(rng, rng.standard_normal(12))
        for found, cluster in ((over_prompts, clusters(PROMPTS, 96)), (over_images, None)):
            one = interval(own.mean(), own - own.mean(), cluster)
            found.append(one.low <= 0 <= one.high)
    assert 0.92 <= np.mean(over_prompts) <= 0.98
    assert np.mean(over_images) < 0.7


def test_intervals_over_images_cover_what_these_prompts_would_give():
    rng, covered = np.random.default_rng(4), []
    effects = rng.standard_normal(12)
    for _ in range(REPETITIONS):
        own = scores(rng, effects)
        one = interval(own.mean(), own - own.mean())
        covered.append(one.low <= effects.mean() <= one.high)
    assert np.mean(covered) >= 0.95  # prompts are held fixed, so their spread is no error: on the safe side


def test_differences_of_all_pairs_over_prompts_hold_together():
    rng, cluster, covered = np.random.default_rng(5), clusters(PROMPTS, 96), []
    for _ in range(REPETITIONS):
        easy, taste = rng.standard_normal(12), 0.5 * rng.standard_normal((3, 12))  # each sampler likes other prompts
        rows = {str(i): scores(rng, easy + taste[i]) for i in range(3)}
        joint = Joint(tuple(rows), np.array([row.mean() for row in rows.values()]), _centred(rows, cluster), 96)
        found = simultaneous(joint, count=300)
        covered.append(((found.low <= 0) & (found.high >= 0)).all())
    assert 0.92 <= np.mean(covered) <= 0.985


def _centred(rows, cluster):
    columns = np.stack(list(rows.values()), axis=1)
    return by_cluster(columns - columns.mean(axis=0), cluster)


def test_a_prompt_for_each_image_is_the_image_and_the_error_is_the_cluster_robust_one():
    rng = np.random.default_rng(6)
    x = rng.standard_normal(30)
    x -= x.mean()
    assert interval(1.0, x, clusters(PROMPTS[:1] * 1 + [str(i) for i in range(29)], 30)) == pytest.approx(
        interval(1.0, x)
    )
    cluster = rng.integers(0, 7, 30)
    sums = np.array([x[cluster == g].sum() for g in np.unique(cluster)])
    assert interval(0.0, x, cluster).se == pytest.approx(np.sqrt(7 / 6 * (sums**2).sum()) / 30)
    assert clusters(["a", "b", "a"], 7).tolist() == [0, 1, 0, 0, 1, 0, 0]
    with pytest.raises(ValueError, match="at least 2 prompts"):
        by_cluster(x, np.zeros(30))
