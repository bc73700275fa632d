"""The way back: from an image up to the noise that a sampler would make it from.

Both walk the path, which is given noisy to clean as always, from its last level to its first: ``upwards`` says so. The
probability-flow ODE has no direction, so any deterministic method solves it upwards with its own formulas and order.
Two ends need care. At sigma = 0 a prediction of x0 says nothing of eps, which is therefore asked for at the end of the
step; and to alpha = 0 x must tell its eps alone, which a single step all the way from a clean image cannot.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from .derived import derived, inner
from .euler import Euler
from .form import follow, noise_of
from .path import Path
from .protocols import Sampler
from .settings import setting, settings

if TYPE_CHECKING:
    from torch import Tensor

    from .level import Level
    from .protocols import Noise, Run


@settings
class Inverse:
    """Any deterministic sampler along the reversed path, from an image to noise.

    x_s = alpha_s/alpha_t x_t + (sigma_s - sigma_t alpha_s/alpha_t) eps    for ``euler``, s noisier than t

    ComfyUI's flipped sigmas ("unsampling") and diffusers' ``DPMSolverMultistepInverseScheduler``, for any method and
    to its order. A first step from sigma = 0 is that of ``ddim_inverse``, a last one to alpha = 0 is Euler's. Song,
    Meng, Ermon 2020, arXiv:2010.02502, section 4.3 and eq. 14.
    """

    sampler: Sampler = setting(Euler(), kind="sampler", help="the method that takes the steps, a deterministic one")
    order, stochastic, needs, upwards = inner("order"), False, inner("needs"), True
    evaluations, start_evaluations = inner("evaluations"), inner("start_evaluations", 0)
    aliases = ("unsample", "DPMSolverMultistepInverseScheduler")

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        if self.sampler.stochastic:
            raise ValueError(f"inverse(sampler={self.sampler!r}): noise cannot be undone; use euler, heun or dpmpp_2m")
        levels = path.levels[::-1]
        if not levels[0].sigma:
            clean, first = levels[:2]
            x, _ = yield from _arrive(x, _guess(x, None, clean, first), clean, first)
            levels = levels[1:]
        finite = levels if levels[-1].alpha else levels[:-1]
        if len(finite) > 1:
            x = yield from self.sampler(x, Path.upwards(finite), noise)
        if len(finite) < len(levels):
            x, x0, *_others = yield x, finite[-1]
            x = noise_of(x, x0, finite[-1]) * levels[-1].sigma
        return x


@settings
class DDIMInverse:
    """DDIM inversion: the step that Euler's method takes from s down to t, undone.

    x_s = alpha_s/alpha_t x_t + (sigma_s - sigma_t alpha_s/alpha_t) eps(x_s, s)

    eps is that of the end of the step, so x_s is on both sides. It is asked for where Euler's step along the last eps
    leads, the first one at x_t in the scale of s, and with more ``iterations`` at the x_s found last: they converge,
    and then ``euler`` down the same path leads back to the image itself. From sigma = 0 nothing is special; up to
    alpha = 0, where a step along eps says nothing, it is x_s = sigma_s (x_t - alpha_t x0) / sigma_t.

    Song, Meng, Ermon 2020, arXiv:2010.02502, section 4.3; iterations: Meiri et al. 2023, arXiv:2312.12540. compat=True
    always asks at x_t as it is, in the scale of t, as diffusers does: no method of first order where steps are long.
    """

    iterations: int = setting(1, low=1, high=100, help="evaluations a step; more come closer to the exact inverse")
    compat: bool = setting(False, help="ask at the x of the cleaner level without scaling it, as diffusers does")
    order, stochastic, needs, upwards = 1, False, (), True
    aliases = ("DDIMInverseScheduler",)

    @derived
    def evaluations(self) -> int:
        return self.iterations

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        eps = None
        for t, s in Path.upwards(path.levels[::-1]):
            guess = x if self.compat else _guess(x, eps, t, s)
            x, eps = yield from _arrive(x, guess, t, s, self.iterations)
        return x


def _guess(x: Tensor, eps: Tensor | None, t: Level, s: Level) -> Tensor:
    """x at t taken up to s along eps, or along none."""
    if not s.alpha:
        return x if eps is None else eps * s.sigma
    return x * (s.alpha / t.alpha) if eps is None else follow(x, eps, t, s)


def _arrive(
    x: Tensor, guess: Tensor, t: Level, s: Level, iterations: int = 1
) -> Generator[tuple[Tensor, Level], tuple[Any, ...], tuple[Tensor, Tensor]]:
    """x at t taken up to s with the prediction made there, first at the guess; and eps."""
    if not (t.sigma or s.alpha):
        raise ValueError("one step from a clean image to alpha = 0 has no inverse: every noise leads there; take two")
    for _ in range(iterations):
        guess, x0, *_others = yield guess, s
        eps = noise_of(guess, x0, s) if s.alpha else noise_of(x, x0, t)
        guess = follow(x, eps, t, s)
    return guess, eps
