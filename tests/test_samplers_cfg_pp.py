"""CFG++ around any sampler: the paper's formula, and what the sampler inside is told."""

import pytest
import torch

from sigmabench.plugins.registry import build, describe
from sigmabench.samplers import DDIM, DDPM, DPMpp2M, DPMpp2MSDE, Euler, EulerAncestral, Heun, Level, Path
from sigmabench.samplers.bridge import ancestral_std
from sigmabench.samplers.cfg_pp import CFGpp
from sigmabench.samplers.conformance.convergence import jagged_path, pure_noise_path
from sigmabench.samplers.conformance.trial import walk
from sigmabench.samplers.guidance import CFG
from sigmabench.samplers.level import CLEAN, PURE_NOISE
from sigmabench.samplers.noise import SeededNoise, no_noise
from sigmabench.samplers.problems import BIMODAL, GAUSSIAN
from sigmabench.samplers.run import guide, lockstep, sample, start
from sigmabench.samplers.sde_single_step import Seeds2

INNER = [Euler(), EulerAncestral(), Heun(), DPMpp2M(), DPMpp2MSDE(), Seeds2()]


PATHS = {
    "VE": Path([*jagged_path("VE", 7).levels, CLEAN]),
    "VP": jagged_path("VP", 7),
    "flow": pure_noise_path("flow", 7, last=0.0),
    "zero terminal SNR": pure_noise_path("VP", 7),
}
BRANCHES = {"cond": GAUSSIAN, "uncond": BIMODAL}


def noise():
    return SeededNoise((1, 2, 3), (5,), dtype=torch.float64)


def guided(sampler, path, scale):
    """A run with classifier-free guidance of two known models."""
    source = noise()
    x = source.initial() * path.levels[0].norm
    run = guide(start(sampler, x, path, source), CFG(scale), sampler.needs)

    def evaluate(requests):
        return [(x, {branch: BRANCHES[branch](x, level) for branch in branches}) for x, level, branches in requests]

    return lockstep([run], evaluate)[0]


def predictions(x, s, scale):
    cond, uncond = (BRANCHES[name](x, s) for name in ("cond", "uncond"))
    return uncond + scale * (cond - uncond), (x - s.alpha * uncond) / s.sigma


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
@pytest.mark.parametrize("scale", [0.6, 1.0, 3.0])
def test_around_euler_it_is_the_papers_formula(scale, path):
    x = noise().initial() * path.levels[0].norm
    for s, t in path:
        x0, eps = predictions(x, s, scale)
        x = t.alpha * x0 + t.sigma * eps
    assert torch.allclose(guided(CFGpp(), path, scale), x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
@pytest.mark.parametrize("eta", [0.4, 1.0])
def test_around_ancestral_sampling_the_remaining_noise_is_the_unconditional_one(eta, path):
    source = noise()
    x = source.initial() * path.levels[0].norm
    for s, t in path:
        (x0, eps), u = predictions(x, s, 2.0), ancestral_std(s, t, eta)
        x = t.alpha * x0 + (t.sigma**2 - u**2) ** 0.5 * eps
        if u:
            x = x + u * source(s, t)
    for inner in (EulerAncestral(eta), DDIM(eta), *([DDPM()] if eta == 1 else [])):
        assert torch.allclose(guided(CFGpp(inner), path, 2.0), x, rtol=1e-12, atol=1e-12)


def test_around_dpmpp_2m_history_is_guided_and_the_noise_unconditional():
    """x_t = x0 (1 + w) - w x0_last + e^-h (x - x0_uncond) alpha_t / alpha_s with w = (1 - e^-h) h / (2 h_last)."""
    path, scale, last = PATHS["VP"], 2.0, None
    x = noise().initial() * path.levels[0].norm
    for s, t in path:
        x0, eps = predictions(x, s, scale)
        h, slope = t.half_logsnr - s.half_logsnr, 0.0
        if last:
            slope = (x0 - last[0]) * h / (2 * last[1])
        decay = t.sigma * s.alpha / (s.sigma * t.alpha)
        x, last = t.alpha * (x0 + (1 - decay) * slope) + t.sigma * eps, (x0, h)
    assert torch.allclose(guided(CFGpp(DPMpp2M()), path, scale), x, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
@pytest.mark.parametrize("inner", INNER, ids=lambda inner: type(inner).__name__)
def test_without_guidance_it_is_the_sampler_inside(inner, path):
    x = noise().initial() * path.levels[0].norm
    end = walk(CFGpp(inner), BIMODAL, x, path, noise() if inner.stochastic else no_noise)
    assert torch.equal(end, sample(inner, BIMODAL, x, path, noise()))


def test_guidance_grows_with_the_number_of_steps():
    """Every step moves x towards the condition once more, which is why the paper's scales are small."""
    shifts = []
    for steps in (5, 10, 20):
        path = jagged_path("VP", steps)
        shifts.append((guided(CFGpp(), path, 0.5) - guided(CFGpp(), path, 0.0)).abs().mean())
    assert shifts[0] < shifts[1] < shifts[2]


def test_a_step_from_pure_noise_takes_x_for_the_noise():
    step = Path([PURE_NOISE, Level(0.6, 0.8)])
    x = noise().initial()
    x0, _ = predictions(x, PURE_NOISE, 2.0)
    assert torch.allclose(guided(CFGpp(), step, 2.0), 0.6 * x0 + 0.8 * x, rtol=1e-14)


def test_it_says_what_it_needs_and_a_single_model_is_refused():
    assert CFGpp().needs == ("uncond",)
    with pytest.raises(ValueError, match="CFGpp needs"):
        sample(CFGpp(), BIMODAL, torch.zeros(1, 1), jagged_path("VP", 3))


def test_it_takes_its_declarations_from_the_sampler_inside():
    for inner in INNER:
        outer = CFGpp(inner)
        assert (outer.order, outer.evaluations, outer.stochastic) == (inner.order, inner.evaluations, inner.stochastic)
    assert (CFGpp.order, CFGpp.evaluations, CFGpp.stochastic, CFGpp.needs) == (1, 1, False, ("uncond",))


def test_it_is_written_as_a_call_around_a_name():
    sampler = build("sampler", "cfg_pp(dpmpp_2m_sde(eta=0.5))")
    assert sampler == CFGpp(DPMpp2MSDE(eta=0.5))
    assert describe("sampler", sampler) == "cfg_pp(sampler=dpmpp_2m_sde(eta=0.5))"
    assert describe("sampler", build("sampler", "res_multistep_cfg_pp")) == "cfg_pp(sampler=res_2m)"
