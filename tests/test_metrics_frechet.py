"""The Frechet distance: known answers, streaming, standard errors, and agreement with torchmetrics and clean-fid."""

import warnings

import numpy as np
import pytest

from sigmabench.eval.metrics import libraries
from sigmabench.eval.metrics.frechet import frechet
from sigmabench.eval.metrics.gaussian import Factor, Moments, distance, factor, influence, root, trace_alone, transport
from sigmabench.eval.metrics.reference import Reference

NAME = "features/test-00000000/none"


def reference(features=None, *, mean=None, cov=None, n=None):
    if features is not None:
        moments = Moments([features])
        mean, cov, n = moments.mean, moments.cov, moments.n
    return Reference("test", mean, cov, n, path=None)


def shards(features, size=100):
    return [{NAME: features[i : i + size]} for i in range(0, len(features), size)]


def orthogonal(d, rng):
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


def fd(mean, cov, ref):
    return distance(mean, cov, ref.mean, ref.cov, transport(cov, ref.factor).trace)


def with_moments(n, mean, cov, rng):
    """Rows whose mean and unbiased covariance are exactly these."""
    z = rng.standard_normal((n, len(mean)))
    z -= z.mean(axis=0)
    z = z @ np.linalg.inv(root(z.T @ z / (n - 1)))
    return z @ root(cov) + mean


def test_commuting_gaussians_have_the_closed_form_distance():
    rng = np.random.default_rng(0)
    q, a, b = orthogonal(40, rng), rng.uniform(0.1, 9, 40), rng.uniform(0.1, 9, 40)
    m, m_r = rng.standard_normal(40), rng.standard_normal(40)
    expected = ((m - m_r) ** 2).sum() + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    got = fd(m, q * a @ q.T, reference(mean=m_r, cov=q * b @ q.T))
    assert got == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("large", [False, True])
def test_a_transported_gaussian_of_condition_1e8_has_its_known_distance(monkeypatch, large):
    """If S = T S_r T then tr (H S H)^(1/2) = tr(T S_r)."""
    if large:  # the path of 2048 dimensions
        monkeypatch.setattr("sigmabench.eval.metrics.gaussian.EXACT", 0)
    rng = np.random.default_rng(1)
    q, p = orthogonal(64, rng), orthogonal(64, rng)
    cov_r = q * np.logspace(0, -8, 64) @ q.T
    t = p * rng.uniform(0.5, 2, 64) @ p.T
    cov = t @ cov_r @ t
    trace = transport(cov, factor(cov_r)).trace
    assert trace == pytest.approx(np.trace(t @ cov_r), rel=1e-7 if large else 1e-9)


def test_rank_deficient_gaussians_have_the_closed_form_distance():
    rng = np.random.default_rng(2)
    q = orthogonal(50, rng)
    a = np.r_[rng.uniform(1, 9, 20), np.zeros(30)]
    b = np.r_[np.zeros(10), rng.uniform(1, 9, 20), np.zeros(20)]
    got = fd(np.zeros(50), q * a @ q.T, reference(mean=np.zeros(50), cov=q * b @ q.T))
    assert got == pytest.approx(((np.sqrt(a) - np.sqrt(b)) ** 2).sum(), rel=1e-7)


@pytest.mark.parametrize("exact", [1024, 0])
@pytest.mark.parametrize("n", [400, 60])
def test_any_factor_of_the_reference_gives_the_same_distance_and_map(monkeypatch, exact, n):
    """Beside the map as it is defined, S_r^(1/2) (S_r^(1/2) S S_r^(1/2))^(-1/2) S_r^(1/2)."""
    monkeypatch.setattr("sigmabench.eval.metrics.gaussian.EXACT", exact)
    rng = np.random.default_rng(14)
    mixes = [orthogonal(40, rng) * rng.uniform(0.3, 3, 40) @ orthogonal(40, rng) for _ in range(2)]
    cov = np.cov(rng.standard_normal((n, 40)) @ mixes[0], rowvar=False)
    cov_r = np.cov(rng.standard_normal((500, 40)) @ mixes[1], rowvar=False)
    h = root(cov_r)
    middle = root(h @ cov @ h)
    expected = np.eye(40) - h @ np.linalg.inv(middle) @ h
    assert factor(cov_r).lower
    for one in (factor(cov_r), Factor(h, False)):
        np.testing.assert_allclose(one.matrix @ one.matrix.T, cov_r, rtol=0, atol=1e-12 * np.trace(cov_r))
        trace, form = transport(cov, one)
        assert trace == pytest.approx(np.trace(middle), rel=1e-9)
        assert trace_alone(cov, one) == pytest.approx(trace, rel=1e-12)
        assert not np.triu(form, 1).any()
        np.testing.assert_allclose((form + form.T) / 2, expected, rtol=0, atol=1e-8 * abs(expected).max())
        x = rng.standard_normal((7, 40))
        direct = 2 * x @ np.arange(40.0) + np.einsum("ni,ij,nj->n", x, expected, x)
        found = influence(x + 3, np.full(40, 3.0), 3 - np.arange(40.0), form)
        np.testing.assert_allclose(found, direct, rtol=0, atol=1e-8 * abs(direct).max())


