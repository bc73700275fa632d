"""RePaint: every part of the path walked several times, so that what is made agrees with what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .ancestral import EulerAncestral
from .derived import derived, inner
from .forward import diffuse
from .path import Path
from .protocols import Sampler
from .settings import setting, settings

if TYPE_CHECKING:
    from torch import Tensor

    from .protocols import Noise, Run


@settings
class RePaint:
    """After each ``jump`` steps, noise up to where they began and take them again, ``resamples`` times in all.

    x_s = alpha_s/alpha_t x_t + sqrt(sigma_s^2 - (alpha_s/alpha_t)^2 sigma_t^2) z    from t up to s, jump steps before

    Parts are counted from the end of the path; the first one, from pure noise, is not repeated. For inpainting: a mask
    is the host's, which puts the kept image into x0, or noised into x, where nothing shall change. A single walk makes
    the rest from noise that knew nothing of the kept part; resampling brings both to their joint distribution. Without
    a mask it is the sampler inside, at more cost: resamples times the evaluations of each part.

    Lugmayr et al. 2022, arXiv:2201.09865, Algorithm 1 and appendix B (jump length j and resamplings r).
    """

    sampler: Sampler = setting(EulerAncestral(), kind="sampler", help="the method that takes the steps")
    jump: int = setting(10, low=1, help="steps of a part")
    resamples: int = setting(10, low=1, help="how often a part is walked")
    stochastic, evaluations, needs = True, inner("evaluations"), inner("needs")
    aliases = ("RePaintScheduler",)

    @derived
    def order(self) -> int:
        """A part that starts anew has at most the order of its number of evaluations."""
        return min(self.sampler.order, self.sampler.evaluations or self.sampler.order)

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        levels, first = path.levels, len(path) % self.jump or self.jump
        x = yield from self.sampler(x, Path(levels[: first + 1]), noise)
        for top in range(first, len(path), self.jump):
            bottom = top + self.jump
            for again in range(self.resamples):
                if again:
                    x = diffuse(x, levels[bottom], levels[top], noise(levels[top], levels[bottom]))
                x = yield from self.sampler(x, Path(levels[top : bottom + 1]), noise)
        return x
