"""The drivers: one run, many runs in lockstep, guidance around a run."""

import dataclasses
from typing import ClassVar

import pytest
import torch

from sigmabench.samplers import DDIM, DPMpp2M, DPMpp2MSDE, Euler, EulerAncestral, Heun
from sigmabench.samplers.conformance.convergence import jagged_path, pure_noise_path
from sigmabench.samplers.guidance import CFG
from sigmabench.samplers.noise import SeededNoise
from sigmabench.samplers.problems import BIMODAL, GAUSSIAN
from sigmabench.samplers.run import guide, lockstep, sample, start, together

RUNS = [
    (Euler(), pure_noise_path("flow", 3), 2),
    (Heun(), jagged_path("VP", 8), 1),
    (DPMpp2M(), jagged_path("VE", 5), 3),
    (EulerAncestral(), pure_noise_path("VP", 12, last=0.0), 2),
    (DPMpp2MSDE(), jagged_path("flow", 1), 1),
]


def beginnings():
    for sampler, path, rows in RUNS:
        noise = SeededNoise(range(10, 10 + rows), (3,), dtype=torch.float64)
        yield sampler, noise.initial() * path.levels[0].norm, path, noise


def test_runs_in_lockstep_equal_runs_one_by_one_whatever_their_lengths():
    alone = [sample(sampler, BIMODAL, x, path, noise) for sampler, x, path, noise in beginnings()]
    runs = [start(sampler, x, path, noise) for sampler, x, path, noise in beginnings()]
    for one, other in zip(alone, lockstep(runs, together(BIMODAL)), strict=True):
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-12)


def test_lockstep_calls_the_model_once_a_round():
    calls = []

    def counted(x, level):
        calls.append(len(x))
        return BIMODAL(x, level)

    lockstep([start(*beginning) for beginning in beginnings()], together(counted))
    assert len(calls) == max(8 * 2, 12)
    assert calls[0] == 2 + 1 + 3 + 2 + 1
    assert sum(calls) == 3 * 2 + 16 * 1 + 5 * 3 + 12 * 2 + 1


def test_lockstep_of_nothing_is_nothing():
    assert lockstep([], together(BIMODAL)) == []


def test_an_answer_that_is_missing_is_an_error():
    runs = [start(*beginning) for beginning in beginnings()]
    with pytest.raises(ValueError, match="zip"):
        lockstep(runs, lambda requests: together(BIMODAL)(requests)[:-1])


def test_a_run_keeps_no_gradients_and_returns_grad_mode():
    x = torch.ones(2, 3, requires_grad=True)
    end = sample(Euler(), BIMODAL, x, jagged_path("VP", 3))
    assert not end.requires_grad
    assert torch.is_grad_enabled()


def test_the_state_is_float32_though_model_and_start_are_half():
    seen = []

    def half(x, level):
        seen.append(x.dtype)
        return BIMODAL(x, level).half()

    path = pure_noise_path("flow", 30, last=0.0)
    x = torch.linspace(-1, 1, 8)
    end = sample(Euler(), half, x.half(), path)
    assert end.dtype == torch.float32
    assert set(seen) == {torch.float32}
    exact = sample(Euler(), BIMODAL, x.half().double(), path)
    assert (end - exact).abs().max() < 1e-3


def test_a_sampler_that_needs_a_branch_is_not_driven_by_a_single_denoiser():
    with pytest.raises(ValueError, match=r"NeedsUncond needs \('uncond',\); drive it with guide"):
        sample(NeedsUncond(), BIMODAL, torch.zeros(1), jagged_path("VP", 2))


@dataclasses.dataclass(frozen=True)
class NeedsUncond:
    """CFG++ (arXiv:2406.08070, Algorithm 2): the guided image, the unconditional noise."""

    order: ClassVar[int] = 1
    stochastic: ClassVar[bool] = False
    evaluations: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ("uncond",)

    def __call__(self, x, path, noise):
        for s, t in path:
            x, x0, uncond = yield x, s
            x = x0 * t.alpha + (x - uncond * s.alpha) * (t.sigma / s.sigma)
        return x


def answer(requests):
    models = {"cond": BIMODAL, "uncond": GAUSSIAN}
    return [(x, {name: models[name](x, level) for name in branches}) for x, level, branches in requests]


def test_guided_runs_equal_a_run_on_the_combined_model():
    x, path = torch.linspace(-2, 2, 6, dtype=torch.float64), jagged_path("VP", 7)

    def combined(x, level):
        return GAUSSIAN(x, level) + 3.0 * (BIMODAL(x, level) - GAUSSIAN(x, level))

    [end] = lockstep([guide(start(Heun(), x, path), CFG(scale=3.0))], answer)
    assert torch.allclose(end, sample(Heun(), combined, x, path), rtol=1e-12)


def test_guidance_of_scale_one_asks_for_one_branch_unless_the_sampler_needs_more():
    x, path = torch.linspace(-2, 2, 6, dtype=torch.float64), jagged_path("VP", 4)
    asked = []

    def watched(requests):
        asked.extend(branches for _, _, branches in requests)
        return answer(requests)

    [end] = lockstep([guide(start(Euler(), x, path), CFG(scale=1.0))], watched)
    assert set(asked) == {("cond",)}
    assert torch.equal(end, sample(Euler(), BIMODAL, x, path))
    asked.clear()
    [end] = lockstep([guide(start(NeedsUncond(), x, path), CFG(scale=1.0), NeedsUncond.needs)], watched)
    assert set(asked) == {("cond", "uncond")}
    by_hand = x
    for s, t in path:
        noise = (by_hand - GAUSSIAN(by_hand, s) * s.alpha) / s.sigma
        by_hand = BIMODAL(by_hand, s) * t.alpha + noise * t.sigma
    assert torch.allclose(end, by_hand, rtol=1e-12)


def test_a_host_that_edits_x_inside_guidance_is_heard():
    x, path = torch.linspace(-2, 2, 6, dtype=torch.float64), jagged_path("VP", 3)
    edits = iter([x / 2, None, None])

    def editing(requests):
        replies = []
        for x, level, branches in requests:
            edited = next(edits)
            replies += answer([(x if edited is None else edited, level, branches)])
        return replies

    [end] = lockstep([guide(start(DDIM(), x, path), CFG(scale=2.0))], editing)
    [expected] = lockstep([guide(start(DDIM(), x / 2, path), CFG(scale=2.0))], answer)
    assert torch.equal(end, expected)
