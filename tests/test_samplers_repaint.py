"""RePaint: its walk, diffusers' numbers, and a conditional distribution that a single walk misses."""

import math

import pytest
import torch

from sigmabench.samplers import EulerAncestral, Level, Path
from sigmabench.samplers.conformance.convergence import pure_noise_path
from sigmabench.samplers.conformance.trial import Watched
from sigmabench.samplers.forward import forward_std
from sigmabench.samplers.level import CLEAN
from sigmabench.samplers.noise import SeededNoise
from sigmabench.samplers.problems import GAUSSIAN
from sigmabench.samplers.repaint import RePaint
from sigmabench.samplers.run import sample


def test_parts_are_walked_again_from_the_end_but_for_the_first():
    levels = [Level(1.0, float(sigma)) for sigma in (9, 8, 7, 6, 5, 4, 3)]
    model, x = Watched(GAUSSIAN), torch.ones(1, 1, dtype=torch.float64)
    sample(RePaint(jump=2, resamples=3), model, x, levels, lambda s, t: x)
    assert [level.sigma for level in model.levels] == [9, 8, *([7, 6] * 3), *([5, 4] * 3)]
    model.levels.clear()
    sample(RePaint(jump=4, resamples=2), model, x, levels, lambda s, t: x)
    assert [level.sigma for level in model.levels] == [9, 8, *([7, 6, 5, 4] * 2)]


RHO, KEPT = 0.9, 1.5


def pair(x, level):
    """E[x0 | x] of two pixels of unit variance and correlation RHO; of the first, it is known that it is KEPT."""
    cov = torch.tensor([[1.0, RHO], [RHO, 1.0]], dtype=torch.float64)
    gain = level.alpha * cov @ torch.linalg.inv(level.alpha**2 * cov + level.sigma**2 * torch.eye(2))
    x0 = x @ gain.T
    x0[:, 0] = KEPT
    return x0


def bias_of(sampler, scale):
    """Of the second pixel's mean and deviation, given the first."""
    noise = SeededNoise(range(2), (10_000, 2), dtype=torch.float64)
    path = pure_noise_path(scale, 40, last=0.0)
    answer = lambda x, level: pair(x.view(-1, 2), level).view(x.shape)  # noqa: E731
    end = sample(sampler, answer, noise.initial(), path, noise)[..., 1]
    return end.mean().item() - RHO * KEPT, end.std().item() - math.sqrt(1 - RHO**2)


@pytest.mark.parametrize("scale", ["VP", "flow"])
def test_resampling_makes_the_conditional_distribution_that_one_walk_misses(scale):
    once, some, often = (math.hypot(*bias_of(RePaint(jump=5, resamples=count), scale)) for count in (1, 3, 20))
    assert once > 0.4
    assert some < 0.4 * once
    assert often < 0.15 * once


def test_one_walk_of_each_part_is_the_sampler_inside():
    path, noise = pure_noise_path("VP", 12), SeededNoise((1, 2), (3,), dtype=torch.float64)
    again = SeededNoise((1, 2), (3,), dtype=torch.float64)
    x = noise.initial()
    assert torch.equal(
        sample(RePaint(jump=3, resamples=1), GAUSSIAN, x, path, noise),
        sample(EulerAncestral(), GAUSSIAN, x, path, again),
    )


def test_repaint_equals_diffusers():
    """Their noise at a level is one draw, for the kept part and for the rest; here the host puts the kept part in."""
    from diffusers import RePaintScheduler

    theirs = RePaintScheduler(num_train_timesteps=8, eta=1.0, clip_sample=False)
    theirs.betas = theirs.betas.double()
    theirs.alphas_cumprod = (1 - theirs.betas).cumprod(0)
    theirs.final_alpha_cumprod = torch.ones((), dtype=torch.float64)
    theirs.set_timesteps(8, jump_length=1, jump_n_sample=3)
    image, mask = torch.full((1, 6), 0.3, dtype=torch.float64), torch.tensor([[1.0, 0, 0, 1, 0, 1]]).double()

    def level(t):
        abar = theirs.alphas_cumprod[t].item() if t >= 0 else 1.0
        return Level(math.sqrt(abar), math.sqrt(1 - abar))

    draws = torch.Generator().manual_seed(3)
    x = start = torch.randn(1, 6, generator=draws, dtype=torch.float64)
    last = theirs.timesteps[0] + 1
    for t in theirs.timesteps.tolist():
        if t < last:
            eps = (x - level(t).alpha * GAUSSIAN(x, level(t))) / level(t).sigma
            x = theirs.step(eps, t, x, image, mask, generator=draws).prev_sample
        else:
            x = theirs.undo_step(x, last, generator=draws)
        last = t
    path, host = Path([*(level(t) for t in range(7, -1, -1)), CLEAN]), Keeping(image, mask)
    end = host.walk(RePaint(jump=1, resamples=3), start, path)
    assert torch.allclose(torch.where(mask.bool(), image, end), x, rtol=1e-10, atol=1e-10)


class Keeping:
    """A host that puts the kept part into x, noised with the draws of the rest, as diffusers does."""

    def __init__(self, image, mask):
        self.image, self.mask = image, mask
        self.draws = torch.Generator().manual_seed(3)
        torch.randn(1, 6, generator=self.draws, dtype=torch.float64)  # the start
        self.kept, self.asked = None, False

    def noise(self, s, t):
        if not t.sigma:
            self._draw()  # theirs draw for the last step too
        z = self._draw()
        if self.asked and t.sigma:  # a step
            self.kept = t.alpha * self.image + t.sigma * z
        else:
            before = self.kept if t.sigma else self.image
            self.kept = s.alpha / t.alpha * before + forward_std(t, s) * z
        self.asked = False
        return z

    def _draw(self):
        return torch.randn(1, 6, generator=self.draws, dtype=torch.float64)

    def walk(self, sampler, x, path):
        run, reply = sampler(x, path, self.noise), None
        while True:
            try:
                x, level = run.send(reply)
            except StopIteration as stop:
                return stop.value
            x = x if self.kept is None else torch.where(self.mask.bool(), self.kept, x)
            self.asked, reply = True, (x, GAUSSIAN(x, level))
