"""FD-infinity, precision, recall, density, coverage, inception score: by definition, and with honest errors."""

import numpy as np
import pytest
import torch

from sigmabench.eval.metrics import CMMD, Coverage, Density, FrechetInfinity, InceptionScore, Precision, Recall
from sigmabench.eval.metrics.balls import FORMULAS
from sigmabench.eval.metrics.fd_infinity import infinity
from sigmabench.eval.metrics.frechet import frechet
from sigmabench.eval.metrics.inception_score import inception_score
from sigmabench.eval.metrics.reference import Reference

NAME = "features/test-00000000/none"


class Rows(Reference):
    """A reference with feature rows and no file."""

    def features(self):
        return self.path


def reference(rows):
    rows = np.asarray(rows, dtype=np.float32)
    return Rows("test", rows.mean(axis=0), np.cov(rows.T), len(rows), rows)


def standard(d):
    return Reference("test", np.zeros(d), np.eye(d), 10_000, path=None)


# FD-infinity


def test_infinity_is_twice_the_whole_less_the_halves():
    x = np.random.default_rng(0).standard_normal((101, 4)) * 1.2
    got, ref = infinity(x, NAME, standard(4), splits=2), standard(4)
    random, halves = np.random.default_rng(0), []
    for _ in range(2):
        order = random.permutation(101)
        halves += [frechet([{NAME: x[order[:50]]}], NAME, ref).value, frechet([{NAME: x[order[50:]]}], NAME, ref).value]
    assert got.value == pytest.approx(2 * frechet([{NAME: x}], NAME, ref).value - np.mean(halves), rel=1e-12)
    assert got.n == len(got.influence) == 101


def test_infinity_removes_the_bias_and_its_interval_covers_the_truth():
    rng, d, n = np.random.default_rng(1), 8, 300
    truth = d * 0.25**2
    plain, found = [], []
    for _ in range(150):
        x = rng.standard_normal((n, d)) * 1.25
        plain.append(frechet([{NAME: x}], NAME, standard(d)).value)
        found.append(infinity(x, NAME, standard(d)))
    values, errors = np.array([v.value for v in found]), np.array([v.se for v in found])
    assert np.mean(plain) - truth > 0.08  # what there is to remove
    assert abs(values.mean() - truth) < 0.04 * (np.mean(plain) - truth) + 3 * values.std() / np.sqrt(150)
    assert 0.95 <= errors.mean() / values.std(ddof=1) <= 1.25  # on the safe side while n is not much larger than d
    assert 0.92 <= np.mean(np.abs(values - truth) < 1.96 * errors) <= 0.99


def test_infinity_is_paired_like_the_distance_itself():
    rng, differences, errors = np.random.default_rng(2), [], []
    for _ in range(150):
        x = rng.standard_normal((200, 4)) * 1.3
        a, b = infinity(x, NAME, standard(4)), infinity(1.03 * x, NAME, standard(4))
        differences.append(a.value - b.value)
        errors.append(np.std(a.influence - b.influence, ddof=1) / np.sqrt(200))
    assert np.mean(errors) == pytest.approx(np.std(differences, ddof=1), rel=0.15)


# Precision, recall, density, coverage


def brute(x, y, k):
    """The four by the definitions in the papers, pair by pair."""

    def distances(a, b):
        return np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=2))

    def radii(a):
        return np.sort(distances(a, a), axis=1)[:, k]

    d, real, own = distances(y, x), radii(y), radii(x)
    inside = d < real[:, None]
    return {
        "precision": inside.any(axis=0).mean(), "recall": (d < own[None]).any(axis=1).mean(),
        "density": inside.sum(axis=0).mean() / k, "coverage": (d.min(axis=1) < real).mean(),
    }  # fmt: skip


@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_four_are_those_of_the_definitions_in_chunks_of_any_size(monkeypatch, k):
    rng = np.random.default_rng(3)
    x = np.float32(rng.standard_normal((70, 3)) * 0.8 + 0.3).astype(np.float64)
    y = np.float32(rng.standard_normal((90, 3))).astype(np.float64)
    expected = brute(x, y, k)
    for chunk in (7, 1024):
        monkeypatch.setattr("sigmabench.eval.metrics.balls.CHUNK", chunk)
        for name, formula in FORMULAS.items():
            assert formula(x, reference(y), k)[0] == pytest.approx(expected[name], abs=1e-12), name


@pytest.mark.parametrize("name", ["recall", "coverage"])
def test_columns_of_recall_and_coverage_are_the_jackknifes(name):
    rng = np.random.default_rng(4)
    x, ref = rng.standard_normal((40, 2)), reference(rng.standard_normal((60, 2)) * 1.2)
    value, influence = FORMULAS[name](x, ref, 2)
    for i in range(40):
        without, _ = FORMULAS[name](np.delete(x, i, axis=0), ref, 2)
        assert influence[i] == pytest.approx(39 * (value - without), abs=1e-9)