def test_a_reference_without_a_triangular_factor_has_the_symmetric_root():
    """Of fewer images than features, and with a feature that is constant, or all but."""
    rng = np.random.default_rng(15)
    few = np.cov(rng.standard_normal((20, 30)), rowvar=False)
    for cov in (few, np.diag([1.0, 0, 2]), np.diag([1.0, 1e-17, 2]), np.zeros((3, 3))):
        assert not factor(cov).lower
        np.testing.assert_array_equal(factor(cov).matrix, root(cov))


def test_moments_of_blocks_are_those_of_all_rows():
    x = np.random.default_rng(16).standard_normal((50, 6)) + 1e3
    for size in (1, 7, 50):
        moments = Moments(x[i : i + size] for i in range(0, 50, size))
        np.testing.assert_allclose(moments.mean, x.mean(axis=0), rtol=1e-14)
        np.testing.assert_allclose(moments.cov, np.cov(x, rowvar=False), rtol=0, atol=1e-12)
        np.testing.assert_array_equal(moments.cov, moments.cov.T)


@pytest.mark.parametrize("n", [30, 400])
def test_the_distance_of_a_set_to_itself_is_exactly_zero(n):
    for seed in range(8):  # rounding alone gives 0 now and then
        x = np.random.default_rng(seed).standard_normal((n, 64)).astype(np.float32)
        assert frechet([{NAME: x}], NAME, reference(x.astype(np.float64))).value == 0.0
    reordered = frechet(shards(x[::-1], 7), NAME, reference(x.astype(np.float64)))
    assert 0 <= reordered.value < 1e-11 * np.trace(reference(x).cov)


def test_a_feature_offset_of_1e4_costs_no_digits():
    rng = np.random.default_rng(4)
    cov, m = np.diag(rng.uniform(1, 4, 16)), np.full(16, 1e4)
    x = with_moments(300, m, cov, rng)
    got = frechet(shards(x), NAME, reference(mean=m + 0.5, cov=np.eye(16), n=300)).value
    assert got == pytest.approx(16 * 0.25 + ((np.sqrt(np.diag(cov)) - 1) ** 2).sum(), rel=1e-9)


@pytest.mark.parametrize("n", [40, 700])
def test_any_split_into_shards_gives_the_same_value_error_and_influence(n):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((n, 48)) * rng.uniform(0.1, 3, 48) + 50
    ref = reference(rng.standard_normal((500, 48)) + 50)
    whole = frechet([{NAME: x}], NAME, ref)
    for size in (1, 7, 333):
        split = frechet(shards(x, size), NAME, ref)
        assert split.value == pytest.approx(whole.value, rel=1e-10)
        assert split.se == pytest.approx(whole.se, rel=1e-8)
        np.testing.assert_allclose(split.influence, whole.influence, atol=1e-6 * whole.influence.std())


def test_influence_is_the_derivative_of_the_distance():
    """Moving weight e onto image i changes the distance by e * influence_i."""
    rng = np.random.default_rng(6)
    x, ref = rng.standard_normal((60, 5)), reference(rng.standard_normal((90, 5)) * 1.3)
    value, e = frechet([{NAME: x}], NAME, ref), 1e-6

    def weighted(i, e):
        w = np.full(60, (1 - e) / 60)
        w[i] += e
        m = w @ x
        return fd(m, (x - m).T * w @ (x - m) * 60 / 59, ref)

    for i in (0, 17, 59):
        slope = (weighted(i, e) - weighted(i, -e)) / (2 * e)
        # d tr S = (x-m)'(I - T)(x-m) - tr((I - T)S), with S unbiased here: a factor 60/59 on the quadratic part
        assert value.influence[i] == pytest.approx(slope, rel=0.05, abs=0.02)
    assert abs(value.influence.mean()) < 1e-6
    assert value.se == pytest.approx(value.influence.std(ddof=1) / np.sqrt(60), rel=1e-5)


