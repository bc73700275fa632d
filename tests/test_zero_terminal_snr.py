"""Zero terminal SNR from end to end: the table, who may predict, where a path starts, and the first step from there."""

import dataclasses

import pytest
import torch

from sigmabench.eval.backends.mixture import GaussianMixture
from sigmabench.eval.cells import Cell, levels
from sigmabench.plugins.registry import build, catalogue
from sigmabench.samplers import Level
from sigmabench.samplers.level import PURE_NOISE
from sigmabench.samplers.problems import GAUSSIAN
from sigmabench.samplers.run import sample
from sigmabench.samplers.schedules import ScaledLinear, ZeroTerminalSNR

CELL = Cell("mixture", "euler", "zero_terminal_snr", "trailing", 10, "cfg(scale=1)", "0", 0, "float32")
STARTS = {"leading", "ddim_uniform"}  # spacings that never start at the last level
X = torch.linspace(-2, 2, 11, dtype=torch.float64)


def deterministic():
    for name in catalogue("sampler"):
        sampler = build("sampler", name)
        if not (sampler.stochastic or sampler.needs or getattr(sampler, "upwards", False)):
            yield name


def test_the_table_ends_in_pure_noise_and_keeps_its_first_level():
    assert ZeroTerminalSNR().level(1.0) == PURE_NOISE
    assert ZeroTerminalSNR().level(1e-3) == ScaledLinear().level(1e-3)


def test_an_eps_prediction_is_refused_before_any_work():
    with pytest.raises(ValueError, match="an eps prediction says nothing about the image at alpha = 0"):
        levels(CELL, GaussianMixture(schedule=ZeroTerminalSNR(), prediction="eps").load())
    assert levels(CELL, GaussianMixture(schedule=ZeroTerminalSNR(), prediction="v").load()).levels[0] == PURE_NOISE


@pytest.mark.parametrize("name", catalogue("spacing"))
def test_a_spacing_starts_at_pure_noise_or_is_refused(name):
    cell = dataclasses.replace(CELL, spacing=name)
    model = GaussianMixture(schedule=ZeroTerminalSNR(), prediction="v").load()
    try:
        first = levels(cell, model).levels[0]
    except ValueError:
        return
    assert first == PURE_NOISE
    assert name not in STARTS


@pytest.mark.parametrize("name", list(deterministic()))
@pytest.mark.parametrize("t", [Level(0.1, 0.995), Level(0.6, 0.8), Level(0.5, 0.5)], ids=str)
def test_the_first_step_is_the_exact_limit(name, t):
    """E[x0 | pure noise] is the mean of the data and eps is x, so the step ends at alpha mean + sigma x."""
    end = sample(build("sampler", name), GAUSSIAN, X, [PURE_NOISE, t])
    assert torch.allclose(end, t.alpha * GAUSSIAN.mean + t.sigma * X, rtol=1e-12, atol=1e-12)
