"""Guidance with noise in what the network is told: of the condition, or of the time. The noise is the image's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..level import Level
from ..perturbation import Branch, IndependentCondition, NoisyCondition, NoisyTime, Perturbed
from ..protocols import Guidance
from ..settings import setting, settings
from .cfg import CFG
from .perturbed import away, away_branches
from .substituted import substituted, substituted_branches

if TYPE_CHECKING:
    from ..protocols import Combine


@settings
class CADS:
    """Another guidance whose condition y is sqrt(g) y + noise sqrt(1 - g) n, g from 0 at the noisy end to 1.

    g is 1 up to the model's time ``clean``, 0 from ``gone`` on and linear between; then a share ``mixing`` of the
    result has mean and deviation of y. More different images of one prompt. n is drawn for each image and noise level.
    Sadat et al. 2023, arXiv:2310.17347, Algorithm 1.
    """

    noise: float = setting(0.25, low=0.0, high=10.0, help="0 is none")
    clean: float = setting(0.6, low=0.0, high=1.0, help="no noise up to this time; 1 is pure noise")
    gone: float = setting(0.9, low=0.0, high=1.0, help="nothing but noise from this time on")
    mixing: float = setting(1.0, low=0.0, high=1.0, help="share that keeps mean and deviation")
    guidance: Guidance = setting(CFG(), kind="guidance", help="what uses this condition")
    aliases: ClassVar[tuple[str, ...]] = ("condition_annealed",)

    def branches(self, level: Level) -> tuple[Branch, ...]:
        return substituted_branches(self.guidance, level, self._other)

    def start(self) -> Combine:
        return substituted(self.guidance, self._other)

    def _other(self, branch: Branch) -> Branch:
        if branch != "cond" or not self.noise:
            return branch
        return Perturbed("cond", NoisyCondition(self.clean, self.gone, self.noise, self.mixing))


@settings
class ICG:
    """Another guidance with, in place of uncond, the prediction under a condition that knows nothing of the image.

    That condition is noise with mean and deviation of the real one, drawn for each image and noise level, so that
    networks can be guided that were never trained without a condition. Sadat et al. 2024, arXiv:2407.02687, section 4.
    """

    guidance: Guidance = setting(CFG(), kind="guidance", help="what is led away from it")
    aliases: ClassVar[tuple[str, ...]] = ("IndependentConditionGuidance",)

    def branches(self, level: Level) -> tuple[Branch, ...]:
        return substituted_branches(self.guidance, level, _independent)

    def start(self) -> Combine:
        return substituted(self.guidance, _independent)


@settings
class TSG:
    """guidance + scale (cond - worse), worse by a network whose embedding of the time t has noise t^power n added.

    Time-step guidance, which needs no condition; t is the model's time from 0 to 1, n is drawn for each image and noise
    level. Sadat et al. 2024, arXiv:2407.02687, section 5.
    """

    scale: float = setting(2.0, low=0.0, high=1000.0, help="0 is none")
    guidance: Guidance = setting(CFG(), kind="guidance", help="what it is added to")
    noise: float = setting(1.0, low=0.0, high=1000.0, help="at t = 1; 0 is none")
    power: float = setting(1.0, low=0.0, high=100.0, help="how fast the noise falls off")
    aliases: ClassVar[tuple[str, ...]] = ("TimeStepGuidance",)

    def branches(self, level: Level) -> tuple[Branch, ...]:
        return away_branches(self.guidance, level, self._scale, NoisyTime(self.noise, self.power))

    def start(self) -> Combine:
        return away(self.guidance, self._scale, NoisyTime(self.noise, self.power))

    @property
    def _scale(self) -> float:
        return self.scale if self.noise else 0.0


def _independent(branch: Branch) -> Branch:
    return Perturbed("cond", IndependentCondition()) if branch == "uncond" else branch
