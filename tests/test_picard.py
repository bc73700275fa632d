"""Steps in parallel: the result of the run one by one, in fewer rounds, whatever the sampler."""

import pytest
import torch

from sigmabench.plugins.registry import build
from sigmabench.samplers.conformance.convergence import jagged_path, pure_noise_path
from sigmabench.samplers.noise import SeededNoise
from sigmabench.samplers.picard import sample_parallel
from sigmabench.samplers.problems import BIMODAL
from sigmabench.samplers.run import sample

SAMPLERS = ("euler", "dpmpp_2m", "unipc", "heun", "lms(start=runge_kutta)", "ddim(eta=1)", "sa_solver", "restart")
PATHS = {"VE": jagged_path("VE", 24), "flow from alpha = 0": pure_noise_path("flow", 24, last=0.0)}


def both(text, path, **options):
    """Alone and in parallel, the work of the latter, and the evaluations of the former."""
    sampler, seeds, calls = build("sampler", text), (5, 6), []

    def denoiser(x, level):
        calls.append(level)
        return BIMODAL(x, level)

    ends = []
    for run in (sample, lambda *given: sample_parallel(*given, **options)):
        noise = SeededNoise(seeds, (4, 4), dtype=torch.float64)
        ends.append(run(sampler, denoiser, noise.initial() * path.levels[0].norm, path, noise))
        calls.append("end")
    alone, (parallel, work) = ends
    return alone, parallel, work, calls.index("end")


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
@pytest.mark.parametrize("window", [None, 1, 5])
@pytest.mark.parametrize("text", SAMPLERS)
def test_without_tolerance_it_is_the_run_one_by_one(text, path, window):
    alone, parallel, work, evaluations = both(text, path, window=window, tolerance=0.0)
    assert torch.allclose(alone, parallel, rtol=1e-12, atol=1e-12)
    assert work.rounds <= evaluations + 1
    if window == 1:
        assert work == (evaluations, 2 * evaluations)


@pytest.mark.parametrize("text", SAMPLERS)
def test_a_tolerance_bounds_the_error_and_saves_rounds(text):
    path = jagged_path("VP", 48)
    errors, rounds = [], []
    for tolerance in (1e-2, 1e-4, 1e-6):
        alone, parallel, work, evaluations = both(text, path, tolerance=tolerance)
        errors.append((alone - parallel).square().mean().sqrt().item())
        assert errors[-1] < 30 * tolerance
        rounds.append(work.rounds)
        assert work.evaluations > 2 * evaluations
    assert errors[0] > errors[2]
    assert rounds[0] <= rounds[1] <= rounds[2] <= evaluations
    assert rounds[0] < evaluations / 3


def test_images_go_their_own_pace():
    sampler, path = build("sampler", "dpmpp_2m"), jagged_path("VP", 30)
    x = SeededNoise(range(3), (6,), dtype=torch.float64).initial()
    together, _ = sample_parallel(sampler, BIMODAL, x, path, window=8)
    for k in range(3):
        alone, _ = sample_parallel(sampler, BIMODAL, x[k : k + 1], path, window=8)
        assert torch.equal(alone[0], together[k])


def test_what_cannot_be_known_in_advance_is_refused():
    x, path = torch.zeros(1, 3), jagged_path("VP", 4)
    for text, reason in (("dpm_adaptive", "as it goes"), ("cfg_pp", "uncond")):
        with pytest.raises(ValueError, match=reason):
            sample_parallel(build("sampler", text), BIMODAL, x, path)
    with pytest.raises(ValueError, match="window = 0: must be at least 1"):
        sample_parallel(build("sampler", "euler"), BIMODAL, x, path, window=0)