@pytest.mark.parametrize(("name", "least", "most"), [
    ("precision", 0.85, 1.15), ("density", 0.85, 1.15), ("coverage", 0.95, 1.9), ("recall", 0.95, 1.9),
])  # fmt: skip
def test_their_errors_are_the_spread_or_on_the_safe_side(name, least, most):
    rng = np.random.default_rng(5)
    ref = reference(rng.standard_normal((150, 2)))
    found = [FORMULAS[name](rng.standard_normal((120, 2)) * 0.8 + 0.4, ref, 3) for _ in range(250)]
    spread = np.std([value for value, _ in found], ddof=1)
    error = np.mean([influence.std(ddof=1) / np.sqrt(120) for _, influence in found])
    assert least <= error / spread <= most


def test_membership_is_kept_per_image():
    rng = np.random.default_rng(6)
    x, ref = np.concatenate([np.zeros((5, 2)), np.full((5, 2), 50.0)]), reference(rng.standard_normal((80, 2)))
    assert FORMULAS["precision"](x, ref, 3)[1].tolist() == [1.0] * 5 + [0.0] * 5
    with pytest.raises(ValueError, match="needs at least 6 rows of the reference, there are 4; use a smaller k"):
        FORMULAS["density"](x, reference(x[:4]), 5)


@pytest.mark.parametrize("metric", [Precision(), Recall(), Density(), Coverage(), FrechetInfinity()], ids=repr)
def test_they_read_observed_features_of_the_embedded_network(metric):
    images = torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    (observer,) = metric.observers("cpu")
    value = metric.evaluate([{observer.name: observer(images, [""] * 40)}])
    assert value.n == 40
    assert np.isfinite(value.value)
    if metric in (Precision(), Recall(), Density(), Coverage()):
        assert value.value == 0  # noise is not among photographs


def test_cmmd_has_its_papers_model_and_needs_a_reference():
    assert CMMD().model == "ViT-L-14-336/openai"
    assert CMMD(model="embedded", reference="x").features == "open_clip:embedded"


# Inception score


def probabilities(n, seed=7, sharp=2.0):
    return torch.softmax(sharp * torch.randn(n, 10, generator=torch.Generator().manual_seed(seed)), 1).double().numpy()


def test_the_inception_score_is_that_of_torchmetrics():
    from torchmetrics.image.inception import InceptionScore as Theirs

    logits = 2 * torch.randn(90, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    theirs = Theirs(feature=torch.nn.Identity(), splits=1)
    theirs.update(logits)
    ours = inception_score(torch.softmax(logits, 1).numpy(), {})
    assert ours.value == pytest.approx(float(theirs.compute()[0]), rel=1e-6)


def test_the_inception_score_has_its_known_ends():
    assert inception_score(np.eye(10)[np.arange(50) % 10], {}).value == pytest.approx(10, rel=1e-12)
    assert inception_score(np.full((50, 10), 0.1), {}).value == pytest.approx(1, rel=1e-12)


def test_the_error_of_the_inception_score_is_the_spread_over_repetitions():
    found = [inception_score(probabilities(300, seed), {}) for seed in range(300)]
    spread = np.std([value.value for value in found], ddof=1)
    assert np.mean([value.se for value in found]) == pytest.approx(spread, rel=0.12)


def test_only_inception_gives_the_inception_score():
    metric = InceptionScore(network="embedded")
    images = torch.randint(0, 256, (12, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    (observer,) = metric.observers("cpu")
    value = metric.evaluate([{observer.name: observer(images, [""] * 12)}])
    assert value.card["metric"] == "class_score"
    assert 1 <= value.value <= 10


class StubInception(torch.nn.Module):
    """Answers like NVIDIA's TorchScript: class probabilities, without the output bias if asked."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Flatten()
        self.output = torch.nn.Linear(3, 8)

    def forward(self, x, no_output_bias: bool = False):
        features = (x - 128).mean(dim=(2, 3)) / 128
        logits = features @ self.output.weight.t()
        return torch.softmax(logits if no_output_bias else logits + self.output.bias, dim=1)


def test_inception_classes_come_without_the_output_bias(monkeypatch, tmp_path):
    from sigmabench.eval.metrics import inception

    stub = StubInception()
    torch.jit.script(stub).save(str(tmp_path / inception.FILE))
    monkeypatch.setenv("SIGMABENCH_INCEPTION", str(tmp_path / inception.FILE))
    images = torch.randint(0, 256, (4, 3, 299, 299), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    observer = inception.InceptionClasses("cpu")
    expected = torch.softmax((images.float() - 128).mean(dim=(2, 3)) / 128 @ stub.output.weight.T, 1).detach().numpy()
    np.testing.assert_allclose(observer(images, [""] * 4), expected, atol=1e-6)
    assert observer.name.startswith("classes/inception-")
