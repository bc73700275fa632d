"""Do 95 % intervals hold in 95 of 100 repetitions? Each number's own, those of differences, those of all differences
together, and those for prompts like these; and rankings as often as they say?"""

import numpy as np
import pytest

from sigmabench.eval.metrics.clip_score import ClipScore
from sigmabench.eval.metrics.cmmd import cmmd
from sigmabench.eval.metrics.fd_infinity import infinity
from sigmabench.eval.metrics.features import load_extractor
from sigmabench.eval.metrics.frechet import frechet
from sigmabench.eval.metrics.kid import kernel_distance
from sigmabench.eval.metrics.reference import Reference, load_reference
from sigmabench.eval.statistics import Joint, clusters, draws, interval, order_probability, simultaneous
from sigmabench.eval.statistics.clusters import by_cluster

NAME, COSINE, REPETITIONS = "features/t-00000000/none", "cosine/cifarclip-00000000/none", 400
MIXING = np.array([[1.2, 0.4, 0.0, 0.1], [0.0, 0.8, 0.3, 0.0], [0.2, 0.0, 1.0, 0.3], [0.0, 0.1, 0.0, 0.6]])
SAMPLERS = (0.00, 0.02, 0.02)
"""How far each of three samplers is off; they share most of their noise, as samplers on the same seeds do."""


def features(rng, n):
    """Correlated and skewed, as features after a GELU are."""
    return (rng.exponential(size=(n, 4)) - 0.7) @ MIXING


class Population:
    """Real features of images, some to compare with and some to draw from, in the directions in which most happens."""

    def __init__(self, folder):
        name = load_extractor("embedded").name
        rows = load_reference("embedded", name, "embedded").features().astype(np.float64)
        rows = rows[np.random.default_rng(0).permutation(len(rows))]
        directions = np.linalg.eigh(np.cov(rows.T))[1][:, ::-1]
        self.rows, self.few = rows[1000:] * 1.05, rows[1000:] @ directions[:, :16] * 1.05
        self.reference = _reference(folder / "rows.npz", rows[:1000])
        self.reference_of_few = _reference(folder / "few.npz", rows[:1000] @ directions[:, :16])
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        self.unit, self.reference_of_unit = (
            (rows / lengths)[1000:],
            _reference(folder / "unit.npz", (rows / lengths)[:500]),
        )


def _reference(path, rows):
    moments = {"mu": rows.mean(axis=0), "sigma": np.cov(rows.T)}
    np.savez(path, features=rows.astype(np.float32), **moments)
    return Reference(path.stem, moments["mu"], moments["sigma"], len(rows), path)


@pytest.fixture(scope="module")
def population(tmp_path_factory):
    return Population(tmp_path_factory.mktemp("population"))


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return _reference(
        tmp_path_factory.mktemp("reference") / "real.npz", np.random.default_rng(99).standard_normal((400, 4))
    )


def drawn(rng, rows, n=200):
    return rows[rng.integers(0, len(rows), n)].astype(np.float32)


METRICS = {
    "fd": lambda rng, real: frechet([{NAME: drawn(rng, real.few)}], NAME, real.reference_of_few),
    "fd_inf": lambda rng, real: infinity(drawn(rng, real.few), NAME, real.reference_of_few),
    "kd": lambda rng, real: kernel_distance([{NAME: drawn(rng, real.rows)}], NAME, real.reference),
    "cmmd": lambda rng, real: cmmd([{NAME: drawn(rng, real.unit, 100)}], NAME, real.reference_of_unit),
    "clip_score": lambda rng, _: ClipScore().evaluate(
        [{COSINE: np.c_[0.3 - 0.05 * rng.exponential(size=60), [0] * 60]}]
    ),
}


@pytest.mark.parametrize("metric", METRICS)
def test_the_interval_of_a_number_covers_it(metric, population):
    """The number is what so many images give on average; of the unbiased ones that is the truth."""
    rng = np.random.default_rng(0)
    values = [METRICS[metric](rng, population) for _ in range(REPETITIONS)]
    truth = np.mean([value.value for value in values])
    found = [interval(value.value, value.influence) for value in values]
    assert 0.92 <= np.mean([one.low <= truth <= one.high for one in found]) <= 0.985


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
        off = rng.uniform(0, 0.4, 3)
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