def test_the_standard_error_is_the_spread_over_repetitions():
    rng = np.random.default_rng(7)
    ref = reference(mean=np.zeros(4), cov=np.eye(4), n=10_000)
    scale, shift, n = np.array([1.5, 0.7, 1.0, 2.0]), np.array([0.3, 0, -0.2, 0.1]), 500
    values = [frechet([{NAME: rng.standard_normal((n, 4)) * scale + shift}], NAME, ref) for _ in range(600)]
    spread = np.std([v.value for v in values], ddof=1)  # itself known to 1 / sqrt(2 * 600) = 2.9 %
    assert np.mean([v.se for v in values]) == pytest.approx(spread, rel=0.1)


def test_paired_influences_give_the_spread_of_a_difference():
    rng = np.random.default_rng(8)
    ref = reference(mean=np.zeros(4), cov=np.eye(4), n=10_000)
    differences, errors, unpaired = [], [], []
    for _ in range(400):
        x = rng.standard_normal((300, 4)) * 1.5
        a = frechet([{NAME: x}], NAME, ref)
        b = frechet([{NAME: 1.02 * x + 0.02 * rng.standard_normal(x.shape)}], NAME, ref)
        differences.append(a.value - b.value)
        errors.append(np.std(a.influence - b.influence, ddof=1) / np.sqrt(300))
        unpaired.append(np.hypot(a.se, b.se))
    assert np.mean(errors) == pytest.approx(np.std(differences, ddof=1), rel=0.15)
    assert np.mean(unpaired) > 10 * np.mean(errors)


@pytest.mark.parametrize("n", [30, 400])
@pytest.mark.parametrize("via", ["torchmetrics", "clean-fid"])
def test_the_libraries_give_the_same_distance(via, n):
    rng = np.random.default_rng(9)
    x = (rng.standard_normal((n, 40)) @ rng.standard_normal((40, 40)) + 1).astype(np.float32)
    ref = reference((rng.standard_normal((600, 40)) @ rng.standard_normal((40, 40))).astype(np.float64))
    ours, theirs = (frechet(shards(x), NAME, ref, v) for v in ("sigmabench", via))
    assert theirs.value == pytest.approx(ours.value, rel=1e-6)
    assert theirs.card["via"] == via
    assert theirs.se == ours.se


def test_torchmetrics_itself_agrees_on_the_same_feature_rows():
    """Both sides through its public interface, without our filling of its states."""
    torch = pytest.importorskip("torch")
    from torchmetrics.image.fid import FrechetInceptionDistance

    rng = np.random.default_rng(10)
    x, y = rng.standard_normal((200, 24)) + 0.3, rng.standard_normal((300, 24)) * 1.2
    identity = torch.nn.Identity()
    identity.num_features = 24
    metric = FrechetInceptionDistance(feature=identity)
    metric.update(torch.from_numpy(x), real=False)
    metric.update(torch.from_numpy(y), real=True)
    assert frechet(shards(x), NAME, reference(y)).value == pytest.approx(float(metric.compute()), rel=1e-9)


def test_clean_fid_works_with_a_sqrtm_that_has_no_disp(monkeypatch):
    """SciPy 1.18 removed the argument that clean-fid passes."""
    from scipy import linalg

    rng = np.random.default_rng(11)
    x, y = (Moments([rng.standard_normal((200, 12)) * s]) for s in (1, 1.5))
    before = libraries.cleanfid_distance(x.mean, x.cov, y.mean, y.cov)
    original = linalg.sqrtm

    def without_disp(a):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return original(a)

    monkeypatch.setattr(linalg, "sqrtm", without_disp)
    import cleanfid.fid

    with pytest.raises(TypeError, match="disp"):
        cleanfid.fid.frechet_distance(x.mean, x.cov, y.mean, y.cov)
    assert libraries.cleanfid_distance(x.mean, x.cov, y.mean, y.cov) == pytest.approx(before, rel=1e-12)


def test_images_that_are_all_the_same_have_a_distance_without_an_error_of_their_own():
    rng = np.random.default_rng(13)
    ref = reference(mean=np.zeros(5), cov=np.diag(rng.uniform(1, 2, 5)), n=100)
    value = frechet([{NAME: np.ones((8, 5))}], NAME, ref)
    assert value.value == pytest.approx(5 + np.trace(ref.cov), rel=1e-12)
    assert value.se == 0


def test_too_few_images_another_dimension_and_broken_features_are_errors():
    x = np.random.default_rng(12).standard_normal((20, 6))
    with pytest.raises(ValueError, match="at least 2 images, there are 1"):
        frechet([{NAME: x[:1]}], NAME, reference(x))
    with pytest.raises(ValueError, match="has 6 features, reference test has 3"):
        frechet([{NAME: x}], NAME, reference(x[:, :3]))
    x[13, 2] = np.nan
    with pytest.raises(ValueError, match="of image 13 is not finite"):
        frechet(shards(x, 5), NAME, reference(x[:10]))
