"""Predictor-corrector sampling: Langevin steps at each level before any sampler's step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .ancestral import EulerAncestral
from .derived import derived, inner
from .path import Path
from .protocols import Sampler
from .settings import setting, settings

if TYPE_CHECKING:
    from torch import Tensor

    from .level import Level
    from .protocols import Noise, Run


@settings
class PredictorCorrector:
    """Langevin steps at the level of s, then one step of another sampler.

    x <- x + e score + sqrt(2 e) z,    e = 2 (snr |z| / |score|)^2,    score = (alpha_s x0 - x) / sigma_s^2

    Song et al. 2020, arXiv:2011.13456, Algorithms 2, 4 and 5. The norms |.| are those of each image, not means of the
    batch, so an image does not depend on its neighbours. size="level" takes e = 2 snr^2 sigma_s^2, what the norms come
    to for a score that is all noise: annealed Langevin dynamics (Song, Ermon 2019, arXiv:1907.05600, Algorithm 1), and
    linear in x. A step from alpha = 0 or to sigma = 0 is not corrected. A multistep method starts anew at each step.

    A Langevin step does not shrink as steps grow, so a bias remains: many of them multiply the variance V of Gaussian
    data by 1 + snr^2, and with size="level" by 1 / (1 - snr^2 sigma_s^2 / V).
    """

    sampler: Sampler = setting(EulerAncestral(), kind="sampler", help="the predictor")
    snr: float = setting(0.16, low=0.0, high=1.0, help="size of a Langevin step: noise to score")
    size: str = setting("norms", choices=("norms", "level"), help="what a Langevin step is measured by")
    corrections: int = setting(1, low=0, high=100, help="Langevin steps at each level")
    stochastic, needs = True, inner("needs")
    aliases = ("ScoreSdeVeScheduler",)

    @derived
    def order(self) -> int:
        return min(self.sampler.order, self.sampler.evaluations or self.sampler.order)

    @derived
    def evaluations(self) -> int | None:
        return None if self.sampler.evaluations is None else self.corrections + self.sampler.evaluations

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        for s, t in path:
            for _ in range(self.corrections if s.alpha and t.sigma else 0):
                x, x0, *_others = yield x, s
                x = self._correct(x, x0, s, noise(s, t))
            x = yield from self.sampler(x, Path([s, t]), noise)
        return x

    def _correct(self, x: Tensor, x0: Tensor, s: Level, z: Tensor) -> Tensor:
        score = (x0 * s.alpha - x) / s.sigma**2
        root: Tensor | float = self.snr * s.sigma  # sqrt(e / 2)
        if self.size == "norms":
            root = self.snr * _norm(z) / _norm(score).clamp(min=1e-30)
        return (x + score * (2 * root**2)).add_(z * root, alpha=2.0)


def _norm(x: Tensor) -> Tensor:
    """Of each image, to broadcast against the batch."""
    return x.reshape(len(x), -1).norm(dim=1).view(-1, *[1] * (x.ndim - 1))
