"""Guidance that remembers: what was predicted before, and how far cond and uncond were apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from ..level import Level
from ..protocols import Guidance
from ..settings import setting, settings
from .cfg import CFG
from .further import then
from .space import SPACES, from_space, pair, to_space

if TYPE_CHECKING:
    from torch import Tensor

    from ..perturbation import Branch
    from ..protocols import Combine, Further, Predictions


@settings
class Momentum:
    """v + weight (v - m), v what another guidance predicts, m the moving average of v: m <- decay m + (1 - decay) v.

    m begins as the first v. It leads away from earlier, smoother predictions and costs no evaluation. The paper
    averages velocities of flow models over Euler's steps; here over evaluations, as samplers ask for them.
    Liao et al. 2026, arXiv:2602.20360, Algorithm 1.
    """

    weight: float = setting(0.5, low=0.0, high=100.0, help="0 is none")
    decay: float = setting(0.6, low=0.0, high=1.0, help="of the average; 0 compares with the evaluation before")
    guidance: Guidance = setting(CFG(), kind="guidance", help="what predicts v; cfg(1) for momentum alone")
    space: str = setting("flow", choices=SPACES, help="what is averaged")
    aliases: ClassVar[tuple[str, ...]] = ("MomentumGuidance", "momentum_guidance")

    def branches(self, level: Level) -> tuple[Branch, ...]:
        return self.guidance.branches(level)

    def start(self) -> Combine:
        combine = self.guidance.start()
        average: Tensor | None = None

        def ahead(x0: Tensor, x: Tensor, level: Level) -> Tensor:
            nonlocal average
            v = to_space(self.space, x0, x, level)
            before = v if average is None else average
            average = v.lerp(before, self.decay)
            return from_space(self.space, v + self.weight * (v - before), x, level)

        def guided(x: Tensor, level: Level, predictions: Predictions) -> Tensor | Further:
            combined = combine(x, level, predictions)
            return then(combined, lambda x0: ahead(x0, x, level)) if self.weight else combined

        return guided


@settings
class SMCCFG:
    """uncond + scale e, e = d - gain sign(d - e' + slope e'), d = cond - uncond, e' the e of the evaluation before.

    Sliding mode control: every element of the difference is driven to fall off along the path; e' begins as d. The
    paper combines velocities of flow models. Wang et al. 2026, arXiv:2603.03281.
    """

    scale: float = setting(7.5, low=0.0, high=1000.0, help="1 is none")
    slope: float = setting(5.0, low=0.0, high=100.0, help="of the surface on which differences fall off")
    gain: float = setting(0.2, low=0.0, high=10.0, help="how hard they are driven to it; 0 is plain CFG")
    space: str = setting("flow", choices=SPACES, help="what is combined")
    aliases: ClassVar[tuple[str, ...]] = ("SlidingModeControlCFG", "cfg_ctrl")

    def branches(self, level: Level) -> tuple[str, ...]:
        return ("cond",) if self.scale == 1 else ("cond", "uncond")

    def start(self) -> Combine:
        last: Tensor | None = None

        def combine(x: Tensor, level: Level, predictions: Mapping[str, Tensor]) -> Tensor:
            nonlocal last
            if self.scale == 1:
                return predictions["cond"]
            cond, uncond = pair(self.space, predictions, x, level)
            difference = cond - uncond
            before = difference if last is None else last
            last = difference - self.gain * (difference + (self.slope - 1) * before).sign()
            return from_space(self.space, uncond + self.scale * last, x, level)

        return combine
